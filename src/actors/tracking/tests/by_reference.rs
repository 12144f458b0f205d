//! What carriers call attempts, and receipts that bear only that: in every order, and while the database fails.

use super::*;
use crate::domain::phone::Phone;
use crate::domain::reference::Reference;

const FAILED: ReceiptState = ReceiptState::Failed(FailureClass::Unreachable);

fn phone(text: &str) -> Phone {
    Phone::parse(text).expect("a mobile")
}

fn ours() -> Phone {
    phone("+84981234567")
}

fn forms(references: &[&str]) -> Vec<Reference> {
    references.iter().map(|text| Reference::new(text).expect("sane")).collect()
}

impl House {
    async fn name(&self, number: u8, channel: Channel, references: &[&str]) -> Result<(), NotDurable> {
        let (delivery, upstream) = (id(number), UpstreamId("probe".into()));
        let naming = Naming { upstream, delivery, channel, phone: ours(), references: forms(references), poller: None };
        self.tracking.sink().name(naming).await
    }

    async fn report(&self, reference: &str, to: Option<Phone>, state: ReceiptState) -> Result<(), NotDurable> {
        let subject = Subject::Reference { references: forms(&[reference]), phone: to };
        let (upstream, status) = (UpstreamId("probe".into()), CarrierStatus::clean("word"));
        self.tracking.sink().put(Receipt { upstream, subject, state, status, network: None }).await
    }

    fn parked(&self) -> usize {
        self.script.with(|rows| rows.parked.len())
    }

    fn is_delivered(&self, number: u8) -> bool {
        matches!(self.script.ended(id(number)), Some(End::Delivered { .. }))
    }
}

/// Longer than a look takes to come and to settle what it finds.
async fn a_look() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

