//! The operators' listener.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::{Client, Seeing};
use crate::http::listener::{Limits, Listener};
use crate::http::ops::{Health, LinkHealth, Ops, Readiness};

const WELL: Health = Health {
    database: true,
    round_trip: Some(Duration::from_micros(200_042)),
    migrations: true,
    keys: true,
    keys_age_ms: Some(250),
    clock: None,
    accepting: true,
    links: true,
    stopping: false,
};

/// `None`: a check that hangs.
#[derive(Clone)]
struct Scripted(Arc<Mutex<Option<Health>>>);

impl Readiness for Scripted {
    async fn check(&self) -> Health {
        let health = *self.0.lock().expect("no test panics with it");
        match health {
            Some(health) => health,
            None => std::future::pending().await,
        }
    }

    fn links(&self) -> Vec<LinkHealth> {
        let link = |upstream: &str, health, rate_per_second| LinkHealth {
            upstream: upstream.to_owned(),
            health,
            paused: health == "down",
            in_flight: 3,
            window: 20,
            rate_per_second,
        };
        vec![link("tkc", "up", None), link("vt_smsc", "down", Some(100))]
    }
}

#[tokio::test]
async fn links_are_listed_with_what_they_have_under_way() {
    let links = Desk::start().call("GET /links").await;
    assert_eq!(links.status, 200);
    let said = r#"{"links":[{"upstream":"tkc","health":"up","paused":false,"in_flight":3,"window":20,"rate_per_second":null},{"upstream":"vt_smsc","health":"down","paused":true,"in_flight":3,"window":20,"rate_per_second":100}]}"#;
    assert_eq!(links.body, said);
}

struct Desk {
    address: SocketAddr,
    health: Scripted,
    _served: JoinSet<()>,
}

impl Desk {
    fn start() -> Self {
        let health = Scripted(Arc::new(Mutex::new(Some(WELL))));
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = Listener::bind("ops", any, Limits::default()).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let ops = Ops::new(|| "nexo_build_info 1\n".to_owned(), health.clone());
        let mut served = JoinSet::new();
        served.spawn(listener.serve(ops, CancellationToken::new()));
        Self { address, health, _served: served }
    }

    async fn call(&self, line: &str) -> Seeing {
        let mut client = Client::connect(self.address).await;
        client.send(&format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        client.answer().await
    }
}

#[tokio::test]
async fn readiness_names_every_check() {
    let desk = Desk::start();
    let ready = desk.call("GET /readyz").await;
    assert_eq!(ready.status, 200);
    let well = r#"{"ready":true,"database":true,"database_round_trip_ms":200.042,"migrations":true,"keys":true,"keys_age_ms":250,"clock":"ok","accepting":true,"links":true,"stopping":false}"#;
    assert_eq!(ready.body, well);
    for (health, said) in [
        (Some(Health { database: false, ..WELL }), r#""database":false"#),
        (Some(Health { round_trip: None, keys: false, ..WELL }), r#""database_round_trip_ms":null"#),
        (Some(Health { migrations: false, ..WELL }), r#""migrations":false"#),
        (Some(Health { keys: false, ..WELL }), r#""keys":false,"keys_age_ms":250"#),
        (Some(Health { keys: false, keys_age_ms: None, ..WELL }), r#""keys":false,"keys_age_ms":null"#),
        (Some(Health { clock: Some("it is late"), ..WELL }), r#""clock":"it is late""#),
        (Some(Health { accepting: false, ..WELL }), r#""accepting":false"#),
        (Some(Health { links: false, ..WELL }), r#""links":false"#),
        (Some(Health { stopping: true, ..WELL }), r#""stopping":true"#),
        (None, r#""database":false"#),
    ] {
        *desk.health.0.lock().expect("no test panics with it") = health;
        let red = desk.call("GET /readyz").await;
        assert!(red.status == 503 && red.body.contains(said) && red.body.contains(r#""ready":false"#), "{red:?}");
        assert_eq!(desk.call("GET /livez").await.status, 200);
    }
}

#[tokio::test]
async fn metrics_are_text_and_nothing_else_is_here() {
    let desk = Desk::start();
    let metrics = desk.call("GET /metrics").await;
    assert_eq!((metrics.status, metrics.body.as_str()), (200, "nexo_build_info 1\n"));
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(desk.call("GET /api/v1/balance").await.status, 404);
    assert_eq!(desk.call("GET /metrics/").await.status, 404);
    assert_eq!(desk.call("GET /").await.status, 404);
    let refused = desk.call("OPTIONS /metrics").await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn options_on_a_health_path_says_in_its_status_how_it_is() {
    let desk = Desk::start();
    for line in ["OPTIONS /readyz", "OPTIONS /livez", "OPTIONS /", "OPTIONS *"] {
        let well = desk.call(line).await;
        assert_eq!((well.status, well.body.as_str()), (204, ""), "{line}");
        assert_eq!((well.header("allow"), well.header("content-type")), (Some("GET, HEAD, OPTIONS"), None), "{line}");
    }
    *desk.health.0.lock().expect("no test panics with it") = Some(Health { stopping: true, ..WELL });
    for line in ["OPTIONS /readyz", "OPTIONS /", "OPTIONS *"] {
        let red = desk.call(line).await;
        assert!(red.status == 503 && red.body.contains(r#""stopping":true"#), "{line}: {red:?}");
    }
    assert_eq!(desk.call("OPTIONS /livez").await.status, 204);
    let refused = desk.call("POST /readyz").await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
    for line in ["OPTIONS /api/v1/balance", "OPTIONS /links/"] {
        assert_eq!(desk.call(line).await.status, 404, "{line}");
    }
}
