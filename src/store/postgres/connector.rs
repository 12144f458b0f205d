//! How a connection is made: what the address says, as the driver wants it, and TLS by rustls.
//!
//! Certificates are read for each new connection, so that new files need no restart. After a handshake that failed nothing is
//! sent in the clear: that happens only with `sslmode=prefer` and a server that says it has no TLS.

use std::io;
use std::path::Path;
use std::time::Duration;

use deadpool_postgres::Connect;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::config::{ChannelBinding as Binding, LoadBalanceHosts, SslMode as Mode, TargetSessionAttrs};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config, Connection, Error, NoTls, Socket};

use crate::config::SecretFiles;
use crate::config::postgres::{self as address, PostgresAddress, Root, SslMode, Tls, Verified};
use crate::wire::encrypted::{Encrypted, Handshake};
use crate::wire::trust::{self, Authorities, Identity, Trust};

/// One server may take so long; of several each a share, so that one that is silent leaves time for the others.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const USER_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(5);

/// What the driver is told; `session` are settings that every session gets besides those of the address.
pub(super) fn driver_config(address: &PostgresAddress, session: &str) -> Config {
    let mut config = Config::new();
    for host in &address.hosts {
        match &host.place {
            address::Place::Tcp(name) => config.host(name),
            address::Place::Unix(folder) => config.host_path(folder),
        };
        config.port(host.port);
    }
    // All of them or none: an address of one's own is where a name would lead.
    let ways: Option<Vec<_>> = address.hosts.iter().map(|host| host.address).collect();
    for way in ways.unwrap_or_default() {
        config.hostaddr(way);
    }
    if let Some(user) = &address.user {
        config.user(user);
    }
    if let Some(password) = &address.password {
        config.password(password.as_bytes());
    }
    if let Some(database) = &address.database {
        config.dbname(database);
    }
    let options = address.options.as_ref().map_or_else(String::new, |given| format!("{given} "));
    config
        .options(format!("{options}{session}"))
        .application_name(address.application_name.as_deref().unwrap_or("nexo-route"))
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    if address.is_any_order {
        config.load_balance_hosts(LoadBalanceHosts::Random);
    }
    bound_waits(&mut config, address);
    config.ssl_mode(match address.tls.mode {
        SslMode::Unsaid | SslMode::Disable => Mode::Disable,
        SslMode::Prefer => Mode::Prefer,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Mode::Require,
    });
    config.channel_binding(match address.channel_binding {
        address::ChannelBinding::Disable => Binding::Disable,
        address::ChannelBinding::Prefer => Binding::Prefer,
        address::ChannelBinding::Require => Binding::Require,
    });
    config
}

fn bound_waits(config: &mut Config, address: &PostgresAddress) {
    let keep_alive = address.keep_alive;
    let several = u32::try_from(address.hosts.len()).ok().filter(|count| *count > 1);
    let share = several.map_or(CONNECT_WITHIN, |count| CONNECT_WITHIN / count.saturating_add(1));
    let at_most = |given: Option<Duration>, limit: Duration| given.map_or(limit, |given| given.min(limit));
    config
        .connect_timeout(at_most(address.connect_timeout, share))
        .tcp_user_timeout(at_most(keep_alive.user_timeout, USER_TIMEOUT))
        .keepalives(!keep_alive.is_off)
        .keepalives_idle(at_most(keep_alive.idle, IDLE));
    if let Some(interval) = keep_alive.interval {
        config.keepalives_interval(interval);
    }
    if let Some(retries) = keep_alive.retries {
        config.keepalives_retries(retries);
    }
}

/// Makes connections for a pool; each is driven on `runtime`.
pub(super) struct Connector {
    tls: Tls,
    files: SecretFiles,
    runtime: Handle,
}

impl Connector {
    pub(super) fn new(tls: Tls, files: SecretFiles, runtime: Handle) -> Self {
        Self { tls, files, runtime }
    }

    fn drive<S>(&self, connection: Connection<Socket, S>) -> JoinHandle<()>
    where
        S: TlsStream + Unpin + Send + 'static,
    {
        self.runtime.spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "a connection to the database was lost");
            }
        })
    }
}

impl Connect for Connector {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        let config = config.clone();
        Box::pin(async move {
            if !self.tls.is_spoken() {
                let (client, connection) = config.connect(NoTls).await?;
                return Ok((client, self.drive(connection)));
            }
            let (tls, files) = (self.tls.clone(), self.files);
            let read = self.runtime.spawn_blocking(move || tls_config(&tls, files)).await;
            let tls = read.unwrap_or_else(|ended| Err(ended.to_string()));
            let (client, connection) = config.connect(Secured(tls)).await?;
            Ok((client, self.drive(connection)))
        })
    }
}

