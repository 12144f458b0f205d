//! The source addresses that a key may be used from.
//!
//! At most 50 entries, single addresses or CIDR blocks of either family; an empty list admits everybody (seed: API
//! reference §07). IPv4-mapped IPv6 addresses are canonicalised on both sides before they are compared.

use std::net::IpAddr;

use ipnet::IpNet;

/// The most entries that one key may have.
pub const ENTRIES_MAX: usize = 50;

/// Validated entries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Allowlist(Vec<IpNet>);

/// Why an allowlist is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidAllowlist {
    #[error("an allowlist has at most {ENTRIES_MAX} entries")]
    TooMany,
    #[error("{0:?} is neither an IP address nor a CIDR block")]
    Entry(String),
}

impl Allowlist {
    /// # Errors
    /// [`InvalidAllowlist`] for more than 50 entries or one that is neither an address nor a block.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidAllowlist> {
        let nets: Vec<IpNet> = entries.into_iter().map(str::trim).map(parse_network).collect::<Result<_, _>>()?;
        if nets.len() > ENTRIES_MAX {
            return Err(InvalidAllowlist::TooMany);
        }
        Ok(Self(nets))
    }

    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.is_empty() || self.0.iter().any(|net| net.contains(&address))
    }

    /// The entries as text, in order.
    pub fn entries(&self) -> impl Iterator<Item = String> + '_ {
        self.0
            .iter()
            .map(|net| if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() })
    }
}

/// A network as every list of them has it: a single address, which is its own network, or a CIDR block; what is an IPv4
/// address inside IPv6 is that IPv4 address.
///
/// # Errors
/// [`InvalidAllowlist::Entry`] with the text.
pub fn parse_network(text: &str) -> Result<IpNet, InvalidAllowlist> {
    let refused = || InvalidAllowlist::Entry(text.chars().take(64).collect());
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let net: IpNet = text.parse().map_err(|_| refused())?;
    match (net.addr(), net.addr().to_canonical()) {
        (IpAddr::V6(_), IpAddr::V4(v4)) => {
            let len = net.prefix_len().checked_sub(96).ok_or_else(refused)?;
            IpNet::new(IpAddr::V4(v4), len).map(|net| net.trunc()).map_err(|_| refused())
        }
        _ => Ok(net.trunc()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(entries: &[&str], address: &str) -> bool {
        let list = Allowlist::parse(entries.iter().copied()).expect("valid");
        list.admits(address.parse().expect("an address"))
    }

    #[test]
    fn empty_admits_everybody_and_any_match_admits() {
        assert!(admits(&[], "203.0.113.5"));
        assert!(admits(&["203.0.113.5"], "203.0.113.5"));
        assert!(!admits(&["203.0.113.5"], "203.0.113.6"));
        assert!(admits(&["192.0.2.1", "10.0.0.0/8"], "10.255.1.2"));
        assert!(!admits(&["10.0.0.0/8"], "11.0.0.0"));
        assert!(admits(&["2001:db8::/32"], "2001:db8:1::1"));
        assert!(!admits(&[" 203.0.113.5\r\n"], "203.0.113.6"));
    }

    #[test]
    fn mapped_addresses_are_the_ipv4_ones() {
        assert!(admits(&["203.0.113.5"], "::ffff:203.0.113.5"));
        assert!(admits(&["::ffff:203.0.113.5"], "203.0.113.5"));
        assert!(admits(&["::ffff:10.0.0.0/104"], "10.1.2.3"));
        assert!(!admits(&["::ffff:10.0.0.0/104"], "11.1.2.3"));
    }

    #[test]
    fn refuses_what_is_not_an_address() {
        for bad in ["", "10.0.0.0/33", "localhost", "10.0.0.0/8,11.0.0.0/8", "::ffff:10.0.0.0/64"] {
            assert!(Allowlist::parse([bad]).is_err(), "{bad}");
        }
        assert_eq!(Allowlist::parse(["10.0.0.1"; 51]), Err(InvalidAllowlist::TooMany));
        let list = Allowlist::parse(["203.0.113.5", "10.1.2.3/8"]).expect("valid");
        assert_eq!(list.entries().collect::<Vec<_>>(), ["203.0.113.5", "10.0.0.0/8"]);
    }
}
