//! Floor 0: the product's values and pure rules.
//!
//! Nothing here is async, does I/O, reads a clock or logs; nothing here is serde. A value that exists is valid:
//! every type is made by a constructor that refuses what the contract refuses.

pub mod allowlist;
pub mod api_key;
pub mod carrier;
pub mod code;
pub mod delivery;
pub mod egress;
pub mod endpoint_url;
pub mod event;
pub mod host_port;
pub mod ids;
pub mod json;
pub mod metadata;
pub mod money;
pub mod numbering;
pub mod phone;
pub mod ported;
pub mod posting;
pub mod reference;
pub mod sealing;
pub mod short_text;
pub mod signature;
pub mod time;
pub mod webhook;
