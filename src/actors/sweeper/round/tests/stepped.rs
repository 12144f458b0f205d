//! Rounds on a machine whose clock is stepped.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::*;
use crate::clock::{HOLD, wall_now};
use crate::config::SecretFiles;
use crate::records::house_clock;

/// A machine whose wall clock is stepped, and whose uptime is pushed on.
#[derive(Debug, Default)]
pub(super) struct Stepped {
    step_us: AtomicI64,
    uptime_us: AtomicU64,
    origin: OnceLock<Instant>,
}

impl Machine for Stepped {
    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(wall_now().micros() + self.step_us.load(Ordering::Relaxed))
    }

    fn uptime(&self) -> Duration {
        let origin = self.origin.get_or_init(Instant::now);
        origin.elapsed() + Duration::from_micros(self.uptime_us.load(Ordering::Relaxed))
    }
}

impl Stepped {
    fn step(&self, secs: i64) {
        self.step_us.fetch_add(secs * 1_000_000, Ordering::Relaxed);
    }

    /// Lets time pass, on both clocks.
    fn pass(&self, time: Duration) {
        self.uptime_us.fetch_add(u64::try_from(time.as_micros()).expect("short"), Ordering::Relaxed);
        self.step(i64::try_from(time.as_secs()).expect("short"));
    }
}

/// What the rows hold of the house's time.
async fn mark(store: &Store) -> Timestamp {
    store.read(|tx| Box::pin(house_clock::read(tx))).await.expect("reads").mark
}

#[tokio::test]
async fn a_step_forward_ends_drops_and_marks_nothing_for_five_minutes() {
    let mut scratch = Scratch::new().await;
    let account = scratch.account().await;
    scratch.accept(account, 0..1, Duration::ZERO).await;
    scratch.a_moment_later().await;
    scratch.rounds.run().await.expect("a round");
    // In flight, and old enough to be folded by a clock that is ten minutes ahead.
    scratch.accept(account, 1..3, Duration::from_secs(120)).await;
    let (paid, watermark, marked) =
        (scratch.spendable(account).await, scratch.watermark().await, mark(&scratch.store).await);
    scratch.machine.step(600);
    scratch.rounds.housekeeping = Housekeeping::new(&CONFIG, Duration::ZERO, Duration::from_secs(65), &scratch.store);
    for _ in 0..3 {
        assert_eq!(scratch.rounds.run().await, Ok(true));
        assert_eq!(scratch.spendable(account).await, paid);
        assert_eq!((scratch.watermark().await, mark(&scratch.store).await), (watermark, marked));
    }
    // A node that starts now has not seen the step, and is told.
    let other = DatabaseClock::unset(Arc::clone(&scratch.machine) as Arc<dyn Machine>);
    let url = format!("sqlite:{}/db", scratch.directory.display());
    let other = Store::open_on(&Handle::current(), &url, 1, SecretFiles::default(), other).expect("opens");
    house_clock::begin(&other).await.expect("reads");
    assert!(other.clock().held().is_some());

    scratch.machine.pass(HOLD);
    while scratch.rounds.run().await == Ok(false) {}
    assert_eq!(scratch.spendable(account).await, Some(MicroUsd::from_micros(5_000_000)), "then all of it ends");
    assert!(scratch.watermark().await > watermark && mark(&scratch.store).await > marked);
}

#[tokio::test]
async fn after_a_step_the_walk_over_all_deliveries_goes_through_in_slices() {
    let mut scratch = Scratch::new().await;
    let account = scratch.account().await;
    let now = scratch.store.ping().await.expect("answers");
    let ids: Vec<DeliveryId> = (0..1_000).map(|_| DeliveryId::new(now, rand::random())).collect();
    let writes = scratch.store.write(move |tx| {
        let ids = ids.clone();
        Box::pin(async move { pruning::planted::ended(tx, account, &ids).await })
    });
    assert_eq!(writes.await, Ok(1_000));
    // Nothing is folded meanwhile.
    scratch.rounds.housekeeping = Housekeeping::new(
        &SweeperConfig { keep_deliveries_days: 9, ..CONFIG },
        Duration::ZERO,
        Duration::from_secs(65),
        &scratch.store,
    );
    scratch.rounds.slice_rows = 100;
    assert_eq!(scratch.rounds.run().await, Ok(true), "in peace a slice a round is enough");
    assert!(scratch.rounds.patrol > FIRST);
    scratch.machine.step(-3_600);
    let mut rounds = 1;
    while !scratch.rounds.run().await.expect("a round") {
        rounds += 1;
    }
    assert_eq!(rounds, 11, "from the beginning, a slice a round, and the last one finds the end");
    assert_eq!(scratch.rounds.patrol, FIRST);
}
