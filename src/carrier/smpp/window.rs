//! The messages of one session that await their answers, and those that waited too long.
//!
//! A place is free again when the answer comes or its time is over. What has timed out may have been sent; its answer, should
//! it still come, gives the attempt its name.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::line::Job;
use crate::carrier::upstream::{Attempt, Naming};
use crate::domain::carrier::Channel;
use crate::domain::ids::DeliveryId;
use crate::domain::phone::Phone;
use crate::domain::reference::{Reference, UpstreamId};

/// So many that timed out are remembered.
const LATE_MAX: usize = 1_024;

/// What an attempt is called in the house.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    pub(super) delivery: DeliveryId,
    pub(super) channel: Channel,
    pub(super) phone: Phone,
    /// Until then somebody cares.
    pub(super) settle_by: Instant,
}

impl Identity {
    pub(super) fn of(attempt: &Attempt) -> Self {
        let Attempt { delivery, channel, phone, settle_by, .. } = *attempt;
        Self { delivery, channel, phone, settle_by }
    }

    pub(super) fn naming(self, upstream: &UpstreamId, references: Vec<Reference>) -> Naming {
        let Self { delivery, channel, phone, .. } = self;
        Naming { upstream: upstream.clone(), delivery, channel, phone, references, poller: None }
    }
}

/// A message whose answer is awaited.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) job: Job,
    /// When its first octet was taken; none: it certainly has not reached the SMSC.
    pub(super) written: Option<Instant>,
}

/// Whose answer came.
#[derive(Debug)]
pub(super) enum Answered {
    /// And when it was written.
    InTime(Job, Instant),
    Late(Identity),
    Unknown,
}

#[derive(Debug)]
pub(super) struct Window {
    size: usize,
    timeout: Duration,
    awaited: HashMap<u32, Awaited>,
    /// In the order in which they were written, and so of their time-outs.
    written: VecDeque<(Instant, u32)>,
    late: HashMap<u32, Identity>,
    late_order: VecDeque<u32>,
}

impl Window {
    pub(super) fn new(size: usize, timeout: Duration) -> Self {
        Self {
            size,
            timeout,
            awaited: HashMap::new(),
            written: VecDeque::new(),
            late: HashMap::new(),
            late_order: VecDeque::new(),
        }
    }

    pub(super) fn has_place(&self) -> bool {
        self.awaited.len() < self.size
    }

    pub(super) fn len(&self) -> usize {
        self.awaited.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.awaited.is_empty()
    }

    /// Whether an answer to this number would be somebody's.
    pub(super) fn knows(&self, sequence: u32) -> bool {
        self.awaited.contains_key(&sequence) || self.late.contains_key(&sequence)
    }

    pub(super) fn enter(&mut self, sequence: u32, job: Job) {
        self.awaited.insert(sequence, Awaited { job, written: None });
    }

    pub(super) fn begun(&mut self, sequence: u32, now: Instant) {
        if let Some(awaited) = self.awaited.get_mut(&sequence) {
            awaited.written = Some(now);
            self.written.push_back((now, sequence));
        }
    }

    /// Takes out a message that was never begun.
    pub(super) fn withdraw(&mut self, sequence: u32) -> Option<Job> {
        self.awaited.remove(&sequence).map(|awaited| awaited.job)
    }

    /// An answer to what no octet was written of is nobody's, whatever it says.
    pub(super) fn answered(&mut self, sequence: u32) -> Answered {
        if let Entry::Occupied(entry) = self.awaited.entry(sequence) {
            let Some(written) = entry.get().written else { return Answered::Unknown };
            return Answered::InTime(entry.remove().job, written);
        }
        self.late.remove(&sequence).map_or(Answered::Unknown, Answered::Late)
    }

    /// When the oldest message times out.
    pub(super) fn next_timeout(&mut self) -> Option<Instant> {
        let Self { written, awaited, timeout, .. } = self;
        let is_gone = |(at, sequence): &(Instant, u32)| awaited.get(sequence).is_none_or(|a| a.written != Some(*at));
        while written.pop_front_if(|entry| is_gone(entry)).is_some() {}
        written.front().map(|(at, _)| *at + *timeout)
    }

    /// The messages whose answers are overdue; their late answers will be known.
    pub(super) fn time_out(&mut self, now: Instant) -> Vec<Job> {
        let mut overdue = Vec::new();
        while let Some(at) = self.next_timeout()
            && at <= now
            && let Some((_, sequence)) = self.written.pop_front()
            && let Some(awaited) = self.awaited.remove(&sequence)
        {
            self.remember(sequence, Identity::of(&awaited.job.attempt));
            overdue.push(awaited.job);
        }
        overdue
    }

    fn remember(&mut self, sequence: u32, identity: Identity) {
        if self.late_order.len() >= LATE_MAX
            && let Some(oldest) = self.late_order.pop_front()
        {
            self.late.remove(&oldest);
        }
        self.late.insert(sequence, identity);
        self.late_order.push_back(sequence);
    }

    /// Everybody who still waits, when the session is over.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Awaited> {
        self.written.clear();
        self.awaited.drain().map(|(_, awaited)| awaited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::smpp::line::Line;
    use crate::carrier::smpp::samples::attempt;

    fn job(line: &Line, number: u8) -> Job {
        line.open();
        line.join(attempt(number, 60)).expect("room");
        line.take().expect("stands")
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_time_late_or_to_nobody() {
        let (line, mut window) = (Line::new(5), Window::new(2, Duration::from_secs(10)));
        window.enter(1, job(&line, 1));
        window.enter(2, job(&line, 2));
        assert!(!window.has_place() && window.knows(2));
        window.begun(1, Instant::now());
        tokio::time::advance(Duration::from_secs(4)).await;
        window.begun(2, Instant::now());
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(window.time_out(Instant::now()).len(), 1, "the first");
        assert!(window.has_place());
        assert_eq!(window.next_timeout(), Some(Instant::now() + Duration::from_secs(4)));
        let Answered::Late(identity) = window.answered(1) else { panic!("known") };
        assert_eq!(identity.delivery, attempt(1, 1).delivery);
        assert!(matches!(window.answered(1), Answered::Unknown), "once");
        assert!(matches!(window.answered(2), Answered::InTime(..)));
        assert!(window.is_empty() && window.next_timeout().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_what_was_not_written_is_nobodys() {
        let (line, mut window) = (Line::new(5), Window::new(2, Duration::from_secs(10)));
        window.enter(1, job(&line, 1));
        assert!(matches!(window.answered(1), Answered::Unknown));
        window.begun(1, Instant::now());
        assert!(matches!(window.answered(1), Answered::InTime(..)), "it still waits");
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_late_ones_are_remembered_and_no_more() {
        let (line, mut window) = (Line::new(5), Window::new(1, Duration::ZERO));
        for sequence in 0..1_100 {
            window.enter(sequence, job(&line, 1));
            window.begun(sequence, Instant::now());
            window.time_out(Instant::now());
        }
        assert!(!window.knows(75) && window.knows(76) && window.knows(1_099));
    }
}
