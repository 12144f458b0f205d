//! `key`: make, list and revoke API keys. A key is shown once, when it is made; only its hash is stored.

use std::path::Path;

use serde::Serialize;
use zeroize::Zeroizing;

use super::account::no_account;
use super::arguments::KeyCommand;
use super::error::CliError;
use super::operator::{actor, open_store};
use super::output::{Answer, must_be_seen};
use crate::domain::allowlist::Allowlist;
use crate::domain::api_key::PlainKey;
use crate::domain::ids::{AccountId, KeyId};
use crate::domain::time::Timestamp;
use crate::records::accounts;
use crate::records::audit::Actor;
use crate::records::keys::{self, Created, LIVE_MAX, ListedKey, NewKey, Revoked};
use crate::store::Store;

pub(super) async fn run(config: Option<&Path>, command: KeyCommand) -> Result<Answer, CliError> {
    match command {
        KeyCommand::Create { account, allow } => {
            let allowlist = Allowlist::parse(allow.iter().map(String::as_str))
                .map_err(|error| CliError::Usage(format!("--allow: {error}")))?;
            must_be_seen()?;
            let store = open_store(config).await?;
            create(&store, account, allowlist).await
        }
        KeyCommand::List { account } => list(&open_store(config).await?, account).await,
        KeyCommand::Revoke { key } => revoke(&open_store(config).await?, key).await,
    }
}

#[derive(Serialize)]
struct Made<'a> {
    ok: bool,
    key: &'a str,
    id: String,
    account: String,
    allow: Vec<String>,
}

async fn create(store: &Store, account: AccountId, allowlist: Allowlist) -> Result<Answer, CliError> {
    let allow = allowlist.entries().collect();
    let (plain, id) = make(store, actor(), account, allowlist).await?;
    let made = Made { ok: true, key: plain.expose(), id: id.to_string(), account: account.to_string(), allow };
    let advice = format!("the key is lost: revoke it with `nexo-route key revoke {id}` and make another");
    Ok(Answer::new(&made, plain.expose()).or_if_lost(advice))
}

/// Makes a key and stores its hash.
pub(super) async fn make(
    store: &Store,
    actor: Actor,
    account: AccountId,
    allowlist: Allowlist,
) -> Result<(PlainKey, KeyId), CliError> {
    let mut entropy = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *entropy).map_err(|error| CliError::Internal(format!("no random bytes: {error}")))?;
    let plain = PlainKey::from_entropy(&entropy);
    let new = NewKey { account, hash: plain.hash(), hint: plain.hint(), allowlist };
    let created = store
        .write(move |tx| {
            let (actor, new) = (actor.clone(), new.clone());
            Box::pin(async move { keys::create(tx, &actor, &new).await })
        })
        .await?;
    match created {
        Created::Done(id) => Ok((plain, id)),
        Created::NoAccount => Err(no_account(account)),
        Created::AccountClosed => Err(CliError::Refused(format!("account {account} is closed"))),
        Created::TooMany => Err(CliError::Refused(format!(
            "account {account} has {LIVE_MAX} live keys, the most that one may have: revoke one first"
        ))),
    }
}

/// A key in a list: never the key itself.
#[derive(Serialize)]
pub(super) struct KeyJson {
    id: String,
    hint: String,
    allow: Vec<String>,
    created_at: String,
    revoked_at: Option<String>,
}

impl From<ListedKey> for KeyJson {
    fn from(key: ListedKey) -> Self {
        Self {
            id: key.id.to_string(),
            hint: key.hint,
            allow: key.allowlist.entries().collect(),
            created_at: key.created_at.rfc3339(),
            revoked_at: key.revoked_at.map(Timestamp::rfc3339),
        }
    }
}

impl KeyJson {
    pub(super) fn line(&self) -> String {
        let allow = if self.allow.is_empty() { "any address".to_owned() } else { self.allow.join(", ") };
        let revoked = self.revoked_at.as_ref().map(|at| format!("  revoked {at}")).unwrap_or_default();
        format!("{}  {}  made {}  {allow}{revoked}", self.id, self.hint, self.created_at)
    }
}

#[derive(Serialize)]
struct Listed {
    ok: bool,
    data: Vec<KeyJson>,
}

async fn list(store: &Store, account: AccountId) -> Result<Answer, CliError> {
    let (known, found) = store
        .read(move |tx| {
            Box::pin(async move {
                let known = accounts::show(tx, account).await?.is_some();
                Ok((known, keys::list(tx, account).await?))
            })
        })
        .await?;
    if !known {
        return Err(no_account(account));
    }
    let data: Vec<KeyJson> = found.into_iter().map(KeyJson::from).collect();
    let text = data.iter().map(KeyJson::line).collect::<Vec<_>>().join("\n");
    Ok(Answer::new(&Listed { ok: true, data }, text))
}

#[derive(Serialize)]
struct RevokedJson {
    ok: bool,
    id: String,
}

async fn revoke(store: &Store, key: KeyId) -> Result<Answer, CliError> {
    let actor = actor();
    let revoked = store
        .write(move |tx| {
            let actor = actor.clone();
            Box::pin(async move { keys::revoke(tx, &actor, key).await })
        })
        .await?;
    let text = match revoked {
        Revoked::Done => "revoked: every node refuses it within one second",
        Revoked::Already => "revoked already",
        Revoked::NoKey => return Err(CliError::Refused(format!("there is no key {key}"))),
    };
    Ok(Answer::new(&RevokedJson { ok: true, id: key.to_string() }, text))
}
