//! What time does to deliveries: overdue, behind the watermark, folded.

use std::time::Duration;

use nexo_route::domain::delivery::WindowAfter;
use nexo_route::domain::ids::{DeliveryId, MovementId};
use nexo_route::records::acceptance::Order;
use nexo_route::records::pruning;
use nexo_route::records::settlement::{Settlement, overdue, settle};
use nexo_route::store::Store;

use super::rows::{LEDGER, ROWS, accept_all, account, delivered, failed, fund, micros, order, settle_all, three};

pub(super) async fn overdue_rows(store: Store) {
    fund(&store, account(1), micros(0, 0, 1_000_000)).await;
    let late = Order { settle_after: Duration::ZERO, ..order(&store, account(1), 1).await };
    let young = order(&store, account(1), 2).await;
    let (late_id, young_id) = (late.delivery, young.delivery);
    accept_all(&store, vec![late, young]).await;
    let (start, end) = (DeliveryId::from_bytes([0; 16]), DeliveryId::from_bytes([0xff; 16]));
    let settled = store
        .write(move |tx| {
            Box::pin(async move {
                let found = overdue(tx, start, end, 10).await?;
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
