//! Floor 1: what operators see: metrics, logs, and the one line that a panic leaves.
//!
//! Metric names live in [`names`]. Nothing here decides anything; a process installs it once, at its start. Secrets,
//! codes, whole phones, headers and bodies are never logged; the types that hold them have no printing form.

pub mod logs;
pub mod names;

use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use names::Kind;

/// The process's metrics, to be rendered. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the recorder and describes every metric; later calls in the same process return the same one.
    ///
    /// # Errors
    /// [`BuildError`] if another recorder was installed first.
    pub fn install() -> Result<Self, BuildError> {
        static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = &*installed {
            return Ok(Self(handle.clone()));
        }
        let mut builder = PrometheusBuilder::new();
        for metric in names::ALL.iter().filter(|metric| metric.kind == Kind::Histogram) {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)?;
        }
        let handle = builder.install_recorder()?;
        describe();
        *installed = Some(handle.clone());
        Ok(Self(handle))
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds what histograms gathered. To be called every few seconds: between two scrapes samples pile up in memory.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn describe() {
    for metric in names::ALL {
        let help = metric.help.trim();
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, help),
        }
    }
    metrics::gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// A count as a gauge or histogram takes it; what no `u32` holds is shown as the largest.
#[must_use]
pub fn count(count: impl TryInto<u32>) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
}

/// Replaces the panic hook by one that counts, and logs where it happened without the payload: a message may hold what a
/// row or a request held. Only the text of a plain assertion (a literal of our own) is shown.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        metrics::counter!(names::PANICS).increment(1);
        tracing::error!(at = %location(panic), thread = std::thread::current().name(), message = literal(panic), "panicked");
    }));
}

fn location(panic: &PanicHookInfo<'_>) -> String {
    panic.location().map_or_else(|| "unknown".to_owned(), |at| format!("{}:{}", at.file(), at.line()))
}

/// A payload that is a `&'static str` is a literal of the source, without values; anything else was formatted.
fn literal(panic: &PanicHookInfo<'_>) -> &'static str {
    panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("[withheld: it may hold values]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_that_is_counted_is_rendered_with_its_help() {
        Metrics::install().expect("first in this process");
        metrics::counter!(names::ORDERS_ACCEPTED, "carrier" => "viettel").increment(1);
        metrics::histogram!(names::COMMIT_ROWS, "kind" => "accept").record(3.0);
        let again = Metrics::install().expect("the same one");
        again.upkeep();
        let text = again.render();
        assert!(text.contains("# HELP nexo_orders_accepted_total Orders answered 202, by carrier."), "{text}");
        assert!(text.contains(r#"nexo_orders_accepted_total{carrier="viettel"} "#), "{text}");
        assert!(text.contains(r#"nexo_commit_rows_bucket{kind="accept",le="4"} "#), "{text}");
        assert!(text.contains("nexo_build_info{version="), "{text}");
    }

    #[test]
    fn a_panic_hook_shows_literals_only() {
        let seen = std::sync::Arc::new(Mutex::new(Vec::new()));
        let previous = std::panic::take_hook();
        let sink = std::sync::Arc::clone(&seen);
        std::panic::set_hook(Box::new(move |panic| {
            sink.lock().unwrap_or_else(PoisonError::into_inner).push((location(panic), literal(panic)));
        }));
        let code = "123456";
        let _ = std::thread::Builder::new().spawn(|| panic!("a literal")).expect("spawns").join();
        let _ = std::thread::Builder::new().spawn(move || panic!("code {code}")).expect("spawns").join();
        std::panic::set_hook(previous);
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(seen.iter().any(|(at, text)| at.starts_with("src/telemetry.rs:") && *text == "a literal"), "{seen:?}");
        assert!(seen.iter().all(|(_, text)| !text.contains(code)), "{seen:?}");
    }
}
