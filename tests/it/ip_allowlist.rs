//! A key that may be used from some addresses only; and headers that lie about the address.

use crate::both_engines;
use crate::house::House;
use crate::house::client::Request;
use crate::house::customer::{Customer, Purse, phone};
use crate::house::database::Engine;

both_engines! {
    async fn a_stranger_is_told_his_address(house: House) { stranger(house).await }
    async fn forged_headers_do_not_help(house: House) { forged(house).await }
    async fn a_trusted_proxy_speaks_for_its_clients(engine: Engine) { proxied(engine).await }
}

const ELSEWHERE: &str = "203.0.113.5";

/// Asserts that a request is refused, and that the answer names `detected`.
async fn detected(customer: &Customer, request: &Request, detected: &str) {
    let refused = customer.ask(request).await.expect(403);
    assert_eq!((refused.error().as_str(), refused.string("detected_ip").as_str()), ("ip_not_allowed", detected));
}

async fn stranger(house: House) {
    let customer = house.customer_from(Purse::full(), &[ELSEWHERE, "10.0.0.0/8", "2001:db8::/32"]).await;
    detected(&customer, &customer.order(&phone(1)), "127.0.0.1").await;
    detected(&customer, &customer.request("GET", "/api/v1/balance"), "127.0.0.1").await;
    detected(&customer, &customer.request("GET", "/api/v1/deliveries"), "127.0.0.1").await;
    // Before the body is looked at.
    let bad = customer.request("POST", "/api/v1/send-otp").header("Content-Type", "text/plain").body("nonsense");
    detected(&customer, &bad, "127.0.0.1").await;
    // The list belongs to the key, not to the account.
    for admitted in [vec![], vec!["127.0.0.1"], vec!["127.0.0.0/8"], vec![ELSEWHERE, "::ffff:127.0.0.1"]] {
        let other = customer.with_another_key(house.store().await, &admitted).await;
        other.get("/api/v1/balance").await.expect(200);
    }
    let other = customer.with_another_key(house.store().await, &[]).await;
    assert_eq!(other.purse().await, Purse::full());
}

async fn forged(house: House) {
    let customer = house.customer_from(Purse::full(), &[ELSEWHERE]).await;
    for header in
        ["CF-Connecting-IP", "Cloudflare-Connecting-IP", "X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP"]
    {
        let value = if header == "Forwarded" { format!("for={ELSEWHERE}") } else { ELSEWHERE.to_owned() };
        detected(&customer, &customer.order(&phone(1)).header(header, &value), "127.0.0.1").await;
    }
    let many = customer.order(&phone(1)).header("X-Forwarded-For", ELSEWHERE).header("CF-Connecting-IP", ELSEWHERE);
    detected(&customer, &many, "127.0.0.1").await;
    // And they cannot be used to shut somebody out.
    let here = customer.with_another_key(house.store().await, &["127.0.0.1"]).await;
    here.ask(&here.order(&phone(1)).header("CF-Connecting-IP", ELSEWHERE)).await.expect(202);
}

async fn proxied(engine: Engine) {
    let house = House::with(engine, &[("http.trusted_proxies", "127.0.0.0/8,10.0.0.0/8")]).await;
    let customer = house.customer_from(Purse::full(), &[ELSEWHERE]).await;
    detected(&customer, &customer.order(&phone(1)), "127.0.0.1").await;
    for (number, headers) in (1..).zip([
        &[("CF-Connecting-IP", ELSEWHERE)][..],
        &[("Cloudflare-Connecting-IP", ELSEWHERE)],
        &[("X-Forwarded-For", ELSEWHERE)],
        &[("X-Forwarded-For", "198.51.100.1, 203.0.113.5, 10.1.1.1")],
        &[("X-Forwarded-For", "198.51.100.1"), ("CF-Connecting-IP", ELSEWHERE)],
        &[("CF-Connecting-IP", "::ffff:203.0.113.5")],
    ]) {
        let order =
            headers.iter().fold(customer.order(&phone(number)), |order, (name, value)| order.header(name, value));
        customer.ask(&order).await.expect(202);
    }
    // What a client puts to the left of its own address is a forgery.
    let forged = customer.order(&phone(50)).header("X-Forwarded-For", "203.0.113.5, 198.51.100.1");
    detected(&customer, &forged, "198.51.100.1").await;
    let both =
        customer.order(&phone(50)).header("X-Forwarded-For", ELSEWHERE).header("CF-Connecting-IP", "2001:db8::1");
    detected(&customer, &both, "2001:db8::1").await;
    house.finish().await;
}
