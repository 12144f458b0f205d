//! Whose callbacks are taken: the upstreams of the table in force, and for a while those of tables before.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::upstreams::http::CallbackConfig;
use crate::domain::reference::UpstreamId;

/// What an upstream brings receipts by.
type Callback = (UpstreamId, CallbackConfig);

/// Upstreams that are gone, or were written otherwise, and until when their receipts matter.
#[derive(Debug)]
pub(in crate::app) struct Receiving {
    within: Duration,
    gone: Vec<(Callback, Instant)>,
}

impl Receiving {
    pub(in crate::app) const fn new(within: Duration) -> Self {
        Self { within, gone: Vec::new() }
    }

    /// Whose callbacks are taken at `now`, while `in_force` is in the table: first those that are gone, as of one that is in
    /// both what is said now holds.
    pub(super) fn all(&mut self, in_force: Vec<Callback>, now: Instant) -> Vec<Callback> {
        self.gone.retain(|(_, until)| *until > now);
        let gone = self.gone.iter().map(|(callback, _)| callback.clone());
        gone.chain(in_force).collect()
    }

    /// What is in `before` is in force no more, unless it is in the table that follows.
    pub(super) fn replaced(&mut self, before: Vec<Callback>, now: Instant) {
        let until = now + self.within;
        self.gone.retain(|((id, _), _)| !before.iter().any(|(other, _)| other == id));
        self.gone.extend(before.into_iter().map(|callback| (callback, until)));
    }

    /// When there is the next one to forget.
    pub(super) fn next(&self) -> Option<Instant> {
        self.gone.iter().map(|(_, until)| *until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::carriers::CarrierTable;

    const WITHIN: Duration = Duration::from_secs(65);

    fn callbacks(names: &[&str]) -> Vec<Callback> {
        let path = std::env::temp_dir().join(format!("nexo-receiving-{:016x}", rand::random::<u64>()));
        std::fs::write(&path, "secret").expect("written");
        let upstream = |name: &&str| {
            format!(
                "[upstream.{name}]\nkind = \"http\"\nurl = \"https://api.example/v1\"\njson = {{ code = \"{{code}}\" }}\n\
                 [upstream.{name}.callback]\nhmac_sha256 = {{ header = \"X-Signature\", key = {{ file = {path:?} }} }}\n\
                 attempt = \"/attempt\"\nstatus = \"/status\"\ndelivered = [\"answered\"]\n"
            )
        };
        let upstreams: String = names.iter().map(upstream).collect();
        let text =
            format!("price_usd = \"0.022\"\n[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\n{upstreams}");
        let table = CarrierTable::parse(&text).expect("holds");
        std::fs::remove_file(&path).expect("removed");
        crate::app::reload::callbacks(&table)
    }

    fn names(receiving: &mut Receiving, in_force: &[&str], now: Instant) -> Vec<String> {
        let all = receiving.all(callbacks(in_force), now);
        all.into_iter().map(|(id, _)| id.as_str().to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_a_reload_took_away_is_heard_for_its_time_whatever_other_reloads_come() {
        let (start, mut receiving) = (Instant::now(), Receiving::new(WITHIN));
        let at = |secs: u64| start + Duration::from_secs(secs);
        receiving.replaced(callbacks(&["tkc", "other"]), at(0));
        assert_eq!(names(&mut receiving, &["other"], at(1)), ["other", "tkc", "other"]);
        // A second one mends a typo, a third one is refused: it asks and replaces nothing.
        receiving.replaced(callbacks(&["other"]), at(10));
        for secs in [11, 64] {
            assert_eq!(names(&mut receiving, &["other"], at(secs)), ["tkc", "other", "other"], "{secs} s");
        }
        assert_eq!(receiving.next(), Some(at(65)));
        assert_eq!(
            names(&mut receiving, &["other"], at(65)),
            ["other", "other"],
            "its own time, not that of the last reload"
        );
        assert_eq!(receiving.next(), Some(at(75)));
        assert_eq!(names(&mut receiving, &["other"], at(75)), ["other"]);
        assert_eq!(receiving.next(), None);
    }
}
