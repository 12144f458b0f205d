//! `webhook ping`: a test event, sent as a real one is: an attempt's row before it, a result's row after it.
//!
//! It is signed with the newest key alone, so that its acceptance proves that the receiver knows it: then the rotation is
//! over. A receiver that refuses the recorded form of the key is asked with the other one; what it accepts is recorded.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::super::error::CliError;
use super::super::operator::{Sealed, actor, open_sealed};
use super::super::output::Answer;
use super::no_endpoint;
use super::secret::{courier, random};
use crate::domain::event::ping_body;
use crate::domain::ids::{AttemptId, DeliveryId, EndpointId};
use crate::domain::sealing::Keyring;
use crate::domain::webhook::{Cause, EventType, Fault, KeyForm, Outcome};
use crate::records::attempts::{self, EndpointChange, Finished, NewAttempt};
use crate::records::endpoints::{self, Changed, Endpoint};
use crate::records::outbox::Claimed;
use crate::store::Store;
use crate::webhook::line::{Exchange, Line, exchange_text};
use crate::webhook::request::{Keys, SeedKey, signed};

#[derive(Serialize)]
struct Pinged {
    /// Whether the receiver accepted it.
    ok: bool,
    id: String,
    /// The form that the endpoint has now.
    signature_key: &'static str,
    rotation_finished: bool,
    attempts: Vec<AttemptJson>,
}

#[derive(Serialize)]
struct AttemptJson {
    id: String,
    signature_key: &'static str,
    http_status: Option<u16>,
    error: Option<&'static str>,
    detail: String,
    total_ms: i64,
}

pub(super) async fn run(config: Option<&Path>, id: EndpointId) -> Result<Answer, CliError> {
    let Sealed { store, keyring, config } = open_sealed(config).await?;
    let known = store.read(move |tx| Box::pin(endpoints::find(tx, id))).await?;
    let endpoint = known.ok_or_else(|| no_endpoint(id))?;
    let line = courier(&config.webhooks)?.line(endpoint.url.clone());
    let mut ping = Ping { store, keyring, endpoint, line, attempts: Vec::new() };
    let accepted = ping.try_forms().await?;
    let rotation_finished = match accepted {
        Some(form) => ping.settle(form).await?,
        None => false,
    };
    Ok(ping.answer(accepted, rotation_finished))
}

struct Ping {
    store: Store,
    keyring: Arc<Keyring>,
    endpoint: Endpoint,
    line: Line,
    attempts: Vec<AttemptJson>,
}

