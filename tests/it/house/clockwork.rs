//! A database whose clock a test steps, and the daemons on it.
//!
//! On SQLite that is the wall clock of the daemons' machine. A Postgres server's clock is shadowed in the test's own
//! database: its search path finds a `clock_timestamp()` of ours before the server's. No machine's clock is touched.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use nexo_route::clock::{Machine, wall_now};
use nexo_route::domain::time::Timestamp;
use tokio_postgres::NoTls;

use super::House;
use super::database::Engine;

/// A machine whose wall clock is stepped.
#[derive(Debug, Default)]
pub struct SteppedMachine {
    step_us: AtomicI64,
    origin: OnceLock<Instant>,
}

impl Machine for SteppedMachine {
    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(wall_now().micros() + self.step_us.load(Ordering::Relaxed))
    }

    fn uptime(&self) -> Duration {
        self.origin.get_or_init(Instant::now).elapsed()
    }
}

/// Steps the clock of a house's database.
#[derive(Debug)]
pub struct SteppedClock {
    machine: Arc<SteppedMachine>,
    /// Where a server has the database.
    url: Option<String>,
}

const SHADOW: &str = "CREATE TABLE public.clock_step (seconds bigint NOT NULL); \
    INSERT INTO public.clock_step VALUES (0); \
    CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS \
    'SELECT pg_catalog.clock_timestamp() + make_interval(secs => (SELECT seconds FROM public.clock_step))'; \
    DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$";

impl SteppedClock {
    /// An empty house on a database whose clock can be stepped.
    pub async fn house(engine: Engine) -> (House, Self) {
        let house = House::empty(engine).await;
        let machine = Arc::new(SteppedMachine::default());
        house.on_machine(Arc::clone(&machine));
        let url = (engine == Engine::Postgres).then(|| house.url().to_owned());
        let clock = Self { machine, url };
        clock.run(SHADOW).await;
        (house, clock)
    }

    /// Steps the database's clock, and the wall clock of daemons that start from now on.
    pub async fn step(&self, seconds: i64) {
        self.machine.step_us.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
        self.run(&format!("UPDATE public.clock_step SET seconds = seconds + {seconds}")).await;
    }

    async fn run(&self, sql: &str) {
        let Some(url) = &self.url else { return };
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connects");
        let work = async {
            client.batch_execute(sql).await.expect("runs");
            drop(client);
        };
        let (ended, ()) = tokio::join!(connection, work);
        ended.expect("ends well");
    }
}
