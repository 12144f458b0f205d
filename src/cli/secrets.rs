//! `secrets`: the key file of a deployment.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::arguments::SecretsCommand;
use super::error::CliError;
use super::output::Answer;
use crate::config;

#[derive(Serialize)]
struct Made {
    ok: bool,
    key_file: PathBuf,
}

pub(super) fn run(config: Option<&Path>, command: &SecretsCommand) -> Result<Answer, CliError> {
    let SecretsCommand::Create = command;
    let key_file = config::load(config)?.config.secrets.key_file;
    config::create_key_file(&key_file).map_err(|error| match CliError::of_key_file(error) {
        CliError::Usage(why) => CliError::Refused(why),
        refused => refused,
    })?;
    let text = format!("made {}: keep a copy in a safe place", key_file.display());
    Ok(Answer::new(&Made { ok: true, key_file }, text))
}
