//! Fairness and limits, as a table of what is taken and given back.

use proptest::prelude::*;

use super::*;

const QUICK: Ending = Ending::Accepted(Duration::from_millis(5));
const LATE: Ending = Ending::Accepted(Duration::from_secs(4));
const ALL: usize = usize::MAX;

fn endpoint(number: u8) -> EndpointId {
    EndpointId::from_bytes([number; 16])
}

fn take(slots: &mut Slots) -> Vec<(u8, usize)> {
    let taken = slots.take(ALL, ALL, Instant::now());
    taken.into_iter().map(|(endpoint, count)| (endpoint.as_bytes()[0], count)).collect()
}

fn due(slots: &mut Slots, numbers: impl IntoIterator<Item = u8>) {
    for number in numbers {
        slots.due(endpoint(number), Instant::now());
    }
}

fn free(slots: &mut Slots, number: u8, count: usize, ending: Ending) {
    for _ in 0..count {
        slots.free(endpoint(number), ending, Instant::now());
    }
}

/// Sends until the endpoint has earned its highest limit, and gives everything back.
fn proven(slots: &mut Slots, number: u8) {
    for _ in 0..slots.per_endpoint_max {
        due(slots, [number]);
        for (number, count) in take(slots) {
            free(slots, number, count, QUICK);
        }
    }
}

#[test]
fn an_endpoint_begins_with_a_few_and_earns_more() {
    let mut slots = Slots::new(1_000, 64);
    due(&mut slots, [1]);
    assert_eq!(take(&mut slots), [(1, 8)]);
    assert_eq!(take(&mut slots), [], "it is no longer due");
    due(&mut slots, [1]);
    assert_eq!(take(&mut slots), [], "and at its limit");
    free(&mut slots, 1, 2, QUICK);
    assert_eq!(take(&mut slots), [(1, 4)], "two were given back, two were earned");
    free(&mut slots, 1, 10, Ending::Answered(Duration::ZERO));
    due(&mut slots, [1]);
    assert_eq!(take(&mut slots), [(1, 10)], "a refusal earns and costs nothing");
    free(&mut slots, 1, 10, QUICK);
    proven(&mut slots, 1);
    due(&mut slots, [1]);
    assert_eq!(take(&mut slots), [(1, 64)], "and no more than that");
}

#[test]
fn silence_cuts_an_endpoint_back_to_one_and_an_answer_lets_it_grow() {
    let mut slots = Slots::new(1_000, 64);
    due(&mut slots, [1]);
    assert_eq!(take(&mut slots), [(1, 8)]);
    free(&mut slots, 1, 8, Ending::Silent);
    for _ in 0..3 {
        due(&mut slots, [1]);
        assert_eq!(take(&mut slots), [(1, 1)]);
        free(&mut slots, 1, 1, Ending::Silent);
    }
    due(&mut slots, [1]);
    assert_eq!(take(&mut slots), [(1, 1)]);
    free(&mut slots, 1, 1, QUICK);
    due(&mut slots, [1]);
    assert_eq!(take(&mut slots), [(1, 2)]);
}

#[test]
fn all_that_drag_share_half() {
    let mut slots = Slots::new(100, 64);
    for number in 1..=20 {
        proven(&mut slots, number);
        due(&mut slots, [number]);
        let taken = take(&mut slots)[0].1;
        free(&mut slots, number, 1, LATE);
        free(&mut slots, number, taken - 1, Ending::Unlearned);
    }
    due(&mut slots, 1..=20);
    let dragging: usize = take(&mut slots).iter().map(|(_, count)| count).sum();
    assert_eq!(dragging, 50);
    due(&mut slots, [21]);
    assert_eq!(take(&mut slots), [(21, 8)], "whoever answers has the other half");
    free(&mut slots, 1, 1, QUICK);
    due(&mut slots, 2..=20);
    let again: usize = take(&mut slots).iter().filter(|(number, _)| *number > 1).map(|(_, count)| count).sum();
    assert!(again >= 1, "one that answers again leaves its share of that half to the others");
    assert!(slots.taken_by_dragging <= 50);
}

#[test]
fn who_drags_is_not_looked_at_for_every_slot_of_another() {
    let mut slots = Slots::new(20, 4);
    for number in 1..=200 {
        due(&mut slots, [number]);
        let taken = take(&mut slots)[0].1;
        free(&mut slots, number, taken, Ending::Silent);
    }
    due(&mut slots, 1..=200);
    let first: Vec<u8> = take(&mut slots).iter().map(|(number, _)| *number).collect();
    assert_eq!(first, (1..=10).collect::<Vec<u8>>());
    assert_eq!((slots.turns.len(), slots.parked.len()), (0, 190));
    due(&mut slots, [201]);
    assert_eq!(take(&mut slots), [(201, 4)]);
    // Each has its turn all the same, in order, as the half comes free.
    free(&mut slots, 1, 1, Ending::Silent);
    free(&mut slots, 2, 1, QUICK);
    due(&mut slots, [1, 2]);
    assert_eq!(take(&mut slots), [(2, 2), (11, 1), (12, 1)]);
    assert_eq!((slots.turns.len(), slots.parked.len()), (0, 189));
    // One that answers while it is parked need not wait for those that do not.
    free(&mut slots, 11, 1, Ending::Silent);
    free(&mut slots, 12, 1, Ending::Silent);
    assert_eq!(take(&mut slots), [(13, 1), (14, 1)]);
    let rest: usize = (3..=10)
        .chain([13, 14])
        .map(|number| {
            free(&mut slots, number, 1, Ending::Silent);
            1
        })
        .sum();
    assert_eq!((rest, take(&mut slots).len(), slots.taken_by_dragging), (10, 10, 10));
}

