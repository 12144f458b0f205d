//! `link`: the upstreams that carry codes, how they are, and which of them take no work.
//!
//! A pause is a row that every daemon polls. How links are is asked of the daemon whose ops listener the configuration
//! names; if it does not answer, the list is shown without. No secret is needed, and no table that holds: what is read of it is
//! names, and in an incident the daemon's word for a link is as good.

mod live;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use self::live::Live;
use super::arguments::LinkCommand;
use super::error::CliError;
use super::operator::{actor, open_store};
use super::output::Answer;
use crate::config::carriers::{Outline, Outlined};
use crate::config::{self, Config};
use crate::domain::reference::UpstreamId;
use crate::domain::time::Timestamp;
use crate::records::link_pauses;

pub(super) async fn run(config: Option<&Path>, command: LinkCommand) -> Result<Answer, CliError> {
    let settings = config::load(config)?.config;
    match command {
        LinkCommand::List => list(config, &settings).await,
        LinkCommand::Pause { upstream } => pause(config, &settings, upstream).await,
        LinkCommand::Resume { upstream } => resume(config, upstream).await,
    }
}

/// One upstream in the list; no secret is in what it is made of.
#[derive(Serialize)]
struct LinkJson {
    upstream: String,
    /// `None`: it is not in this configuration's carrier table, as far as that can be read.
    kind: Option<String>,
    /// `CARRIER/CHANNEL:WEIGHT`, by carrier.
    carries: Vec<String>,
    paused_since: Option<String>,
    /// As the daemon of this configuration says; `None` if it did not answer or has no such link.
    live: Option<Live>,
}

#[derive(Serialize)]
struct Listed {
    ok: bool,
    /// Whether the daemon of this configuration answered.
    answered: bool,
    data: Vec<LinkJson>,
}

impl LinkJson {
    fn line(&self) -> String {
        let carries = if self.carries.is_empty() { "carries nothing".to_owned() } else { self.carries.join(",") };
        let paused = self.paused_since.as_ref().map(|since| format!("  paused since {since}")).unwrap_or_default();
        let live = self.live.as_ref().map(|live| format!("  {}", live.line())).unwrap_or_default();
        format!("{}  {}  {carries}{paused}{live}", self.upstream, self.kind.as_deref().unwrap_or("unknown here"))
    }
}

async fn list(path: Option<&Path>, settings: &Config) -> Result<Answer, CliError> {
    let (outline, unread) = match Outline::load(&settings.carriers.file) {
        Ok(outline) => (outline, None),
        Err(why) => (Outline::default(), Some(why)),
    };
    let store = open_store(path).await?;
    let pauses = store.read(|tx| Box::pin(link_pauses::list(tx))).await?;
    let live = live::ask(settings.ops.bind).await;
    let answered = live.is_some();
    let mut links: BTreeMap<String, LinkJson> = BTreeMap::new();
    for (name, Outlined { kind, carries }) in outline.0 {
        let link = LinkJson { carries, ..LinkJson::named(name.as_str(), Some(kind)) };
        links.insert(name.as_str().to_owned(), link);
    }
    for pause in pauses {
        let link = links.entry(pause.upstream.as_str().to_owned());
        let link = link.or_insert_with(|| LinkJson::named(pause.upstream.as_str(), None));
        link.paused_since = Some(Timestamp::rfc3339(pause.since));
    }
    for seen in live.unwrap_or_default() {
        // The daemon may use a table from before this one was edited.
        let link = links.entry(seen.upstream.clone()).or_insert_with(|| LinkJson::named(&seen.upstream, None));
        link.live = Some(seen);
    }
    let data: Vec<LinkJson> = links.into_values().collect();
    let mut text: Vec<String> = data.iter().map(LinkJson::line).collect();
    if !answered {
        text.push(format!("no daemon answers on {}: how the links are is not known", settings.ops.bind));
    }
    if let Some(why) = unread {
        text.push(format!("carriers.file: {why}"));
    }
    Ok(Answer::new(&Listed { ok: true, answered, data }, text.join("\n")))
}

impl LinkJson {
    fn named(upstream: &str, kind: Option<String>) -> Self {
        Self { upstream: upstream.to_owned(), kind, carries: Vec::new(), paused_since: None, live: None }
    }
}

#[derive(Serialize)]
struct Changed {
    ok: bool,
    upstream: String,
    paused: bool,
    /// It was so before.
    already: bool,
}

fn changed(upstream: &UpstreamId, paused: bool, already: bool) -> Answer {
    let text = match (paused, already) {
        (true, false) => "paused: every node sends nothing more over it from about now on",
        (true, true) => "it was paused already",
        (false, false) => "resumed",
        (false, true) => "it was not paused",
    };
    Answer::new(&Changed { ok: true, upstream: upstream.as_str().to_owned(), paused, already }, text)
}

async fn pause(path: Option<&Path>, settings: &Config, upstream: UpstreamId) -> Result<Answer, CliError> {
    let written = Outline::load(&settings.carriers.file);
    let is_written = written.as_ref().is_ok_and(|outline| outline.0.contains_key(&upstream));
    if !is_written {
        let live = live::ask(settings.ops.bind).await.unwrap_or_default();
        if !live.iter().any(|link| link.upstream == upstream.as_str()) {
            let outline = written?;
            let names: Vec<&str> = outline.0.keys().map(UpstreamId::as_str).collect();
            let (name, names) = (upstream.as_str(), names.join(", "));
            return Err(CliError::Refused(format!("there is no upstream {name} in the carrier table; it has {names}")));
        }
    }
    let (actor, named) = (actor(), upstream.clone());
    let store = open_store(path).await?;
    let done = store.write(move |tx| {
        let (actor, upstream) = (actor.clone(), named.clone());
        Box::pin(async move { link_pauses::pause(tx, &actor, &upstream).await })
    });
    Ok(changed(&upstream, true, !done.await?))
}

/// Any name: a pause outlives its upstream's place in the table.
async fn resume(path: Option<&Path>, upstream: UpstreamId) -> Result<Answer, CliError> {
    let (actor, named) = (actor(), upstream.clone());
    let store = open_store(path).await?;
    let done = store.write(move |tx| {
        let (actor, upstream) = (actor.clone(), named.clone());
        Box::pin(async move { link_pauses::resume(tx, &actor, &upstream).await })
    });
    Ok(changed(&upstream, false, !done.await?))
}