/// The longest key of a client's certificate.
const KEY_LEN_MAX: u64 = 64 << 10;

/// Reads the files that TLS needs, the key by the rule of `files`.
///
/// # Errors
/// The parameter, its file, and what is wrong with that.
pub(super) fn tls_config(tls: &Tls, files: SecretFiles) -> Result<trust::Client, String> {
    let authorities = || match &tls.root {
        Root::Unsaid | Root::Public => Ok(Authorities::public()),
        Root::File(path) => {
            let pem = read("sslrootcert", path)?;
            Authorities::from_pem(&pem).map_err(|error| format!("sslrootcert: {}: {error}", path.display()))
        }
    };
    let trust = match tls.verified() {
        Verified::Nothing => Trust::Nothing,
        Verified::Chain => Trust::Chain(authorities()?),
        Verified::ChainAndName => Trust::ChainAndName(authorities()?),
    };
    let identity = match &tls.identity {
        None => None,
        Some((certificate, key)) => {
            let text = files.read(key, KEY_LEN_MAX).map_err(|error| format!("sslkey: {error}"))?;
            let identity = Identity::from_pem(&read("sslcert", certificate)?, text.as_bytes());
            let wrong = |error| format!("sslcert and sslkey ({}, {}): {error}", certificate.display(), key.display());
            Some(identity.map_err(wrong)?)
        }
    };
    trust::client(trust, identity).map_err(|error| format!("sslcert and sslkey: {error}"))
}

fn read(parameter: &str, path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{parameter}: cannot read {}: {error}", path.display()))
}

/// TLS for one connection, or why its files could not be read.
struct Secured(Result<trust::Client, String>);

impl MakeTlsConnect<Socket> for Secured {
    type Stream = Encrypted<Socket>;
    type TlsConnect = Handshake;
    type Error = String;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, String> {
        Handshake::with(self.0.clone()?, host)
    }
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted<Socket>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Encrypted<Socket>>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(self.over(socket))
    }
}

impl TlsStream for Encrypted<Socket> {
    fn channel_binding(&self) -> ChannelBinding {
        self.end_point().map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    fn driver(text: &str) -> Config {
        driver_config(&PostgresAddress::parse(text).expect("valid"), "-c jit=off")
    }

    #[test]
    fn the_driver_is_told_what_the_address_says() {
        let config =
            driver("postgres://me:hunter2@a:1,b:2/x?hostaddr=10.0.0.1,10.0.0.2&options=-c%20geqo%3Doff&ssl=true");
        assert_eq!(config.get_hosts(), [Host::Tcp("a".to_owned()), Host::Tcp("b".to_owned())]);
        assert_eq!((config.get_ports(), config.get_hostaddrs().len()), (&[1, 2][..], 2));
        assert_eq!((config.get_user(), config.get_dbname()), (Some("me"), Some("x")));
        assert_eq!(config.get_password(), Some(&b"hunter2"[..]));
        assert_eq!(config.get_options(), Some("-c geqo=off -c jit=off"));
        assert_eq!(config.get_application_name(), Some("nexo-route"));
        assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(driver("host=/run user=me").get_hosts(), [Host::Unix("/run".into())]);
        for (query, mode) in [
            ("", Mode::Disable),
            ("?sslmode=disable", Mode::Disable),
            ("?sslmode=prefer", Mode::Prefer),
            ("?sslmode=require", Mode::Require),
            ("?sslmode=verify-full", Mode::Require),
        ] {
            assert_eq!(driver(&format!("postgres://db/x{query}")).get_ssl_mode(), mode, "{query}");
        }
    }

    /// A pool gives a connection two seconds in all: a host that is silent must not take them from the next one.
    #[test]
    fn waits_are_the_houses_own_unless_shorter_ones_are_given() {
        let waits = |text: &str| {
            let config = driver(text);
            (config.get_connect_timeout().copied(), config.get_keepalives_idle(), config.get_keepalives())
        };
        let seconds = Duration::from_secs;
        assert_eq!(waits("postgres://db"), (Some(seconds(2)), seconds(5), true));
        assert_eq!(waits("host=db connect_timeout=10 keepalives_idle=60"), (Some(seconds(2)), seconds(5), true));
        assert_eq!(
            waits("host=db connect_timeout=1 keepalives_idle=3 keepalives=0"),
            (Some(seconds(1)), seconds(3), false)
        );
        assert_eq!(waits("host=a,b,c").0, Some(Duration::from_millis(500)));
    }
}
