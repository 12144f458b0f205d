//! The actor of one shard: what it is told and what it does about it.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Gauge, counter, gauge};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::warn;

use super::postponed::Postponed;
use super::settler::{Ending, Reply, Settler, Work};
use super::unwritten::Unwritten;
use super::watching::{Failed, Needs, Watching};
use super::{InFlight, Parts, failure_code};
use crate::actors::group_commit::GroupCommit;
use crate::actors::supervise::Tasks;
use crate::carrier::upstream::{FailureClass, Receipt, ReceiptState};
use crate::domain::carrier::{Carrier, Channel};
use crate::domain::delivery::{End, FailureCode, WindowAfter};
use crate::domain::ids::DeliveryId;
use crate::domain::reference::UpstreamId;
use crate::records::idempotency::AnswerRecord;
use crate::records::settlement::{Move, Settled, Settlement};
use crate::telemetry::names;

/// How often the settle clock is looked at.
const TICK: Duration = Duration::from_secs(1);
/// A mistake in settings at a provider is told of so often.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Ends that may wait in one shard while the database is away before its links are told to keep their receipts.
pub(super) const RECEIPTS_WAITING_MAX: usize = 32_768;

pub(super) enum Message<J> {
    Watch(InFlight<J>),
    Settle {
        settlement: Settlement,
        reply: Option<oneshot::Sender<Settled>>,
    },
    Receipt {
        delivery: DeliveryId,
        channel: Channel,
        receipt: Receipt,
        reply: oneshot::Sender<()>,
    },
    Answered(AnswerRecord, Option<Unwritten>),
    /// Ends that were postponed.
    Again(Vec<Ending>),
    Returned(Option<Settler>),
    Tick,
    Finish(oneshot::Sender<()>),
    #[cfg(test)]
    Panic,
}

pub(super) struct Shard<J> {
    number: usize,
    jobs: PhantomData<fn(J)>,
}

impl<J> Shard<J> {
    pub(super) fn new(number: usize) -> Self {
        Self { number, jobs: PhantomData }
    }
}

pub(super) struct State<J> {
    watching: Watching<J>,
    group: GroupCommit<Settler>,
    postponed: Postponed,
    tasks: Tasks,
    needs: Needs,
    fallbacks: mpsc::Sender<Box<J>>,
    finish: Option<oneshot::Sender<()>>,
    in_flight: Gauge,
    /// When the log last told of a receipt by an upstream that was not given its attempt.
    told_of_misdirected: Option<Instant>,
}

/// What a failed receipt does.
enum Judged {
    Ends(End),
    /// The delivery is not known here.
    EndsUnlessMoved(End),
    /// It goes on to its second channel.
    Moves,
    Nothing,
}

impl<J: Send + 'static> Actor for Shard<J> {
    type Msg = Message<J>;
    type State = State<J>;
    type Arguments = Arc<Parts<J>>;

    async fn pre_start(
        &self,
        shard: ActorRef<Message<J>>,
        parts: Arc<Parts<J>>,
    ) -> Result<State<J>, ActorProcessingErr> {
        shard.send_interval(TICK, || Message::Tick);
        let (ledger, wake) = (Arc::clone(&parts.ledger), Arc::clone(&parts.wake));
        // If the shard has ended meanwhile, the sweeper ends them.
        let back = move |ends| drop(shard.cast(Message::Again(ends)));
        let postponed = Postponed::new(&parts.tasks, Arc::new(back));
        let settlers = postponed.clone();
        Ok(State {
            watching: Watching::default(),
            group: GroupCommit::new(parts.batch_max, move || {
                Settler::new(ledger(), Arc::clone(&wake), settlers.clone())
            }),
            postponed,
            tasks: parts.tasks.clone(),
            needs: parts.needs,
            fallbacks: parts.fallbacks.clone(),
            finish: None,
            in_flight: gauge!(names::DELIVERIES_IN_FLIGHT, "shard" => self.number.to_string()),
            told_of_misdirected: None,
        })
    }

    async fn handle(
        &self,
        shard: ActorRef<Message<J>>,
        message: Message<J>,
        state: &mut State<J>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Watch(delivery) => state.watch(delivery),
            Message::Settle { settlement, reply } => state.end(settlement, reply.map_or(Reply::Nobody, Reply::Caller)),
            Message::Receipt { delivery, channel, receipt, reply } => {
                state.receipt((delivery, channel), receipt, reply);
            }
            Message::Answered(answer, unwritten) => state.group.push(Work::Answer(answer, unwritten)),
            Message::Again(ends) => {
                state.postponed.returned(ends.len());
                ends.into_iter().for_each(|end| state.group.push(Work::End(end)));
            }
            Message::Returned(settler) => state.group.returned(settler),
            Message::Tick => state.tick(),
            Message::Finish(done) => state.finish = Some(done),
            #[cfg(test)]
            Message::Panic => panic!("on purpose"),
        }
        state.group.start(&state.tasks, &shard, Message::Returned);
        if state.group.is_idle()
            && state.postponed.len() == 0
            && let Some(done) = state.finish.take()
        {
            let _nobody_waits = done.send(());
        }
        Ok(())
    }
}

