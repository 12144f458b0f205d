//! One code per phone in 30 seconds, whoever asks and however often.

use crate::both_engines;
use crate::house::House;
use crate::house::client::Answer;
use crate::house::customer::{PRICE, Purse, forced, phone, volley};

both_engines! {
    async fn a_hammered_phone_gets_exactly_one_code(house: House) { hammered(house).await }
    async fn a_phone_is_cool_for_every_account(house: House) { other_accounts(house).await }
    async fn an_empty_wallet_does_not_block_a_phone(house: House) { empty_wallet(house).await }
    async fn the_carriers_own_limit_is_the_remainder(house: House) { carriers_limit(house).await }
}

/// Asserts that an answer says that the phone cools down; returns the remainder.
pub fn remainder(answer: &Answer) -> u64 {
    assert_eq!((answer.status, answer.error().as_str()), (429, "rate_limited"), "{answer:?}");
    let left = answer.field("retry_after_seconds").as_u64().expect("a number");
    assert!((1..=30).contains(&left), "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some(left.to_string().as_str()));
    left
}

async fn hammered(house: House) {
    let customers = [house.customer(Purse::full()).await, house.customer(Purse::full()).await];
    let to = phone(1);
    let orders = (0..64).map(|n| (customers[n % 2].api, customers[n % 2].order(&to)));
    let answers = volley(orders).await;
    let sent: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 202).collect();
    assert_eq!(sent.len(), 1, "{answers:?}");
    for refused in answers.iter().filter(|answer| answer.status != 202) {
        remainder(refused);
    }
    assert_eq!(house.witnessed().taken(&to), 1);
    let [one, other] = [customers[0].purse().await, customers[1].purse().await];
    assert_eq!(one.total() + other.total(), 2 * Purse::full().total() - PRICE);
}

async fn other_accounts(house: House) {
    let (one, other) = (house.customer(Purse::full()).await, house.customer(Purse::full()).await);
    let to = phone(1);
    let id = one.send(&to).await.expect(202).string("id");
    let first = remainder(&other.send(&to).await);
    assert_eq!(other.purse().await, Purse::full());
    // An end, good or bad, does not shorten the window, and nobody learns whose it is.
    one.ended(&id).await;
    let later = other.send(&to).await;
    assert!(remainder(&later) <= first && !later.text.contains(&id), "{later:?}");
    let failed = forced(0, 2);
    let id = one.send(&failed).await.expect(202).string("id");
    assert_eq!(one.ended(&id).await["status"], "failed");
    remainder(&one.send(&failed).await);
    // Other phones are free.
    other.send(&phone(2)).await.expect(202);
}

async fn empty_wallet(house: House) {
    let (poor, rich) = (house.customer(Purse::cash(PRICE - 1)).await, house.customer(Purse::full()).await);
    for n in 0..8 {
        let to = phone(n);
        let orders = (0..16).map(|n| if n == 8 { (rich.api, rich.order(&to)) } else { (poor.api, poor.order(&to)) });
        let answers = volley(orders).await;
        // Sixteen take turns at one phone; on a busy machine a turn may not come within the 250 ms that it may wait.
        let mut answer = answers[8].clone();
        while answer.status == 503 {
            assert_eq!(answer.error(), "overloaded");
            answer = rich.send(&to).await;
        }
        assert_eq!(answer.status, 202, "{answer:?}");
        for answer in answers.iter().filter(|answer| answer.status != 202) {
            match answer.error().as_str() {
                "insufficient_balance" => assert_eq!(answer.status, 402),
                "overloaded" => assert_eq!(answer.status, 503),
                _ => {
                    remainder(answer);
                }
            }
        }
    }
    assert_eq!(poor.purse().await, Purse::cash(PRICE - 1));
}

async fn carriers_limit(house: House) {
    let (one, other) = (house.customer(Purse::full()).await, house.customer(Purse::full()).await);
    let to = forced(0, 8);
    let limited = one.send(&to).await.expect(429);
    assert_eq!((limited.error().as_str(), remainder(&limited)), ("rate_limited", 17));
    let after = other.send(&to).await.expect(429);
    assert!(remainder(&after) <= 17 && after.json().get("id").is_none(), "{after:?}");
    assert_eq!((one.purse().await, other.purse().await), (Purse::full(), Purse::full()));
}
