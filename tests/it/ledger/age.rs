//! What time does to deliveries: overdue, behind the watermark, folded.

use std::time::Duration;

use nexo_route::domain::delivery::WindowAfter;
use nexo_route::domain::ids::{DeliveryId, MovementId};
use nexo_route::records::acceptance::{IdempotencyClaim, Order, Verdict, WINDOW};
use nexo_route::records::idempotency::{self, Place};
use nexo_route::records::pruning::{self, Step};
use nexo_route::records::settlement::{Settlement, overdue, settle};
use nexo_route::store::{Statement, Store};

use super::rows::{LEDGER, ROWS, accept_all, account, delivered, failed, fund, micros, order, settle_all, three};

pub(super) async fn overdue_rows(store: Store) {
    fund(&store, account(1), micros(0, 0, 1_000_000)).await;
    let late = Order { settle_after: Duration::ZERO, ..order(&store, account(1), 1).await };
    let young = order(&store, account(1), 2).await;
    let (late_id, young_id) = (late.delivery, young.delivery);
    accept_all(&store, vec![late, young]).await;
    let (start, end) = (DeliveryId::from_bytes([0; 16]), DeliveryId::from_bytes([0xff; 16]));
    let now = store.ping().await.expect("pings");
    let settled = store
        .write(move |tx| {
            Box::pin(async move {
                let found = overdue(tx, start, end, now, 10).await?;
                let settlements: Vec<Settlement> = found.iter().map(|id| failed(*id, WindowAfter::Keep)).collect();
                settle(tx, &settlements).await?;
                Ok(found)
            })
        })
        .await;
    assert_eq!(settled, Ok(vec![late_id]));
    let advance = |to: DeliveryId| {
        let store = store.clone();
        async move {
            store
                .write(move |tx| Box::pin(async move { pruning::advance_watermark(tx, to).await }))
                .await
                .expect("runs")
        }
    };
    let (first, last) = (late_id.min(young_id), late_id.max(young_id));
    assert!(!advance(last).await, "a delivery is still sent");
    assert_eq!(advance(first).await, first == late_id);
    settle_all(&store, vec![delivered(young_id)]).await;
    assert!(advance(last).await);
    assert!(!advance(first).await, "it never goes back");
    let read = store.read(|tx| Box::pin(async move { pruning::watermark(tx).await })).await;
    assert_eq!(read, Ok(last));
}

pub(super) async fn folding(store: Store) {
    fund(&store, account(1), micros(22_000, 0, 100_000)).await;
    let mut ids = Vec::new();
    for phone in 1..=4 {
        let order = order(&store, account(1), phone).await;
        ids.push(order.delivery);
        accept_all(&store, vec![order]).await;
    }
    let settlements = vec![delivered(ids[0]), failed(ids[1], WindowAfter::Keep), delivered(ids[2])];
    settle_all(&store, settlements).await;
    let before = three(&store, &LEDGER, account(1)).await;
    let highest = *ids.iter().max().expect("four");
    let fold = || {
        let store = store.clone();
        async move {
            store
                .write(|tx| {
                    Box::pin(async move {
                        let fresh = || MovementId::from_bytes(rand::random());
                        let end = DeliveryId::from_bytes([0xff; 16]);
                        pruning::fold_deliveries(tx, end, 2, &fresh).await
                    })
                })
                .await
                .expect("folds")
        }
    };
    assert_eq!(fold().await, 0, "nothing is folded beyond the watermark");
    // The fourth is still sent, so the watermark may be set only after it has ended.
    settle_all(&store, vec![delivered(ids[3])]).await;
    let before_last = three(&store, &LEDGER, account(1)).await;
    assert_eq!(before, before_last, "an end that is no refund moves nothing");
    let advanced = store.write(move |tx| Box::pin(async move { pruning::advance_watermark(tx, highest).await })).await;
    assert_eq!(advanced, Ok(true));
    assert_eq!((fold().await, fold().await, fold().await), (2, 2, 0));
    assert_eq!(three(&store, &LEDGER, account(1)).await, before, "the sums stay what they were");
    let left = store.read(|tx| Box::pin(async move { tx.query(&ROWS, &[], &[]).await })).await.expect("reads");
    assert_eq!(left[0].i64(0), Ok(0));
}

