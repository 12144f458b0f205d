//! How much of a server's certificate counts, where the operator says so.
//!
//! For databases: their certificates often come from an authority of the house, bear other names than the one they are reached
//! by, or are their own authority. Whatever counts of a certificate, the server must hold its key: the handshake's signature is
//! always verified, or another server could show a certificate that it only copied.

use std::sync::Arc;

pub use rustls::ClientConfig;
use rustls::client::danger::{
    DangerousClientConfigBuilder, HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// What must hold of a server's certificate.
#[derive(Clone, Debug)]
pub enum Trust {
    Nothing,
    /// It comes from one of these, whatever its name.
    Chain(Authorities),
    ChainAndName(Authorities),
}

/// Whom certificates must come from.
#[derive(Clone, Debug)]
pub struct Authorities {
    roots: RootCertStore,
    /// The same as they were read: a server's own certificate may be one of them.
    certificates: Vec<CertificateDer<'static>>,
}

/// A client that is set up, for any number of handshakes; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(pub(super) Arc<ClientConfig>);

/// A client's certificates, its own first, and the key of that.
#[derive(Debug)]
pub struct Identity {
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Authorities {
    /// Mozilla's.
    #[must_use]
    pub fn public() -> Self {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Self { roots, certificates: Vec::new() }
    }

    /// Those of a PEM text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let certificates = certificates(pem)?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(|error| error.to_string())?;
        }
        Ok(Self { roots, certificates })
    }
}

impl Identity {
    /// # Errors
    /// What is wrong with the certificates, or with the key, of which nothing is repeated.
    pub fn from_pem(certificates_pem: &[u8], key_pem: &[u8]) -> Result<Self, String> {
        let certificates = certificates(certificates_pem)?;
        let key = PrivateKeyDer::from_pem_slice(key_pem)
            .map_err(|_| "the key is no unencrypted private key in PEM".to_owned())?;
        Ok(Self { certificates, key })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| error.to_string())?;
    if found.is_empty() { Err("it holds no certificate".to_owned()) } else { Ok(found) }
}

/// A client that trusts so much, and shows `identity` to a server that asks for one.
///
/// # Errors
/// If the key does not belong to the certificate, or is of a kind that is not known.
pub fn client(trust: Trust, identity: Option<Identity>) -> Result<Client, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let cfg = builder.map_err(|error| error.to_string())?;
    let verifier = Arc::new(Verifier { trust, provider });
    let builder = DangerousClientConfigBuilder { cfg }.with_custom_certificate_verifier(verifier);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificates, key }) => {
            builder.with_client_auth_cert(certificates, key).map_err(|error| error.to_string())?
        }
    };
    Ok(Client(Arc::new(config)))
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (authorities, is_name_verified) = match &self.trust {
            Trust::Nothing => return Ok(ServerCertVerified::assertion()),
            Trust::Chain(authorities) => (authorities, false),
            Trust::ChainAndName(authorities) => (authorities, true),
        };
        let certificate = ParsedCertificate::try_from(shown)?;
        // A certificate that signed itself is no server's to webpki when it may sign others too; the operator named this very
        // one. As with any root, its dates are the operator's matter.
        if !authorities.certificates.contains(shown) {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &authorities.roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        if is_name_verified {
            verify_server_name(&certificate, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    /// A certificate for `db.internal` that signed itself, as `openssl req -x509` makes one: it may sign others.
    fn own_authority() -> (String, ServerConfig) {
        let mut params = CertificateParams::new(vec!["db.internal".to_owned()]).expect("a name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()));
        (certificate.pem(), config.expect("a certificate"))
    }

    /// Whether a client that trusts so much speaks to the server under `name`.
    async fn speaks(server: &ServerConfig, trust: Trust, name: &'static str) -> bool {
        let (here, there) = tokio::io::duplex(16 * 1024);
        let connector = TlsConnector::from(client(trust, None).expect("a client").0);
        let acceptor = TlsAcceptor::from(Arc::new(server.clone()));
        let name = ServerName::try_from(name).expect("a name");
        let (connected, _accepted) = tokio::join!(connector.connect(name, here), acceptor.accept(there));
        connected.is_ok()
    }

    #[tokio::test]
    async fn a_servers_own_certificate_may_be_the_authority() {
        let (pem, server) = own_authority();
        let own = || Authorities::from_pem(pem.as_bytes()).expect("reads");
        let other = || Authorities::from_pem(own_authority().0.as_bytes()).expect("reads");
        assert!(speaks(&server, Trust::ChainAndName(own()), "db.internal").await);
        assert!(!speaks(&server, Trust::ChainAndName(own()), "db.example").await);
        assert!(speaks(&server, Trust::Chain(own()), "db.example").await);
        assert!(speaks(&server, Trust::Nothing, "db.example").await);
        for trust in [Trust::Chain(other()), Trust::Chain(Authorities::public()), Trust::ChainAndName(other())] {
            assert!(!speaks(&server, trust, "db.internal").await);
        }
    }

    #[test]
    fn a_file_that_is_none_is_told_and_a_key_is_not_repeated() {
        assert_eq!(Authorities::from_pem(b"").map(drop), Err("it holds no certificate".to_owned()));
        let (pem, _) = own_authority();
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let wrong = Identity::from_pem(pem.as_bytes(), encrypted.as_bytes()).map(drop).expect_err("no key");
        assert!(wrong.contains("unencrypted") && !wrong.contains("c2VjcmV0"), "{wrong}");
    }
}
