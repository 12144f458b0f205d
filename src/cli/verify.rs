//! `verify`: the rows held against the invariants, beside daemons that run. Ends with 1 on a breach.

use std::path::Path;

use serde::Serialize;

use super::error::CliError;
use super::operator::open_store;
use super::output::Answer;
use crate::config;
use crate::records::verification::{self, Check, Overdue, Report, UNSEEN};

#[derive(Serialize)]
struct Verified {
    ok: bool,
    at: String,
    checks: Vec<CheckJson>,
    figures: serde_json::Map<String, serde_json::Value>,
    /// Some of the deliveries past their settle time that the sweeper has not passed yet; the figure counts all.
    overdue: Vec<OverdueJson>,
    not_seen: Vec<Unseen>,
}

#[derive(Serialize)]
struct CheckJson {
    invariant: u8,
    name: &'static str,
    looked_at: i64,
    breaches: i64,
    examples: Vec<String>,
}

impl From<Check> for CheckJson {
    fn from(check: Check) -> Self {
        let Check { invariant, name, looked_at, breaches, examples } = check;
        Self { invariant, name, looked_at, breaches, examples }
    }
}

#[derive(Serialize)]
struct OverdueJson {
    id: String,
    settle_at: String,
}

impl From<Overdue> for OverdueJson {
    fn from(Overdue { delivery, settle_at }: Overdue) -> Self {
        Self { id: delivery.to_string(), settle_at: settle_at.rfc3339() }
    }
}

#[derive(Serialize)]
struct Unseen {
    invariant: u8,
    why: &'static str,
}

pub(super) async fn run(config: Option<&Path>) -> Result<Answer, CliError> {
    let keep_attempts = config::load(config)?.config.webhooks.keep_attempts();
    let report =
        open_store(config).await?.read_long(move |tx| Box::pin(verification::verify(tx, keep_attempts))).await?;
    let (clean, text) = (report.is_clean(), text(&report));
    let verified = Verified {
        ok: clean,
        at: report.at.rfc3339(),
        checks: report.checks.into_iter().map(CheckJson::from).collect(),
        figures: report.figures.into_iter().map(|(name, figure)| (name.replace(' ', "_"), figure.into())).collect(),
        overdue: report.overdue.into_iter().map(OverdueJson::from).collect(),
        not_seen: UNSEEN.iter().map(|(invariant, why)| Unseen { invariant: *invariant, why }).collect(),
    };
    Ok(Answer::new(&verified, text).with_code(u8::from(!clean)))
}

fn text(report: &Report) -> String {
    let mut lines = vec![format!("at {}", report.at.rfc3339())];
    lines.extend(report.figures.iter().map(|(name, figure)| format!("  {figure:>12}  {name}")));
    for check in &report.checks {
        let verdict = if check.breaches == 0 { "holds " } else { "BREACH" };
        lines.push(format!(
            "{verdict}  invariant {}: {} ({} breaches in {})",
            check.invariant, check.name, check.breaches, check.looked_at
        ));
        lines.extend(check.examples.iter().map(|example| format!("        {example}")));
    }
    lines.extend(report.overdue.iter().map(|Overdue { delivery, settle_at }| {
        format!("overdue   {delivery}: still sent, its settle time was {}", settle_at.rfc3339())
    }));
    lines.extend(UNSEEN.iter().map(|(invariant, why)| format!("not seen  invariant {invariant}: {why}")));
    lines.join("\n")
}
