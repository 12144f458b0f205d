//! Who stands between a client and its database, ends the client's TLS with a certificate of its own, and passes all bytes on.

use std::sync::Arc;

use nexo_route::wire::encrypted::Handshake;
use nexo_route::wire::trust::{self, Trust};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What a client asks first: its length, and a version that means TLS.
const ASK: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Ends with the test.
pub struct Intruder {
    pub port: u16,
    _passing: JoinSet<()>,
}

impl Intruder {
    /// Stands before the server at `port`.
    pub async fn before(port: u16) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate").der().clone();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .expect("a certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let own = listener.local_addr().expect("an address").port();
        let mut passing = JoinSet::new();
        passing.spawn(async move {
            let mut guests = JoinSet::new();
            while let Ok((guest, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                guests.spawn(async move {
                    let _ends_when_one_of_them_does = pass(guest, &acceptor, port).await;
                });
            }
        });
        Self { port: own, _passing: passing }
    }
}

async fn pass(mut guest: TcpStream, acceptor: &TlsAcceptor, port: u16) -> anyhow::Result<()> {
    let mut asked = [0; 8];
    guest.read_exact(&mut asked).await?;
    anyhow::ensure!(asked == ASK, "no TLS is asked for");
    guest.write_all(b"S").await?;
    let mut guest = acceptor.accept(guest).await?;

    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    server.write_all(&ASK).await?;
    anyhow::ensure!(server.read_u8().await? == b'S', "the server has no TLS");
    let client = trust::client(Trust::Nothing, None).map_err(anyhow::Error::msg)?;
    let mut server = Handshake::with(client, "localhost").map_err(anyhow::Error::msg)?.over(server).await?;
    copy_bidirectional(&mut guest, &mut server).await?;
    Ok(())
}
