#![doc = include_str!("ARCHITECTURE.md")]

pub mod domain;

pub mod clock;
pub mod config;
pub mod telemetry;
pub mod wire;

pub mod store;

pub mod carrier;
pub mod records;
pub mod routing;
pub mod webhook;

pub mod actors;

pub mod send;

pub mod http;
pub mod rehearsal;

pub mod app;
pub mod cli;
