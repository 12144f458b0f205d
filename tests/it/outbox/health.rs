//! How an endpoint follows what becomes of its attempts.

use std::time::Duration;

use nexo_route::domain::ids::EndpointId;
use nexo_route::domain::webhook::Outcome;
use nexo_route::records::attempts::{EndpointChange, Finished};
use nexo_route::records::endpoints::{self, Endpoint, GivenUp};
use nexo_route::store::{Scalar, Statement, Store, Type};

use super::rows::{account, claim, ended, endpoint, finish_all, over, waiting};

static SINCE: Statement = Statement::new(
    "test.outbox.failing_since",
    &[],
    &[Type::Id, Type::I64],
    "UPDATE webhook_endpoints SET failing_since_us = {now_us} - $2 WHERE id = $1",
);

const FIVE_DAYS: Duration = Duration::from_secs(5 * 24 * 60 * 60);

async fn find(store: &Store, id: EndpointId) -> Endpoint {
    store.read(move |tx| Box::pin(endpoints::find(tx, id))).await.expect("reads").expect("there")
}

/// The results of as many events, in one batch; a failure asks for a retry.
async fn report(store: &Store, target: EndpointId, changes: &[EndpointChange]) -> Vec<(EndpointId, GivenUp)> {
    let ours = find(store, target).await.account;
    for _ in changes {
        ended(store, ours).await;
    }
    let claimed = claim(store, &[(target, 100)]).await.pop().expect("known").attempts;
    assert_eq!(claimed.len(), changes.len());
    let result = |(claimed, change): (_, &EndpointChange)| Finished {
        endpoint_change: *change,
        retry: Some(Duration::from_secs(3_600)),
        ..over(claimed, target, Outcome::Failed)
    };
    finish_all(store, claimed.iter().zip(changes).map(result).collect()).await
}

async fn failing_for(store: &Store, target: EndpointId, time: Duration) {
    let micros = i64::try_from(time.as_micros()).expect("fits");
    let scalars = [Scalar::Id(*target.as_bytes()), Scalar::I64(micros)];
    let set = store.write(move |tx| Box::pin(async move { tx.execute(&SINCE, &[], &scalars).await }));
    assert_eq!(set.await, Ok(1));
}

pub(super) async fn follows(store: Store) {
    use EndpointChange::{Failing, Gone, None, Working};
    let target = endpoint(&store, account(&store).await).await;
    report(&store, target, &[Failing]).await;
    let since = find(&store, target).await.failing_since.expect("it fails");
    report(&store, target, &[Failing]).await;
    report(&store, target, &[None]).await;
    assert_eq!(find(&store, target).await.failing_since, Some(since), "from its first failure");
    report(&store, target, &[Working]).await;
    assert_eq!(find(&store, target).await.failing_since, Option::None);
    let retries = waiting(&store, target).await.len();
    assert_eq!(report(&store, target, &[Gone]).await, [(target, GivenUp::Gone)]);
    let found = find(&store, target).await;
    assert_eq!((found.active_since, found.disabled_why.as_deref()), (Option::None, Some("gone")));
    assert_eq!(waiting(&store, target).await.len(), retries, "what is given up is not tried again");
}

pub(super) async fn given_up(store: Store) {
    use EndpointChange::{Failing, Working};
    let target = endpoint(&store, account(&store).await).await;
    failing_for(&store, target, FIVE_DAYS - Duration::from_secs(60)).await;
    assert_eq!(report(&store, target, &[Failing]).await, []);
    // Several were claimed while it failed, and one of them was accepted: it is back.
    failing_for(&store, target, FIVE_DAYS).await;
    assert_eq!(report(&store, target, &[Failing, Working, Failing]).await, []);
    let since = find(&store, target).await.failing_since.expect("a failure after the success is dated anew");
    assert!(store.ping().await.expect("answers").since(since) < Duration::from_secs(60));
    assert_eq!(report(&store, target, &[Working]).await, []);
    assert_eq!(report(&store, target, &[Failing]).await, [], "and whoever read the old date changes nothing");
    failing_for(&store, target, FIVE_DAYS).await;
    assert_eq!(report(&store, target, &[Failing]).await, [(target, GivenUp::Failing)]);
    assert_eq!(find(&store, target).await.disabled_why.as_deref(), Some("failing"));
}
