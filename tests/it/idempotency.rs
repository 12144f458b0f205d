//! A repeat with the same `Idempotency-Key`: the first answer again, one charge, one code.

use crate::both_engines;
use crate::cooldown::remainder;
use crate::house::client::{Answer, Request};
use crate::house::customer::{Customer, PRICE, Purse, forced, phone};
use crate::house::{House, until};

both_engines! {
    async fn a_repeat_gets_the_first_answer_again(house: House) { repeat(house).await }
    async fn a_repeat_right_after_the_answer_gets_it_again(house: House) { right_after(house).await }
    async fn another_body_is_refused(house: House) { reused(house).await }
    async fn repeats_in_flight_are_charged_once(house: House) { in_flight(house).await }
    async fn refusals_that_moved_no_money_are_not_kept(house: House) { not_kept(house).await }
    async fn a_refunded_refusal_is_repeated(house: House) { refused(house).await }
    async fn keys_of_two_accounts_do_not_meet(house: House) { two_accounts(house).await }
    async fn a_key_that_is_no_key_is_refused(house: House) { bad_keys(house).await }
}

fn keyed(customer: &Customer, to: &str, key: &str) -> Request {
    customer.order(to).header("Idempotency-Key", key)
}

/// Repeats until the first order is decided.
async fn repeated(customer: &Customer, request: &Request) -> Answer {
    until("the repeat is answered", async || {
        let answer = customer.ask(request).await;
        if answer.status == 409 {
            assert_eq!((answer.error().as_str(), answer.header("retry-after")), ("idempotency_in_progress", Some("1")));
            return None;
        }
        Some(answer)
    })
    .await
}

async fn repeat(house: House) {
    let customer = house.customer(Purse::full()).await;
    let order = keyed(&customer, &phone(1), "order-1");
    let first = customer.ask(&order).await.expect(202);
    assert_eq!(first.header("idempotent-replayed"), None);
    for _ in 0..3 {
        let again = customer.ask(&order).await.expect(202);
        assert_eq!((&again.text, again.header("idempotent-replayed")), (&first.text, Some("true")));
    }
    // Another charge in between does not change what the first answer said, nor does the end of the delivery.
    customer.send(&phone(2)).await.expect(202);
    customer.ended(&first.string("id")).await;
    assert_eq!(customer.ask(&order).await.text, first.text);
    assert_eq!(customer.purse().await.total(), Purse::full().total() - 2 * PRICE);
    assert_eq!(house.witnessed().taken(&phone(1)), 1);
}

/// The answer is written in a batch after it was given: the node that gave it knows it until then.
async fn right_after(house: House) {
    let customer = house.customer(Purse::full()).await;
    for number in 0..40 {
        let key = format!("order-{number}");
        let first = customer.ask(&keyed(&customer, &phone(number), &key)).await.expect(202);
        let again = customer.ask(&keyed(&customer, &phone(number), &key)).await.expect(202);
        assert_eq!((&again.text, again.header("idempotent-replayed")), (&first.text, Some("true")));
        customer.ask(&keyed(&customer, &phone(number + 100), &key)).await.expect(422);
    }
    assert_eq!(customer.purse().await.total(), Purse::full().total() - 40 * PRICE);
}

