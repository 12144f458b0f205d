//! Connections to endpoints that are open and wait for their next POST.
//!
//! It keeps a bounded number; what does not fit, or has been idle for too long, is closed by being dropped.

use std::collections::HashMap;

use super::post::Way;
use crate::domain::ids::EndpointId;

#[derive(Default)]
pub(super) struct Lines {
    by_endpoint: HashMap<EndpointId, Vec<Box<dyn Way>>>,
    kept: usize,
    kept_max: usize,
}

impl Lines {
    pub(super) fn new(kept_max: usize) -> Self {
        Self { by_endpoint: HashMap::new(), kept: 0, kept_max }
    }

    /// The one that was used last: the others grow old together.
    pub(super) fn take(&mut self, endpoint: EndpointId) -> Option<Box<dyn Way>> {
        let way = self.by_endpoint.get_mut(&endpoint)?.pop()?;
        self.kept -= 1;
        Some(way)
    }

    pub(super) fn keep(&mut self, endpoint: EndpointId, way: Box<dyn Way>) {
        if self.kept < self.kept_max {
            self.kept += 1;
            self.by_endpoint.entry(endpoint).or_default().push(way);
        }
    }

    /// Closes what has been idle for too long.
    pub(super) fn close_idle(&mut self) {
        self.by_endpoint.retain(|_, ways| {
            ways.retain_mut(|way| way.is_open());
            !ways.is_empty()
        });
        self.kept = self.by_endpoint.values().map(Vec::len).sum();
    }

    pub(super) fn close_all(&mut self) {
        self.by_endpoint.clear();
        self.kept = 0;
    }
}
