//! The product's behaviour in its users' words, over the whole house: HTTP in, simulated carriers out, a real database.
//!
//! One binary, so that it links once. Every test runs on both engines; `house` is the harness.

#![allow(unreachable_pub, reason = "a test binary exports nothing; `pub` is how its files see each other")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test says is shown when it fails")]

mod commands;
mod cooldown;
mod harness;
mod house;
mod idempotency;
mod last_cent;
mod ledger;
mod lost_database;
mod numbering;
mod operators;
mod outcomes;
mod send_otp;
mod verification;
