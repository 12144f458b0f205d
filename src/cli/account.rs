//! `account`: make, list, show and close accounts.

use std::path::Path;

use serde::Serialize;

use super::arguments::AccountCommand;
use super::error::CliError;
use super::key::KeyJson;
use super::operator::{actor, open_store};
use super::output::{Answer, WalletJson};
use crate::domain::ids::AccountId;
use crate::domain::money::MicroUsd;
use crate::domain::time::Timestamp;
use crate::records::accounts::{self, Account, AccountName, Closed, WELCOME_CREDIT};
use crate::records::audit::{self, AuditRow};
use crate::records::keys;
use crate::store::Store;

/// Changes that `show` shows.
const CHANGES_MAX: i64 = 20;

pub(super) async fn run(config: Option<&Path>, command: AccountCommand) -> Result<Answer, CliError> {
    let store = open_store(config).await?;
    match command {
        AccountCommand::Create { name, free_otps } => create(&store, name, free_otps).await,
        AccountCommand::List { limit, after } => list(&store, i64::from(limit), after).await,
        AccountCommand::Show { account } => show(&store, account).await,
        AccountCommand::Close { account } => close(&store, account).await,
    }
}

#[derive(Serialize)]
struct Created {
    ok: bool,
    account: String,
    free_credit: String,
}

async fn create(store: &Store, name: AccountName, free_otps: bool) -> Result<Answer, CliError> {
    let (actor, welcome) = (actor(), if free_otps { WELCOME_CREDIT } else { MicroUsd::ZERO });
    let account = store
        .write(move |tx| {
            let (actor, name) = (actor.clone(), name.clone());
            Box::pin(async move { accounts::create(tx, &actor, &name, welcome).await })
        })
        .await?;
    let created = Created { ok: true, account: account.to_string(), free_credit: welcome.to_string() };
    Ok(Answer::new(&created, account.to_string()))
}

#[derive(Serialize)]
struct AccountJson {
    account: String,
    name: String,
    created_at: String,
    closed_at: Option<String>,
    live_keys: i64,
    wallet: WalletJson,
}

impl From<Account> for AccountJson {
    fn from(account: Account) -> Self {
        Self {
            account: account.id.to_string(),
            name: account.name,
            created_at: account.created_at.rfc3339(),
            closed_at: account.closed_at.map(Timestamp::rfc3339),
            live_keys: account.live_keys,
            wallet: account.wallet.into(),
        }
    }
}

#[derive(Serialize)]
struct Listed {
    ok: bool,
    data: Vec<AccountJson>,
    has_more: bool,
}

async fn list(store: &Store, limit: i64, after: Option<AccountId>) -> Result<Answer, CliError> {
    let mut found = store.read(move |tx| Box::pin(accounts::list(tx, after, limit.saturating_add(1)))).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    let mut text: Vec<String> = found.iter().map(line).collect();
    if has_more {
        text.extend(found.last().map(|last| format!("more: --after {}", last.id)));
    }
    let data = found.into_iter().map(AccountJson::from).collect();
    Ok(Answer::new(&Listed { ok: true, data, has_more }, text.join("\n")))
}

fn line(account: &Account) -> String {
    let total = account.wallet.total().unwrap_or_default();
    let closed = if account.closed_at.is_some() { " (closed)" } else { "" };
    format!("{}  {total:>12} USD  {:>2} keys  {}{closed}", account.id, account.live_keys, account.name)
}

#[derive(Serialize)]
struct Shown {
    ok: bool,
    #[serde(flatten)]
    account: AccountJson,
    keys: Vec<KeyJson>,
    changes: Vec<Change>,
}

#[derive(Serialize)]
struct Change {
    at: String,
    actor: String,
    action: String,
    detail: String,
}

impl From<AuditRow> for Change {
    fn from(row: AuditRow) -> Self {
        Self { at: row.at.rfc3339(), actor: row.actor, action: row.action, detail: row.detail }
    }
}

async fn show(store: &Store, id: AccountId) -> Result<Answer, CliError> {
    let (account, keys, changes) = store
        .read(move |tx| {
            Box::pin(async move {
                let keys = keys::list(tx, id).await?;
                let changes = audit::list(tx, &id.to_string(), CHANGES_MAX).await?;
                Ok((accounts::show(tx, id).await?, keys, changes))
            })
        })
        .await?;
    let account = account.ok_or_else(|| no_account(id))?;
    let wallet = account.wallet;
    let keys: Vec<KeyJson> = keys.into_iter().map(KeyJson::from).collect();
    let changes: Vec<Change> = changes.into_iter().map(Change::from).collect();
    let mut text = vec![
        line(&account),
        format!("balance {}  bonus_credit {}  free_credit {}", wallet.cash, wallet.bonus, wallet.free),
    ];
    text.extend(keys.iter().map(|key| format!("key {}", key.line())));
    text.extend(changes.iter().map(|c| format!("{}  {}  {}  {}", c.at, c.actor, c.action, c.detail)));
    Ok(Answer::new(&Shown { ok: true, account: account.into(), keys, changes }, text.join("\n")))
}

#[derive(Serialize)]
struct ClosedJson {
    ok: bool,
    account: String,
    keys_revoked: u64,
}

async fn close(store: &Store, id: AccountId) -> Result<Answer, CliError> {
    let actor = actor();
    let closed = store
        .write(move |tx| {
            let actor = actor.clone();
            Box::pin(async move { accounts::close(tx, &actor, id).await })
        })
        .await?;
    let (keys_revoked, text) = match closed {
        Closed::Done { keys_revoked } => (keys_revoked, format!("closed, {keys_revoked} keys revoked")),
        Closed::Already => (0, "closed already".to_owned()),
        Closed::NoAccount => return Err(no_account(id)),
    };
    Ok(Answer::new(&ClosedJson { ok: true, account: id.to_string(), keys_revoked }, text))
}

pub(super) fn no_account(id: AccountId) -> CliError {
    CliError::Refused(format!("there is no account {id}"))
}
