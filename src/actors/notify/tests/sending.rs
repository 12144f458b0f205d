//! What is sent, to whom, how much at once, and how it ends.

use super::receivers::{DEADLINE, Manner, QUICK};
use super::*;
use crate::domain::webhook::RetrySchedule;
use crate::records::attempts::EndpointChange;

#[tokio::test(start_paused = true)]
async fn what_is_queued_is_sent_once_and_its_result_is_written() {
    let house = House::new(NO_POLL).await;
    for number in 1..=5 {
        house.tell(endpoint(number), 30);
    }
    pass(500).await;
    for number in 1..=5 {
        let endpoint = endpoint(number);
        assert_eq!((house.script.posts(endpoint), house.accepted(endpoint)), (30, 30));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_delays_no_other() {
    let house = House::new(NO_POLL).await;
    let (dead, alive) = (endpoint(1), endpoint(2));
    house.behave(dead, Manner::Hangs);
    house.tell(dead, 1_000);
    pass(10).await;
    house.tell(alive, 100);
    pass(400).await;
    assert_eq!(house.accepted(alive), 100);
    assert_eq!((house.script.posts(dead), house.failed(dead)), (8, 0), "it still hangs");
    pass(60_000).await;
    let tried = house.script.posts(dead);
    assert!((12..=24).contains(&tried), "one at a time: {tried}");
    // It answers again, and gets what waited, faster and faster.
    house.behave(dead, QUICK);
    pass(6_000).await;
    assert_eq!(house.script.posts(dead), 1_000);
    assert_eq!(house.accepted(dead) + house.failed(dead), 1_000);
}

#[tokio::test(start_paused = true)]
async fn all_dead_endpoints_together_leave_half() {
    let house = House::new(NO_POLL).await;
    let dead = |number: u8| endpoint(100 + number);
    for number in 0..100 {
        house.behave(dead(number), Manner::Hangs);
        house.tell(dead(number), 50);
    }
    // As long as nobody knows that they are dead they may take all; it is known after one deadline.
    tokio::time::sleep(DEADLINE * 30).await;
    let hanging: usize = house.script.with(|world| world.in_flight.values().sum());
    assert!((1..=POSTS_MAX / 2).contains(&hanging), "{hanging} hang");
    for number in 1..=3 {
        house.tell(endpoint(number), 40);
    }
    pass(400).await;
    for number in 1..=3 {
        assert_eq!(house.accepted(endpoint(number)), 40);
    }
}

#[tokio::test(start_paused = true)]
async fn no_endpoint_has_more_at_once_than_it_may() {
    let house = House::new(NO_POLL).await;
    house.behave(endpoint(1), Manner::Answers(200, Duration::from_millis(50)));
    house.tell(endpoint(1), 300);
    pass(5_000).await;
    assert_eq!(house.accepted(endpoint(1)), 300);
    let most = house.script.with(|world| (world.most_in_flight[&endpoint(1)], world.opened));
    assert_eq!(most, (PER_ENDPOINT, PER_ENDPOINT), "at once, and connections: they are kept");
}

#[tokio::test(start_paused = true)]
async fn a_wake_during_a_claim_is_not_lost() {
    let house = House::new(NO_POLL).await;
    house.script.with(|world| world.claim_takes = Duration::from_secs(1));
    house.tell(endpoint(1), 1);
    pass(500).await;
    assert_eq!(house.script.with(|world| (world.claims.len(), world.posts.len())), (1, 0), "it is under way");
    house.tell(endpoint(1), 1);
    pass(600).await;
    assert_eq!(house.accepted(endpoint(1)), 2);
}

#[tokio::test(start_paused = true)]
async fn the_poll_finds_what_nobody_tells_of() {
    let house = House::new(POLL).await;
    for number in 1..=10 {
        house.queue(endpoint(number), 2);
    }
    pass(1_200).await;
    for number in 1..=10 {
        assert_eq!(house.accepted(endpoint(number)), 2, "{number}");
    }
    // Also while one endpoint keeps the claims busy.
    house.behave(endpoint(1), Manner::Answers(200, Duration::from_millis(1)));
    house.tell(endpoint(1), 100_000);
    house.queue(endpoint(2), 1);
    pass(1_200).await;
    assert_eq!(house.accepted(endpoint(2)), 3);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_sent_again_only_by_a_schedule() {
    let house = House::new(NO_POLL).await;
    let (never, twice, patient) = (endpoint(1), endpoint(2), endpoint(3));
    let schedule = RetrySchedule::parse("10s,5m").expect("valid");
    for (endpoint, manner) in [
        (never, Manner::Answers(500, Duration::ZERO)),
        (twice, Manner::Answers(500, Duration::ZERO)),
        (patient, Manner::AsksToWait(Duration::from_secs(90))),
    ] {
        house.behave(endpoint, manner);
        if endpoint != never {
            house.script.with(|world| world.schedules.insert(endpoint, schedule.clone()));
        }
        house.tell(endpoint, 1);
    }
    pass(100).await;
    let result = |endpoint| house.script.results(endpoint, Outcome::Failed).remove(0);
    assert_eq!((result(never).retry, result(never).endpoint_change), (None, EndpointChange::None));
    let wait = result(twice).retry.expect("there is one");
    assert!(wait >= Duration::from_secs(8) && wait <= Duration::from_secs(12), "{wait:?}");
    assert_eq!(result(twice).endpoint_change, EndpointChange::Failing);
    assert_eq!(result(patient).retry, Some(Duration::from_secs(90)));
    assert_eq!(house.script.with(|world| world.posts.len()), 3, "nothing is sent again from memory");
}

#[tokio::test(start_paused = true)]
async fn what_is_written_says_how_the_endpoint_is() {
    let house = House::new(NO_POLL).await;
    let schedule = RetrySchedule::parse("10s").expect("valid");
    for (number, status, outcome, expected) in [
        (1, 410, Outcome::Failed, EndpointChange::Gone),
        (2, 500, Outcome::Failed, EndpointChange::Failing),
        (3, 204, Outcome::Accepted, EndpointChange::Working),
    ] {
        let endpoint = endpoint(number);
        house.script.with(|world| world.schedules.insert(endpoint, schedule.clone()));
        house.behave(endpoint, Manner::Answers(status, Duration::ZERO));
        house.tell(endpoint, 1);
        pass(100).await;
        let result = house.script.results(endpoint, outcome).remove(0);
        assert_eq!((result.endpoint_change, result.retry.is_some()), (expected, status == 500), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_is_under_way_and_claims_nothing_more() {
    let house = House::new(POLL).await;
    let slow = endpoint(1);
    house.behave(slow, Manner::Answers(200, Duration::from_secs(3)));
    house.tell(slow, 50);
    pass(100).await;
    house.script.with(|world| world.result_troubles.extend((0..3).map(|_| script::Trouble::Away)));
    house.script.with(|world| world.claim_takes = Duration::from_secs(2));
    house.tell(endpoint(2), 1);
    pass(100).await;
    let (under_way, claims) = (house.script.posts(slow), house.script.with(|world| world.claims.len()));
    assert!(under_way > 0 && house.accepted(slow) == 0);
    house.tree.stop(Duration::from_secs(20)).await;
    assert_eq!((house.script.posts(slow), house.accepted(slow)), (under_way, under_way));
    assert_eq!(house.accepted(endpoint(2)), 1, "the claim that was under way is sent too");
    assert_eq!(house.script.with(|world| world.claims.len()), claims);
    assert!(house.tasks.idle(Duration::from_secs(1)).await);
}
