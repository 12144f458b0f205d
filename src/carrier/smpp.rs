//! A carrier behind an SMSC: SMPP 3.4 (`framing` and `codec` read, `lenient` where the codec cannot; `message` writes).
//!
//! A link keeps its connections (`bind` over `dial`, `early`, `gate` and `backoff`); each is a `session` with a `window`, a `tempo` and an
//! `outbox` of its own. All take from one `line`; the `board` makes the link's health of theirs. What an SMSC calls a message
//! (`forms`) is made durable (`naming`) before the message is accepted; a `receipt` is durable before it is answered.
//! Nothing here prints a code, a password or a whole phone.

pub mod codec;
pub mod framing;
pub mod receipt_text;

mod backoff;
mod bind;
mod board;
mod dial;
mod early;
mod forms;
mod gate;
mod lenient;
mod line;
mod message;
mod meter;
mod naming;
mod outbox;
mod receipt;
#[cfg(test)]
mod samples;
mod sequence;
mod session;
mod shown;
mod status;
mod tempo;
mod window;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::board::Board;
use self::gate::Gate;
use self::line::{Line, not_sent};
use self::meter::Meter;
use self::naming::Recent;
use self::session::Role;
use super::upstream::{Attempt, Capabilities, Health, Outcome, ReceiptSink, ReceiptTrust, Upstream};
use crate::config::millis;
use crate::config::upstreams::smpp::{BindMode, Receipts, SmppConfig};
use crate::domain::delivery::CarrierStatus;
use crate::domain::reference::UpstreamId;

/// Between what the grace allowed and the end of the tasks that it cuts.
const CUT: Duration = Duration::from_millis(250);

/// Another session of the account keeps a link from binding, or may: some SMSCs allow so many sessions and no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crowded {
    /// The SMSC says that the account is bound already.
    Said,
    /// It hung up, or refused without saying that anything is wrong.
    Perhaps,
}

/// What all connections of a link share.
#[derive(Debug)]
struct Shared {
    id: UpstreamId,
    config: SmppConfig,
    sink: Arc<dyn ReceiptSink>,
    line: Line,
    board: Board,
    gate: Gate,
    meter: Meter,
    recent: Recent,
    crowded: watch::Sender<Option<Crowded>>,
    tasks: TaskTracker,
    /// No more work is taken.
    stop: CancellationToken,
    /// Nothing is waited for any more.
    abandon: CancellationToken,
}

impl Shared {
    fn new(id: UpstreamId, config: &SmppConfig, sink: Arc<dyn ReceiptSink>, roles: &[Role]) -> Self {
        Self {
            line: Line::new(capabilities(config).in_flight_max),
            board: Board::new(roles),
            meter: Meter::new(&id),
            gate: Gate::new(config),
            recent: Recent::default(),
            crowded: watch::Sender::new(None),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            abandon: CancellationToken::new(),
            config: config.clone(),
            sink,
            id,
        }
    }
}

/// A link to an SMSC. Its connections end when it is dropped.
pub struct SmppLink {
    capabilities: Capabilities,
    shared: Arc<Shared>,
}

impl fmt::Debug for SmppLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmppLink({})", self.shared.id.as_str())
    }
}

impl SmppLink {
    /// Starts a link named `id` that reports to `sink`; it is down until the first connection is bound.
    #[must_use]
    pub fn start(id: UpstreamId, config: &SmppConfig, sink: Arc<dyn ReceiptSink>) -> Self {
        let roles: &[Role] = match config.bind {
            BindMode::Transceiver => &[Role::Transceiver],
            BindMode::TransmitterReceiver => &[Role::Transmitter, Role::Receiver],
        };
        let roles: Vec<Role> = (0..config.binds).flat_map(|_| roles).copied().collect();
        let shared = Arc::new(Shared::new(id, config, sink, &roles));
        for (connection, role) in roles.into_iter().enumerate() {
            shared.tasks.spawn(bind::keep(Arc::clone(&shared), connection, role));
        }
        Self { capabilities: capabilities(config), shared }
    }

    /// Whether another session keeps the link from binding, as its last try to bind ended.
    #[must_use]
    pub fn crowded(&self) -> watch::Receiver<Option<Crowded>> {
        self.shared.crowded.subscribe()
    }
}

fn capabilities(config: &SmppConfig) -> Capabilities {
    let binds = u32::try_from(config.binds).unwrap_or(u32::MAX);
    Capabilities {
        // Twice the windows: while names become durable, the windows are full of others.
        in_flight_max: config.binds.saturating_mul(config.window).saturating_mul(2),
        rate_per_second: config.rate_per_second.map(|rate| rate.saturating_mul(binds)),
        per_phone_gap: if config.per_phone_gap_ms == 0 { None } else { Some(millis(config.per_phone_gap_ms)) },
        receipts: match config.receipts {
            Receipts::Handset => ReceiptTrust::Handset,
            Receipts::Network => ReceiptTrust::Network,
            Receipts::Refunded => ReceiptTrust::Refunded,
            Receipts::Charged => ReceiptTrust::Charged,
        },
    }
}

impl Drop for SmppLink {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        self.shared.line.end("stopping");
        self.shared.abandon.cancel();
    }
}

impl Upstream for SmppLink {
    fn id(&self) -> &UpstreamId {
        &self.shared.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.shared.board.health()
    }

    fn dispatch(&self, attempt: Attempt) -> BoxFuture<'static, Outcome> {
        let (shared, leave_by) = (Arc::clone(&self.shared), attempt.leave_by);
        let (ticket, mut outcome) = match shared.line.join(attempt) {
            Ok(waiting) => waiting,
            Err(why) => return future::ready(not_sent(why)).boxed(),
        };
        async move {
            // A session that panicked takes its messages with it: they may have been sent.
            let lost = |_| Outcome::Ambiguous { status: CarrierStatus::clean("the session was lost") };
            tokio::select! {
                biased;
                known = &mut outcome => return known.unwrap_or_else(lost),
                () = sleep_until(leave_by) => {}
            }
            if let Some(late) = shared.line.leave(ticket) {
                return late;
            }
            outcome.await.unwrap_or_else(lost)
        }
        .boxed()
    }

    fn shutdown(&self, grace: Duration) -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&self.shared);
        shared.line.end("stopping");
        shared.stop.cancel();
        async move {
            shared.tasks.close();
            if timeout(grace, shared.tasks.wait()).await.is_err() {
                shared.abandon.cancel();
                let _cut = timeout(CUT, shared.tasks.wait()).await;
            }
        }
        .boxed()
    }
}
