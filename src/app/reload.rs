//! The reload of what leads to carriers: the carrier table, the ported numbers, the upstreams and the look-up.
//!
//! It reads everything anew, and everything is checked before anything changes: a table that is wrong leaves the old one in
//! force. New links connect first, beside the old ones; then queues are exchanged, then the plan that leads to them. Where
//! an SMSC's new bind is not there in a moment, the old one goes on, and the queues are exchanged again when it is. An upstream
//! that is written as before stays the link that it is. What changed is logged. Settings other than these are read at the start alone.

mod receiving;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use metrics::counter;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub(super) use self::receiving::Receiving;
use super::links::{Links, Prepared};
use super::{descriptors, start};
use crate::actors::dispatch::Dispatch;
use crate::carrier::look_up::LookUp;
use crate::config::CarriersConfig;
use crate::config::carriers::CarrierTable;
use crate::config::upstreams::UpstreamConfig;
use crate::config::upstreams::http::CallbackConfig;
use crate::domain::reference::UpstreamId;
use crate::http::callbacks::Receivers;
use crate::routing::Routing;
use crate::telemetry::names;

/// Reloads that may wait; one that comes then is the same as the last of them.
const ASKED_MAX: usize = 4;
/// Between two tries to use a link that is bound now.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

type Ask = oneshot::Sender<bool>;

/// The handle. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reload(mpsc::Sender<Ask>);

impl Reload {
    pub(super) fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (sender, asked) = mpsc::channel(ASKED_MAX);
        (Self(sender), asked)
    }

    /// Reads everything anew. Returns whether it was taken; `false` if it was wrong, or the daemon does not serve.
    pub async fn now(&self) -> bool {
        let (reply, taken) = oneshot::channel();
        self.0.send(reply).await.is_ok() && taken.await.unwrap_or(false)
    }
}

/// What is in force, and whoever must be told of another.
#[derive(Debug)]
pub(super) struct Reloader {
    pub(super) config: CarriersConfig,
    pub(super) table: CarrierTable,
    /// The connections that links may have in all.
    pub(super) links_max: usize,
    pub(super) links: Links,
    pub(super) routing: Routing,
    pub(super) look_up: LookUp,
    pub(super) dispatch: Dispatch,
    pub(super) receivers: Receivers,
    pub(super) receiving: Receiving,
}

/// The upstreams of a table that bring receipts by callback, used or not.
pub(super) fn callbacks(table: &CarrierTable) -> Vec<(UpstreamId, CallbackConfig)> {
    let of = |(id, upstream): (&UpstreamId, &UpstreamConfig)| match upstream {
        UpstreamConfig::Http(http) => http.callback.clone().map(|callback| (id.clone(), callback)),
        UpstreamConfig::Smpp(_) | UpstreamConfig::Simulator(_) => None,
    };
    table.upstreams.iter().filter_map(of).collect()
}

impl Reloader {
    /// Reloads whenever somebody asks, until `stop`.
    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<Ask>, stop: CancellationToken) {
        loop {
            let forget_at = self.receiving.next();
            let forgetting = async {
                match forget_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = forgetting => {
                    self.receivers.replace(self.receiving.all(callbacks(&self.table), Instant::now()));
                }
                () = self.links.arrived() => {
                    if let Err(why) = self.use_arrived().await {
                        error!(why, "a new link is bound and cannot be used yet");
                        let _stopped = timeout(AGAIN_AFTER, stop.cancelled()).await;
                    }
                }
                Some(reply) = asked.recv() => {
                    let taken = self.reload(&stop).await;
                    counter!(names::RELOADS, "outcome" => if taken { "taken" } else { "refused" }).increment(1);
                    let _nobody_waits = reply.send(taken);
                }
            }
        }
    }

    async fn reload(&mut self, stop: &CancellationToken) -> bool {
        match self.try_reload(stop).await {
            Ok(()) => true,
            Err(why) => {
                error!(why, "the carrier table is not reloaded: the one before stays in force");
                false
            }
        }
    }

    /// Uses the links of the table in force that were not bound when it was read, as far as they are now.
    async fn use_arrived(&mut self) -> Result<(), String> {
        let mut prepared = self.links.prepare(&self.table).await?;
        self.links.hold_back(&mut prepared);
        self.exchange(prepared).await?;
        info!("a new link takes over from the one before");
        Ok(())
    }

    /// Has orders go by the links of `prepared`.
    async fn exchange(&mut self, prepared: Prepared) -> Result<(), String> {
        self.links.let_linger(&prepared);
        if let Err(error) = self.dispatch.exchange(prepared.plans.clone()).await {
            prepared.discard().await;
            self.links.let_stay();
            return Err(error.to_string());
        }
        self.links.take(prepared);
        Ok(())
    }

    async fn try_reload(&mut self, stop: &CancellationToken) -> Result<(), String> {
        fn text(error: impl Display) -> String {
            error.to_string()
        }
        let table = start::carriers(&self.config).await.map_err(text)?;
        descriptors::check_links(&self.table, &table, self.links_max)?;
        let asked = start::look_up(&table)?;
        let mut prepared = self.links.prepare(&table).await?;
        let ready = tokio::select! {
            () = self.links.ready(&prepared) => true,
            () = stop.cancelled() => false,
        };
        if !ready {
            prepared.discard().await;
            return Err("the daemon stops".to_owned());
        }
        self.links.hold_back(&mut prepared);
        let now = Instant::now();
        let mut receivers = self.receiving.all(callbacks(&self.table), now);
        receivers.extend(callbacks(&table));
        // First those that were there: of one that is in both, what is said now holds.
        self.receivers.replace(receivers);
        if let Err(why) = self.exchange(prepared).await {
            self.receivers.replace(self.receiving.all(callbacks(&self.table), now));
            return Err(why);
        }
        self.routing.swap(table.plan.clone());
        self.look_up.swap(table.look_up.as_ref().zip(asked));
        self.receiving.replaced(callbacks(&self.table), now);
        tell(&self.table, &table);
        self.table = table;
        Ok(())
    }
}

