//! The actor that takes failed deliveries back from tracking and gives them to their carrier's queues.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::job::Fallback;
use super::lanes::Lanes;

/// What tracking hands back. Behind a lock, because it outlives an incarnation of the relay; only one of them holds it.
pub(super) type Returned = Arc<Mutex<mpsc::Receiver<Box<Fallback>>>>;

pub(super) struct Relay;

pub(super) enum Message {
    #[cfg(test)]
    Panic,
}

pub(super) struct State {
    returned: Returned,
    _relaying: JoinSet<()>,
}

impl Actor for Relay {
    type Msg = Message;
    type State = State;
    type Arguments = (Arc<Lanes>, Returned);

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        (lanes, returned): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let mut relaying = JoinSet::new();
        let source = Arc::clone(&returned);
        relaying.spawn(async move {
            let mut source = source.lock().await;
            while let Some(fallback) = source.recv().await {
                lanes.fall_back(*fallback);
            }
        });
        Ok(State { returned, _relaying: relaying })
    }

    async fn handle(&self, _: ActorRef<Message>, message: Message, _: &mut State) -> Result<(), ActorProcessingErr> {
        match message {
            #[cfg(test)]
            Message::Panic => panic!("on purpose"),
        }
    }

    /// From here on a failed receipt ends its delivery, whatever channel it would have left.
    async fn post_stop(&self, _: ActorRef<Message>, state: &mut State) -> Result<(), ActorProcessingErr> {
        state._relaying.shutdown().await;
        state.returned.lock().await.close();
        Ok(())
    }
}
