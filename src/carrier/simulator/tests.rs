//! What the simulator promises: the table, the dice, the link, and receipts that are reported until they are durable.

use std::collections::HashMap;
use std::sync::Mutex;

use super::*;
use crate::carrier::upstream::{FailureClass, Naming, NotDurable, Receipt, ReceiptState};
use crate::domain::carrier::Carrier;
use crate::domain::code::OtpCode;

/// Keeps what it is given; refuses the first `refusals`.
#[derive(Debug, Default)]
struct Mailbox {
    got: Mutex<Vec<Receipt>>,
    refusals: AtomicUsize,
}

impl ReceiptSink for Mailbox {
    fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
        let refused =
            self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if !refused {
            self.got.lock().expect("not poisoned").push(receipt);
        }
        future::ready(if refused { Err(NotDurable) } else { Ok(()) }).boxed()
    }

    fn name(&self, naming: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
        panic!("a simulated carrier echoes our ids: {naming:?}")
    }
}

fn phone(text: &str) -> Phone {
    Phone::parse(text).expect("valid")
}

fn attempt(phone: Phone, channel: Channel) -> Attempt {
    Attempt {
        delivery: DeliveryId::from_bytes(rand::random()),
        phone,
        carrier: Carrier::new("viettel").expect("valid"),
        channel,
        code: OtpCode::parse("123456").expect("valid"),
        leave_by: Instant::now() + Duration::from_secs(5),
        settle_by: Instant::now() + Duration::from_secs(65),
    }
}

fn start(script: Script) -> (Simulator, Arc<Mailbox>) {
    let mailbox = Arc::new(Mailbox::default());
    (Simulator::start("sim", script, Arc::clone(&mailbox) as Arc<dyn ReceiptSink>, None), mailbox)
}

/// Lets paused time run far enough for every receipt.
async fn settle_down() {
    tokio::time::sleep(Duration::from_secs(200)).await;
}

fn states(mailbox: &Mailbox) -> Vec<ReceiptState> {
    mailbox.got.lock().expect("not poisoned").iter().map(|receipt| receipt.state).collect()
}