impl<J> State<J> {
    fn end(&mut self, settlement: Settlement, reply: Reply) {
        let life = self.watching.end(settlement.delivery);
        self.group.push(Work::End(Ending { settlement, life, reply }));
    }

    fn receipt(&mut self, of: (DeliveryId, Channel), receipt: Receipt, reply: oneshot::Sender<()>) {
        let (delivery, channel) = of;
        // Looked at before the receipt is judged, which takes the fallback: dropping the reply tells the link to keep the
        // receipt, and it is judged when it comes again. What the settle clock knows stays known.
        if self.group.waiting() + self.postponed.len() >= RECEIPTS_WAITING_MAX {
            return;
        }
        if !self.watching.may_be_of(delivery, &receipt.upstream) {
            self.misdirected(delivery, &receipt.upstream);
        }
        let (end, unless_moved) = match receipt.state {
            ReceiptState::InProgress => {
                self.count(delivery, "in_progress");
                let _gone = reply.send(());
                return;
            }
            ReceiptState::Delivered if !self.watching.may_be_of(delivery, &receipt.upstream) => {
                self.count(delivery, "stale");
                let _gone = reply.send(());
                return;
            }
            ReceiptState::Delivered => {
                self.count(delivery, "delivered");
                (End::Delivered { carrier_status: receipt.status }, false)
            }
            ReceiptState::Failed(class) => match self.failed(of, &receipt, class) {
                Judged::Ends(end) => (end, false),
                Judged::EndsUnlessMoved(end) => (end, true),
                // Durable before it is acknowledged, like an end: the same receipt may come again, to another node.
                Judged::Moves => return self.moves(delivery, channel.other(), Reply::Link(reply)),
                Judged::Nothing => {
                    let _gone = reply.send(());
                    return;
                }
            },
        };
        let window = WindowAfter::Keep;
        self.end(Settlement { delivery, end, channel: Some(channel), unless_moved, window }, Reply::Link(reply));
    }

    /// The upstream was given no attempt at the delivery: its callback URL stands where another one's should.
    fn misdirected(&mut self, delivery: DeliveryId, upstream: &UpstreamId) {
        counter!(names::RECEIPTS_MISDIRECTED, "upstream" => upstream.as_str().to_owned()).increment(1);
        if self.told_of_misdirected.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            self.told_of_misdirected = Some(Instant::now());
            let upstream = upstream.as_str();
            warn!(upstream, %delivery, "a receipt came by an upstream that was not given the attempt: it changes nothing");
        }
    }

    /// What a failed receipt does to its delivery.
    fn failed(&mut self, of: (DeliveryId, Channel), receipt: &Receipt, class: FailureClass) -> Judged {
        let (delivery, _) = of;
        let end = || End::Failed { code: failure_code(class), carrier_status: Some(receipt.status.clone()) };
        match self.watching.failed(of, &receipt.upstream, self.needs, Instant::now()) {
            Failed::Stale => {
                self.count(delivery, "stale");
                Judged::Nothing
            }
            Failed::FallsBack(job) => {
                // No channel reaches a number that does not exist.
                if class != FailureClass::InvalidNumber && self.fallbacks.try_send(job).is_ok() {
                    self.count(delivery, "fallback");
                    return Judged::Moves;
                }
                self.count(delivery, "failed");
                Judged::Ends(end())
            }
            Failed::Ends => {
                self.count(delivery, "failed");
                Judged::Ends(end())
            }
            Failed::Unknown => {
                self.count(delivery, "failed");
                Judged::EndsUnlessMoved(end())
            }
        }
    }

    fn watch(&mut self, new: InFlight<J>) {
        if new.moved {
            self.moves(new.delivery, new.channel, Reply::Nobody);
        }
        self.watching.watch(new);
    }

    /// Whoever else gets a receipt of the delivery's first channel is to know that it is on its second one.
    fn moves(&mut self, delivery: DeliveryId, channel: Channel, reply: Reply) {
        self.group.push(Work::Move(Move { delivery, channel }, reply));
    }

    fn tick(&mut self) {
        for (delivery, channel, life) in self.watching.overdue(Instant::now()) {
            let end = End::Failed { code: FailureCode::Timeout, carrier_status: None };
            let settlement = Settlement { delivery, end, channel, unless_moved: false, window: WindowAfter::Keep };
            self.group.push(Work::End(Ending { settlement, life: Some(life), reply: Reply::Nobody }));
        }
        self.in_flight.set(f64::from(u32::try_from(self.watching.len()).unwrap_or(u32::MAX)));
    }

    fn count(&self, delivery: DeliveryId, state: &'static str) {
        let carrier = self.watching.carrier(delivery).map_or("unknown", Carrier::as_str).to_owned();
        counter!(names::RECEIPTS, "carrier" => carrier, "state" => state).increment(1);
    }
}