impl Ping {
    /// The form that was accepted, if one was. Who did not answer with a status is not asked again.
    async fn try_forms(&mut self) -> Result<Option<KeyForm>, CliError> {
        let Endpoint { id, key_form, .. } = self.endpoint;
        let key = self.keyring.open_signing_key(id, &self.endpoint.key_sealed);
        let key = key.ok_or_else(|| CliError::Internal(format!("the key of endpoint {id} cannot be opened")))?;
        let now = self.store.ping().await?;
        let delivery = DeliveryId::new(now, random()?);
        for (number, form) in [(1, key_form), (2, key_form.other())] {
            let new = NewAttempt {
                account: self.endpoint.account,
                endpoint: id,
                delivery,
                event: EventType::Test,
                cause: Cause::Ping,
                number,
                body: ping_body(delivery, now),
            };
            let claimed = self.begin(new).await?;
            let keys = Keys { current: key.clone(), old: None, form };
            let exchange = self.send(claimed, &keys).await?;
            match exchange.outcome {
                Ok(_) => return Ok(Some(form)),
                Err(Fault::Status) => {}
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    async fn begin(&self, new: NewAttempt) -> Result<Claimed, CliError> {
        let keyring = Arc::clone(&self.keyring);
        let begun = self.store.write(move |tx| {
            let (keyring, new) = (Arc::clone(&keyring), new.clone());
            Box::pin(async move { attempts::begin(tx, &keyring, &new).await })
        });
        Ok(begun.await?)
    }

    async fn send(&mut self, claimed: Claimed, keys: &Keys) -> Result<Exchange, CliError> {
        let Claimed { attempt, delivery, event, number, started_at, body, .. } = claimed;
        let seconds = started_at.millis().div_euclid(1_000);
        let post = signed(&self.endpoint.url, keys, event, delivery, seconds, body, SeedKey::Current);
        let exchange = self.line.post(&post).await;
        let accepted = exchange.outcome.is_ok();
        self.attempts.push(shown(attempt, keys.form, &exchange));
        let finished = Finished {
            attempt,
            endpoint: self.endpoint.id,
            account: self.endpoint.account,
            delivery,
            event,
            number,
            outcome: if accepted { Outcome::Accepted } else { Outcome::Failed },
            http_status: exchange.status,
            fault: exchange.outcome.err(),
            phases: exchange.phases,
            exchange_sealed: self.keyring.seal_exchange(attempt, &exchange_text(&post, &exchange)),
            retry: None,
            endpoint_change: if accepted { EndpointChange::Working } else { EndpointChange::None },
        };
        let written = self.store.write(move |tx| {
            let finished = finished.clone();
            Box::pin(async move { attempts::finish(tx, &[finished]).await })
        });
        written.await?;
        Ok(exchange)
    }

    /// Records the accepted form and ends a rotation, unless the key has changed since; says whether it ended one.
    async fn settle(&self, form: KeyForm) -> Result<bool, CliError> {
        let (pinged, actor) = (self.endpoint.clone(), actor());
        let settled = self.store.write(move |tx| {
            let (pinged, actor) = (pinged.clone(), actor.clone());
            Box::pin(async move {
                let now = endpoints::find(tx, pinged.id).await?;
                if now.is_none_or(|now| now.key_sealed != pinged.key_sealed) {
                    return Ok(false);
                }
                endpoints::record_form(tx, pinged.id, form).await?;
                Ok(endpoints::finish_rotation(tx, &actor, pinged.id).await? == Changed::Done)
            })
        });
        Ok(settled.await?)
    }

    fn answer(self, accepted: Option<KeyForm>, rotation_finished: bool) -> Answer {
        let mut text: Vec<String> = self.attempts.iter().map(AttemptJson::line).collect();
        let form = accepted.unwrap_or(self.endpoint.key_form);
        match accepted {
            Some(form) if form != self.endpoint.key_form => {
                text.push(format!("accepted with signature key {}: recorded", form.as_str()));
            }
            Some(form) => text.push(format!("accepted with signature key {}", form.as_str())),
            None => text.push("not accepted".to_owned()),
        }
        if rotation_finished {
            text.push("the rotation is over: only the newest secret signs".to_owned());
        }
        let pinged = Pinged {
            ok: accepted.is_some(),
            id: self.endpoint.id.to_string(),
            signature_key: form.as_str(),
            rotation_finished,
            attempts: self.attempts,
        };
        Answer::new(&pinged, text.join("\n")).with_code(u8::from(accepted.is_none()))
    }
}

fn shown(attempt: AttemptId, form: KeyForm, exchange: &Exchange) -> AttemptJson {
    AttemptJson {
        id: attempt.to_string(),
        signature_key: form.as_str(),
        http_status: exchange.status,
        error: exchange.outcome.err().map(Fault::as_str),
        detail: exchange.detail.clone(),
        total_ms: exchange.phases.total_us / 1_000,
    }
}

impl AttemptJson {
    fn line(&self) -> String {
        let status = self.http_status.map_or_else(|| "no status".to_owned(), |status| status.to_string());
        let error = self.error.filter(|error| *error != Fault::Status.as_str());
        let error = error.map(|error| format!("  {error}: {}", self.detail)).unwrap_or_default();
        format!("{}  {}  {status}  {} ms{error}", self.id, self.signature_key, self.total_ms)
    }
}
