//! Why an attempt failed, or was never made: the names that rows, metrics and customers see.

/// Why an attempt failed without a status of its own, and a bounded metric label.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Fault {
    /// The name has no address, or nobody answers for it.
    Dns,
    /// The name or the address lies where no webhook may go.
    Blocked,
    Connect,
    Tls,
    /// The deadline passed.
    Timeout,
    /// The connection ended before the answer did.
    Reset,
    /// What came back is no HTTP answer, or one that is too large in its head.
    Protocol,
    /// An answer, but not 2xx.
    Status,
    /// The endpoint was disabled or deleted before the event was sent.
    Disabled,
    /// The delivery behind the event is no longer there, or cannot be read.
    Gone,
    /// It had been due for [`super::EXPIRED_AFTER`] before it could be sent.
    Expired,
}

impl Fault {
    pub const ALL: [Self; 11] = [
        Self::Dns,
        Self::Blocked,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::Protocol,
        Self::Status,
        Self::Disabled,
        Self::Gone,
        Self::Expired,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Blocked => "blocked",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Disabled => "disabled",
            Self::Gone => "gone",
            Self::Expired => "expired",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == name)
    }
}
