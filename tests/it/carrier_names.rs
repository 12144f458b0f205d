//! What carriers call attempts: the rows, two nodes that share them, and what a node leaves when it is killed.

mod crash;
mod nodes;
mod rows;

use std::collections::BTreeMap;

use nexo_route::domain::carrier::Channel;
use nexo_route::domain::ids::{DeliveryId, ReceiptId};
use nexo_route::domain::reference::UpstreamId;
use nexo_route::records::carrier_attempts::{CarrierAttempt, Named, Sought};
use nexo_route::records::parked::{Matched, Place};
use nexo_route::store::Store;

use crate::both_engines;
use crate::house::database::Engine;
use rows::{
    age, count, delivery, expire, find, for_names, forms, insert, named, park, parked, prune, sought, take, walk,
};

both_engines! {
    async fn an_attempt_is_found_by_any_form_of_its_name_for_its_phone_alone(store: Store) { found(store).await }
    async fn the_younger_of_two_attempts_with_one_name_is_meant(store: Store) { reused(store).await }
    async fn the_likeliest_form_is_meant_and_a_guess_needs_a_phone(store: Store) { likeliest(store).await }
    async fn a_name_that_every_message_bears_is_found_by_its_phone(store: Store) { one_name(store).await }
    async fn a_parked_receipt_is_matched_once_and_taken_once(store: Store) { parked_once(store).await }
    async fn names_and_parked_receipts_go_when_they_are_old(store: Store) { old(store).await }
    async fn two_nodes_share_names_and_receipts(engine: Engine) { nodes::two(engine).await }
    async fn a_killed_node_leaves_no_receipt_without_its_delivery(engine: Engine) { crash::killed(engine).await }
}

async fn found(store: Store) {
    for _ in 0..2 {
        insert(&store, vec![named(1, "a", &["bc6150", "12345680"], 7), named(2, "b", &["bc6150"], 7)]).await;
    }
    assert_eq!(count(&store, "attempts").await, 3, "insert or nothing");
    let (one, two) = (Some(delivery(1)), Some(delivery(2)));
    let asked = vec![
        sought("a", &["12345680"], None),
        sought("a", &["nothing", "bc6150"], Some(7)),
        sought("a", &["bc6150"], Some(8)),
        sought("b", &["bc6150"], Some(7)),
        sought("b", &["12345680"], None),
        sought("c", &["bc6150"], None),
        sought("a", &["BC6150"], None),
    ];
    assert_eq!(find(&store, asked).await, [one, one, None, two, None, None, None]);
    assert_eq!(find(&store, Vec::new()).await, []);
    // More than one piece of a batch, in one transaction.
    let texts: Vec<String> = (0..300).map(|number| format!("r{number}")).collect();
    let crowd = texts.iter().zip(0_i64..).map(|(text, phone)| named(9, "a", &[text], phone)).collect();
    insert(&store, crowd).await;
    let asked = texts.iter().zip(0_i64..).map(|(text, phone)| sought("a", &[text], Some(phone))).collect();
    assert_eq!(find(&store, asked).await, vec![Some(delivery(9)); 300]);
}

async fn reused(store: Store) {
    insert(&store, vec![named(1, "a", &["1"], 7)]).await;
    age(&store, "attempts", 5).await;
    insert(&store, vec![named(2, "a", &["1"], 8)]).await;
    let asked = vec![sought("a", &["1"], None), sought("a", &["1"], Some(7)), sought("a", &["1"], Some(8))];
    assert_eq!(find(&store, asked).await, [Some(delivery(2)), Some(delivery(1)), Some(delivery(2))]);
    park(&store, vec![parked(1, sought("a", &["1"], None), 1), parked(2, sought("a", &["1"], Some(7)), 1)]).await;
    let (matched, _) = walk(&store, Place::FIRST, 100).await;
    let attempts: Vec<CarrierAttempt> = matched.iter().map(|matched| matched.attempt).collect();
    assert_eq!(attempts, [delivery(2), delivery(1)]);
}

/// A counter in decimal: the receipt "100" could also be, in hexadecimal, of the younger attempt that was answered "256".
async fn likeliest(store: Store) {
    let receipt = ["100", "hex:100", "dec:256"];
    let younger = named(2, "a", &["256", "hex:598", "dec:256"], 8);
    insert(&store, vec![younger.clone()]).await;
    let (without, with) = (sought("a", &receipt, None), sought("a", &receipt, Some(8)));
    assert_eq!(find(&store, vec![without.clone(), with.clone()]).await, [None, Some(delivery(2))], "a guess alone");
    park(&store, vec![parked(1, without.clone(), 1), parked(2, with, 1)]).await;
    let matched = for_names(&store, vec![younger]).await;
    assert_eq!(matched.len(), 1, "with its phone");
    insert(&store, vec![named(1, "a", &["100", "hex:256", "dec:100"], 7)]).await;
    assert_eq!(find(&store, vec![without]).await, [Some(delivery(1))]);
    let (matched, _) = walk(&store, Place::FIRST, 100).await;
    let attempts: Vec<CarrierAttempt> = matched.iter().map(|matched| matched.attempt).collect();
    assert_eq!(attempts, [delivery(1), delivery(2)], "its own name is there now");
}

