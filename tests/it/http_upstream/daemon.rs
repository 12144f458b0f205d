//! The same through the daemon: an order over the API, a call at the provider, its receipt at the carriers' listener, the end.

use std::net::{SocketAddr, TcpListener};

use nexo_route::carrier::simulator::Script;
use nexo_route::rehearsal::provider::{Provider, Settings};
use serde_json::json;
use tokio::task::JoinSet;

use super::{KEY, TKC};
use crate::both_engines;
use crate::house::client::Request;
use crate::house::customer::{PRICE, Purse, forced};
use crate::house::database::Engine;
use crate::house::{House, write_secret};

both_engines! {
    async fn a_code_goes_out_over_http_and_its_receipt_comes_back(engine: Engine) { delivered(engine).await }
    async fn the_providers_own_limit_is_told_and_refunded(engine: Engine) { limited(engine).await }
    async fn a_provider_that_is_away_costs_nothing(engine: Engine) { away(engine).await }
}

/// A port that is free now.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// A house whose calls to Viettel go to the provider at `provider`.
async fn house(engine: Engine, provider: SocketAddr) -> House {
    let (house, settings, _) = written(engine, provider, |example| example).await;
    house.add(&pairs(&settings)).await;
    house
}

/// Settings as a house takes them.
pub(super) fn pairs<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// A house without a daemon, the settings for one whose calls to Viettel go to the provider at `provider` as the example,
/// changed by `edit`, says, and where its callbacks are taken.
pub(super) async fn written(
    engine: Engine,
    provider: SocketAddr,
    edit: impl FnOnce(String) -> String,
) -> (House, Vec<(&'static str, String)>, SocketAddr) {
    let house = House::empty(engine).await;
    let (folder, callbacks) = (house.folder(), free());
    let secret = folder.join("tkc.secret");
    write_secret(&secret, KEY);
    let secret = format!("{{ file = {secret:?} }}");
    let tkc = TKC
        .replace("https://api.tkc.example", &format!("http://{provider}"))
        .replace("https://otp.example.com", &format!("http://{callbacks}"))
        .replace("203.0.113.0/24", "127.0.0.1")
        .replace("{ env = \"NEXO_TKC_TOKEN\" }", &secret)
        .replace("{ env = \"NEXO_TKC_CALLBACK_KEY\" }", &secret);
    let viettel = "price_usd = \"0.022\"\n[carrier.viettel]\nchannels = [\"voice\"]\nprefixes = [\"98\"]\nvoice = [{ upstream = \"tkc\" }]\n";
    let table = folder.join("carriers.toml");
    std::fs::write(&table, format!("{viettel}{}", edit(tkc))).expect("written");
    let settings = vec![("carriers.file", table.display().to_string()), ("callbacks.listen", callbacks.to_string())];
    (house, settings, callbacks)
}

pub(super) async fn provider(running: &mut JoinSet<()>) -> SocketAddr {
    provider_with(Script::default(), running).await
}

pub(super) async fn provider_with(script: Script, running: &mut JoinSet<()>) -> SocketAddr {
    let settings = Settings { script, phone_gap: std::time::Duration::from_secs(30), callback_key: KEY.to_owned() };
    let provider = Provider::bind(SocketAddr::from(([127, 0, 0, 1], 0)), settings).await.expect("binds");
    let address = provider.address().expect("bound");
    running.spawn(provider.run(std::future::pending()));
    address
}

async fn delivered(engine: Engine) {
    let mut running = JoinSet::new();
    let house = house(engine, provider(&mut running).await).await;
    let customer = house.customer(Purse::cash(2 * PRICE)).await;
    let id = customer.send(&forced(0, 0)).await.expect(202).string("id");
    let delivery = customer.ended(&id).await;
    assert_eq!((&delivery["status"], &delivery["carrier_status"]), (&json!("delivered"), &json!("answered")));
    let id = customer.send(&forced(0, 2)).await.expect(202).string("id");
    let delivery = customer.ended(&id).await;
    assert_eq!((&delivery["status"], &delivery["error_code"]), (&json!("failed"), &json!("unreachable")));
    assert_eq!(customer.purse().await, Purse::cash(PRICE));
    house.finish().await;
}

async fn limited(engine: Engine) {
    let mut running = JoinSet::new();
    let provider = provider(&mut running).await;
    let house = house(engine, provider).await;
    let customer = house.customer(Purse::cash(PRICE)).await;
    // Somebody else has called this phone over the same provider a moment ago.
    let phone = forced(0, 0);
    Request::new("POST", "/v1/calls").json(&json!({ "to": phone })).send(provider).await.expect("answers").expect(202);
    let answer = customer.send(&phone).await.expect(429);
    assert_eq!(answer.error(), "rate_limited");
    let seconds = answer.field("retry_after_seconds").as_u64().expect("a number");
    assert!((20..=30).contains(&seconds), "{seconds}");
    assert_eq!(customer.purse().await, Purse::cash(PRICE));
    house.finish().await;
}

async fn away(engine: Engine) {
    let house = house(engine, free()).await;
    let customer = house.customer(Purse::cash(PRICE)).await;
    for number in 0..3 {
        let answer = customer.send(&forced(number, 0)).await.expect(502);
        assert_eq!(answer.error(), "no_route");
    }
    // By then the link is known to be down: nothing is charged at all.
    let answer = customer.send(&forced(3, 0)).await.expect(429);
    assert_eq!(answer.error(), "no_route");
    assert_eq!(customer.purse().await, Purse::cash(PRICE));
    house.finish().await;
}
