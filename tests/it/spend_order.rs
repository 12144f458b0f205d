//! Free credit first, then bonus credit, then cash; and what comes back goes where it came from.

use crate::both_engines;
use crate::house::House;
use crate::house::customer::{PRICE, Purse, forced, phone};
use crate::house::database::Engine;

both_engines! {
    async fn buckets_are_spent_in_order(house: House) { in_order(house).await }
    async fn a_refund_goes_back_to_the_buckets_it_came_from(engine: Engine) { back(engine).await }
}

async fn in_order(house: House) {
    let customer = house.customer(Purse { free: 30_000, bonus: 30_000, cash: 50_000 }).await;
    let expected = [
        Purse { free: 8_000, bonus: 30_000, cash: 50_000 },
        Purse { free: 0, bonus: 16_000, cash: 50_000 },
        Purse { free: 0, bonus: 0, cash: 44_000 },
        Purse::cash(22_000),
        Purse::cash(0),
    ];
    for (n, purse) in (0..).zip(expected) {
        customer.send(&phone(n)).await.expect(202);
        assert_eq!(customer.purse().await, purse);
    }
    customer.send(&phone(9)).await.expect(402);
}

async fn back(engine: Engine) {
    // Long enough for a second charge between the first one and its refund.
    let house = House::with(engine, &[("simulator.receipt_ms", "700")]).await;
    let full = Purse { free: 10_000, bonus: 5_000, cash: 50_000 };
    let customer = house.customer(full).await;
    let failing = customer.send(&forced(0, 2)).await.expect(202).string("id");
    assert_eq!(customer.purse().await, Purse::cash(43_000));
    let standing = customer.send(&phone(1)).await.expect(202).string("id");
    assert_eq!(customer.purse().await, Purse::cash(43_000 - PRICE));
    assert_eq!(customer.ended(&failing).await["refunded"], true);
    assert_eq!(customer.ended(&standing).await["refunded"], false);
    assert_eq!(customer.purse().await, Purse { free: 10_000, bonus: 5_000, cash: 50_000 - PRICE });
    house.finish().await;
}
