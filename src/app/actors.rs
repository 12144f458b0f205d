//! The actors, wired bottom-up: each is born with the handles of those it speaks to.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::links::{Beginnings, Links, OpaqueWitness, Paused};
use crate::actors::accept_health::{AcceptHealth, prober};
use crate::actors::auditor::auditor;
use crate::actors::cooldown::Cooldown;
use crate::actors::dispatch::{Beside, Dispatch, Fallback};
use crate::actors::keys::Keys;
use crate::actors::learning::Learning;
use crate::actors::notify::Notify;
use crate::actors::pauses::{Tell, pauses};
use crate::actors::supervise::{Budget, Tasks, Tree};
use crate::actors::sweeper::sweeper;
use crate::actors::tracking::Tracking;
use crate::actors::wallet::Wallet;
use crate::carrier::upstream::ReceiptSink;
use crate::clock::DatabaseClock;
use crate::config::carriers::CarrierTable;
use crate::config::{Config, DispatchConfig, millis};
use crate::domain::sealing::Keyring;
use crate::records::link_pauses;
use crate::routing::Routing;
use crate::store::Store;
use crate::webhook::courier::Courier;

/// Failed receipts that may wait for their second channel at once; what does not fit ends.
const FALLBACKS_MAX: usize = 8_192;

/// What the actors are made of.
#[derive(Clone, Debug)]
pub(super) struct Blueprint {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) clock: DatabaseClock,
    pub(super) carriers: CarrierTable,
    pub(super) routing: Routing,
    pub(super) witness: Option<OpaqueWitness>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) courier: Courier,
    /// The runtime on which webhooks are sent.
    pub(super) posts: Handle,
}

/// The tree that has grown, and the handles into it.
#[derive(Debug)]
pub(super) struct Actors {
    pub(super) tree: Tree,
    pub(super) accept_health: AcceptHealth,
    pub(super) cooldown: Cooldown,
    pub(super) wallet: Wallet,
    pub(super) tracking: Tracking<Fallback>,
    pub(super) keys: Keys,
    pub(super) learning: Learning,
    pub(super) dispatch: Dispatch,
    /// Where links put receipts.
    pub(super) sink: Arc<dyn ReceiptSink>,
    pub(super) links: Links,
}

/// From the claim of a window to the settle time (contract §3).
pub(super) const fn settle_after(config: &DispatchConfig) -> Duration {
    millis(config.dispatch_within_ms + config.receipt_wait_ms)
}

impl Actors {
    /// Starts every actor on the runtime that runs this.
    pub(super) async fn grow(blueprint: Blueprint, tasks: Tasks) -> anyhow::Result<Self> {
        let Blueprint { config, store, clock, carriers, routing, witness, keyring, courier, posts } = blueprint;
        let (fallen, fallbacks) = mpsc::channel(FALLBACKS_MAX);
        let (ring, sockets) = (Arc::clone(&keyring), posts.clone());
        let (notify, notify_branch) = Notify::new(&config.webhooks, &store, ring, courier, &tasks, posts, &clock);
        let wake = Arc::new(move |endpoints| notify.wake(endpoints));
        let (tracking, tracking_branch) =
            Tracking::new(&config.tracking, &config.dispatch, &store, &keyring, &tasks, fallen, wake);
        let (cooldown, cooldown_branch) = Cooldown::new();
        let (refund, accept_health) = (tracking.clone(), AcceptHealth::default());
        let (wallet, wallet_branch) =
            Wallet::new(&config.wallet, &store, &clock, &accept_health, &tasks, move |end| refund.settle_later(end));
        let (keys, keys_branch) = Keys::new(&config.keys, &store);
        let (learning, learning_branch) = Learning::new(&routing, &store);
        let sink = learning.sink(tracking.sink());
        let receipts_within = settle_after(&config.dispatch);
        let (simulator, learnt) = (config.simulator.clone(), learning.clone());
        let (from, tasked) = (Arc::clone(&sink), tasks.clone());
        let beginnings =
            Beginnings { simulator, sink: from, learning: learnt, witness, sockets, tasks: tasked, receipts_within };
        let paused = read_pauses(&store).await;
        let mut links = Links::new(beginnings, Arc::clone(&paused));
        let mut prepared = links.prepare(&carriers).await.map_err(anyhow::Error::msg)?;
        let plans = std::mem::take(&mut prepared.plans);
        links.take(prepared);
        let beside = Beside { cooldown: cooldown.clone(), tracking: tracking.clone() };
        let drain_within = millis(config.dispatch.dispatch_within_ms).min(millis(config.stop.grace_ms) / 2);
        let (dispatch, dispatch_branch) =
            Dispatch::new(&config.dispatch, drain_within, plans, Arc::new(beside), fallbacks);
        let pauses_branch = pauses(&store, pausing(&dispatch, paused));
        let keep_attempts = config.webhooks.keep_attempts();
        let sweeper = sweeper(&config.sweeper, keep_attempts, &store, settle_after(&config.dispatch));
        // Stopped in the reverse order: what still commits ends last, and what tells of it after that.
        let branches = vec![
            notify_branch,
            tracking_branch,
            cooldown_branch,
            wallet_branch,
            keys_branch,
            learning_branch,
            pauses_branch,
            dispatch_branch,
            sweeper,
            auditor(&store),
            prober(&accept_health, &store, millis(config.send.ack_wait_ms)),
        ];
        let tree = Tree::grow(Budget::default(), branches).await.context("an actor did not start")?;
        // Without a first list every caller would be told 503; if the database is away just now, they are.
        let _loaded = keys.reload().await;
        Ok(Self { tree, accept_health, cooldown, wallet, tracking, keys, learning, dispatch, sink, links })
    }
}

/// What operators had paused before; a database that is away now is asked again soon.
async fn read_pauses(store: &Store) -> Paused {
    let paused = store.read(|tx| Box::pin(link_pauses::list(tx))).await.unwrap_or_default();
    Arc::new(ArcSwap::from_pointee(paused.into_iter().map(|pause| pause.upstream).collect()))
}

/// Has every link of `dispatch` obey what operators say.
fn pausing(dispatch: &Dispatch, known: Paused) -> Tell {
    let dispatch = dispatch.clone();
    Arc::new(move |paused| {
        known.store(Arc::new(paused.clone()));
        for link in dispatch.links() {
            dispatch.pause(&link.upstream, paused.contains(&link.upstream));
        }
    })
}
