//! What becomes of one submit: the simulator's plan, in words that SMPP has.
//!
//! Where SMPP lacks the word: a phone that is refused for now (08, 23) is answered with status 0x400, the first that is a vendor's
//! own. A receipt finds no message that was never named, so an ack that is lost although a receipt comes (13, 25) is an answer
//! that comes late; one that is lost for good (14, 15) never comes; the link that panics (27) is a connection that is cut after the
//! message was taken. What a link does not take (19) is refused as a submit that failed.

use std::time::Duration;

use rusmpp::CommandStatus;
use rusmpp::pdus::SubmitSm;
use tokio::time::Instant;

use crate::carrier::simulator::{Ack, Planned, Script, plan};
use crate::carrier::upstream::{FailureClass, Outcome, ReceiptState};
use crate::domain::carrier::Channel;
use crate::domain::phone::Phone;

/// This phone has had one a moment ago.
const PER_PHONE: CommandStatus = CommandStatus::Other(0x400);
/// Longer than clients wait for an answer by default.
const LATE_ANSWER: Duration = Duration::from_secs(12);
/// A message without a validity period is given up by then.
const VALID_FOR: Duration = Duration::from_secs(65);

/// The answer to a submit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    Accepted(Duration),
    Refused(Duration, CommandStatus),
    /// Taken, and never answered.
    Silent,
    /// Taken; then the connection is gone.
    Cut,
}

/// Everything that will happen to one submit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    pub(super) answer: Answer,
    pub(super) receipts: [Option<Planned>; 2],
}

impl Verdict {
    /// A refusal at once, whatever the script says.
    pub(super) const fn refused(status: CommandStatus) -> Self {
        Self { answer: Answer::Refused(Duration::ZERO, status), receipts: [None, None] }
    }

    /// What the script says of a submit to `phone`.
    pub(super) fn of(script: &Script, phone: Phone, submit: &SubmitSm) -> Self {
        if script.hang {
            return Self { answer: Answer::Silent, receipts: [None, None] };
        }
        let valid_for = validity(submit.validity_period.as_str()).unwrap_or(VALID_FOR);
        let plan = plan(script, phone, Channel::Sms, Instant::now() + valid_for);
        let comes_later = plan.receipts.iter().any(Option::is_some);
        let answer = match plan.ack {
            Ack::After(wait, Outcome::Accepted) => Answer::Accepted(wait),
            Ack::After(wait, Outcome::Refused { class, .. }) => Answer::Refused(wait, refusal(class)),
            Ack::After(wait, Outcome::NotSent { .. }) => Answer::Refused(wait, CommandStatus::EsmeRsubmitfail),
            Ack::After(wait, Outcome::PerPhone { .. }) => Answer::Refused(wait, PER_PHONE),
            Ack::After(_, Outcome::Ambiguous { .. }) | Ack::Never if comes_later => Answer::Accepted(LATE_ANSWER),
            Ack::After(_, Outcome::Ambiguous { .. }) | Ack::Never => Answer::Silent,
            Ack::Panics => Answer::Cut,
        };
        Self { answer, receipts: plan.receipts.map(|receipt| receipt.filter(|receipt| wanted(submit, receipt.state))) }
    }
}

/// Whether the submit asked for a receipt of this kind (`registered_delivery`, SMPP 3.4, 5.2.17).
fn wanted(submit: &SubmitSm, state: ReceiptState) -> bool {
    match u8::from(submit.registered_delivery) & 0b11 {
        1 => true,
        2 => matches!(state, ReceiptState::Failed(_)),
        3 => state == ReceiptState::Delivered,
        _ => false,
    }
}

const fn refusal(class: FailureClass) -> CommandStatus {
    match class {
        FailureClass::InvalidNumber => CommandStatus::EsmeRinvdstadr,
        FailureClass::Congestion => CommandStatus::EsmeRmsgqful,
        FailureClass::Misconfigured => CommandStatus::EsmeRinvsrcadr,
        FailureClass::Expired => CommandStatus::EsmeRinvexpiry,
        FailureClass::Unreachable => CommandStatus::EsmeRdeliveryfailure,
        FailureClass::Rejected | FailureClass::WrongNetwork => CommandStatus::EsmeRsubmitfail,
    }
}

/// The relative form `YYMMDDhhmmsstnnR` (SMPP 3.4, 7.1.1.2), of days and less; an absolute time is not understood here.
fn validity(text: &str) -> Option<Duration> {
    let digits = text.strip_suffix('R').filter(|digits| digits.len() == 15 && digits.is_ascii())?;
    let field = |at: usize| digits.get(at..at + 2)?.parse::<u64>().ok();
    let (days, hours, minutes, seconds) = (field(4)?, field(6)?, field(8)?, field(10)?);
    Some(Duration::from_secs(((days * 24 + hours) * 60 + minutes) * 60 + seconds))
}

#[cfg(test)]
mod tests {
    use rusmpp::values::RegisteredDelivery;

    use super::*;

    fn verdict(number: u32, registered_delivery: u8) -> Verdict {
        let phone = Phone::from_national_number(981_000_000 + number).expect("a mobile");
        let submit = SubmitSm::builder().registered_delivery(RegisteredDelivery::from(registered_delivery)).build();
        Verdict::of(&Script::default(), phone, &submit)
    }

    fn states(verdict: &Verdict) -> Vec<ReceiptState> {
        verdict.receipts.iter().flatten().map(|receipt| receipt.state).collect()
    }

    #[test]
    fn forced_numbers_do_what_the_table_says_in_smpp() {
        use ReceiptState::{Delivered, Failed, InProgress};
        let refused = |status| Answer::Refused(Duration::ZERO, status);
        let taken = Answer::Accepted(Duration::ZERO);
        for (number, answer, receipts) in [
            (0, taken, vec![Delivered]),
            (3, taken, vec![Failed(FailureClass::InvalidNumber)]),
            (7, refused(CommandStatus::EsmeRdeliveryfailure), vec![]),
            (8, refused(PER_PHONE), vec![]),
            (9, taken, vec![]),
            (10, taken, vec![Delivered, Delivered]),
            (13, Answer::Accepted(LATE_ANSWER), vec![Delivered]),
            (14, Answer::Silent, vec![]),
            (15, Answer::Silent, vec![]),
            (19, refused(CommandStatus::EsmeRsubmitfail), vec![]),
            (21, taken, vec![InProgress, Delivered]),
            (25, Answer::Accepted(LATE_ANSWER), vec![Delivered]),
            (27, Answer::Cut, vec![]),
        ] {
            let verdict = verdict(number, 1);
            assert_eq!((verdict.answer, states(&verdict)), (answer, receipts), "{number}");
        }
    }

    #[test]
    fn receipts_come_as_they_were_asked_for() {
        assert_eq!([0, 1, 2, 3].map(|asked| states(&verdict(11, asked)).len()), [0, 2, 1, 1]);
    }

    #[test]
    fn a_validity_is_read_where_it_is_relative() {
        assert_eq!(validity("000000000500000R"), Some(Duration::from_secs(300)));
        assert_eq!(validity("000001020304000R"), Some(Duration::from_secs(93_784)));
        for text in ["", "R", "260528202640000+", "00000000050000R", "0000xx000500000R"] {
            assert_eq!(validity(text), None, "{text}");
        }
    }
}
