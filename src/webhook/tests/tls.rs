//! Certificates that are not to be believed, and handshakes that do not end.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::receiver::Receiver;
use super::*;
use crate::domain::webhook::Fault;
use crate::webhook::courier::CourierError;
use crate::wire::tls::TlsError;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Issuer {
    let mut params = CertificateParams::new(vec![]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// A certificate for `name`; signed by itself without an issuer.
fn certificate(
    name: &str,
    issuer: Option<&Issuer>,
    expired: bool,
) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    if expired {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
    }
    let key = KeyPair::generate().expect("a key");
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    (certificate.expect("a certificate").der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()))
}

/// Answers each request over TLS.
async fn receiver(pair: (CertificateDer<'static>, PrivateKeyDer<'static>)) -> Receiver {
    speaking(pair, OK, false).await
}

/// Says `answer` to each request over TLS; `rude` ones close the socket behind the first, without TLS's goodbye.
async fn speaking(
    (certificate, key): (CertificateDer<'static>, PrivateKeyDer<'static>),
    answer: &'static str,
    rude: bool,
) -> Receiver {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Receiver::start(move |guest| {
        let acceptor = acceptor.clone();
        async move {
            let mut guest = guest.over(|stream| acceptor.accept(stream));
            let Ok(stream) = (&mut guest.stream).await else { return };
            let mut guest = guest.over(|_| stream);
            while guest.request().await {
                guest.say(answer).await;
                if rude {
                    return;
                }
            }
        }
    })
    .await
}

/// A file that goes with its test.
struct AuthorityFile(PathBuf);

impl AuthorityFile {
    fn holding(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nexo-{name}-{}.pem", std::process::id()));
        std::fs::write(&path, text).expect("writes");
        Self(path)
    }

    fn config(&self) -> WebhooksConfig {
        WebhooksConfig { extra_ca_file: self.0.display().to_string(), timeout_ms: 5_000, ..config() }
    }
}

impl Drop for AuthorityFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn secure(receiver: &Receiver) -> String {
    format!("https://127.0.0.1:{}/hook", receiver.port)
}

#[tokio::test]
async fn a_certificate_is_believed_if_its_authority_is() {
    let authority = authority();
    let receiver = receiver(certificate("127.0.0.1", Some(&authority), false)).await;
    let file = AuthorityFile::holding("believed", &authority.pem());
    let mut line = line(&file.config(), &secure(&receiver));
    for number in 1..=2 {
        let exchange = within(line.post(&post(&secure(&receiver)))).await;
        assert_eq!((exchange.outcome, exchange.response.as_slice()), (Ok(200), &b"ok"[..]), "{exchange:?}");
        assert_eq!(exchange.phases.tls_us > 0, number == 1, "{exchange:?}");
    }
    assert_eq!(receiver.seen.all().len(), 2);

    let stranger = sent(&WebhooksConfig { timeout_ms: 5_000, ..config() }, &secure(&receiver)).await;
    assert_eq!(stranger.outcome, Err(Fault::Tls), "{stranger:?}");
    assert_eq!(receiver.seen.all().len(), 2, "nothing is said to whom is not believed");
}

#[tokio::test]
async fn a_certificate_that_is_invalid_is_refused() {
    let authority = authority();
    let file = AuthorityFile::holding("invalid", &authority.pem());
    for (what, pair) in [
        ("self-signed", certificate("127.0.0.1", None, false)),
        ("of another name", certificate("example.com", Some(&authority), false)),
        ("expired", certificate("127.0.0.1", Some(&authority), true)),
    ] {
        let receiver = receiver(pair).await;
        let exchange = sent(&file.config(), &secure(&receiver)).await;
        assert_eq!(exchange.outcome, Err(Fault::Tls), "{what}: {exchange:?}");
        assert!(exchange.detail.contains("certificate"), "{what}: {exchange:?}");
        assert!(receiver.seen.all().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn a_handshake_that_breaks_is_told_from_one_that_hangs() {
    let plain = Receiver::start(|mut guest| async move {
        guest.say("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        guest.request().await;
    })
    .await;
    assert_eq!(sent(&config(), &secure(&plain)).await.outcome, Err(Fault::Tls));

    let closing = Receiver::start(|guest| async move { drop(guest) }).await;
    assert_eq!(sent(&config(), &secure(&closing)).await.outcome, Err(Fault::Reset));
    let resetting = Receiver::start(|guest| async move { guest.reset() }).await;
    assert_eq!(sent(&config(), &secure(&resetting)).await.outcome, Err(Fault::Reset));

    let silent = Receiver::start(|mut guest| async move {
        guest.request().await;
    })
    .await;
    let exchange = sent(&config(), &secure(&silent)).await;
    assert_eq!(exchange.outcome, Err(Fault::Timeout));
    assert!(exchange.phases.tls_us > 0 && exchange.phases.wait_us == 0, "{exchange:?}");
}

/// Old servers end a body of unknown length by closing, without TLS's goodbye; the status has come all the same.
#[tokio::test]
async fn a_body_that_ends_without_a_goodbye_counts_if_nothing_of_it_was_promised() {
    let authority = authority();
    let file = AuthorityFile::holding("goodbye", &authority.pem());
    for (answer, outcome) in [
        ("HTTP/1.0 200 OK\r\n\r\nfine", Ok(200)),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfine", Ok(200)),
        ("HTTP/1.0 500 Oh\r\n\r\nfine", Err(Fault::Status)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfine", Err(Fault::Reset)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nfine", Err(Fault::Reset)),
        ("HTTP/1.1 200 OK\r\n", Err(Fault::Reset)),
    ] {
        let receiver = speaking(certificate("127.0.0.1", Some(&authority), false), answer, true).await;
        let exchange = sent(&file.config(), &secure(&receiver)).await;
        assert_eq!(exchange.outcome, outcome, "{answer}: {exchange:?}");
    }
}

#[tokio::test]
async fn old_versions_of_tls_are_refused() {
    // The fatal alert of a server that knows TLS 1.0 only, and that server's hello.
    let hello = [&[22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1][..], &[7; 32], &[0, 0, 47, 0]].concat();
    for said in [vec![21, 3, 1, 0, 2, 2, 70], hello] {
        let receiver = Receiver::start(move |mut guest| {
            let said = said.clone();
            async move {
                guest.say(said).await;
                let mut rest = [0; 64];
                while tokio::io::AsyncReadExt::read(&mut guest.stream, &mut rest).await.is_ok_and(|count| count > 0) {}
            }
        })
        .await;
        let exchange = sent(&config(), &secure(&receiver)).await;
        assert_eq!(exchange.outcome, Err(Fault::Tls), "{exchange:?}");
    }
}

#[test]
fn authorities_that_cannot_be_read_are_a_fault_of_the_settings() {
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text) in [("empty", ""), ("text", "no certificate"), ("broken", broken)] {
        let file = AuthorityFile::holding(name, text);
        let error = Courier::new(&file.config()).expect_err(name);
        assert!(matches!(error, CourierError::Tls(TlsError::ExtraCa { .. })), "{error}");
    }
    let missing = WebhooksConfig { extra_ca_file: "no/such/file.pem".to_owned(), ..config() };
    assert!(Courier::new(&missing).expect_err("missing").to_string().contains("no/such/file.pem"));
}
