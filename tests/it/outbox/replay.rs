//! What an operator replays.

use std::time::Duration;

use nexo_route::domain::ids::{AttemptId, EndpointId};
use nexo_route::domain::time::Timestamp;
use nexo_route::domain::webhook::{Cause, Outcome};
use nexo_route::records::attempts::Finished;
use nexo_route::records::outbox::{self, Replayed, Replays, Since};
use nexo_route::store::{Scalar, Statement, Store, Type};

use super::ping;
use super::rows::{account, actor, claim_one, disable, ended, endpoint, finish_all, forget, over, waiting};

pub(super) async fn replay(store: &Store, attempt: AttemptId) -> Replayed {
    store
        .write(move |tx| Box::pin(async move { outbox::replay_one(tx, &actor(), attempt).await }))
        .await
        .expect("decided")
}

pub(super) async fn one(store: Store) {
    let ours = account(&store).await;
    let target = endpoint(&store, ours).await;
    let delivery = ended(&store, ours).await;
    let first = claim_one(&store, target).await;
    assert_eq!(replay(&store, first.attempt).await, Replayed::Waiting, "it is being sent");
    let failed = Finished { retry: Some(Duration::from_secs(600)), ..over(&first, target, Outcome::Failed) };
    finish_all(&store, vec![failed]).await;
    assert_eq!(replay(&store, first.attempt).await, Replayed::Done(target));
    let rows = waiting(&store, target).await;
    assert!(rows.len() == 1 && rows[0].cause == Cause::Replay.number(), "the retry gave way: {rows:?}");
    assert_eq!(replay(&store, first.attempt).await, Replayed::Waiting);
    forget(&store, delivery).await;
    let second = claim_one(&store, target).await;
    assert_eq!(replay(&store, first.attempt).await, Replayed::Waiting, "it is being sent by another attempt");
    assert_eq!((second.cause, second.number, &second.body), (Cause::Replay, 1, &first.body));
    finish_all(&store, vec![over(&second, target, Outcome::Accepted)]).await;
    // Whoever asks for what was accepted gets it again, with the same bytes.
    assert_eq!(replay(&store, second.attempt).await, Replayed::Done(target));
    let third = claim_one(&store, target).await;
    assert_eq!(third.body, first.body);
    finish_all(&store, vec![over(&third, target, Outcome::Accepted)]).await;

    assert_eq!(replay(&store, AttemptId::from_bytes([1; 16])).await, Replayed::NoAttempt);
    let test = ping(&store, ours, target).await;
    finish_all(&store, vec![over(&test, target, Outcome::Failed)]).await;
    assert_eq!(replay(&store, test.attempt).await, Replayed::Ping);
    disable(&store, target).await;
    assert_eq!(replay(&store, first.attempt).await, Replayed::Inactive);
}

static AGE: Statement = Statement::new(
    "test.outbox.age",
    &[],
    &[Type::Id],
    "UPDATE webhook_attempts SET started_us = started_us - 61000000 WHERE id = $1",
);

async fn step(store: &Store, which: Since, after: Option<AttemptId>, rows: i64) -> Replays {
    store
        .write(move |tx| Box::pin(async move { outbox::replay_since(tx, &actor(), &which, after, rows).await }))
        .await
        .expect("decided")
}

/// Runs all steps and says how many were queued.
async fn all(store: &Store, endpoint: EndpointId, since: Timestamp, unknown_too: bool) -> u64 {
    let (mut after, mut sum) = (None, 0);
    loop {
        match step(store, Since { endpoint, since, unknown_too }, after, 2).await {
            Replays::Done { queued, next: Some(next) } => (after, sum) = (Some(next), sum + queued),
            Replays::Done { queued, next: None } => return sum + queued,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) async fn since(store: Store) {
    let ours = account(&store).await;
    let (target, bystander) = (endpoint(&store, ours).await, endpoint(&store, ours).await);
    let start = store.ping().await.expect("answers").minus(Duration::from_secs(600));
    let mut told = Vec::new();
    for outcome in [Some(Outcome::Failed), Some(Outcome::Accepted), None, Some(Outcome::Failed), None] {
        let delivery = ended(&store, ours).await;
        let claimed = claim_one(&store, target).await;
        if let Some(outcome) = outcome {
            let retry = (outcome == Outcome::Failed).then_some(Duration::from_secs(600));
            finish_all(&store, vec![Finished { retry, ..over(&claimed, target, outcome) }]).await;
        }
        let other = claim_one(&store, bystander).await;
        finish_all(&store, vec![over(&other, bystander, Outcome::Failed)]).await;
        told.push((delivery, claimed));
    }
    let test = ping(&store, ours, target).await;
    finish_all(&store, vec![over(&test, target, Outcome::Failed)]).await;
    // The third was left by its node a minute ago; the last is being sent.
    let lost = Scalar::Id(*told[2].1.attempt.as_bytes());
    store.write(move |tx| Box::pin(async move { tx.execute(&AGE, &[], &[lost]).await })).await.expect("ages");
    // The fourth failed, and was accepted when it was replayed.
    assert_eq!(replay(&store, told[3].1.attempt).await, Replayed::Done(target));
    let again = claim_one(&store, target).await;
    finish_all(&store, vec![over(&again, target, Outcome::Accepted)]).await;

    let future = store.ping().await.expect("answers").plus(Duration::from_secs(60));
    assert_eq!(all(&store, target, future, true).await, 0);
    assert_eq!(all(&store, target, start, false).await, 1);
    let rows = waiting(&store, target).await;
    assert_eq!(rows.iter().map(|row| row.delivery).collect::<Vec<_>>(), [told[0].0], "once: the retry gave way");
    assert_eq!((rows[0].cause, rows[0].later), (Cause::Replay.number(), false));
    assert_eq!(all(&store, target, start, true).await, 1, "only the unknown one: the other waits already");
    let mut deliveries = vec![told[0].0, told[2].0];
    deliveries.sort_unstable();
    assert_eq!(waiting(&store, target).await.iter().map(|row| row.delivery).collect::<Vec<_>>(), deliveries);
    assert_eq!(waiting(&store, bystander).await, []);

    disable(&store, bystander).await;
    let nowhere = Since { endpoint: bystander, since: start, unknown_too: false };
    assert_eq!(step(&store, nowhere, None, 9).await, Replays::Inactive);
    let nowhere = Since { endpoint: EndpointId::from_bytes([9; 16]), ..nowhere };
    assert_eq!(step(&store, nowhere, None, 9).await, Replays::NoEndpoint);
}
