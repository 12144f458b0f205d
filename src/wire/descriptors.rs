//! File descriptors that are kept back for sockets that must not fail for want of one.
//!
//! Where none is left (the limit was lowered, the whole machine has none) no connection to the database or to a carrier can
//! be made, and clients whose connection the kernel has taken wait for an answer that never comes. So some are held from the
//! start on, when their numbers are low: closing one makes room for one socket ([`lend`]), and [`refill`] takes it back as
//! soon as the system gives one again. Until then listeners keep no new connection of a customer. The limit is the
//! process's, and so is what is held. Nothing here waits.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

/// So many are held: more than the connections to the database that a node may have to make anew at once.
pub const HELD: usize = 32;
/// The last half is for [`Need::First`] alone.
const FOR_THE_FIRST: usize = HELD / 2;

/// Any socket will do: it needs no file and is connected to nothing.
static RESERVE: Mutex<Vec<UnixDatagram>> = Mutex::new(Vec::new());
/// How many are lent; read at every accept, where the lock would be in the way.
static LENT: AtomicUsize = AtomicUsize::new(0);

/// What a descriptor is needed for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// A connection to the database, or one that is accepted to be closed at once.
    First,
    /// A carrier, a webhook, DNS, an operator.
    Second,
}

/// Holds all of them, or as many as there are; again is the same as once.
pub fn hold() {
    fill(&mut reserve());
}

/// Takes back what is lent, as far as the system allows; whether all are held again. One load where nothing is lent.
pub fn refill() -> bool {
    LENT.load(Relaxed) == 0 || fill(&mut reserve())
}

/// Makes room for one socket; `false` if nothing that is held is for this need.
#[must_use]
pub fn lend(need: Need) -> bool {
    let mut reserve = reserve();
    let kept_back = if need == Need::First { 0 } else { FOR_THE_FIRST };
    if reserve.len() <= kept_back {
        return false;
    }
    // Counted before it is closed: an accept that meets the room gives it back.
    LENT.fetch_add(1, Relaxed);
    drop(reserve.pop());
    true
}

/// Whether an error says that there is no descriptor left, for this process or on this machine.
#[must_use]
pub fn is_want(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Whether there is none left now, for those whose error does not say so.
#[must_use]
pub fn are_out() -> bool {
    UnixDatagram::unbound().is_err_and(|error| is_want(&error))
}

fn fill(reserve: &mut Vec<UnixDatagram>) -> bool {
    while reserve.len() < HELD {
        let Ok(socket) = UnixDatagram::unbound() else { break };
        reserve.push(socket);
    }
    let lent = HELD - reserve.len();
    LENT.store(lent, Relaxed);
    lent == 0
}

fn reserve() -> MutexGuard<'static, Vec<UnixDatagram>> {
    RESERVE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, as the reserve is one.
    #[test]
    fn what_is_lent_is_for_the_first_need_to_the_last_and_comes_back() {
        assert!(!lend(Need::First), "nothing is held yet");
        hold();
        hold();
        assert!(refill() && reserve().len() == HELD);
        let lent = (0..HELD).take_while(|_| lend(Need::Second)).count();
        assert_eq!(lent, HELD - FOR_THE_FIRST);
        let lent = (0..HELD).take_while(|_| lend(Need::First)).count();
        assert_eq!(lent, FOR_THE_FIRST);
        assert!(refill() && reserve().len() == HELD);
        assert!(!are_out());
        assert!(is_want(&io::Error::from_raw_os_error(24)) && is_want(&io::Error::from_raw_os_error(23)));
        assert!(!is_want(&io::Error::from_raw_os_error(111)));
    }
}
