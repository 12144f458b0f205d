//! What sharing promises: nobody ahead of the others, and whoever waits is woken, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use proptest::prelude::*;

use super::*;

/// A queue with work, over one link: what it would do, without an actor.
struct Worker {
    seat: Seat,
    woken: Arc<AtomicBool>,
    jobs: usize,
    taken: usize,
    waits: bool,
}

struct Yard {
    sharing: Sharing,
    workers: Vec<Worker>,
    running: usize,
    window: usize,
    wakes: Arc<AtomicUsize>,
}

impl Yard {
    fn new(workers: usize, window: usize, ahead_max: u32) -> Self {
        let (mut sharing, wakes) = (Sharing::new(ahead_max), Arc::new(AtomicUsize::new(0)));
        let join = |_| {
            let woken = Arc::new(AtomicBool::new(false));
            let (told, counted) = (Arc::clone(&woken), Arc::clone(&wakes));
            let seat = sharing.join(Box::new(move || {
                told.store(true, Relaxed);
                counted.fetch_add(1, Relaxed);
                true
            }));
            Worker { seat, woken, jobs: 0, taken: 0, waits: false }
        };
        let workers = (0..workers).map(join).collect();
        Self { sharing, workers, running: 0, window, wakes }
    }

    /// One queue brings its jobs as far as they go.
    fn advance(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        worker.woken.store(false, Relaxed);
        worker.waits = false;
        while worker.jobs > 0 {
            if self.sharing.take(worker.seat, self.running < self.window, None).is_err() {
                worker.waits = true;
                return;
            }
            self.running += 1;
            assert!(self.running <= self.window);
            (worker.jobs, worker.taken) = (worker.jobs - 1, worker.taken + 1);
        }
        self.sharing.content(worker.seat);
    }

    /// Until nobody is woken any more. A ping-pong would never end.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let Some(at) = self.workers.iter().position(|worker| worker.woken.load(Relaxed)) else { return };
            self.advance(at);
        }
        panic!("they wake each other without end");
    }
}

#[test]
fn those_who_wait_take_turns_and_a_lone_one_takes_all() {
    let mut yard = Yard::new(2, 1, 2);
    (yard.workers[0].jobs, yard.workers[1].jobs) = (1_000, 100);
    yard.advance(0);
    yard.advance(1);
    for done in 1..=210 {
        yard.running -= 1;
        yard.sharing.wake(None);
        yard.settle();
        let ahead = yard.workers[0].taken.abs_diff(yard.workers[1].taken);
        assert!(yard.workers[1].jobs == 0 || ahead <= 4, "after {done}: {ahead}");
    }
    assert_eq!(yard.workers[1].jobs, 0);
    assert_eq!(yard.workers[0].taken, 111, "no place stays free");
}

#[test]
fn a_queue_that_nobody_lives_in_has_no_turn() {
    let mut sharing = Sharing::new(1);
    let alive = Arc::new(AtomicBool::new(true));
    let lives = Arc::clone(&alive);
    let (dead, other) = (sharing.join(Box::new(move || lives.load(Relaxed))), sharing.join(Box::new(|| true)));
    assert_eq!(sharing.take(dead, false, None), Err(Blocked::Unknown));
    assert_eq!(sharing.take(other, true, None), Ok(()));
    assert_eq!(sharing.take(other, true, None), Err(Blocked::Unknown), "it is the other's turn");
    sharing.take(dead, false, None).expect_err("it asked and waits on");
    alive.store(false, Relaxed);
    assert_eq!(sharing.take(other, true, None), Ok(()));
    assert!(!sharing.leave(dead) && sharing.leave(other));
}

proptest! {
    /// Whatever comes and ends in whatever order: while there is a place and a job for it, somebody was woken, and
    /// nobody wakes anybody without end.
    #[test]
    fn no_place_stays_free_while_somebody_waits(
        steps in proptest::collection::vec((0..3_usize, 0..3_u8, 1..5_usize), 1..300),
        window in 1..5_usize,
        ahead_max in 1..4_u32,
    ) {
        let mut yard = Yard::new(3, window, ahead_max);
        for (at, action, jobs) in steps {
            match action {
                0 => {
                    yard.workers[at].jobs += jobs;
                    yard.advance(at);
                }
                1 if yard.running > 0 => {
                    yard.running -= 1;
                    yard.sharing.wake(None);
                }
                // Its jobs have left by another link, or are too late.
                2 => {
                    yard.workers[at].jobs = 0;
                    yard.advance(at);
                }
                _ => {}
            }
            yard.settle();
            let waiting: usize = yard.workers.iter().map(|worker| worker.jobs).sum();
            prop_assert!(yard.running == window || waiting == 0, "{} of {window} run, {waiting} wait", yard.running);
        }
        prop_assert!(yard.wakes.load(Relaxed) < 100_000);
    }
}
