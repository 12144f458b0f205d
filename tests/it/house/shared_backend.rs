//! A pooler that passes on the settings of the first session, and then runs everybody's transactions on its one backend.
//!
//! No pooler that we know does both; one that did would pass every look at the settings of a session.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// It listens until it is dropped.
#[derive(Debug)]
pub struct SharedBackend {
    /// The address of the database, through it.
    pub url: String,
    _tasks: JoinSet<()>,
}

/// The session, and what its server said when it began.
#[derive(Default)]
struct Backend(Option<(TcpStream, Vec<u8>)>);

impl SharedBackend {
    pub async fn before_postgres(url: &str) -> Self {
        let (user, rest) = url.rsplit_once('@').expect("a user");
        let (server, database) = rest.split_once('/').expect("a database");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("{user}@{}/{database}", listener.local_addr().expect("bound"));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server.parse().expect("an address")));
        Self { url, _tasks: tasks }
    }
}

async fn accept(listener: TcpListener, server: SocketAddr) {
    let backend = Arc::new(Mutex::new(Backend::default()));
    let mut clients = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        clients.spawn(serve(client, server, Arc::clone(&backend)));
    }
}

/// Ends when either side does.
async fn serve(mut client: TcpStream, server: SocketAddr, backend: Arc<Mutex<Backend>>) -> Option<()> {
    let startup = message(&mut client, false).await?;
    {
        let mut backend = backend.lock().await;
        if backend.0.is_none() {
            let mut session = TcpStream::connect(server).await.ok()?;
            session.write_all(&startup).await.ok()?;
            let greeting = greeting(&mut client, &mut session).await?;
            backend.0 = Some((session, greeting));
        } else if let Some((_, greeting)) = &backend.0 {
            client.write_all(greeting).await.ok()?;
        }
    }
    loop {
        // A transaction has the backend to itself.
        let mut first = Some(message(&mut client, true).await?);
        let mut backend = backend.lock().await;
        let (session, _) = backend.0.as_mut()?;
        loop {
            let asked = match first.take() {
                Some(asked) => asked,
                None => message(&mut client, true).await?,
            };
            if asked[0] == b'X' {
                return None;
            }
            session.write_all(&asked).await.ok()?;
            if matches!(asked[0], b'Q' | b'S') && answer(session, &mut client).await? == b'I' {
                break;
            }
        }
    }
}

/// The password of the first session goes by; what follows its acceptance is kept for the others.
async fn greeting(client: &mut TcpStream, session: &mut TcpStream) -> Option<Vec<u8>> {
    let mut kept = Vec::new();
    loop {
        let said = message(session, true).await?;
        client.write_all(&said).await.ok()?;
        let asks = said[0] == b'R' && said[5..9] != [0; 4];
        if asks {
            let password = message(client, true).await?;
            session.write_all(&password).await.ok()?;
        } else {
            kept.extend_from_slice(&said);
        }
        if said[0] == b'Z' {
            return Some(kept);
        }
    }
}

/// Passes an answer on; returns whether a transaction is open after it.
async fn answer(session: &mut TcpStream, client: &mut TcpStream) -> Option<u8> {
    loop {
        let said = message(session, true).await?;
        client.write_all(&said).await.ok()?;
        if said[0] == b'Z' {
            return said.get(5).copied();
        }
    }
}

/// One whole message; the first of a client has no type.
async fn message(from: &mut TcpStream, typed: bool) -> Option<Vec<u8>> {
    let head = usize::from(typed);
    let mut bytes = vec![0; head + 4];
    from.read_exact(&mut bytes).await.ok()?;
    let length = u32::from_be_bytes(*bytes[head..].first_chunk()?) as usize;
    bytes.resize(head + length, 0);
    from.read_exact(&mut bytes[head + 4..]).await.ok()?;
    Some(bytes)
}
