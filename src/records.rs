//! Floor 3: the SQL text of the product's tables.
//!
//! Every function takes an open transaction, so that a caller above composes several in one commit. Each statement is
//! written once and runs on both engines. The lock order everywhere: idempotency keys → windows → deliveries →
//! wallets → inserts, rows sorted by key.

pub mod acceptance;
pub mod accounts;
pub mod attempts;
pub mod audit;
pub mod carrier_attempts;
pub mod deliveries;
pub mod endpoints;
pub mod house_clock;
pub mod idempotency;
pub mod keyring;
pub mod keys;
pub mod learned_carriers;
pub mod ledger;
pub mod link_pauses;
pub mod outbox;
pub mod parked;
pub mod polls;
pub mod pruning;
pub mod settlement;
pub mod verification;