/// Logs what is otherwise than before.
fn tell(before: &CarrierTable, now: &CarrierTable) {
    let changed = Difference::between(before, now);
    info!(
        carriers_added = changed.carriers_added.join(","),
        carriers_removed = changed.carriers_removed.join(","),
        carriers_changed = changed.carriers_changed.join(","),
        upstreams_added = changed.upstreams_added.join(","),
        upstreams_removed = changed.upstreams_removed.join(","),
        upstreams_changed = changed.upstreams_changed.join(","),
        look_up_changed = before.look_up != now.look_up,
        prefixes_before = before.plan.prefixes(),
        prefixes = now.plan.prefixes(),
        ported_before = before.plan.ported_rows(),
        ported = now.plan.ported_rows(),
        "the carrier table is reloaded"
    );
    start::warn_of_unused(now);
}

/// What two tables have in common with each other not.
#[derive(PartialEq, Eq, Debug, Default)]
struct Difference {
    carriers_added: Vec<String>,
    carriers_removed: Vec<String>,
    /// With what of them changed: price, channels or links.
    carriers_changed: Vec<String>,
    upstreams_added: Vec<String>,
    upstreams_removed: Vec<String>,
    upstreams_changed: Vec<String>,
}

impl Difference {
    fn between(before: &CarrierTable, now: &CarrierTable) -> Self {
        let mut difference = Self::default();
        let names =
            |table: &CarrierTable| table.routes.iter().map(|route| route.carrier.clone()).collect::<BTreeSet<_>>();
        let (old, new) = (names(before), names(now));
        difference.carriers_added = new.difference(&old).map(|carrier| carrier.as_str().to_owned()).collect();
        difference.carriers_removed = old.difference(&new).map(|carrier| carrier.as_str().to_owned()).collect();
        for carrier in old.intersection(&new) {
            let route = |table: &CarrierTable| table.routes.iter().find(|route| route.carrier == *carrier).cloned();
            let (Some(was), Some(is)) = (route(before), route(now)) else { continue };
            let mut say = |what: String| difference.carriers_changed.push(format!("{}: {what}", carrier.as_str()));
            if was.price != is.price {
                say(format!("price {} to {}", was.price, is.price));
            }
            if was.channels != is.channels {
                say("channels".to_owned());
            }
            for channel in is.channels.iter() {
                if before.links(carrier, channel) != now.links(carrier, channel) {
                    say(format!("{} links", channel.as_str()));
                }
            }
        }
        for (id, upstream) in &now.upstreams {
            match before.upstreams.get(id) {
                None => difference.upstreams_added.push(id.as_str().to_owned()),
                Some(was) if was != upstream => difference.upstreams_changed.push(id.as_str().to_owned()),
                Some(_) => {}
            }
        }
        let removed = before.upstreams.keys().filter(|id| !now.upstreams.contains_key(id));
        difference.upstreams_removed = removed.map(|id| id.as_str().to_owned()).collect();
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_what_changed_and_nothing_else() {
        let table = |text: &str| CarrierTable::parse(&format!("price_usd = \"0.022\"\n{text}")).expect("holds");
        let before = table(
            "[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\nsms = [{ upstream = \"x\" }]\n\
             [carrier.b]\nchannels = [\"sms\"]\nprefixes = [\"97\"]\n\
             [upstream.x]\nkind = \"simulator\"\n[upstream.y]\nkind = \"simulator\"\n[upstream.z]\nkind = \"simulator\"",
        );
        assert_eq!(Difference::between(&before, &before), Difference::default());
        let now = table(
            "[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\nprice_usd = \"0.03\"\nsms = [{ upstream = \"y\" }]\n\
             [carrier.c]\nchannels = [\"sms\"]\nprefixes = [\"97\"]\n\
             [upstream.w]\nkind = \"simulator\"\n[upstream.x]\nkind = \"simulator\"\n[upstream.y]\nkind = \"simulator\"\nack_ms = 9",
        );
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let expected = Difference {
            carriers_added: list(&["c"]),
            carriers_removed: list(&["b"]),
            carriers_changed: list(&["a: price 0.022 to 0.030", "a: sms links"]),
            upstreams_added: list(&["w"]),
            upstreams_removed: list(&["z"]),
            upstreams_changed: list(&["y"]),
        };
        assert_eq!(Difference::between(&before, &now), expected);
    }
}
