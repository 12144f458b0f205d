//! Keys: who may call, all of it in memory.
//!
//! It owns the list of live key hashes and asks the database for the list's version every few moments; a change loads the
//! list anew. A look-up never touches the database, whether it hits or misses, and compares in constant time. A node whose
//! last good poll is too old knows nobody: a key that was revoked meanwhile must not pass. A restart of the actor keeps the
//! list, and its age.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use metrics::gauge;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::actors::supervise::{Child, Slot};
use crate::config::{KeysConfig, millis};
use crate::domain::api_key::KeyHash;
use crate::records::keys::{Changes, LiveKey, changes};
use crate::store::{Store, StoreError};
use crate::telemetry::{count, names};

/// Why a key does not authenticate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeysError {
    #[error("no live key has this hash")]
    Unknown,
    /// The list is too old to be believed: 503.
    #[error("the key list is stale")]
    Stale,
}

/// A key that authenticated, and the version of the list that knew it: an order is compared with the epoch by it.
#[derive(Clone, Debug)]
pub struct Known {
    pub key: Arc<LiveKey>,
    pub epoch: i64,
}

/// The handle. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keys {
    shared: Arc<Shared>,
    actor: Slot<Message>,
}

struct Shared {
    list: ArcSwap<List>,
    began: Instant,
    /// Microseconds from `began` to the start of the last good poll, plus one; zero if there was none.
    good_us: AtomicU64,
    /// The last good poll came when the one before it was too old already.
    lapsed: AtomicBool,
    stale_after: Duration,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.list.load())
    }
}

/// The live keys of one version, by the first eight bytes of their hash.
struct List {
    epoch: i64,
    by_prefix: HashMap<u64, Vec<Arc<LiveKey>>>,
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "List(epoch {}, {} keys)", self.epoch, self.by_prefix.len())
    }
}

impl List {
    fn new(epoch: i64, keys: Vec<LiveKey>) -> Self {
        let mut by_prefix: HashMap<u64, Vec<Arc<LiveKey>>> = HashMap::with_capacity(keys.len());
        for key in keys {
            by_prefix.entry(prefix(&key.hash)).or_default().push(Arc::new(key));
        }
        Self { epoch, by_prefix }
    }

    fn find(&self, hash: &KeyHash) -> Option<&Arc<LiveKey>> {
        let candidates = self.by_prefix.get(&prefix(hash))?;
        candidates.iter().find(|key| key.hash.as_bytes().ct_eq(hash.as_bytes()).into())
    }
}

fn prefix(hash: &KeyHash) -> u64 {
    hash.as_bytes().first_chunk().copied().map_or(0, u64::from_ne_bytes)
}

impl Shared {
    fn age(&self) -> Option<Duration> {
        let good_us = self.good_us.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.began.elapsed().saturating_sub(Duration::from_micros(good_us)))
    }

    /// At a good poll, before it counts: whether the list has become too old while it was under way.
    fn note_lapse(&self) {
        let lapsed = self.age().is_some_and(|age| age > self.stale_after);
        if lapsed && !self.lapsed.swap(lapsed, Ordering::Relaxed) {
            warn!("the key list was too old before this poll: the database was away, or is too slow or too far away");
        }
        self.lapsed.store(lapsed, Ordering::Relaxed);
    }
}

impl Keys {
    /// Makes the handle and the actor's place in the tree. Until the first good poll the list is stale.
    #[must_use]
    pub fn new(config: &KeysConfig, store: &Store) -> (Self, Child) {
        let store = store.clone();
        let source: Source = Arc::new(move |known| {
            let store = store.clone();
            Box::pin(async move {
                let changes = store.read_for_watch(move |tx| Box::pin(changes(tx, known))).await;
                if let Some(round_trip) = store.round_trip() {
                    gauge!(names::DATABASE_ROUND_TRIP_SECONDS).set(round_trip.as_secs_f64());
                }
                changes
            })
        });
        Self::from_source(config, source)
    }

    fn from_source(config: &KeysConfig, source: Source) -> (Self, Child) {
        let shared = Arc::new(Shared {
            list: ArcSwap::from_pointee(List::new(i64::MIN, Vec::new())),
            began: Instant::now(),
            good_us: AtomicU64::new(0),
            lapsed: AtomicBool::new(false),
            stale_after: millis(config.stale_after_ms),
        });
        let (actor, every) = (Slot::vacant(), millis(config.poll_ms));
        let given = Arc::clone(&shared);
        let child = Child::actor("keys", &actor, move || {
            (Poller { every, source: Arc::clone(&source), shared: Arc::clone(&given) }, ())
        });
        (Self { shared, actor }, child)
    }

