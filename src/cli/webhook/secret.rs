//! What makes or ends a secret: registering an endpoint, and rotating.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use zeroize::Zeroizing;

use super::{no_endpoint, said, too_many};
use crate::cli::account::no_account;
use crate::cli::arguments::CreateArguments;
use crate::cli::error::CliError;
use crate::cli::operator::{Sealed, actor, open_sealed};
use crate::cli::output::{Answer, must_be_seen};
use crate::config::WebhooksConfig;
use crate::domain::endpoint_url::EndpointUrl;
use crate::domain::ids::EndpointId;
use crate::domain::sealing::Keyring;
use crate::domain::signature::WebhookSecret;
use crate::records::endpoints::{self, Changed, NewEndpoint, Registered};
use crate::store::Store;
use crate::webhook::courier::{Courier, Refused};

/// How long the secret before a rotation goes on.
const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Serialize)]
struct Made<'a> {
    ok: bool,
    id: String,
    secret: &'a str,
    library_secret: &'a str,
}

pub(super) async fn create(config: Option<&Path>, arguments: CreateArguments) -> Result<Answer, CliError> {
    must_be_seen()?;
    let url = EndpointUrl::parse(arguments.url.trim()).map_err(|error| CliError::Usage(format!("--url: {error}")))?;
    let Sealed { store, keyring, config } = open_sealed(config).await?;
    courier(&config.webhooks)?.check(&url).await.map_err(|refused| not_there(&refused))?;
    let id = EndpointId::new(store.ping().await?, random()?);
    let (secret, key_sealed) = fresh(&keyring, id)?;
    let account = arguments.account;
    let new = NewEndpoint {
        id,
        account,
        url,
        events: arguments.events,
        key_form: arguments.signature_key.into(),
        schedule: arguments.retry,
        key_sealed,
    };
    let actor = actor();
    let registered = store
        .write(move |tx| {
            let (actor, new) = (actor.clone(), new.clone());
            Box::pin(async move { endpoints::create(tx, &actor, &new).await })
        })
        .await?;
    match registered {
        Registered::Done(id) => Ok(show(id, &secret, "Try it: nexo-route webhook ping")),
        Registered::NoAccount => Err(no_account(account)),
        Registered::AccountClosed => Err(CliError::Refused(format!("account {account} is closed"))),
        Registered::TooMany => Err(CliError::Refused(too_many(&format!("account {account}")))),
    }
}

pub(super) async fn rotate(config: Option<&Path>, id: EndpointId) -> Result<Answer, CliError> {
    must_be_seen()?;
    let Sealed { store, keyring, .. } = open_sealed(config).await?;
    let (secret, key_sealed) = fresh(&keyring, id)?;
    let actor = actor();
    let rotated = store
        .write(move |tx| {
            let (actor, key_sealed) = (actor.clone(), key_sealed.clone());
            Box::pin(async move { endpoints::rotate(tx, &actor, id, &key_sealed, OVERLAP).await })
        })
        .await?;
    match rotated {
        Changed::Done | Changed::Already => {
            let next = "X-NEXO-Signature goes on with the secret before for 24 hours, or until a ping with the new one is \
                        accepted: give it to the receiver, then nexo-route webhook ping";
            Ok(show(id, &secret, next))
        }
        Changed::NoEndpoint => Err(no_endpoint(id)),
    }
}

pub(super) async fn finish(store: &Store, id: EndpointId) -> Result<Answer, CliError> {
    let actor = actor();
    let finished = store
        .write(move |tx| {
            let actor = actor.clone();
            Box::pin(async move { endpoints::finish_rotation(tx, &actor, id).await })
        })
        .await?;
    said(id, finished, "only the newest secret signs")
}

/// What carries a webhook, as the configuration has it.
pub(super) fn courier(config: &WebhooksConfig) -> Result<Courier, CliError> {
    Courier::new(config).map_err(|error| CliError::Usage(error.to_string()))
}

/// Why an endpoint may not be there, and what would allow it.
fn not_there(refused: &Refused) -> CliError {
    let setting = match refused {
        Refused::Http => "; for development, webhooks.allow_http and webhooks.allow_networks allow http://",
        Refused::Port { .. } => "; webhooks.ports lists the ports that an endpoint may have",
        Refused::Address(_) | Refused::Private { .. } => "; webhooks.allow_networks lists others that may be reached",
        Refused::Unresolved { .. } | Refused::TooSlow { .. } => "",
    };
    CliError::Refused(format!("--url: {refused}{setting}"))
}

/// A fresh secret, and its key as the endpoint keeps it.
fn fresh(keyring: &Keyring, id: EndpointId) -> Result<(WebhookSecret, Vec<u8>), CliError> {
    let entropy = Zeroizing::new(random()?);
    let secret = WebhookSecret::from_entropy(&entropy);
    let sealed = keyring.seal_signing_key(id, random()?, &secret.signing_key());
    Ok((secret, sealed))
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], CliError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| CliError::Internal(format!("no random bytes: {error}")))?;
    Ok(bytes)
}

fn show(id: EndpointId, secret: &WebhookSecret, next: &str) -> Answer {
    let library = secret.signing_key().library_secret();
    let made = Made { ok: true, id: id.to_string(), secret: secret.expose(), library_secret: &library };
    let text = format!(
        "endpoint  {id}
secret    {}
          for Standard Webhooks libraries: {}
          shown this once

{next} {id}",
        secret.expose(),
        *library
    );
    let advice = format!("the secret is lost: show a new one with `nexo-route webhook rotate {id}`");
    Answer::new(&made, text).or_if_lost(advice)
}
