//! Keys alone, with a scripted database.

use std::sync::Mutex;

use futures_util::future::join_all;

use super::*;
use crate::actors::supervise::{Budget, Tree};
use crate::domain::allowlist::Allowlist;
use crate::domain::ids::{AccountId, KeyId};

#[derive(Default)]
struct Rows {
    epoch: i64,
    live: Vec<u8>,
    away: bool,
    polls: usize,
    loads: usize,
}

struct House {
    keys: Keys,
    rows: Arc<Mutex<Rows>>,
    _tree: Tree,
}

fn hash(number: u8) -> KeyHash {
    KeyHash::from_bytes([number; 32])
}

fn key(number: u8) -> LiveKey {
    let id = [number; 16];
    LiveKey {
        hash: hash(number),
        key: KeyId::from_bytes(id),
        account: AccountId::from_bytes(id),
        allowlist: Allowlist::default(),
    }
}

impl House {
    async fn new(live: &[u8]) -> Self {
        let rows = Arc::new(Mutex::new(Rows { live: live.to_vec(), ..Rows::default() }));
        let given = Arc::clone(&rows);
        let source: Source = Arc::new(move |known| {
            let mut rows = given.lock().expect("no panic holds it");
            rows.polls += 1;
            let answer = if rows.away {
                Err(StoreError::Unavailable("scripted".into()))
            } else if rows.epoch == known {
                Ok((known, None))
            } else {
                rows.loads += 1;
                Ok((rows.epoch, Some(rows.live.iter().copied().map(key).collect())))
            };
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                answer
            })
        });
        let (keys, child) = Keys::from_source(&KeysConfig { poll_ms: 250, stale_after_ms: 1_000 }, source);
        let tree = Tree::grow(Budget::default(), vec![child]).await.expect("starts");
        Self { keys, rows, _tree: tree }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Rows) -> T) -> T {
        change(&mut self.rows.lock().expect("no panic holds it"))
    }

    fn ask(&self, number: u8) -> Result<i64, KeysError> {
        self.keys.authenticate(&hash(number)).map(|known| known.epoch)
    }
}

#[tokio::test(start_paused = true)]
async fn the_list_is_stale_until_the_first_good_poll() {
    let house = House::new(&[1, 2]).await;
    assert_eq!((house.ask(1), house.keys.age()), (Err(KeysError::Stale), None));
    assert!(house.keys.reload().await);
    assert_eq!((house.ask(1), house.keys.age()), (Ok(0), Some(Duration::from_millis(1))));
    assert_eq!(house.ask(3), Err(KeysError::Unknown));
    let known = house.keys.authenticate(&hash(2)).expect("live");
    assert_eq!(known.key.account, AccountId::from_bytes([2; 16]));
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_is_refused_after_the_next_poll() {
    let house = House::new(&[1, 2]).await;
    assert!(house.keys.reload().await);
    house.with(|rows| (rows.epoch, rows.live) = (1, vec![2]));
    tokio::time::sleep(Duration::from_millis(260)).await;
    assert_eq!((house.ask(1), house.ask(2)), (Err(KeysError::Unknown), Ok(1)));
    assert_eq!(house.with(|rows| rows.loads), 2, "the list is read when it has changed, not at every poll");
}

#[tokio::test(start_paused = true)]
async fn a_look_up_never_asks_the_database_and_reloads_are_shared() {
    let house = House::new(&[1]).await;
    assert!(house.keys.reload().await);
    let polls = house.with(|rows| rows.polls);
    for number in 0..100 {
        let _known_or_not = house.ask(number);
    }
    assert_eq!(house.with(|rows| rows.polls), polls);
    tokio::time::advance(Duration::from_micros(1)).await;
    assert!(join_all((0..100).map(|_| house.keys.reload())).await.into_iter().all(|good| good));
    assert_eq!(house.with(|rows| rows.polls), polls + 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_polled_is_not_believed_for_long() {
    let house = House::new(&[1]).await;
    assert!(house.keys.reload().await);
    // The first poll of the poller's own is over.
    tokio::time::sleep(Duration::from_millis(10)).await;
    house.with(|rows| rows.away = true);
    assert!(!house.keys.reload().await);
    tokio::time::sleep(Duration::from_millis(980)).await;
    assert_eq!(house.ask(1), Ok(0), "a second is tolerated");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!((house.ask(1), house.keys.fresh()), (Err(KeysError::Stale), false));
    assert!(house.keys.age() > Some(Duration::from_millis(1_000)));
    assert_eq!(house.ask(9), Err(KeysError::Stale), "nobody learns which keys exist");
    house.with(|rows| rows.away = false);
    tokio::time::sleep(Duration::from_millis(260)).await;
    assert_eq!(house.ask(1), Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_poller_that_panics_starts_again_with_the_list() {
    let house = House::new(&[1]).await;
    assert!(house.keys.reload().await);
    assert!(house.keys.actor.cast(Message::Panic).is_ok());
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(house.ask(1), Ok(0));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(house.ask(1), Ok(0), "it polls again");
}

#[test]
fn two_hashes_with_one_prefix_are_two_keys() {
    let mut twin = *hash(1).as_bytes();
    twin[31] ^= 1;
    let twin = KeyHash::from_bytes(twin);
    let list = List::new(1, vec![key(1), LiveKey { hash: twin, ..key(2) }]);
    assert_eq!(list.find(&hash(1)).map(|key| key.account), Some(AccountId::from_bytes([1; 16])));
    assert_eq!(list.find(&twin).map(|key| key.account), Some(AccountId::from_bytes([2; 16])));
    let mut other = *hash(1).as_bytes();
    other[30] ^= 1;
    assert!(list.find(&KeyHash::from_bytes(other)).is_none());
}
