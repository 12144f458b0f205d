//! Names of rows: opaque identifiers, each its own type so that one is never passed for another.
//!
//! Ids are UUID version 7 (RFC 9562 §5.7): they sort by the time of the *database's* clock that made them, which keeps
//! inserts at the right edge of the primary key and lets the sweeper walk it in order of age.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::domain::time::Timestamp;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes an id of `at` from ten random bytes.
            #[must_use]
            pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
                let millis = u64::try_from(at.millis()).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }

            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The millisecond that the id carries, as microseconds.
            #[must_use]
            pub fn timestamp(&self) -> Timestamp {
                let b = self.0.as_bytes();
                let millis = i64::from_be_bytes([0, 0, b[0], b[1], b[2], b[3], b[4], b[5]]);
                Timestamp::from_micros(millis.saturating_mul(1_000))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self.0.as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        /// Reads the hyphenated form only, in either case.
        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                if text.len() != 36 {
                    return Err(MalformedId);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| MalformedId)
            }
        }
    };
}

/// The text is not a hyphenated UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected a hyphenated UUID")]
pub struct MalformedId;

id! {
    /// A customer's account.
    AccountId
}
id! {
    /// An API key's row (never the key itself).
    KeyId
}
id! {
    /// One OTP's life.
    DeliveryId
}
id! {
    /// One transaction of a group commit; how an unknown commit is resolved.
    BatchId
}
id! {
    /// One row of money moved: a credit, a refund or a carried-forward sum.
    MovementId
}

id! {
    /// A customer's webhook endpoint.
    EndpointId
}
id! {
    /// One POST of an event to an endpoint, and its record.
    AttemptId
}
id! {
    /// A receipt that is parked until its attempt has a name: random, because it has no order.
    ReceiptId
}

id! {
    /// One life of one link that asks for receipts: random, because it has no order.
    PollerId
}

impl DeliveryId {
    /// The smallest id that can have been made at `at`: the lower end of a range over the primary key.
    #[must_use]
    pub fn floor(at: Timestamp) -> Self {
        let millis = u64::try_from(at.millis()).unwrap_or(0).to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&millis[2..]);
        Self::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_and_carry_their_time() {
        let at = Timestamp::from_micros(1_779_703_200_123_456);
        let id = DeliveryId::new(at, [0xab; 10]);
        assert_eq!(id.to_string().as_bytes()[14], b'7');
        assert_eq!(id.timestamp().millis(), at.millis());
        assert!(DeliveryId::floor(at) <= id);
        assert!(DeliveryId::floor(Timestamp::from_micros(at.micros() + 1_000)) > id);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("8f2e1c4d".parse::<DeliveryId>(), Err(MalformedId));
    }
}
