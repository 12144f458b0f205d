//! One way to a carrier as every queue that uses it sees it: its pace, its window, and whether it was paused.
//!
//! An upstream may serve many queues. Its limits are one shared object, which outlives restarts of queues and exchanges of
//! routes; the last queue that leaves it closes it. A queue that waits for a link is woken when there is something to take.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::links::Blocked;
use super::meters::LinkMeters;
use super::sharing::{Seat, Sharing, Wake};
use super::speed::{Held, Speed};
use crate::carrier::pace::Pace;
use crate::carrier::upstream::{Health, Outcome, Upstream};
use crate::domain::reference::UpstreamId;

/// An upstream with its pace, its window and its pause.
pub struct Link {
    upstream: Arc<dyn Upstream>,
    pace: Option<Pace>,
    /// Attempts that await their outcome, of all queues.
    running: AtomicUsize,
    /// Queues that wait for something; whoever frees a place looks here first.
    waiting: AtomicUsize,
    paused: AtomicBool,
    /// How long attempts keep their place in the window.
    held: Held,
    sharing: Mutex<Sharing>,
    meters: LinkMeters,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({}, {} running)", self.id().as_str(), self.running())
    }
}

/// How a link is, for operators.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkState {
    pub upstream: UpstreamId,
    pub health: Health,
    pub paused: bool,
    /// Attempts that await their outcome.
    pub running: usize,
    /// The most that may.
    pub window: usize,
    /// The carrier's limit, if it has one.
    pub rate_per_second: Option<u32>,
}

impl Link {
    /// A link that nobody uses yet.
    #[must_use]
    pub fn new(upstream: Arc<dyn Upstream>) -> Arc<Self> {
        let pace = upstream.capabilities().rate_per_second.map(Pace::new);
        let ahead_max = pace.as_ref().map_or(1, Pace::burst);
        Arc::new(Self {
            meters: LinkMeters::new(upstream.id(), upstream.capabilities().in_flight_max.max(1)),
            upstream,
            pace,
            running: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            paused: AtomicBool::new(false),
            held: Held::default(),
            sharing: Mutex::new(Sharing::new(ahead_max)),
        })
    }

    #[must_use]
    pub fn id(&self) -> &UpstreamId {
        self.upstream.id()
    }

    #[must_use]
    pub fn upstream(&self) -> &Arc<dyn Upstream> {
        &self.upstream
    }

    /// Stops new work, or lets it come again. What is on the wire is not touched. Returns whether that changed anything.
    pub fn pause(&self, paused: bool) -> bool {
        let changed = self.paused.swap(paused, SeqCst) != paused;
        if changed {
            self.show();
        }
        changed
    }

    #[must_use]
    pub fn state(&self) -> LinkState {
        LinkState {
            upstream: self.id().clone(),
            health: *self.upstream.health().borrow(),
            paused: self.is_paused(),
            running: self.running(),
            window: self.window(),
            rate_per_second: self.upstream.capabilities().rate_per_second,
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(SeqCst)
    }

    /// Whether it is up and was not paused.
    pub(super) fn takes_work(&self) -> bool {
        *self.upstream.health().borrow() == Health::Up && !self.is_paused()
    }

    /// How fast attempts leave by it at most, as it answers of late.
    pub(super) fn speed(&self) -> Speed {
        let by_window = Speed::of_window(self.window(), self.held.mean());
        self.pace.as_ref().map_or(by_window, |pace| by_window.min(Speed::per_second(pace.per_second())))
    }

    /// Whether a phone that it took an attempt to is refused by it for a while.
    pub(super) fn has_gap(&self) -> bool {
        self.upstream.capabilities().per_phone_gap.is_some()
    }

    fn running(&self) -> usize {
        self.running.load(SeqCst)
    }

    fn window(&self) -> usize {
        self.upstream.capabilities().in_flight_max.max(1)
    }

    /// A queue will use it. `wake` has the queue look again.
    pub(super) fn join(&self, wake: Wake) -> Seat {
        // Not before: one that is prepared for routes that are refused has another's name.
        self.show();
        self.sharing().join(wake)
    }

    /// A queue uses it no more. Returns whether nobody does: then it is to be closed.
    pub(super) fn leave(&self, seat: Seat) -> bool {
        let mut sharing = self.sharing();
        let last = sharing.leave(seat);
        self.waiting.store(sharing.waiting(), SeqCst);
        last
    }

    /// Takes a place in the window and a permit of the pace, to be given back with [`Link::release`].
    pub(super) fn take(&self, seat: Seat) -> Result<(), Blocked> {
        let mut sharing = self.sharing();
        // Places are taken only here, under the lock.
        let mut taken = sharing.take(seat, self.running() < self.window(), self.pace.as_ref());
        if taken.is_err() {
            self.waiting.store(sharing.waiting(), SeqCst);
            // A place that became free before the line above woke nobody.
            if taken == Err(Blocked::Unknown) && self.running() < self.window() {
                taken = sharing.take(seat, true, self.pace.as_ref());
            }
        }
        if taken.is_ok() {
            self.meters.running(self.running.fetch_add(1, SeqCst) + 1);
        }
        taken
    }

    /// Gives a place back. Who waits for one is woken, but `by`, who looks by itself.
    pub(super) fn release(&self, by: Option<Seat>) {
        let before = self.running.fetch_sub(1, SeqCst);
        self.meters.running(before.saturating_sub(1));
        if self.waiting.load(SeqCst) > 0 {
            self.sharing().wake(by);
        }
    }

    /// The queue waits for nothing here any more.
    pub(super) fn content(&self, seat: Seat) {
        let mut sharing = self.sharing();
        sharing.content(seat);
        self.waiting.store(sharing.waiting(), SeqCst);
    }

    /// Has every queue that uses it look at it.
    pub(super) fn call_all(&self) {
        self.sharing().wake_all(|wake| {
            // Nobody alive to look: the next incarnation does.
            let _down = wake();
        });
    }

    /// An attempt that kept its place for `held` has its outcome.
    pub(super) fn attempted(&self, outcome: &Outcome, held: Duration) {
        self.meters.attempted(outcome);
        // What was not taken says nothing of how fast the carrier takes: it may refuse at once for being full.
        if !matches!(outcome, Outcome::NotSent { .. } | Outcome::Refused { .. }) {
            self.held.heard(held);
        }
    }

    /// Tells operators whether it takes work.
    pub(super) fn show(&self) {
        self.meters.show(*self.upstream.health().borrow(), self.is_paused());
    }

    /// Tells operators nothing of it any more.
    pub(super) fn hide(&self) {
        self.meters.show(Health::Down, false);
    }

    fn sharing(&self) -> MutexGuard<'_, Sharing> {
        self.sharing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
