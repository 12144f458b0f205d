//! Providers' accounts as they are configured, one module for each kind.
//!
//! Only what an operator writes: whatever does not hold together is refused when it is read. Links are made of these in
//! `carrier`.

pub mod http;
