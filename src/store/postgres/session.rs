//! That a new connection is a session of our own: a backend that was started for it, with our settings, and that nobody shares.
//!
//! A pooler that lends backends out by the transaction (PgBouncer's `pool_mode = transaction`) drops the settings of a session and
//! runs statements under names that another session has given to others. Both are looked at when a connection is made,
//! and never again. A value that no pooler can guess goes along in the startup packet: a backend that does not have it was started
//! for somebody else, whatever settings its role or its pooler have given it. And each connection leaves a mark of its own: a
//! backend that has one already, or has another a statement later, has served a second connection.

use std::time::Duration;

use deadpool_postgres::{Hook, HookError};
use futures_util::future::try_join;
use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

/// What an operator is told, and where it is written down.
const SHARED: &str = "the address leads to a connection pooler that shares its sessions or drops their settings (PgBouncer in \
     transaction mode does both, in session mode the latter): orders would run under another's name. Give the address of \
     the Postgres server itself; a daemon pools its own connections";

/// How long a server may take to tell whose session it is.
const LOOK_WITHIN: Duration = Duration::from_secs(2);
/// What is said of one that does not.
pub(super) const SILENT: &str = "the server took a login and then did not answer in time";

/// How a server is told that a session is one of this process.
#[derive(Clone, Debug)]
pub(super) struct Token(String);

impl Token {
    pub(super) fn fresh() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    /// The startup packet's option that carries it.
    pub(super) fn option(&self) -> String {
        format!("-c nexo.node={}", self.0)
    }

    /// Refuses every new connection that is not a session of its own. It costs one round trip.
    pub(super) fn hook(self) -> Hook {
        Hook::async_fn(move |client, _| {
            let token = self.0.clone();
            Box::pin(async move {
                // The pool's limits do not hold for a hook.
                match timeout(LOOK_WITHIN, is_own(client, &token)).await {
                    Ok(Ok(true)) => Ok(()),
                    Ok(Ok(false)) => Err(HookError::message(SHARED)),
                    Ok(Err(error)) => Err(HookError::Backend(error)),
                    Err(_) => Err(HookError::message(SILENT)),
                }
            })
        })
    }
}

/// Whether a message of the server, at the start of a session, comes from a pooler that takes no settings.
pub(super) fn refused_settings(message: &str) -> Option<String> {
    message.contains("startup parameter").then(|| format!("{message}: {SHARED}"))
}

async fn is_own(client: &Client, token: &str) -> Result<bool, tokio_postgres::Error> {
    let mark = format!("{:032x}", rand::random::<u128>());
    let look = "SELECT current_setting('nexo.node', true), current_setting('nexo.session', true)";
    let leave = format!("{look}; SELECT set_config('nexo.session', '{mark}', false)");
    // Two transactions in one round trip: a pooler may give the second one to another backend.
    let (before, after) = try_join(client.simple_query(&leave), client.simple_query(look)).await?;
    Ok(is_seen(&before, [token, ""]) && is_seen(&after, [token, &mark]))
}

/// Whether the first row holds `expected`; a setting that was never made, or was reset, is empty.
fn is_seen(answer: &[SimpleQueryMessage], expected: [&str; 2]) -> bool {
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some([0, 1].map(|at| row.get(at).unwrap_or_default())),
        _ => None,
    });
    row == Some(expected)
}
