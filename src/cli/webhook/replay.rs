//! `webhook replay`: an event is sent again, with the body that it had. A daemon that runs does it within its poll.

use std::path::Path;

use serde::Serialize;

use super::super::arguments::ReplayArguments;
use super::super::error::CliError;
use super::super::operator::{actor, open_store};
use super::super::output::Answer;
use super::no_endpoint;
use crate::domain::ids::{AttemptId, EndpointId};
use crate::records::outbox::{self, Replayed, Replays, Since};
use crate::store::Store;

/// Attempts that one transaction looks at.
const SLICE: i64 = 5_000;

#[derive(Serialize)]
struct Queued {
    ok: bool,
    queued: u64,
}

pub(super) async fn run(config: Option<&Path>, arguments: &ReplayArguments) -> Result<Answer, CliError> {
    let ReplayArguments { attempt, endpoint, since, unknown } = *arguments;
    let store = open_store(config).await?;
    let queued = match (attempt, endpoint, since) {
        (Some(attempt), ..) => one(&store, attempt).await?,
        (None, Some(endpoint), Some(since)) => all(&store, Since { endpoint, since, unknown_too: unknown }).await?,
        _ => return Err(CliError::Usage("an attempt, or --endpoint with --since".to_owned())),
    };
    let text = match queued {
        1 => "1 event is sent again".to_owned(),
        many => format!("{many} events are sent again"),
    };
    Ok(Answer::new(&Queued { ok: true, queued }, text))
}

async fn one(store: &Store, attempt: AttemptId) -> Result<u64, CliError> {
    let actor = actor();
    let replayed = store
        .write(move |tx| {
            let actor = actor.clone();
            Box::pin(async move { outbox::replay_one(tx, &actor, attempt).await })
        })
        .await?;
    match replayed {
        Replayed::Done(_) => Ok(1),
        Replayed::Waiting => Err(CliError::Refused("the event is on its way already".to_owned())),
        Replayed::Inactive => Err(CliError::Refused("the attempt's endpoint is disabled or deleted".to_owned())),
        Replayed::Ping => Err(CliError::Refused("a ping is not sent again: send a new one".to_owned())),
        Replayed::NoAttempt => Err(CliError::Refused(format!("there is no attempt {attempt}"))),
    }
}

async fn all(store: &Store, which: Since) -> Result<u64, CliError> {
    let (mut total, mut after) = (0_u64, None);
    loop {
        let actor = actor();
        let replays = store
            .write(move |tx| {
                let actor = actor.clone();
                Box::pin(async move { outbox::replay_since(tx, &actor, &which, after, SLICE).await })
            })
            .await?;
        match replays {
            Replays::Done { queued, next } => {
                total = total.saturating_add(queued);
                after = next;
            }
            Replays::Inactive => return Err(inactive(which.endpoint)),
            Replays::NoEndpoint => return Err(no_endpoint(which.endpoint)),
        }
        if after.is_none() {
            return Ok(total);
        }
    }
}

fn inactive(endpoint: EndpointId) -> CliError {
    CliError::Refused(format!("endpoint {endpoint} is disabled: enable it first"))
}
