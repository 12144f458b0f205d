//! The URL of a webhook endpoint, read strictly.
//!
//! What two readers could understand differently is refused, because the second reader may be the one that connects: user
//! names, fragments, back-slashes, numbers that stand for addresses. Whether its scheme, port and addresses are allowed is
//! not decided here (`egress`, and the courier that sends).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest URL in bytes.
pub const URL_BYTES_MAX: usize = 2_048;

const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A well-formed `https` or `http` URL.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EndpointUrl {
    scheme: Scheme,
    host: Host,
    port: u16,
    path_and_query: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Scheme {
    Https,
    Http,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

/// Whom the URL names.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Host {
    /// A name for the DNS: lower case, without the last dot.
    Name(String),
    /// An address, which the DNS is not asked for.
    Address(IpAddr),
}

/// As it stands in a URL: an IPv6 address in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Why a text is no URL of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidUrl {
    #[error("the URL is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    #[error(
        "the URL has a space or another character that is not visible ASCII: write it percent-encoded, a name in punycode"
    )]
    Character,
    #[error("the URL must start with https://")]
    Scheme,
    #[error("the URL must not hold a user name or password")]
    UserInfo,
    #[error("the URL must not have a fragment (#…)")]
    Fragment,
    #[error("the host is no name of the DNS")]
    Name,
    #[error("the host is no address: IPv4 is four decimal numbers, IPv6 stands in brackets and has no zone")]
    Address,
    #[error("the port must be a number from 1 to 65535")]
    Port,
    #[error("the path has a character that must be percent-encoded")]
    Path,
}

impl EndpointUrl {
    /// # Errors
    /// [`InvalidUrl`] names the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        if text.len() > URL_BYTES_MAX {
            return Err(InvalidUrl::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidUrl::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidUrl::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err(InvalidUrl::Scheme),
        };
        if rest.contains('#') {
            return Err(InvalidUrl::Fragment);
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(InvalidUrl::UserInfo);
        }
        let (host, port) = parse_authority(authority)?;
        let port = port.unwrap_or(scheme.default_port());
        Ok(Self { scheme, host, port, path_and_query: parse_path(path)? })
    }

    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub const fn is_https(&self) -> bool {
        matches!(self.scheme, Scheme::Https)
    }

    /// The value of the `Host` header: the port only if it is not the scheme's own.
    #[must_use]
    pub fn host_header(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The target of the request line: path and query, never empty.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.path_and_query
    }
}

/// Reads back as the same URL.
impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.host_header(), self.path_and_query)
    }
}

/// A host, and a port if one is written.
pub(super) fn parse_authority(authority: &str) -> Result<(Host, Option<u16>), InvalidUrl> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']').ok_or(InvalidUrl::Address)?;
        let address: Ipv6Addr = address.parse().map_err(|_| InvalidUrl::Address)?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if after.is_empty() => None,
            None => return Err(InvalidUrl::Address),
        };
        return Ok((Host::Address(address.into()), port));
    }
    match authority.split_once(':') {
        Some((host, port)) => Ok((parse_host(host)?, Some(parse_port(port)?))),
        None => Ok((parse_host(authority)?, None)),
    }
}

/// Whether `text` is a host by itself.
pub(super) fn is_host(text: &str) -> bool {
    parse_host(text).is_ok()
}

fn parse_host(host: &str) -> Result<Host, InvalidUrl> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let last = host.rsplit('.').next().unwrap_or_default();
    if ends_in_a_number(last) {
        // Rust reads four decimal numbers without leading zeros and nothing else.
        let address: Ipv4Addr = host.parse().map_err(|_| InvalidUrl::Address)?;
        return Ok(Host::Address(address.into()));
    }
    if host.len() > HOST_BYTES_MAX || !host.split('.').all(is_label) {
        return Err(InvalidUrl::Name);
    }
    Ok(Host::Name(host))
}

/// Whether other readers take a host with this last label for an IPv4 address (URL Standard §3.5): decimal, octal or hex.
fn ends_in_a_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    hex || (!label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()))
}

fn is_label(label: &str) -> bool {
    let sane = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(sane)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn parse_port(text: &str) -> Result<u16, InvalidUrl> {
    if text.is_empty() || text.len() > 5 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidUrl::Port);
    }
    text.parse().ok().filter(|port| *port != 0).ok_or(InvalidUrl::Port)
}

/// The characters of RFC 3986 §3.3 and §3.4; a percent sign stands before two hexadecimal digits.
fn parse_path(text: &str) -> Result<String, InvalidUrl> {
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let fine = match byte {
            b'%' => bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
            byte => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(byte),
        };
        if !fine {
            return Err(InvalidUrl::Path);
        }
    }
    if text.starts_with('/') { Ok(text.to_owned()) } else { Ok(format!("/{text}")) }
}

#[cfg(test)]
mod tests;