async fn reused(house: House) {
    let customer = house.customer(Purse::full()).await;
    customer.ask(&keyed(&customer, &phone(1), "order-1")).await.expect(202);
    let other = customer.ask(&keyed(&customer, &phone(2), "order-1")).await.expect(422);
    assert_eq!((other.error().as_str(), other.header("idempotent-replayed")), ("idempotency_key_reused", None));
    // The raw bytes are what counts: one more space is another body.
    let spaced = customer.request("POST", "/api/v1/send-otp").header("Idempotency-Key", "order-1");
    let spaced = spaced.body(&format!(r#"{{"code":"482917","phone":"{}" }}"#, phone(1)));
    customer.ask(&spaced).await.expect(422);
    assert_eq!(customer.purse().await.total(), Purse::full().total() - PRICE);
    customer.send(&phone(2)).await.expect(202);
}

async fn in_flight(house: House) {
    let customer = house.customer(Purse::full()).await;
    // The ack takes four seconds: the repeats come while the first is undecided.
    let order = keyed(&customer, &forced(0, 16), "order-1");
    let answers = customer.volley((0..32).map(|_| order.clone())).await;
    let first: Vec<&Answer> = answers
        .iter()
        .filter(|answer| answer.status == 202 && answer.header("idempotent-replayed").is_none())
        .collect();
    assert_eq!(first.len(), 1, "{answers:?}");
    for answer in &answers {
        match answer.status {
            202 => assert_eq!(answer.text, first[0].text),
            409 => assert_eq!(answer.error(), "idempotency_in_progress"),
            _ => panic!("{answer:?}"),
        }
    }
    assert_eq!(repeated(&customer, &order).await.expect(202).text, first[0].text);
    assert_eq!(customer.purse().await.total(), Purse::full().total() - PRICE);
    assert_eq!(house.witnessed().taken(&forced(0, 16)), 1);
}

async fn not_kept(house: House) {
    let customer = house.customer(Purse::cash(PRICE)).await;
    // A bad body does not use the key up.
    let bad = customer.request("POST", "/api/v1/send-otp").header("Idempotency-Key", "order-1").body("{}");
    customer.ask(&bad).await.expect(400);
    let other = house.customer(Purse::full()).await;
    other.send(&phone(1)).await.expect(202);
    remainder(&customer.ask(&keyed(&customer, &phone(1), "order-1")).await);
    remainder(&customer.ask(&keyed(&customer, &phone(1), "order-1")).await);
    // Refused twice over, the key still takes another body.
    let sent = customer.ask(&keyed(&customer, &phone(2), "order-1")).await.expect(202);
    assert_eq!(sent.header("idempotent-replayed"), None);
    let broke = keyed(&customer, &phone(3), "order-2");
    customer.ask(&broke).await.expect(402);
    crate::house::customer::credit(
        house.store().await,
        customer.account,
        nexo_route::domain::money::Bucket::Cash,
        PRICE,
    )
    .await;
    let sent = customer.ask(&broke).await.expect(202);
    assert_eq!(sent.header("idempotent-replayed"), None);
}

async fn refused(house: House) {
    let customer = house.customer(Purse::full()).await;
    let order = keyed(&customer, &forced(0, 7), "order-1");
    let first = customer.ask(&order).await.expect(502);
    let again = customer.ask(&order).await.expect(502);
    assert_eq!((again.string("id"), again.error()), (first.string("id"), "no_route".to_owned()));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));

    let order = keyed(&customer, &forced(0, 8), "order-2");
    let first = customer.ask(&order).await.expect(429);
    let again = customer.ask(&order).await.expect(429);
    assert_eq!((again.string("id"), again.header("idempotent-replayed")), (first.string("id"), Some("true")));
    assert!(remainder(&again) <= 17);
    assert_eq!(customer.purse().await, Purse::full());
    assert_eq!(house.witnessed().all().len(), 3, "voice and SMS of the first, voice of the second");
}

async fn two_accounts(house: House) {
    let (one, other) = (house.customer(Purse::full()).await, house.customer(Purse::full()).await);
    let first = one.ask(&keyed(&one, &phone(1), "order-1")).await.expect(202);
    let second = other.ask(&keyed(&other, &phone(2), "order-1")).await.expect(202);
    assert_ne!(first.string("id"), second.string("id"));
    assert_eq!(second.header("idempotent-replayed"), None);
}

async fn bad_keys(house: House) {
    let customer = house.customer(Purse::full()).await;
    for bad in ["", " ", "two words", "é", &"k".repeat(256)] {
        let refused = customer.ask(&keyed(&customer, &phone(1), bad)).await.expect(400);
        assert_eq!(
            (refused.error().as_str(), refused.string("param").as_str()),
            ("invalid_request", "Idempotency-Key")
        );
    }
    let twice = keyed(&customer, &phone(1), "a").header("Idempotency-Key", "a");
    customer.ask(&twice).await.expect(400);
    customer.ask(&keyed(&customer, &phone(1), &"k".repeat(255))).await.expect(202);
}
