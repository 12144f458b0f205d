//! What `verify` finds of webhooks.

use nexo_route::domain::ids::{AttemptId, EndpointId};
use nexo_route::store::{Scalar, Statement, Store, Type};

use super::rows::{account, claim_one, ended, endpoint};
use crate::verification::breaches;

static OLDER: Statement = Statement::new(
    "test.verified.older",
    &[],
    &[Type::Id],
    "UPDATE webhook_endpoints SET active_since_us = active_since_us - 20000000 WHERE id = $1",
);
static LOSE: Statement =
    Statement::new("test.verified.lose", &[], &[Type::Id], "DELETE FROM webhook_outbox WHERE endpoint = $1");
static WAITS: Statement = Statement::new(
    "test.verified.waits",
    &[],
    &[Type::Id],
    "INSERT INTO webhook_outbox (endpoint, due_us, delivery, account, event, cause, number) \
     SELECT endpoint, 1, delivery, account, event, 0, 1 FROM webhook_attempts WHERE id = $1",
);
static OPEN: Statement = Statement::new("test.verified.open", &[], &[], "DROP INDEX webhook_attempts_by_delivery");
static COPY: Statement = Statement::new(
    "test.verified.copy",
    &[],
    &[Type::Id, Type::Id, Type::I64],
    "INSERT INTO webhook_attempts (id, account, endpoint, delivery, event, cause, number, started_us, body_sealed) \
     SELECT $2, account, endpoint, delivery, event, $3, number, started_us, body_sealed \
     FROM webhook_attempts WHERE id = $1",
);
static TO_STRANGER: Statement = Statement::new(
    "test.verified.to_stranger",
    &[],
    &[Type::Id, Type::Id],
    "UPDATE webhook_attempts SET endpoint = $2 WHERE id = $1",
);

async fn plant(store: &Store, statement: &'static Statement, scalars: Vec<Scalar<'static>>) -> u64 {
    let planted = store.write(move |tx| {
        let scalars = scalars.clone();
        Box::pin(async move { tx.execute(statement, &[], &scalars).await })
    });
    planted.await.expect("plants")
}

fn id(attempt: AttemptId) -> Scalar<'static> {
    Scalar::Id(*attempt.as_bytes())
}

fn of(endpoint: EndpointId) -> Vec<Scalar<'static>> {
    vec![Scalar::Id(*endpoint.as_bytes())]
}

pub(super) async fn lost(store: Store) {
    let ours = account(&store).await;
    let target = endpoint(&store, ours).await;
    ended(&store, ours).await;
    assert_eq!(breaches(&store).await, []);
    assert_eq!(plant(&store, &LOSE, of(target)).await, 1);
    assert_eq!(breaches(&store).await, [], "the endpoint was just made: the end may not have seen it");
    plant(&store, &OLDER, of(target)).await;
    assert_eq!(breaches(&store).await, [(5, 1)]);
    ended(&store, ours).await;
    assert_eq!(breaches(&store).await, [(5, 1)], "what waits is not lost");
    claim_one(&store, target).await;
    assert_eq!(breaches(&store).await, [(5, 1)], "nor is what was attempted");
}

pub(super) async fn doubled(store: Store) {
    let (ours, theirs) = (account(&store).await, account(&store).await);
    let (target, stranger) = (endpoint(&store, ours).await, endpoint(&store, theirs).await);
    ended(&store, ours).await;
    let claimed = claim_one(&store, target).await.attempt;
    assert_eq!(breaches(&store).await, []);

    // Queued once more: the claim that follows attempts nothing.
    plant(&store, &WAITS, vec![id(claimed)]).await;
    assert_eq!(breaches(&store).await, [(5, 1)]);
    let again = super::rows::claim(&store, &[(target, 9)]).await;
    assert!(again[0].attempts.is_empty() && again[0].discarded.is_empty(), "{again:?}");
    assert_eq!(breaches(&store).await, []);

    // A retry that no schedule asked for; a second attempt of the event, which only a broken index lets in.
    let copy = move |n: u8, cause: i64| vec![id(claimed), Scalar::Id([n; 16]), Scalar::I64(cause)];
    plant(&store, &COPY, copy(1, 1)).await;
    assert_eq!(breaches(&store).await, [(5, 1)]);
    let refused = store.write(move |tx| {
        let scalars = copy(2, 0);
        Box::pin(async move { tx.execute(&COPY, &[], &scalars).await })
    });
    assert!(refused.await.is_err(), "the index stands");
    plant(&store, &OPEN, Vec::new()).await;
    plant(&store, &COPY, copy(2, 0)).await;
    assert_eq!(breaches(&store).await, [(5, 1), (5, 1)]);

    let to_stranger = vec![id(AttemptId::from_bytes([1; 16])), Scalar::Id(*stranger.as_bytes())];
    plant(&store, &TO_STRANGER, to_stranger).await;
    assert_eq!(breaches(&store).await, [(5, 1), (5, 1), (7, 1)]);
}
