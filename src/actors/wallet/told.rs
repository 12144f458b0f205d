//! What a batch led to, on its way to the callers.

use std::sync::Arc;

use metrics::counter;

use super::Charge;
use super::handover::{Refund, Waiter};
use super::resolver::{Decided, hand_over};
use crate::records::acceptance::Verdict;
use crate::telemetry::names;

/// What is known of a batch and not told yet. It is told by being dropped, too: a committer that panics over one half of a
/// batch takes nobody's charge of the other half with it.
pub(super) struct Told {
    pub(super) decided: Vec<(Vec<Waiter>, Decided)>,
    pub(super) refused: Vec<(Waiter, Charge)>,
    refund: Refund,
}

impl Told {
    pub(super) fn new(refund: &Refund) -> Self {
        Self { decided: Vec::with_capacity(1), refused: Vec::new(), refund: Arc::clone(refund) }
    }

    pub(super) fn tell(&mut self) {
        for (waiters, decided) in self.decided.drain(..) {
            count_verdicts(&decided.accepted.verdicts);
            hand_over(waiters, decided, &self.refund);
        }
        for (waiter, charge) in self.refused.drain(..) {
            waiter.tell(charge, &self.refund);
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.tell();
    }
}

fn count_verdicts(verdicts: &[Verdict]) {
    const LABELS: [&str; 7] =
        ["charged", "cooling_down", "insufficient", "key_known", "stale_key", "clock_skew", "wallet_locked"];
    let mut counts = [0_u64; LABELS.len()];
    for verdict in verdicts {
        let label = match verdict {
            Verdict::Charged { .. } => 0,
            Verdict::CoolingDown { .. } => 1,
            Verdict::Insufficient { .. } => 2,
            Verdict::KeyKnown => 3,
            Verdict::StaleKey => 4,
            Verdict::ClockSkew => 5,
            Verdict::WalletLocked => 6,
        };
        counts[label] += 1;
    }
    for (label, count) in LABELS.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
        counter!(names::VERDICTS, "verdict" => label).increment(count);
    }
}
