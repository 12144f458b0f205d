//! The table of forced outcomes, row by row, and the shares of the random ones.

use super::*;

pub(in crate::carrier::simulator) fn script() -> SimulatorConfig {
    SimulatorConfig {
        seed: 7,
        ack_ms: 20,
        ack_jitter_ms: 0,
        receipt_ms: 1_500,
        receipt_jitter_ms: 0,
        refuse_rate: 0.0,
        fail_rate: 0.0,
        lose_receipt_rate: 0.0,
        duplicate_receipt_rate: 0.0,
        late_receipt_rate: 0.0,
        rate_per_second: 0,
        in_flight_max: 10_000,
        link_down: false,
        hang: false,
    }
}

const TO_SETTLE: Duration = Duration::from_secs(65);

fn fate(script: &SimulatorConfig, national: u32, channel: Channel) -> Fate {
    let carrier = Carrier::new("viettel").expect("sane");
    let phone = Phone::from_national_number(national).expect("valid");
    decide(script, &carrier, Channel::Voice, phone, channel, TO_SETTLE)
}

/// One letter per word: what the ack says, then each receipt.
fn word(fate: &Fate) -> String {
    let ack = match &fate.ack {
        Ack::After(_, Outcome::Accepted) => "accepted",
        Ack::After(_, Outcome::NotSent { .. }) => "not sent",
        Ack::After(_, Outcome::Refused { .. }) => "refused",
        Ack::After(_, Outcome::PerPhone { .. }) => "per phone",
        Ack::After(_, Outcome::Ambiguous { .. }) => "ambiguous",
        Ack::Never => "silent",
        Ack::Panics => "panics",
    };
    let receipts = fate.receipts.iter().flatten().map(|later| match later.state {
        ReceiptState::InProgress => " +progress".to_owned(),
        ReceiptState::Delivered => " +delivered".to_owned(),
        ReceiptState::Failed(class) => format!(" +{class:?}"),
    });
    std::iter::once(ack.to_owned()).chain(receipts).collect()
}

#[test]
fn a_number_forces_its_row_of_the_table() {
    for (number, first, other) in [
        (0, "accepted +delivered", ""),
        (1, "accepted +delivered", ""),
        (2, "accepted +progress +delivered", ""),
        (3, "accepted +delivered", ""),
        (4, "accepted +delivered", ""),
        (5, "accepted +delivered", ""),
        (10, "accepted +Unreachable", ""),
        (11, "accepted +InvalidNumber", ""),
        (12, "accepted +Rejected", ""),
        (13, "accepted +Congestion", ""),
        (14, "accepted +Misconfigured", ""),
        (15, "accepted +Expired", ""),
        (16, "accepted +Unreachable", "accepted +delivered"),
        (20, "refused", "accepted +delivered"),
        (21, "refused", ""),
        (22, "not sent", "accepted +delivered"),
        (23, "not sent", ""),
        (24, "per phone", ""),
        (25, "refused", "per phone"),
        (30, "accepted", ""),
        (31, "accepted +delivered", ""),
        (32, "accepted +delivered +delivered", ""),
        (33, "accepted +delivered +Unreachable", ""),
        (34, "accepted +Unreachable +delivered", ""),
        (40, "ambiguous +delivered", ""),
        (41, "ambiguous", ""),
        (42, "silent", ""),
        (43, "silent +delivered", ""),
        (44, "ambiguous +Unreachable", "accepted +delivered"),
        (45, "panics", ""),
    ] {
        let other = if other.is_empty() { first } else { other };
        assert_eq!(word(&fate(&script(), 981_000_000 + number, Channel::Voice)), first, "{number}");
        assert_eq!(word(&fate(&script(), 981_000_000 + number, Channel::Sms)), other, "{number}");
        let row = format!("//! | `{number:02}` |");
        assert!(include_str!("../fate.rs").contains(&row), "{number} is in the table");
    }
}

