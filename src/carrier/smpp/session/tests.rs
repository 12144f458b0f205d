//! One session against a peer that does what the test says, octet by octet, in its own time.

use std::sync::Mutex;

use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{advance, timeout};

use super::*;
use crate::carrier::smpp::samples::{attempt, config};
use crate::carrier::upstream::{Naming, Receipt, ReceiptSink, ReceiptState};
use crate::domain::reference::UpstreamId;

const SUBMIT: u32 = 4;
const ENQUIRE: u32 = 0x15;
const RESPONSE: u32 = 0x8000_0000;
const QUEUE_FULL: u32 = 0x14;
const SECOND: Duration = Duration::from_secs(1);

/// Takes everything.
#[derive(Debug, Default)]
struct Sink(Mutex<Vec<Receipt>>);

impl ReceiptSink for Sink {
    fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
        self.0.lock().expect("whole").push(receipt);
        Box::pin(std::future::ready(Ok(())))
    }

    fn name(&self, _: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

struct Bed {
    shared: Arc<Shared>,
    sink: Arc<Sink>,
}

impl Bed {
    fn new(more: &str) -> Self {
        let sink = Arc::new(Sink::default());
        let shared = Shared::new(
            UpstreamId("smsc".into()),
            &config(more),
            Arc::clone(&sink) as Arc<dyn ReceiptSink>,
            &[Role::Transceiver; 2],
        );
        Self { shared: Arc::new(shared), sink }
    }

    /// A session that runs, over a socket that holds `octets` each way; it has the line's ear when this returns.
    async fn session(&self, connection: usize, octets: usize) -> (Peer, JoinHandle<Over>) {
        let (ours, theirs) = duplex(octets);
        let socket: Box<dyn Socket> = Box::new(ours);
        let parts = (connection, Role::Transceiver);
        let (received, sequence) = ((Vec::new(), Frames::default()), Sequence::starting_at(1));
        let session = Session::new(&self.shared, parts, tokio::io::split(socket), received, sequence);
        let runs = self.shared.tasks.spawn(session.run());
        settle().await;
        (Peer(theirs), runs)
    }

    fn send(&self, number: u8, seconds: u64) -> oneshot::Receiver<Outcome> {
        self.shared.line.join(attempt(number, seconds)).expect("room").1
    }

    fn told(&self) -> Vec<ReceiptState> {
        self.sink.0.lock().expect("whole").iter().map(|receipt| receipt.state).collect()
    }
}

/// Lets the others go as far as they go now.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn pdu(command: u32, status: u32, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + body.len()).expect("short");
    let header = [length, command, status, sequence].map(u32::to_be_bytes);
    [header.as_flattened(), body].concat()
}

struct Peer(DuplexStream);

impl Peer {
    /// The command and the number of the next PDU.
    async fn reads(&mut self) -> (u32, u32) {
        let length = self.0.read_u32().await.expect("open");
        let mut rest = vec![0; usize::try_from(length).expect("short") - 4];
        self.0.read_exact(&mut rest).await.expect("whole");
        let field = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().expect("four"));
        (field(0), field(8))
    }

    async fn submit(&mut self) -> u32 {
        let (command, sequence) = self.reads().await;
        assert_eq!(command, SUBMIT);
        sequence
    }

    async fn answers(&mut self, sequence: u32, status: u32) {
        self.0.write_all(&pdu(SUBMIT | RESPONSE, status, sequence, b"id\0")).await.expect("open");
        settle().await;
    }
}

fn not_sent(why: &str) -> Outcome {
    Outcome::NotSent { status: CarrierStatus::clean(why) }
}

#[tokio::test(start_paused = true)]
async fn an_smsc_that_writes_and_does_not_read_is_read_no_more_and_left() {
    let bed = Bed::new("");
    let (mut peer, runs) = bed.session(0, 4_096).await;
    let mut accepted = 0_u32;
    for number in 0..100_000 {
        // It takes an octet now and then.
        if number % 100 == 0 && accepted > 10_000 {
            break;
        }
        match timeout(SECOND * 9, peer.0.write_all(&pdu(ENQUIRE, 0, number, b""))).await {
            Ok(Ok(())) => accepted += 1,
            Ok(Err(_closed)) => break,
            Err(_full) => drop(peer.0.read_u8().await),
        }
    }
    assert!(accepted < 5_000, "{accepted} answers are kept in memory");
    assert_eq!(runs.await.expect("no panic"), Over::Cut("stalled"));
}

