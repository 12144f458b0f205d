//! `webhook`: an account's endpoints, what was sent to them, and sending it again.
//!
//! A secret is shown once, when it is made; what is stored is sealed with the keys of the configuration.

mod attempts;
mod ping;
mod replay;
mod secret;

use std::path::Path;

use serde::Serialize;

use super::account::no_account;
use super::arguments::WebhookCommand;
use super::error::CliError;
use super::operator::{actor, open_store};
use super::output::Answer;
use crate::domain::ids::{AccountId, EndpointId};
use crate::domain::time::Timestamp;
use crate::domain::webhook::{ENDPOINTS_MAX, EventType};
use crate::records::accounts;
use crate::records::endpoints::{self, Changed, Enabled, Endpoint};
use crate::store::Store;

pub(super) async fn run(config: Option<&Path>, command: WebhookCommand) -> Result<Answer, CliError> {
    match command {
        WebhookCommand::Create(arguments) => secret::create(config, arguments).await,
        WebhookCommand::List { account } => list(&open_store(config).await?, account).await,
        WebhookCommand::Rotate { endpoint, finish: false } => secret::rotate(config, endpoint).await,
        WebhookCommand::Rotate { endpoint, finish: true } => secret::finish(&open_store(config).await?, endpoint).await,
        WebhookCommand::Ping { endpoint } => ping::run(config, endpoint).await,
        WebhookCommand::Enable { endpoint } => enable(&open_store(config).await?, endpoint).await,
        WebhookCommand::Disable { endpoint } => disable(&open_store(config).await?, endpoint).await,
        WebhookCommand::Delete { endpoint } => delete(&open_store(config).await?, endpoint).await,
        WebhookCommand::Attempts(arguments) => attempts::list(config, arguments).await,
        WebhookCommand::Replay(arguments) => replay::run(config, &arguments).await,
    }
}

/// An endpoint in a list: never its key.
#[derive(Serialize)]
struct EndpointJson {
    id: String,
    url: String,
    events: Vec<&'static str>,
    signature_key: &'static str,
    /// As `--retry` takes it; empty: an event is sent once.
    retry: String,
    created_at: String,
    active_since: Option<String>,
    disabled_why: Option<String>,
    failing_since: Option<String>,
    /// When the secret before the last rotation ends.
    old_secret_until: Option<String>,
}

impl From<Endpoint> for EndpointJson {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            id: endpoint.id.to_string(),
            url: endpoint.url.to_string(),
            events: endpoint.events.events().map(EventType::as_str).collect(),
            signature_key: endpoint.key_form.as_str(),
            retry: endpoint.schedule.to_string(),
            created_at: endpoint.created_at.rfc3339(),
            active_since: endpoint.active_since.map(Timestamp::rfc3339),
            disabled_why: endpoint.disabled_why,
            failing_since: endpoint.failing_since.map(Timestamp::rfc3339),
            old_secret_until: endpoint.old_key.map(|(_, until)| until.rfc3339()),
        }
    }
}

impl EndpointJson {
    fn line(&self) -> String {
        let standing = match (&self.active_since, &self.disabled_why) {
            (Some(since), _) => format!("active since {since}"),
            (None, Some(why)) => format!("disabled ({why})"),
            (None, None) => "disabled".to_owned(),
        };
        let said = |word: &str, at: &Option<String>| at.as_ref().map(|at| format!("  {word} {at}")).unwrap_or_default();
        let retry = if self.retry.is_empty() { String::new() } else { format!("  retry {}", self.retry) };
        format!(
            "{}  {}  {}  {}  {standing}{retry}{}{}",
            self.id,
            self.url,
            self.events.join(","),
            self.signature_key,
            said("failing since", &self.failing_since),
            said("old secret until", &self.old_secret_until)
        )
    }
}

#[derive(Serialize)]
struct Listed {
    ok: bool,
    data: Vec<EndpointJson>,
}

async fn list(store: &Store, account: AccountId) -> Result<Answer, CliError> {
    let (known, found) = store
        .read(move |tx| {
            Box::pin(async move {
                let known = accounts::show(tx, account).await?.is_some();
                Ok((known, endpoints::list(tx, account).await?))
            })
        })
        .await?;
    if !known {
        return Err(no_account(account));
    }
    let data: Vec<EndpointJson> = found.into_iter().map(EndpointJson::from).collect();
    let text = data.iter().map(EndpointJson::line).collect::<Vec<_>>().join("\n");
    Ok(Answer::new(&Listed { ok: true, data }, text))
}

#[derive(Serialize)]
struct ChangedJson {
    ok: bool,
    id: String,
    /// It was so before.
    already: bool,
}

fn changed(endpoint: EndpointId, already: bool, text: &str) -> Answer {
    let text = if already { format!("it was so already: {text}") } else { text.to_owned() };
    Answer::new(&ChangedJson { ok: true, id: endpoint.to_string(), already }, text)
}

async fn enable(store: &Store, endpoint: EndpointId) -> Result<Answer, CliError> {
    let actor = actor();
    let enabled = store
        .write(move |tx| {
            let actor = actor.clone();
            Box::pin(async move { endpoints::enable(tx, &actor, endpoint).await })
        })
        .await?;
    const TEXT: &str = "enabled: told of what happens from now on";
    match enabled {
        Enabled::Done => Ok(changed(endpoint, false, TEXT)),
        Enabled::Already => Ok(changed(endpoint, true, TEXT)),
        Enabled::NoEndpoint => Err(no_endpoint(endpoint)),
        Enabled::AccountClosed => Err(CliError::Refused(format!("the account of endpoint {endpoint} is closed"))),
        Enabled::TooMany => Err(CliError::Refused(too_many("the endpoint's account"))),
    }
}

async fn disable(store: &Store, endpoint: EndpointId) -> Result<Answer, CliError> {
    let actor = actor();
    let done = store
        .write(move |tx| {
            let actor = actor.clone();
            Box::pin(async move { endpoints::disable(tx, &actor, endpoint).await })
        })
        .await?;
    said(endpoint, done, "disabled: what waits for it is discarded, and listed for replay")
}

async fn delete(store: &Store, endpoint: EndpointId) -> Result<Answer, CliError> {
    let actor = actor();
    let done = store
        .write(move |tx| {
            let actor = actor.clone();
            Box::pin(async move { endpoints::delete(tx, &actor, endpoint).await })
        })
        .await?;
    said(endpoint, done, "deleted: what was sent to it stays listed")
}

fn said(endpoint: EndpointId, done: Changed, text: &str) -> Result<Answer, CliError> {
    match done {
        Changed::Done => Ok(changed(endpoint, false, text)),
        Changed::Already => Ok(changed(endpoint, true, text)),
        Changed::NoEndpoint => Err(no_endpoint(endpoint)),
    }
}

fn no_endpoint(endpoint: EndpointId) -> CliError {
    CliError::Refused(format!("there is no endpoint {endpoint}"))
}

fn too_many(who: &str) -> String {
    format!("{who} has {ENDPOINTS_MAX} active endpoints, the most that one may have: disable or delete one first")
}
