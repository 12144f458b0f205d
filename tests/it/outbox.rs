//! The rows of webhooks: what an end queues, who claims it, what becomes of attempts, and what an operator replays.

mod endpoints;
mod health;
mod listing;
mod replay;
mod rows;
mod unreadable;
mod verified;

use std::time::Duration;

use nexo_route::domain::ids::{AttemptId, DeliveryId, EndpointId};
use nexo_route::domain::webhook::{AttemptState, Cause, EventType, Fault, Outcome};
use nexo_route::records::attempts::{self, Finished, NewAttempt};
use nexo_route::records::endpoints as endpoint_rows;
use nexo_route::records::outbox;
use nexo_route::records::settlement::Settled;
use nexo_route::store::Store;
use tokio::sync::oneshot;

use crate::both_engines;
use rows::{
    account, an_hour_later, claim, claim_one, disable, end, ended, endpoint, finish_all, forget, keyring, new_endpoint,
    only, over, register, sent, waiting,
};

both_engines! {
    async fn an_end_is_queued_for_whoever_wants_it_and_nobody_else(store: Store) { queued(store).await }
    async fn a_claim_takes_each_row_once(store: Store) { claimed_once(store).await }
    async fn rival_claims_share_what_is_due(store: Store) { rivals(store).await }
    async fn what_cannot_be_sent_is_discarded_and_listed(store: Store) { discarded(store).await }
    async fn what_has_been_due_for_a_day_is_listed_as_expired(store: Store) { expired(store).await }
    async fn an_endpoint_that_cannot_be_read_fails_no_other(store: Store) { unreadable::alone(store).await }
    async fn a_result_counts_once_and_asks_for_one_retry(store: Store) { finished_twice(store).await }
    async fn an_endpoint_follows_what_becomes_of_its_attempts(store: Store) { health::follows(store).await }
    async fn an_endpoint_is_given_up_by_what_its_row_says_now(store: Store) { health::given_up(store).await }
    async fn old_attempts_go_with_their_results(store: Store) { pruned(store).await }
    async fn five_active_endpoints_and_no_more(store: Store) { endpoints::five(store).await }
    async fn a_key_is_rotated_with_an_overlap(store: Store) { endpoints::rotation(store).await }
    async fn an_endpoint_is_disabled_enabled_and_deleted(store: Store) { endpoints::life(store).await }
    async fn one_attempt_is_replayed_with_its_own_body(store: Store) { replay::one(store).await }
    async fn all_that_were_not_accepted_are_replayed(store: Store) { replay::since(store).await }
    async fn attempts_are_listed_for_their_owner_alone(store: Store) { listing::scoped(store).await }
    async fn attempts_are_filtered_and_paged(store: Store) { listing::filtered(store).await }
    async fn verify_finds_an_event_that_was_lost(store: Store) { verified::lost(store).await }
    async fn verify_finds_what_was_attempted_twice_or_told_to_strangers(store: Store) { verified::doubled(store).await }
}

