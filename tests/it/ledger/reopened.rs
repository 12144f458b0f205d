//! What a database knows of windows when it is opened again, however it was left.

use std::time::Duration;

use nexo_route::domain::delivery::WindowAfter;
use nexo_route::domain::ids::DeliveryId;
use nexo_route::records::acceptance::{Order, Verdict, accept};
use nexo_route::records::pruning;
use nexo_route::store::{Statement, Store};

use super::rows::{accept_all, account, delivered, failed, fund, micros, order, settle_all};
use crate::house::database::{Database, Engine};
use crate::house::open_as_a_daemon_does;

static ON_DISK: Statement = Statement::new("test.windows_on_disk", &[], &[], "SELECT COUNT(*) FROM cooldown_windows");

/// What another connection than the writer's sees.
async fn on_disk(store: &Store) -> i64 {
    let rows = store.read(|tx| Box::pin(async move { tx.query(&ON_DISK, &[], &[]).await })).await.expect("reads");
    rows[0].i64(0).expect("a count")
}

async fn verdict(store: &Store, order: Order) -> Verdict {
    accept_all(store, vec![order]).await.remove(0)
}

/// Who holds a phone, and for how long.
async fn holder(store: &Store, phone: i64) -> Option<(DeliveryId, Duration)> {
    match verdict(store, order(store, account(1), phone).await).await {
        Verdict::CoolingDown { remaining, owner } => Some((owner, remaining)),
        Verdict::Charged { .. } => None,
        other => panic!("{other:?}"),
    }
}

async fn charged(store: &Store, order: Order) -> DeliveryId {
    let id = order.delivery;
    let verdict = verdict(store, order).await;
    assert!(matches!(verdict, Verdict::Charged { .. }), "{verdict:?}");
    id
}

pub(super) async fn windows(engine: Engine) {
    const HOUR: Duration = Duration::from_secs(3_600);
    let database = Database::fresh(engine).await.expect("a database");
    let store = open_as_a_daemon_does(&database).await;
    fund(&store, account(1), micros(0, 0, 10_000_000)).await;
    let next = async |phone| order(&store, account(1), phone).await;

    let claimed = charged(&store, next(1).await).await;
    let arrived = charged(&store, next(2).await).await;
    let freed = charged(&store, next(3).await).await;
    let held = charged(&store, next(4).await).await;
    // An id that was made first, and claims the phone after another one gave it back.
    let second_ago = store.ping().await.expect("pings").minus(Duration::from_secs(1));
    let early = Order { delivery: DeliveryId::new(second_ago, rand::random()), ..next(5).await };
    let given_back = charged(&store, next(5).await).await;
    let ends = vec![
        delivered(arrived),
        failed(freed, WindowAfter::Release),
        failed(held, WindowAfter::Hold(HOUR)),
        failed(given_back, WindowAfter::Release),
    ];
    settle_all(&store, ends).await;
    let last = charged(&store, early).await;
    assert!(last < given_back, "made before it");
    drop(store);

    let store = open_as_a_daemon_does(&database).await;
    let window = Duration::from_secs(30);
    for (phone, owner, longest) in [(1, claimed, window), (2, arrived, window), (4, held, HOUR), (5, last, window)] {
        let (by, remaining) = holder(&store, phone).await.expect("held");
        assert!(by == owner && remaining <= longest && remaining > longest / 2, "{phone}: {remaining:?}");
    }
    assert_eq!(holder(&store, 3).await, None, "given back before it was closed");
    drop(store);
    let store = open_as_a_daemon_does(&database).await;
    assert!(holder(&store, 3).await.is_some(), "and claimed since");
    drop(store);
    database.remove().await.expect("goes");
}

pub(super) async fn what_is_written(engine: Engine) {
    let database = Database::fresh(engine).await.expect("a database");
    let store = open_as_a_daemon_does(&database).await;
    fund(&store, account(1), micros(0, 0, 44_000)).await;
    let wallets = [(1, true), (2, true), (3, false)];
    let mut paid = Vec::new();
    for (phone, pays) in wallets {
        let order = order(&store, account(1), phone).await;
        paid.extend(pays.then_some(order.delivery));
        let verdict = verdict(&store, order).await;
        assert_eq!(matches!(verdict, Verdict::Charged { .. }), pays, "{verdict:?}");
    }
    let claims = if engine == Engine::Sqlite { 0 } else { 3 };
    assert_eq!(on_disk(&store).await, claims, "a delivery tells its window, and who does not pay leaves none");

    settle_all(&store, vec![failed(paid[0], WindowAfter::Release)]).await;
    assert_eq!(on_disk(&store).await, claims.max(1), "no delivery tells that a window was given back");
    let now = store.ping().await.expect("pings");
    let pruned = store.write(move |tx| Box::pin(pruning::prune_windows(tx, i64::MIN, 10, now))).await;
    assert_eq!(pruned.expect("prunes").dropped, 2, "both that nobody holds");
    assert_eq!(on_disk(&store).await, if engine == Engine::Sqlite { 0 } else { 1 });

    // A transaction that fails takes its windows with it.
    fund_again(&store).await;
    let lost = order(&store, account(1), 4).await;
    let clashing = Order { delivery: paid[1], ..order(&store, account(1), 5).await };
    let failing = store.write(move |tx| {
        let orders = [lost.clone(), clashing.clone()];
        Box::pin(async move { accept(tx, &orders).await })
    });
    assert!(failing.await.is_err(), "two deliveries of one name");
    assert_eq!(holder(&store, 4).await, None);
    drop(store);
    database.remove().await.expect("goes");
}

static FUND_AGAIN: Statement = Statement::new("test.fund_again", &[], &[], "UPDATE wallets SET balance = 1000000");

async fn fund_again(store: &Store) {
    let wrote = store.write(|tx| Box::pin(async move { tx.execute(&FUND_AGAIN, &[], &[]).await })).await;
    assert_eq!(wrote, Ok(1));
}
