//! The accounts at providers, one kind of upstream a file: what `[upstream.NAME]` of the carrier table may say.

pub mod smpp;
