//! Look-ups: a provider is asked for the network of a number.
//!
//! It owns the bound on look-ups under way, each account's share of it, their deadline, what the provider's words mean, and which
//! numbers it did not know a moment ago. It fails open: whatever goes
//! wrong is counted and is no answer. Whom it asks can be changed while it runs.

mod places;
mod provider;
mod unknown;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use metrics::counter;
use tokio::time::timeout;
use tracing::debug;

use self::places::Places;
pub use self::provider::Provider;
use self::unknown::Unknown;
use crate::config::carriers::LookUpConfig;
use crate::config::millis;
use crate::domain::carrier::{Carrier, NetworkCode};
use crate::domain::ids::AccountId;
use crate::domain::phone::Phone;
use crate::telemetry::names;

/// What a provider says of a number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    Network(NetworkCode),
    Carrier(Carrier),
}

/// Who can be asked: the provider's word for the phone's network, `None` if it knows none, or why there is no answer.
pub trait Directory: Send + Sync + fmt::Debug + 'static {
    fn ask(&self, phone: Phone) -> BoxFuture<'static, Result<Option<String>, String>>;
}

/// The handle. Cheap to clone; all clones ask the same provider.
#[derive(Clone, Debug, Default)]
pub struct LookUp(Arc<ArcSwapOption<Asked>>);

#[derive(Debug)]
struct Asked {
    directory: Arc<dyn Directory>,
    places: Places,
    unknown: Unknown,
    timeout: Duration,
    names: HashMap<String, Carrier>,
}

impl LookUp {
    /// Asks `directory` from now on, as the settings say; nobody without any.
    pub fn swap(&self, to: Option<(&LookUpConfig, Arc<dyn Directory>)>) {
        self.0.store(to.map(|(config, directory)| {
            let names = config.names.iter();
            let names = names.filter_map(|(word, name)| Some((word.clone(), Carrier::new(name)?)));
            Arc::new(Asked {
                directory,
                places: Places::new(config.in_flight_max),
                unknown: Unknown::default(),
                timeout: millis(config.timeout_ms),
                names: names.collect(),
            })
        }));
    }

    /// Whether anybody is asked.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load().is_some()
    }

    /// What the provider says of the phone of an order of `account`, if it says so in time.
    pub async fn ask(&self, account: AccountId, phone: Phone) -> Option<Found> {
        let asked = self.0.load_full()?;
        if asked.unknown.holds(phone) {
            told("spared");
            return None;
        }
        let Some(_place) = asked.places.take(account) else {
            told("shed");
            return None;
        };
        let word = match timeout(asked.timeout, asked.directory.ask(phone)).await {
            Ok(Ok(word)) => word,
            Ok(Err(why)) => {
                debug!(why, "a number could not be looked up");
                told("failed");
                return None;
            }
            Err(_elapsed) => {
                told("late");
                return None;
            }
        };
        let found = word.as_deref().and_then(|word| asked.meaning(word));
        if found.is_none() {
            asked.unknown.remember(phone);
        }
        told(if found.is_some() { "answered" } else { "unknown" });
        found
    }

    /// What the provider said of the phone leads nowhere: it need not say so again.
    pub fn leads_nowhere(&self, phone: Phone) {
        if let Some(asked) = self.0.load_full() {
            asked.unknown.remember(phone);
        }
    }
}

impl Asked {
    /// The operator's own list of the provider's words goes before what they look like.
    fn meaning(&self, word: &str) -> Option<Found> {
        let word = word.trim();
        let named = self.names.get(word).cloned().map(Found::Carrier);
        let network = || NetworkCode::parse(word).map(Found::Network);
        named.or_else(network).or_else(|| Carrier::new(word).map(Found::Carrier))
    }
}

