//! The table that is compiled in, and what an operator may get wrong in another one.

use super::*;

#[test]
fn the_built_in_table_is_that_of_the_contract() {
    let table = CarrierTable::parse(BUILT_IN).expect("valid");
    let of = |text: &str| {
        let route = table.plan.route(Phone::parse(text).expect("valid")).cloned().expect("served");
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