#[test]
fn those_who_stop_answering_at_once_leave_some_to_others() {
    let mut slots = Slots::new(100, 64);
    for number in 1..=3 {
        proven(&mut slots, number);
    }
    due(&mut slots, 1..=3);
    assert_eq!(take(&mut slots), [(1, 50), (2, 25), (3, 12)]);
    due(&mut slots, 1..=3);
    assert_eq!(take(&mut slots), [], "none of them has answered yet");
    due(&mut slots, [9]);
    assert_eq!(take(&mut slots), [(9, 6)]);
}

#[test]
fn turns_go_round() {
    let mut slots = Slots::new(10, 4);
    due(&mut slots, 1..=4);
    let one =
        |slots: &mut Slots| slots.take(1, ALL, Instant::now()).first().map(|(endpoint, _)| endpoint.as_bytes()[0]);
    let mut order = Vec::new();
    for _ in 0..8 {
        let number = one(&mut slots).expect("somebody is due");
        free(&mut slots, number, 4, QUICK);
        due(&mut slots, [number]);
        order.push(number);
    }
    assert_eq!(order, [1, 2, 3, 4, 1, 2, 3, 4]);
}

#[test]
fn a_claim_is_bounded() {
    let mut slots = Slots::new(1_000, 64);
    due(&mut slots, 1..=9);
    assert_eq!(slots.take(3, ALL, Instant::now()).len(), 3);
    let rows = slots.take(ALL, 12, Instant::now());
    assert_eq!(rows.iter().map(|(_, count)| count).collect::<Vec<_>>(), [&8, &4]);
}

#[test]
fn said_to_be_due_during_a_claim_is_due_after_it() {
    let mut slots = Slots::new(100, 8);
    due(&mut slots, [1]);
    assert_eq!(take(&mut slots), [(1, 8)]);
    due(&mut slots, [1]);
    due(&mut slots, [1]);
    free(&mut slots, 1, 8, Ending::Unlearned);
    assert_eq!(take(&mut slots), [(1, 8)]);
    free(&mut slots, 1, 8, Ending::Unlearned);
    assert_eq!(take(&mut slots), [], "once");
}

#[tokio::test(start_paused = true)]
async fn whoever_rests_is_left_alone_for_that_long() {
    let mut slots = Slots::new(100, 8);
    due(&mut slots, [1, 2]);
    slots.rest(endpoint(1), Instant::now() + Duration::from_secs(60));
    assert_eq!(take(&mut slots), [(2, 8)]);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(take(&mut slots), [(1, 8)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_idle_is_forgotten_and_what_is_due_is_not() {
    let mut slots = Slots::new(100, 8);
    due(&mut slots, [1, 2, 3]);
    assert_eq!(take(&mut slots).len(), 3);
    free(&mut slots, 1, 8, Ending::Silent);
    free(&mut slots, 2, 8, Ending::Silent);
    due(&mut slots, [2]);
    tokio::time::advance(FORGET_AFTER).await;
    slots.forget_idle(Instant::now());
    assert_eq!((slots.lanes.len(), slots.taken()), (2, 8), "the third has slots taken");
    due(&mut slots, [1]);
    assert_eq!(take(&mut slots), [(1, 8), (2, 1)]);
}

proptest! {
    /// Whatever comes in whatever order: no limit is passed, no slot is lost, and nobody who is due is forgotten.
    #[test]
    fn the_limits_hold(steps in proptest::collection::vec((0_u8..4, 0_u8..6, 0_u64..3_000), 1..300)) {
        let mut slots = Slots::new(12, 5);
        let (now, mut held) = (Instant::now(), Vec::new());
        for (step, number, millis) in steps {
            let took = Duration::from_millis(millis);
            match step {
                0 => slots.due(endpoint(number), now),
                1 => {
                    for (endpoint, count) in slots.take(3, 7, now) {
                        held.extend((0..count).map(|_| endpoint));
                    }
                }
                _ if held.is_empty() => {}
                _ => {
                    let endpoint = held.swap_remove(usize::from(number) % held.len());
                    let ending = match number % 4 {
                        0 => Ending::Silent,
                        1 => Ending::Answered(took),
                        2 => Ending::Unlearned,
                        _ => Ending::Accepted(took),
                    };
                    slots.free(endpoint, ending, now);
                }
            }
            prop_assert_eq!(slots.taken, held.len());
            prop_assert!(slots.taken <= 12);
            let dragging: usize = slots.lanes.values().filter(|lane| lane.drags).map(|lane| lane.taken).sum();
            prop_assert_eq!(slots.taken_by_dragging, dragging);
            for (endpoint, lane) in &slots.lanes {
                prop_assert!((1..=5).contains(&lane.limit));
                let places = |queue: &VecDeque<EndpointId>| queue.iter().filter(|queued| *queued == endpoint).count();
                prop_assert_eq!(places(&slots.turns), usize::from(lane.queued && !lane.is_parked));
                prop_assert_eq!(places(&slots.parked), usize::from(lane.is_parked));
                prop_assert!(!lane.is_parked || lane.queued && lane.drags);
                prop_assert!(!lane.due || lane.queued || lane.taken >= lane.limit);
            }
        }
        for endpoint in held {
            slots.free(endpoint, Ending::Unlearned, now);
        }
        slots.due(endpoint(9), now);
        let mut waited = 0;
        loop {
            let taken = slots.take(99, 99, now);
            if taken.iter().any(|(taken, _)| *taken == endpoint(9)) {
                break;
            }
            waited += 1;
            prop_assert!(waited <= 6, "it never has its turn");
            for (endpoint, count) in taken {
                (0..count).for_each(|_| slots.free(endpoint, Ending::Unlearned, now));
            }
        }
    }
}
