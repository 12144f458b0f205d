//! What an operator does to endpoints.

use std::time::Duration;

use nexo_route::domain::ids::EndpointId;
use nexo_route::domain::webhook::{EventFilter, KeyForm};
use nexo_route::records::audit;
use nexo_route::records::endpoints::{self, Changed, Enabled, Endpoint, Registered};
use nexo_route::store::Store;

use super::rows::{account, actor, disable, endpoint, new_endpoint, register};

async fn find(store: &Store, id: EndpointId) -> Option<Endpoint> {
    store.read(move |tx| Box::pin(endpoints::find(tx, id))).await.expect("reads")
}

async fn enable(store: &Store, id: EndpointId) -> Enabled {
    store.write(move |tx| Box::pin(async move { endpoints::enable(tx, &actor(), id).await })).await.expect("decided")
}

pub(super) async fn five(store: Store) {
    let ours = account(&store).await;
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(endpoint(&store, ours).await);
    }
    let (one, other) = (
        new_endpoint(&store, ours, EventFilter::ALL, "").await,
        new_endpoint(&store, ours, EventFilter::ALL, "").await,
    );
    let (one, other) = tokio::join!(register(&store, one), register(&store, other));
    let done = [one, other].iter().filter(|made| matches!(made, Registered::Done(_))).count();
    assert!(done == 1 && [one, other].contains(&Registered::TooMany), "{one:?} {other:?}");
    assert_eq!(disable(&store, made[0]).await, Changed::Done);
    made.push(endpoint(&store, ours).await);
    assert_eq!(enable(&store, made[0]).await, Enabled::TooMany);
    assert_eq!(disable(&store, made[1]).await, Changed::Done);
    assert_eq!(disable(&store, made[2]).await, Changed::Done);
    assert_eq!(endpoint(&store, ours).await, find(&store, ours_last(&store, ours).await).await.expect("there").id);
    let rivals = tokio::join!(enable(&store, made[0]), enable(&store, made[1]));
    assert!(matches!(rivals, (Enabled::Done, Enabled::TooMany) | (Enabled::TooMany, Enabled::Done)), "{rivals:?}");
    // Another account has room of its own; none has no account.
    endpoint(&store, account(&store).await).await;
    let nobody = nexo_route::domain::ids::AccountId::from_bytes([3; 16]);
    let new = new_endpoint(&store, nobody, EventFilter::ALL, "").await;
    assert_eq!(register(&store, new).await, Registered::NoAccount);
}

/// The youngest endpoint of the account.
async fn ours_last(store: &Store, ours: nexo_route::domain::ids::AccountId) -> EndpointId {
    let list = store.read(move |tx| Box::pin(endpoints::list(tx, ours))).await.expect("reads");
    list.iter().max_by_key(|endpoint| endpoint.created_at).expect("some").id
}

pub(super) async fn rotation(store: Store) {
    let target = endpoint(&store, account(&store).await).await;
    let rotate = async |key: &'static [u8], overlap: Duration| {
        let done =
            store.write(move |tx| Box::pin(async move { endpoints::rotate(tx, &actor(), target, key, overlap).await }));
        done.await.expect("decided")
    };
    let finish = async || {
        let done =
            store.write(move |tx| Box::pin(async move { endpoints::finish_rotation(tx, &actor(), target).await }));
        done.await.expect("decided")
    };
    assert_eq!(finish().await, Changed::Already);
    let first = find(&store, target).await.expect("there").key_sealed;
    assert_eq!(rotate(&[4], Duration::from_secs(60)).await, Changed::Done);
    let rotated = find(&store, target).await.expect("there");
    assert_eq!((rotated.key_sealed, rotated.old_key.map(|(key, _)| key)), (vec![4], Some(first.clone())));
    // A secret that was lost on its way is replaced: the receiver still knows the first one, and no other.
    assert_eq!(rotate(&[6], Duration::from_secs(60)).await, Changed::Done);
    let rotated = find(&store, target).await.expect("there");
    assert_eq!((rotated.key_sealed, rotated.old_key.map(|(key, _)| key)), (vec![6], Some(first)));
    assert_eq!(finish().await, Changed::Done);
    assert_eq!(finish().await, Changed::Already);
    assert_eq!(find(&store, target).await.expect("there").old_key, None);
    // An overlap that is over is none.
    assert_eq!(rotate(&[5], Duration::ZERO).await, Changed::Done);
    assert_eq!(find(&store, target).await.expect("there").old_key, None);
    assert_eq!(rotate(&[8], Duration::from_secs(60)).await, Changed::Done);
    assert_eq!(find(&store, target).await.expect("there").old_key.map(|(key, _)| key), Some(vec![5]));
    assert_eq!(finish().await, Changed::Done);
    assert_eq!(finish().await, Changed::Already);
}

pub(super) async fn life(store: Store) {
    let ours = account(&store).await;
    let target = endpoint(&store, ours).await;
    let made = find(&store, target).await.expect("there");
    assert_eq!(made.url.to_string(), "https://hooks.example.com/otp?token=secret");
    assert_eq!((made.active_since, made.account, made.key_form), (Some(made.created_at), ours, KeyForm::Raw));
    store
        .write(move |tx| Box::pin(async move { endpoints::record_form(tx, target, KeyForm::Hex).await }))
        .await
        .expect("writes");
    assert_eq!(find(&store, target).await.expect("there").key_form, KeyForm::Hex);
    assert_eq!(enable(&store, target).await, Enabled::Already);
    assert_eq!((disable(&store, target).await, disable(&store, target).await), (Changed::Done, Changed::Already));
    assert_eq!(find(&store, target).await.expect("there").disabled_why.as_deref(), Some("operator"));
    assert_eq!(enable(&store, target).await, Enabled::Done);
    let again = find(&store, target).await.expect("there");
    assert!(again.active_since > made.active_since && again.disabled_why.is_none());
    let delete = async || {
        store
            .write(move |tx| Box::pin(async move { endpoints::delete(tx, &actor(), target).await }))
            .await
            .expect("decided")
    };
    assert_eq!((delete().await, delete().await), (Changed::Done, Changed::NoEndpoint));
    assert_eq!(
        (disable(&store, target).await, enable(&store, target).await),
        (Changed::NoEndpoint, Enabled::NoEndpoint)
    );
    assert_eq!(find(&store, target).await, None);
    assert_eq!(store.read(move |tx| Box::pin(endpoints::list(tx, ours))).await, Ok(vec![]));
    let audit = store.read(move |tx| Box::pin(async move { audit::list(tx, &ours.to_string(), 100).await }));
    let audit = audit.await.expect("reads");
    let mut actions: Vec<&str> = audit.iter().map(|row| &*row.action).filter(|a| a.starts_with("webhook.")).collect();
    actions.sort_unstable();
    assert_eq!(actions, ["webhook.create", "webhook.delete", "webhook.disable", "webhook.enable"]);
    assert!(audit.iter().all(|row| !row.detail.contains("secret")), "{audit:?}");
}
