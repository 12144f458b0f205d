//! One bound session: what is sent, what comes, and when it is over.
//!
//! One task owns the connection, its window and its pace; it ends with the connection, and then every message of the window is
//! accounted for: one whose first octet the socket took is ambiguous, any other was certainly not sent. Receipts are answered
//! when they are durable; names are made durable apart from it (`naming`).

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use rusmpp::Pdu;
use tokio::io::{AsyncReadExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::board::Condition;
use super::dial::Socket;
use super::framing::{Frame, Frames};
use super::message;
use super::outbox::{Outbox, Submit};
use super::sequence::Sequence;
use super::shown::Shown;
use super::status::shown;
use super::tempo::Tempo;
use super::window::Window;
use crate::carrier::upstream::{FailureClass, NotDurable, Outcome};
use crate::clock::wall_now;
use crate::config::millis;
use crate::domain::delivery::CarrierStatus;

mod incoming;
mod timing;

/// Receipts that may await the database at once; then nothing more is read.
const PUTS_MAX: usize = 256;
/// PDUs that may await the socket; then nothing more is read either: an SMSC that writes and does not read gets no more memory.
const OUTBOX_MAX: usize = 1_024;
/// How long a session that the SMSC unbinds waits for answers that are under way.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Transceiver,
    Transmitter,
    Receiver,
}

impl Role {
    const fn sends(self) -> bool {
        matches!(self, Self::Transceiver | Self::Transmitter)
    }
}

/// Why a session is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Over {
    /// The connection is of no more use.
    Cut(&'static str),
    /// The SMSC asked for it.
    Unbound,
    /// We asked for it.
    Stopped,
}

/// On the way to the end.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    /// The SMSC's unbind is answered.
    Unbound { until: Instant },
    /// Nothing is taken any more; the unbind goes when the window is empty.
    Stopping,
    /// Our unbind is written.
    Unbinding { until: Instant },
}

type Reader = ReadHalf<Box<dyn Socket>>;
type Writer = WriteHalf<Box<dyn Socket>>;

/// A receipt whose fate is known: what is to be answered to which number.
struct Stored {
    command: u32,
    sequence: u32,
    result: Result<(), NotDurable>,
}

enum Event {
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Stored(Stored),
    Arrived,
    Stop,
    Abandon,
    Timer,
}

pub(super) struct Session {
    shared: Arc<Shared>,
    connection: usize,
    role: Role,
    reader: Reader,
    writer: Writer,
    /// What came before the bind was answered, until the session runs.
    early: Vec<Frame>,
    frames: Frames,
    outbox: Outbox,
    window: Window,
    tempo: Tempo,
    /// When the pace allows the next message, if one waits for it.
    due: Option<Instant>,
    sequence: Sequence,
    puts: FuturesUnordered<BoxFuture<'static, Stored>>,
    last_read: Instant,
    enquired: Option<Instant>,
    leaving: Option<Leaving>,
    shown: Shown,
}

impl Session {
    /// A session on a connection that is bound. `early` came before the answer to the bind; `frames` may hold what came with it.
    pub(super) fn new(
        shared: &Arc<Shared>,
        (connection, role): (usize, Role),
        (reader, writer): (Reader, Writer),
        (early, frames): (Vec<Frame>, Frames),
        sequence: Sequence,
    ) -> Self {
        let config = &shared.config;
        Self {
            connection,
            role,
            reader,
            writer,
            early,
            frames,
            outbox: Outbox::default(),
            window: Window::new(config.window, millis(config.response_timeout_ms)),
            tempo: Tempo::new(config.rate_per_second),
            due: None,
            sequence,
            puts: FuturesUnordered::new(),
            last_read: Instant::now(),
            enquired: None,
            leaving: None,
            shown: Shown::bound(&shared.meter),
            shared: Arc::clone(shared),
        }
    }

    /// Runs until the session is over.
    pub(super) async fn run(mut self) -> Over {
        self.post(if self.role.sends() { Condition::Sending } else { Condition::Listening });
        let early = std::mem::take(&mut self.early);
        let mut over = early.iter().find_map(|frame| self.incoming(frame)).or_else(|| self.read_frames());
        while over.is_none() {
            self.take_work();
            self.shown.window(self.window.len());
            let event = self.next_event().await;
            over = self.handle(event).or_else(|| self.leave());
        }
        self.post(Condition::Away);
        for awaited in self.window.drain() {
            if awaited.written.is_some() {
                self.shared.meter.ambiguous("cut");
                awaited.job.ambiguous("connection cut");
            } else {
                awaited.job.not_sent("link down");
            }
        }
        over.unwrap_or(Over::Stopped)
    }