async fn queued(store: Store) {
    let (ours, theirs) = (account(&store).await, account(&store).await);
    let early = sent(&store, ours).await;
    assert_eq!(end(&store, early, true).await.told, [], "nobody is there");
    let all = endpoint(&store, ours).await;
    let failures = register(&store, new_endpoint(&store, ours, only(EventType::Failed), "").await).await;
    let endpoint_rows::Registered::Done(failures) = failures else { panic!("{failures:?}") };
    let (disabled, stranger) = (endpoint(&store, ours).await, endpoint(&store, theirs).await);
    disable(&store, disabled).await;

    let (good, bad) = (sent(&store, ours).await, sent(&store, ours).await);
    assert_eq!(end(&store, good, true).await.told, [all]);
    let mut both = vec![all, failures];
    both.sort_unstable();
    assert_eq!(end(&store, bad, false).await.told, both);
    let again = end(&store, bad, true).await;
    assert_eq!((again.settled, again.told), (vec![Settled::Unchanged], vec![]), "it has ended");
    let deliveries =
        async |of: EndpointId| waiting(&store, of).await.iter().map(|row| row.delivery).collect::<Vec<_>>();
    let mut told = vec![good, bad];
    told.sort_unstable();
    assert_eq!(deliveries(all).await, told);
    assert_eq!(deliveries(failures).await, [bad]);
    assert_eq!((deliveries(disabled).await, deliveries(stranger).await), (vec![], vec![]));

    let due = store.read(|tx| Box::pin(async move { outbox::due(tx, None, 10).await })).await;
    assert_eq!(due, Ok(both.clone()));
    let (first, rest) = (both[0], both[1]);
    let due = store.read(move |tx| Box::pin(async move { outbox::due(tx, Some(first), 10).await })).await;
    assert_eq!(due, Ok(vec![rest]));
    let oldest = store.read(|tx| Box::pin(outbox::oldest_due(tx))).await.expect("reads").expect("something is due");
    assert!(store.ping().await.expect("answers").since(oldest) < Duration::from_secs(60));
}

async fn claimed_once(store: Store) {
    let ours = account(&store).await;
    let (first, second) = (endpoint(&store, ours).await, endpoint(&store, ours).await);
    let mut deliveries = Vec::new();
    for _ in 0..3 {
        deliveries.push(ended(&store, ours).await);
    }
    let unknown = EndpointId::from_bytes([9; 16]);
    let claimed = claim(&store, &[(second, 10), (unknown, 10), (first, 2)]).await;
    let shape: Vec<_> = claimed.iter().map(|c| (c.id, c.attempts.len(), c.more)).collect();
    assert_eq!(shape, [(second, 3, false), (first, 2, true)]);
    let oldest_first: Vec<DeliveryId> = claimed[0].attempts.iter().map(|claimed| claimed.delivery).collect();
    assert_eq!(oldest_first, deliveries);
    for (one, other) in claimed[0].attempts.iter().zip(&claimed[1].attempts) {
        assert_eq!((one.cause, one.number, one.event), (Cause::Event, 1, EventType::Delivered));
        assert_eq!(one.body, other.body, "an event is the same for every endpoint");
        let body: serde_json::Value = serde_json::from_slice(&one.body).expect("JSON");
        assert_eq!(
            (body["type"].as_str(), body["id"].as_str()),
            (Some("otp.delivered"), Some(&*one.delivery.to_string()))
        );
        assert!(one.due_at <= one.started_at && one.attempt != other.attempt);
    }
    let rest = claim(&store, &[(first, 10), (second, 10)]).await;
    assert_eq!(rest.iter().map(|c| c.attempts.len()).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(store.read(|tx| Box::pin(outbox::oldest_due(tx))).await, Ok(None));
}

/// A claim that is not committed yet keeps its rows from a second one, which takes what is left.
async fn rivals(store: Store) {
    let ours = account(&store).await;
    let target = endpoint(&store, ours).await;
    for _ in 0..4 {
        ended(&store, ours).await;
    }
    let (few, more) = ([(target, 2)], [(target, 4)]);
    let (one, other) = tokio::join!(claim(&store, &few), claim(&store, &more));
    let mut seen: Vec<DeliveryId> = one.iter().chain(&other).flat_map(|c| &c.attempts).map(|c| c.delivery).collect();
    let rest = claim(&store, &[(target, 4)]).await;
    seen.extend(rest[0].attempts.iter().map(|claimed| claimed.delivery));
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len(), count), (4, 4), "each row is claimed once");

    // One that is certainly under way: on Postgres the rival skips its rows and does not wait.
    if store.kind() == nexo_route::store::EngineKind::Postgres {
        ended(&store, ours).await;
        let (holds, held) = oneshot::channel();
        let (release, released) = oneshot::channel::<()>();
        let hand = std::sync::Arc::new(std::sync::Mutex::new(Some((holds, released))));
        let slow = store.write(move |tx| {
            let hand = hand.clone();
            Box::pin(async move {
                let demand = [outbox::Demand { endpoint: target, limit: 1 }];
                let claimed = outbox::claim(tx, &keyring(), &demand).await?;
                let (holds, released) = hand.lock().expect("whole").take().expect("it runs once");
                let _heard = holds.send(());
                let _told = released.await;
                Ok(claimed[0].attempts.len())
            })
        });
        let rival = async {
            held.await.expect("it is under way");
            let found = claim(&store, &[(target, 1)]).await;
            release.send(()).expect("it waits");
            found[0].attempts.len()
        };
        let (slow, rival) = tokio::join!(slow, rival);
        assert_eq!((slow, rival), (Ok(1), 0));
    }
}

