//! What an accepted batch leaves: deliveries, wallets, and what its losers had claimed, given back.

use std::collections::{BTreeMap, HashMap};

use super::{Order, Verdict, Wallets, phones_and_owners};
use crate::domain::ids::AccountId;
use crate::domain::money::{Buckets, MicroUsd};
use crate::domain::sealing::PhoneKey;
use crate::domain::time::Timestamp;
use crate::records::idempotency;
use crate::store::{Column, Statement, Type, Write};

static WRITE_WALLETS: Statement = Statement::new(
    "wallets.charge",
    &[Type::Id, Type::I64, Type::I64, Type::I64],
    &[],
    "WITH r(account, free_credit, bonus_credit, balance) AS ({rows}) \
     UPDATE wallets SET free_credit = r.free_credit, bonus_credit = r.bonus_credit, balance = r.balance \
     FROM r WHERE wallets.account = r.account",
);

static WRITE_DELIVERIES: Statement = Statement::new(
    "deliveries.insert",
    &[
        Type::Id,
        Type::Id,
        Type::I64,
        Type::Bytes,
        Type::Bytes,
        Type::Text,
        Type::I64,
        Type::Text,
        Type::I64,
        Type::I64,
        Type::I64,
        Type::I64,
        Type::I64,
    ],
    &[],
    "WITH r(id, account, phone_key, phone_sealed, metadata_sealed, carrier, carrier_source, channel, from_free, from_bonus, \
     from_balance, created_us, settle_us) AS ({rows}) INSERT INTO deliveries (id, account, phone_key, phone_sealed, \
     metadata_sealed, carrier, carrier_source, channel, from_free, from_bonus, from_balance, created_us, settle_us, status) \
     SELECT id, account, phone_key, phone_sealed, metadata_sealed, carrier, carrier_source, channel, from_free, \
     from_bonus, from_balance, created_us, settle_us, 0 FROM r",
);

static GIVE_WINDOWS_BACK: Statement = Statement::new(
    "windows.give_back",
    &[Type::I64, Type::Id],
    &[],
    "WITH r(phone_key, delivery) AS ({rows}) UPDATE cooldown_windows SET until_us = 0 \
     FROM r WHERE cooldown_windows.phone_key = r.phone_key AND cooldown_windows.delivery = r.delivery",
);

/// The charges, and what takes back what the losers had claimed.
pub(super) fn writes<'a>(
    orders: &'a [Order],
    verdicts: &[Verdict],
    charged: &[(&'a Order, Timestamp, Buckets)],
    claimed: &HashMap<PhoneKey, Timestamp>,
    wallets: &Wallets,
) -> Vec<Write<'a>> {
    let lost: Vec<&Order> = orders
        .iter()
        .zip(verdicts)
        .filter(|(_, verdict)| !matches!(verdict, Verdict::Charged { .. } | Verdict::KeyKnown))
        .map(|(order, _)| order)
        .collect();
    let unpaid: Vec<&Order> = lost.iter().copied().filter(|order| claimed.contains_key(&order.phone_key)).collect();
    let answers = orders.iter().zip(verdicts).filter_map(|(order, verdict)| match verdict {
        Verdict::Charged { balance, .. } => order.idempotency.as_ref().map(|claim| (order, claim, *balance)),
        _ => None,
    });
    let answers: Vec<_> = answers.collect();
    let windows = Write {
        statement: &GIVE_WINDOWS_BACK,
        columns: phones_and_owners(&unpaid).into(),
        scalars: Vec::new(),
        rows: Some(unpaid.len() as u64),
    };
    vec![
        idempotency::give_back(&lost),
        idempotency::record_balances(&answers),
        windows,
        wallet_writes(charged, wallets),
        delivery_writes(charged),
    ]
}

/// Every locked wallet that paid.
fn wallet_writes<'a>(charged: &[(&'a Order, Timestamp, Buckets)], wallets: &Wallets) -> Write<'a> {
    let touched: BTreeMap<&'a AccountId, Buckets> = charged
        .iter()
        .filter_map(|(order, ..)| wallets.by_account.get(&order.account).map(|wallet| (&order.account, *wallet)))
        .collect();
    let amounts = |part: fn(&Buckets) -> MicroUsd| Column::I64(touched.values().map(|w| part(w).micros()).collect());
    let columns = vec![
        Column::ids(touched.keys().map(|account| account.as_bytes())),
        amounts(|wallet| wallet.free),
        amounts(|wallet| wallet.bonus),
        amounts(|wallet| wallet.cash),
    ];
    Write { statement: &WRITE_WALLETS, columns, scalars: Vec::new(), rows: Some(touched.len() as u64) }
}

/// Every charge is a delivery row.
fn delivery_writes<'a>(charged: &[(&'a Order, Timestamp, Buckets)]) -> Write<'a> {
    let amounts =
        |part: fn(&Buckets) -> MicroUsd| Column::I64(charged.iter().map(|(_, _, s)| part(s).micros()).collect());
    let columns = vec![
        Column::ids(charged.iter().map(|(order, ..)| order.delivery.as_bytes())),
        Column::ids(charged.iter().map(|(order, ..)| order.account.as_bytes())),
        Column::I64(charged.iter().map(|(order, ..)| order.phone_key.number()).collect()),
        Column::Bytes(charged.iter().map(|(order, ..)| order.phone_sealed.as_slice()).collect()),
        Column::OptBytes(charged.iter().map(|(order, ..)| order.metadata_sealed.as_deref()).collect()),
        Column::Text(charged.iter().map(|(order, ..)| order.carrier.as_str()).collect()),
        Column::OptI64(charged.iter().map(|(order, ..)| order.carrier_source.number()).collect()),
        Column::Text(charged.iter().map(|(order, ..)| order.channel.as_str()).collect()),
        amounts(|split| split.free),
        amounts(|split| split.bonus),
        amounts(|split| split.cash),
        Column::I64(charged.iter().map(|(_, created_at, _)| created_at.micros()).collect()),
        Column::I64(charged.iter().map(|(order, at, _)| at.plus(order.settle_after).micros()).collect()),
    ];
    Write { statement: &WRITE_DELIVERIES, columns, scalars: Vec::new(), rows: Some(charged.len() as u64) }
}
