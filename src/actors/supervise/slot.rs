//! The place where a handle finds the actor that is alive now.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use ractor::{ActorRef, Message, MessagingErr};

/// The current incarnation of one supervised actor. Handles hold clones; [`Child`](super::Child) fills it on every start.
pub struct Slot<M>(Arc<ArcSwapOption<ActorRef<M>>>);

impl<M> Clone for Slot<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> Default for Slot<M> {
    fn default() -> Self {
        Self::vacant()
    }
}

impl<M> fmt::Debug for Slot<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.load().is_some() { "Slot(filled)" } else { "Slot(vacant)" })
    }
}

impl<M> Slot<M> {
    /// Makes a slot in which nothing lives yet.
    #[must_use]
    pub fn vacant() -> Self {
        Self(Arc::new(ArcSwapOption::empty()))
    }

    /// Puts the incarnation that has just started into the slot.
    pub fn fill(&self, actor: ActorRef<M>) {
        self.0.store(Some(Arc::new(actor)));
    }
}

impl<M: Message> Slot<M> {
    /// Sends `message` to the incarnation that is alive.
    ///
    /// # Errors
    /// The message itself, if nobody is alive to take it (a restart is under way, or the house is stopping).
    pub fn cast(&self, message: M) -> Result<(), M> {
        let alive = self.0.load();
        let Some(actor) = alive.as_ref() else {
            return Err(message);
        };
        actor.send_message(message).map_err(|refused| match refused {
            MessagingErr::SendErr(message) => message,
            MessagingErr::ChannelClosed | MessagingErr::InvalidActorType => {
                unreachable!("a typed actor of this process gives a refused message back")
            }
        })
    }
}
