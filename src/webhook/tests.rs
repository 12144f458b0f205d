//! Lines against receivers that mean no good, on loopback: `answers`, `amounts`, `leftovers`, `kept` connections, `tls`, `dns`.
//!
//! Receivers are raw sockets (`receiver`, `name_server`). The deadline of the lines is short; that a POST ended by it is seen
//! in its fault, and a generous bound keeps a test that fails from hanging.

mod amounts;
mod answers;
mod dns;
mod kept;
mod leftovers;
mod name_server;
mod receiver;
mod tls;

use std::future::Future;
use std::time::Duration;

use crate::config::WebhooksConfig;
use crate::domain::endpoint_url::EndpointUrl;
use crate::domain::ids::DeliveryId;
use crate::domain::signature::SigningKey;
use crate::domain::webhook::{EventType, KeyForm};
use crate::webhook::courier::Courier;
use crate::webhook::exchange::Exchange;
use crate::webhook::line::Line;
use crate::webhook::request::{Keys, Post, SeedKey, signed};

const BODY: &[u8] = br#"{"type":"otp.delivered"}"#;

/// Loopback and any port allowed, http:// too.
fn config() -> WebhooksConfig {
    WebhooksConfig {
        timeout_ms: 300,
        poll_ms: 1_000,
        posts_per_endpoint: 8,
        posts_max: 8,
        keep_alive_ms: 4_000,
        ports: vec![0],
        allow_http: true,
        allow_networks: vec!["127.0.0.0/8".parse().expect("a network")],
        deny_networks: vec![],
        dns_servers: vec![],
        extra_ca_file: String::new(),
        keep_attempts_days: 30,
    }
}

fn url(text: &str) -> EndpointUrl {
    EndpointUrl::parse(text).expect(text)
}

fn line(config: &WebhooksConfig, text: &str) -> Line {
    Courier::new(config).expect("a courier").line(url(text))
}

fn keys() -> Keys {
    Keys { current: SigningKey::from_bytes([1; 32]), old: None, form: KeyForm::Raw }
}

fn post(text: &str) -> Post {
    let delivery = DeliveryId::from_bytes([0x11; 16]);
    signed(&url(text), &keys(), EventType::Delivered, delivery, 1_779_703_225, BODY.to_vec(), SeedKey::Rotating)
}

/// Sends once over a line of its own.
async fn sent(config: &WebhooksConfig, text: &str) -> Exchange {
    within(line(config, text).post(&post(text))).await
}

/// Far longer than any deadline here.
async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("everything ends by its deadline")
}
