//! What an account sees of its attempts.

use std::sync::Arc;

use nexo_route::domain::ids::{AccountId, AttemptId};
use nexo_route::domain::webhook::{AttemptState, Fault, Outcome};
use nexo_route::records::attempts::{AttemptListing, AttemptPage, Attempts, Finished, ListError, ListedAttempt};
use nexo_route::store::Store;

use super::rows::{account, claim_one, ended, endpoint, finish_all, keyring, over};

const ALL: AttemptPage = AttemptPage { limit: 100, starting_after: None, endpoint: None, delivery: None, state: None };

async fn list(store: &Store, account: AccountId, page: &AttemptPage) -> Result<AttemptListing, ListError> {
    Attempts::new(store.clone(), Arc::new(keyring())).list(account, page).await
}

pub(super) async fn all(store: &Store, account: AccountId) -> Vec<ListedAttempt> {
    list(store, account, &ALL).await.expect("a page").data
}

pub(super) async fn of_state(store: &Store, account: AccountId, state: AttemptState) -> Vec<ListedAttempt> {
    list(store, account, &AttemptPage { state: Some(state), ..ALL }).await.expect("a page").data
}

pub(super) async fn states(store: &Store, account: AccountId) -> Vec<&'static str> {
    all(store, account).await.iter().map(|attempt| attempt.state.as_str()).collect()
}

pub(super) async fn scoped(store: Store) {
    let (ours, theirs) = (account(&store).await, account(&store).await);
    let (target, stranger) = (endpoint(&store, ours).await, endpoint(&store, theirs).await);
    let (delivery, foreign) = (ended(&store, ours).await, ended(&store, theirs).await);
    let (mine, other) = (claim_one(&store, target).await, claim_one(&store, stranger).await);
    let result = Finished { fault: Some(Fault::Status), ..over(&mine, target, Outcome::Failed) };
    finish_all(&store, vec![result]).await;
    let listed = all(&store, ours).await;
    let [attempt] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((attempt.id, attempt.endpoint, attempt.delivery), (mine.attempt, target, delivery));
    assert_eq!((attempt.http_status, attempt.fault, attempt.phases.total_us), (Some(500), Some(Fault::Status), 7));
    assert_eq!((&*attempt.request, &*attempt.response), ("POST / HTTP/1.1\r\nHost: a", "500 oops"));
    assert_eq!(attempt.body.as_bytes(), mine.body);
    assert!(attempt.completed_at.is_some_and(|at| at >= attempt.started_at));

    let empty = |page: AttemptPage| {
        let store = store.clone();
        async move { list(&store, ours, &page).await.expect("a page").data.is_empty() }
    };
    assert!(empty(AttemptPage { endpoint: Some(stranger), ..ALL }).await);
    assert!(empty(AttemptPage { delivery: Some(foreign), ..ALL }).await);
    for cursor in [other.attempt, AttemptId::from_bytes([5; 16])] {
        let page = AttemptPage { starting_after: Some(cursor), ..ALL };
        assert_eq!(list(&store, ours, &page).await, Err(ListError::BadCursor));
    }
    assert!(list(&store, ours, &AttemptPage { starting_after: Some(mine.attempt), ..ALL }).await.is_ok());
}

pub(super) async fn filtered(store: Store) {
    let ours = account(&store).await;
    let (target, second) = (endpoint(&store, ours).await, endpoint(&store, ours).await);
    let mut ids = Vec::new();
    for outcome in [Some(Outcome::Accepted), Some(Outcome::Failed), None] {
        let delivery = ended(&store, ours).await;
        for endpoint in [target, second] {
            let claimed = claim_one(&store, endpoint).await;
            if let Some(outcome) = outcome {
                finish_all(&store, vec![over(&claimed, endpoint, outcome)]).await;
            }
            ids.push((claimed.attempt, endpoint, delivery));
        }
    }
    ids.sort_unstable();
    ids.reverse();
    let mut seen = Vec::new();
    let mut page = AttemptPage { limit: 4, ..ALL };
    loop {
        let found = list(&store, ours, &page).await.expect("a page");
        seen.extend(found.data.iter().map(|attempt| attempt.id));
        if !found.has_more {
            break;
        }
        page.starting_after = found.next_cursor;
    }
    assert_eq!(seen, ids.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), "everything once, newest first");
    let count = async |page: AttemptPage| list(&store, ours, &page).await.expect("a page").data.len();
    assert_eq!(count(AttemptPage { endpoint: Some(target), ..ALL }).await, 3);
    assert_eq!(count(AttemptPage { delivery: Some(ids[0].2), ..ALL }).await, 2);
    assert_eq!(count(AttemptPage { delivery: Some(ids[0].2), endpoint: Some(second), ..ALL }).await, 1);
    for (state, expected) in [
        (AttemptState::Sending, 2),
        (AttemptState::Unknown, 0),
        (AttemptState::Ended(Outcome::Accepted), 2),
        (AttemptState::Ended(Outcome::Failed), 2),
        (AttemptState::Ended(Outcome::Discarded), 0),
    ] {
        assert_eq!(count(AttemptPage { state: Some(state), ..ALL }).await, expected, "{state:?}");
    }
    let page = AttemptPage { state: Some(AttemptState::Sending), endpoint: Some(target), limit: 1, ..ALL };
    let found = list(&store, ours, &page).await.expect("a page");
    assert_eq!((found.data.len(), found.has_more), (1, false));
}