    /// Finds the live key of a hash.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn authenticate(&self, hash: &KeyHash) -> Result<Known, KeysError> {
        if !self.fresh() {
            return Err(KeysError::Stale);
        }
        let list = self.shared.list.load();
        let key = list.find(hash).ok_or(KeysError::Unknown)?;
        Ok(Known { key: Arc::clone(key), epoch: list.epoch })
    }

    /// Whether the list is young enough to be believed.
    #[must_use]
    pub fn fresh(&self) -> bool {
        self.age().is_some_and(|age| age <= self.shared.stale_after)
    }

    /// Whether polls come often enough for the list to be believed all the time: not where the database is so far away that it
    /// is too old for a moment before each of them.
    #[must_use]
    pub fn steady(&self) -> bool {
        self.fresh() && !self.shared.lapsed.load(Ordering::Relaxed)
    }

    /// How long ago the last good poll began; `None` before there was one.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.shared.age()
    }

    /// Polls now; returns when the list is at least as new as this call, or `false` if the database could not be asked.
    /// Calls that come together share one poll.
    pub async fn reload(&self) -> bool {
        let (reply, reloaded) = oneshot::channel();
        let asked_at = Instant::now();
        self.actor.cast(Message::Reload { asked_at, reply }).is_ok() && reloaded.await.unwrap_or(false)
    }
}

/// Asks for the changes since a version; the store's in the house, a script in tests.
type Source = Arc<dyn Fn(i64) -> BoxFuture<'static, Result<Changes, StoreError>> + Send + Sync>;

#[derive(Debug)]
enum Message {
    Poll,
    Reload {
        asked_at: Instant,
        reply: oneshot::Sender<bool>,
    },
    #[cfg(test)]
    Panic,
}

struct Poller {
    every: Duration,
    source: Source,
    shared: Arc<Shared>,
}

/// The last poll.
struct Last {
    started: Instant,
    good: bool,
}

impl Actor for Poller {
    type Msg = Message;
    type State = Option<Last>;
    type Arguments = ();

    async fn pre_start(&self, poller: ActorRef<Message>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        poller.send_after(Duration::ZERO, || Message::Poll);
        Ok(None)
    }

    async fn handle(
        &self,
        poller: ActorRef<Message>,
        message: Message,
        last: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Poll => {
                let started = Instant::now();
                self.poll(last).await;
                // From start to start: what a poll takes, with a database far away, comes not on top.
                poller.send_after(self.every.saturating_sub(started.elapsed()), || Message::Poll);
            }
            Message::Reload { asked_at, reply } => {
                if last.as_ref().is_none_or(|last| last.started < asked_at) {
                    self.poll(last).await;
                }
                let _gone = reply.send(last.as_ref().is_some_and(|last| last.good));
            }
            #[cfg(test)]
            Message::Panic => panic!("on purpose"),
        }
        Ok(())
    }
}

impl Poller {
    async fn poll(&self, last: &mut Option<Last>) {
        let started = Instant::now();
        let known = self.shared.list.load().epoch;
        let was_good = last.as_ref().is_none_or(|last| last.good);
        let good = match (self.source)(known).await {
            Ok((epoch, keys)) => {
                if let Some(keys) = keys {
                    info!(epoch, keys = keys.len(), "the key list has changed");
                    gauge!(names::KEYS_LIVE).set(count(keys.len()));
                    self.shared.list.store(Arc::new(List::new(epoch, keys)));
                }
                self.shared.note_lapse();
                let since = started.saturating_duration_since(self.shared.began).as_micros();
                self.shared.good_us.store(u64::try_from(since).unwrap_or(u64::MAX - 1) + 1, Ordering::Release);
                true
            }
            Err(why) => {
                if was_good {
                    warn!(%why, "the key list cannot be polled");
                }
                false
            }
        };
        gauge!(names::KEYS_AGE_SECONDS).set(self.shared.age().unwrap_or_default().as_secs_f64());
        *last = Some(Last { started, good });
    }
}

#[cfg(test)]
mod tests;
