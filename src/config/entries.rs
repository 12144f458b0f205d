//! Lists of networks and addresses in the settings: one way to read them all, which names the entry that is wrong.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::domain::allowlist::parse_network;

/// Addresses and CIDR blocks.
pub(super) fn networks<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<IpNet>, D::Error> {
    read(list, "neither an IP address nor a CIDR block", |entry| parse_network(entry).ok())
}

/// Addresses, each with its port.
pub(super) fn sockets<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<SocketAddr>, D::Error> {
    read(list, "not ADDRESS:PORT", |entry| entry.parse().ok())
}

fn read<'de, T, D: Deserializer<'de>>(
    list: D,
    otherwise: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, D::Error> {
    let entries = Vec::<String>::deserialize(list)?;
    let read =
        |entry: &String| parse(entry.trim()).ok_or_else(|| D::Error::custom(format!("{entry:?} is {otherwise}")));
    entries.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, ConfigError, assemble};

    fn with(text: &str) -> Result<Config, ConfigError> {
        assemble(Some((Path::new("nexo.toml"), text)), []).map(|loaded| loaded.config)
    }

    /// Every list of networks in the manual.
    const LISTS: [(&str, &str); 4] = [
        ("http", "trusted_proxies"),
        ("callbacks", "trusted_proxies"),
        ("webhooks", "allow_networks"),
        ("webhooks", "deny_networks"),
    ];

    fn lists(config: &Config) -> [Vec<String>; 4] {
        let of = |networks: &[ipnet::IpNet]| networks.iter().map(ToString::to_string).collect();
        let Config { http, callbacks, webhooks, .. } = config;
        [
            of(&http.trusted_proxies),
            of(&callbacks.trusted_proxies),
            of(&webhooks.allow_networks),
            of(&webhooks.deny_networks),
        ]
    }

    #[test]
    fn a_plain_address_is_a_network_in_every_list() {
        let entries = r#"["10.0.0.7", "10.1.2.3/8", "::1", "2001:db8::/32", "::ffff:192.0.2.1"]"#;
        let networks = ["10.0.0.7/32", "10.0.0.0/8", "::1/128", "2001:db8::/32", "192.0.2.1/32"];
        for (index, (section, list)) in LISTS.into_iter().enumerate() {
            let config = with(&format!("[{section}]\n{list} = {entries}")).expect("holds");
            assert_eq!(lists(&config)[index], networks, "{section}.{list}");
            let variable = format!("NEXO_{}__{}", section.to_uppercase(), list.to_uppercase());
            let config = assemble(None, [(variable.into(), "10.0.0.7, ::1".into())]).expect("holds").config;
            assert_eq!(lists(&config)[index], ["10.0.0.7/32", "::1/128"], "{section}.{list}");
        }
    }

    #[test]
    fn the_entry_that_is_wrong_is_named_with_its_field() {
        let wrong = |section: &str, list: &str, entries: &str| {
            with(&format!("[{section}]\n{list} = {entries}")).expect_err("refused").to_string()
        };
        for (section, list) in LISTS {
            for bad in ["10.0.0.0/33", "proxy.internal", "", "10.0.0.1:80", "::ffff:10.0.0.0/64"] {
                let said = wrong(section, list, &format!("[\"10.0.0.0/8\", {bad:?}]"));
                let expected = format!("{section}.{list}: {bad:?} is neither an IP address nor a CIDR block");
                assert_eq!(said, expected);
            }
        }
        let said = wrong("webhooks", "dns_servers", "[\"9.9.9.9:53\", \"9.9.9.9\"]");
        assert_eq!(said, "webhooks.dns_servers: \"9.9.9.9\" is not ADDRESS:PORT");
    }
}
