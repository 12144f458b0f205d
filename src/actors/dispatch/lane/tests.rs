//! How many places there are, who gets them, and what is told at the door.

use proptest::prelude::*;

use super::*;

fn account(number: u8) -> AccountId {
    AccountId::from_bytes([number; 16])
}

fn lane(per_second: u32, queue_max: usize) -> Arc<Lane> {
    let speed = Speed::per_second(per_second);
    Arc::new(Lane::new(speed, Duration::from_secs(5), queue_max, Duration::from_secs(2)))
}

#[test]
fn the_speed_bounds_the_queue_and_tells_the_drain_time() {
    let lane = lane(100, 50_000);
    let mut slots = Vec::new();
    while let Ok(slot) = lane.reserve(account(1)) {
        slots.push(slot);
    }
    assert_eq!(slots.len(), 225, "half of 90 % of 500");
    let full = lane.reserve(account(1)).expect_err("its half is taken");
    assert_eq!(full.retry_after, Duration::from_millis(2_250));
    while let Ok(slot) = lane.reserve(account(2)) {
        slots.push(slot);
    }
    assert_eq!(lane.taken(), 450);
    let full = lane.reserve(account(3)).expect_err("all is taken");
    assert_eq!(full.retry_after, Duration::from_millis(4_500));
    lane.promise(Speed::per_second(10));
    let full = lane.reserve(account(3)).expect_err("all is taken");
    assert_eq!(full.retry_after, Duration::from_secs(5), "what waits longer than that is failed");
    slots.truncate(44);
    slots[0].free();
    slots.push(lane.reserve(account(3)).expect("44 of 45 places are taken"));
    lane.promise(Speed::default());
    assert!(lane.reserve(account(4)).is_ok(), "nothing is said of how fast they leave");
    drop(slots);
    assert_eq!(lane.taken(), 0, "what was given back is not given back again");
}

#[test]
fn however_slow_or_fast_it_takes_one_job_and_no_more_than_may_wait() {
    for (speed, places) in [(Speed::per_second(1).shared_by(1_000), 1), (Speed::per_second(u32::MAX), 7)] {
        let lane = lane(1, 7);
        lane.promise(speed);
        let slots: Vec<_> = (0..20).filter_map(|number| lane.reserve(account(number)).ok()).collect();
        assert_eq!(slots.len(), places);
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_lane_says_until_when_and_opens_by_itself() {
    let lane = lane(1_000, 10);
    lane.close(Some(Instant::now() + Duration::from_secs(3)));
    tokio::time::advance(Duration::from_secs(1)).await;
    let closed = lane.reserve(account(1)).expect_err("closed");
    assert_eq!(closed.retry_after, Duration::from_secs(2));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(lane.reserve(account(1)).is_ok());
    lane.close(None);
    assert_eq!(lane.reserve(account(1)).err(), Some(NoRouteNow { retry_after: Duration::from_secs(2) }));
    lane.open();
    assert!(lane.reserve(account(1)).is_ok());
}

proptest! {
    /// Whatever is taken and given back in whatever order, the counters are the slots that are alive.
    #[test]
    fn slots_are_conserved(
        steps in proptest::collection::vec((0..4_u8, 0..3_u8, 0..64_usize), 1..200),
        capacity in 1..20_usize,
    ) {
        let lane = lane(1_000, capacity);
        let mut alive: Vec<(u8, Slot)> = Vec::new();
        for (account_number, action, index) in steps {
            match action {
                0 => {
                    let own = alive.iter().filter(|(owner, _)| *owner == account_number).count();
                    match lane.reserve(account(account_number)) {
                        Ok(slot) => {
                            prop_assert!(alive.len() < capacity);
                            alive.push((account_number, slot));
                        }
                        Err(_) => prop_assert!(alive.len() == capacity || own == capacity.div_ceil(2)),
                    }
                }
                1 if !alive.is_empty() => drop(alive.swap_remove(index % alive.len())),
                _ => {}
            }
            prop_assert_eq!(usize::try_from(lane.taken()).expect("small"), alive.len());
            prop_assert_eq!(lane.by_account.iter().map(|own| *own).sum::<u32>(), lane.taken());
            prop_assert!(lane.by_account.iter().all(|own| *own > 0));
        }
        alive.clear();
        prop_assert!(lane.by_account.is_empty());
    }
}
