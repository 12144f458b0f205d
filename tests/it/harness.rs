//! The harness itself: its checks complain, its wires can be cut, its client says what it got.

use nexo_route::store::{Scalar, Statement, Store, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::both_engines;
use crate::house::client::Request;
use crate::house::database::{Database, Engine};
use crate::house::ledger::Ledger;
use crate::house::proxy::{ChaosProxy, Wire};

both_engines! {
    async fn the_ledger_check_complains(store: Store) { the_ledger_complains(store).await }
}

static WALLET: Statement = Statement::new(
    "test.wallet",
    &[],
    &[Type::Id, Type::I64],
    "INSERT INTO wallets (account, free_credit, bonus_credit, balance) VALUES ($1, 0, 0, $2)",
);
static MOVEMENT: Statement = Statement::new(
    "test.movement",
    &[],
    &[Type::Id, Type::Id, Type::Id, Type::Text, Type::I64],
    "INSERT INTO movements (id, account, delivery, kind, free_credit, bonus_credit, balance, at_us) \
     VALUES ($1, $2, $3, $4, 0, 0, $5, {now_us})",
);
static DELIVERY: Statement = Statement::new(
    "test.delivery",
    &[],
    &[Type::Id, Type::Id, Type::I64, Type::I64, Type::Bytes],
    "INSERT INTO deliveries (id, account, phone_key, phone_sealed, carrier, channel, from_free, from_bonus, from_balance, \
     status, created_us, settle_us) VALUES ($1, $2, 1, $5, 'viettel', 'voice', 0, 0, $3, $4, {now_us}, {now_us})",
);

const ACCOUNT: [u8; 16] = [1; 16];
const DELIVERED: i64 = 1;
const FAILED: i64 = 2;

async fn write(store: &Store, statement: &'static Statement, scalars: Vec<Scalar<'static>>) {
    let wrote = store.write(move |tx| {
        let scalars = scalars.clone();
        Box::pin(async move { tx.execute(statement, &[], &scalars).await })
    });
    assert_eq!(wrote.await, Ok(1));
}

async fn movement(store: &Store, n: u8, delivery: Option<[u8; 16]>, kind: &'static str, amount: i64) {
    let scalars = vec![
        Scalar::Id([n; 16]),
        Scalar::Id(ACCOUNT),
        Scalar::OptId(delivery),
        Scalar::Text(kind),
        Scalar::I64(amount),
    ];
    write(store, &MOVEMENT, scalars).await;
}

async fn delivery(store: &Store, n: u8, amount: i64, status: i64) {
    let scalars =
        vec![Scalar::Id([n; 16]), Scalar::Id(ACCOUNT), Scalar::I64(amount), Scalar::I64(status), Scalar::Bytes(&[0])];
    write(store, &DELIVERY, scalars).await;
}

async fn breaches(store: &Store) -> Vec<String> {
    Ledger::read(store).await.expect("reads").breaches()
}

/// Asserts that there is one breach and that it mentions `part`.
async fn assert_breach(store: &Store, part: &str) {
    let breaches = breaches(store).await;
    assert!(breaches.len() == 1 && breaches[0].contains(part), "{part}: {breaches:#?}");
}

async fn the_ledger_complains(store: Store) {
    movement(&store, 10, None, "credit", 100).await;
    assert_breach(&store, "wallet [0, 0, 0], movements less charges [0, 0, 100]").await;
    write(&store, &WALLET, vec![Scalar::Id(ACCOUNT), Scalar::I64(100)]).await;
    assert_eq!(breaches(&store).await, [""; 0]);

    delivery(&store, 20, 40, DELIVERED).await;
    assert_breach(&store, "movements less charges [0, 0, 60]").await;
    // Money put right; now a delivery that failed without a refund.
    movement(&store, 11, None, "credit", 40).await;
    assert_eq!(breaches(&store).await, [""; 0]);
    delivery(&store, 21, 0, FAILED).await;
    assert_breach(&store, "refunds []").await;
    movement(&store, 21, Some([21; 16]), "refund", 0).await;
    assert_eq!(breaches(&store).await, [""; 0]);
    // A refund of what stands.
    movement(&store, 20, Some([20; 16]), "refund", 0).await;
    assert_breach(&store, "refunds [[0, 0, 0]]").await;

    delivery(&store, 22, 0, 0).await;
    let ledger = Ledger::read(&store).await.expect("reads");
    assert_eq!((ledger.overdue(-1), ledger.with_status(0), ledger.deliveries.len()), (1, 1, 3));
}

/// Answers whatever comes with the bytes that came.
async fn echo(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[tokio::test]
async fn a_wire_can_be_cut_frozen_and_mended() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let server = listener.local_addr().expect("bound");
    let mut tasks = JoinSet::new();
    tasks.spawn(echo(listener));
    let url = format!("postgres://user:secret@{server}/name");
    let (proxy, through) = ChaosProxy::before_postgres(&url).await.expect("starts");
    let address = through.split(['@', '/']).nth(3).expect("an address").to_owned();
    assert_eq!(through, format!("postgres://user:secret@{address}/name"));

    let mut stream = TcpStream::connect(&address).await.expect("connects");
    let mut two = [0; 2];
    stream.write_all(b"hi").await.expect("writes");
    stream.read_exact(&mut two).await.expect("echoes");
    assert_eq!(&two, b"hi");

    proxy.set(Wire::Frozen);
    stream.write_all(b"on").await.expect("writes");
    assert!(stream.try_read(&mut two).is_err(), "nothing passes a frozen wire");
    proxy.set(Wire::Whole);
    stream.read_exact(&mut two).await.expect("echoes");
    assert_eq!(&two, b"on");

    proxy.set(Wire::Cut);
    assert_eq!(stream.read(&mut two).await.unwrap_or(0), 0, "the connection is gone");
    let mut refused = TcpStream::connect(&address).await.expect("the listener stands");
    assert_eq!(refused.read(&mut two).await.unwrap_or(0), 0, "new connections are closed at once");
}

#[tokio::test]
async fn the_client_takes_an_answer_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let server = listener.local_addr().expect("bound");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        let mut request = vec![0; 1_024];
        let count = stream.read(&mut request).await.expect("reads");
        let answer = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 24\r\n\r\n{\"error\":\"rate_limited\"}";
        stream.write_all(answer.as_bytes()).await.expect("writes");
        request.truncate(count);
        String::from_utf8(request).expect("text")
    });
    let request = Request::new("POST", "/x").key("k").json(&serde_json::json!({"a": 1}));
    let answer = request.send(server).await.expect("answers").expect(429);
    assert_eq!((answer.error().as_str(), answer.header("retry-after")), ("rate_limited", Some("7")));
    let seen = tasks.join_next().await.expect("one task").expect("no panic");
    assert_eq!(
        seen,
        format!(
            "POST /x HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nAuthorization: Bearer k\r\n\
             Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{{\"a\":1}}"
        )
    );
}

#[tokio::test]
async fn a_database_goes_when_it_is_removed() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (one, other) = (Database::fresh(engine).await.expect("made"), Database::fresh(engine).await.expect("made"));
        assert_ne!(one.url, other.url);
        let folder = one.folder().to_owned();
        assert!(folder.is_dir());
        one.remove().await.expect("goes");
        assert!(!folder.exists());
        other.remove().await.expect("goes");
    }
}
