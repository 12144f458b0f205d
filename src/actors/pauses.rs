//! Pauses: which upstreams take no work because an operator said so.
//!
//! It owns the time between two looks at the rows and tells whoever was named at its birth what they say, each time: who is
//! told may have links that are newer than the last look. While the database is away, what was last read holds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tracing::{info, warn};

use crate::actors::supervise::{Child, Slot};
use crate::domain::reference::UpstreamId;
use crate::records::link_pauses;
use crate::store::Store;

/// A pause holds on every node within this and the time of a read.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who is told of all upstreams that are paused; every other one is not.
pub type Tell = Arc<dyn Fn(&BTreeSet<UpstreamId>) + Send + Sync>;

/// Makes the actor's place in the tree.
#[must_use]
pub fn pauses(store: &Store, tell: Tell) -> Child {
    let store = store.clone();
    Child::actor("pauses", &Slot::vacant(), move || (Pauses { store: store.clone(), tell: Arc::clone(&tell) }, ()))
}

struct Pauses {
    store: Store,
    tell: Tell,
}

struct Look;

#[derive(Debug, Default)]
struct Known {
    paused: BTreeSet<UpstreamId>,
    failing: bool,
}

impl Actor for Pauses {
    type Msg = Look;
    type State = Known;
    type Arguments = ();

    async fn pre_start(&self, pauses: ActorRef<Look>, (): ()) -> Result<Known, ActorProcessingErr> {
        pauses.send_after(Duration::ZERO, || Look);
        Ok(Known::default())
    }

    async fn handle(&self, pauses: ActorRef<Look>, _: Look, known: &mut Known) -> Result<(), ActorProcessingErr> {
        match self.store.read(|tx| Box::pin(link_pauses::list(tx))).await {
            Ok(rows) => {
                known.failing = false;
                let paused: BTreeSet<UpstreamId> = rows.into_iter().map(|pause| pause.upstream).collect();
                for upstream in paused.difference(&known.paused) {
                    info!(upstream = upstream.as_str(), "paused by an operator");
                }
                for upstream in known.paused.difference(&paused) {
                    info!(upstream = upstream.as_str(), "resumed by an operator");
                }
                (self.tell)(&paused);
                known.paused = paused;
            }
            Err(why) => {
                if !std::mem::replace(&mut known.failing, true) {
                    warn!(%why, "pauses of links cannot be read");
                }
            }
        }
        pauses.send_after(LOOK_EVERY, || Look);
        Ok(())
    }
}
