//! `clock`: the house's time beside the database's clock, and an operator's word that the clock is right.
//!
//! A daemon that does not believe the clock follows within a round of its sweeper; no secret is needed.

use std::path::Path;

use serde::Serialize;

use super::arguments::ClockCommand;
use super::error::CliError;
use super::operator::{actor, open_store};
use super::output::Answer;
use crate::domain::time::Timestamp;
use crate::records::house_clock::{self, Accepted};

pub(super) async fn run(config: Option<&Path>, command: ClockCommand) -> Result<Answer, CliError> {
    match command {
        ClockCommand::Show => show(config).await,
        ClockCommand::Accept => accept(config).await,
    }
}

#[derive(Serialize)]
struct Shown {
    ok: bool,
    /// What the database's clock shows.
    database: String,
    /// The latest time that the rows have reached: a daemon that starts goes on from the later of both.
    reached: String,
    /// Whether a daemon that starts now would believe the clock.
    believed: bool,
}

async fn show(config: Option<&Path>) -> Result<Answer, CliError> {
    let store = open_store(config).await?;
    let read = store.read(|tx| {
        Box::pin(async move {
            let row = house_clock::read(tx).await?;
            Ok((row.server, house_clock::reached(tx, row.mark).await?))
        })
    });
    let (server, reached) = read.await?;
    let believed = !house_clock::is_out_of_reason(server, reached);
    let verdict = if believed { "" } else { "\na daemon that starts now refuses orders: the rows are too far ahead" };
    let text =
        format!("the database's clock  {}\nits rows have reached {}{verdict}", server.rfc3339(), reached.rfc3339());
    Ok(Answer::new(&Shown { ok: true, database: server.rfc3339(), reached: reached.rfc3339(), believed }, text))
}

#[derive(Serialize)]
struct Told {
    ok: bool,
    /// The house's time from now on.
    database: String,
    /// What the rows had reached before.
    reached: String,
}

async fn accept(config: Option<&Path>) -> Result<Answer, CliError> {
    let (store, actor) = (open_store(config).await?, actor());
    let done = store.write(move |tx| {
        let actor = actor.clone();
        Box::pin(async move { house_clock::accept(tx, &actor).await })
    });
    let Accepted { server, reached } = done.await?;
    let shown = Timestamp::rfc3339;
    let text = format!("accepted: the house's time is {} (its rows had reached {})", shown(server), shown(reached));
    Ok(Answer::new(&Told { ok: true, database: shown(server), reached: shown(reached) }, text))
}