fn told(outcome: &'static str) {
    counter!(names::LOOK_UPS, "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Answers in turn, after a while.
    #[derive(Debug, Default)]
    struct Scripted {
        answers: Mutex<Vec<Result<Option<String>, String>>>,
        after: Duration,
        asked: AtomicUsize,
    }

    impl Directory for Scripted {
        fn ask(&self, _: Phone) -> BoxFuture<'static, Result<Option<String>, String>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let answer = self.answers.lock().expect("whole").pop().unwrap_or(Ok(None));
            let after = self.after;
            Box::pin(async move {
                tokio::time::sleep(after).await;
                answer
            })
        }
    }

    fn look_up(directory: &Arc<Scripted>) -> LookUp {
        let config: LookUpConfig = toml::from_str(
            "url = \"https://hlr.example/{phone}\"\npointer = \"/network\"\nin_flight_max = 2\n\
             [names]\n\"VN Viettel\" = \"viettel\"",
        )
        .expect("holds");
        let look_up = LookUp::default();
        look_up.swap(Some((&config, Arc::clone(directory) as Arc<dyn Directory>)));
        look_up
    }

    fn phone() -> Phone {
        Phone::parse("+84981234567").expect("valid")
    }

    const fn account(number: u8) -> AccountId {
        AccountId::from_bytes([number; 16])
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_a_network_a_carrier_or_nothing() {
        let say = |word: &str| Ok(Some(word.to_owned()));
        let directory = Arc::new(Scripted::default());
        *directory.answers.lock().expect("whole") = vec![
            Err("500".to_owned()),
            Ok(None),
            say("Vodafone UK"),
            say("mobifone"),
            say("452-04"),
            say(" VN Viettel "),
        ];
        let look_up = look_up(&directory);
        let carrier = |name| Carrier::new(name).map(Found::Carrier);
        let ask = async || {
            // What was unknown before is asked for again by then.
            tokio::time::advance(Duration::from_secs(300)).await;
            look_up.ask(account(1), phone()).await
        };
        assert_eq!(ask().await, carrier("viettel"));
        assert_eq!(ask().await, NetworkCode::parse("45204").map(Found::Network));
        assert_eq!(ask().await, carrier("mobifone"));
        for _ in 0..3 {
            assert_eq!(ask().await, None);
        }
        assert_eq!(directory.asked.load(Ordering::Relaxed), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_provider_does_not_know_is_paid_for_once_and_a_failure_is_no_answer() {
        let directory = Arc::new(Scripted::default());
        *directory.answers.lock().expect("whole") =
            vec![Ok(Some("Vodafone UK".to_owned())), Err("500".to_owned()), Ok(Some("mobifone".to_owned()))];
        let look_up = look_up(&directory);
        look_up.leads_nowhere(phone());
        assert_eq!(look_up.ask(account(1), phone()).await, None);
        assert_eq!(directory.asked.load(Ordering::Relaxed), 0);
        let other = Phone::parse("+84901234567").expect("valid");
        assert!(look_up.ask(account(1), other).await.is_some(), "of another number nothing is known");
        for _ in 0..3 {
            assert_eq!(look_up.ask(account(1), other).await, None);
        }
        assert_eq!(directory.asked.load(Ordering::Relaxed), 3, "answered, failed, unknown, and not asked again");
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_waits_for_it_800_ms_and_no_more_than_two_wait() {
        let directory = Arc::new(Scripted { after: Duration::from_secs(5), ..Scripted::default() });
        let look_up = look_up(&directory);
        let began = tokio::time::Instant::now();
        let asked =
            futures_util::future::join_all((0..5).map(|number| look_up.ask(account(number / 2), phone()))).await;
        assert_eq!(asked, vec![None; 5]);
        assert_eq!(began.elapsed(), Duration::from_millis(800));
        assert_eq!(directory.asked.load(Ordering::Relaxed), 2, "the other three went by their prefix at once");
        look_up.swap(None);
        assert!(!look_up.is_on());
        assert_eq!(look_up.ask(account(1), phone()).await, None);
    }
}
