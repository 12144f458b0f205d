//! Webhook attempts on the wire: one object each, with the milliseconds of its phases, what was sent and what came back.

use std::fmt;

use bytes::Bytes;

use super::page;
use crate::domain::json::Object;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{Fault, Phases};
use crate::records::attempts::{AttemptListing, ListedAttempt};

/// The body of `GET /webhooks/attempts`.
pub(crate) fn attempts(listing: &AttemptListing) -> Bytes {
    let next_cursor = listing.next_cursor.map(|id| id.to_string());
    page(listing.data.iter().map(attempt), listing.has_more, next_cursor.as_deref())
}

fn attempt(attempt: &ListedAttempt) -> Vec<u8> {
    let request =
        Object::with_capacity(1_024).optional("head", known(&attempt.request)).text("body", &attempt.body).finish();
    let object = Object::with_capacity(2_048)
        .quoted("id", attempt.id)
        .quoted("endpoint", attempt.endpoint)
        .quoted("delivery_id", attempt.delivery)
        .quoted("event", attempt.event.as_str())
        .quoted("cause", attempt.cause.as_str())
        .plain("number", attempt.number)
        .quoted("state", attempt.state.as_str());
    let object = match attempt.http_status {
        Some(status) => object.plain("http_status", status),
        None => object.plain("http_status", "null"),
    };
    let object = object.optional("error", attempt.fault.map(Fault::as_str));
    let object = match attempt.completed_at {
        Some(_) => object.json("timings", &timings(&attempt.phases)),
        None => object.plain("timings", "null"),
    };
    object
        .quoted("started_at", attempt.started_at.rfc3339())
        .optional("completed_at", attempt.completed_at.map(Timestamp::rfc3339).as_deref())
        .json("request", &request)
        .optional("response", known(&attempt.response))
        .finish()
}

/// What nobody wrote down is null.
fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn timings(phases: &Phases) -> Vec<u8> {
    Object::with_capacity(96)
        .plain("dns_ms", Milliseconds(phases.dns_us))
        .plain("connect_ms", Milliseconds(phases.connect_us))
        .plain("tls_ms", Milliseconds(phases.tls_us))
        .plain("wait_ms", Milliseconds(phases.wait_us))
        .plain("total_ms", Milliseconds(phases.total_us))
        .finish()
}

/// Microseconds, printed as milliseconds with three places.
struct Milliseconds(i64);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.max(0);
        write!(f, "{}.{:03}", micros / 1_000, micros % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{AttemptId, DeliveryId, EndpointId};
    use crate::domain::webhook::{AttemptState, Cause, EventType, Outcome};

    fn example() -> ListedAttempt {
        ListedAttempt {
            id: AttemptId::from_bytes([0x33; 16]),
            endpoint: EndpointId::from_bytes([0x44; 16]),
            delivery: DeliveryId::from_bytes([0x11; 16]),
            event: EventType::Delivered,
            cause: Cause::Event,
            number: 1,
            state: AttemptState::Ended(Outcome::Failed),
            http_status: Some(500),
            fault: Some(Fault::Status),
            phases: Phases { dns_us: 1_234, connect_us: 5, tls_us: 0, wait_us: 4_000_000, total_us: 4_001_239 },
            started_at: Timestamp::from_micros(1_779_703_200_000_000),
            completed_at: Some(Timestamp::from_micros(1_779_703_204_001_239)),
            request: "POST /hook HTTP/1.1\r\nHost: a.example".to_owned(),
            body: r#"{"type":"otp.delivered"}"#.to_owned(),
            response: "500\r\n\r\n\"oh\u{0}\"".to_owned(),
        }
    }

    fn text(data: Vec<ListedAttempt>) -> String {
        let listing = AttemptListing { data, has_more: false, next_cursor: None };
        String::from_utf8(attempts(&listing).to_vec()).expect("utf-8")
    }

    #[test]
    fn an_attempt_has_every_member_always() {
        assert_eq!(
            text(vec![example()]),
            concat!(
                r#"{"ok":true,"data":[{"id":"33333333-3333-3333-3333-333333333333","#,
                r#""endpoint":"44444444-4444-4444-4444-444444444444","delivery_id":"11111111-1111-1111-1111-111111111111","#,
                r#""event":"otp.delivered","cause":"event","number":1,"state":"failed","http_status":500,"error":"status","#,
                r#""timings":{"dns_ms":1.234,"connect_ms":0.005,"tls_ms":0.000,"wait_ms":4000.000,"total_ms":4001.239},"#,
                r#""started_at":"2026-05-25T10:00:00.000Z","completed_at":"2026-05-25T10:00:04.001Z","#,
                r#""request":{"head":"POST /hook HTTP/1.1\r\nHost: a.example","body":"{\"type\":\"otp.delivered\"}"},"#,
                r#""response":"500\r\n\r\n\"oh\u0000\""}],"has_more":false,"next_cursor":null}"#
            )
        );
    }

    #[test]
    fn of_an_attempt_without_a_result_only_the_beginning_is_known() {
        let unknown = ListedAttempt {
            state: AttemptState::Unknown,
            http_status: None,
            fault: None,
            phases: Phases::default(),
            completed_at: None,
            request: String::new(),
            response: String::new(),
            ..example()
        };
        let text = text(vec![unknown]);
        for part in [
            r#""state":"unknown","http_status":null,"error":null,"timings":null,"started_at":"2026-05-25T10:00:00.000Z","completed_at":null,"#,
            r#""request":{"head":null,"body":"{\"type\":\"otp.delivered\"}"},"response":null}"#,
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
