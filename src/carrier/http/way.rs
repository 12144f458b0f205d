//! What connections to one provider are made with.

use std::time::Duration;

use crate::config::upstreams::http::HttpConfig;
use crate::domain::endpoint_url::EndpointUrl;

/// Whom lines go to, and what they are given.
#[derive(Clone, Debug)]
pub(in crate::carrier) struct Way {
    pub(in crate::carrier) url: EndpointUrl,
    /// PEM with certificate authorities to trust besides the public ones.
    pub(in crate::carrier) extra_ca_file: Option<String>,
    pub(in crate::carrier) connect_timeout: Duration,
    pub(in crate::carrier) answer_timeout: Duration,
    pub(in crate::carrier) keep_alive: Duration,
    pub(in crate::carrier) kept_max: usize,
}

impl From<&HttpConfig> for Way {
    fn from(config: &HttpConfig) -> Self {
        Self {
            url: config.url.clone(),
            extra_ca_file: config.extra_ca_file.clone(),
            connect_timeout: config.connect_timeout,
            answer_timeout: config.answer_timeout,
            keep_alive: config.keep_alive,
            kept_max: config.in_flight_max,
        }
    }
}
