//! What an SMSC's settings may say, and how each mistake is named.

use super::*;

const LEAST: &str = "address = \"smsc.example.net:2775\"\nsystem_id = \"nexo\"\nsender = \"NEXO\"\n";

fn read(more: &str) -> Result<SmppConfig, String> {
    toml::from_str(&format!("{LEAST}{more}")).map_err(|error| error.message().to_owned())
}

#[test]
fn the_least_that_must_be_said_and_what_holds_then() {
    let config = read("").expect("enough");
    assert_eq!((config.binds, config.window, config.rate_per_second), (1, 10, None));
    assert_eq!(
        (config.bind, config.validity, config.id_base),
        (BindMode::Transceiver, Validity::Relative, IdBase::Auto)
    );
    assert_eq!((config.enquire_idle_ms, config.enquire_timeout_ms), (30_000, 10_000));
    assert_eq!(config.sender, Sender { address: "NEXO".into(), ton: 5, npi: 0 });
    assert_eq!(format!("{:?}", config.text), "Gsm7({code} la ma xac thuc cua ban.)");
    assert_eq!(read("").expect("the same"), config);
}

#[test]
fn a_carrier_may_have_a_sender_of_its_own() {
    let config = read("senders = { viettel = \"+84901234567\" }").expect("valid");
    let to = |name: &str| config.sender_to(&Carrier::new(name).expect("sane")).clone();
    assert_eq!(to("viettel"), Sender { address: "84901234567".into(), ton: 1, npi: 1 });
    assert_eq!(to("mobifone").address, "NEXO");
    let short = read("senders = { viettel = \"8088\" }\nsender_ton = 3\nsender_npi = 9").expect("valid");
    assert_eq!(short.senders["viettel"], Sender { address: "8088".into(), ton: 3, npi: 9 });
}

#[test]
fn every_mistake_is_named_by_its_field() {
    for (more, field) in [
        ("window = 0", "window: "),
        ("binds = 33", "binds: "),
        ("rate_per_second = 100001", "rate_per_second: "),
        ("system_type = \"0123456789abc\"", "system_type: "),
        ("service_type = \"OTPOTP\"", "service_type: "),
        ("text = \"no place for it\"", "text: must hold {code} once"),
        ("text = \"mã {code}\"\nalphabet = \"gsm7\"", "text: 'ã' is not"),
        ("senders = { viettel = \"a name too long\" }", "senders.viettel: "),
        ("sender_ton = 99", "sender_ton: "),
        ("refused_wait_ms = 1000", "refused_wait_ms: "),
        ("reconnect_max_ms = 100", "reconnect_max_ms: "),
        ("reconnect_min_ms = 5000\nreconnect_max_ms = 4999", "reconnect_max_ms: "),
        ("first_sequence = 0", "first_sequence: "),
        ("pasword = 1", "unknown field `pasword`"),
        ("bind = \"both\"", "unknown variant `both`"),
    ] {
        let refused = read(more).expect_err(more);
        assert!(refused.contains(field), "{more}: {refused}");
    }
    let both =
        toml::from_str::<SmppConfig>("address = \"nowhere\"\nsystem_id = \"\"\nsender = \"NEXO\"").expect_err("wrong");
    assert!(both.message().contains("address: must be HOST:PORT; system_id: "), "{both}");
}

#[test]
fn the_manual_shows_what_holds_where_nothing_is_said() {
    let password = std::env::temp_dir().join(format!("nexo-smpp-{:016x}", rand::random::<u64>()));
    std::fs::write(&password, "secret\n").expect("written");
    let manual = include_str!("../../../../config/upstreams/smpp.toml");
    let secret = "{ env = \"NEXO_SMSC_PASSWORD\" }";
    assert_eq!(manual.matches(secret).count(), 1);
    let manual = manual.replace(secret, &format!("{{ file = {password:?} }}"));
    // What is marked "none" is a setting too.
    let settings = |text: &str| {
        let table: toml::Table = text.parse().expect("TOML");
        let mut entry = table["upstream"]["vt_smsc"].as_table().cloned().expect("a table");
        assert_eq!(entry.remove("kind"), Some("smpp".into()));
        SmppConfig::deserialize(entry).expect("valid")
    };
    let everything = ["# tls =", "# senders =", "# sender_ton =", "# sender_npi ="]
        .iter()
        .fold(manual.clone(), |text, setting| text.replace(setting, &setting[2..]));
    assert!(settings(&everything).tls.is_some_and(|tls| tls.ca_file.is_some()));
    let shown = settings(&manual);
    std::fs::remove_file(password).expect("removed");
    let defaults = SmppConfig { password: shown.password.clone(), ..read("").expect("enough") };
    assert_eq!(shown, defaults);
}
