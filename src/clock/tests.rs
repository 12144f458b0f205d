//! The estimate on a machine whose clocks a test sets.

use super::*;

const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// A machine whose uptime is what a test says.
#[derive(Debug, Default)]
struct Scripted {
    uptime_us: AtomicU64,
}

impl Machine for Scripted {
    fn wall(&self) -> Timestamp {
        START
    }

    fn uptime(&self) -> Duration {
        Duration::from_micros(self.uptime_us.load(Ordering::Relaxed))
    }
}

impl Scripted {
    fn pass(&self, time: Duration) {
        self.uptime_us.fetch_add(u64::try_from(time.as_micros()).expect("short"), Ordering::Relaxed);
    }
}

fn clock() -> (Arc<Scripted>, DatabaseClock) {
    let machine = Arc::new(Scripted::default());
    machine.pass(secs(1_000));
    let clock = DatabaseClock::unset(Arc::clone(&machine) as Arc<dyn Machine>);
    assert!(clock.now() < Timestamp::default(), "earlier than anything that a server shows");
    clock.observe_server(START);
    (machine, clock)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn runs_with_the_machine_and_believes_what_is_later() {
    let (machine, clock) = clock();
    machine.pass(Duration::from_millis(250));
    assert_eq!(clock.now(), START.plus(Duration::from_millis(250)));
    let other = clock.clone();
    other.observe(START.plus(Duration::from_millis(300)));
    assert_eq!(clock.now(), START.plus(Duration::from_millis(300)), "clones share what they observe");
    assert_eq!((clock.held(), clock.steps()), (None, 0));
}

#[test]
fn a_step_back_moves_nothing_and_is_made_up_for_slowly() {
    let (machine, clock) = clock();
    let mut last = clock.now();
    let stepped = |passed: u64| START.plus(secs(passed)).minus(secs(120));
    for passed in 1..=300 {
        machine.pass(secs(1));
        clock.observe(stepped(passed).max(clock.now()));
        clock.observe_server(stepped(passed));
        assert!(clock.now() >= last, "it never falls");
        last = clock.now();
    }
    let ahead = clock.now().since(stepped(300));
    assert!(ahead <= secs(118) && ahead > secs(116), "a hundredth slower: {ahead:?}");
    assert_eq!((clock.held(), clock.steps(), clock.doubt()), (None, 1, None));
    // The server's clock is put right: that is no step of the house's time.
    machine.pass(secs(1));
    clock.observe_server(START.plus(secs(301)));
    assert_eq!((clock.held(), clock.now()), (None, START.plus(secs(301))));
}

#[test]
fn a_step_forward_is_believed_and_held() {
    let (machine, clock) = clock();
    clock.observe(START.plus(secs(5)));
    assert_eq!(clock.held(), None);
    clock.observe(START.plus(secs(605)));
    assert_eq!(clock.now(), START.plus(secs(605)));
    assert_eq!((clock.held(), clock.steps(), clock.doubt()), (Some(HOLD), 1, None));
    machine.pass(HOLD - secs(1));
    assert_eq!(clock.held(), Some(secs(1)));
    machine.pass(secs(1));
    assert_eq!(clock.held(), None);
}

#[test]
fn a_suspended_machine_is_no_step() {
    let (machine, clock) = clock();
    machine.pass(secs(7_200));
    clock.observe_server(START.plus(secs(7_200)));
    assert_eq!((clock.held(), clock.steps(), clock.doubt()), (None, 0, None));
}

#[test]
fn more_than_an_hour_ahead_is_not_believed_until_it_heals() {
    let (machine, clock) = clock();
    clock.observe(START.plus(secs(3_601)));
    assert_eq!((clock.doubt(), clock.now()), (Some(Doubt::Ahead), START));
    machine.pass(HOLD * 2);
    assert!(clock.held().is_some(), "for as long as it is in doubt");
    clock.observe_server(START.plus(secs(3_601) + HOLD * 2));
    assert_eq!(clock.doubt(), Some(Doubt::Ahead));
    clock.observe_server(START.plus(HOLD * 2));
    assert_eq!((clock.doubt(), clock.held(), clock.now()), (None, None, START.plus(HOLD * 2)));
}

#[test]
fn an_operator_accepts_what_is_not_believed() {
    let (_, clock) = clock();
    let ahead = START.plus(secs(9_999));
    clock.hear(4, START);
    clock.observe_server(ahead);
    clock.hear(4, ahead);
    assert_eq!(clock.doubt(), Some(Doubt::Ahead), "that was said before");
    clock.hear(5, ahead);
    assert_eq!((clock.doubt(), clock.now()), (None, ahead));
    assert!(clock.held().is_some(), "what it makes overdue gets its time");
    // Back, too.
    clock.hear(6, START);
    assert_eq!(clock.now(), START);
}

#[test]
fn a_start_goes_on_from_the_mark_and_not_from_one_that_is_out_of_reason() {
    let (_, clock) = clock();
    clock.begin(START, START.plus(secs(3_600)));
    assert_eq!((clock.now(), clock.doubt(), clock.held()), (START.plus(secs(3_600)), None, None));
    clock.reach(START.plus(secs(3_700)));
    assert_eq!(clock.now(), START.plus(secs(3_700)));
    clock.reach(START.plus(secs(9_999)));
    assert_eq!(clock.now(), START.plus(secs(3_700)));

    let machine = Arc::new(Scripted::default());
    let late = DatabaseClock::unset(machine);
    late.begin(START, START.plus(secs(3_601)));
    assert_eq!((late.now(), late.doubt()), (START, Some(Doubt::Behind)));
    late.observe_server(START.plus(secs(1)));
    assert_eq!((late.now(), late.doubt()), (START.plus(secs(3_601)), None), "it healed: the mark counts");
}

#[test]
fn a_server_may_be_ahead_as_far_as_is_believed() {
    let machine = Arc::new(Scripted::default());
    let clock = DatabaseClock::unset(Arc::clone(&machine) as Arc<dyn Machine>);
    assert_eq!(clock.bound_us(), None);
    clock.observe(START);
    assert_eq!(clock.bound_us(), Some(START.micros()));
    // What a statement makes of a clock that went far ahead is enough to be in doubt, even if it answers late.
    let read = clock.bound_us().map(|bound_us| Timestamp::from_micros(bound_us + RANGE_US));
    machine.pass(secs(5));
    clock.observe(read.expect("known"));
    assert_eq!(clock.doubt(), Some(Doubt::Ahead));
    assert_eq!(clock.bound_us().map(|bound_us| bound_us + RANGE_US), Some(clock.now().micros()), "the estimate counts");
}
