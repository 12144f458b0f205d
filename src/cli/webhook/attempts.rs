//! `webhook attempts`: what was sent and what came back. Its JSON is that of `GET /api/v1/webhooks/attempts`.

use std::path::Path;

use super::super::account::no_account;
use super::super::arguments::AttemptsArguments;
use super::super::error::CliError;
use super::super::operator::{Sealed, open_sealed};
use super::super::output::Answer;
use crate::domain::webhook::Fault;
use crate::http::wire;
use crate::records::accounts;
use crate::records::attempts::{AttemptPage, Attempts, ListError, ListedAttempt};

pub(super) async fn list(config: Option<&Path>, arguments: AttemptsArguments) -> Result<Answer, CliError> {
    let AttemptsArguments { account, endpoint, delivery, state, limit, after } = arguments;
    let Sealed { store, keyring, .. } = open_sealed(config).await?;
    if store.read(move |tx| Box::pin(accounts::show(tx, account))).await?.is_none() {
        return Err(no_account(account));
    }
    let page = AttemptPage { limit: usize::from(limit), starting_after: after, endpoint, delivery, state };
    let listing = Attempts::new(store, keyring).list(account, &page).await.map_err(|error| match error {
        ListError::BadCursor => CliError::Refused("--after is not an attempt of this account".to_owned()),
        ListError::Store(error) => error.into(),
    })?;
    let mut text: Vec<String> = listing.data.iter().map(line).collect();
    if let Some(cursor) = listing.next_cursor.filter(|_| listing.has_more) {
        text.push(format!("more: --after {cursor}"));
    }
    Ok(Answer::of_json(&wire::attempts(&listing), text.join("\n")))
}

fn line(attempt: &ListedAttempt) -> String {
    let status = attempt.http_status.map(|status| format!(" {status}")).unwrap_or_default();
    let fault = attempt.fault.filter(|fault| *fault != Fault::Status).map(|fault| format!(" {}", fault.as_str()));
    let took = match attempt.completed_at {
        Some(_) => format!("{:>6} ms", attempt.phases.total_us / 1_000),
        None => "        -".to_owned(),
    };
    format!(
        "{}  {}  {} {} {}  {took}  {}{status}{}  endpoint {}  delivery {}",
        attempt.id,
        attempt.started_at.rfc3339(),
        attempt.event.as_str(),
        attempt.cause.as_str(),
        attempt.number,
        attempt.state.as_str(),
        fault.unwrap_or_default(),
        attempt.endpoint,
        attempt.delivery
    )
}
