//! What a session does with a submit: limits, the script, the answer now or later.

use std::time::Duration;

use rusmpp::pdus::{SubmitSm, SubmitSmResp};
use rusmpp::types::COctetString;
use rusmpp::{CommandId, CommandStatus, Pdu};
use tokio::time::Instant;

use super::{Later, Session};
use crate::carrier::simulator::{Planned, Script};
use crate::clock;
use crate::domain::phone::Phone;
use crate::rehearsal::smsc::journal::Submitted;
use crate::rehearsal::smsc::receipt::{Address, Receipt};
use crate::rehearsal::smsc::verdict::{Answer, Verdict};
use crate::rehearsal::smsc::wire;

impl Session {
    /// Decides it, writes it down, and answers it or has it answered later.
    pub(super) fn submit(&mut self, sequence: u32, submit: &SubmitSm) {
        let Some(phone) = phone(submit.destination_addr.as_str()) else {
            return self.refuse(sequence, CommandStatus::EsmeRinvdstadr);
        };
        let (now, id) = (Instant::now(), self.centre.fresh_id());
        let verdict = self.verdict(now, phone, submit);
        let written = self.centre.settings.response_ids.write(id);
        let refusal;
        let (named, answer) = match verdict.answer {
            Answer::Accepted(_) => (Some(written.as_str()), "accepted"),
            Answer::Silent => (Some(written.as_str()), "silent"),
            Answer::Cut => (Some(written.as_str()), "cut"),
            Answer::Refused(_, status) => {
                refusal = format!("0x{:x}", u32::from(status));
                (None, refusal.as_str())
            }
        };
        self.centre.journal.submitted(Submitted { session: self.number, sequence, phone, id: named, answer });
        for planned in verdict.receipts.into_iter().flatten() {
            self.centre.mailbox.owe(now + planned.after, receipt(id, submit, planned));
        }
        match verdict.answer {
            Answer::Accepted(wait) => self.answer_after(wait, now, sequence, Ok(id)),
            Answer::Refused(wait, status) => self.answer_after(wait, now, sequence, Err(status)),
            Answer::Silent => self.unanswered += 1,
            Answer::Cut => self.cut = true,
        }
    }

    /// The limits of this bind and of the centre come before the script.
    fn verdict(&self, now: Instant, phone: Phone, submit: &SubmitSm) -> Verdict {
        let script: &Script = &self.centre.script.load();
        if !self.limit.allows(now) {
            return Verdict::refused(CommandStatus::EsmeRthrottled);
        }
        if self.unanswered >= script.in_flight_max || self.centre.mailbox.is_full() {
            return Verdict::refused(CommandStatus::EsmeRmsgqful);
        }
        Verdict::of(script, phone, submit)
    }

    fn refuse(&mut self, sequence: u32, status: CommandStatus) {
        wire::put_refusal(&mut self.out, u32::from(CommandId::SubmitSm), status, sequence);
    }

    fn answer_after(&mut self, wait: Duration, now: Instant, sequence: u32, answer: Result<u64, CommandStatus>) {
        if wait.is_zero() {
            return self.answer(sequence, answer);
        }
        self.submits += 1;
        self.unanswered += 1;
        self.later.insert((now + wait, self.submits), Later { sequence, answer });
    }

    fn answer(&mut self, sequence: u32, answer: Result<u64, CommandStatus>) {
        match answer {
            Ok(id) => {
                let id = COctetString::from_string(self.centre.settings.response_ids.write(id)).unwrap_or_default();
                wire::put(&mut self.out, sequence, &Pdu::from(SubmitSmResp::new(id, Vec::new())));
            }
            Err(status) => self.refuse(sequence, status),
        }
    }

    /// Gives the answers that are due.
    pub(super) fn answer_due(&mut self, now: Instant) {
        while let Some(first) = self.later.first_entry()
            && first.key().0 <= now
        {
            let Later { sequence, answer } = first.remove();
            self.unanswered -= 1;
            self.answer(sequence, answer);
        }
    }
}

/// `84…`, `+84…` or `0…` with the nine digits of a mobile.
fn phone(text: &str) -> Option<Phone> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let national = digits.strip_prefix("84").filter(|rest| rest.len() == 9).or_else(|| digits.strip_prefix('0'))?;
    Phone::from_national(national)
}

fn receipt(id: u64, submit: &SubmitSm, planned: Planned) -> Receipt {
    let phone = Address { ton: submit.dest_addr_ton, npi: submit.dest_addr_npi, text: submit.destination_addr.clone() };
    let sender = Address { ton: submit.source_addr_ton, npi: submit.source_addr_npi, text: submit.source_addr.clone() };
    Receipt { id, phone, sender, submitted: clock::wall_now(), state: planned.state }
}
