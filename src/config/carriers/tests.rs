//! The table that is compiled in, and what an operator may get wrong in another one.

use super::*;

#[test]
fn the_built_in_table_is_that_of_the_contract() {
    let table = CarrierTable::parse(BUILT_IN).expect("valid");
    let of = |text: &str| {
        let route = table.plan.route(Phone::parse(text).expect("valid")).expect("served").route;
        (route.carrier.as_str().to_owned(), route.channels, route.price.to_string())
    };
    let both = Channels::from_list(&[Channel::Voice, Channel::Sms]).expect("valid");
    let price = || "0.022".to_owned();
    assert_eq!(of("+84981234567"), ("viettel".into(), both, price()));
    assert_eq!(of("+84911234567"), ("vinaphone".into(), both, price()));
    assert_eq!(of("+84921234567"), ("vietnamobile".into(), both, price()));
    assert_eq!(of("+84901234567"), ("mobifone".into(), Channels::only(Channel::Sms), price()));
    assert_eq!(table.routes.len(), 4);
}

#[test]
fn a_wrong_entry_is_named() {
    let with = |carrier: &str| CarrierTable::parse(&format!("price_usd = \"0.022\"\n{carrier}")).map(drop);
    let refused = |carrier: &str| with(carrier).expect_err("refused").to_string();
    assert!(refused("[carrier.a]\nchannels = [\"fax\"]\nprefixes = [\"98\"]").starts_with("carrier.a: channels"));
    assert!(refused("[carrier.a]\nchannels = []\nprefixes = [\"98\"]").starts_with("carrier.a: channels"));
    assert!(refused("[carrier.A]\nchannels = [\"sms\"]\nprefixes = [\"98\"]").starts_with("carrier.A: a name"));
    assert!(refused("[carrier.a]\nchannels = [\"sms\"]\nprefixes = []").contains("prefixes is empty"));
    assert!(refused("[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"24\"]").contains("\"24\""));
    assert!(
        refused("[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\nprice_usd = \"-1\"")
            .starts_with("carrier.a: price_usd")
    );
    assert!(refused("[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\ncolour = 1").contains("colour"));
    let both = "[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\n[not_served.a]\nprefixes = [\"97\"]";
    assert!(refused(both).contains("both"));
    assert!(refused("[carrier]").contains("no carrier"));
}

const TWO: &str = "price_usd = \"0.022\"\n[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\n[not_served.b]\nprefixes = [\"97\"]";

#[test]
fn a_ported_number_leaves_its_prefix() {
    let table = CarrierTable::parse(&format!("{TWO}\n[ported]\n\"+84971234567\" = \"a\"\n\"+84981234567\" = \"b\""));
    let plan = table.expect("valid").plan;
    let served = |text: &str| plan.route(Phone::parse(text).expect("valid")).is_ok();
    assert_eq!(["+84971234567", "+84971234568"].map(served), [true, false]);
    assert_eq!(["+84981234567", "+84981234568"].map(served), [false, true]);
    let refused =
        |ported: &str| CarrierTable::parse(&format!("{TWO}\n[ported]\n{ported}")).expect_err("refused").to_string();
    assert!(refused("\"0981234567\" = \"a\"").starts_with("ported: \"0981234567\""));
    assert!(refused("\"+84981234567\" = \"c\"").starts_with("ported: \"c\""));
}

#[test]
fn a_carrier_may_be_simulated_otherwise_than_the_rest() {
    let settings = crate::config::assemble(None, []).expect("the defaults").config.simulator;
    let with = |simulator: &str| CarrierTable::parse(&format!("{TWO}\n[carrier.a.simulator]\n{simulator}"));
    let table = with("ack_ms = 77\nfail_rate = 1.0").expect("valid");
    let a = table.simulator(&Carrier::new("a").expect("sane"), &settings);
    assert_eq!((a.ack_ms, a.receipt_ms), (77, settings.receipt_ms));
    assert!((a.fail_rate - 1.0).abs() < f64::EPSILON);
    let other = table.simulator(&Carrier::new("b").expect("sane"), &settings);
    assert_eq!(other.ack_ms, settings.ack_ms);
    assert!(with("fail_rate = 1.5").expect_err("refused").to_string().starts_with("carrier.a.simulator.fail_rate"));
    assert!(with("ack = 1").expect_err("refused").to_string().contains("ack"));
}

