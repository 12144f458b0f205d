//! A database's clock that is stepped: the house's time never goes back, never runs away, and no money waits for it.

use nexo_route::clock::Doubt;
use nexo_route::domain::ids::{AccountId, DeliveryId};
use nexo_route::domain::phone::Phone;
use nexo_route::domain::time::Timestamp;
use nexo_route::records::audit::Actor;
use nexo_route::records::{house_clock, pruning};
use nexo_route::store::{Scalar, Statement, Store, Type};

use crate::both_engines;
use crate::commands::Desk;
use crate::cooldown::remainder;
use crate::crash_recovery::SHORT;
use crate::house::clockwork::SteppedClock;
use crate::house::customer::{Customer, PRICE, Purse, phone};
use crate::house::database::Engine;
use crate::house::node::{Node, keyring};
use crate::house::{House, until};
use crate::verification::breaches;

both_engines! {
    async fn an_hour_back_and_a_crash_leave_nothing_that_is_not_refunded(engine: Engine) { hour_back(engine).await }
    async fn a_phone_waits_thirty_seconds_at_most_after_the_clock_went_back(engine: Engine) { cooldown(engine).await }
    async fn a_window_of_another_clock_is_not_believed(engine: Engine) { foreign_window(engine).await }
    async fn hours_ahead_are_red_until_they_heal_or_are_accepted(engine: Engine) { ahead(engine).await }
    async fn a_start_hours_behind_the_rows_is_red_until_it_is_accepted(engine: Engine) { behind(engine).await }
    async fn what_is_overdue_ends_whatever_its_id_says(house: House) { any_id(house).await }
    async fn an_operator_looks_at_the_clock_and_accepts_it(desk: Desk) { commands(&desk) }
}

const SENT: i64 = 0;

/// Waits until the sweeper has passed everything that is older than the longest settle time.
async fn watermark_moved(store: &Store) {
    until("the watermark moves", async || {
        let watermark = store.read(|tx| Box::pin(pruning::watermark(tx))).await.expect("reads");
        (watermark.timestamp() > Timestamp::from_micros(1_700_000_000_000_000)).then_some(())
    })
    .await;
}

/// Orders `count` codes of a daemon whose carriers do not answer, and kills it when all are on their way.
async fn orphan(house: &House, node: &Node, customer: &Customer, count: u32) {
    node.carrier("viettel").set_hanging(true);
    let orders: Vec<_> = (0..count).map(|n| customer.order(&phone(100 + n))).collect();
    let before = house.witnessed().all().len();
    let (_lost, ()) =
        tokio::join!(futures_util::future::join_all(orders.iter().map(|order| order.send(node.api))), async {
            let all = before + orders.len();
            until("all have left", async || (house.witnessed().all().len() >= all).then_some(())).await;
            node.kill();
        });
}

async fn hour_back(engine: Engine) {
    let (house, clock) = SteppedClock::house(engine).await;
    let node = house.add(&SHORT).await;
    let customer = house.customer(Purse::full()).await;
    let first = customer.send(&phone(1)).await.expect(202).string("id");
    customer.ended(&first).await;
    let paid = customer.purse().await;
    watermark_moved(house.store().await).await;
    clock.step(-3_600).await;
    orphan(&house, &node, &customer, 10).await;
    let customer = customer.at(house.add(&SHORT).await.api);
    customer.known_at(customer.api).await;
    until("everything has ended", async || (house.ledger().await.with_status(SENT) == 0).then_some(())).await;
    assert_eq!(customer.purse().await, paid, "all of it came back");
    assert_eq!(breaches(house.store().await).await, []);
    // The clock is put right again.
    clock.step(3_600).await;
    let id = customer.send(&phone(2)).await.expect(202).string("id");
    customer.ended(&id).await;
    house.finish().await;
}

/// A standby that runs two minutes behind is promoted, and one of two daemons dies.
#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_that_runs_behind_loses_nothing_of_a_dead_daemon() {
    let (house, clock) = SteppedClock::house(Engine::Postgres).await;
    let (one, other) = tokio::join!(house.add(&SHORT), house.add(&SHORT));
    let customer = house.customer(Purse::full()).await;
    watermark_moved(house.store().await).await;
    clock.step(-120).await;
    orphan(&house, &one, &customer.at(one.api), 20).await;
    let customer = customer.at(other.api);
    remainder(&customer.send(&phone(100)).await);
    until("everything has ended", async || (house.ledger().await.with_status(SENT) == 0).then_some(())).await;
    assert_eq!(customer.purse().await, Purse::full());
    let id = customer.send(&phone(1)).await.expect(202).string("id");
    customer.ended(&id).await;
    assert_eq!(breaches(house.store().await).await, []);
    house.finish().await;
}

async fn cooldown(engine: Engine) {
    let (house, clock) = SteppedClock::house(engine).await;
    let node = house.add(&[]).await;
    let customer = house.customer(Purse::full()).await;
    let id = customer.send(&phone(1)).await.expect(202).string("id");
    customer.ended(&id).await;
    clock.step(-3_600).await;
    // Whoever asks a daemon that has seen nothing asks the rows.
    node.stop().await.expect("stops");
    let customer = customer.at(house.add(&[]).await.api);
    customer.known_at(customer.api).await;
    let answer = customer.send(&phone(1)).await;
    if answer.status != 202 {
        remainder(&answer);
    }
    assert_eq!(house.witnessed().breaches(&house.ledger().await.ids(), std::time::Duration::ZERO), [""; 0]);
    house.finish().await;
}

static WINDOW: Statement = Statement::new(
    "test.foreign_window",
    &[],
    &[Type::I64, Type::Id],
    "INSERT INTO cooldown_windows (phone_key, until_us, delivery) SELECT $1, {now_us} + 3600000000, $2 WHERE true",
);

