//! Receipts on their way to the client: sent, acknowledged, or owed again.

use std::time::Duration;

use rusmpp::{CommandId, CommandStatus, Pdu};
use tokio::time::Instant;

use super::{IDLE, InHand, Role, Session, UNSENT_MAX, next};
use crate::carrier::smpp::framing::{Frame, Header};
use crate::clock;
use crate::rehearsal::smsc::wire;

/// Receipts that await their acknowledgement on one session.
const IN_HAND_MAX: usize = 100;
/// A receipt that is not acknowledged by then is sent again.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(10);
/// After a status that says "not now".
const REPEAT_AFTER: Duration = Duration::from_secs(1);

impl Session {
    /// Whether receipts may go over this bind.
    pub(super) const fn receives(&self) -> bool {
        matches!(self.role, Some(Role::Receiver | Role::Transceiver)) && !self.ending
    }

    /// Sends the receipts that are due, and takes back what was not acknowledged. Returns when to look again.
    pub(super) fn deliver_due(&mut self, now: Instant) -> Instant {
        let far = now + IDLE;
        if !self.receives() {
            return far;
        }
        let late: Vec<u32> = self
            .in_hand
            .iter()
            .filter_map(|(sequence, sent)| (now >= sent.since + ACKNOWLEDGE_WITHIN).then_some(*sequence))
            .collect();
        for InHand { receipt, .. } in late.into_iter().filter_map(|sequence| self.in_hand.remove(&sequence)) {
            self.centre.mailbox.give_back(now, receipt);
        }
        let settings = &self.centre.settings;
        let mut wakes_at = far;
        while self.in_hand.len() < IN_HAND_MAX && self.out.len() < UNSENT_MAX {
            match self.centre.mailbox.take(now) {
                Ok(receipt) => {
                    let pdu = receipt.pdu(settings.receipts, settings.receipt_ids, clock::wall_now());
                    self.next_sequence = next(self.next_sequence);
                    wire::put(&mut self.out, self.next_sequence, &Pdu::from(pdu));
                    self.in_hand.insert(self.next_sequence, InHand { receipt, since: now });
                }
                Err(due) => {
                    wakes_at = due.unwrap_or(far).min(far);
                    break;
                }
            }
        }
        let earliest = self.in_hand.values().map(|sent| sent.since + ACKNOWLEDGE_WITHIN).min();
        earliest.map_or(wakes_at, |repeat| wakes_at.min(repeat))
    }

    /// An acknowledgement, or the answer to something of ours.
    pub(super) fn response(&mut self, frame: &Frame) {
        let Header { command, status, sequence } = frame.header;
        let is_receipts =
            command == u32::from(CommandId::DeliverSmResp) || command == u32::from(CommandId::GenericNack);
        if command == u32::from(CommandId::UnbindResp) {
            self.ending = true;
        }
        let Some(InHand { receipt, .. }) = (if is_receipts { self.in_hand.remove(&sequence) } else { None }) else {
            return;
        };
        let id = self.centre.settings.response_ids.write(receipt.id);
        self.centre.journal.acknowledged(self.number, &id, receipt.stat(), status);
        match CommandStatus::from(status) {
            CommandStatus::EsmeRsyserr
            | CommandStatus::EsmeRmsgqful
            | CommandStatus::EsmeRthrottled
            | CommandStatus::EsmeRxTAppn => self.centre.mailbox.give_back(Instant::now() + REPEAT_AFTER, receipt),
            _ => self.centre.mailbox.done(),
        }
    }
}
