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
        ("tls = { server_name = \"no name\" }", "tls.server_name: "),
        ("receipt_words = { delivered = [\"A\"], failed = { a = \"expired\" } }", "receipt_words: \"a\" stands twice"),
        ("receipt_words = { delivered = [\"NO ROUTE\"] }", "receipt_words: \"NO ROUTE\" is not"),
        ("receipt_words = { failed = { A = \"gone\" } }", "unknown variant `gone`"),
        ("receipt_words = { unknown = [] }", "unknown field `unknown`"),
        ("network_tlv = 0", "network_tlv: "),
        ("network_tlv = 65536", "65536"),
        ("network_key = \"mcc:\"", "network_key: "),
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
fn an_address_that_cannot_be_dialled_is_refused_with_a_sentence() {
    let of = |address: &str| {
        let text = format!("address = \"{address}\"\nsystem_id = \"nexo\"\nsender = \"NEXO\"");
        toml::from_str::<SmppConfig>(&text).map(|config| config.address).map_err(|error| error.message().to_owned())
    };
    for address in ["smsc.example.net:2775", "[2001:db8::1]:2775", "192.0.2.7:2775"] {
        assert_eq!(of(address).as_deref(), Ok(address));
    }
    assert_eq!(of(" smsc.example.net:2775\\n").as_deref(), Ok("smsc.example.net:2775"), "what was pasted along");
    for (address, why) in [
        ("smpp://smsc.example.net:2775", "address: must be HOST:PORT without a scheme"),
        ("2001:db8::1:2775", "address: an IPv6 address stands in brackets"),
        ("smsc.example.net", "address: must be HOST:PORT"),
        ("smsc.example.net:0", "address: must be HOST:PORT, with a port"),
    ] {
        let refused = of(address).expect_err(address);
        assert!(refused.starts_with(why), "{address}: {refused}");
    }
}

#[test]
fn credentials_have_the_lengths_of_the_book_unless_the_smsc_takes_longer_ones() {
    let of = |system_id: usize, password: &str, more: &str| {
        let file = std::env::temp_dir().join(format!("nexo-smpp-{:016x}", rand::random::<u64>()));
        std::fs::write(&file, password).expect("written");
        let text = format!(
            "address = \"localhost:2775\"\nsystem_id = \"{}\"\nsender = \"NEXO\"\npassword = {{ file = {file:?} }}\n{more}",
            "s".repeat(system_id)
        );
        let read = toml::from_str::<SmppConfig>(&text).err().map(|error| error.message().to_owned());
        std::fs::remove_file(file).expect("removed");
        read.unwrap_or_default()
    };
    let (eight, nine, long) = ("p".repeat(8), "p".repeat(9), "p".repeat(64));
    assert_eq!(of(15, &eight, ""), "");
    assert_eq!(of(64, &long, "long_credentials = true"), "");
    for (system_id, password, more, expected) in [
        (
            16,
            eight.as_str(),
            "",
            "system_id: must be 1 to 15 characters of ASCII; up to 64 with long_credentials = true",
        ),
        (15, nine.as_str(), "", "password: must be 0 to 8 characters of ASCII; up to 64 with long_credentials = true"),
        (65, eight.as_str(), "long_credentials = true", "system_id: must be 1 to 64"),
        (15, &format!("{long}p"), "long_credentials = true", "password: must be 0 to 64"),
        (15, "a\0b", "", "password: must be 0 to 8"),
        (15, "p\u{e9}", "", "password: must be 0 to 8"),
    ] {
        let refused = of(system_id, password, more);
        assert!(refused.starts_with(expected), "{refused}");
        assert!(!refused.contains(password), "no secret is printed");
    }
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
    let everything = [
        "# tls =",
        "# senders =",
        "# sender_ton =",
        "# sender_npi =",
        "# receipt_words =",
        "# network_tlv =",
        "# network_key =",
    ]
    .iter()
    .fold(manual.clone(), |text, setting| {
        assert_eq!(text.matches(setting).count(), 1, "{setting}");
        text.replace(setting, &setting[2..])
    });
    let everything = settings(&everything);
    assert!(everything.tls.is_some_and(|tls| tls.ca_file.is_some()));
    assert_eq!(everything.receipt_words.failed["BLOCKED"], crate::config::upstreams::http::Class::Rejected);
    assert_eq!((everything.network_tlv, everything.network_key.as_deref()), (Some(0x1403), Some("mccmnc:")));
    let shown = settings(&manual);
    std::fs::remove_file(password).expect("removed");
    let defaults = SmppConfig { password: shown.password.clone(), ..read("").expect("enough") };
    assert_eq!(shown, defaults);
}
