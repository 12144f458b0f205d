//! When a new link is waited for, and by which of the two orders go meanwhile.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::actors::dispatch::Link;
use crate::actors::supervise::Tasks;
use crate::app::links::lingering::Lingering;
use crate::app::links::lingering::tests::Probe;
use crate::config::carriers::CarrierTable;

fn awaited(health: &watch::Sender<Health>) -> Awaited {
    Awaited { health: health.subscribe(), within: CONNECTS_WITHIN }
}

#[tokio::test(start_paused = true)]
async fn a_new_link_is_waited_for_until_it_is_known_how_it_is_and_not_for_long() {
    for becomes in [Health::Misconfigured, Health::Up] {
        let (health, start) = (watch::Sender::new(Health::Down), Instant::now());
        let tasks = Tasks::new();
        let waiting = tasks.spawn(awaited(&health).wait());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished());
        health.send_replace(becomes);
        waiting.await.expect("whole");
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }
    let (health, start) = (watch::Sender::new(Health::Down), Instant::now());
    awaited(&health).wait().await;
    assert_eq!(start.elapsed(), CONNECTS_WITHIN);
    drop(health);
    let gone = watch::Sender::new(Health::Down).subscribe();
    Awaited { health: gone, within: CONNECTS_WITHIN }.wait().await;
    assert_eq!(start.elapsed(), CONNECTS_WITHIN, "one that was closed is not waited for");
}

fn origin(address: &str, system_id: &str, text: &str) -> Origin {
    let table = format!(
        "price_usd = \"0.022\"\n[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\n\
         [upstream.smsc]\nkind = \"smpp\"\naddress = \"{address}\"\nsystem_id = \"{system_id}\"\nsender = \"NEXO\"\n\
         text = \"{text}\""
    );
    let table = CarrierTable::parse(&table).expect("holds");
    Origin::Provider(table.upstreams.into_values().next().expect("one"))
}

#[test]
fn an_account_is_the_same_whatever_else_of_the_upstream_changed() {
    let before = origin("smsc.example:2775", "nexo", "{code} la ma");
    assert!(same_account(&before, &origin("smsc.example:2775", "nexo", "Ma: {code}")));
    assert!(!same_account(&before, &origin("smsc.example:2776", "nexo", "{code} la ma")));
    assert!(!same_account(&before, &origin("smsc.example:2775", "other", "{code} la ma")));
    let simulated = Origin::Provider(UpstreamConfig::Simulator(Default::default()));
    assert!(!same_account(&before, &simulated) && !same_account(&simulated, &simulated));
}

/// A bind that is as a test says.
struct Bind {
    started: Started,
    health: watch::Sender<Health>,
    crowded: watch::Sender<Option<Crowded>>,
}

impl Bind {
    fn new(address: &str, health: Health) -> Self {
        let (health, crowded) = (watch::Sender::new(health), watch::Sender::new(None));
        let probe = Probe::new(health.clone());
        let started = Started {
            origin: origin(address, "nexo", "{code} la ma"),
            link: Link::new(Arc::clone(&probe) as _),
            lingering: Lingering::new(probe, CONNECTS_WITHIN, Tasks::new(), &CancellationToken::new()),
            crowded: Some(crowded.subscribe()),
        };
        Self { started, health, crowded }
    }
}

#[tokio::test]
async fn a_bind_goes_on_while_the_new_one_is_not_bound_unless_it_stands_in_its_way() {
    use Crowded::{Perhaps, Said};
    use Health::{Down, Misconfigured, Up};
    for (old, new, is_awaited, crowded, to, expected) in [
        (Up, Down, false, None, "a:1", true),
        (Up, Misconfigured, false, None, "a:1", true),
        (Up, Up, false, None, "a:1", false),
        (Up, Up, true, Some(Said), "a:1", false),
        // A bind that is down when the table changes is what the change may mend.
        (Down, Down, false, None, "a:1", false),
        // One that is cut for a moment is not.
        (Down, Down, true, None, "a:1", true),
        (Misconfigured, Down, true, None, "a:1", false),
        (Up, Down, false, Some(Perhaps), "a:1", false),
        (Up, Down, false, Some(Perhaps), "b:1", true),
        (Up, Down, false, Some(Said), "b:1", false),
    ] {
        let (old, new) = (Bind::new("a:1", old), Bind::new(to, new));
        new.crowded.send_replace(crowded);
        let goes_on = goes_on(&old.started, &new.started, is_awaited);
        assert_eq!(goes_on, expected, "{:?} {:?} {is_awaited} {crowded:?} {to}", old.health, new.health);
    }
    let (old, mut new) = (Bind::new("a:1", Up), Bind::new("a:1", Down));
    new.started.crowded = None;
    assert!(!goes_on(&old.started, &new.started, true), "only a bind waits for a bind");
}

#[tokio::test(start_paused = true)]
async fn an_awaited_bind_is_used_when_it_stands_or_when_the_old_one_must_leave() {
    let arrives = async |act: &dyn Fn(&Bind, &Bind)| {
        let (old, new) = (Bind::new("a:1", Health::Up), Bind::new("a:1", Health::Down));
        let (watched, awaited) = (old.started.clone(), new.started.clone());
        let tasks = Tasks::new();
        let arriving = tasks.spawn(async move { arrival(&watched, &awaited).await });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!arriving.is_finished());
        act(&old, &new);
        let arrived = timeout(Duration::from_secs(60), arriving).await.is_ok();
        drop((old, new));
        arrived
    };
    assert!(
        arrives(&|_, new| {
            new.health.send_replace(Health::Up);
        })
        .await
    );
    assert!(
        arrives(&|_, new| {
            new.crowded.send_replace(Some(Crowded::Perhaps));
        })
        .await
    );
    assert!(
        arrives(&|old, _| {
            old.health.send_replace(Health::Misconfigured);
        })
        .await
    );
    assert!(
        !arrives(&|old, _| {
            old.health.send_replace(Health::Down);
        })
        .await,
        "it will be back"
    );
    assert!(
        !arrives(&|_, new| {
            new.health.send_replace(Health::Misconfigured);
        })
        .await
    );
}
