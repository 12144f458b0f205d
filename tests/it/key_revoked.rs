//! A key that is revoked, or whose account is closed, while daemons run.

use nexo_route::records::accounts::{self, Closed};
use nexo_route::records::audit::Actor;

use crate::both_engines;
use crate::house::client::Request;
use crate::house::customer::{Customer, PRICE, Purse, SEND, phone};
use crate::house::database::Engine;
use crate::house::{House, until};

both_engines! {
    async fn a_revoked_key_charges_nothing_from_that_moment_on(house: House) { revoked(house).await }
    async fn a_closed_account_is_refused_like_an_unknown_key(house: House) { closed(house).await }
    async fn only_a_live_key_is_a_key(house: House) { no_keys(house).await }
    async fn a_key_revoked_under_load_charges_what_it_answered(house: House) { under_load(house).await }
}

async fn refused_everywhere(customer: &Customer) {
    // A charge compares the key list with the database: it needs no poll to be refused.
    assert_eq!(customer.send(&phone(400_000)).await.expect(401).error(), "invalid_key");
    until("reads are refused too", async || (customer.get("/api/v1/balance").await.status == 401).then_some(())).await;
    for path in ["/api/v1/deliveries", "/api/v1/deliveries/x", "/api/v1/balance"] {
        assert_eq!(customer.get(path).await.expect(401).error(), "invalid_key");
    }
}

async fn revoked(house: House) {
    let customer = house.customer(Purse::full()).await;
    let other_key = customer.with_another_key(house.store().await, &[]).await;
    let id = customer.send(&phone(1)).await.expect(202).string("id");
    customer.revoke(house.store().await).await;
    refused_everywhere(&customer).await;
    // The account's other key goes on, and sees what the first one sent.
    assert_eq!(other_key.delivery(&id).await["id"], id.as_str());
    other_key.send(&phone(2)).await.expect(202);
    assert_eq!(other_key.purse().await.total(), Purse::full().total() - 2 * PRICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_daemon_refuses_a_revoked_key() {
    let house = House::empty(Engine::Postgres).await;
    let (one, other) = (house.add(&[]).await, house.add(&[]).await);
    let customer = house.customer(Purse::full()).await;
    customer.at(one.api).send(&phone(1)).await.expect(202);
    customer.at(other.api).send(&phone(2)).await.expect(202);
    customer.revoke(house.store().await).await;
    refused_everywhere(&customer.at(other.api)).await;
    refused_everywhere(&customer.at(one.api)).await;
    house.finish().await;
}

async fn closed(house: House) {
    let customer = house.customer(Purse::full()).await;
    let store = house.store().await;
    let account = customer.account;
    let close =
        store.write(move |tx| Box::pin(async move { accounts::close(tx, &Actor("tester".into()), account).await }));
    assert!(matches!(close.await, Ok(Closed::Done { keys_revoked: 1 })));
    refused_everywhere(&customer).await;
}

/// Unknown, revoked, mistyped and of another scheme: one body.
async fn no_keys(house: House) {
    let customer = house.customer(Purse::full()).await;
    let mut typo = customer.key.clone();
    let last = if typo.ends_with('0') { "1" } else { "0" };
    typo.replace_range(typo.len() - 1.., last);
    let unknown = nexo_route::domain::api_key::PlainKey::from_entropy(&[3; 32]).expose().to_owned();
    let good = format!("Bearer {}", customer.key);
    let bodies = [
        vec![format!("Bearer {typo}")],
        vec![format!("Bearer {unknown}")],
        vec![format!("Basic {}", customer.key)],
        vec![customer.key.clone()],
        vec!["Bearer".to_owned()],
        vec![String::new()],
        vec!["Bearer sk_live_...".to_owned()],
        vec![good.clone(), good.clone()],
        vec![format!("{good}, {good}")],
    ];
    let mut seen = Vec::new();
    for headers in bodies {
        let request =
            headers.iter().fold(Request::new("POST", SEND), |request, value| request.header("Authorization", value));
        let answer = customer.ask(&request.json(&crate::house::customer::body(&phone(1)))).await.expect(401);
        assert_eq!(answer.error(), "invalid_key", "{headers:?}");
        seen.push(answer.text.replace(&answer.string("request_id"), ""));
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let missing = customer.ask(&Request::new("POST", SEND).json(&crate::house::customer::body(&phone(1)))).await;
    assert_eq!(missing.expect(401).error(), "missing_auth");
    let any_case =
        Request::new("GET", "/api/v1/balance").header("authorization", &format!("BEARER   {}", customer.key));
    customer.ask(&any_case).await.expect(200);
    assert_eq!(customer.purse().await, Purse::full());
}

async fn under_load(house: House) {
    let customer = house.customer(Purse::full()).await;
    let spare = customer.with_another_key(house.store().await, &[]).await;
    let store = house.store().await.clone();
    let orders: Vec<Request> = (0..150).map(|n| customer.order(&phone(n))).collect();
    let (answers, ()) = tokio::join!(customer.volley(orders), customer.revoke(&store));
    let sent = answers.iter().filter(|answer| answer.status == 202).count();
    for answer in answers.iter().filter(|answer| answer.status != 202) {
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    let owed = i64::try_from(sent).expect("few") * PRICE;
    assert_eq!(spare.purse().await.total(), Purse::full().total() - owed);
}