#[test]
fn a_row_that_is_not_in_the_table_is_random() {
    let refuses = SimulatorConfig { refuse_rate: 1.0, ..script() };
    assert_eq!(word(&fate(&refuses, 981_000_099, Channel::Voice)), "refused");
    assert_eq!(word(&fate(&refuses, 981_000_000, Channel::Voice)), "accepted +delivered", "forced wins");
    assert_eq!(word(&fate(&refuses, 981_010_000, Channel::Voice)), "refused", "six digits, not four");
}

#[test]
fn forced_times_keep_their_order() {
    let after = |number: u32| {
        let Fate { ack, receipts } = fate(&script(), 981_000_000 + number, Channel::Voice);
        let Ack::After(ack, _) = ack else { panic!("{number} is acked") };
        (ack, receipts[0].expect("a receipt").after)
    };
    let ms = Duration::from_millis;
    assert_eq!(after(0), (ms(20), ms(1_520)));
    assert_eq!(after(1), (ms(20), TO_SETTLE / 2));
    assert_eq!(after(3), (ms(300), Duration::ZERO));
    assert_eq!(after(4), (ms(1_000), ms(2_520)));
    assert_eq!(after(5), (ms(4_000), ms(5_520)));
    assert!(after(31).1 > TO_SETTLE);
}

#[test]
fn the_seed_the_phone_and_the_channel_decide_and_nothing_else() {
    let mixed = SimulatorConfig {
        refuse_rate: 0.3,
        fail_rate: 0.3,
        lose_receipt_rate: 0.3,
        ack_jitter_ms: 100,
        receipt_jitter_ms: 1_000,
        ..script()
    };
    let reseeded = SimulatorConfig { seed: 8, ..mixed.clone() };
    let run = |script: &SimulatorConfig, channel| {
        (0..200).map(|number| fate(script, 981_234_000 + number, channel)).collect::<Vec<_>>()
    };
    assert_eq!(run(&mixed, Channel::Voice), run(&mixed, Channel::Voice));
    assert_ne!(run(&mixed, Channel::Voice), run(&mixed, Channel::Sms));
    assert_ne!(run(&mixed, Channel::Voice), run(&reseeded, Channel::Voice));
}

#[test]
fn shares_are_kept() {
    let share = |script: &SimulatorConfig, word_of_it: &str| {
        let all = (0..20_000).map(|number| word(&fate(script, 981_200_000 + number, Channel::Voice)));
        all.filter(|word| word.contains(word_of_it)).count()
    };
    let near = |count: usize, expected: usize| assert!(count.abs_diff(expected) < 400, "{count}, not {expected}");
    near(share(&SimulatorConfig { refuse_rate: 0.1, ..script() }, "refused"), 2_000);
    near(share(&SimulatorConfig { fail_rate: 0.2, ..script() }, "+delivered"), 16_000);
    near(share(&SimulatorConfig { lose_receipt_rate: 0.25, ..script() }, "+"), 15_000);
    near(share(&SimulatorConfig { duplicate_receipt_rate: 0.05, ..script() }, "+delivered +delivered"), 1_000);
    assert_eq!(share(&script(), "accepted +delivered"), 20_000, "all delivered by default");
    assert_eq!(share(&SimulatorConfig { refuse_rate: 1.0, ..script() }, "refused"), 20_000);
}

#[test]
fn jitter_stays_in_its_bounds() {
    let jittery = SimulatorConfig { ack_jitter_ms: 30, receipt_jitter_ms: 500, ..script() };
    for number in 0..1_000 {
        let Fate { ack, receipts } = fate(&jittery, 981_200_000 + number, Channel::Sms);
        let Ack::After(ack, Outcome::Accepted) = ack else { panic!("accepted") };
        let receipt = receipts[0].expect("a receipt").after - ack;
        assert!((20..=50).contains(&ack.as_millis()) && (1_500..=2_000).contains(&receipt.as_millis()));
    }
}
