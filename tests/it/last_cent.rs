//! A wallet hammered to its last cent: never below zero, never refused while it could pay.

use crate::both_engines;
use crate::house::House;
use crate::house::client::Answer;
use crate::house::customer::{PRICE, Purse, micros, phone};

both_engines! {
    async fn a_wallet_pays_exactly_what_it_holds(house: House) { exactly(house).await }
    async fn a_refusal_says_what_is_left_and_where_to_top_up(house: House) { refusal(house).await }
    async fn what_comes_back_can_be_spent_again(house: House) { spent_again(house).await }
}

async fn exactly(house: House) {
    // 37 codes and one micro-dollar less than the 38th, spread over the buckets so that charges straddle them.
    const CODES: u32 = 37;
    let all = i64::from(CODES + 1) * PRICE - 1;
    let customer = house.customer(Purse { free: 110_001, bonus: 250_007, cash: all - 360_008 }).await;
    let answers = customer.volley((0..96).map(|n| customer.order(&phone(n)))).await;
    let (sent, refused): (Vec<Answer>, Vec<Answer>) = answers.into_iter().partition(|answer| answer.status == 202);
    assert_eq!(u32::try_from(sent.len()), Ok(CODES));
    for answer in &refused {
        assert_eq!((answer.status, answer.error().as_str()), (402, "insufficient_balance"), "{answer:?}");
    }
    // Every 202 saw a balance of its own, one price apart, down to what is left.
    let mut balances: Vec<i64> = sent.iter().map(|answer| micros(&answer.field("balance"))).collect();
    balances.sort_unstable();
    let expected: Vec<i64> = (0..i64::from(CODES)).map(|n| PRICE - 1 + n * PRICE).collect();
    assert_eq!(balances, expected);
    assert_eq!(customer.purse().await, Purse::cash(PRICE - 1));
}

async fn refusal(house: House) {
    let customer = house.customer(Purse { free: 7_000, bonus: 7_000, cash: 7_000 }).await;
    let refused = customer.send(&phone(1)).await.expect(402);
    assert_eq!(refused.error(), "insufficient_balance");
    assert_eq!(refused.string("deposit_url"), "https://example.com/deposit");
    assert_eq!((micros(&refused.field("balance")), micros(&refused.field("cost"))), (21_000, PRICE));
    // It left nothing behind: the phone is free for somebody who can pay.
    house.customer(Purse::full()).await.send(&phone(1)).await.expect(202);
}

/// Refusals give their charge back while the wallet is hammered: none of it is lost, and none is spent twice.
async fn spent_again(house: House) {
    let customer = house.customer(Purse::cash(3 * PRICE)).await;
    for round in 0..3_u32 {
        let orders = (0..10).map(|series| {
            let to =
                if series % 2 == 0 { crate::house::customer::forced(series, 7) } else { phone(100 * round + series) };
            customer.order(&to)
        });
        let answers = customer.volley(orders).await;
        let sent = answers.iter().filter(|answer| answer.status == 202).count();
        for answer in &answers {
            assert!([202, 402, 502].contains(&answer.status), "{answer:?}");
        }
        assert!(sent <= 3, "{answers:?}");
        let left = customer.purse().await.total();
        if left < PRICE {
            return;
        }
    }
}
