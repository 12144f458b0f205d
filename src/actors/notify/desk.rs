//! The desk: which endpoint is claimed for and when, and what comes back.
//!
//! It owns every slot, the kept connections, one claim and one commit of results at a time. It never waits for either and
//! never sends itself: each claimed attempt becomes a task. It ends when what was claimed has been sent, or has failed, and
//! its results are durable; it claims nothing more then.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Gauge, gauge};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::Parts;
use super::claim::{Claim, Claimer, Lot};
use super::lines::Lines;
use super::outbox::{Look, Outbox};
use super::post::{Errand, Posted};
use super::recorder::Recorder;
use super::slots::{Ending, Slots};
use crate::actors::group_commit::GroupCommit;
use crate::domain::ids::EndpointId;
use crate::records::outbox::Demand;
use crate::store::StoreError;
use crate::telemetry::{count, names};

/// Endpoints and events of one claim: some milliseconds, where a statement may take 2 s.
const CLAIM_ENDPOINTS_MAX: usize = 64;
const CLAIM_ROWS_MAX: usize = 512;
/// Results of one transaction.
const RESULTS_BATCH_MAX: usize = 256;
/// Results that may wait while the database is away; beyond, nothing more is claimed.
const RESULTS_WAITING_MAX: usize = 4_096;
/// How long an endpoint rests of which an event cannot be claimed.
const STUCK_REST: Duration = Duration::from_secs(60);

pub(super) enum Message {
    /// Events of these endpoints have been queued.
    Wake(Vec<EndpointId>),
    Tick,
    Looked(Option<Result<Look, StoreError>>),
    /// `None`: the claimer was lost.
    Claimed(Option<Box<(Claimer, Claim)>>),
    Posted(Box<Posted>),
    Returned(Option<Recorder>),
    Finish(oneshot::Sender<()>),
    #[cfg(test)]
    Panic,
}

pub(super) struct Desk;

pub(super) struct State {
    parts: Arc<Parts>,
    /// Which life of the desk this is: slots of an earlier one are not this one's.
    birth: u64,
    slots: Slots,
    lines: Lines,
    claimer: Option<Claimer>,
    /// What the claim under way holds slots for.
    claiming: Vec<(EndpointId, usize)>,
    results: GroupCommit<Recorder>,
    /// For looks; the claimer has its own.
    outbox: Box<dyn Outbox>,
    looking: bool,
    look_after: Option<EndpointId>,
    /// Whether the last look failed: a database that is away is told of once.
    away: bool,
    finish: Option<oneshot::Sender<()>>,
    posts: Gauge,
    oldest: Gauge,
}

impl Actor for Desk {
    type Msg = Message;
    type State = State;
    type Arguments = (Arc<Parts>, u64);

    async fn pre_start(
        &self,
        desk: ActorRef<Message>,
        (parts, birth): (Arc<Parts>, u64),
    ) -> Result<State, ActorProcessingErr> {
        desk.send_interval(parts.poll_every, || Message::Tick);
        // What an earlier process has left is not to wait for the first tick.
        let _alive = desk.send_message(Message::Tick);
        let recording = Arc::clone(&parts);
        Ok(State {
            birth,
            slots: Slots::new(parts.posts_max, parts.posts_per_endpoint),
            lines: Lines::new(parts.posts_max),
            claimer: Some(Claimer::new(&parts)),
            claiming: Vec::new(),
            results: GroupCommit::new(RESULTS_BATCH_MAX, move || Recorder::new((recording.book)())),
            outbox: (parts.outbox)(),
            looking: false,
            look_after: None,
            away: false,
            finish: None,
            posts: gauge!(names::WEBHOOK_POSTS),
            oldest: gauge!(names::WEBHOOK_OUTBOX_OLDEST_SECONDS),
            parts,
        })
    }

    async fn handle(
        &self,
        desk: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Wake(endpoints) => state.due(endpoints),
            Message::Tick => state.tick(&desk),
            Message::Looked(look) => state.looked(look, &desk),
            Message::Claimed(back) => state.claimed(back),
            Message::Posted(posted) => state.posted(*posted),
            Message::Returned(recorder) => state.results.returned(recorder),
            Message::Finish(done) => state.finish = Some(done),
            #[cfg(test)]
            Message::Panic => panic!("on purpose"),
        }
        state.results.start(&state.parts.tasks, &desk, Message::Returned);
        state.claim(&desk);
        state.posts.set(count(state.slots.taken()));
        if state.is_idle()
            && let Some(done) = state.finish.take()
        {
            state.lines.close_all();
            let _nobody_waits = done.send(());
        }
        Ok(())
    }
}

impl State {
    fn due(&mut self, endpoints: Vec<EndpointId>) {
        let now = Instant::now();
        endpoints.into_iter().for_each(|endpoint| self.slots.due(endpoint, now));
    }

    fn tick(&mut self, desk: &ActorRef<Message>) {
        self.lines.close_idle();
        self.slots.forget_idle(Instant::now());
        self.look(desk);
    }

