//! A wallet that another session holds: its own orders wait for nobody, and the others not for it.

use super::*;

fn order_of(account: u8, number: u8) -> Order {
    Order { account: AccountId::from_bytes([account; 16]), ..order(number) }
}

impl House {
    fn hold(&self, account: u8, transactions: usize) {
        self.script.with(|rows| rows.locked.insert(AccountId::from_bytes([account; 16]), transactions));
    }

    async fn all(&self, orders: impl IntoIterator<Item = Order>) -> Vec<Charge> {
        let give_up = Instant::now() + Duration::from_secs(1);
        join_all(orders.into_iter().map(|order| self.wallet.charge(order, give_up))).await
    }

    fn transactions(&self) -> usize {
        self.script.with(|rows| rows.batches.len())
    }
}

fn is_locked(charge: &Charge) -> bool {
    matches!(charge, Charge::Unavailable | Charge::Decided { verdict: Verdict::WalletLocked, .. })
}

#[tokio::test(start_paused = true)]
async fn a_locked_wallet_refuses_its_own_orders_and_no_others() {
    let house = House::new(99).await;
    house.hold(2, usize::MAX);
    let charges = house.all((0..8).map(|number| order_of(1 + number % 2, number))).await;
    for (number, charge) in charges.iter().enumerate() {
        let is_as_it_must = if number % 2 == 0 { is_charged(charge) } else { is_locked(charge) };
        assert!(is_as_it_must, "{number}: {charge:?}");
    }
    assert_eq!(house.script.standing(), 4);
    // While it is not due, its orders are refused without a transaction.
    let before = house.transactions();
    assert_eq!(house.all([order_of(2, 20), order_of(2, 21)]).await, [Charge::Unavailable, Charge::Unavailable]);
    assert_eq!(house.transactions(), before);
    // The others' batches go on as one transaction each, with and without a try of the locked wallet in them.
    for number in 30..40 {
        let before = house.transactions();
        let charges = house.all([order_of(1, number), order_of(2, number + 100)]).await;
        assert!(is_charged(&charges[0]) && is_locked(&charges[1]), "{charges:?}");
        assert!(house.transactions() - before <= 2, "an order may come a batch later, but no batch is repeated");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(house.script.standing(), 14);
}

#[tokio::test(start_paused = true)]
async fn a_wallet_that_is_free_again_is_charged_with_the_next_try() {
    let house = House::new(99).await;
    house.hold(2, usize::MAX);
    assert!(is_locked(&house.all([order_of(2, 1)]).await[0]));
    house.hold(2, 0);
    assert_eq!(house.all([order_of(2, 2)]).await, [Charge::Unavailable], "not due yet");
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(is_charged(&house.all([order_of(2, 3)]).await[0]));
    assert!(is_charged(&house.all([order_of(2, 4)]).await[0]), "forgotten");
    assert_eq!(house.script.standing(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wallet_that_another_daemon_holds_for_a_moment_refuses_nobody() {
    let house = House::new(99).await;
    for (number, transactions) in [(0, 1), (2, 2), (4, 3)] {
        house.hold(2, transactions);
        let charges = house.all([order_of(1, number), order_of(2, number + 1)]).await;
        assert!(charges.iter().all(is_charged), "{transactions}: {charges:?}");
    }
    assert_eq!(house.script.standing(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_no_wallet_is_waited_for_twice_and_no_more() {
    let house = House::new(99).await;
    house.script.with(|rows| rows.faults.extend([Fault::RowLocked, Fault::RowLocked]));
    assert_eq!(house.all([order_of(1, 1)]).await, [Charge::Unavailable]);
    assert_eq!(house.transactions(), 2);
    house.script.with(|rows| rows.faults.push_back(Fault::RowLocked));
    assert!(is_charged(&house.all([order_of(1, 2)]).await[0]), "free when it was tried again");
    assert_eq!(house.script.standing(), 1);
}