async fn discarded(store: Store) {
    let ours = account(&store).await;
    let (target, off) = (endpoint(&store, ours).await, endpoint(&store, ours).await);
    let (there, gone) = (ended(&store, ours).await, ended(&store, ours).await);
    forget(&store, gone).await;
    disable(&store, off).await;
    let claimed = claim(&store, &[(target, 10), (off, 10)]).await;
    assert_eq!(claimed[0].attempts.iter().map(|claimed| claimed.delivery).collect::<Vec<_>>(), [there]);
    assert_eq!(claimed[0].discarded, [Fault::Gone]);
    assert_eq!((claimed[1].attempts.len(), &*claimed[1].discarded), (0, &[Fault::Disabled, Fault::Disabled][..]));
    assert_eq!(waiting(&store, off).await, []);
    let all = listing::all(&store, ours).await;
    let mut states: Vec<_> =
        all.iter().map(|a| (a.state.as_str(), a.fault.map(Fault::as_str), a.body.is_empty())).collect();
    states.sort_unstable();
    let expected = [
        ("discarded", Some("disabled"), false),
        ("discarded", Some("disabled"), true),
        ("discarded", Some("gone"), true),
        ("sending", None, false),
    ];
    assert_eq!(states, expected);
}

/// An event, a retry and a replay alike; and a replay sends it all the same.
async fn expired(store: Store) {
    let ours = account(&store).await;
    let target = endpoint(&store, ours).await;
    let first = ended(&store, ours).await;
    let attempt = claim_one(&store, target).await;
    let failed = Finished { retry: Some(Duration::from_secs(60)), ..over(&attempt, target, Outcome::Failed) };
    finish_all(&store, vec![failed]).await;
    let second = ended(&store, ours).await;
    for _ in 0..24 {
        an_hour_later(&store).await;
    }
    let claimed = claim(&store, &[(target, 10)]).await;
    // The retry is due a minute less than a day.
    let of: Vec<DeliveryId> = claimed[0].attempts.iter().map(|claimed| claimed.delivery).collect();
    assert_eq!((of, &*claimed[0].discarded), (vec![first], &[Fault::Expired][..]));
    let shown = |states: &[(AttemptState, DeliveryId, Option<Fault>)]| {
        let mut states = states.to_vec();
        states.sort_by_key(|(state, ..)| state.as_str());
        states
    };
    let all: Vec<_> =
        listing::all(&store, ours).await.iter().map(|listed| (listed.state, listed.delivery, listed.fault)).collect();
    let expected = [
        (AttemptState::Expired, second, Some(Fault::Expired)),
        (AttemptState::Ended(Outcome::Failed), first, None),
        (AttemptState::Sending, first, None),
    ];
    assert_eq!(shown(&all), shown(&expected));
    let listed = listing::of_state(&store, ours, AttemptState::Expired).await;
    let [only] = &listed[..] else { panic!("{listed:?}") };
    assert!(only.body.contains(&second.to_string()), "its body is kept: {only:?}");
    assert!(listing::of_state(&store, ours, AttemptState::Ended(Outcome::Discarded)).await.is_empty());

    assert_eq!(replay::replay(&store, only.id).await, outbox::Replayed::Done(target));
    let replayed = claim_one(&store, target).await;
    assert_eq!((replayed.delivery, replayed.cause), (second, Cause::Replay));
    finish_all(&store, vec![over(&replayed, target, Outcome::Failed)]).await;
    assert_eq!(replay::replay(&store, replayed.attempt).await, outbox::Replayed::Done(target));
    for _ in 0..25 {
        an_hour_later(&store).await;
    }
    assert_eq!(claim(&store, &[(target, 10)]).await[0].discarded, [Fault::Expired]);
}

