//! The list of deliveries: newest first, page by page, filtered by state and by phone.

use serde_json::{Value, json};

use crate::both_engines;
use crate::house::House;
use crate::house::customer::{Customer, Purse, forced, phone};

both_engines! {
    async fn pages_show_everything_once_newest_first(house: House) { pages(house).await }
    async fn filters_show_what_they_name(house: House) { filters(house).await }
    async fn a_parameter_that_is_wrong_is_named(house: House) { wrong(house).await }
}

async fn list(customer: &Customer, query: &str) -> Value {
    let list = customer.get(&format!("/api/v1/deliveries{query}")).await.expect(200).json();
    let fields: Vec<&String> = list.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["data", "has_more", "next_cursor", "ok"]);
    list
}

fn ids(list: &Value) -> Vec<String> {
    let data = list["data"].as_array().expect("a list");
    data.iter().map(|delivery| delivery["id"].as_str().expect("an id").to_owned()).collect()
}

/// Follows the cursor to the end.
async fn all_pages(customer: &Customer, query: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let mut page = list(customer, &format!("?{query}")).await;
    loop {
        seen.extend(ids(&page));
        if page["has_more"] == false {
            return seen;
        }
        let cursor = page["next_cursor"].as_str().expect("a cursor").to_owned();
        page = list(customer, &format!("?{query}&starting_after={cursor}")).await;
    }
}

async fn pages(house: House) {
    let customer = house.customer(Purse::full()).await;
    assert_eq!(list(&customer, "").await, json!({"ok": true, "data": [], "has_more": false, "next_cursor": null}));
    let mut sent = Vec::new();
    for n in 0..25 {
        sent.push(customer.send(&phone(n)).await.expect(202).string("id"));
    }
    sent.reverse();
    let first = list(&customer, "").await;
    assert_eq!(ids(&first), sent[..20]);
    assert_eq!((&first["has_more"], &first["next_cursor"]), (&json!(true), &json!(sent[19])));
    let rest = list(&customer, &format!("?starting_after={}", sent[19])).await;
    assert_eq!((ids(&rest), &rest["has_more"]), (sent[20..].to_vec(), &json!(false)));
    for limit in [1, 7, 24, 25, 26, 100] {
        assert_eq!(all_pages(&customer, &format!("limit={limit}")).await, sent, "{limit} a page");
    }
    // A row of the list is the delivery.
    let row = list(&customer, "?limit=1").await["data"][0].clone();
    customer.ended(&sent[0]).await;
    let mut alone = customer.delivery(&sent[0]).await;
    let whole = alone.as_object_mut().expect("an object");
    whole.remove("ok");
    assert_eq!(row.as_object().expect("an object").keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
}

async fn filters(house: House) {
    let customer = house.customer(Purse::full()).await;
    let mut of = [const { Vec::new() }; 3];
    for series in 0..4 {
        for (kind, number) in [9, 0, 2].into_iter().enumerate() {
            let id = customer.send(&forced(series, number)).await.expect(202).string("id");
            if kind > 0 {
                customer.ended(&id).await;
            }
            of[kind].insert(0, id);
        }
    }
    for (status, expected) in ["sent", "delivered", "failed"].into_iter().zip(&of) {
        assert_eq!(&all_pages(&customer, &format!("status={status}&limit=3")).await, expected, "{status}");
    }
    let one = forced(2, 2);
    for phone in [one.clone(), one.replace('+', "%2B")] {
        assert_eq!(ids(&list(&customer, &format!("?phone={phone}")).await), [of[2][1].clone()]);
        assert_eq!(ids(&list(&customer, &format!("?phone={phone}&status=delivered")).await), [""; 0]);
    }
    assert_eq!(ids(&list(&customer, &format!("?phone={}", phone(1))).await), [""; 0]);
    assert_eq!(list(&customer, "?colour=red&limit=2").await["data"].as_array().map(Vec::len), Some(2));
}

async fn wrong(house: House) {
    let customer = house.customer(Purse::full()).await;
    for (query, error, param) in [
        ("limit=0", "invalid_request", "limit"),
        ("limit=101", "invalid_request", "limit"),
        ("limit=-1", "invalid_request", "limit"),
        ("limit=ten", "invalid_request", "limit"),
        ("limit=5&limit=6", "invalid_request", "limit"),
        ("status=lost", "invalid_request", "status"),
        ("status=%zz", "invalid_request", "status"),
        ("starting_after=x", "invalid_request", "starting_after"),
        ("starting_after=0199a1b2-0000-7000-8000-000000000000", "invalid_request", "starting_after"),
        ("phone=0981234567", "invalid_phone", "phone"),
        ("phone=me", "invalid_phone", "phone"),
    ] {
        let answer = customer.get(&format!("/api/v1/deliveries?{query}")).await.expect(400);
        assert_eq!((answer.error().as_str(), answer.string("param").as_str()), (error, param), "{query}");
    }
}
