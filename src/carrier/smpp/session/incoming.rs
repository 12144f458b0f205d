//! What a session does with a PDU that came.
//!
//! Whatever asks for an answer gets one, whether or not its body can be read.

use std::sync::Arc;

use futures_util::FutureExt;
use rusmpp::Pdu;
use rusmpp::pdus::{DataSmResp, DeliverSmResp};
use tokio::time::Instant;

use super::{DRAIN_MAX, Leaving, Over, Session, Stored, shown};
use crate::carrier::smpp::board::Condition;
use crate::carrier::smpp::codec::{self, Delivery, Incoming, command};
use crate::carrier::smpp::forms::{Told, forms};
use crate::carrier::smpp::framing::{Frame, Header};
use crate::carrier::smpp::line::Job;
use crate::carrier::smpp::receipt::{Report, report};
use crate::carrier::smpp::status::{
    INVALID_COMMAND, Meaning, OK, TEMPORARY_APP_ERROR, THROTTLED, UNKNOWN_ERROR, meaning,
};
use crate::carrier::smpp::tempo::Whose;
use crate::carrier::smpp::window::{Answered, Identity};
use crate::carrier::smpp::{message, naming};
use crate::carrier::unreceipted;
use crate::carrier::upstream::{FailureClass, Outcome, Receipt, ReceiptState, Subject};
use crate::config::upstreams::smpp::Receipts;
use crate::domain::delivery::CarrierStatus;

impl Session {
    pub(super) fn incoming(&mut self, frame: &Frame) -> Option<Over> {
        let Header { command, status, sequence } = frame.header;
        match codec::read(frame) {
            Incoming::SubmitResponse { id } => self.submit_answered(sequence, status, id.as_deref()),
            Incoming::GenericNack => {
                let status = if status == OK { UNKNOWN_ERROR } else { status };
                self.submit_answered(sequence, status, None);
            }
            Incoming::Delivery(delivery) => self.delivered(frame, &delivery),
            Incoming::Unreadable => {
                self.shared.meter.poison();
                self.shared.meter.delivery("unreadable");
                self.outbox.push(message::answer(delivery_answer(command), OK, sequence), None);
            }
            Incoming::EnquireLink => self.outbox.push(message::answer(Pdu::EnquireLinkResp, OK, sequence), None),
            Incoming::Unbind => {
                self.outbox.push(message::answer(Pdu::UnbindResp, OK, sequence), None);
                self.leaving = Some(Leaving::Unbound { until: Instant::now() + DRAIN_MAX });
                self.post(Condition::Listening);
            }
            Incoming::UnbindResponse if matches!(self.leaving, Some(Leaving::Unbinding { .. })) => {
                return Some(Over::Stopped);
            }
            Incoming::UnknownRequest => {
                self.shared.meter.poison();
                self.outbox.push(message::answer(Pdu::GenericNack, INVALID_COMMAND, sequence), None);
            }
            Incoming::UnbindResponse | Incoming::BindResponse | Incoming::Alive => {}
        }
        None
    }

    fn submit_answered(&mut self, sequence: u32, status: u32, id: Option<&str>) {
        match self.window.answered(sequence) {
            Answered::InTime(job, written) => {
                self.shared.meter.answered(status, written.elapsed());
                match meaning(status) {
                    Meaning::Taken => {
                        self.tempo.accepted();
                        self.taken(job, id);
                    }
                    Meaning::Throttled => self.thrown_back(job, status, written),
                    Meaning::Refused(class) => {
                        let identity = Identity::of(&job.attempt);
                        if !job.resolve(Outcome::Refused { class, status: shown(status) }) {
                            self.answered_late(identity, status, None);
                        }
                    }
                }
            }
            Answered::Late(identity) => self.answered_late(identity, status, id),
            Answered::Unknown => {}
        }
    }

    /// The SMSC does not want a message now: everything waits. A status that may be of one phone alone is believed to be of all
    /// once for each message; the second time that one is ended, so that nobody waits for it over and over.
    fn thrown_back(&mut self, mut job: Job, status: u32, written: Instant) {
        self.shared.meter.throttled.increment(1);
        let whose = if status == THROTTLED { Whose::All } else { Whose::Perhaps };
        if whose == Whose::Perhaps && std::mem::replace(&mut job.was_thrown_back, true) {
            return job.not_sent("throttled");
        }
        self.shared.line.hold(self.tempo.throttled(written, whose));
        self.shared.line.rejoin(job, "throttled");
    }

