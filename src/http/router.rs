//! Which paths there are and which methods each takes. `openapi.json` is held against this table by a test.
//!
//! A trailing slash is another path. HEAD is GET without its body. It knows no handler.

use hyper::Method;

use crate::http::error::ApiError;

const DELIVERIES: &str = "/api/v1/deliveries";

/// A path of the public API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource<'a> {
    SendOtp,
    Deliveries,
    /// With the id's text, which may be anything without a slash.
    Delivery(&'a str),
    Balance,
    WebhookAttempts,
    OpenApi,
}

impl<'a> Resource<'a> {
    /// What `path` names, whatever the method.
    #[must_use]
    pub fn find(path: &'a str) -> Option<Self> {
        match path {
            "/api/v1/send-otp" => Some(Self::SendOtp),
            DELIVERIES => Some(Self::Deliveries),
            "/api/v1/balance" => Some(Self::Balance),
            "/api/v1/webhooks/attempts" => Some(Self::WebhookAttempts),
            "/openapi.json" => Some(Self::OpenApi),
            _ => path
                .strip_prefix(DELIVERIES)
                .and_then(|rest| rest.strip_prefix('/'))
                .filter(|id| !id.is_empty() && !id.contains('/'))
                .map(Self::Delivery),
        }
    }

    /// The path as OpenAPI and the metrics write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// Every name, and last that of what is no path of ours.
    pub const NAMES: [&'static str; 7] = [
        "/api/v1/send-otp",
        "/api/v1/deliveries",
        "/api/v1/deliveries/{id}",
        "/api/v1/balance",
        "/api/v1/webhooks/attempts",
        "/openapi.json",
        "unknown",
    ];

    /// The place of the resource's name in [`Resource::NAMES`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::SendOtp => 0,
            Self::Deliveries => 1,
            Self::Delivery(_) => 2,
            Self::Balance => 3,
            Self::WebhookAttempts => 4,
            Self::OpenApi => 5,
        }
    }

    /// The methods that it takes, as `Allow` lists them.
    #[must_use]
    pub const fn allow(self) -> &'static str {
        match self {
            Self::SendOtp => "POST",
            Self::Deliveries | Self::Delivery(_) | Self::Balance | Self::WebhookAttempts | Self::OpenApi => "GET, HEAD",
        }
    }

    /// # Errors
    /// `method_not_allowed` with the methods that it takes.
    pub fn check(self, method: &Method) -> Result<(), ApiError> {
        let allow = self.allow();
        if allow.split(", ").any(|allowed| allowed == method.as_str()) {
            Ok(())
        } else {
            Err(ApiError::MethodNotAllowed { allow })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_exactly_what_it_is() {
        for (index, name) in Resource::NAMES[..6].iter().enumerate() {
            let resource = Resource::find(name).expect("routed");
            assert_eq!((resource.name(), resource.index()), (*name, index));
        }
        for path in [
            "",
            "/",
            "*",
            "/api/v1",
            "/api/v1/send-otp/",
            "/api/v1/balance/",
            "/api/v1/deliveries/",
            "/api/v1/deliveries/a/",
            "/api/v1/deliveries/a/b",
            "/API/v1/balance",
            "//api/v1/balance",
            "/api/v1/deliveriesx",
            "/api/v1/webhooks",
            "/api/v1/webhooks/attempts/",
        ] {
            assert_eq!(Resource::find(path), None, "{path}");
        }
    }

    #[test]
    fn a_refused_method_names_those_that_are_taken() {
        assert_eq!(Resource::SendOtp.check(&Method::POST), Ok(()));
        assert_eq!(Resource::Balance.check(&Method::HEAD), Ok(()));
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT] {
            assert_eq!(Resource::SendOtp.check(&method), Err(ApiError::MethodNotAllowed { allow: "POST" }));
        }
        assert_eq!(Resource::Balance.check(&Method::OPTIONS), Err(ApiError::MethodNotAllowed { allow: "GET, HEAD" }));
    }
}
