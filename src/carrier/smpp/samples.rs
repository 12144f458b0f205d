//! Attempts for tests of the link's parts.

use std::time::Duration;

use tokio::time::Instant;

use crate::carrier::upstream::Attempt;
use crate::config::upstreams::smpp::SmppConfig;
use crate::domain::carrier::{Carrier, Channel};
use crate::domain::code::OtpCode;
use crate::domain::ids::DeliveryId;
use crate::domain::phone::Phone;

/// An attempt that may leave for `seconds` from now.
pub(super) fn attempt(number: u8, seconds: u64) -> Attempt {
    Attempt {
        delivery: DeliveryId::from_bytes([number; 16]),
        phone: Phone::from_national_number(981_234_500 + u32::from(number)).expect("a mobile"),
        carrier: Carrier::new("viettel").expect("sane"),
        channel: Channel::Sms,
        code: OtpCode::parse("482917").expect("a code"),
        leave_by: Instant::now() + Duration::from_secs(seconds),
        settle_by: Instant::now() + Duration::from_secs(seconds + 60),
    }
}

/// The least that must be said of an SMSC, and `more`.
pub(super) fn config(more: &str) -> SmppConfig {
    let least = "address = \"localhost:2775\"\nsystem_id = \"nexo\"\nsender = \"NEXO\"\n";
    toml::from_str(&format!("{least}{more}")).expect("valid")
}
