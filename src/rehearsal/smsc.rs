//! An SMSC to rehearse with: it speaks SMPP 3.4 and does what the simulator's script says.
//!
//! Every connection is one session (`session`), which binds, submits and gets receipts. What is owed to a system id waits in one
//! `mailbox`, so that receipts come over whichever bind can receive, and a receipt that was not acknowledged comes again over the
//! next. The bytes are in `wire`, what becomes of a submit in `verdict`, the look of a receipt in `receipt`; the `journal` is for
//! whoever judges a client. The text of a message is never looked at, written or echoed.

mod journal;
mod mailbox;
mod receipt;
mod session;
mod verdict;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::carrier::simulator::Script;
use crate::clock;
use journal::Journal;
use mailbox::Mailbox;
pub use receipt::ReceiptForm;
use session::Session;

/// Connections at once; what comes above is closed.
const SESSIONS_MAX: usize = 256;
/// How long a stop waits for `unbind_resp`.
const UNBIND_WITHIN: Duration = Duration::from_secs(2);

/// How a number is written in a message id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdBase {
    Hex,
    Decimal,
}

impl IdBase {
    fn write(self, id: u64) -> String {
        match self {
            Self::Hex => format!("{id:x}"),
            Self::Decimal => id.to_string(),
        }
    }
}

/// Who may bind, and how the centre behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// SMPP has 15 characters at most; a longer one serves as well.
    pub system_id: String,
    /// SMPP has 8 characters at most; a longer one serves as well.
    pub password: String,
    pub script: Script,
    /// The message id in the answer to a submit.
    pub response_ids: IdBase,
    /// The message id in a receipt; real centres disagree with themselves.
    pub receipt_ids: IdBase,
    pub receipts: ReceiptForm,
    /// Gets one line of JSON for every bind, submit and acknowledged receipt; lines are appended.
    pub journal: Option<PathBuf>,
}

/// Whether the way to the centre stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    Whole,
    /// Every connection is cut, and new ones are closed at once.
    Cut,
    /// Sessions are unbound in good order.
    Stopping,
}

/// Cuts and mends the line and changes the script while the centre runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Controls {
    centre: Arc<Centre>,
}

impl Controls {
    /// Cuts every connection, until [`Controls::mend`]. What is owed is kept.
    pub fn cut(&self) {
        self.centre.line.send_replace(Line::Cut);
    }

    pub fn mend(&self) {
        self.centre.line.send_replace(Line::Whole);
    }

    /// Changes what becomes of further submits; the limit and the window hold for further binds.
    pub fn set_script(&self, script: Script) {
        self.centre.script.store(Arc::new(script));
    }

    /// Receipts that nobody has acknowledged yet.
    #[must_use]
    pub fn receipts_owed(&self) -> usize {
        self.centre.mailbox.owed()
    }
}

/// What all sessions share.
#[derive(Debug)]
struct Centre {
    settings: Settings,
    script: ArcSwap<Script>,
    line: watch::Sender<Line>,
    mailbox: Mailbox,
    journal: Journal,
    next_id: AtomicU64,
    next_session: AtomicU64,
}

impl Centre {
    /// A message id that no centre on this machine has given before.
    fn fresh_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

/// A centre that listens.
#[derive(Debug)]
pub struct Smsc {
    listener: TcpListener,
    centre: Arc<Centre>,
}

impl Smsc {
    /// Opens the port (0: a free one) and the journal; nothing is answered before [`Smsc::run`].
    ///
    /// # Errors
    /// The port or the journal cannot be opened.
    pub async fn bind(address: SocketAddr, settings: Settings) -> io::Result<Self> {
        let journal = Journal::open(settings.journal.as_deref(), &settings.password)?;
        let listener = TcpListener::bind(address).await?;
        let line = if settings.script.link_down { Line::Cut } else { Line::Whole };
        let centre = Centre {
            script: ArcSwap::from_pointee(settings.script.clone()),
            line: watch::Sender::new(line),
            mailbox: Mailbox::default(),
            journal,
            // The time, so that a centre that starts again does not repeat an id.
            next_id: AtomicU64::new(u64::try_from(clock::wall_now().micros()).unwrap_or(1)),
            next_session: AtomicU64::new(1),
            settings,
        };
        Ok(Self { listener, centre: Arc::new(centre) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not know.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    #[must_use]
    pub fn controls(&self) -> Controls {
        Controls { centre: Arc::clone(&self.centre) }
    }

    /// Serves until `stopped`; then unbinds every session.
    pub async fn run(self, stopped: impl Future<Output = ()>) {
        let Self { listener, centre } = self;
        let mut sessions = JoinSet::new();
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                () = &mut stopped => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if sessions.len() < SESSIONS_MAX && *centre.line.borrow() == Line::Whole => {
                        let number = centre.next_session.fetch_add(1, Ordering::Relaxed);
                        sessions.spawn(Session::new(Arc::clone(&centre), number).run(stream));
                    }
                    Ok(_closed_at_once) => {}
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_ended) = sessions.join_next() => {}
            }
        }
        centre.line.send_replace(Line::Stopping);
        let ended = async { while sessions.join_next().await.is_some() {} };
        let _all_or_out_of_time = tokio::time::timeout(UNBIND_WITHIN, ended).await;
    }
}

#[cfg(test)]
mod tests;
