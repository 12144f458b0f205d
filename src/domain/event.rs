//! The body of a webhook: what a customer is told when a delivery has ended.
//!
//! The seed's nine fields in the seed's order (API reference §06), then `refunded`, then `metadata` if the order had some
//! (contract §10). Made once per event: the bytes are signed, sealed and sent again as they are.

use crate::domain::carrier::Carrier;
use crate::domain::delivery::{FailureCode, Status};
use crate::domain::ids::DeliveryId;
use crate::domain::json::Object;
use crate::domain::metadata::Metadata;
use crate::domain::money::MicroUsd;
use crate::domain::phone::Phone;
use crate::domain::time::Timestamp;
use crate::domain::webhook::EventType;

/// What a ping names, as the seed's example does; nobody is called.
const EXAMPLE_PHONE: &str = "+84981234567";
const EXAMPLE_CARRIER: &str = "viettel";

/// A delivery that has ended, as its customer is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TerminalEvent {
    pub id: DeliveryId,
    pub phone: Phone,
    pub carrier: Carrier,
    pub status: Status,
    pub cost: MicroUsd,
    pub error_code: Option<FailureCode>,
    pub created_at: Timestamp,
    pub completed_at: Timestamp,
    pub metadata: Option<Metadata>,
}

impl TerminalEvent {
    /// What is not delivered has failed: a delivery that is still `sent` has no event.
    #[must_use]
    pub const fn event_type(&self) -> EventType {
        match self.status {
            Status::Delivered => EventType::Delivered,
            Status::Failed | Status::Sent => EventType::Failed,
        }
    }

    /// Compact JSON.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let refunded = matches!(self.status, Status::Failed);
        let fields = Fields {
            event: self.event_type(),
            id: self.id,
            phone: &self.phone.e164(),
            carrier: self.carrier.as_str(),
            status: self.status,
            cost: self.cost,
            error_code: self.error_code,
            created_at: self.created_at,
            completed_at: self.completed_at,
        };
        let object = fields.write().plain("refunded", refunded);
        match &self.metadata {
            Some(metadata) => object.pairs("metadata", metadata.pairs()),
            None => object,
        }
        .finish()
    }
}

/// The body of a test ping: an event's fields with the seed's example phone, free of charge. `id` is no delivery's.
#[must_use]
pub fn ping_body(id: DeliveryId, at: Timestamp) -> Vec<u8> {
    let fields = Fields {
        event: EventType::Test,
        id,
        phone: EXAMPLE_PHONE,
        carrier: EXAMPLE_CARRIER,
        status: Status::Delivered,
        cost: MicroUsd::ZERO,
        error_code: None,
        created_at: at,
        completed_at: at,
    };
    fields.write().plain("refunded", false).finish()
}

/// The seed's fields.
struct Fields<'a> {
    event: EventType,
    id: DeliveryId,
    phone: &'a str,
    carrier: &'a str,
    status: Status,
    cost: MicroUsd,
    error_code: Option<FailureCode>,
    created_at: Timestamp,
    completed_at: Timestamp,
}

impl Fields<'_> {
    fn write(&self) -> Object {
        Object::with_capacity(320)
            .quoted("type", self.event.as_str())
            .quoted("id", self.id)
            .quoted("phone", self.phone)
            .quoted("carrier", self.carrier)
            .quoted("status", self.status.as_str())
            .plain("cost", self.cost)
            .optional("error_code", self.error_code.map(FailureCode::as_str))
            .quoted("created_at", self.created_at.rfc3339())
            .quoted("completed_at", self.completed_at.rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered() -> TerminalEvent {
        TerminalEvent {
            id: DeliveryId::from_bytes([0x11; 16]),
            phone: Phone::parse("+84981234567").expect("valid"),
            carrier: Carrier::new("viettel").expect("valid"),
            status: Status::Delivered,
            cost: MicroUsd::from_micros(22_000),
            error_code: None,
            created_at: Timestamp::from_micros(1_779_703_200_000_999),
            completed_at: Timestamp::from_micros(1_779_703_225_104_000),
            metadata: None,
        }
    }

    fn text(body: Vec<u8>) -> String {
        String::from_utf8(body).expect("text")
    }

    #[test]
    fn a_delivered_event_has_the_seeds_fields_in_the_seeds_order() {
        assert_eq!(delivered().event_type(), EventType::Delivered);
        assert_eq!(
            text(delivered().body()),
            concat!(
                r#"{"type":"otp.delivered","id":"11111111-1111-1111-1111-111111111111","phone":"+84981234567","#,
                r#""carrier":"viettel","status":"delivered","cost":0.022,"error_code":null,"#,
                r#""created_at":"2026-05-25T10:00:00.000Z","completed_at":"2026-05-25T10:00:25.104Z","refunded":false}"#
            )
        );
    }

    #[test]
    fn a_failed_event_says_why_and_that_the_money_is_back() {
        let pairs = vec![("order".to_owned(), "\u{1F4DE}\n\"42\"".to_owned())];
        let failed = TerminalEvent {
            status: Status::Failed,
            error_code: Some(FailureCode::Timeout),
            metadata: Metadata::new(pairs).expect("valid"),
            ..delivered()
        };
        assert_eq!(failed.event_type(), EventType::Failed);
        let body = text(failed.body());
        assert!(body.starts_with(r#"{"type":"otp.failed","id":"11111111-"#), "{body}");
        assert!(body.contains(r#""status":"failed","cost":0.022,"error_code":"timeout","created_at""#), "{body}");
        assert!(body.ends_with(r#""refunded":true,"metadata":{"order":"📞\n\"42\""}}"#), "{body}");
    }

    #[test]
    fn a_ping_looks_like_an_event_and_is_none() {
        let at = Timestamp::from_micros(1_779_703_200_000_999);
        assert_eq!(
            text(ping_body(DeliveryId::from_bytes([0x22; 16]), at)),
            concat!(
                r#"{"type":"otp.test","id":"22222222-2222-2222-2222-222222222222","phone":"+84981234567","#,
                r#""carrier":"viettel","status":"delivered","cost":0.000,"error_code":null,"#,
                r#""created_at":"2026-05-25T10:00:00.000Z","completed_at":"2026-05-25T10:00:00.000Z","refunded":false}"#
            )
        );
    }
}