/// The names' rows are one in all but the phone and the delivery.
async fn one_name(store: Store) {
    let attempt = |number: u16| {
        let [high, low] = number.to_be_bytes();
        CarrierAttempt {
            delivery: DeliveryId::from_bytes([&[high, low], [0; 14].as_slice()].concat().try_into().expect("16")),
            channel: Channel::Sms,
        }
    };
    for piece in 0..4_u16 {
        let numbers = piece * 1_000..(piece + 1) * 1_000;
        insert(&store, numbers.map(|n| Named { attempt: attempt(n), ..named(0, "a", &["0"], n.into()) }).collect())
            .await;
    }
    let asked = [Some(7), Some(3_999), Some(4_000), None].map(|phone| sought("a", &["0"], phone));
    let expected = [Some(attempt(7)), Some(attempt(3_999)), None, Some(attempt(3_999))];
    assert_eq!(find(&store, asked.to_vec()).await, expected);
    let receipts = asked.into_iter().zip(1..).map(|(of, number)| parked(number, of, 1)).collect();
    park(&store, receipts).await;
    let (matched, _) = walk(&store, Place::FIRST, 100).await;
    let attempts: Vec<CarrierAttempt> = matched.iter().map(|matched| matched.attempt).collect();
    assert_eq!(attempts, [attempt(7), attempt(3_999), attempt(3_999)]);
}

async fn parked_once(store: Store) {
    let receipts = vec![
        parked(1, sought("a", &["ff", "255"], None), 1),
        parked(2, sought("a", &["100"], Some(7)), 4),
        parked(3, sought("b", &["ff"], None), 1),
    ];
    for _ in 0..2 {
        park(&store, receipts.clone()).await;
    }
    assert_eq!(count(&store, "parked_receipts").await, 4);
    let names = vec![named(1, "a", &["ff", "255"], 7), named(2, "a", &["100"], 8)];
    let matched = for_names(&store, names.clone()).await;
    let expected = Matched {
        receipt: ReceiptId::from_bytes([1; 16]),
        upstream: UpstreamId("a".into()),
        attempt: delivery(1),
        state: 1,
        status: receipts[0].status.clone(),
    };
    assert_eq!(matched, [expected], "once for both forms, and never for a strange phone");
    assert_eq!(walk(&store, Place::FIRST, 100).await, (vec![], None), "nothing is named yet");

    insert(&store, names).await;
    // A walk of one row a step sees the same as one of many.
    let (mut seen, mut place) = (Vec::new(), Some(Place::FIRST));
    while let Some(from) = place {
        let (step, next) = walk(&store, from, 1).await;
        seen.extend(step);
        place = next;
    }
    seen.dedup();
    assert_eq!(seen, matched);
    let ids = vec![matched[0].receipt, ReceiptId::from_bytes([9; 16])];
    let (one, other) = tokio::join!(take(&store, ids.clone()), take(&store, ids.clone()));
    assert_eq!(one.len() + other.len(), 1, "one of two rivals has it");
    assert_eq!(take(&store, ids).await.len(), 0);
    assert_eq!(count(&store, "parked_receipts").await, 2, "all its rows are gone");
}

async fn old(store: Store) {
    insert(&store, vec![named(1, "a", &["1", "2", "3"], 7)]).await;
    let waiting = vec![parked(1, sought("a", &["4", "5"], None), 1), parked(2, sought("b", &["4", "5", "6"], None), 1)];
    park(&store, waiting).await;
    assert_eq!(expire(&store, 60, 10).await, (BTreeMap::new(), 0));
    assert_eq!(prune(&store, 60, 10).await, 0);
    for table in ["attempts", "parked_receipts"] {
        age(&store, table, 90).await;
    }
    insert(&store, vec![named(2, "a", &["1"], 7)]).await;
    park(&store, vec![parked(3, sought("a", &["4"], None), 1)]).await;
    assert_eq!((prune(&store, 60, 2).await, prune(&store, 60, 2).await, prune(&store, 60, 2).await), (2, 1, 0));
    assert_eq!(find(&store, vec![sought("a", &["1"], None)]).await, [Some(delivery(2))]);
    let (mut dropped, mut rows) = expire(&store, 60, 1).await;
    let (rest, more) = expire(&store, 60, 10).await;
    rows += more;
    dropped.extend(rest);
    assert_eq!((dropped, rows), (BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 1)]), 5));
    assert_eq!(count(&store, "parked_receipts").await, 1);
}
