//! Addresses and paths as they are meant: without the white space that a paste, a shell or a template left around them.

use serde::{Deserialize, Deserializer};

/// A text without the white space around it.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| text.trim().to_owned())
}

/// The same, or none; for a field that has a default.
pub(super) fn any<'de, D: Deserializer<'de>, T: From<String>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(|text| text.trim().to_owned().into()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::config::carriers::LookUpConfig;
    use crate::config::upstreams::http::HttpConfig;
    use crate::config::upstreams::smpp::SmppConfig;

    #[test]
    fn addresses_of_carriers_are_trimmed() {
        let smpp: SmppConfig = toml::from_str(
            "address = \" smsc.example:2775\\n\"\nsystem_id = \"nexo\"\nsender = \"NEXO\"\n\
             tls = { server_name = \" a.example \", ca_file = \" /etc/ca.pem\\r\\n\" }",
        )
        .expect("valid");
        assert_eq!(smpp.address, "smsc.example:2775");
        let tls = smpp.tls.expect("set");
        assert_eq!(tls.server_name.as_deref(), Some("a.example"));
        assert_eq!(tls.ca_file, Some(PathBuf::from("/etc/ca.pem")));

        let http: HttpConfig = toml::from_str(
            "url = \" https://sms.example/send\\n\"\nextra_ca_file = \" /etc/ca.pem \"\njson = { code = \"{code}\" }\n\
             receipts = \"refunded\"\n             answers = [{ means = \"accepted\" }]",
        )
        .expect("valid");
        assert_eq!(http.url.to_string(), "https://sms.example/send");
        assert_eq!(http.extra_ca_file.as_deref(), Some("/etc/ca.pem"));

        let look_up: LookUpConfig =
            toml::from_str("url = \"\\thttps://hlr.example/{phone}\\n\"\npointer = \"/network\"").expect("valid");
        assert_eq!(look_up.url, "https://hlr.example/{phone}");
    }
}
