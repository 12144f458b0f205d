//! An endpoint whose row or key cannot be read: its own trouble, and nobody else's.

use nexo_route::domain::ids::EndpointId;
use nexo_route::domain::webhook::Fault;
use nexo_route::records::endpoints::Reach;
use nexo_route::store::{Scalar, Statement, Store, Type};

use super::rows::{account, claim, disable, ended, endpoint, waiting};

static SET_URL: Statement = Statement::new(
    "test.outbox.set_url",
    &[],
    &[Type::Id, Type::Text],
    "UPDATE webhook_endpoints SET url = $2 WHERE id = $1",
);
static SPOIL_KEY: Statement = Statement::new(
    "test.outbox.spoil_key",
    &[],
    &[Type::Id, Type::Bytes],
    "UPDATE webhook_endpoints SET key_sealed = $2 WHERE id = $1",
);

async fn set(store: &Store, statement: &'static Statement, target: EndpointId, value: Scalar<'static>) {
    let scalars = [Scalar::Id(*target.as_bytes()), value];
    let set = store.write(move |tx| Box::pin(async move { tx.execute(statement, &[], &scalars).await }));
    assert_eq!(set.await, Ok(1));
}

pub(super) async fn alone(store: Store) {
    let ours = account(&store).await;
    let (row, key, fine) = (endpoint(&store, ours).await, endpoint(&store, ours).await, endpoint(&store, ours).await);
    ended(&store, ours).await;
    set(&store, &SET_URL, row, Scalar::Text("ftp://127.1/")).await;
    set(&store, &SPOIL_KEY, key, Scalar::Bytes(&[7; 77])).await;
    let claimed = claim(&store, &[(row, 1), (fine, 10), (key, 1)]).await;
    let count = |at: usize| (claimed[at].attempts.len(), claimed[at].discarded.len());
    assert_eq!((count(0), count(1), count(2)), ((0, 0), (1, 0), (0, 0)));
    for (at, id, what) in [(0, row, "URL"), (2, key, "signing key")] {
        let Reach::Unreadable(why) = &claimed[at].reach else { panic!("{:?}", claimed[at]) };
        assert!(why.contains(what) && why.contains(&id.to_string()), "{why}");
        assert_eq!(waiting(&store, id).await.len(), 1, "nothing is lost");
    }
    // Once it can be read its events go; one that is disabled need not be read.
    set(&store, &SET_URL, row, Scalar::Text("https://hooks.example.com/")).await;
    disable(&store, key).await;
    let claimed = claim(&store, &[(row, 10), (key, 10)]).await;
    assert_eq!(claimed[0].attempts.len(), 1);
    assert_eq!(claimed[1].discarded, [Fault::Disabled]);
    assert_eq!((waiting(&store, row).await, waiting(&store, key).await), (vec![], vec![]));
}
