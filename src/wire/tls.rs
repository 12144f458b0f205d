//! TLS as a client: Mozilla's authorities, compiled in, and those that the operator adds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::domain::endpoint_url::Host;

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{}: {reason}", path.display())]
    ExtraCa { path: PathBuf, reason: String },
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// How to verify a server: with `extra_ca_file` (PEM) besides the public authorities. Offers no protocol (ALPN).
///
/// # Errors
/// [`TlsError`] if the file cannot be read or used.
pub fn client(extra_ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = extra_ca_file {
        let unusable = |reason| TlsError::ExtraCa { path: path.to_owned(), reason };
        add_authorities(&mut roots, path).map_err(unusable)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let mut found = 0_usize;
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        found = found.saturating_add(1);
    }
    if found == 0 { Err("it holds no certificate".to_owned()) } else { Ok(()) }
}

/// The name that a server's certificate must have.
///
/// # Errors
/// Why `host` cannot be one, in a short text.
pub fn server_name(host: &Host) -> Result<ServerName<'static>, String> {
    match host {
        Host::Address(address) => Ok(ServerName::IpAddress(address.to_canonical().into())),
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|error| error.to_string()),
    }
}
