//! Look-ups: a provider is asked for the network of a number.
//!
//! It owns the bound on look-ups under way, their deadline and what the provider's words mean. It fails open: whatever goes
//! wrong is counted and is no answer. Whom it asks can be changed while it runs.

mod provider;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use metrics::counter;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::debug;

pub use self::provider::Provider;
use crate::config::carriers::LookUpConfig;
use crate::config::millis;
use crate::domain::carrier::{Carrier, NetworkCode};
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
    places: Semaphore,
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
                places: Semaphore::new(config.in_flight_max),
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

    /// What the provider says of the phone, if it says so in time.
    pub async fn ask(&self, phone: Phone) -> Option<Found> {
        let asked = self.0.load_full()?;
        let Ok(_place) = asked.places.try_acquire() else {
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
        told(if found.is_some() { "answered" } else { "unknown" });
        found
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
        assert_eq!(look_up.ask(phone()).await, carrier("viettel"));
        assert_eq!(look_up.ask(phone()).await, NetworkCode::parse("45204").map(Found::Network));
        assert_eq!(look_up.ask(phone()).await, carrier("mobifone"));
        for _ in 0..3 {
            assert_eq!(look_up.ask(phone()).await, None);
        }
        assert_eq!(directory.asked.load(Ordering::Relaxed), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_waits_for_it_800_ms_and_no_more_than_two_wait() {
        let directory = Arc::new(Scripted { after: Duration::from_secs(5), ..Scripted::default() });
        let look_up = look_up(&directory);
        let began = tokio::time::Instant::now();
        let asked = futures_util::future::join_all((0..5).map(|_| look_up.ask(phone()))).await;
        assert_eq!(asked, vec![None; 5]);
        assert_eq!(began.elapsed(), Duration::from_millis(800));
        assert_eq!(directory.asked.load(Ordering::Relaxed), 2, "the other three went by their prefix at once");
        look_up.swap(None);
        assert!(!look_up.is_on());
        assert_eq!(look_up.ask(phone()).await, None);
    }
}
