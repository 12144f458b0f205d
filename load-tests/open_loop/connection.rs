//! One keep-alive connection that sends one OTP at a time and tallies its answer.
//!
//! It opens when it has its first job, puts itself back among the idle ones after every whole answer, and ends when the
//! daemon closes it or the answer makes no sense.

use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Run;
use crate::tally::Answer;

/// One OTP to send.
pub struct Job {
    pub n: u64,
    pub intended: Instant,
}

enum Order {
    Warm,
    Send(Job),
}

/// The way to one connection; whoever holds it may give it one job.
pub struct Connection {
    orders: mpsc::Sender<Order>,
}

impl Connection {
    pub fn start(run: Rc<Run>, tasks: &mut JoinSet<()>) -> Self {
        let (orders, inbox) = mpsc::channel(1);
        tasks.spawn_local(live(run, orders.clone(), inbox));
        Self { orders }
    }

    /// Connects and waits among the idle ones.
    pub async fn warm(self) {
        let _ = self.orders.send(Order::Warm).await;
    }

    pub fn send(self, job: Job) {
        // An idle connection's inbox is empty: it fits.
        let _ = self.orders.try_send(Order::Send(job));
    }
}

async fn live(run: Rc<Run>, orders: mpsc::Sender<Order>, mut inbox: mpsc::Receiver<Order>) {
    let mut stream = None;
    let mut buffer = Vec::with_capacity(1_024);
    while let Some(order) = inbox.recv().await {
        if stream.as_ref().is_none_or(is_closed) {
            stream = connect(&run).await;
        }
        if let Order::Send(job) = order {
            let answer = match &mut stream {
                Some(stream) => exchange(stream, &run.request(job.n), &mut buffer).await,
                None => Some(Answer::not_connected()),
            };
            let whole = answer.as_ref().is_some_and(|answer| answer.keeps_connection);
            let answer = answer.unwrap_or_else(Answer::broken);
            if let Some(id) = &answer.id {
                run.witnessed(id);
            }
            run.tally.borrow_mut().answered(&answer, job.intended, Instant::now());
            if !whole {
                return;
            }
        }
        run.idle.borrow_mut().push(Connection { orders: orders.clone() });
    }
}

async fn connect(run: &Run) -> Option<TcpStream> {
    let stream = TcpStream::connect(run.to).await.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

/// Whether the daemon has closed an idle connection (one that was opened early and sends nothing for 5 s): like any client
/// with a pool, nothing is sent on it any more.
fn is_closed(stream: &TcpStream) -> bool {
    let silent = stream.try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    !silent
}

/// One request and its whole answer; `None` if the connection broke in between.
async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> Option<Answer> {
    stream.write_all(request).await.ok()?;
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
        if let Some(answer) = Answer::parse(buffer) {
            return Some(answer);
        }
    }
}
