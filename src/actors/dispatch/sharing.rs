//! Who may take from a link that several queues share: its window, its pace, and whose turn it is.
//!
//! While nobody waits, whoever comes takes. While somebody does, no queue gets more than a few attempts ahead of another
//! that waits, so that each has its share of the rate, which is what it promises; what one does not use the others take.
//! Whoever waits is woken by what it waits for: a place in the window that becomes free, or the end of another's turn. The
//! pace it waits for by itself, with the instant that it was told.

use std::fmt;

use tokio::time::Instant;

use super::links::Blocked;
use crate::carrier::pace::Pace;

/// Has a queue look again; `false` if nobody lives there. It must not call the link.
pub(super) type Wake = Box<dyn Fn() -> bool + Send + Sync>;

/// A queue's place at a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seat(u64);

struct Seated {
    seat: Seat,
    wake: Wake,
    /// It has something to send and was refused.
    waits: bool,
    /// It was woken and has not asked since.
    woken: bool,
    /// What it took while others waited, counted from nowhere in particular.
    served: u64,
}

/// The queues that share a link.
pub(super) struct Sharing {
    seats: Vec<Seated>,
    seated: u64,
    /// How far ahead of one that waits a queue may get.
    ahead_max: u64,
    /// Before this the pace has nothing to give.
    paced_until: Option<Instant>,
}

impl fmt::Debug for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sharing({} queues)", self.seats.len())
    }
}

impl Sharing {
    pub(super) fn new(ahead_max: u32) -> Self {
        Self { seats: Vec::new(), seated: 0, ahead_max: u64::from(ahead_max.max(1)), paced_until: None }
    }

    pub(super) fn join(&mut self, wake: Wake) -> Seat {
        self.seated += 1;
        let seat = Seat(self.seated);
        self.seats.push(Seated { seat, wake, waits: false, woken: false, served: 0 });
        seat
    }

    /// The queue is no more. Returns whether it was the last one.
    pub(super) fn leave(&mut self, seat: Seat) -> bool {
        let before = self.seats.len();
        self.seats.retain(|seated| seated.seat != seat);
        self.wake(None);
        before > 0 && self.seats.is_empty()
    }

    /// How many queues wait.
    pub(super) fn waiting(&self) -> usize {
        self.seats.iter().filter(|seated| seated.waits).count()
    }

    /// Takes what one attempt needs, but for the place in the window, of which the caller says whether one is free.
    ///
    /// # Errors
    /// What the queue waits for, from now on and until it takes or is content.
    pub(super) fn take(&mut self, seat: Seat, place_is_free: bool, pace: Option<&Pace>) -> Result<(), Blocked> {
        let Some(at) = self.seats.iter().position(|seated| seated.seat == seat) else {
            return Err(Blocked::Unknown);
        };
        self.level(at);
        let taken = if place_is_free { self.by_pace_and_turn(at, pace) } else { Err(Blocked::Unknown) };
        let own = &mut self.seats[at];
        own.woken = false;
        match taken {
            Ok(()) => own.served += 1,
            Err(_) => own.waits = true,
        }
        taken
    }

    /// The queue needs nothing of the link for now.
    pub(super) fn content(&mut self, seat: Seat) {
        let own = self.seats.iter_mut().find(|seated| seated.seat == seat);
        if own.is_some_and(|own| std::mem::take(&mut own.waits)) {
            self.wake(Some(seat));
        }
    }

    /// Wakes every queue that waits, but `but`.
    pub(super) fn wake(&mut self, but: Option<Seat>) {
        for seated in self.seats.iter_mut().filter(|seated| seated.waits && Some(seated.seat) != but) {
            seated.call();
        }
    }

    /// Wakes every queue, whether it waits or not.
    pub(super) fn wake_all(&self, wake: impl Fn(&Wake)) {
        self.seats.iter().for_each(|seated| wake(&seated.wake));
    }

    fn by_pace_and_turn(&mut self, at: usize, pace: Option<&Pace>) -> Result<(), Blocked> {
        if let Some(until) = self.paced_until {
            if until > Instant::now() {
                return Err(Blocked::Until(until));
            }
            self.paced_until = None;
        }
        if self.is_anothers_turn(at) {
            return Err(Blocked::Unknown);
        }
        pace.map_or(Ok(()), Pace::take).map_err(|until| {
            self.paced_until = Some(until);
            Blocked::Until(until)
        })
    }

    /// Whether another queue waits that is too far behind; if so, it knows. One that nobody lives in waits for nothing.
    fn is_anothers_turn(&mut self, at: usize) -> bool {
        let (served, ahead_max) = (self.seats[at].served, self.ahead_max);
        let mut its_turn = false;
        for (number, seated) in self.seats.iter_mut().enumerate() {
            if number != at && seated.waits && seated.served + ahead_max <= served {
                its_turn |= seated.call();
            }
        }
        its_turn
    }

    /// A queue that comes when others wait starts level with them: it brings neither a debt nor a claim from before.
    fn level(&mut self, at: usize) {
        if self.seats[at].waits {
            return;
        }
        let waiting = self.seats.iter().enumerate().filter(|(number, seated)| *number != at && seated.waits);
        let (mut least, mut most) = (u64::MAX, 0);
        for (_, seated) in waiting {
            (least, most) = (least.min(seated.served), most.max(seated.served));
        }
        let served = &mut self.seats[at].served;
        *served = if least == u64::MAX { 0 } else { (*served).clamp(least, most + self.ahead_max) };
    }
}

impl Seated {
    /// Returns whether it will ask. Once is enough until it has.
    fn call(&mut self) -> bool {
        if !self.woken {
            self.woken = (self.wake)();
            self.waits = self.woken;
        }
        self.woken
    }
}

#[cfg(test)]
mod tests;
