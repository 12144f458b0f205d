//! What goes wrong around the desk, and what must not follow from it.

use super::receivers::{Manner, QUICK};
use super::script::Trouble;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_claim_of_unknown_outcome_is_never_sent() {
    let house = House::new(NO_POLL).await;
    let (committed, lost) = (endpoint(1), endpoint(2));
    house.script.with(|world| world.claim_troubles.push_back(Trouble::LostAfterCommit));
    house.tell(committed, 3);
    pass(2_000).await;
    assert_eq!(house.script.with(|world| world.attempts.len()), 3, "they are written down");
    assert_eq!((house.script.posts(committed), house.accepted(committed)), (0, 0), "and stay without a result");
    house.script.with(|world| world.claim_troubles.push_back(Trouble::LostBeforeCommit));
    house.tell(lost, 3);
    pass(2_000).await;
    assert_eq!((house.script.posts(lost), house.accepted(lost)), (3, 3), "they were still in the outbox");
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_loses_nothing() {
    let house = House::new(NO_POLL).await;
    house.script.with(|world| {
        world.claim_troubles.extend((0..5).map(|_| Trouble::Away));
        world.result_troubles.extend((0..8).map(|_| Trouble::Away));
        world.result_troubles.extend([Trouble::LostAfterCommit, Trouble::LostBeforeCommit]);
    });
    house.tell(endpoint(1), 25);
    pass(20_000).await;
    assert_eq!((house.script.posts(endpoint(1)), house.accepted(endpoint(1))), (25, 25));
    let claims = house.script.with(|world| world.claims.len());
    assert!(claims < 15, "it is not hammered: {claims} claims");
}

#[tokio::test(start_paused = true)]
async fn a_post_that_panics_frees_its_slot() {
    let house = House::new(NO_POLL).await;
    house.behave(endpoint(1), Manner::Panics);
    house.tell(endpoint(1), 30);
    pass(500).await;
    assert_eq!((house.script.posts(endpoint(1)), house.script.with(|world| world.results.len())), (30, 0));
    house.behave(endpoint(1), QUICK);
    house.tell(endpoint(1), 10);
    pass(500).await;
    assert_eq!(house.accepted(endpoint(1)), 10);
    house.tree.stop(Duration::from_secs(5)).await;
    assert!(house.tree.ended(), "nothing is waited for that never comes");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_claimed_holds_up_nobody_else() {
    let house = House::new(NO_POLL).await;
    let stuck = endpoint(4);
    house.script.with(|world| world.unclaimable = Some(stuck));
    for number in 1..=8 {
        house.queue(endpoint(number), 5);
    }
    house.notify.wake((1..=8).map(endpoint).collect());
    pass(1_000).await;
    for number in (1..=8).filter(|number| *number != 4) {
        assert_eq!(house.accepted(endpoint(number)), 5, "{number}");
    }
    let claims = house.script.with(|world| world.claims.len());
    pass(50_000).await;
    assert_eq!(house.script.with(|world| world.claims.len()), claims, "it rests");
    house.script.with(|world| world.unclaimable = None);
    pass(20_000).await;
    house.notify.wake(vec![stuck]);
    pass(1_000).await;
    assert_eq!(house.accepted(stuck), 5);
}

/// Each claim that fails may take as long as a statement may: what was claimed before it has to go.
#[tokio::test(start_paused = true)]
async fn what_is_claimed_does_not_grow_old_behind_a_database_that_is_away() {
    let house = House::new(NO_POLL).await;
    for number in 1..=32 {
        house.queue(endpoint(number), 1);
    }
    house.script.with(|world| {
        // Halves: 32, 16, 8, 4, 2, 1; the first one is claimed, and every claim after it takes long and fails.
        world.claim_troubles.extend((0..5).map(|_| Trouble::Unclaimable));
        world.claim_troubles.push_back(Trouble::Fine);
        world.claim_troubles.extend((0..8).map(|_| Trouble::AwayFor(Duration::from_secs(8))));
    });
    house.notify.wake((1..=32).map(endpoint).collect());
    pass(10_000).await;
    assert_eq!(house.script.with(|world| world.results.len()), 1, "one was claimed, and told");
    pass(100_000).await;
    assert_eq!(house.script.with(|world| (world.attempts.len(), world.results.len())), (32, 32));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_cannot_be_read_rests() {
    let house = House::new(NO_POLL).await;
    house.script.with(|world| world.unreadable = Some(endpoint(1)));
    house.queue(endpoint(1), 2);
    house.queue(endpoint(2), 2);
    house.notify.wake(vec![endpoint(1), endpoint(2)]);
    pass(1_000).await;
    assert_eq!((house.accepted(endpoint(1)), house.accepted(endpoint(2))), (0, 2));
    let claims = house.script.with(|world| world.claims.len());
    house.notify.wake(vec![endpoint(1)]);
    pass(50_000).await;
    assert_eq!(house.script.with(|world| world.claims.len()), claims);
    house.script.with(|world| world.unreadable = None);
    pass(20_000).await;
    house.notify.wake(vec![endpoint(1)]);
    pass(1_000).await;
    assert_eq!(house.accepted(endpoint(1)), 2);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_cannot_be_written_holds_up_nobody_else() {
    let house = House::new(NO_POLL).await;
    house.script.with(|world| world.unwritable = Some(endpoint(3)));
    for number in 1..=5 {
        house.queue(endpoint(number), if number == 3 { 1 } else { 6 });
    }
    house.notify.wake((1..=5).map(endpoint).collect());
    pass(1_000).await;
    let accepted: Vec<usize> = (1..=5).map(|number| house.accepted(endpoint(number))).collect();
    assert_eq!(accepted, [6, 6, 0, 6, 6]);
    assert_eq!(house.script.posts(endpoint(3)), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_claimed_too_long_ago_is_not_sent() {
    let house = House::new(NO_POLL).await;
    house.script.with(|world| world.claim_takes = Duration::from_secs(21));
    house.tell(endpoint(1), 4);
    pass(30_000).await;
    assert_eq!(house.script.with(|world| (world.attempts.len(), world.posts.len(), world.results.len())), (4, 0, 0));
    house.tell(endpoint(1), 1);
    pass(100).await;
    assert_eq!(house.accepted(endpoint(1)), 1, "its slots are free");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_desk_a_claim_or_a_commit_wedges_nobody() {
    let house = House::new(POLL).await;
    house.behave(endpoint(1), Manner::Answers(200, Duration::from_millis(300)));
    house.tell(endpoint(1), 4);
    pass(50).await;
    assert_eq!(house.script.posts(endpoint(1)), 4);
    assert!(house.notify.desk.cast(Message::Panic).is_ok());
    pass(2_000).await;
    assert_eq!(house.accepted(endpoint(1)), 4, "what was under way comes back to its successor");
    house.script.with(|world| world.claim_troubles.push_back(Trouble::Panic));
    house.tell(endpoint(2), 3);
    pass(2_000).await;
    assert_eq!(house.accepted(endpoint(2)), 3);
    house.script.with(|world| world.result_troubles.push_back(Trouble::Panic));
    house.tell(endpoint(3), 3);
    pass(2_000).await;
    house.tell(endpoint(3), 3);
    pass(2_000).await;
    assert_eq!(house.script.posts(endpoint(3)), 6);
    assert!(house.accepted(endpoint(3)) >= 3);
    house.tree.stop(Duration::from_secs(5)).await;
    assert!(house.tasks.idle(Duration::from_secs(1)).await);
}
