//! How many connections may be open, in all and from one client network (an IPv4 address or an IPv6 /64).
//!
//! Trusted proxies carry everybody's connections and are exempt from the second cap. A refused connection costs an
//! accept and a close. A seat gives itself back when it is dropped.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::client_ip::is_trusted;
use crate::http::listener::Limits;
use crate::http::meter::Cut;

/// The counts behind the caps.
#[derive(Debug)]
pub(super) struct Caps {
    limits: Arc<Limits>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Seat {
    caps: Arc<Caps>,
    network: Option<IpAddr>,
}

impl Caps {
    pub(super) fn new(limits: Arc<Limits>) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default() })
    }

    pub(super) fn seat(self: &Arc<Self>, peer: IpAddr) -> Result<Seat, Cut> {
        let peer = peer.to_canonical();
        let network = (!is_trusted(peer, &self.limits.trusted_proxies)).then(|| network_of(peer));
        let mut open = self.lock();
        if open.total >= self.limits.connections_max {
            return Err(Cut::Full);
        }
        if let Some(network) = network {
            let of_network = open.by_network.entry(network).or_default();
            if *of_network >= self.limits.connections_per_ip_max {
                return Err(Cut::FullForAddress);
            }
            *of_network += 1;
        }
        open.total += 1;
        drop(open);
        Ok(Seat { caps: Arc::clone(self), network })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.caps.lock();
        open.total -= 1;
        if let Some(network) = self.network
            && let Some(of_network) = open.by_network.get_mut(&network)
        {
            *of_network -= 1;
            if *of_network == 0 {
                open.by_network.remove(&network);
            }
        }
    }
}

/// The address, or of IPv6 the /64 that one customer is given.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(caps: &Arc<Caps>, peer: &str) -> Result<Seat, Cut> {
        caps.seat(peer.parse().expect("an address"))
    }

    fn caps(connections_max: usize, connections_per_ip_max: usize) -> Arc<Caps> {
        let trusted_proxies = vec!["10.0.0.0/8".parse().expect("a block")];
        Caps::new(Arc::new(Limits { connections_max, connections_per_ip_max, trusted_proxies, ..Limits::default() }))
    }

    #[test]
    fn the_cap_over_all_counts_everybody_and_a_seat_comes_back() {
        let caps = caps(2, 2);
        let held = [seat(&caps, "203.0.113.1"), seat(&caps, "10.0.0.1")].map(|seat| seat.expect("free"));
        assert_eq!(seat(&caps, "10.0.0.1").err(), Some(Cut::Full));
        drop(held);
        assert!(seat(&caps, "203.0.113.1").is_ok());
    }

    #[test]
    fn the_cap_of_a_network_is_per_ipv4_address_or_ipv6_64_and_not_for_proxies() {
        let caps = caps(100, 1);
        let mut held = Vec::new();
        for (peer, allowed) in [
            ("203.0.113.1", true),
            ("::ffff:203.0.113.1", false),
            ("203.0.113.2", true),
            ("2001:db8::1", true),
            ("2001:db8::ffff:0:0:3", false),
            ("2001:db8:0:1::1", true),
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
        ] {
            match seat(&caps, peer) {
                Ok(seat) if allowed => held.push(seat),
                Err(Cut::FullForAddress) if !allowed => {}
                other => panic!("{peer}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_address_that_left_is_forgotten() {
        let caps = Caps::new(Arc::default());
        drop(seat(&caps, "203.0.113.1").expect("free"));
        assert!(caps.lock().by_network.is_empty());
    }
}
