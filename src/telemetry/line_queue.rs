//! The queue between those that log and the log itself: bounded in bytes, and written by one thread.
//!
//! Whoever logs copies a line in and goes on, whether the reader of the log keeps up, stands still or has gone. A line that
//! does not fit, or cannot be written, is dropped and counted. It ends with the process; [`LineQueue::flush`] waits for it.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that may wait for the writer, with those that it is writing.
pub(super) const BYTES_MAX: usize = 8 << 20;
/// Whole lines that are written at once: a pipe takes as much as this in one piece, so that lines of two processes that
/// share it do not mix (`PIPE_BUF`).
const PIECE_MAX: usize = 4_096;
/// A buffer that a burst has made larger than this is given back.
const KEPT_MAX: usize = 64 << 10;
/// Before a descriptor that is full and does not block is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(5);

/// Lines on their way to the log.
#[derive(Debug)]
pub(super) struct LineQueue {
    state: Mutex<State>,
    /// The writer waits here for lines.
    filled: Condvar,
    /// Those that flush wait here for the writer.
    settled: Condvar,
    lost: AtomicU64,
}

#[derive(Debug)]
struct State {
    waiting: Lines,
    /// Bytes ever taken in, and of those the ones that are written or given up. Their difference is what is held.
    taken: u64,
    settled: u64,
    /// The writer did not get a line out in time and has not written anything since: waiting for it is in vain.
    stalled: bool,
}

/// Lines in one piece of memory.
#[derive(Debug)]
struct Lines {
    text: Vec<u8>,
    /// Where each line ends in `text`.
    ends: Vec<usize>,
}

impl Lines {
    const fn none() -> Self {
        Self { text: Vec::new(), ends: Vec::new() }
    }

    /// Empties it; what a burst has made large is freed.
    fn clear(&mut self) {
        if self.text.capacity() > KEPT_MAX {
            *self = Self::none();
        } else {
            self.text.clear();
            self.ends.clear();
        }
    }
}

impl LineQueue {
    pub(super) const fn new() -> Self {
        let state = State { waiting: Lines::none(), taken: 0, settled: 0, stalled: false };
        Self { state: Mutex::new(state), filled: Condvar::new(), settled: Condvar::new(), lost: AtomicU64::new(0) }
    }

    /// Takes a line, which ends with a line feed, or drops and counts it. Never waits for the log.
    pub(super) fn push(&self, line: &[u8]) {
        let _taken = self.take(line);
    }

    /// The same, and waits at most `within` for it to be written: for a process that may be about to abort. While the log
    /// stands still only the first caller waits.
    pub(super) fn push_and_wait(&self, line: &[u8], within: Duration) {
        let Some(position) = self.take(line) else { return };
        if !self.state().stalled && !self.wait_for(position, within) {
            self.state().stalled = true;
        }
    }

    /// Waits at most `within` until all that was taken before is written or given up; whether it is.
    pub(super) fn flush(&self, within: Duration) -> bool {
        let position = self.state().taken;
        self.wait_for(position, within)
    }

    /// Lines that were dropped since the start.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes what comes to `log`, for good.
    pub(super) fn write_to(&self, mut log: impl Write) -> ! {
        let mut lines = Lines::none();
        let mut torn = false;
        loop {
            lines.clear();
            self.next(&mut lines);
            self.write_lines(&lines, &mut log, &mut torn);
        }
    }

    /// What this holds is text alone, and nothing is done under the lock that could panic: a panic hook may take it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the line ends among all bytes ever taken; `None` if there was no room.
    fn take(&self, line: &[u8]) -> Option<u64> {
        let mut state = self.state();
        let len = line.len() as u64;
        if state.taken - state.settled + len > BYTES_MAX as u64 {
            drop(state);
            self.lost.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let writer_may_wait = state.waiting.text.is_empty();
        state.waiting.text.extend_from_slice(line);
        let end = state.waiting.text.len();
        state.waiting.ends.push(end);
        state.taken += len;
        let position = state.taken;
        drop(state);
        if writer_may_wait {
            self.filled.notify_one();
        }
        Some(position)
    }

    fn wait_for(&self, position: u64, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let mut state = self.state();
        while state.settled < position {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.settled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Waits for lines and puts all of them into `lines`, which is empty.
    fn next(&self, lines: &mut Lines) {
        let mut state = self.state();
        while state.waiting.text.is_empty() {
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut state.waiting, lines);
    }

    fn write_lines(&self, lines: &Lines, log: &mut impl Write, torn: &mut bool) {
        let (mut start, mut first) = (0, 0);
        while first < lines.ends.len() {
            let fitting = lines.ends[first..].iter().take_while(|end| **end - start <= PIECE_MAX).count().max(1);
            let ends = &lines.ends[first..first + fitting];
            let end = ends[fitting - 1];
            let written = start + write_piece(log, &lines.text[start..end], torn);
            let lost = ends.iter().filter(|end| **end > written).count();
            if written > start {
                *torn = lost > 0 && !ends.contains(&written);
            }
            self.lost.fetch_add(lost as u64, Ordering::Relaxed);
            self.settle(end - start, written > start);
            (start, first) = (end, first + fitting);
        }
    }

    fn settle(&self, bytes: usize, wrote: bool) {
        let mut state = self.state();
        state.settled += bytes as u64;
        state.stalled &= !wrote;
        drop(state);
        self.settled.notify_all();
    }
}

/// How many bytes of `piece` came to be written. A line that the last attempt left in two is ended first.
fn write_piece(log: &mut impl Write, piece: &[u8], torn: &mut bool) -> usize {
    if *torn {
        if write_some(log, b"\n") == 0 {
            return 0;
        }
        *torn = false;
    }
    write_some(log, piece)
}

fn write_some(log: &mut impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match log.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(more) => written += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY_AFTER),
            Err(_gone_or_full) => break,
        }
    }
    written
}

#[cfg(test)]
mod tests;