#[tokio::test(start_paused = true)]
async fn a_flood_stops_no_clock() {
    let bed = Bed::new("response_timeout_ms = 2000");
    // More than the session reads before it must let others go on.
    let (peer, _runs) = bed.session(0, 8 << 20).await;
    let mut outcome = bed.send(1, 30);
    settle().await;
    let (mut reader, mut writer) = tokio::io::split(peer.0);
    let flood = pdu(ENQUIRE, 0, 7, b"").repeat(1 << 16);
    let floods = bed.shared.tasks.spawn(async move { while writer.write_all(&flood).await.is_ok() {} });
    let drains = bed.shared.tasks.spawn(async move {
        let mut answers = vec![0; 1 << 20];
        while reader.read(&mut answers).await.is_ok_and(|read| read > 0) {}
    });
    let mut rounds = 0;
    while outcome.try_recv().is_err() && rounds < 100 {
        advance(Duration::from_millis(100)).await;
        rounds += 1;
    }
    floods.abort();
    drains.abort();
    assert!(rounds < 50, "the message was never given up");
}

#[tokio::test(start_paused = true)]
async fn what_is_late_is_not_begun_although_the_socket_is_free_again() {
    let bed = Bed::new("");
    let (mut peer, _runs) = bed.session(0, 1).await;
    let (_first, second) = (bed.send(1, 30), bed.send(2, 5));
    // Its last octet makes room for the first of the other, at the very time when that one is late.
    let length = peer.0.read_u32().await.expect("open");
    for _ in 4..length {
        peer.0.read_u8().await.expect("open");
    }
    advance(SECOND * 6).await;
    assert_eq!(second.await, Ok(not_sent("too late")));
    assert!(timeout(SECOND, peer.0.read_u8()).await.is_err(), "no octet of it");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_pauses_leaves_new_work_to_the_others() {
    let bed = Bed::new("binds = 2");
    let (mut paused, _first) = bed.session(0, 4_096).await;
    let thrown_back = bed.send(1, 1);
    let sequence = paused.submit().await;
    paused.answers(sequence, 0x58).await;
    // Its time is over before the pause.
    assert!(matches!(thrown_back.await, Ok(Outcome::NotSent { .. })));
    settle().await;
    let (mut free, _second) = bed.session(1, 4_096).await;
    for number in 2..6 {
        let outcome = bed.send(number, 5);
        let sequence = timeout(SECOND / 2, free.submit()).await.expect("at once");
        free.answers(sequence, 0).await;
        assert_eq!(outcome.await, Ok(Outcome::Accepted));
    }
}

#[tokio::test(start_paused = true)]
async fn a_phone_whose_queue_is_full_stops_everybody_once() {
    let bed = Bed::new("rate_per_second = 100");
    let (mut peer, _runs) = bed.session(0, 4_096).await;
    let mut full = bed.send(1, 30);
    let sequence = peer.submit().await;
    peer.answers(sequence, QUEUE_FULL).await;
    assert!(full.try_recv().is_err(), "it is tried again");
    let sequence = peer.submit().await;
    peer.answers(sequence, QUEUE_FULL).await;
    assert_eq!(full.await, Ok(not_sent("throttled")));
    let other = bed.send(2, 30);
    let sequence = timeout(SECOND, peer.submit()).await.expect("no second pause");
    peer.answers(sequence, 0).await;
    assert_eq!(other.await, Ok(Outcome::Accepted));
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_nobody_waits_for_is_told_as_a_receipt() {
    use FailureClass::InvalidNumber;
    for (more, status, told) in [
        ("", 0x0B, vec![ReceiptState::Failed(InvalidNumber)]),
        ("", 0, vec![]),
        ("receipts = \"charged\"", 0, vec![ReceiptState::Delivered]),
        ("receipts = \"refunded\"", 0, vec![]),
    ] {
        for gives_up_first in [true, false] {
            let bed = Bed::new(more);
            let (mut peer, _runs) = bed.session(0, 4_096).await;
            let outcome = bed.send(1, 30);
            let sequence = peer.submit().await;
            if gives_up_first {
                drop(outcome);
            } else {
                // The window has given it up.
                assert!(matches!(outcome.await, Ok(Outcome::Ambiguous { .. })));
            }
            peer.answers(sequence, status).await;
            assert_eq!(bed.told(), told, "{more} {status} {gives_up_first}");
        }
    }
}
