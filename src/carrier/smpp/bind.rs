//! One connection of a link, kept: dialled, bound, run, and after a wait begun anew.
//!
//! What comes before the bind is answered waits for it (`early`). A panic ends one session, not the link. An SMSC that says that our account is wrong is asked again once a minute at most,
//! by all connections together (`gate`).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rusmpp::Pdu;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::backoff::Backoff;
use super::board::Condition;
use super::codec::{self, Incoming};
use super::dial::{DialError, dial};
use super::early::{Early, TooMuch};
use super::framing::{Frame, Frames, Header};
use super::message;
use super::sequence::Sequence;
use super::session::{Over, Role, Session};
use super::status::{
    ALREADY_BOUND, BIND_FAILED, OK, UNKNOWN_ERROR, VENDOR_FIRST, VENDOR_LAST, is_wrong_account, label,
};
use super::{Crowded, Shared};
use crate::config::millis;

/// A session that was bound for so long shows that the SMSC is well.
const HELD: Duration = Duration::from_secs(10);

/// Why there is no session now.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("cannot connect: {0}")]
    Dial(#[from] DialError),
    #[error("cannot bind: {0}")]
    Io(#[from] std::io::Error),
    #[error("no answer in time")]
    TimedOut,
    #[error("the connection was closed before the bind was answered")]
    Closed,
    #[error("the SMSC refuses to bind: {} (0x{:02X})", label(*.0), .0)]
    Refused(u32),
    #[error("{0}")]
    TooMuch(#[from] TooMuch),
    #[error("{0}")]
    Config(#[from] message::DoesNotFit),
}

impl Failed {
    /// Whether somebody must mend it: waiting alone does not.
    fn is_misconfigured(&self) -> bool {
        match self {
            Self::Refused(status) => is_wrong_account(*status),
            Self::Dial(DialError::Tls(_)) | Self::Config(_) => true,
            Self::Dial(DialError::Connect(_) | DialError::Authorities(_))
            | Self::Io(_)
            | Self::TimedOut
            | Self::TooMuch(_)
            | Self::Closed => false,
        }
    }

    /// Whether it may be for another session of our account that there is none.
    const fn crowded(&self) -> Option<Crowded> {
        match self {
            Self::Refused(ALREADY_BOUND) => Some(Crowded::Said),
            Self::Refused(BIND_FAILED | UNKNOWN_ERROR | VENDOR_FIRST..=VENDOR_LAST) | Self::Io(_) | Self::Closed => {
                Some(Crowded::Perhaps)
            }
            Self::Refused(_) | Self::Dial(_) | Self::TimedOut | Self::TooMuch(_) | Self::Config(_) => None,
        }
    }
}

/// Keeps one connection until the link stops.
pub(super) async fn keep(shared: Arc<Shared>, connection: usize, role: Role) {
    let _stopped = kept(&shared, connection, role).await;
}

/// `None` when the link has stopped.
async fn kept(shared: &Arc<Shared>, connection: usize, role: Role) -> Option<()> {
    let mut backoff = Backoff::new(&shared.config);
    loop {
        let pass = meanwhile(shared, shared.gate.pass(|| shared.board.is_bound())).await?;
        let opened = meanwhile(shared, open(shared, connection, role)).await?;
        let wait = match opened {
            Ok(session) => {
                pass.accepted();
                shared.crowded.send_replace(None);
                let (bound_at, over) = (Instant::now(), watch(session).await);
                shared.board.set(connection, Condition::Away, &shared.line);
                if over == Over::Stopped {
                    return None;
                }
                note(shared, role, over);
                if bound_at.elapsed() >= HELD {
                    backoff.reset();
                }
                backoff.after_failure(rand::random())
            }
            Err(failed) => {
                if matches!(failed, Failed::TooMuch(_)) {
                    shared.meter.ended("too_much_before_bind");
                }
                shared.crowded.send_replace(failed.crowded());
                let is_misconfigured = failed.is_misconfigured();
                let condition = if is_misconfigured { Condition::Refused } else { Condition::Away };
                let wait = if is_misconfigured {
                    meanwhile(shared, shared.gate.refused(pass)).await?
                } else {
                    drop(pass);
                    backoff.after_failure(rand::random())
                };
                shared.board.set(connection, condition, &shared.line);
                tracing::warn!(link = shared.id.as_str(), ?role, error = %failed, wait_ms = wait.as_millis(), "no session");
                wait
            }
        };
        meanwhile(shared, sleep(wait)).await?;
    }
}

/// Awaits something while there is no session, and has the board look when it is to. `None` when the link stops.
async fn meanwhile<T>(shared: &Shared, awaited: impl Future<Output = T>) -> Option<T> {
    let mut awaited = pin!(awaited);
    loop {
        let look = shared.board.next_look();
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return None,
            () = sleep_until(look.unwrap_or_else(Instant::now)), if look.is_some() => shared.board.look(&shared.line),
            done = &mut awaited => return Some(done),
        }
    }
}

/// Runs a session in a task of its own, so that its panic is its own.
async fn watch(session: Session) -> Over {
    let mut task = JoinSet::new();
    task.spawn(session.run());
    match task.join_next().await {
        Some(Ok(over)) => over,
        Some(Err(_)) | None => Over::Cut("panicked"),
    }
}

fn note(shared: &Shared, role: Role, over: Over) {
    let why = match over {
        Over::Cut(why) => why,
        Over::Unbound => "unbound",
        Over::Stopped => "stopped",
    };
    shared.meter.ended(why);
    tracing::warn!(link = shared.id.as_str(), ?role, why, "a session ended");
}

/// Connects and binds, both within one time.
async fn open(shared: &Arc<Shared>, connection: usize, role: Role) -> Result<Session, Failed> {
    let session = timeout(millis(shared.config.connect_timeout_ms), bound(shared, connection, role));
    let session = session.await.map_err(|_| Failed::TimedOut)??;
    tracing::info!(link = shared.id.as_str(), ?role, "bound");
    Ok(session)
}

async fn bound(shared: &Arc<Shared>, connection: usize, role: Role) -> Result<Session, Failed> {
    let config = &shared.config;
    let (mut reader, mut writer) = tokio::io::split(dial(config).await?);
    let mut sequence = Sequence::starting_at(config.first_sequence);
    let number = sequence.next(|_| false);
    let (mut bind, mut frames) = (message::bind(config, role, number)?, Frames::default());
    let mut early = Early::default();
    writer.write_all_buf(&mut bind).await?;
    writer.flush().await?;
    loop {
        while let Some(frame) = next_frame(&mut frames)? {
            let Header { status, sequence: of, .. } = frame.header;
            match codec::read(&frame) {
                Incoming::BindResponse | Incoming::GenericNack if of != number => {}
                Incoming::BindResponse if status == OK => {
                    let received = (early.into_frames(), frames);
                    return Ok(Session::new(shared, (connection, role), (reader, writer), received, sequence));
                }
                Incoming::BindResponse => return Err(Failed::Refused(status)),
                // A refusal, whatever its status says.
                Incoming::GenericNack => {
                    return Err(Failed::Refused(if status == OK { UNKNOWN_ERROR } else { status }));
                }
                // Asked to see whether we live: that is true before the bind is answered, too.
                Incoming::EnquireLink => {
                    writer.write_all(&message::answer(Pdu::EnquireLinkResp, OK, of)).await?;
                    writer.flush().await?;
                }
                // Answers to nothing: we have asked for the bind alone.
                _ if frame.header.is_response() => {}
                _ => early.keep(frame)?,
            }
        }
        if reader.read_buf(frames.buffer()).await? == 0 {
            return Err(Failed::Closed);
        }
    }
}

fn next_frame(frames: &mut Frames) -> Result<Option<Frame>, Failed> {
    frames.next_frame().map_err(|error| Failed::Io(std::io::Error::other(error)))
}

#[cfg(test)]
mod tests;
