//! What an SMSC's status means for a message, and what it is called (SMPP 3.4 §5.1.3).

use crate::carrier::upstream::FailureClass;
use crate::domain::delivery::CarrierStatus;

pub(super) const OK: u32 = 0;
pub(super) const INVALID_COMMAND: u32 = 0x03;
pub(super) const ALREADY_BOUND: u32 = 0x05;
/// What most SMSCs say to a session too many, and for much else.
pub(super) const BIND_FAILED: u32 = 0x0D;
/// Statuses of the SMSC's own: some have one for a session too many.
pub(super) const VENDOR_FIRST: u32 = 0x400;
pub(super) const VENDOR_LAST: u32 = 0x4FF;
/// What a nack without a status is taken for: an error that nobody knows.
pub(super) const UNKNOWN_ERROR: u32 = 0xFF;
/// The whole session sends too fast.
pub(super) const THROTTLED: u32 = 0x58;
/// We could not take a delivery now: the SMSC is to send it again.
pub(super) const TEMPORARY_APP_ERROR: u32 = 0x64;

/// What an answer to a `submit_sm` means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Meaning {
    Taken,
    /// Not now: everything on this session waits.
    Throttled,
    Refused(FailureClass),
}

pub(super) fn meaning(status: u32) -> Meaning {
    match status {
        OK => Meaning::Taken,
        0x08 | 0x14 | THROTTLED | TEMPORARY_APP_ERROR => Meaning::Throttled,
        0x0B => Meaning::Refused(FailureClass::InvalidNumber),
        0xFE => Meaning::Refused(FailureClass::Unreachable),
        // What is wrong with every message of ours: its format, its sender, its session.
        0x01..=0x04
        | 0x06
        | 0x07
        | 0x0A
        | 0x0D..=0x0F
        | 0x15
        | 0x40
        | 0x43
        | 0x48..=0x51
        | 0x53
        | 0x61..=0x63
        | 0xC0..=0xC4 => Meaning::Refused(FailureClass::Misconfigured),
        _ => Meaning::Refused(FailureClass::Rejected),
    }
}

/// Whether a refused bind says that our account is not as we think: asking again soon could lock it.
pub(super) const fn is_wrong_account(status: u32) -> bool {
    matches!(status, 0x0E | 0x0F | 0x53)
}

/// A status by its name, as a metric's label: one of a few.
pub(super) const fn label(status: u32) -> &'static str {
    match status {
        OK => "ROK",
        0x01 => "RINVMSGLEN",
        0x02 => "RINVCMDLEN",
        INVALID_COMMAND => "RINVCMDID",
        0x04 => "RINVBNDSTS",
        ALREADY_BOUND => "RALYBND",
        0x06 => "RINVPRTFLG",
        0x07 => "RINVREGDLVFLG",
        0x08 => "RSYSERR",
        0x0A => "RINVSRCADR",
        0x0B => "RINVDSTADR",
        0x0C => "RINVMSGID",
        BIND_FAILED => "RBINDFAIL",
        0x0E => "RINVPASWD",
        0x0F => "RINVSYSID",
        0x14 => "RMSGQFUL",
        0x15 => "RINVSERTYP",
        0x43 => "RINVESMCLASS",
        0x45 => "RSUBMITFAIL",
        0x48 => "RINVSRCTON",
        0x49 => "RINVSRCNPI",
        0x50 => "RINVDSTTON",
        0x51 => "RINVDSTNPI",
        0x53 => "RINVSYSTYP",
        THROTTLED => "RTHROTTLED",
        0x61 => "RINVSCHED",
        0x62 => "RINVEXPIRY",
        TEMPORARY_APP_ERROR => "RX_T_APPN",
        0x65 => "RX_P_APPN",
        0x66 => "RX_R_APPN",
        0xFE => "RDELIVERYFAILURE",
        UNKNOWN_ERROR => "RUNKNOWNERR",
        VENDOR_FIRST..=VENDOR_LAST => "vendor",
        _ => "other",
    }
}

/// A status as a customer may see it.
pub(super) fn shown(status: u32) -> CarrierStatus {
    CarrierStatus::clean(&format!("{} 0x{status:02X}", label(status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_means() {
        use FailureClass::{InvalidNumber, Misconfigured, Rejected, Unreachable};
        for (status, expected) in [
            (0x00, Meaning::Taken),
            (0x58, Meaning::Throttled),
            (0x14, Meaning::Throttled),
            (0x08, Meaning::Throttled),
            (0x64, Meaning::Throttled),
            (0x0B, Meaning::Refused(InvalidNumber)),
            (0x0A, Meaning::Refused(Misconfigured)),
            (0x62, Meaning::Refused(Misconfigured)),
            (0x45, Meaning::Refused(Rejected)),
            (0x65, Meaning::Refused(Rejected)),
            (0xFE, Meaning::Refused(Unreachable)),
            (0x400, Meaning::Refused(Rejected)),
            (0xDEAD_BEEF, Meaning::Refused(Rejected)),
        ] {
            assert_eq!(meaning(status), expected, "{status:#x}");
        }
    }

    #[test]
    fn only_what_names_the_account_is_never_hammered() {
        let wrong: Vec<u32> = (0..0x500).filter(|status| is_wrong_account(*status)).collect();
        assert_eq!(wrong, [0x0E, 0x0F, 0x53]);
        assert_eq!(shown(0x0E).as_str(), "RINVPASWD 0x0E");
        assert_eq!(shown(0x411).as_str(), "vendor 0x411");
        assert_eq!(label(0xFFFF_FFFF), "other");
    }
}
