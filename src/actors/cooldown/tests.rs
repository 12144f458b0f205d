//! Cooldown alone, with paused time.

use futures_util::future::FutureExt;

use super::*;
use crate::actors::supervise::Tree;

const PHONE: PhoneKey = PhoneKey::from_number(77);

async fn start() -> (Cooldown, Tree) {
    let (cooldown, branch) = Cooldown::new();
    let tree = Tree::grow(Budget::default(), vec![branch]).await.expect("starts");
    (cooldown, tree)
}

/// What an order that comes now is told.
async fn ask(cooldown: &Cooldown) -> Result<(), EnterError> {
    cooldown.enter(PHONE).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn the_second_order_waits_for_the_verdict_of_the_first() {
    let (cooldown, _tree) = start().await;
    let first = cooldown.enter(PHONE).await.expect("free");
    let (second, third) = tokio::join!(
        async {
            let entry = cooldown.enter(PHONE).await.expect("the first one was refused for another reason");
            entry.claimed();
        },
        async {
            first.free();
            tokio::task::yield_now().await;
            ask(&cooldown).await
        }
    );
    let () = second;
    assert_eq!(third, Err(EnterError::CoolingDown { remaining: Duration::from_secs(30) }));
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(ask(&cooldown).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_dropped_or_never_taken_frees_the_phone() {
    let (cooldown, _tree) = start().await;
    drop(cooldown.enter(PHONE).await.expect("free"));
    let held = cooldown.enter(PHONE).await.expect("free again");
    let mut waiter = Box::pin(cooldown.enter(PHONE));
    assert!((&mut waiter).now_or_never().is_none());
    let mut next = Box::pin(cooldown.enter(PHONE));
    assert!((&mut next).now_or_never().is_none());
    drop(held);
    tokio::task::yield_now().await;
    drop(waiter);
    assert!(next.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_wait_without_a_verdict_ends_after_250_ms() {
    let (cooldown, _tree) = start().await;
    let undecided = cooldown.enter(PHONE).await.expect("free");
    let since = Instant::now();
    let (early, late) = tokio::join!(ask(&cooldown), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        ask(&cooldown).await
    });
    assert_eq!((early, late), (Err(EnterError::Busy), Err(EnterError::Busy)));
    let waited = since.elapsed();
    assert!(waited >= Duration::from_millis(350) && waited < Duration::from_millis(360), "{waited:?}");
    undecided.cooling_elsewhere(Duration::from_secs(9));
    assert!(matches!(ask(&cooldown).await, Err(EnterError::CoolingDown { .. })));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(ask(&cooldown).await, Ok(()), "somebody else's window is not believed for long");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_hammers_the_boundary_is_held() {
    let (cooldown, _tree) = start().await;
    let began = Instant::now();
    cooldown.enter(PHONE).await.expect("free").claimed();
    tokio::time::advance(Duration::from_secs(4)).await;
    cooldown.left(PHONE, Instant::now());
    tokio::time::advance(Duration::from_secs(26)).await;
    let entry = cooldown.enter(PHONE).await.expect("the window is over");
    let not_before = entry.not_before().expect("held");
    assert!(not_before >= began + Duration::from_secs(34));
    entry.claimed();
    cooldown.window(PHONE, WindowAfter::Hold(Duration::from_secs(90)));
    assert_eq!(ask(&cooldown).await, Err(EnterError::CoolingDown { remaining: Duration::from_secs(90) }));
    cooldown.window(PHONE, WindowAfter::Release);
    assert_eq!(ask(&cooldown).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_panics_forgets_and_nobody_is_stuck() {
    let (cooldown, tree) = start().await;
    let old = cooldown.enter(PHONE).await.expect("free");
    let mut waiter = Box::pin(cooldown.enter(PHONE));
    assert!((&mut waiter).now_or_never().is_none());
    cooldown.window(PHONE, WindowAfter::Hold(Duration::MAX));
    assert!(cooldown.shard(PHONE).cast(Message::Panic).is_ok());
    assert!(waiter.await.is_ok(), "the database decides without a first opinion");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let fresh = cooldown.enter(PHONE).await.expect("the shard has forgotten");
    let mut behind = Box::pin(cooldown.enter(PHONE));
    assert!((&mut behind).now_or_never().is_none());
    drop(old);
    tokio::task::yield_now().await;
    assert!((&mut behind).now_or_never().is_none(), "the word of an old entry is not a new one's");
    drop(fresh);
    assert!(behind.await.is_ok());
    tree.stop(Duration::from_secs(1)).await;
}
