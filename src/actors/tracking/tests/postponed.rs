//! Wallets that another session holds: the refunds of the others do not wait for them.

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::*;

#[tokio::test(start_paused = true)]
async fn an_end_whose_wallet_is_held_comes_back_and_holds_up_nobody() {
    let house = House::new().await;
    house.script.with(|rows| rows.held.insert(id(3)));
    let mut held = Box::pin(house.tracking.settle(refused(3)));
    assert!((&mut held).now_or_never().is_none());
    let others = join_all((10..15).map(|number| house.tracking.settle(refused(number)))).await;
    assert!(others.iter().all(|settled| *settled == Ok(Settled::Ended)), "{others:?}");
    assert_eq!(house.put(3, Channel::Voice, ReceiptState::InProgress).await, Ok(()));
    assert!((&mut held).now_or_never().is_none(), "it waits on");
    assert_eq!(house.script.ended(id(3)), None);
    house.script.with(|rows| rows.held.clear());
    assert_eq!(held.await, Ok(Settled::Ended));
    assert_eq!(code(house.script.ended(id(3))), Some(FailureCode::NoRoute));
}

#[tokio::test(start_paused = true)]
async fn a_postponed_end_keeps_what_is_known_of_its_delivery_and_repeats_do_not_add_up() {
    let house = House::new().await;
    let failed = ReceiptState::Failed(FailureClass::Unreachable);
    house.watch(1, Channel::Sms, None);
    house.script.with(|rows| rows.held.insert(id(1)));
    for _ in 0..3 {
        assert_eq!(house.put(1, Channel::Sms, failed).await, Err(NotDurable), "the link keeps it");
    }
    house.script.with(|rows| rows.held.clear());
    assert_eq!(house.put(1, Channel::Sms, failed).await, Ok(()));
    assert_eq!(code(house.script.ended(id(1))), Some(FailureCode::Unreachable));
    assert!(house.tasks.idle(Duration::from_secs(5)).await, "nothing is on its way back");
}

#[tokio::test(start_paused = true)]
async fn a_delivered_end_waits_for_no_wallet_and_a_stop_for_what_is_postponed() {
    let house = House::new().await;
    house.script.with(|rows| rows.held.extend([id(1), id(2)]));
    house.tracking.settle_later(refused(1));
    assert_eq!(house.put(2, Channel::Voice, ReceiptState::Delivered).await, Ok(()));
    let (script, tasks) = (house.script.clone(), house.tasks.clone());
    tasks.spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        script.with(|rows| rows.held.clear());
    });
    house.tree.stop(Duration::from_secs(5)).await;
    assert_eq!(code(house.script.ended(id(1))), Some(FailureCode::NoRoute), "the stop waited for it");
}
