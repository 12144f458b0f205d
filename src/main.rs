//! `nexo-route`: the daemon and its commands.

fn main() {}