async fn finished_twice(store: Store) {
    let ours = account(&store).await;
    let target = endpoint(&store, ours).await;
    let delivery = ended(&store, ours).await;
    let first = claim_one(&store, target).await;
    let failed = Finished { retry: Some(Duration::from_secs(60)), ..over(&first, target, Outcome::Failed) };
    finish_all(&store, vec![failed.clone(), failed.clone()]).await;
    finish_all(&store, vec![failed, over(&first, target, Outcome::Accepted)]).await;
    let rows = waiting(&store, target).await;
    let expected = rows::Waits { delivery, cause: 1, number: 2, later: true, body_of: Some(first.attempt) };
    assert_eq!(rows, [expected]);
    assert_eq!(listing::states(&store, ours).await, ["failed"], "the first result stands");
    assert_eq!(claim(&store, &[(target, 9)]).await[0].attempts, [], "its time has not come");
    let due = store.read(|tx| Box::pin(async move { outbox::due(tx, None, 10).await })).await;
    assert_eq!(due, Ok(vec![]));
    an_hour_later(&store).await;
    // The body is the first one's, even when the delivery is no longer there to make it again.
    forget(&store, delivery).await;
    let second = claim_one(&store, target).await;
    assert_eq!((second.cause, second.number), (Cause::Retry, 2));
    assert_eq!(second.body, first.body);
}

async fn pruned(store: Store) {
    let ours = account(&store).await;
    let target = endpoint(&store, ours).await;
    for _ in 0..3 {
        ended(&store, ours).await;
        let claimed = claim_one(&store, target).await;
        finish_all(&store, vec![over(&claimed, target, Outcome::Accepted)]).await;
    }
    let prune = async |before: [u8; 16], limit| {
        let before = AttemptId::from_bytes(before);
        store.write(move |tx| Box::pin(attempts::prune(tx, before, limit))).await.expect("prunes")
    };
    let long_ago = store.ping().await.expect("answers").minus(Duration::from_secs(3_600));
    assert_eq!(prune(*DeliveryId::floor(long_ago).as_bytes(), 10).await, 0, "they are young");
    assert_eq!(prune([0xff; 16], 2).await, 2);
    assert_eq!(listing::all(&store, ours).await.len(), 1);
    assert_eq!(prune([0xff; 16], 2).await, 1);
    static LEFT: nexo_route::store::Statement =
        nexo_route::store::Statement::new("test.outbox.left", &[], &[], "SELECT COUNT(*) FROM webhook_results");
    let left = store.read(|tx| Box::pin(async move { tx.query(&LEFT, &[], &[]).await })).await.expect("reads");
    assert_eq!(left[0].i64(0), Ok(0));
}

/// A ping that has been written down.
async fn ping(store: &Store, ours: nexo_route::domain::ids::AccountId, target: EndpointId) -> outbox::Claimed {
    let delivery = DeliveryId::new(store.ping().await.expect("answers"), rand::random());
    let new = NewAttempt {
        account: ours,
        endpoint: target,
        delivery,
        event: EventType::Test,
        cause: Cause::Ping,
        number: 1,
        body: b"{}".to_vec(),
    };
    let begun = store.write(move |tx| {
        let new = new.clone();
        Box::pin(async move { attempts::begin(tx, &keyring(), &new).await })
    });
    begun.await.expect("begins")
}
