//! Ends that are durable: who is told, and what is counted.

use std::collections::HashMap;

use metrics::{counter, histogram};

use super::settler::Reply;
use super::watching::Life;
use crate::domain::carrier::Carrier;
use crate::domain::delivery::Status;
use crate::domain::money::MicroUsd;
use crate::records::settlement::Settled;
use crate::telemetry::names;

pub(super) struct Waiting {
    pub(super) status: Status,
    pub(super) life: Option<Life>,
    pub(super) reply: Reply,
}

/// Ends that are durable and whose waiters are to be told.
pub(super) struct Committed {
    pub(super) ended: Vec<(Waiting, Settled)>,
    /// Whoever waits for a move.
    pub(super) moved: Vec<Reply>,
}

impl Committed {
    pub(super) fn answer(self) {
        self.meter();
        let moved = self.moved.into_iter().map(|reply| (reply, Settled::Unchanged));
        for (reply, settled) in self.ended.into_iter().map(|(waiting, settled)| (waiting.reply, settled)).chain(moved) {
            match reply {
                Reply::Nobody => {}
                Reply::Caller(reply) => drop(reply.send(settled)),
                Reply::Link(reply) => drop(reply.send(())),
            }
        }
    }

    fn meter(&self) {
        let mut by_kind: HashMap<(Option<&Carrier>, Status), Vec<&Waiting>> = HashMap::new();
        let (mut late, mut refunds, mut refunded) = (0, 0, MicroUsd::ZERO);
        for (waiting, settled) in &self.ended {
            if *settled == Settled::Unchanged {
                late += u64::from(matches!(waiting.reply, Reply::Link(_)));
                continue;
            }
            let carrier = waiting.life.as_ref().map(|life| &life.carrier);
            by_kind.entry((carrier, waiting.status)).or_default().push(waiting);
            if waiting.status == Status::Failed {
                refunds += 1;
                let price = waiting.life.as_ref().map_or(MicroUsd::ZERO, |life| life.price);
                refunded = refunded.checked_add(price).unwrap_or(refunded);
            }
        }
        if late > 0 {
            counter!(names::RECEIPTS, "carrier" => "unknown", "state" => "late").increment(late);
        }
        if refunds > 0 {
            counter!(names::REFUNDS).increment(refunds);
            counter!(names::REFUNDED_MICRO_USD).increment(u64::try_from(refunded.micros()).unwrap_or(0));
        }
        for ((carrier, status), ended) in by_kind {
            let carrier = carrier.map_or("unknown", Carrier::as_str).to_owned();
            let labels = [("carrier", carrier), ("state", status.as_str().to_owned())];
            counter!(names::SETTLED, &labels).increment(ended.len() as u64);
            let seconds = histogram!(names::FINAL_SECONDS, &labels);
            for life in ended.iter().filter_map(|waiting| waiting.life.as_ref()) {
                seconds.record(life.accepted_at.elapsed());
            }
        }
    }
}
