//! What is another account's does not exist: not by id, not in a list, not as a cursor, not in an error.

use serde_json::json;

use crate::both_engines;
use crate::house::House;
use crate::house::client::Answer;
use crate::house::customer::{PRICE, Purse, phone};

both_engines! {
    async fn another_accounts_id_is_an_unknown_id(house: House) { ids(house).await }
    async fn lists_and_balances_are_ones_own(house: House) { lists(house).await }
}

fn without_request_id(answer: &Answer) -> String {
    answer.text.replace(&answer.string("request_id"), "")
}

async fn ids(house: House) {
    let (one, other) = (house.customer(Purse::full()).await, house.customer(Purse::full()).await);
    let id = one.send(&phone(1)).await.expect(202).string("id");
    one.get(&format!("/api/v1/deliveries/{id}")).await.expect(200);
    let unknown = other.get("/api/v1/deliveries/0199a1b2-0000-7000-8000-000000000000").await.expect(404);
    assert_eq!(unknown.error(), "not_found");
    for path in [id.as_str(), "8f2e1c4d", "8f2e1c4d-...", "1", "%00", "..", "'%20OR%201=1--"] {
        let answer = other.get(&format!("/api/v1/deliveries/{path}")).await.expect(404);
        assert_eq!(without_request_id(&answer), without_request_id(&unknown), "{path}");
    }
    let head = other.ask(&other.request("HEAD", &format!("/api/v1/deliveries/{id}"))).await.expect(404);
    assert_eq!(head.text, "");
    for cursor in [id.as_str(), "0199a1b2-0000-7000-8000-000000000000", "x"] {
        let answer = other.get(&format!("/api/v1/deliveries?starting_after={cursor}")).await.expect(400);
        assert_eq!((answer.error().as_str(), answer.field("param")), ("invalid_request", json!("starting_after")));
        assert!(!answer.text.contains(&id) || cursor != id, "{answer:?}");
    }
}

async fn lists(house: House) {
    let (one, other) = (house.customer(Purse::full()).await, house.customer(Purse::full()).await);
    for n in 0..3 {
        one.send(&phone(n)).await.expect(202);
    }
    let mine = other.send(&phone(9)).await.expect(202).string("id");
    let list = other.get("/api/v1/deliveries").await.expect(200).json();
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["data"][0]["id"], mine.as_str());
    // The same phone may be in both lists; a filter shows one's own only.
    let filtered = other.get(&format!("/api/v1/deliveries?phone={}", phone(1))).await.expect(200).json();
    assert_eq!(filtered["data"], json!([]));
    assert_eq!(one.purse().await.total(), Purse::full().total() - 3 * PRICE);
    assert_eq!(other.purse().await.total(), Purse::full().total() - PRICE);
}
