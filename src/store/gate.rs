//! The gate before reads that a customer asks for: few at once, few that wait, none for long.
//!
//! The daemon's own reads (the key list, the sweeper, readiness) never stand here, and have connections that nobody who
//! stands here can take: a customer who reads in a loop makes customers wait and nobody else.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::StoreError;

/// How long a read may wait for its turn.
const WAIT: Duration = Duration::from_millis(250);
/// Reads that may wait for each that runs: more could not come to their turn in time.
const WAITERS_PER_SEAT: usize = 64;

#[derive(Debug)]
pub(super) struct Gate {
    places: Arc<Semaphore>,
    seats: Arc<Semaphore>,
}

/// A read that is under way; its turn ends when this is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    _place: OwnedSemaphorePermit,
    _seat: OwnedSemaphorePermit,
}

impl Gate {
    pub(super) fn new(seats: usize) -> Self {
        let places = Arc::new(Semaphore::new(seats.saturating_mul(WAITERS_PER_SEAT + 1)));
        Self { places, seats: Arc::new(Semaphore::new(seats)) }
    }

    /// Waits for a turn, after those that came before.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if too many wait already, or the turn did not come in time.
    pub(super) async fn enter(&self) -> Result<Pass, StoreError> {
        let busy = || StoreError::Unavailable("too many reads at once".into());
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| busy())?;
        match timeout(WAIT, Arc::clone(&self.seats).acquire_owned()).await {
            Ok(Ok(seat)) => Ok(Pass { _place: place, _seat: seat }),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn few_read_few_wait_and_none_for_long() {
        let gate = Gate::new(1);
        let reads = gate.enter().await.expect("free");
        let mut waiting: Vec<_> = (0..WAITERS_PER_SEAT).map(|_| Box::pin(gate.enter())).collect();
        assert!(waiting.iter_mut().all(|waiter| waiter.now_or_never().is_none()));
        assert!(gate.enter().now_or_never().is_some_and(|refused| refused.is_err()), "the next one is shed at once");
        drop(reads);
        let first = waiting.remove(0).await.expect("its turn");
        let since = Instant::now();
        assert!(waiting.remove(0).await.is_err());
        assert!(since.elapsed() <= WAIT);
        drop((waiting, first));
        assert!(gate.enter().now_or_never().is_some_and(|entered| entered.is_ok()));
    }
}
