//! From an address to a connection: name, TCP, TLS.
//!
//! Certificate authorities are read anew for each connection, so that a file that was replaced needs no restart. An SMSC is the
//! operator's choice: unlike a webhook's, its address may be a private one.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::upstreams::smpp::{SmppConfig, SmppTls};

pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("{0}")]
    Connect(#[from] io::Error),
    /// A certificate that is not believed, or a name that is none: nothing that waiting mends.
    #[error("tls: {0}")]
    Tls(String),
    /// The file may be about to be replaced.
    #[error("tls: {0}")]
    Authorities(String),
}

/// Connects to the SMSC.
pub(super) async fn dial(config: &SmppConfig) -> Result<Box<dyn Socket>, DialError> {
    let stream = TcpStream::connect(&config.address).await?;
    // A PDU does not wait for the next.
    stream.set_nodelay(true)?;
    let Some(tls) = &config.tls else {
        return Ok(Box::new(stream));
    };
    let connector = TlsConnector::from(Arc::new(authorities(tls).await.map_err(DialError::Authorities)?));
    let name = server_name(config, tls).map_err(DialError::Tls)?;
    Ok(Box::new(connector.connect(name, stream).await.map_err(failed)?))
}

/// Why a handshake failed. What is no TLS at all may be a balancer that answers for an SMSC that is away.
fn failed(error: io::Error) -> DialError {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(_)) => DialError::Tls(error.to_string()),
        _ => DialError::Connect(error),
    }
}

fn server_name(config: &SmppConfig, tls: &SmppTls) -> Result<ServerName<'static>, String> {
    let host = config.address.rsplit_once(':').map_or(config.address.as_str(), |(host, _)| host);
    let name = tls.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']);
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(ServerName::IpAddress(address.into())),
        Err(_) => ServerName::try_from(name.to_owned()).map_err(|error| format!("server_name: {error}")),
    }
}

/// Mozilla's authorities, or the operator's own.
async fn authorities(tls: &SmppTls) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let wrong = |error: String| format!("ca_file {}: {error}", path.display());
            let pem = tokio::fs::read(path).await.map_err(|error| wrong(error.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(wrong("it holds no certificate".to_owned()));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::smpp::samples::config;

    #[test]
    fn the_certificate_is_for_the_host_unless_another_name_is_set() {
        let name = |more: &str| {
            let config = config(more);
            let tls = config.tls.clone().expect("set");
            server_name(&config, &tls).map(|name| name.to_str().into_owned())
        };
        assert_eq!(name("tls = {}").as_deref(), Ok("localhost"));
        assert_eq!(name("tls = { server_name = \"smsc.example.net\" }").as_deref(), Ok("smsc.example.net"));
        assert_eq!(name("tls = { server_name = \"[::1]\" }").as_deref(), Ok("::1"));
        let no_name = SmppTls { server_name: Some("no name".to_owned()), ca_file: None };
        assert!(server_name(&config("tls = {}"), &no_name).is_err());
    }

    #[test]
    fn only_a_certificate_is_nothing_that_waiting_mends() {
        let of = |error: rustls::Error| failed(io::Error::new(io::ErrorKind::InvalidData, error));
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        assert!(matches!(of(expired), DialError::Tls(_)));
        let no_tls = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert!(matches!(of(no_tls), DialError::Connect(_)));
        assert!(matches!(failed(io::ErrorKind::UnexpectedEof.into()), DialError::Connect(_)));
    }

    #[tokio::test]
    async fn a_file_without_a_certificate_is_named() {
        let tls = SmppTls { ca_file: Some("/nowhere/ca.pem".into()), ..SmppTls::default() };
        assert!(authorities(&tls).await.expect_err("missing").contains("/nowhere/ca.pem"));
        assert!(authorities(&SmppTls::default()).await.is_ok());
    }
}
