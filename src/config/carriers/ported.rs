//! The operator's file of ported numbers: `phone,carrier`, a number a line, in any order.
//!
//! It reads millions of rows at the speed of a disk and blocks while it does. What is wrong is told by its line; numbers
//! are never repeated in an error.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use crate::domain::carrier::Carrier;
use crate::domain::numbering::{Allotment, NumberingPlan};
use crate::domain::phone::Phone;
use crate::domain::ported::{CARRIERS_MAX, LINES_MAX, PortedNumbers, PortedRows};

/// No line of the file is longer.
const LINE_MAX: usize = 256;

/// Why a file of ported numbers is refused.
#[derive(Debug, thiserror::Error)]
pub enum PortedError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: String, source: io::Error },
    #[error("{path}, line {line}: {why}")]
    Line { path: String, line: u32, why: String },
}

/// Reads `file`; its carriers are those of `plan`, served or not. An empty path is an empty list.
///
/// # Errors
/// [`PortedError`] with the first line that is wrong.
pub fn load(file: &Path, plan: &NumberingPlan) -> Result<PortedNumbers, PortedError> {
    if file.as_os_str().is_empty() {
        return Ok(PortedNumbers::default());
    }
    let path = || file.display().to_string();
    let unreadable = |source| PortedError::Unreadable { path: path(), source };
    let lines = BufReader::with_capacity(1 << 18, File::open(file).map_err(unreadable)?);
    read(lines, plan).map_err(|error| match error {
        Wrong::Unreadable(source) => unreadable(source),
        Wrong::Line(line, why) => PortedError::Line { path: path(), line, why },
    })
}

#[derive(Debug)]
enum Wrong {
    Unreadable(io::Error),
    Line(u32, String),
}

fn read(mut lines: impl BufRead, plan: &NumberingPlan) -> Result<PortedNumbers, Wrong> {
    let mut carriers: Vec<Allotment> = plan.carriers().cloned().collect();
    carriers.sort_unstable_by(|one, other| one.carrier().cmp(other.carrier()));
    carriers.truncate(CARRIERS_MAX);
    let names: Vec<Carrier> = carriers.iter().map(|allotment| allotment.carrier().clone()).collect();
    let mut rows = PortedRows::new(carriers);
    let (mut line, mut number) = (Vec::with_capacity(LINE_MAX), 0);
    while next(&mut lines, &mut line).map_err(Wrong::Unreadable)? {
        number += 1;
        if number > LINES_MAX {
            return Err(Wrong::Line(number, format!("more than {LINES_MAX} lines")));
        }
        let wrong = |why: &str| Wrong::Line(number, why.to_owned());
        let text = std::str::from_utf8(&line).map_err(|_| wrong("is no text"))?.trim();
        let is_heading = number == 1 && text.trim_start_matches('\u{feff}').eq_ignore_ascii_case("phone,carrier");
        if text.is_empty() || text.starts_with('#') || is_heading {
            continue;
        }
        let (phone, carrier) = text.split_once(',').ok_or_else(|| wrong("is not phone,carrier"))?;
        let phone = Phone::parse(phone.trim_end())
            .map_err(|_| wrong("the phone is not +84 and the nine digits of a mobile number"))?;
        let carrier = carrier.trim_start();
        let place = names.binary_search_by(|name| name.as_str().cmp(carrier)).ok();
        let place = place.and_then(|place| u8::try_from(place).ok());
        let place = place.ok_or_else(|| wrong("the carrier is neither under carrier nor under not_served"))?;
        rows.add(number, phone, place);
    }
    rows.finish().map_err(|torn| {
        Wrong::Line(torn.line, format!("the number is given with another carrier on line {}", torn.before))
    })
}

