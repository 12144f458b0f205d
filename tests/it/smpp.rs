//! The SMPP link against an SMSC that nobody here wrote (npm's `smpp`, scripted by `tests/smsc/smsc.js`): one test for each trap
//! that real SMSCs have set.
//!
//! The link runs alone, its receipts recorded; over the whole house it is tested elsewhere.

mod bed;
mod peer;

mod answers;
mod liveness;
mod receipts;
mod sessions;
mod simulator;
mod smppy;
mod throttling;
mod wire;
