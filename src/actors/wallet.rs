//! Wallet: charges, gathered into group commits and decided by the database.
//!
//! Accounts are split between shards; each shard owns one committing connection and has one transaction under way. It
//! never holds a balance. Whoever asked for a charge learns what became of it, or gives up and learns nothing: then a
//! charge that happened all the same is given back through tracking and never reported. That holds for a commit of
//! unknown outcome (resolved on a new connection while the shard goes on), for a caller who leaves between the commit and
//! the answer, and for a commit that panics.

mod handover;
mod locked;
mod part;
mod resolver;
mod teller;
mod told;

use std::fmt;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::handover::Refund;
use self::teller::{Bank, Charging, StoreBank, Teller};
use crate::actors::accept_health::AcceptHealth;
use crate::actors::group_commit::GroupCommit;
use crate::actors::supervise::{Budget, Child, Slot, Tasks};
use crate::clock::DatabaseClock;
use crate::config::WalletConfig;
use crate::domain::ids::AccountId;
use crate::records::acceptance::{Order, Verdict};
use crate::records::settlement::Settlement;
use crate::store::Store;

/// What became of an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Charge {
    /// The database decided, durably. `since` is before its transaction was sent, so nothing that the verdict claims is
    /// older: times that run from the claim are counted from there, however late the caller wakes.
    Decided { verdict: Verdict, since: Instant },
    /// The order is not charged; or it may be, and then it is given back as soon as that is known.
    Unavailable,
    /// The order is not charged: the database cannot take its rows, which is ours to mend.
    Internal,
}

/// The handle. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Wallet {
    shards: Arc<[Slot<Message>]>,
}

/// What every shard is made with.
struct Parts {
    batch_max: usize,
    bank: Arc<dyn Fn() -> Box<dyn Bank> + Send + Sync>,
    clock: DatabaseClock,
    health: AcceptHealth,
    tasks: Tasks,
    refund: Refund,
}

impl Wallet {
    /// Makes the handle and the branch of the tree that it speaks to. `health` is told of what is refused; `refund` ends a delivery whose charge nobody waits
    /// for any more; it must not block.
    #[must_use]
    pub fn new(
        config: &WalletConfig,
        store: &Store,
        clock: &DatabaseClock,
        health: &AcceptHealth,
        tasks: &Tasks,
        refund: impl Fn(Settlement) + Send + Sync + 'static,
    ) -> (Self, Child) {
        let store = store.clone();
        let parts = Parts {
            batch_max: config.batch_max,
            bank: Arc::new(move || Box::new(StoreBank::new(&store))),
            clock: clock.clone(),
            health: health.clone(),
            tasks: tasks.clone(),
            refund: Arc::new(refund),
        };
        Self::from_parts(config.shards, parts)
    }

    fn from_parts(shards: usize, parts: Parts) -> (Self, Child) {
        let parts = Arc::new(parts);
        let shards: Arc<[Slot<Message>]> = (0..shards).map(|_| Slot::vacant()).collect();
        let children = shards.iter().map(|slot| {
            let parts = Arc::clone(&parts);
            Child::actor("wallet shard", slot, move || (Shard, Arc::clone(&parts))).finishing(Message::Finish)
        });
        let branch = Child::supervisor("wallet", Budget::default(), children.collect());
        (Self { shards }, branch)
    }

    /// Asks for a charge and waits for the verdict, for a commit of unknown outcome until `give_up`. The caller holds a
    /// commit permit. A caller that drops this future gives up, and so does one that wakes after `give_up`, whatever lies
    /// ready then: a process that was stopped meanwhile must not act on an old charge.
    pub async fn charge(&self, order: Order, give_up: Instant) -> Charge {
        let (reply, mut decided) = oneshot::channel();
        if self.shard(order.account).cast(Message::Charge(Charging { order, reply })).is_err() {
            return Charge::Unavailable;
        }
        match tokio::time::timeout_at(give_up, &mut decided).await {
            Ok(Ok(handed)) => handed.take_by(give_up),
            // The shard was lost before the order was in a commit.
            Ok(Err(_)) => Charge::Unavailable,
            Err(_) => {
                // From here on a verdict goes back instead; a refusal that was handed over before still counts.
                decided.close();
                decided.try_recv().map_or(Charge::Unavailable, |handed| handed.take_by(give_up))
            }
        }
    }

    /// The last bytes of an id are random.
    fn shard(&self, account: AccountId) -> &Slot<Message> {
        let bytes = account.as_bytes();
        &self.shards[usize::from(u16::from_be_bytes([bytes[14], bytes[15]])) % self.shards.len()]
    }
}

enum Message {
    Charge(Charging),
    Returned(Option<Teller>),
    Finish(oneshot::Sender<()>),
    #[cfg(test)]
    Panic,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Charge(_) => "Charge",
            Self::Returned(_) => "Returned",
            Self::Finish(_) => "Finish",
            #[cfg(test)]
            Self::Panic => "Panic",
        })
    }
}

struct Shard;

struct State {
    group: GroupCommit<Teller>,
    tasks: Tasks,
    finish: Option<oneshot::Sender<()>>,
}

impl Actor for Shard {
    type Msg = Message;
    type State = State;
    type Arguments = Arc<Parts>;

    async fn pre_start(&self, _: ActorRef<Message>, parts: Arc<Parts>) -> Result<State, ActorProcessingErr> {
        let (tasks, batch_max) = (parts.tasks.clone(), parts.batch_max);
        let group = GroupCommit::new(batch_max, move || Teller::new(&parts));
        Ok(State { group, tasks, finish: None })
    }

    async fn handle(
        &self,
        shard: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Charge(charging) => state.group.push(charging),
            Message::Returned(teller) => state.group.returned(teller),
            Message::Finish(done) => state.finish = Some(done),
            #[cfg(test)]
            Message::Panic => panic!("on purpose"),
        }
        state.group.start(&state.tasks, &shard, Message::Returned);
        if state.group.is_idle()
            && let Some(done) = state.finish.take()
        {
            let _nobody_waits = done.send(());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
