//! A socket in TLS, for a protocol that begins in the clear and changes over.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::end_point;
use super::trust::Client;

/// A handshake with a server, still to be made.
#[derive(Debug)]
pub struct Handshake {
    client: Client,
    name: ServerName<'static>,
}

impl Handshake {
    /// With the server that is reached as `host`: a name or an IP address.
    ///
    /// # Errors
    /// If no certificate can be for such a name.
    pub fn with(client: Client, host: &str) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| "a certificate can have no such name as that of the host".to_owned())?;
        Ok(Self { client, name })
    }

    /// Makes it over `socket`.
    ///
    /// # Errors
    /// Why there is no TLS; the socket is closed then.
    pub async fn over<S: AsyncRead + AsyncWrite + Unpin>(self, socket: S) -> io::Result<Encrypted<S>> {
        TlsConnector::from(self.client.0).connect(self.name, socket).await.map(Encrypted)
    }
}

/// A socket in TLS.
#[derive(Debug)]
pub struct Encrypted<S>(TlsStream<S>);

impl<S> Encrypted<S> {
    /// What binds a login to the certificate that the server has shown, if anything does.
    #[must_use]
    pub fn end_point(&self) -> Option<Vec<u8>> {
        let shown = self.0.get_ref().1.peer_certificates()?.first()?;
        end_point::of_certificate(shown)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