/// Reads the next line; `false` after the last one. One that is too long is cut, which no row survives.
fn next(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let buffer = lines.fill_buf()?;
        if buffer.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        line.extend_from_slice(&part[..part.len().min((LINE_MAX + 1).saturating_sub(line.len()))]);
        let used = end.map_or(buffer.len(), |end| end + 1);
        lines.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::config::carriers::CarrierTable;
    use crate::domain::carrier::CarrierSource;

    fn plan() -> NumberingPlan {
        CarrierTable::load(Path::new("")).expect("the built-in table").plan
    }

    fn of(ported: &PortedNumbers, text: &str) -> Option<String> {
        ported.get(Phone::parse(text).expect("valid")).map(|allotment| allotment.carrier().as_str().to_owned())
    }

    #[test]
    fn a_file_is_read_with_its_heading_comments_and_spaces() {
        let text = "\u{feff}phone,carrier\r\n# moved in May\n\n+84981234567,mobifone\r\n +84901234567 , gmobile \n+84911234567,viettel";
        let ported = read(text.as_bytes(), &plan()).expect("holds");
        assert_eq!(ported.len(), 3);
        assert_eq!(of(&ported, "+84981234567").as_deref(), Some("mobifone"));
        assert_eq!(of(&ported, "+84901234567").as_deref(), Some("gmobile"));
        assert_eq!(of(&ported, "+84911234567").as_deref(), Some("viettel"));
        assert_eq!(of(&ported, "+84911234568"), None);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_and_no_number_is_repeated() {
        let refused = |text: &str| match read(text.as_bytes(), &plan()) {
            Err(Wrong::Line(line, why)) => {
                assert!(!why.contains("98123456"), "{why}");
                (line, why)
            }
            other => panic!("{other:?}"),
        };
        for (text, line, part) in [
            ("+84981234567", 1, "phone,carrier"),
            ("\n\n0981234567,viettel", 3, "+84"),
            ("+84981234567,viettel\n+84981234568,vodafone", 2, "neither"),
            ("+84981234567,viettel,x", 1, "neither"),
            ("phone,carrier\nphone,carrier", 2, "+84"),
            ("+84981234567,viettel\n+84981234567,mobifone", 2, "on line 1"),
            (&format!("+84981234567,viettel{}", "x".repeat(1_000)), 1, "neither"),
        ] {
            let (at, why) = refused(text);
            assert!(at == line && why.contains(part), "{text:.40}: line {at}: {why}");
        }
        assert_eq!(refused(std::str::from_utf8(b"x").expect("text")).0, 1);
        assert!(matches!(read(&b"\xff\xfe,viettel"[..], &plan()), Err(Wrong::Line(1, _))));
    }

    #[test]
    fn two_million_rows_take_five_bytes_each_and_every_one_is_found() {
        const ROWS: u32 = 2_000_000;
        let carriers = ["viettel", "vinaphone", "mobifone", "vietnamobile", "gmobile"];
        let path = std::env::temp_dir().join(format!("nexo-ported-{:016x}.csv", rand::random::<u64>()));
        let mut file = io::BufWriter::new(File::create(&path).expect("made"));
        // In no order: a multiplier that is prime to the modulus visits every place once.
        let national = |n: u32| 900_000_000 + u32::try_from(u64::from(n) * 7_919 % 50_000_000).expect("small");
        for n in 0..ROWS {
            writeln!(file, "+84{},{}", national(n), carriers[(n % 5) as usize]).expect("written");
        }
        file.flush().expect("written");
        let plan = plan();
        let ported = load(&path, &plan);
        std::fs::remove_file(&path).expect("removed");
        let ported = ported.expect("holds");
        assert_eq!((ported.len(), ported.bytes()), (2_000_000, 10_000_000));
        for n in 0..ROWS {
            let phone = Phone::from_national_number(national(n)).expect("a mobile");
            let found = ported.get(phone).map(|allotment| allotment.carrier().as_str());
            assert_eq!(found, Some(carriers[(n % 5) as usize]), "row {n}");
        }
        let missing = (ROWS..ROWS + 1_000).map(|n| Phone::from_national_number(national(n)).expect("a mobile"));
        assert!(missing.into_iter().all(|phone| ported.get(phone).is_none()));
        let plan = plan.with_ported(std::sync::Arc::new(ported));
        let routed = plan.route(Phone::from_national_number(national(0)).expect("a mobile")).expect("served");
        assert_eq!((routed.route.carrier.as_str(), routed.source), ("viettel", CarrierSource::Override));
        assert_eq!(plan.ported_rows(), 2_000_000);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load(Path::new("/nowhere/ported.csv"), &plan()).expect_err("refused").to_string();
        assert!(error.contains("/nowhere/ported.csv"), "{error}");
        assert!(load(Path::new(""), &plan()).expect("no list").is_empty());
    }
}
