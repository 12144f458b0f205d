//! The threads of the embedded engine, and the connection that each works on.
//!
//! A thread runs one job after the other and never ends for what a job does; it ends when nobody can send it one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, oneshot};

use super::{SqliteTx, translate};
use crate::clock::DatabaseClock;
use crate::store::error::StoreError;
use crate::store::tx::{Inner, Tx};

/// Transactions that may wait for a thread.
const QUEUE_MAX: usize = 1_024;
/// How long a transaction waits for another process (a command) to finish its own.
const BUSY_WAIT: Duration = Duration::from_secs(2);

pub(super) type Job = Box<dyn FnOnce(&Tx) + Send>;

/// Runs `job` on a storage thread; `None` if the thread is gone or the job panicked.
pub(super) async fn on_thread<R: Send + 'static>(
    thread: &mpsc::Sender<Job>,
    job: impl FnOnce(&Tx) -> R + Send + 'static,
) -> Option<R> {
    let (reply, answer) = oneshot::channel();
    let job: Job = Box::new(move |tx| {
        // The caller may have given up; the work is done all the same.
        let _ = reply.send(job(tx));
    });
    thread.send(job).await.ok()?;
    answer.await.ok()
}

pub(super) fn connect(path: &Path, read_only: bool) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(translate)?;
    connection.busy_timeout(BUSY_WAIT).map_err(translate)?;
    connection.set_prepared_statement_cache_capacity(256);
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 8000; \
             PRAGMA cache_size = -32000; PRAGMA temp_store = MEMORY;",
        )
        .map_err(translate)?;
    if read_only {
        connection.pragma_update(None, "query_only", true).map_err(translate)?;
    }
    Ok(connection)
}

/// Starts a thread for each connection; they take the jobs of one queue and end when its sender is dropped.
pub(super) fn spawn(
    name: &str,
    connections: impl IntoIterator<Item = Connection>,
    clock: &DatabaseClock,
) -> Result<mpsc::Sender<Job>, StoreError> {
    let (sender, jobs) = mpsc::channel::<Job>(QUEUE_MAX);
    let jobs = Arc::new(Mutex::new(jobs));
    for connection in connections {
        let (jobs, clock) = (Arc::clone(&jobs), clock.clone());
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || serve(connection, clock, &jobs))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
    }
    Ok(sender)
}

fn serve(connection: Connection, clock: DatabaseClock, jobs: &Mutex<mpsc::Receiver<Job>>) {
    let tx = Tx(Inner::Sqlite(SqliteTx { connection: Mutex::new(connection), clock }));
    // One idle thread waits for the next job, the others for it to be the one.
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
    while let Some(job) = next() {
        if catch_unwind(AssertUnwindSafe(|| job(&tx))).is_err() {
            // The job's caller sees its reply dropped; the thread and its connection go on.
            let _ = tx.sqlite().run("ROLLBACK");
        }
    }
}
