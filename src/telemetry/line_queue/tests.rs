//! The queue alone, with logs that keep up, stand still, fail or take half a line.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;

/// The test's own deadline; what has not come by then never does.
const PATIENCE: Duration = Duration::from_secs(30);

/// A log that answers each write as the test says, and tells what it was given.
struct Scripted {
    answers: Receiver<io::Result<usize>>,
    seen: SyncSender<Vec<u8>>,
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let answer = self.answers.recv().unwrap_or(Ok(usize::MAX)).map(|len| len.min(bytes.len()));
        if let Ok(len) = answer {
            self.seen.send(bytes[..len].to_vec()).expect("the test reads");
        }
        answer
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn started() -> (Arc<LineQueue>, SyncSender<io::Result<usize>>, Receiver<Vec<u8>>) {
    let (answer, answers) = sync_channel(64);
    let (seen, written) = sync_channel(1 << 16);
    let queue = Arc::new(LineQueue::new());
    let writer = Arc::clone(&queue);
    std::thread::Builder::new().spawn(move || writer.write_to(Scripted { answers, seen })).expect("a thread");
    (queue, answer, written)
}

fn all(written: &Receiver<Vec<u8>>) -> String {
    String::from_utf8(written.try_iter().flatten().collect()).expect("text")
}

#[test]
fn lines_come_out_in_their_order() {
    let (queue, answer, written) = started();
    drop(answer);
    let lines: Vec<String> = (0..1_000).map(|n| format!("line {n}\n")).collect();
    for line in &lines {
        queue.push(line.as_bytes());
    }
    assert!(queue.flush(PATIENCE));
    assert_eq!((all(&written), queue.lost()), (lines.concat(), 0));
}

#[test]
fn while_the_log_stands_still_nothing_waits_and_what_does_not_fit_is_counted() {
    let (queue, answer, written) = started();
    let line = [b"x".repeat(1_023), b"\n".to_vec()].concat();
    for _ in 0..BYTES_MAX / line.len() + 10 {
        queue.push(&line);
    }
    assert_eq!(queue.lost(), 10);
    assert!(!queue.flush(Duration::from_millis(1)), "it stands still");
    queue.push_and_wait(b"after a panic\n", Duration::from_millis(1));
    assert_eq!(queue.lost(), 11, "there is no room for it either");
    drop(answer);
    assert!(queue.flush(PATIENCE));
    assert_eq!(all(&written).len(), BYTES_MAX, "what was taken is written whole");
    queue.push(b"again\n");
    assert!(queue.flush(PATIENCE));
    assert_eq!((all(&written).as_str(), queue.lost()), ("again\n", 11));
}

#[test]
fn only_the_first_panic_waits_for_a_log_that_stands_still() {
    let (queue, answer, written) = started();
    queue.push_and_wait(b"first\n", Duration::from_millis(1));
    assert!(queue.state().stalled);
    // It would hang here.
    queue.push_and_wait(b"second\n", PATIENCE * 1_000);
    drop(answer);
    assert!(queue.flush(PATIENCE));
    assert_eq!(all(&written), "first\nsecond\n");
    assert!(!queue.state().stalled);
    queue.push_and_wait(b"third\n", PATIENCE);
    assert_eq!(all(&written), "third\n");
}

#[test]
fn what_cannot_be_written_is_dropped_and_counted_and_the_next_line_is_tried() {
    let (queue, answer, written) = started();
    for failed in [ErrorKind::BrokenPipe, ErrorKind::StorageFull] {
        answer.send(Err(failed.into())).expect("listens");
        queue.push(b"lost\n");
        assert!(queue.flush(PATIENCE));
    }
    assert_eq!((all(&written).as_str(), queue.lost()), ("", 2));
    for again in [ErrorKind::Interrupted, ErrorKind::WouldBlock] {
        answer.send(Err(again.into())).expect("listens");
    }
    drop(answer);
    queue.push(b"kept\n");
    assert!(queue.flush(PATIENCE));
    assert_eq!((all(&written).as_str(), queue.lost()), ("kept\n", 2));
}

#[test]
fn half_a_line_is_ended_before_the_next_one() {
    let (queue, answer, written) = started();
    answer.send(Ok(3)).expect("listens");
    answer.send(Err(ErrorKind::StorageFull.into())).expect("listens");
    queue.push(b"one line\n");
    assert!(queue.flush(PATIENCE));
    // The disk is still full.
    answer.send(Err(ErrorKind::StorageFull.into())).expect("listens");
    queue.push(b"lost\n");
    assert!(queue.flush(PATIENCE));
    drop(answer);
    queue.push(b"another\n");
    assert!(queue.flush(PATIENCE));
    assert_eq!((all(&written).as_str(), queue.lost()), ("one\nanother\n", 2));
}
