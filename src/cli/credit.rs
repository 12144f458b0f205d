//! `credit`: money into one bucket of an account, once per reference.

use std::path::Path;

use serde::Serialize;

use super::account::no_account;
use super::arguments::CreditArguments;
use super::error::CliError;
use super::operator::{actor, open_store};
use super::output::{Answer, WalletJson};
use crate::domain::ids::AccountId;
use crate::domain::money::Buckets;
use crate::records::audit::Actor;
use crate::records::ledger::{self, Credit, Credited};
use crate::store::Store;

#[derive(Serialize)]
struct CreditedJson {
    ok: bool,
    account: String,
    /// The same credit had been made before.
    already: bool,
    wallet: WalletJson,
}

pub(super) async fn run(config: Option<&Path>, arguments: &CreditArguments) -> Result<Answer, CliError> {
    let CreditArguments { account, bucket, usd, reference } = arguments;
    let credit = Credit { account: *account, bucket: (*bucket).into(), amount: *usd, reference: reference.clone() };
    let (wallet, already) = make(&open_store(config).await?, actor(), credit).await?;
    let total = wallet.total().unwrap_or_default();
    let text = if already { "credited already" } else { "credited" };
    let json = CreditedJson { ok: true, account: account.to_string(), already, wallet: wallet.into() };
    Ok(Answer::new(&json, format!("{text}; the account can spend {total} USD")))
}

/// The wallet, and whether the credit had been made before.
pub(super) async fn make(store: &Store, actor: Actor, credit: Credit) -> Result<(Buckets, bool), CliError> {
    let account = credit.account;
    let credited = store
        .write(move |tx| {
            let (actor, credit) = (actor.clone(), credit.clone());
            Box::pin(async move { ledger::credit(tx, &actor, &credit).await })
        })
        .await?;
    match credited {
        Credited::Done { wallet } => Ok((wallet, false)),
        Credited::Already { wallet } => Ok((wallet, true)),
        Credited::NoAccount => Err(no_account(account)),
        refused => Err(CliError::Refused(refusal(account, &refused))),
    }
}

fn refusal(account: AccountId, credited: &Credited) -> String {
    match credited {
        Credited::ReferenceUsed { before } => format!(
            "the reference was used for another credit of this account ({} balance, {} bonus_credit, {} free_credit)",
            before.cash, before.bonus, before.free
        ),
        Credited::AccountClosed => format!("account {account} is closed"),
        Credited::NotPositive => "a credit is above zero".to_owned(),
        _ => "the wallet cannot hold that much".to_owned(),
    }
}