    fn post(&self, condition: Condition) {
        self.shared.board.set(self.connection, condition, &self.shared.line);
    }

    fn may_take(&self) -> bool {
        self.role.sends() && self.leaving.is_none() && self.outbox.is_empty() && self.window.has_place()
    }

    /// Writes as many messages as the window and the pace allow. The socket has taken all of the last batch by then.
    fn take_work(&mut self) {
        self.due = None;
        if !self.may_take() {
            return;
        }
        while self.window.has_place() && !self.shared.line.is_empty() {
            if let Err(at) = self.tempo.take() {
                self.due = Some(at);
                // Another session may be free to take it.
                return self.shared.line.pass_on();
            }
            let Some(job) = self.shared.line.take() else { return };
            let window = &self.window;
            let sequence = self.sequence.next(|number| window.knows(number));
            let attempt = &job.attempt;
            let left = attempt.settle_by.saturating_duration_since(Instant::now());
            match message::submit(&self.shared.config, attempt, sequence, left, wall_now().plus(left)) {
                Ok(pdu) => {
                    self.outbox.push(pdu, Some(Submit { sequence, leave_by: attempt.leave_by }));
                    self.window.enter(sequence, job);
                }
                Err(error) => {
                    let status = CarrierStatus::clean(&error.to_string());
                    let _heard = job.resolve(Outcome::Refused { class: FailureClass::Misconfigured, status });
                }
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        // While the pace holds us back the line wakes nobody.
        let may_take = self.may_take() && self.due.is_none();
        let timer = self.next_timer();
        let Self { reader, writer, frames, outbox, puts, shared, leaving, .. } = self;
        tokio::select! {
            biased;
            () = shared.abandon.cancelled() => Event::Abandon,
            () = shared.stop.cancelled(), if leaving.is_none() => Event::Stop,
            // Before the wire, which may always have something: what is late is not written, and a flood stops no clock.
            () = reached(timer) => Event::Timer,
            wrote = outbox.write(writer), if outbox.has_work() => Event::Wrote(wrote),
            Some(stored) = puts.next(), if !puts.is_empty() => Event::Stored(stored),
            read = reader.read_buf(frames.buffer()), if puts.len() < PUTS_MAX && outbox.len() < OUTBOX_MAX => Event::Read(read),
            () = shared.line.arrived(), if may_take => Event::Arrived,
        }
    }

    fn handle(&mut self, event: Event) -> Option<Over> {
        match event {
            Event::Read(Ok(0)) => return Some(Over::Cut("closed")),
            Event::Read(Ok(_)) => {
                self.last_read = Instant::now();
                self.enquired = None;
                return self.read_frames();
            }
            Event::Read(Err(_)) | Event::Wrote(Err(_)) => return Some(Over::Cut("io")),
            Event::Wrote(Ok(written)) => {
                let now = Instant::now();
                self.outbox.advance(written).into_iter().for_each(|sequence| self.window.begun(sequence, now));
            }
            Event::Stored(stored) => self.answer_stored(stored),
            Event::Arrived => {}
            Event::Stop => {
                self.leaving = Some(Leaving::Stopping);
                self.post(Condition::Listening);
            }
            Event::Abandon => return Some(Over::Stopped),
            Event::Timer => return self.tick(Instant::now()),
        }
        None
    }

    /// Reads every whole PDU.
    fn read_frames(&mut self) -> Option<Over> {
        loop {
            match self.frames.next_frame() {
                Ok(Some(frame)) => {
                    if let Some(over) = self.incoming(&frame) {
                        return Some(over);
                    }
                }
                Ok(None) => return None,
                Err(error) => {
                    tracing::warn!(link = self.shared.id.as_str(), %error, "the stream of an SMSC makes no sense");
                    return Some(Over::Cut("bad_length"));
                }
            }
        }
    }

    fn request(&mut self, pdu: Pdu) {
        let window = &self.window;
        let sequence = self.sequence.next(|number| window.knows(number));
        self.outbox.push(message::request(pdu, sequence), None);
    }
}

/// Resolves at `at`, whoever woke us: after a stall of the whole process the socket may be heard of before the timer.
async fn reached(at: Instant) {
    let mut sleep = pin!(sleep_until(at));
    poll_fn(|context| if Instant::now() >= at { Poll::Ready(()) } else { sleep.as_mut().poll(context) }).await;
}

#[cfg(test)]
mod tests;