#[tokio::test(start_paused = true)]
async fn a_forced_number_does_what_the_table_says() {
    use ReceiptState::{Delivered, Failed, InProgress};
    let accepted = Outcome::Accepted;
    let refused =
        Outcome::Refused { class: FailureClass::Unreachable, status: CarrierStatus::clean("no route to subscriber") };
    let ambiguous = Outcome::Ambiguous { status: CarrierStatus::clean("connection lost") };
    for (number, channel, outcome, receipts) in [
        (0, Channel::Voice, accepted.clone(), vec![Delivered]),
        (2, Channel::Voice, accepted.clone(), vec![Failed(FailureClass::Unreachable)]),
        (3, Channel::Sms, accepted.clone(), vec![Failed(FailureClass::InvalidNumber)]),
        (6, Channel::Voice, refused.clone(), vec![]),
        (6, Channel::Sms, accepted.clone(), vec![Delivered]),
        (7, Channel::Sms, refused.clone(), vec![]),
        (8, Channel::Voice, Outcome::PerPhone { retry_after: Duration::from_secs(17) }, vec![]),
        (9, Channel::Voice, accepted.clone(), vec![]),
        (10, Channel::Voice, accepted.clone(), vec![Delivered, Delivered]),
        (11, Channel::Voice, accepted.clone(), vec![Delivered, Failed(FailureClass::Unreachable)]),
        (12, Channel::Voice, accepted.clone(), vec![Delivered]),
        (13, Channel::Voice, ambiguous.clone(), vec![Delivered]),
        (14, Channel::Voice, ambiguous.clone(), vec![]),
        (16, Channel::Voice, accepted.clone(), vec![Delivered]),
        (18, Channel::Voice, accepted.clone(), vec![Failed(FailureClass::Unreachable)]),
        (18, Channel::Sms, accepted.clone(), vec![Delivered]),
        (19, Channel::Sms, Outcome::NotSent { status: CarrierStatus::clean("link closed") }, vec![]),
        (20, Channel::Voice, refused.clone(), vec![]),
        (21, Channel::Voice, accepted.clone(), vec![InProgress, Delivered]),
        (22, Channel::Voice, Outcome::NotSent { status: CarrierStatus::clean("link closed") }, vec![]),
        (22, Channel::Sms, accepted.clone(), vec![Delivered]),
        (23, Channel::Voice, refused.clone(), vec![]),
        (23, Channel::Sms, Outcome::PerPhone { retry_after: Duration::from_secs(17) }, vec![]),
        (24, Channel::Voice, accepted.clone(), vec![Failed(FailureClass::Unreachable), Delivered]),
        (26, Channel::Voice, ambiguous, vec![Failed(FailureClass::Unreachable)]),
        (26, Channel::Sms, accepted, vec![Delivered]),
    ] {
        let (simulator, mailbox) = start(Script { fail_rate: 1.0, ..Script::default() });
        let phone = phone(&format!("+849810000{number:02}"));
        assert_eq!(simulator.dispatch(attempt(phone, channel)).await, outcome, "{number:02}");
        settle_down().await;
        assert_eq!(states(&mailbox), receipts, "{number:02}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_carrier_never_answers_and_is_counted_in_flight() {
    let (simulator, _mailbox) = start(Script { in_flight_max: 1, ..Script::default() });
    let hanging = simulator.dispatch(attempt(phone("+84981000015"), Channel::Voice));
    let second = simulator.dispatch(attempt(phone("+84981234567"), Channel::Voice)).await;
    assert_eq!(second, Outcome::NotSent { status: CarrierStatus::clean("window full") });
    let answer = tokio::time::timeout(Duration::from_secs(3_600), hanging).await;
    assert!(answer.is_err(), "{answer:?}");
    let third = simulator.dispatch(attempt(phone("+84981234567"), Channel::Voice)).await;
    assert_eq!(third, Outcome::Accepted, "the abandoned one gave its place back");
}

#[tokio::test(start_paused = true)]
async fn a_number_may_be_reported_without_an_answer_or_break_the_link() {
    let (simulator, mailbox) = start(Script::default());
    let unanswered = simulator.dispatch(attempt(phone("+84981000025"), Channel::Voice));
    settle_down().await;
    assert_eq!(states(&mailbox), [ReceiptState::Delivered]);
    assert_eq!(unanswered.now_or_never(), None);
    let attempt = attempt(phone("+84981000027"), Channel::Voice);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulator.dispatch(attempt))).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_script_changes_while_it_runs() {
    let (simulator, mailbox) = start(Script::default());
    simulator.controls().set_script(Script { refuse_rate: 1.0, ..Script::default() });
    let refused = simulator.dispatch(attempt(phone("+84981234567"), Channel::Voice)).await;
    assert!(matches!(refused, Outcome::Refused { .. }));
    simulator.controls().set_script(Script { lose_receipt_rate: 1.0, ..Script::default() });
    let accepted = simulator.dispatch(attempt(phone("+84981234567"), Channel::Voice)).await;
    assert_eq!(accepted, Outcome::Accepted);
    settle_down().await;
    assert_eq!(states(&mailbox), []);
}

/// A sink that takes ten milliseconds for each receipt, many at once.
#[derive(Debug, Default)]
struct SlowSink {
    taken: Arc<AtomicUsize>,
    /// At once now, and at most so far.
    at_once: Arc<Mutex<(usize, usize)>>,
}

impl ReceiptSink for SlowSink {
    fn put(&self, _receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
        let (taken, at_once) = (Arc::clone(&self.taken), Arc::clone(&self.at_once));
        {
            let mut at_once = at_once.lock().expect("not poisoned");
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            at_once.lock().expect("not poisoned").0 -= 1;
            taken.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        .boxed()
    }

    fn name(&self, naming: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
        panic!("a simulated carrier echoes our ids: {naming:?}")
    }
}

#[tokio::test(start_paused = true)]
async fn many_receipts_are_reported_at_once_and_never_too_many() {
    let sink = Arc::new(SlowSink::default());
    let receipt = Delay { base: Duration::from_millis(100), jitter: Duration::ZERO };
    let script = Script { receipt, ..Script::default() };
    let simulator = Simulator::start("sim", script, Arc::clone(&sink) as Arc<dyn ReceiptSink>, None);
    for n in 0..10_000 {
        let phone = phone(&format!("+8498{:07}", 1_100_000 + n));
        let outcome = simulator.dispatch(attempt(phone, Channel::Voice)).now_or_never();
        assert_eq!(outcome, Some(Outcome::Accepted), "without a delay there is nothing to wait for");
    }
    assert_eq!(simulator.receipts_waiting(), 10_000);
    tokio::time::sleep(Duration::from_millis(105)).await;
    assert_eq!(simulator.receipts_waiting(), 10_000, "on its way is not durable");
    settle_down().await;
    assert_eq!(sink.taken.load(Ordering::Relaxed), 10_000);
    assert_eq!(sink.at_once.lock().expect("not poisoned").1, 4_096);
    assert_eq!(simulator.receipts_waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_dice_fall_the_same_way_for_one_seed_and_near_the_rates() {
    let script = Script { refuse_rate: 0.1, fail_rate: 0.2, lose_receipt_rate: 0.05, ..Script::default() };
    let settle_by = Instant::now() + Duration::from_secs(65);
    let run = |seed| -> Vec<Plan> {
        let script = Script { seed, ..script.clone() };
        (0..10_000)
            .map(|n| plan(&script, phone(&format!("+8498{:07}", 1_100_000 + n)), Channel::Voice, settle_by))
            .collect()
    };
    let (one, again, other) = (run(1), run(1), run(2));
    assert_eq!(one, again);
    assert_ne!(one, other);
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for plan in &one {
        let kind = match (&plan.ack, plan.receipts[0].map(|receipt| receipt.state)) {
            (Ack::After(_, Outcome::Refused { .. }), _) => "refused",
            (_, None) => "lost",
            (_, Some(ReceiptState::Delivered)) => "delivered",
            _ => "failed",
        };
        *counts.entry(kind).or_default() += 1;
    }
    // Six standard deviations of each share.
    for (kind, share, spread) in [("refused", 1_000, 180), ("failed", 1_710, 226), ("lost", 450, 125)] {
        assert!(counts[kind].abs_diff(share) < spread, "{kind}: {} of {share}", counts[kind]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_is_reported_until_it_is_durable() {
    let (simulator, mailbox) = start(Script::default());
    mailbox.refusals.store(3, Ordering::Relaxed);
    assert_eq!(simulator.dispatch(attempt(phone("+84981000000"), Channel::Voice)).await, Outcome::Accepted);
    settle_down().await;
    assert_eq!(states(&mailbox), [ReceiptState::Delivered]);
    assert_eq!(simulator.receipts_waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_link_goes_down_and_comes_back_while_it_runs() {
    let (simulator, _mailbox) = start(Script::default());
    let health = simulator.health();
    simulator.controls().set_link(Health::Down);
    assert_eq!(*health.borrow(), Health::Down);
    let refused = simulator.dispatch(attempt(phone("+84981000000"), Channel::Voice)).await;
    assert_eq!(refused, Outcome::NotSent { status: CarrierStatus::clean("link down") });
    simulator.controls().set_link(Health::Up);
    assert_eq!(simulator.dispatch(attempt(phone("+84981000000"), Channel::Voice)).await, Outcome::Accepted);
    simulator.shutdown(Duration::from_secs(1)).await;
    assert_eq!(*health.borrow(), Health::Down);
}

#[tokio::test(start_paused = true)]
async fn what_comes_faster_than_the_carriers_limit_is_thrown_back() {
    let limit = std::num::NonZeroU32::new(10);
    let (simulator, _mailbox) = start(Script { rate_per_second: limit, ..Script::default() });
    assert_eq!(simulator.capabilities().rate_per_second, Some(10));
    let mut thrown_back = 0;
    for n in 0..100 {
        let phone = phone(&format!("+8498{:07}", 1_100_000 + n));
        let outcome = simulator.dispatch(attempt(phone, Channel::Voice)).await;
        thrown_back += usize::from(outcome != Outcome::Accepted);
    }
    assert_eq!(thrown_back, 90);
    tokio::time::advance(Duration::from_secs(1)).await;
    let outcome = simulator.dispatch(attempt(phone("+84981234567"), Channel::Voice)).await;
    assert_eq!(outcome, Outcome::Accepted);
}