#[tokio::test(start_paused = true)]
async fn a_receipt_after_its_name_needs_no_read() {
    let house = House::new().await;
    let delivery = house.watch(1, Channel::Sms, None);
    assert_eq!(house.name(1, Channel::Sms, &["bc6150", "12345680"]).await, Ok(()));
    assert_eq!(house.report("12345680", Some(ours()), ReceiptState::InProgress).await, Ok(()));
    assert_eq!(house.script.ended(delivery), None);
    assert_eq!(house.report("12345680", Some(ours()), ReceiptState::Delivered).await, Ok(()));
    assert!(house.is_delivered(1));
    assert_eq!((house.script.with(|rows| rows.reads), house.parked()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_receipt_before_its_name_waits_for_it() {
    let house = House::new().await;
    house.watch(1, Channel::Sms, None);
    assert_eq!(house.report("ff", None, ReceiptState::Delivered).await, Ok(()), "parked: the link may acknowledge it");
    assert_eq!((house.parked(), house.is_delivered(1)), (1, false));
    let since = Instant::now();
    assert_eq!(house.name(1, Channel::Sms, &["ff"]).await, Ok(()));
    assert!(house.tasks.idle(Duration::from_secs(5)).await);
    assert!(house.is_delivered(1));
    assert_eq!((house.parked(), since.elapsed() < Duration::from_millis(100)), (0, true), "at once");
}

#[tokio::test(start_paused = true)]
async fn a_name_and_a_receipt_that_do_not_see_each_other_are_joined_by_a_look() {
    let house = House::new().await;
    house.script.with(|rows| rows.blind = true);
    let other = House::on(house.script.clone()).await;
    let (named, parked) =
        tokio::join!(house.name(1, Channel::Sms, &["ff"]), other.report("ff", None, ReceiptState::Delivered));
    assert_eq!((named, parked), (Ok(()), Ok(())));
    assert_eq!((house.parked(), house.is_delivered(1)), (1, false));
    a_look().await;
    assert_eq!((house.parked(), house.is_delivered(1)), (0, true));
}

#[tokio::test(start_paused = true)]
async fn any_node_settles_what_any_node_named_and_parked() {
    let house = House::new().await;
    let other = House::on(house.script.clone()).await;
    assert_eq!(house.name(1, Channel::Sms, &["one"]).await, Ok(()));
    assert_eq!(other.report("one", Some(ours()), ReceiptState::Delivered).await, Ok(()));
    assert!(house.is_delivered(1), "named here, reported there");
    assert_eq!(other.report("two", None, FAILED).await, Ok(()));
    assert_eq!(house.name(2, Channel::Sms, &["two"]).await, Ok(()));
    a_look().await;
    assert_eq!(code(house.script.ended(id(2))), Some(FailureCode::Unreachable), "parked there, named here");
    assert_eq!(house.parked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failed_receipt_that_was_parked_falls_back_once() {
    let mut house = House::new().await;
    let delivery = house.watch(1, Channel::Voice, Some('a'));
    for _ in 0..2 {
        assert_eq!(house.report("ff", None, FAILED).await, Ok(()), "and a duplicate");
    }
    assert_eq!(house.name(1, Channel::Voice, &["ff"]).await, Ok(()));
    a_look().await;
    assert_eq!(house.fallbacks.try_recv().ok().as_deref(), Some(&'a'));
    assert_eq!((house.script.ended(delivery), house.parked()), (None, 0));
    // The second channel's attempt bears a name of its own.
    house.watch(1, Channel::Sms, None);
    assert_eq!(house.name(1, Channel::Sms, &["100"]).await, Ok(()));
    assert_eq!(house.report("ff", None, FAILED).await, Ok(()));
    assert_eq!(house.script.ended(delivery), None, "of the first attempt, which nobody awaits any more");
    assert_eq!(house.report("100", None, ReceiptState::Delivered).await, Ok(()));
    assert!(house.is_delivered(1));
}

#[tokio::test(start_paused = true)]
async fn duplicates_and_contradictions_change_nothing_whatever_way_they_come() {
    let house = House::new().await;
    for _ in 0..2 {
        assert_eq!(house.report("ff", None, ReceiptState::Delivered).await, Ok(()));
    }
    assert_eq!(house.name(1, Channel::Sms, &["ff", "255"]).await, Ok(()));
    a_look().await;
    assert_eq!((house.parked(), house.is_delivered(1)), (0, true));
    assert_eq!(house.report("255", None, FAILED).await, Ok(()));
    assert_eq!(house.name(1, Channel::Sms, &["ff", "255"]).await, Ok(()), "named again");
    assert!(house.is_delivered(1));
    assert_eq!(house.script.with(|rows| rows.names.len()), 1);
}

#[tokio::test(start_paused = true)]
async fn the_right_reference_with_a_wrong_phone_is_not_matched() {
    let house = House::new().await;
    let stranger = Some(phone("+84981234568"));
    assert_eq!(house.report("ff", stranger, ReceiptState::Delivered).await, Ok(()), "parked before its name");
    assert_eq!(house.name(1, Channel::Sms, &["ff"]).await, Ok(()));
    assert_eq!(house.report("ff", stranger, ReceiptState::Delivered).await, Ok(()), "parked after it");
    a_look().await;
    assert_eq!((house.script.ended(id(1)), house.parked()), (None, 2));
    assert_eq!(house.report("ff", Some(ours()), ReceiptState::Delivered).await, Ok(()));
    assert!(house.is_delivered(1));
}

#[tokio::test(start_paused = true)]
async fn a_name_waits_for_a_database_that_is_away_longer_than_its_link() {
    let house = House::new().await;
    house.script.with(|rows| rows.book_faults.extend((0..9).map(|_| Fault::Away)));
    assert_eq!(house.name(1, Channel::Sms, &["ff"]).await, Err(NotDurable), "the link tries again, or gives up");
    assert_eq!(house.report("ff", None, ReceiptState::Delivered).await, Ok(()), "remembered, and settled by its shard");
    assert!(house.is_delivered(1));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(house.script.with(|rows| rows.names.len()), 1, "written all the same");
    assert_eq!(house.name(1, Channel::Sms, &["ff"]).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_cannot_be_looked_for_or_parked_stays_with_its_link() {
    let house = House::new().await;
    house.script.with(|rows| rows.book_faults.extend([Fault::Away]));
    assert_eq!(house.report("ff", None, ReceiptState::Delivered).await, Err(NotDurable));
    assert_eq!((house.parked(), house.script.with(|rows| rows.reads)), (0, 1));
    assert_eq!(house.report("ff", None, ReceiptState::Delivered).await, Ok(()));
    assert_eq!(house.parked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_commit_of_a_name_or_a_park_is_repeated() {
    let house = House::new().await;
    for (number, fault) in [(1, Fault::LostAfterCommit), (2, Fault::LostBeforeCommit)] {
        house.script.with(|rows| rows.book_faults.push_back(fault));
        assert_eq!(house.name(number, Channel::Sms, &["ff"]).await, Ok(()));
        assert_eq!(house.script.with(|rows| rows.names.len()), usize::from(number), "once");
    }
    for (number, fault) in [(1, Fault::LostAfterCommit), (2, Fault::LostBeforeCommit)] {
        house.script.with(|rows| rows.book_faults.push_back(fault));
        assert_eq!(house.report("100", None, ReceiptState::Delivered).await, Ok(()));
        assert_eq!(house.parked(), number, "once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_cannot_be_written_holds_up_nobody_else() {
    let house = House::new().await;
    house.script.with(|rows| rows.poison = Some(id(5)));
    let texts: Vec<String> = (0..12).map(|number| format!("ref{number}")).collect();
    let names = (0..12_u8).zip(&texts).map(|(number, text)| {
        let house = &house;
        async move { house.name(number, Channel::Sms, &[text]).await }
    });
    let named = futures_util::future::join_all(names).await;
    for (number, named) in named.into_iter().enumerate() {
        assert_eq!(named, if number == 5 { Err(NotDurable) } else { Ok(()) }, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_shares_its_transactions_and_too_many_are_told_so() {
    let house = House::new().await;
    house.script.with(|rows| rows.book_faults.extend((0..20).map(|_| Fault::Away)));
    let sink = house.tracking.sink();
    let naming = |number: usize| Naming {
        upstream: UpstreamId("probe".into()),
        delivery: DeliveryId::from_bytes(u128::try_from(number).expect("small").to_be_bytes()),
        channel: Channel::Sms,
        phone: ours(),
        references: forms(&[&number.to_string()]),
        poller: None,
    };
    // One batch is under way, the others wait; what is more than that is refused at once.
    let crowd: Vec<_> = (0..references::WAITING_MAX + 64).map(|number| sink.name(naming(number))).collect();
    let since = Instant::now();
    assert_eq!(sink.name(naming(99_999)).await, Err(NotDurable));
    assert!(since.elapsed() < Duration::from_millis(100));
    drop(crowd);
    house.script.with(|rows| rows.book_faults.clear());
    house.tree.stop(Duration::from_secs(60)).await;
    let written = house.script.with(|rows| rows.names.len());
    assert!(written >= references::WAITING_MAX, "a stop waits for what was taken: {written}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_loses_no_receipt_that_was_acknowledged() {
    let house = House::new().await;
    assert_eq!(house.report("ff", None, ReceiptState::Delivered).await, Ok(()));
    assert!(house.tracking.references.cast(references::Message::Panic).is_ok());
    assert_eq!(house.report("ff", None, ReceiptState::Delivered).await, Err(NotDurable), "nobody is alive to take it");
    tokio::time::sleep(Duration::from_secs(1)).await;
    house.script.with(|rows| rows.book_faults.push_back(Fault::Panic));
    assert_eq!(house.name(1, Channel::Sms, &["ff"]).await, Err(NotDurable), "lost with its commit");
    assert_eq!(house.name(1, Channel::Sms, &["ff"]).await, Ok(()));
    a_look().await;
    assert_eq!((house.parked(), house.is_delivered(1)), (0, true));
}