/// The table of one carrier that has both channels, with more of it in `carrier`, and upstreams after it.
fn linked(carrier: &str, upstreams: &str) -> Result<CarrierTable, String> {
    let text = format!(
        "price_usd = \"0.022\"\n[carrier.a]\nchannels = [\"voice\", \"sms\"]\nprefixes = [\"98\"]\n{carrier}\n{upstreams}"
    );
    CarrierTable::parse(&text).map_err(|error| error.to_string())
}

const SIMULATED: &str = "[upstream.one]\nkind = \"simulator\"\n[upstream.two]\nkind = \"simulator\"\nack_ms = 5";

#[test]
fn links_name_upstreams_with_a_weight() {
    let links = "voice = [{ upstream = \"one\" }]\nsms = [{ upstream = \"one\", weight = 3 }, { upstream = \"two\" }]";
    let table = linked(links, SIMULATED).expect("holds");
    let a = Carrier::new("a").expect("sane");
    let of = |channel| table.links(&a, channel).iter().map(|link| (link.upstream.as_str(), link.weight));
    assert_eq!(of(Channel::Voice).collect::<Vec<_>>(), [("one", 1)]);
    assert_eq!(of(Channel::Sms).collect::<Vec<_>>(), [("one", 3), ("two", 1)]);
    assert_eq!(table.unused().count(), 0);
    assert_eq!(table.upstreams.values().map(UpstreamConfig::kind).collect::<Vec<_>>(), ["simulator"; 2]);

    let none = linked("", SIMULATED).expect("holds");
    assert!(none.links(&a, Channel::Voice).is_empty());
    assert_eq!(none.unused().map(UpstreamId::as_str).collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn a_link_that_cannot_be_is_named() {
    let both = |sms: &str| format!("voice = [{{ upstream = \"one\" }}]\nsms = [{sms}]");
    let refused = |carrier: &str, upstreams: &str| linked(carrier, upstreams).expect_err("refused");
    let of_links = |sms: &str| refused(&both(sms), SIMULATED);
    assert_eq!(of_links("{ upstream = \"three\" }"), "carrier.a: sms: there is no upstream \"three\"");
    assert!(of_links("{ upstream = \"one\", weight = 0 }").starts_with("carrier.a: sms: upstream one: weight"));
    assert!(of_links("{ upstream = \"one\", weight = 1001 }").contains("from 1 to 1000"));
    assert!(of_links("{ upstream = \"one\" }, { upstream = \"one\" }").contains("one is given twice"));
    assert!(of_links("").starts_with("carrier.a: sms has no link"));
    assert!(of_links("{ upstream = \"one\", wait = 1 }").contains("wait"));
    let voice_only = "price_usd = \"0.022\"\n[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\n\
                      sms = [{ upstream = \"one\" }]\nvoice = [{ upstream = \"one\" }]\n";
    let why = CarrierTable::parse(&format!("{voice_only}{SIMULATED}")).expect_err("refused").to_string();
    assert!(why.starts_with("carrier.a: voice has links"), "{why}");

    assert!(refused("", "[upstream.One]\nkind = \"simulator\"").starts_with("upstream.One: a name"));
    assert!(refused("", "[upstream.one]\nkind = \"pigeon\"").starts_with("upstream.one: kind must be one of"));
    assert!(refused("", "[upstream.one]").starts_with("upstream.one: kind"));
    assert!(
        refused("", "[upstream.one]\nkind = \"simulator\"\nfail_rate = 2.0").starts_with("upstream.one: fail_rate")
    );
    assert!(refused("", "[upstream.one]\nkind = \"simulator\"\ncolour = 1").starts_with("upstream.one: "));
}

#[test]
fn networks_lead_to_carriers_and_belong_to_one() {
    let with = |networks: &str| linked(networks, "[not_served.b]\nprefixes = [\"97\"]\nnetworks = [\"452-07\"]");
    let plan = with("networks = [\"452-04\", \"45206\"]").expect("holds").plan;
    let of = |code| plan.network(NetworkCode::parse(code).expect("valid")).map(|found| found.carrier().as_str());
    assert_eq!(["45204", "452-06", "452-07", "452-01"].map(of), [Some("a"), Some("a"), Some("b"), None]);
    assert!(with("networks = [\"viettel\"]").expect_err("refused").starts_with("a: networks: \"viettel\""));
    assert!(with("networks = [\"452-07\"]").expect_err("refused").contains("another carrier's"));
}

#[test]
fn a_look_up_says_whom_it_asks_and_what_the_answer_means() {
    let with = |look_up: &str| linked("", &format!("[lookup]\n{look_up}"));
    let table = with("url = \"https://hlr.example/{phone_digits}\"\npointer = \"/mccmnc\"\nnames = { V = \"a\" }");
    let look_up = table.expect("holds").look_up.expect("there");
    assert_eq!((look_up.timeout_ms, look_up.in_flight_max), (800, 64));
    let refused = |look_up: &str| with(look_up).expect_err("refused");
    assert!(refused("url = \"https://hlr.example/\"\npointer = \"/x\"").starts_with("lookup: url must hold"));
    assert!(refused("url = \"https://h/{phone}\"\npointer = \"x\"").starts_with("lookup: pointer"));
    assert!(refused("url = \"https://h/{phone}\"\npointer = \"/x\"\ntimeout_ms = 5000").contains("timeout_ms"));
    assert!(refused("url = \"https://h/{phone}\"\npointer = \"/x\"\nin_flight_max = 0").contains("in_flight_max"));
    assert!(refused("url = \"https://h/{phone}\"\npointer = \"/x\"\nnames = { V = \"c\" }").contains("\"c\""));
    let open = refused("url = \"https://h/{phone}\"\npointer = \"/x\"\nbearer = \"hunter2\"");
    assert!(open.contains("{ env = \"NAME\" }"), "{open}");
}

/// The example for operators, with files in the place of the environment.
#[test]
fn the_example_for_operators_holds() {
    let secret = std::env::temp_dir().join(format!("nexo-example-{:016x}", rand::random::<u64>()));
    std::fs::write(&secret, "hunter2").expect("written");
    let text: String = include_str!("../../../config/carriers.example.toml")
        .lines()
        .map(|line| match (line.find("{ env = "), line.find("{ file = ")) {
            (Some(at), _) | (None, Some(at)) if !line.trim_start().starts_with('#') => {
                let end = at + line[at..].find('}').expect("closed") + 1;
                format!("{}{{ file = {secret:?} }}{}\n", &line[..at], &line[end..])
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let table = CarrierTable::parse(&text);
    std::fs::remove_file(&secret).expect("removed");
    let table = table.unwrap_or_else(|error| panic!("{error}"));
    let kinds: Vec<_> = table.upstreams.iter().map(|(id, upstream)| (id.as_str(), upstream.kind())).collect();
    assert_eq!(kinds, [("aggregator", "smpp"), ("tkc", "http"), ("vt_smsc", "smpp")]);
    assert_eq!(table.unused().count(), 0);
    let viettel = Carrier::new("viettel").expect("sane");
    assert_eq!(table.links(&viettel, Channel::Sms)[0].weight, 3);
    assert_eq!(table.look_up.map(|look_up| look_up.timeout_ms), Some(800));
    assert!(!format!("{:?}", table.upstreams).contains("hunter2"), "a secret is printed");
}

#[test]
fn an_smsc_carries_no_voice() {
    let secret = std::env::temp_dir().join(format!("nexo-smsc-{:016x}", rand::random::<u64>()));
    std::fs::write(&secret, "hunter2").expect("written");
    let smsc = format!(
        "[upstream.one]\nkind = \"smpp\"\naddress = \"127.0.0.1:2775\"\nsystem_id = \"n\"\nsender = \"N\"\npassword = {{ file = {secret:?} }}"
    );
    let both = linked("voice = [{ upstream = \"one\" }]\nsms = [{ upstream = \"one\" }]", &smsc);
    std::fs::remove_file(&secret).expect("removed");
    assert_eq!(both.expect_err("refused"), "carrier.a: voice: upstream one is smpp and carries no voice");
    // The secret is gone: the upstream is named, and where the secret should have been.
    let why = linked("", &smsc).expect_err("refused");
    assert!(why.starts_with("upstream.one: cannot read"), "{why}");
}
