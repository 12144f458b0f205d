//! The product's behaviour in its users' words, over the whole house: HTTP in, simulated carriers out, a real database.
//!
//! One binary, so that it links once. Every test runs on both engines; `house` is the harness.

#![allow(unreachable_pub, reason = "a test binary exports nothing; `pub` is how its files see each other")]

mod commands;
mod harness;
mod house;
mod ledger;
mod numbering;
mod operators;
mod verification;
