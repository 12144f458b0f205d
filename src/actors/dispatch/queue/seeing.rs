//! How a queue sees its links, and what it tells of that to new orders and to operators.

use std::time::Duration;

use tokio::time::Instant;

use super::{Message, State};
use crate::carrier::upstream::Health;

/// How many jobs may wait follows from how fast the links answer, so often while anything happens.
const MEASURE_EVERY: Duration = Duration::from_millis(50);

impl State {
    pub(super) fn health(&mut self, link: usize, health: Health, now: Instant) {
        self.links.health(link, health);
        if !self.retired {
            self.links.get(link).show();
        }
        self.show_links(now);
    }

    pub(super) fn look_at_pauses(&mut self, now: Instant) {
        if self.links.look_at_pauses() {
            self.show_links(now);
        }
    }

    /// Tells operators and new orders whether links take work.
    pub(super) fn show_links(&mut self, now: Instant) {
        let open = self.links.sign(&self.parts.lane, now);
        // Whoever is there instead tells the same of itself.
        if !self.retired {
            self.meters.open(open);
        }
        self.queue.leave_at(self.parts.lane.speed());
        self.measured_at = now;
    }

    /// Promises what the links can keep as they answer now.
    pub(super) fn measure(&mut self, now: Instant) {
        if now.saturating_duration_since(self.measured_at) >= MEASURE_EVERY {
            self.show_links(now);
        }
    }

    pub(super) fn watch_health(&mut self) {
        for (link, member) in self.parts.links.iter().enumerate() {
            let (mut seen, queue) = (member.link.upstream().health(), self.myself.clone());
            self.watchers.spawn(async move {
                // First what it is by now: whoever subscribes is told of changes after that alone.
                loop {
                    let health = *seen.borrow_and_update();
                    if queue.cast(Message::Health { link, health }).is_err() || seen.changed().await.is_err() {
                        break;
                    }
                }
            });
        }
    }
}
