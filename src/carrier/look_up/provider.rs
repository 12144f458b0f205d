//! A provider of look-ups over HTTP: asked with GET, answered with JSON.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderName, HeaderValue, USER_AGENT};
use serde_json::Value;
use tokio::time::Instant;

use super::Directory;
use crate::carrier::http::answer::json;
use crate::carrier::http::exchange::Undone;
use crate::carrier::http::line::{Lines, Way};
use crate::config::carriers::LookUpConfig;
use crate::config::millis;
use crate::domain::endpoint_url::EndpointUrl;
use crate::domain::phone::Phone;

/// How long an idle connection is kept: below the time after which many servers close theirs.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// A number that every template can be tried with.
const SAMPLE: &str = "84981234567";

/// Where numbers are looked up.
#[derive(Clone)]
pub struct Provider(Arc<Inner>);

struct Inner {
    lines: Lines,
    url: String,
    host: HeaderValue,
    headers: Vec<(HeaderName, HeaderValue)>,
    pointer: String,
    timeout: Duration,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({:?})", self.0.lines)
    }
}

impl Provider {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// What of the settings cannot be used, without any value.
    pub fn new(config: &LookUpConfig) -> Result<Self, String> {
        let url = EndpointUrl::parse(&with_number(&config.url, SAMPLE)).map_err(|why| format!("url: {why}"))?;
        let (timeout, kept_max) = (millis(config.timeout_ms), config.in_flight_max);
        let host = HeaderValue::try_from(url.host_header()).map_err(|_| "url: its host is no header".to_owned())?;
        let way = Way {
            url,
            extra_ca_file: None,
            connect_timeout: timeout,
            answer_timeout: timeout,
            keep_alive: KEEP_ALIVE,
            kept_max,
        };
        Ok(Self(Arc::new(Inner {
            lines: Lines::to(way).map_err(|error| error.to_string())?,
            url: config.url.clone(),
            host,
            headers: headers(config)?,
            pointer: config.pointer.clone(),
            timeout,
        })))
    }
}

fn headers(config: &LookUpConfig) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let mut headers = Vec::new();
    let secret = |text: &str| {
        let mut value = HeaderValue::try_from(text).map_err(|_| "a secret cannot stand in a header".to_owned())?;
        value.set_sensitive(true);
        Ok::<_, String>(value)
    };
    if let Some(bearer) = &config.bearer {
        headers.push((AUTHORIZATION, secret(&format!("Bearer {}", bearer.expose()))?));
    }
    if let Some(header) = &config.header {
        let name = HeaderName::try_from(&header.name).map_err(|_| "header.name is no header".to_owned())?;
        headers.push((name, secret(header.value.expose())?));
    }
    Ok(headers)
}

/// The address that is asked, with `digits` (84 and the national number) where the number belongs.
fn with_number(url: &str, digits: &str) -> String {
    let national = digits.strip_prefix("84").unwrap_or(digits);
    let url = url.replace("{phone}", &format!("%2B{digits}")).replace("{phone_digits}", digits);
    url.replace("{phone_national}", &format!("0{national}"))
}

impl Inner {
    fn request(&self, url: &EndpointUrl) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = url.target().parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static("NEXO-ROUTE/1.0"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.extend(self.headers.iter().cloned());
        request
    }

    async fn ask(&self, phone: Phone) -> Result<Option<String>, String> {
        let url = with_number(&self.url, phone.e164().trim_start_matches('+'));
        let url = EndpointUrl::parse(&url).map_err(|why| why.to_string())?;
        let answered = self.lines.exchange(Instant::now() + self.timeout, || self.request(&url)).await;
        let answer = answered.map_err(|undone| match undone {
            Undone::Unreachable(why) | Undone::NotSent(why) => why,
            Undone::Lost(why) => why.to_owned(),
        })?;
        match answer.status {
            200..=299 => {}
            404 => return Ok(None),
            status => return Err(format!("status {status}")),
        }
        let body: Value = json(&answer.body).ok_or_else(|| "the answer is no JSON".to_owned())?;
        Ok(match body.pointer(&self.pointer) {
            Some(Value::String(word)) => Some(word.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
        })
    }
}

impl Directory for Provider {
    fn ask(&self, phone: Phone) -> BoxFuture<'static, Result<Option<String>, String>> {
        let provider = Arc::clone(&self.0);
        Box::pin(async move { provider.ask(phone).await })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    /// Answers each connection once; returns what it was asked.
    async fn serve(listener: TcpListener, answers: Vec<&'static str>) -> Vec<String> {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            let mut request = vec![0; 2_048];
            let count = stream.read(&mut request).await.expect("reads");
            request.truncate(count);
            asked.push(String::from_utf8(request).expect("text"));
            stream.write_all(answer.as_bytes()).await.expect("writes");
        }
        asked
    }

    fn config(port: u16) -> LookUpConfig {
        toml::from_str(&format!(
            "url = \"http://127.0.0.1:{port}/v1/{{phone_digits}}?k=1\"\npointer = \"/result/mccmnc\""
        ))
        .expect("holds")
    }

    #[tokio::test]
    async fn a_number_is_asked_for_and_the_answer_is_pointed_at() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let provider = Provider::new(&config(listener.local_addr().expect("bound").port())).expect("usable");
        const OK: &str =
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 31\r\n\r\n{\"result\":{\"mccmnc\":\"452-01\"}}\n";
        const NUMBER: &str =
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 27\r\n\r\n{\"result\":{\"mccmnc\":45201}}";
        const HTML: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\n<html>";
        const MISSING: &str = "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        const BROKEN: &str = "HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let mut served = JoinSet::new();
        served.spawn(serve(listener, vec![OK, NUMBER, HTML, MISSING, BROKEN]));
        let phone = Phone::parse("+84981234567").expect("valid");
        assert_eq!(provider.ask(phone).await, Ok(Some("452-01".to_owned())));
        assert_eq!(provider.ask(phone).await, Ok(Some("45201".to_owned())));
        assert_eq!(provider.ask(phone).await, Err("the answer is no JSON".to_owned()));
        assert_eq!(provider.ask(phone).await, Ok(None));
        assert_eq!(provider.ask(phone).await, Err("status 500".to_owned()));
        let asked = served.join_next().await.expect("one task").expect("no panic");
        assert!(asked[0].starts_with("GET /v1/84981234567?k=1 HTTP/1.1\r\n"), "{}", asked[0]);
        assert!(provider.ask(phone).await.is_err(), "nobody listens any more");
    }

    #[test]
    fn a_number_stands_in_the_address_as_it_is_wanted() {
        assert_eq!(with_number("https://h/{phone}", SAMPLE), "https://h/%2B84981234567");
        assert_eq!(with_number("https://h/?n={phone_national}", SAMPLE), "https://h/?n=0981234567");
        // VinaPhone's own prefix is 84.
        assert_eq!(with_number("https://h/?n={phone_national}", "84841234567"), "https://h/?n=0841234567");
        assert_eq!(with_number("https://h/?n={phone_national}", "84848484848"), "https://h/?n=0848484848");
        let wrong = LookUpConfig { url: "ftp://h/{phone}".to_owned(), ..config(1) };
        assert!(Provider::new(&wrong).expect_err("refused").starts_with("url"));
    }
}