    /// Asks the outbox what is due, unless it is being asked.
    fn look(&mut self, desk: &ActorRef<Message>) {
        if self.looking || self.finish.is_some() {
            return;
        }
        self.looking = true;
        let look = self.outbox.look(self.look_after);
        let back = Back::new(desk, Message::Looked(None));
        self.parts.tasks.spawn(async move { back.with(Message::Looked(Some(look.await))) });
    }

    fn looked(&mut self, look: Option<Result<Look, StoreError>>, desk: &ActorRef<Message>) {
        self.looking = false;
        match look {
            Some(Ok(look)) => {
                if std::mem::take(&mut self.away) {
                    info!("webhooks go on");
                }
                if self.look_after.is_none() {
                    let now = self.parts.office.clock.now();
                    self.oldest.set(look.oldest.map_or(0.0, |oldest| now.since(oldest).as_secs_f64()));
                }
                self.due(look.due);
                self.look_after = look.next;
                if look.next.is_some() {
                    self.look(desk);
                }
            }
            Some(Err(why)) => {
                if !std::mem::replace(&mut self.away, true) {
                    warn!(%why, "webhooks wait for the database");
                }
            }
            None => error!("a look at the webhooks' outbox was lost"),
        }
    }

    /// Starts the next claim, if the claimer is at home and somebody is due and has a free slot.
    fn claim(&mut self, desk: &ActorRef<Message>) {
        if self.finish.is_some() || self.results.waiting() >= RESULTS_WAITING_MAX {
            return;
        }
        let Some(mut claimer) = self.claimer.take() else { return };
        self.claiming = self.slots.take(CLAIM_ENDPOINTS_MAX, CLAIM_ROWS_MAX, Instant::now());
        if self.claiming.is_empty() {
            self.claimer = Some(claimer);
            return;
        }
        let demand = |(endpoint, slots): &(EndpointId, usize)| Demand {
            endpoint: *endpoint,
            limit: i64::try_from(*slots).unwrap_or(i64::MAX),
        };
        let demands: Vec<Demand> = self.claiming.iter().map(demand).collect();
        let back = Back::new(desk, Message::Claimed(None));
        self.parts.tasks.spawn(async move {
            let claim = claimer.claim(demands).await;
            back.with(Message::Claimed(Some(Box::new((claimer, claim)))));
        });
    }

    fn claimed(&mut self, back: Option<Box<(Claimer, Claim)>>) {
        let now = Instant::now();
        let held = std::mem::take(&mut self.claiming);
        let (claimer, claim) = match back {
            Some(back) => *back,
            None => {
                error!("a claim of webhook events was lost");
                let again = held.iter().map(|(endpoint, _)| *endpoint).collect();
                (Claimer::new(&self.parts), Claim { again, ..Claim::default() })
            }
        };
        self.claimer = Some(claimer);
        for (endpoint, slots) in held {
            let used = claim.lots.iter().filter(|lot| lot.to.endpoint.id == endpoint);
            let used: usize = used.map(|lot| lot.attempts.len()).sum();
            (used..slots).for_each(|_| self.slots.free(endpoint, Ending::Unlearned, now));
        }
        for endpoint in &claim.stuck {
            self.slots.rest(*endpoint, now + STUCK_REST);
        }
        self.due(claim.again);
        self.due(claim.stuck);
        claim.lots.into_iter().for_each(|lot| self.send(lot));
    }

    fn send(&mut self, lot: Lot) {
        let Lot { to, attempts, since } = lot;
        for claimed in attempts {
            let way = self.lines.take(to.endpoint.id);
            let errand = Errand { birth: self.birth, to: Arc::clone(&to), claimed, since, way };
            self.parts.tasks.spawn_on(&self.parts.posts, errand.run(Arc::clone(&self.parts.office)));
        }
    }

    fn posted(&mut self, posted: Posted) {
        let Posted { birth, endpoint, ending, way, finished } = posted;
        if birth == self.birth {
            self.slots.free(endpoint, ending, Instant::now());
        }
        if let Some(way) = way.filter(|_| self.finish.is_none()) {
            self.lines.keep(endpoint, way);
        }
        if let Some(finished) = finished {
            self.results.push(finished);
        }
    }

    /// Whether nothing is claimed, under way or to be written.
    fn is_idle(&self) -> bool {
        self.claimer.is_some() && self.slots.taken() == 0 && self.results.is_idle()
    }
}

/// Tells the desk how a task of its own ended, even if the task panics.
struct Back {
    desk: ActorRef<Message>,
    message: Option<Message>,
}

impl Back {
    fn new(desk: &ActorRef<Message>, lost: Message) -> Self {
        Self { desk: desk.clone(), message: Some(lost) }
    }

    fn with(mut self, message: Message) {
        self.message = Some(message);
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            // A desk that has ended meanwhile has a successor with a claimer of its own.
            let _ended = self.desk.send_message(message);
        }
    }
}
