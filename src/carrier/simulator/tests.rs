//! The simulator as its callers see it, in paused time.

use futures_util::FutureExt;

use super::fate::tests::script;
use super::*;
use crate::carrier::upstream::{NotDurable, Receipt, ReceiptState};
use crate::domain::carrier::Channels;
use crate::domain::code::OtpCode;
use crate::domain::money::MicroUsd;

/// Keeps receipts; refuses the first few and takes a while for each.
#[derive(Debug, Default)]
struct Sink {
    receipts: Arc<Mutex<Vec<(Receipt, Instant)>>>,
    refusals: Mutex<u32>,
    takes: Duration,
    putting: Arc<Mutex<(usize, usize)>>,
}

impl ReceiptSink for Sink {
    fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
        let mut refusals = self.refusals.lock().expect("not poisoned");
        if *refusals > 0 {
            *refusals -= 1;
            return ready(Err(NotDurable)).boxed();
        }
        let (receipts, putting, takes) = (Arc::clone(&self.receipts), Arc::clone(&self.putting), self.takes);
        {
            let mut putting = putting.lock().expect("not poisoned");
            putting.0 += 1;
            putting.1 = putting.1.max(putting.0);
        }
        async move {
            tokio::time::sleep(takes).await;
            putting.lock().expect("not poisoned").0 -= 1;
            receipts.lock().expect("not poisoned").push((receipt, Instant::now()));
            Ok(())
        }
        .boxed()
    }
}

impl Sink {
    /// State and milliseconds since `start` of everything that came.
    fn seen(&self, start: Instant) -> Vec<(ReceiptState, u128)> {
        let receipts = self.receipts.lock().expect("not poisoned");
        receipts.iter().map(|(receipt, at)| (receipt.state, at.duration_since(start).as_millis())).collect()
    }
}

fn simulator(script: SimulatorConfig, sink: &Arc<Sink>) -> (Arc<Simulator>, Witness) {
    let route = Route {
        carrier: Carrier::new("viettel").expect("sane"),
        channels: Channels::from_list(&[Channel::Voice, Channel::Sms]).expect("two"),
        price: MicroUsd::from_micros(22_000),
    };
    let witness = Witness::default();
    let sink: Arc<dyn ReceiptSink> = Arc::clone(sink) as _;
    (Simulator::start(&route, script, sink, Some(witness.clone())), witness)
}

fn attempt(national: u32) -> Attempt {
    let mut id = [0; 16];
    id[12..].copy_from_slice(&national.to_be_bytes());
    Attempt {
        delivery: DeliveryId::from_bytes(id),
        phone: Phone::from_national_number(national).expect("valid"),
        carrier: Carrier::new("viettel").expect("sane"),
        channel: Channel::Voice,
        code: OtpCode::parse("482917").expect("valid"),
        settle_by: Instant::now() + Duration::from_secs(65),
    }
}

const PLAIN: u32 = 981_234_567;

