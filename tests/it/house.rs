//! The harness: what every behaviour test stands on.
//!
//! [`both_engines!`](crate::both_engines) makes two tests of one: on SQLite and on Postgres, each with a database of its
//! own that is taken away when the test has passed. A [`House`] is one or more whole daemons on such a database; whatever
//! a test did, it ends by checking what must always hold.

pub mod balancer;
pub mod centre;
pub mod client;
pub mod clockwork;
pub mod customer;
pub mod database;
pub mod kannel;
pub mod ledger;
pub mod node;
pub mod pgbouncer;
pub mod proxy;
pub mod published;
pub mod receiver;
pub mod round_trips;
pub mod shared_backend;
pub mod whole;
pub mod witness;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use nexo_route::records::acceptance::{ID_SKEW_MAX, WINDOW};
use nexo_route::store::Store;
use tokio::time::Instant;

use database::{Database, Engine};
pub use whole::House;

/// What has not happened by then never does: debug builds on few and busy cores.
const PATIENCE: Duration = Duration::from_secs(45);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until `look` finds something, and fails the test if it never does.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Writes a secret as an operator has to: for its owner alone.
pub fn write_secret(path: &Path, secret: &str) {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(secret.as_bytes())).expect("written");
}

/// Something that a test is given, fresh, and that is checked and taken away afterwards.
pub trait Fixture: Sized {
    /// Makes one on `engine`, runs the test with it, checks what must always hold, and cleans up.
    async fn lend(engine: Engine, test: impl AsyncFnOnce(Self));
}

/// A migrated database, with its windows where a daemon has them.
pub async fn open_as_a_daemon_does(database: &Database) -> Store {
    let store = Store::open(&database.url, 2).await.expect("opens");
    store.migrate().await.expect("migrates");
    store.remember_windows(WINDOW, ID_SKEW_MAX).await.expect("fills");
    store
}

/// A database, without the house around it.
impl Fixture for Store {
    async fn lend(engine: Engine, test: impl AsyncFnOnce(Self)) {
        let database = Database::fresh(engine).await.expect("a database");
        test(open_as_a_daemon_does(&database).await).await;
        database.remove().await.expect("goes");
    }
}

/// Only the engine, for a test that builds its own.
impl Fixture for Engine {
    async fn lend(engine: Engine, test: impl AsyncFnOnce(Self)) {
        test(engine).await;
    }
}

/// One daemon with the settings of every test.
impl Fixture for House {
    async fn lend(engine: Engine, test: impl AsyncFnOnce(Self)) {
        let house = Self::start(engine).await;
        test(house.clone()).await;
        house.finish().await;
    }
}

/// Makes a test on SQLite and one on Postgres of every function; its argument is any [`Fixture`](crate::house::Fixture).
#[macro_export]
macro_rules! both_engines {
    ($( $(#[doc = $doc:literal])* async fn $name:ident($given:ident: $fixture:ty) $body:block )*) => {
        mod sqlite {
            use super::*;
            $crate::on_engine! { Sqlite $( async fn $name($given: $fixture) $body )* }
        }
        mod postgres {
            use super::*;
            $crate::on_engine! { Postgres $( async fn $name($given: $fixture) $body )* }
        }
    };
}

/// One half of [`both_engines!`](crate::both_engines).
#[macro_export]
macro_rules! on_engine {
    ($engine:ident $( async fn $name:ident($given:ident: $fixture:ty) $body:block )*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                use $crate::house::{Fixture, database::Engine};
                <$fixture as Fixture>::lend(Engine::$engine, async |$given: $fixture| $body).await;
            }
        )*
    };
}
