//! The carrier table against Python's `phonenumbers`, which carries libphonenumber's metadata for Vietnam.

use std::process::Command;

use nexo_route::config::carriers::CarrierTable;
use nexo_route::domain::carrier::Unroutable;
use nexo_route::domain::phone::Phone;

/// Prints, for every three-digit national prefix of a mobile, the prefix and the carrier that libphonenumber names, `-` for
/// a valid number without one, nothing for an invalid number.
const ASK: &str = "
import phonenumbers
from phonenumbers import carrier
for prefix in range(300, 1000):
    number = phonenumbers.parse(f'+84{prefix}123456')
    if phonenumbers.is_valid_number(number):
        print(prefix, (carrier.name_for_number(number, 'en') or '-').replace(' ', '_'))
";

/// How libphonenumber's name reads in our table. A virtual operator routes as its host network.
fn ours(name: &str) -> &str {
    match name {
        "Viettel" => "viettel",
        "Vinaphone" | "Indochina_Telecom" | "Reddi" => "vinaphone",
        "MobiFone" => "mobifone",
        "Vietnamobile" => "vietnamobile",
        "G-Mobile" => "gmobile (not served)",
        // 95 (S-Fone, gone) and 990, 991: allotted to nobody today, so nobody can deliver there.
        "-" => "nobody",
        other => panic!("libphonenumber names a carrier that this test does not know: {other}"),
    }
}

fn in_the_table(table: &CarrierTable, prefix: u32) -> String {
    let Ok(phone) = Phone::parse(&format!("+84{prefix}123456")) else {
        return "nobody".into();
    };
    match table.plan.route(phone) {
        Ok(routed) => routed.route.carrier.as_str().to_owned(),
        Err(Unroutable::NotServed(carrier)) => format!("{} (not served)", carrier.as_str()),
        Err(Unroutable::Unassigned) => "nobody".into(),
    }
}

#[test]
fn the_carrier_table_agrees_with_libphonenumber() {
    let Ok(python) = std::env::var("NEXO_TEST_PYTHON") else {
        assert!(std::env::var_os("CI").is_none(), "NEXO_TEST_PYTHON is not set: run `make test`");
        eprintln!("NOT RUN: NEXO_TEST_PYTHON names no Python with phonenumbers; `make test` prepares one");
        return;
    };
    let output = Command::new(&python).args(["-c", ASK]).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("utf-8");
    let theirs: std::collections::BTreeMap<u32, &str> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(prefix, name)| (prefix.parse().expect("a number"), ours(name)))
        .collect();
    assert!(theirs.len() > 300, "{} prefixes", theirs.len());
    let table = CarrierTable::load(std::path::Path::new("")).expect("the built-in table");
    let differing: Vec<String> = (300..1_000)
        .filter_map(|prefix| {
            let (here, there) = (in_the_table(&table, prefix), theirs.get(&prefix).copied().unwrap_or("nobody"));
            (here != there).then(|| format!("{prefix}: {here} here, {there} there"))
        })
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
}