async fn foreign_window(engine: Engine) {
    let (house, _clock) = SteppedClock::house(engine).await;
    house.add(&[]).await.stop().await.expect("stops");
    let to = Phone::parse(&phone(7)).expect("a phone");
    let key = keyring().phone_key(to).number();
    let store = house.store().await;
    let planted = store.write(move |tx| {
        let scalars = [Scalar::I64(key), Scalar::Id([7; 16])];
        Box::pin(async move { tx.execute(&WINDOW, &[], &scalars).await })
    });
    assert_eq!(planted.await, Ok(1));
    house.add(&[]).await;
    let customer = house.customer(Purse::full()).await;
    customer.send(&phone(7)).await.expect(202);
    remainder(&customer.send(&phone(7)).await);
    house.finish().await;
}

/// Waits until `/readyz` is red for `doubt`.
async fn red(node: &Node, doubt: Doubt) {
    until("it is red", async || {
        let answer = node.ask_ops("/readyz").await.ok()?;
        (answer.status == 503 && answer.field("clock") == doubt.reason()).then_some(())
    })
    .await;
}

async fn green(node: &Node) {
    until("it is green", async || (node.ask_ops("/readyz").await.ok()?.status == 200).then_some(())).await;
}

async fn accept(house: &House) {
    let accepted = house.store().await.write(|tx| {
        let actor = Actor("tester".into());
        Box::pin(async move { house_clock::accept(tx, &actor).await })
    });
    accepted.await.expect("is written");
}

async fn ahead(engine: Engine) {
    let (house, clock) = SteppedClock::house(engine).await;
    let node = house.add(&[]).await;
    let customer = house.customer(Purse::full()).await;
    for heals in [true, false] {
        clock.step(7_200).await;
        red(&node, Doubt::Ahead).await;
        let refused = customer.send(&phone(u32::from(heals))).await;
        assert_eq!((refused.status, refused.error().as_str()), (503, "unavailable"), "{refused:?}");
        assert!(refused.header("retry-after").is_some());
        if heals {
            clock.step(-7_200).await;
        } else {
            accept(&house).await;
        }
        green(&node).await;
        customer.send(&phone(u32::from(heals))).await.expect(202);
    }
    assert!(node.metric("nexo_clock_held").await == 1.0, "what the step made overdue is given its time");
    assert_eq!(breaches(house.store().await).await, []);
    house.finish().await;
}

async fn behind(engine: Engine) {
    let (house, clock) = SteppedClock::house(engine).await;
    clock.step(7_200).await;
    let node = house.add(&[]).await;
    let customer = house.customer(Purse::full()).await;
    let id = customer.send(&phone(1)).await.expect(202).string("id");
    customer.ended(&id).await;
    node.stop().await.expect("stops");
    clock.step(-7_200).await;

    let node = house.add(&[]).await;
    let customer = customer.at(node.api);
    customer.known_at(customer.api).await;
    red(&node, Doubt::Behind).await;
    assert_eq!(customer.send(&phone(2)).await.status, 503);
    accept(&house).await;
    green(&node).await;
    customer.send(&phone(2)).await.expect(202);
    // It is not asked again.
    node.stop().await.expect("stops");
    let node = house.add(&[]).await;
    green(&node).await;
    customer.known_at(node.api).await;
    customer.at(node.api).send(&phone(3)).await.expect(202);
    house.finish().await;
}

static OVERDUE: Statement = Statement::new(
    "test.overdue_of_another_clock",
    &[],
    &[Type::Id, Type::Id, Type::I64, Type::Bytes],
    "INSERT INTO deliveries (id, account, phone_key, phone_sealed, carrier, channel, from_free, from_bonus, from_balance, \
     status, created_us, settle_us) VALUES ($1, $2, 1, $4, 'viettel', 'voice', 0, 0, $3, 0, 1, 2)",
);
static CHARGE: Statement = Statement::new(
    "test.charge",
    &[],
    &[Type::Id, Type::I64],
    "UPDATE wallets SET balance = balance - $2 WHERE account = $1",
);

async fn plant(store: &Store, account: AccountId, at: Timestamp) {
    let delivery = *DeliveryId::new(at, rand::random()).as_bytes();
    let planted = store.write(move |tx| {
        Box::pin(async move {
            let account = Scalar::Id(*account.as_bytes());
            tx.execute(&CHARGE, &[], &[account, Scalar::I64(PRICE)]).await?;
            tx.execute(&OVERDUE, &[], &[Scalar::Id(delivery), account, Scalar::I64(PRICE), Scalar::Bytes(&[0])]).await
        })
    });
    assert_eq!(planted.await, Ok(1));
}

async fn any_id(house: House) {
    let customer = house.customer(Purse::full()).await;
    let store = house.store().await;
    watermark_moved(store).await;
    let day = 24 * 60 * 60 * 1_000_000;
    let now = store.ping().await.expect("pings").micros();
    for at in [now - 365 * day, now - day, now + day, now + 365 * day] {
        plant(store, customer.account, Timestamp::from_micros(at)).await;
    }
    until("everything has ended", async || (house.ledger().await.with_status(SENT) == 0).then_some(())).await;
    assert_eq!(customer.purse().await, Purse::full());
}

fn commands(desk: &Desk) {
    desk.ask("secrets create");
    desk.ask("migrate");
    let shown = desk.ask("clock show");
    assert_eq!((&shown["ok"], &shown["believed"]), (&true.into(), &true.into()), "{shown}");
    let accepted = desk.ask("clock accept");
    assert_eq!(accepted["ok"], true, "{accepted}");
    let shown = desk.ask("clock show");
    assert_eq!(shown["reached"], accepted["database"], "the rows have reached what was accepted");
}
