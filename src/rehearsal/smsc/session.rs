//! One connection: its bind, its submits and the receipts that go over it.
//!
//! One task reads, answers when answers fall due, delivers what is owed and writes, so that nothing of a session outlives it. It
//! ends with its connection, by unbind, by a bad length, or when the line is cut; receipts that were not acknowledged by then
//! are owed again. `binding`, `submitting` and `delivering` are what it does.

mod binding;
mod delivering;
mod submitting;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rusmpp::{CommandId, CommandStatus, Pdu};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::receipt::Receipt;
use super::wire;
use super::{Centre, Line};
use crate::carrier::simulator::Second;
use crate::carrier::smpp::framing::{Frame, Frames};

const BIND_WITHIN: Duration = Duration::from_secs(10);
/// Silence after which the other side is asked whether it is there, and how long it has to answer.
const IDLE: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A client that does not read what it is sent is not read any more either.
const UNSENT_MAX: usize = 1024 * 1024;

/// What a bind is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Transmitter,
    Receiver,
    Transceiver,
}

/// A receipt that was sent and is not acknowledged.
#[derive(Debug)]
struct InHand {
    receipt: Receipt,
    since: Instant,
}

/// An answer that falls due later.
#[derive(Debug)]
struct Later {
    sequence: u32,
    /// The id of what was taken, or the refusal.
    answer: Result<u64, CommandStatus>,
}

#[derive(Debug)]
pub(super) struct Session {
    centre: Arc<Centre>,
    number: u64,
    role: Option<Role>,
    /// The centre's limit for this bind.
    limit: Second,
    out: BytesMut,
    later: BTreeMap<(Instant, u64), Later>,
    submits: u64,
    /// Taken and not answered, those that never will be too.
    unanswered: usize,
    in_hand: HashMap<u32, InHand>,
    next_sequence: u32,
    opened: Instant,
    heard: Instant,
    asked: Option<Instant>,
    /// Ends when everything is written.
    ending: bool,
    /// Ends now.
    cut: bool,
}

impl Session {
    pub(super) fn new(centre: Arc<Centre>, number: u64) -> Self {
        let now = Instant::now();
        let limit = Second::new(centre.script.load().rate_per_second);
        Self {
            centre,
            number,
            role: None,
            limit,
            out: BytesMut::new(),
            later: BTreeMap::new(),
            submits: 0,
            unanswered: 0,
            in_hand: HashMap::new(),
            next_sequence: 0,
            opened: now,
            heard: now,
            asked: None,
            ending: false,
            cut: false,
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self, stream: TcpStream) {
        let why = self.serve(stream).await;
        for (_, InHand { receipt, .. }) in std::mem::take(&mut self.in_hand) {
            self.centre.mailbox.give_back(Instant::now(), receipt);
        }
        self.centre.journal.session(self.number, "ended", why);
        tracing::info!(session = self.number, why, "session ended");
    }

    async fn serve(&mut self, mut stream: TcpStream) -> &'static str {
        if stream.set_nodelay(true).is_err() {
            return "connection lost";
        }
        let (mut reader, mut writer) = stream.split();
        let (mut line, mut owed) = (self.centre.line.subscribe(), self.centre.mailbox.subscribe());
        // What happened to the line before it was watched counts too.
        line.mark_changed();
        let mut input = Frames::default();
        loop {
            let Some(wakes_at) = self.act(Instant::now()) else { return "time is out" };
            if self.cut {
                return "cut";
            }
            if self.ending && self.out.is_empty() {
                return "unbound";
            }
            tokio::select! {
                read = reader.read_buf(input.buffer()), if self.out.len() < UNSENT_MAX && !self.ending => match read {
                    Ok(1..) => if !self.hear(&mut input) { return "bad length" },
                    Ok(0) | Err(_) => return "connection lost",
                },
                written = writer.write_buf(&mut self.out), if !self.out.is_empty() => if written.is_err() {
                    return "connection lost";
                },
                Ok(()) = line.changed() => match *line.borrow_and_update() {
                    Line::Whole => {}
                    Line::Cut => return "cut",
                    Line::Stopping => self.ask(&Pdu::Unbind),
                },
                Ok(()) = owed.changed(), if self.receives() => {}
                () = tokio::time::sleep_until(wakes_at) => {}
            }
        }
    }

    /// Does what is due and returns when something will be; `None`: the other side is not there.
    fn act(&mut self, now: Instant) -> Option<Instant> {
        self.answer_due(now);
        let mut wakes_at = self.deliver_due(now);
        if let Some(((at, _), _)) = self.later.first_key_value() {
            wakes_at = wakes_at.min(*at);
        }
        let expected_by = match (self.role, self.asked) {
            (None, _) => self.opened + BIND_WITHIN,
            (_, Some(asked)) => asked + ANSWER_WITHIN,
            (_, None) => self.heard + IDLE,
        };
        if now < expected_by {
            return Some(wakes_at.min(expected_by));
        }
        if self.role.is_none() || self.asked.is_some() {
            return None;
        }
        self.asked = Some(now);
        self.ask(&Pdu::EnquireLink);
        Some(now + ANSWER_WITHIN)
    }

    /// Takes whole PDUs off the input; `false` if a length is none.
    fn hear(&mut self, input: &mut Frames) -> bool {
        (self.heard, self.asked) = (Instant::now(), None);
        while !self.ending && !self.cut {
            match input.next_frame() {
                Ok(Some(frame)) if wire::is_response(&frame) => self.response(&frame),
                Ok(Some(frame)) => self.request(&frame),
                Ok(None) => return true,
                Err(error) => {
                    tracing::warn!(session = self.number, %error, "the session is out of step");
                    return false;
                }
            }
        }
        true
    }

    fn request(&mut self, frame: &Frame) {
        let (sequence, id) = (frame.header.sequence, frame.header.command);
        match CommandId::from(id) {
            CommandId::BindTransmitter => self.bind(Role::Transmitter, frame),
            CommandId::BindReceiver => self.bind(Role::Receiver, frame),
            CommandId::BindTransceiver => self.bind(Role::Transceiver, frame),
            CommandId::EnquireLink => wire::put(&mut self.out, sequence, &Pdu::EnquireLinkResp),
            CommandId::Unbind => {
                wire::put(&mut self.out, sequence, &Pdu::UnbindResp);
                self.ending = true;
            }
            CommandId::SubmitSm if matches!(self.role, Some(Role::Transmitter | Role::Transceiver)) => {
                match wire::read(frame) {
                    Some(Pdu::SubmitSm(submit)) => self.submit(sequence, &submit),
                    _ => wire::put_refusal(&mut self.out, id, CommandStatus::EsmeRinvcmdlen, sequence),
                }
            }
            CommandId::SubmitSm => wire::put_refusal(&mut self.out, id, CommandStatus::EsmeRinvbndsts, sequence),
            _ => wire::put_nack(&mut self.out, sequence),
        }
    }

    fn ask(&mut self, pdu: &Pdu) {
        self.next_sequence = next(self.next_sequence);
        wire::put(&mut self.out, self.next_sequence, pdu);
    }
}

/// Sequence numbers are 1 to 0x7FFFFFFF (SMPP 3.4, 3.2).
const fn next(sequence: u32) -> u32 {
    if sequence >= 0x7FFF_FFFF { 1 } else { sequence + 1 }
}