/// Every window and key has a place in the order of its table; each step looks at two of them.
pub(super) async fn slices(store: Store) {
    fund(&store, account(1), micros(0, 0, 1_000_000)).await;
    fund(&store, account(2), micros(0, 0, 1_000_000)).await;
    let mut ids = Vec::new();
    for phone in 1..=5 {
        let claim = IdempotencyClaim { key: format!("order-{phone}"), body_mac: [7; 32] };
        let account = account(if phone < 4 { 1 } else { 2 });
        let order = Order { idempotency: Some(claim), ..order(&store, account, phone).await };
        ids.push(order.delivery);
        accept_all(&store, vec![order]).await;
    }
    let by_phone = ids.clone();
    ids.sort_unstable();
    let end_of = async |after: DeliveryId, rows: i64| {
        let until = DeliveryId::from_bytes([0xff; 16]);
        store.read(move |tx| Box::pin(pruning::slice_end(tx, after, until, rows))).await.expect("reads")
    };
    assert_eq!(end_of(DeliveryId::from_bytes([0; 16]), 2).await, ids[1]);
    assert_eq!(end_of(ids[1], 3).await, ids[4]);
    assert_eq!(end_of(ids[1], 4).await, DeliveryId::from_bytes([0xff; 16]));

    // Two windows are free since long ago, the others run.
    let released = [by_phone[0], by_phone[4]].map(|id| failed(id, WindowAfter::Release));
    settle_all(&store, released.to_vec()).await;
    let prune = async |from: i64| {
        let now = store.ping().await.expect("pings");
        let step = store.write(move |tx| Box::pin(pruning::prune_windows(tx, from, 2, now)));
        step.await.expect("prunes")
    };
    assert_eq!(prune(i64::MIN).await, Step { dropped: 1, next: Some(3) });
    assert_eq!(prune(3).await, Step { dropped: 0, next: Some(5) });
    assert_eq!(prune(5).await, Step { dropped: 1, next: None });
    assert_eq!(prune(i64::MIN).await, Step { dropped: 0, next: Some(4) });

    let prune = async |from: Place, kept: Duration| {
        let before = store.ping().await.expect("pings").minus(kept);
        let work = store.write(move |tx| {
            let from = from.clone();
            Box::pin(async move { idempotency::prune(tx, &from, 2, before).await })
        });
        work.await.expect("prunes")
    };
    let day = Duration::from_secs(24 * 60 * 60);
    let first = prune(Place::FIRST, day).await;
    assert_eq!(first.dropped, 0, "they are young");
    let second = prune(first.next.expect("three are left"), Duration::ZERO).await;
    assert_eq!(second.dropped, 2);
    let third = prune(second.next.expect("one is left"), Duration::ZERO).await;
    assert_eq!(third, Step { dropped: 1, next: None });
    assert_eq!(prune(Place::FIRST, Duration::ZERO).await, Step { dropped: 2, next: None });
}

static AN_HOUR_LATER: Statement = Statement::new(
    "test.windows_an_hour_later",
    &[],
    &[],
    "UPDATE cooldown_windows SET until_us = until_us + 3600000000",
);

/// Windows that a clock wrote which was an hour ahead: none is believed, and one of this clock is.
pub(super) async fn windows_of_another_clock(store: Store) {
    fund(&store, account(1), micros(0, 0, 1_000_000)).await;
    let minute = Duration::from_secs(60);
    for (phone, hold, longest) in [(1, None, WINDOW), (2, Some(minute), minute)] {
        let first = order(&store, account(1), phone).await;
        let delivery = first.delivery;
        accept_all(&store, vec![first]).await;
        if let Some(hold) = hold {
            settle_all(&store, vec![failed(delivery, WindowAfter::Hold(hold))]).await;
        }
        let held = accept_all(&store, vec![order(&store, account(1), phone).await]).await.remove(0);
        let Verdict::CoolingDown { remaining, owner } = held else { panic!("{held:?}") };
        assert!(owner == delivery && remaining <= longest && remaining > longest / 2, "{remaining:?}");
        let moved = store.write(|tx| Box::pin(async move { tx.execute(&AN_HOUR_LATER, &[], &[]).await }));
        assert_eq!(moved.await, Ok(u64::try_from(phone).expect("small")));
        let again = accept_all(&store, vec![order(&store, account(1), phone).await]).await.remove(0);
        assert!(matches!(again, Verdict::Charged { .. }), "{again:?}");
    }
}
