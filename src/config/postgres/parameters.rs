//! What each parameter means, and the rules between them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use super::written::Parameters;
use super::{ChannelBinding, Host, InvalidAddress, KeepAlive, Place, PostgresAddress, Root, SslMode, Tls, Verified};

/// Parameters of libpq that would be believed to do something here.
const UNSUPPORTED: &[&str] = &[
    "passfile",
    "require_auth",
    "service",
    "sslpassword",
    "sslcrl",
    "sslcrldir",
    "sslcertmode",
    "sslsni",
    "sslcompression",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "replication",
    "client_encoding",
    "fallback_application_name",
    "requirepeer",
];
const PORT: u16 = 5_432;

/// What was written, sorted by parameter.
#[derive(Default)]
struct Found {
    hosts: Vec<String>,
    addresses: Vec<IpAddr>,
    ports: Vec<u16>,
    user: Option<String>,
    password: Option<Zeroizing<String>>,
    database: Option<String>,
    options: Option<String>,
    application_name: Option<String>,
    connect_timeout: Option<Duration>,
    keep_alive: KeepAlive,
    is_any_order: bool,
    channel_binding: ChannelBinding,
    mode: SslMode,
    root: Root,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

pub(super) fn read(written: &Parameters) -> Result<PostgresAddress, InvalidAddress> {
    let mut found = Found::default();
    for (name, value) in &written.pairs {
        if !found.take_place(name, value)? && !found.take_tls(name, value)? && !found.take_connection(name, value)? {
            return Err(unknown(name, written.is_doubtful));
        }
    }
    found.whole()
}

fn unknown(name: &str, is_doubtful: bool) -> InvalidAddress {
    if let Some(name) = UNSUPPORTED.iter().find(|known| **known == name) {
        return InvalidAddress::Unsupported(name);
    }
    let is_a_name =
        (2..=40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if is_a_name && !is_doubtful { InvalidAddress::Unknown(name.to_owned()) } else { InvalidAddress::UnknownUnnamed }
}

const fn must(parameter: &'static str, expected: &'static str) -> InvalidAddress {
    InvalidAddress::Value { parameter, expected }
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn path(value: &str) -> Option<PathBuf> {
    text(value.trim()).map(PathBuf::from)
}

/// libpq: zero and less mean that nothing is set.
fn seconds(parameter: &'static str, value: &str) -> Result<Option<Duration>, InvalidAddress> {
    let seconds: i64 = value.trim().parse().map_err(|_| must(parameter, "a whole number of seconds"))?;
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

impl Found {
    fn take_place(&mut self, name: &str, value: &str) -> Result<bool, InvalidAddress> {
        match name {
            "host" => self.hosts = value.split(',').map(|host| host.trim().to_owned()).collect(),
            "hostaddr" => {
                let addresses = value.split(',').map(|address| address.trim().parse());
                self.addresses = addresses
                    .collect::<Result<_, _>>()
                    .map_err(|_| must("hostaddr", "an IP address, or several with commas"))?;
            }
            "port" => {
                let port = |port: &str| if port.is_empty() { Ok(PORT) } else { port.parse() };
                let ports: Result<Vec<u16>, _> = value.split(',').map(|text| port(text.trim())).collect();
                let ports = ports.ok().filter(|ports| !ports.contains(&0));
                self.ports = ports.ok_or(must("port", "from 1 to 65535"))?;
            }
            "user" => self.user = text(value),
            "password" => self.password = text(value).map(Zeroizing::new),
            "dbname" => self.database = text(value),
            "options" => self.options = text(value),
            "application_name" => self.application_name = text(value),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_tls(&mut self, name: &str, value: &str) -> Result<bool, InvalidAddress> {
        const MODES: &str = "disable, prefer, require, verify-ca or verify-full";
        match (name, value) {
            ("sslmode", value) => {
                self.mode = match value {
                    "disable" => SslMode::Disable,
                    "prefer" => SslMode::Prefer,
                    "require" => SslMode::Require,
                    "verify-ca" => SslMode::VerifyCa,
                    "verify-full" => SslMode::VerifyFull,
                    "allow" => {
                        return Err(InvalidAddress::Form(
                            "sslmode=allow is not supported: it offers the password in the clear first; use require or prefer",
                        ));
                    }
                    _ => return Err(must("sslmode", MODES)),
                }
            }
            // As libpq has it, for addresses that were made for JDBC.
            ("ssl", "true") if self.mode == SslMode::Unsaid => self.mode = SslMode::Require,
            // What sslmode says is more.
            ("ssl", "true") => {}
            ("ssl", _) => return Err(must("ssl", "true, or better sslmode=verify-full")),
            ("sslrootcert", "system") => self.root = Root::Public,
            ("sslrootcert", value) => self.root = path(value).map_or(Root::Unsaid, Root::File),
            ("sslcert", value) => self.certificate = path(value),
            ("sslkey", value) => self.key = path(value),
            ("sslnegotiation", "postgres") | ("gssencmode", "disable" | "prefer") => {}
            ("sslnegotiation", _) => {
                return Err(must("sslnegotiation", "postgres, or not there: a direct handshake is not supported"));
            }
            ("gssencmode", _) => return Err(must("gssencmode", "disable, or not there: GSSAPI is not supported")),
            ("channel_binding", value) => {
                self.channel_binding = match value {
                    "disable" => ChannelBinding::Disable,
                    "prefer" => ChannelBinding::Prefer,
                    "require" => ChannelBinding::Require,
                    _ => return Err(must("channel_binding", "disable, prefer or require")),
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_connection(&mut self, name: &str, value: &str) -> Result<bool, InvalidAddress> {
        let keep_alive = &mut self.keep_alive;
        match name {
            "connect_timeout" => self.connect_timeout = seconds("connect_timeout", value)?,
            // libpq has milliseconds here.
            "tcp_user_timeout" => {
                let ms =
                    value.trim().parse().map_err(|_| must("tcp_user_timeout", "a whole number of milliseconds"))?;
                keep_alive.user_timeout = Some(ms).filter(|ms| *ms > 0).map(Duration::from_millis);
            }
            "keepalives" => keep_alive.is_off = value.trim() == "0",
            "keepalives_idle" => keep_alive.idle = seconds("keepalives_idle", value)?,
            "keepalives_interval" => keep_alive.interval = seconds("keepalives_interval", value)?,
            "keepalives_count" | "keepalives_retries" => {
                let count = value.trim().parse().map_err(|_| must("keepalives_count", "a whole number"))?;
                keep_alive.retries = Some(count).filter(|count| *count > 0);
            }
            "target_session_attrs" => match value {
                // All mean the same: a daemon takes only a server that writes.
                "any" | "read-write" | "primary" => {}
                _ => return Err(must("target_session_attrs", "read-write: a daemon needs a server that takes writes")),
            },
            "load_balance_hosts" => match value {
                "disable" => self.is_any_order = false,
                "random" => self.is_any_order = true,
                _ => return Err(must("load_balance_hosts", "disable or random")),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn whole(self) -> Result<PostgresAddress, InvalidAddress> {
        let hosts = self.hosts()?;
        let tls = self.tls()?;
        let unix = hosts.iter().filter(|host| matches!(host.place, Place::Unix(_))).count();
        if tls.is_spoken() && unix > 0 && unix < hosts.len() {
            return Err(InvalidAddress::Form("with sslmode, hosts are all unix sockets or none of them is"));
        }
        if self.channel_binding == ChannelBinding::Require && (!tls.is_spoken() || unix > 0) {
            return Err(must("channel_binding", "prefer or disable where no TLS is spoken: set sslmode too"));
        }
        Ok(PostgresAddress {
            hosts,
            is_any_order: self.is_any_order,
            user: self.user,
            password: self.password,
            database: self.database,
            options: self.options,
            application_name: self.application_name,
            connect_timeout: self.connect_timeout,
            keep_alive: self.keep_alive,
            // libpq: no TLS on a unix socket, whatever the mode.
            tls: if unix > 0 { Tls { mode: SslMode::Disable, ..tls } } else { tls },
            channel_binding: self.channel_binding,
        })
    }

    fn hosts(&self) -> Result<Vec<Host>, InvalidAddress> {
        let (names, addresses, ports) = (&self.hosts, &self.addresses, &self.ports);
        let count = names.len().max(addresses.len());
        if count == 0 || names.iter().any(String::is_empty) {
            return Err(must(
                "host",
                "there, and no entry of it empty: a name, an IP address or the folder of a unix socket",
            ));
        }
        if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
            return Err(must("hostaddr", "as many as host has"));
        }
        if ports.len() > 1 && ports.len() != count {
            return Err(must("port", "one, or as many as there are hosts"));
        }
        let host = |at: usize| {
            let address = addresses.get(at).copied();
            let name = names.get(at).cloned().unwrap_or_else(|| address.map_or_else(String::new, |ip| ip.to_string()));
            let place = if name.starts_with('/') { Place::Unix(name.into()) } else { Place::Tcp(name) };
            Host { place, address, port: ports.get(at).or(ports.first()).copied().unwrap_or(PORT) }
        };
        let hosts: Vec<Host> = (0..count).map(host).collect();
        let is_sane = |host: &Host| match &host.place {
            Place::Tcp(name) => name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:%".contains(&b)),
            Place::Unix(_) => host.address.is_none(),
        };
        if !hosts.iter().all(is_sane) {
            return Err(must("host", "names, IP addresses or folders of unix sockets"));
        }
        Ok(hosts)
    }

    fn tls(&self) -> Result<Tls, InvalidAddress> {
        let identity = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) => return Err(must("sslkey", "the file with the key of sslcert")),
            (None, Some(_)) => return Err(must("sslcert", "the file with the certificate of sslkey")),
        };
        let mut tls = Tls { mode: self.mode, root: self.root.clone(), identity };
        let names_files = tls.root != Root::Unsaid || tls.identity.is_some();
        if tls.mode == SslMode::Unsaid && names_files {
            return Err(InvalidAddress::Form(
                "sslrootcert, sslcert and sslkey need an sslmode, best sslmode=verify-full",
            ));
        }
        match (tls.verified(), &tls.root) {
            (Verified::ChainAndName, Root::Unsaid) => tls.root = Root::Public,
            (Verified::Chain, Root::Unsaid) => {
                return Err(must("sslrootcert", "the file of your own authority with sslmode=verify-ca"));
            }
            // Everybody can have a certificate of a public authority.
            (Verified::Chain, Root::Public) if tls.is_spoken() => {
                return Err(must(
                    "sslmode",
                    "verify-full with sslrootcert=system: without the name it verifies nothing",
                ));
            }
            _ => {}
        }
        Ok(tls)
    }
}