    /// The SMSC took a message: its name first, then the word that it is accepted.
    fn taken(&self, job: Job, id: Option<&str>) {
        let shared = &self.shared;
        let identity = Identity::of(&job.attempt);
        let references = id.map_or_else(Vec::new, |id| forms(id, shared.config.id_base, Told::InAnswer));
        // Without a name, or where no receipts come, nothing can be matched: the settle time ends it.
        let Some(first) = references.first().filter(|_| shared.config.receipts.are_sent()).cloned() else {
            if !job.resolve(Outcome::Accepted) {
                self.taken_unheard(identity);
            }
            return;
        };
        shared.recent.answered(first);
        let shared = Arc::clone(shared);
        let naming = identity.naming(&shared.id, references);
        let tasks = shared.tasks.clone();
        tasks.spawn(async move {
            let named = tokio::select! {
                named = naming::name(&shared.sink, naming, identity.settle_by) => named,
                () = shared.abandon.cancelled() => false,
            };
            if named {
                let _heard = job.resolve(Outcome::Accepted);
            } else {
                shared.meter.ambiguous("unnamed");
                job.ambiguous("its name could not be kept");
            }
        });
    }

    /// Nobody waits any more for the word that a message was taken. Where that counts as its delivery, it comes as a receipt.
    fn taken_unheard(&self, identity: Identity) {
        if self.shared.config.receipts == Receipts::Charged {
            self.put_by_itself(identity, ReceiptState::Delivered, CarrierStatus::clean(unreceipted::STATUS));
        }
    }

    fn put_by_itself(&self, identity: Identity, state: ReceiptState, status: CarrierStatus) {
        let Identity { delivery, channel, settle_by, .. } = identity;
        let subject = Subject::Attempt { delivery, channel };
        let receipt = Receipt { upstream: self.shared.id.clone(), subject, state, status, network: None };
        let shared = Arc::clone(&self.shared);
        let tasks = shared.tasks.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = naming::put(&shared.sink, receipt, settle_by) => {}
                () = shared.abandon.cancelled() => {}
            }
        });
    }

    /// An answer to a message that was given up as ambiguous: its name makes its receipts count, its refusal ends it.
    fn answered_late(&self, identity: Identity, status: u32, id: Option<&str>) {
        let class = match meaning(status) {
            Meaning::Taken => return self.taken_late(identity, id),
            Meaning::Throttled => FailureClass::Congestion,
            Meaning::Refused(class) => class,
        };
        let status = CarrierStatus::clean(&format!("late {}", shown(status).as_str()));
        self.put_by_itself(identity, ReceiptState::Failed(class), status);
    }

    fn taken_late(&self, identity: Identity, id: Option<&str>) {
        let shared = Arc::clone(&self.shared);
        let references = id.map_or_else(Vec::new, |id| forms(id, shared.config.id_base, Told::InAnswer));
        if references.is_empty() || !shared.config.receipts.are_sent() {
            return self.taken_unheard(identity);
        }
        let naming = identity.naming(&shared.id, references);
        let tasks = shared.tasks.clone();
        tasks.spawn(async move {
            tokio::select! {
                _named = naming::name(&shared.sink, naming, identity.settle_by) => {}
                () = shared.abandon.cancelled() => {}
            }
        });
    }

    /// A `deliver_sm` or `data_sm`: a receipt is answered when it is durable, anything else at once.
    fn delivered(&mut self, frame: &Frame, delivery: &Delivery) {
        let (Header { command, sequence, .. }, shared) = (frame.header, &self.shared);
        if delivery.is_poison {
            shared.meter.poison();
        }
        let config = &shared.config;
        let network = config.network_tlv.and_then(|tag| codec::tlv(frame, tag));
        let (receipt, unknown_word) = match report(delivery, network.as_deref(), &shared.id, config) {
            Report::Receipt { receipt, unknown_word } => (receipt, unknown_word),
            other => {
                shared.meter.delivery(if other == Report::Message { "message" } else { "nameless" });
                return self.outbox.push(message::answer(delivery_answer(command), OK, sequence), None);
            }
        };
        match &unknown_word {
            None => shared.meter.delivery("receipt"),
            Some(word) => shared.meter.unknown_word(word),
        }
        if receipt.state != ReceiptState::InProgress
            && let Subject::Reference { references, .. } = &receipt.subject
            && let Some(took) = shared.recent.ended(references)
        {
            shared.meter.receipt_seconds.record(took);
        }
        let put = shared.sink.put(receipt);
        self.puts.push(put.map(move |result| Stored { command, sequence, result }).boxed());
    }

    /// Answers a delivery whose fate is known.
    pub(super) fn answer_stored(&mut self, Stored { command, sequence, result }: Stored) {
        let status = if result.is_ok() {
            OK
        } else {
            self.shared.meter.delivery("not_durable");
            TEMPORARY_APP_ERROR
        };
        self.outbox.push(message::answer(delivery_answer(command), status, sequence), None);
    }
}

/// The answer to a `deliver_sm` or a `data_sm`.
fn delivery_answer(command: u32) -> Pdu {
    if command == command::DATA_SM { DataSmResp::default().into() } else { DeliverSmResp::default().into() }
}
