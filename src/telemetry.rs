//! Floor 1: what operators see: metrics, logs, and the one line that a panic leaves.
//!
//! Metric names live in [`names`]. Nothing here decides anything; a process installs it once, at its start. Secrets,
//! codes, whole phones, headers and bodies are never logged; the types that hold them have no printing form.

mod line_queue;
pub mod logs;
pub mod names;
mod panics;

use std::sync::{Mutex, PoisonError};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use names::Kind;
pub use panics::install_panic_hook;

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
        count_kept();
        *installed = Some(handle.clone());
        Ok(Self(handle))
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn render(&self) -> String {
        count_kept();
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

/// What is counted where no metric may be touched, because it could fail or be locked there: in the panic hook, and where a
/// line is logged.
fn count_kept() {
    metrics::counter!(names::PANICS).absolute(panics::count());
    metrics::counter!(names::LOG_LINES_LOST).absolute(logs::lost());
}

/// A count as a gauge or histogram takes it; what no `u32` holds is shown as the largest.
#[must_use]
pub fn count(count: impl TryInto<u32>) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
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
        assert!(text.contains("\nnexo_log_lines_lost_total 0\n"), "{text}");
    }
}
