//! References: what carriers call attempts, and the receipts that bear only that.
//!
//! It owns the memory of recent names, a group commit for names and one for receipts that this node does not remember. They
//! are not the settler's: an ack waits for its name, and must not stand behind wallets that somebody holds locked. A receipt
//! whose attempt is found goes to that delivery's shard, on whatever node it came; one whose attempt is not is parked, and
//! looked at again each second until the sweeper drops it. It also writes which links still ask for receipts, and hands them what
//! those that are gone asked for.
//!
//! It never ends a delivery. What it forgets by a restart is in the database, or still with the links.

mod book;
mod finder;
mod matcher;
mod namer;
mod recent;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use metrics::counter;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::info;

pub(super) use book::{Book, StoreBook};
pub(super) use finder::ByReference;
use finder::Finder;
use matcher::Matcher;
use namer::Namer;
pub(super) use namer::Naming;
use recent::Recent;

use super::RECEIPT_WAIT;
use crate::actors::group_commit::GroupCommit;
use crate::actors::supervise::Tasks;
use crate::carrier::upstream::{Polling, Receipt, ReceiptState, TakenOver};
use crate::records::carrier_attempts::CarrierAttempt;
use crate::records::parked::Place;
use crate::telemetry::names;

/// How often what is parked is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Names that may wait while the database is away before links are told that theirs is not durable; receipts likewise.
pub(super) const WAITING_MAX: usize = 32_768;
/// Forms of names that are remembered: some 20 MB, and half a minute at a thousand attempts a second with four forms each.
const REMEMBERED_MAX: usize = 131_072;

/// Hands the receipt of an attempt to the shard of its delivery, which answers when it is durable.
pub(super) type Deliver = Arc<dyn Fn(CarrierAttempt, Receipt, oneshot::Sender<()>) + Send + Sync>;

pub(super) enum Message {
    Name(Naming),
    Receipt(ByReference),
    Poll(Polling, oneshot::Sender<TakenOver>),
    NamesWritten(Option<Namer>),
    ReceiptsParked(Option<Finder>),
    Tick,
    Finish(oneshot::Sender<()>),
    #[cfg(test)]
    Panic,
}

/// What it is made with.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) batch_max: usize,
    pub(super) book: Arc<dyn Book>,
    pub(super) deliver: Deliver,
    pub(super) tasks: Tasks,
}

pub(super) struct References;

pub(super) struct State {
    recent: Recent,
    names: GroupCommit<Namer>,
    receipts: GroupCommit<Finder>,
    matcher: Matcher,
    /// The walk that is under way, and where it ends.
    look: Option<JoinHandle<Place>>,
    look_from: Place,
    tasks: Tasks,
    finish: Option<oneshot::Sender<()>>,
}

impl Actor for References {
    type Msg = Message;
    type State = State;
    type Arguments = Parts;

    async fn pre_start(&self, references: ActorRef<Message>, parts: Parts) -> Result<State, ActorProcessingErr> {
        references.send_interval(TICK, || Message::Tick);
        let Parts { batch_max, book, deliver, tasks } = parts;
        let matcher = Matcher { book, deliver };
        let (of_names, of_receipts) = (matcher.clone(), matcher.clone());
        let spawner = tasks.clone();
        let namer = move || Namer { matcher: of_names.clone(), tasks: spawner.clone() };
        Ok(State {
            recent: Recent::new(REMEMBERED_MAX),
            names: GroupCommit::new(batch_max, namer),
            receipts: GroupCommit::new(batch_max, move || Finder { matcher: of_receipts.clone() }),
            matcher,
            look: None,
            look_from: Place::FIRST,
            tasks,
            finish: None,
        })
    }

    async fn handle(
        &self,
        references: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Name(naming) => state.name(naming),
            Message::Receipt(receipt) => state.receipt(receipt),
            Message::Poll(polling, reply) => state.poll(polling, reply),
            Message::NamesWritten(namer) => state.names.returned(namer),
            Message::ReceiptsParked(finder) => state.receipts.returned(finder),
            Message::Tick => state.tick(),
            Message::Finish(done) => state.finish = Some(done),
            #[cfg(test)]
            Message::Panic => panic!("on purpose"),
        }
        state.names.start(&state.tasks, &references, Message::NamesWritten);
        state.receipts.start(&state.tasks, &references, Message::ReceiptsParked);
        if state.names.is_idle()
            && state.receipts.is_idle()
            && let Some(done) = state.finish.take()
        {
            let _nobody_waits = done.send(());
        }
        Ok(())
    }
}

impl State {
    /// Remembered before it is durable: a receipt that comes now settles its delivery, which needs no name.
    fn name(&mut self, naming: Naming) {
        self.recent.remember(&naming.named);
        // Dropping the reply tells the link to try again.
        if self.names.waiting() < WAITING_MAX {
            self.names.push(naming);
        }
    }

    fn receipt(&mut self, item: ByReference) {
        if let Some(attempt) = self.recent.find(&item.sought) {
            (self.matcher.deliver)(attempt, item.receipt, item.reply);
        } else if item.receipt.state == ReceiptState::InProgress {
            // It ends nothing, whosever it is: not worth a read.
            counter!(names::RECEIPTS, "carrier" => "unknown", "state" => "in_progress").increment(1);
            let _gone = item.reply.send(());
        } else if self.receipts.waiting() < WAITING_MAX {
            self.receipts.push(item);
        }
    }

    /// Beside everything else: it is a link's own, every few seconds. Dropping the reply tells the link to say it again.
    fn poll(&self, polling: Polling, reply: oneshot::Sender<TakenOver>) {
        let taken_over = self.matcher.book.poll(polling);
        let taking_over = async move {
            match taken_over.await {
                Ok(taken_over) => drop(reply.send(taken_over)),
                Err(why) => info!(%why, "receipts that others asked for are not taken over yet"),
            }
        };
        let _runs_on = self.tasks.spawn(taking_over);
    }

    /// Looks at what is parked, one look at a time.
    fn tick(&mut self) {
        if let Some(look) = self.look.take() {
            if !look.is_finished() {
                self.look = Some(look);
                return;
            }
            // A look that panicked begins at the beginning.
            self.look_from = look.now_or_never().and_then(Result::ok).unwrap_or(Place::FIRST);
        }
        if self.finish.is_none() {
            let (matcher, from) = (self.matcher.clone(), self.look_from.clone());
            self.look = Some(self.tasks.spawn(async move { matcher.look(from).await }));
        }
    }
}