#[tokio::test(start_paused = true)]
async fn a_code_is_acked_and_reported_in_its_time() {
    let sink = Arc::new(Sink::default());
    let (simulator, witness) = simulator(script(), &sink);
    let start = Instant::now();
    assert_eq!(simulator.dispatch(attempt(PLAIN)).await, Outcome::Accepted);
    assert_eq!(start.elapsed().as_millis(), 20);
    assert_eq!(simulator.receipts_waiting(), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let seen = sink.seen(start);
    assert_eq!(seen.len(), 1);
    assert!(seen[0].0 == ReceiptState::Delivered && (1_520..=1_522).contains(&seen[0].1), "{seen:?}");
    assert_eq!(simulator.receipts_waiting(), 0);
    let sighting = witness.sightings()[0];
    assert_eq!((sighting.at, sighting.taken, sighting.channel), (start, true, Channel::Voice));
}

#[tokio::test(start_paused = true)]
async fn without_delays_there_is_nothing_to_wait_for() {
    let sink = Arc::new(Sink::default());
    let immediate = SimulatorConfig { ack_ms: 0, receipt_ms: 0, ..script() };
    let (simulator, _) = simulator(immediate, &sink);
    let start = Instant::now();
    for number in 0..100 {
        let outcome = simulator.dispatch(attempt(PLAIN + number)).now_or_never();
        assert_eq!(outcome, Some(Outcome::Accepted));
    }
    while simulator.receipts_waiting() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(sink.seen(start).len(), 100);
    assert!(start.elapsed() < Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn early_twice_contradictory_and_late_receipts_come_as_the_table_says() {
    for (number, expected) in [
        (3, vec![(ReceiptState::Delivered, 0)]),
        (32, vec![(ReceiptState::Delivered, 1_520), (ReceiptState::Delivered, 1_570)]),
        (31, vec![(ReceiptState::Delivered, 67_000)]),
        (42, vec![]),
    ] {
        let sink = Arc::new(Sink::default());
        let (simulator, _) = simulator(script(), &sink);
        let start = Instant::now();
        let ack = simulator.dispatch(attempt(981_000_000 + number));
        tokio::time::sleep(Duration::from_secs(80)).await;
        drop(ack);
        let seen = sink.seen(start);
        assert_eq!(seen.len(), expected.len(), "{number}");
        for ((state, at), (expected_state, expected_at)) in seen.into_iter().zip(expected) {
            assert!(state == expected_state && (expected_at..expected_at + 3).contains(&at), "{number}: {at} ms");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_is_not_durable_comes_again_later_each_time() {
    let sink = Arc::new(Sink { refusals: Mutex::new(3), ..Sink::default() });
    let (simulator, _) = simulator(SimulatorConfig { receipt_ms: 0, ack_ms: 0, ..script() }, &sink);
    let start = Instant::now();
    assert_eq!(simulator.dispatch(attempt(PLAIN)).await, Outcome::Accepted);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let seen = sink.seen(start);
    assert_eq!(seen.len(), 1);
    assert!((700..=706).contains(&seen[0].1), "100 + 200 + 400 ms: {seen:?}");
}

#[tokio::test(start_paused = true)]
async fn many_receipts_are_put_at_once_and_never_too_many() {
    let sink = Arc::new(Sink { takes: Duration::from_millis(10), ..Sink::default() });
    let (simulator, _) = simulator(SimulatorConfig { ack_ms: 0, receipt_ms: 100, ..script() }, &sink);
    for number in 0..10_000 {
        assert_eq!(simulator.dispatch(attempt(PLAIN + number)).now_or_never(), Some(Outcome::Accepted));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sink.receipts.lock().expect("not poisoned").len(), 10_000);
    assert_eq!(sink.putting.lock().expect("not poisoned").1, 4_096);
}

#[tokio::test(start_paused = true)]
async fn a_script_changes_while_it_runs() {
    let sink = Arc::new(Sink::default());
    let (simulator, witness) = simulator(script(), &sink);
    let mut health = simulator.health();
    simulator.change(|script| script.link_down = true);
    assert!(health.has_changed().expect("the simulator lives"));
    assert_eq!(*health.borrow_and_update(), Health::Down);
    assert!(matches!(simulator.dispatch(attempt(PLAIN)).await, Outcome::NotSent { .. }));
    simulator.change(|script| {
        script.link_down = false;
        script.hang = true;
    });
    assert_eq!(*health.borrow_and_update(), Health::Up);
    assert_eq!(simulator.dispatch(attempt(PLAIN)).now_or_never(), None);
    simulator.change(|script| script.hang = false);
    assert!(!health.has_changed().expect("the simulator lives"));
    assert_eq!(simulator.dispatch(attempt(PLAIN)).await, Outcome::Accepted);
    assert_eq!(witness.sightings().iter().map(|seen| seen.taken).collect::<Vec<_>>(), [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn its_limit_holds_in_any_second() {
    let sink = Arc::new(Sink::default());
    let (simulator, _) = simulator(SimulatorConfig { rate_per_second: 5, ack_ms: 0, ..script() }, &sink);
    assert_eq!(simulator.capabilities().rate_per_second, Some(5));
    let mut taken = 0;
    for number in 0..10 {
        if simulator.dispatch(attempt(PLAIN + number)).await == Outcome::Accepted {
            taken += 1;
        }
    }
    assert_eq!(taken, 5);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(simulator.dispatch(attempt(PLAIN)).await, Outcome::Accepted);
}

#[tokio::test(start_paused = true)]
async fn after_its_shutdown_it_takes_and_reports_nothing() {
    let sink = Arc::new(Sink::default());
    let (simulator, _) = simulator(script(), &sink);
    let start = Instant::now();
    assert_eq!(simulator.dispatch(attempt(PLAIN)).await, Outcome::Accepted);
    simulator.shutdown(Duration::from_secs(1)).await;
    assert!(matches!(simulator.dispatch(attempt(PLAIN)).await, Outcome::NotSent { .. }));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(sink.seen(start), []);
}
