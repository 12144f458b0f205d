//! The address of a Postgres server, read whole: a URL (`postgres://…`) or words (`host=… user=…`) as libpq reads them.
//!
//! Read here and not by the driver, which knows three words of `sslmode` and calls everything else "invalid". An error names
//! the parameter; it repeats nothing of a value, and no word that could be a piece of a password.

mod parameters;
#[cfg(test)]
mod tests;
mod written;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

/// Where a Postgres is and how it is spoken to.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresAddress {
    /// Tried in this order, or in any order (`load_balance_hosts=random`).
    pub hosts: Vec<Host>,
    pub is_any_order: bool,
    /// `None`: the name of the process's user.
    pub user: Option<String>,
    pub password: Option<Zeroizing<String>>,
    /// `None`: the database that is called like the user.
    pub database: Option<String>,
    /// Session settings, as the server's command line takes them.
    pub options: Option<String>,
    pub application_name: Option<String>,
    pub connect_timeout: Option<Duration>,
    pub keep_alive: KeepAlive,
    pub tls: Tls,
    pub channel_binding: ChannelBinding,
}

/// One server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    pub place: Place,
    /// Where it is reached, if not where its name leads: the certificate is still the name's.
    pub address: Option<IpAddr>,
    pub port: u16,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A name or an IP address.
    Tcp(String),
    /// The folder of a unix socket.
    Unix(PathBuf),
}

/// What the kernel is told of an idle connection; `None` is the house's own choice, or the system's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeepAlive {
    pub is_off: bool,
    pub idle: Option<Duration>,
    pub interval: Option<Duration>,
    pub retries: Option<u32>,
    pub user_timeout: Option<Duration>,
}

/// Whether TLS is spoken, and with which files. They are read for each new connection.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tls {
    pub mode: SslMode,
    pub root: Root,
    /// The client's certificate and its key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// `sslmode`, as libpq has it, without `allow`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SslMode {
    /// The address does not say: no TLS, and a warning where the way is no loopback.
    #[default]
    Unsaid,
    Disable,
    /// In the clear only if the server says that it speaks no TLS.
    Prefer,
    /// Encrypted; the chain is verified if there is a root.
    Require,
    /// The chain is verified, the name is not.
    VerifyCa,
    VerifyFull,
}

/// `sslrootcert`: whom a server's certificate must come from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Root {
    #[default]
    Unsaid,
    /// Mozilla's authorities, compiled in.
    Public,
    /// A PEM file.
    File(PathBuf),
}

/// Whether SCRAM is bound to the server's certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ChannelBinding {
    Disable,
    #[default]
    Prefer,
    Require,
}

/// How much of a server's certificate is verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verified {
    /// Nothing: who stands on the way can read and change everything.
    Nothing,
    /// It comes from the root; any name will do.
    Chain,
    ChainAndName,
}

/// What is wrong with an address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidAddress {
    #[error("must be sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    NoEngine,
    #[error("there is no parameter {0} of a Postgres address")]
    Unknown(String),
    /// Its name stands where a piece of the password might.
    #[error("a parameter is not known; write special characters of the password as %40 (`@`), %3F (`?`), or in quotes")]
    UnknownUnnamed,
    #[error("the parameter {0} of a Postgres address is not supported")]
    Unsupported(&'static str),
    #[error("{parameter} must be {expected}")]
    Value { parameter: &'static str, expected: &'static str },
    #[error("{0}")]
    Form(&'static str),
}

impl PostgresAddress {
    /// Reads a URL or words.
    ///
    /// # Errors
    /// [`InvalidAddress`], which names the parameter and repeats no value.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        parameters::read(&written::parameters(text)?)
    }

    /// Whether `text` is meant to be one, well formed or not.
    #[must_use]
    pub fn is_meant_by(text: &str) -> bool {
        written::is_url(text) || written::is_words(text)
    }

    /// Whether every server is this machine, as far as the address tells.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.hosts.iter().all(Host::is_local)
    }

    /// What an operator should know of this address, each a sentence without a value of it.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        let mut warnings = Vec::new();
        let tls = &self.tls;
        match tls.mode {
            _ if self.is_local() => {}
            SslMode::Unsaid => warnings.push(
                "the database is not on this machine and the address names no sslmode: the connection is not encrypted; \
                 sslmode=verify-full encrypts and verifies, sslmode=disable says that this is meant",
            ),
            SslMode::Prefer => warnings.push(
                "sslmode=prefer is in the clear where the server says that it has no TLS, and anyone on the way can say so",
            ),
            SslMode::Require if tls.verified() == Verified::Nothing => warnings.push(
                "sslmode=require without sslrootcert encrypts, but does not verify who the server is; sslmode=verify-full does",
            ),
            _ => {}
        }
        warnings
    }
}

impl Host {
    fn is_local(&self) -> bool {
        match (&self.place, self.address) {
            (Place::Unix(_), _) => true,
            (Place::Tcp(_), Some(address)) => address.to_canonical().is_loopback(),
            (Place::Tcp(name), None) => match name.parse::<IpAddr>() {
                Ok(address) => address.to_canonical().is_loopback(),
                Err(_) => name.eq_ignore_ascii_case("localhost"),
            },
        }
    }
}

impl Tls {
    /// Whether TLS is spoken at all.
    #[must_use]
    pub const fn is_spoken(&self) -> bool {
        !matches!(self.mode, SslMode::Unsaid | SslMode::Disable)
    }

    #[must_use]
    pub fn verified(&self) -> Verified {
        match self.mode {
            SslMode::VerifyFull => Verified::ChainAndName,
            SslMode::VerifyCa => Verified::Chain,
            _ if self.root != Root::Unsaid => Verified::Chain,
            _ => Verified::Nothing,
        }
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresAddress({} hosts, {:?})", self.hosts.len(), self.tls.mode)
    }
}
