//! The product's behaviour in its users' words, over the whole house: HTTP in, simulated carriers out, a real database.
//!
//! One binary, so that it links once. Every test runs on both engines; `house` is the harness.

#![allow(unreachable_pub, reason = "a test binary exports nothing; `pub` is how its files see each other")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test says is shown when it fails")]

mod accounts_are_apart;
mod carrier_names;
mod carriers;
mod commands;
mod cooldown;
mod crash_recovery;
mod deliveries_list;
mod descriptors;
mod far_database;
mod graceful_shutdown;
mod harness;
mod house;
mod house_time;
mod http_upstream;
mod idempotency;
mod ip_allowlist;
mod kannel;
mod key_revoked;
mod last_cent;
mod learning;
mod ledger;
mod link_commands;
mod load_balancers;
mod locked_wallet;
mod look_up;
mod lost_database;
mod malformed_input;
mod no_code_on_disk;
mod no_route;
mod numbering;
mod operators;
mod outbox;
mod outcomes;
mod overload;
mod polls;
mod poolers;
mod postgres_tls;
mod privileges;
mod process;
mod readiness;
mod receivers;
mod refund_on_failure;
mod send_otp;
mod smpp;
mod smsc;
mod spend_order;
mod two_daemons;
mod verification;
mod webhook_attempts;
mod webhook_commands;
mod webhook_crashes;
mod webhook_receivers;
mod webhooks;
