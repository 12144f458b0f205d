//! Addresses as they are handed out, and what is refused of them, by name and without a value.

use super::*;

fn parsed(text: &str) -> PostgresAddress {
    PostgresAddress::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    let error = PostgresAddress::parse(text).map(|_| ()).expect_err(text).to_string();
    assert!(!error.contains("hunter2") && !error.contains("s3cret"), "{text}: {error}");
    error
}

fn tcp(name: &str, port: u16) -> Host {
    Host { place: Place::Tcp(name.to_owned()), address: None, port }
}

fn unix(folder: &str) -> Host {
    Host { place: Place::Unix(folder.into()), address: None, port: 5_432 }
}

#[test]
fn hosts_are_read_as_libpq_reads_them() {
    for (text, hosts) in [
        ("postgres://u:p@db.internal/nexo", vec![tcp("db.internal", 5_432)]),
        ("postgresql://db:6432", vec![tcp("db", 6_432)]),
        ("postgres://u@[2001:db8::1]:6/x", vec![tcp("2001:db8::1", 6)]),
        ("postgres://u@[::1]/x", vec![tcp("::1", 5_432)]),
        ("postgres://u@a:1,b,c:3/x", vec![tcp("a", 1), tcp("b", 5_432), tcp("c", 3)]),
        ("postgres://u@a,b/x?port=7", vec![tcp("a", 7), tcp("b", 7)]),
        ("postgres://u@%2Frun%2Fpostgresql/x", vec![unix("/run/postgresql")]),
        ("postgres:///x?host=/run/postgresql", vec![unix("/run/postgresql")]),
        ("postgres://old/x?host=new", vec![tcp("new", 5_432)]),
        ("host=/run/postgresql dbname=x", vec![unix("/run/postgresql")]),
        ("host=a,b port=1,2 user=u", vec![tcp("a", 1), tcp("b", 2)]),
        ("host = 'db' user=u", vec![tcp("db", 5_432)]),
        ("hostaddr=10.0.0.1", vec![Host { address: Some([10, 0, 0, 1].into()), ..tcp("10.0.0.1", 5_432) }]),
        ("host=db hostaddr=::1", vec![Host { address: "::1".parse().ok(), ..tcp("db", 5_432) }]),
    ] {
        assert_eq!(parsed(text).hosts, hosts, "{text}");
    }
}

#[test]
fn credentials_are_decoded_and_never_printed() {
    for (text, user, password, database) in [
        ("postgres://me:hunter2@db/nexo", Some("me"), Some("hunter2"), Some("nexo")),
        ("postgres://me%40tenant:a%40b%2F%25@db/n%20x", Some("me@tenant"), Some("a@b/%"), Some("n x")),
        ("postgres://me:a/b?c%zz@db/x", Some("me"), Some("a/b?c%zz"), Some("x")),
        ("postgres://db/x?user=me&password=hunter2", Some("me"), Some("hunter2"), Some("x")),
        (r"host=db user=me password='it\'s \\ 2' dbname=x", Some("me"), Some(r"it's \ 2"), Some("x")),
        ("postgres://db", None, None, None),
    ] {
        let address = parsed(text);
        let password_read = address.password.as_ref().map(|password| password.as_str());
        assert_eq!((address.user.as_deref(), password_read), (user, password), "{text}");
        assert_eq!(address.database.as_deref(), database, "{text}");
        assert!(!format!("{address:?}").contains("hunter2"));
    }
}

#[test]
fn each_sslmode_verifies_what_libpq_verifies() {
    let file = || Root::File("/etc/ca.pem".into());
    for (query, mode, root, verified) in [
        ("", SslMode::Unsaid, Root::Unsaid, Verified::Nothing),
        ("sslmode=disable", SslMode::Disable, Root::Unsaid, Verified::Nothing),
        ("sslmode=prefer", SslMode::Prefer, Root::Unsaid, Verified::Nothing),
        ("ssl=true", SslMode::Require, Root::Unsaid, Verified::Nothing),
        ("sslmode=require", SslMode::Require, Root::Unsaid, Verified::Nothing),
        ("sslmode=require&sslrootcert=/etc/ca.pem", SslMode::Require, file(), Verified::Chain),
        ("sslmode=prefer&sslrootcert=/etc/ca.pem", SslMode::Prefer, file(), Verified::Chain),
        ("sslmode=verify-ca&sslrootcert=/etc/ca.pem", SslMode::VerifyCa, file(), Verified::Chain),
        ("sslrootcert=%2Fetc%2Fca.pem&sslmode=verify-full", SslMode::VerifyFull, file(), Verified::ChainAndName),
        ("sslmode=verify-full", SslMode::VerifyFull, Root::Public, Verified::ChainAndName),
        ("sslmode=verify-full&sslrootcert=system", SslMode::VerifyFull, Root::Public, Verified::ChainAndName),
    ] {
        let tls = parsed(&format!("postgres://me:hunter2@db/x?{query}")).tls;
        assert_eq!((tls.mode, &tls.root, tls.verified()), (mode, &root, verified), "{query}");
    }
    let identity = parsed("host=db sslmode=require sslcert=/a.pem sslkey=/a.key").tls.identity;
    assert_eq!(identity, Some(("/a.pem".into(), "/a.key".into())));
    // libpq: a unix socket has no TLS, whatever is asked for.
    assert!(!parsed("host=/run sslmode=verify-full").tls.is_spoken());
}

#[test]
fn what_the_driver_took_so_far_is_taken() {
    let more = "application_name=x&options=-c%20geqo%3Doff&connect_timeout=10&keepalives=1&keepalives_idle=9&\
                keepalives_interval=2&keepalives_retries=3&tcp_user_timeout=900&target_session_attrs=read-write&\
                channel_binding=disable&load_balance_hosts=random&sslnegotiation=postgres&gssencmode=disable";
    let address = parsed(&format!("postgres://me@db/x?{more}"));
    assert_eq!((address.options.as_deref(), address.application_name.as_deref()), (Some("-c geqo=off"), Some("x")));
    assert_eq!(address.connect_timeout, Some(Duration::from_secs(10)));
    let seconds = |count| Some(Duration::from_secs(count));
    let expected = KeepAlive {
        is_off: false,
        idle: seconds(9),
        interval: seconds(2),
        retries: Some(3),
        user_timeout: Some(Duration::from_millis(900)),
    };
    assert_eq!((address.keep_alive, address.is_any_order), (expected, true));
    assert_eq!(address.channel_binding, ChannelBinding::Disable);
}

#[test]
fn what_is_refused_is_named() {
    for (text, part) in [
        ("postgres://me:hunter2@db/x?sslfoo=1", "no parameter sslfoo"),
        ("postgres://me:hunter2@db/x?pgbouncer=true", "no parameter pgbouncer"),
        ("host=db password='hunter2' sslfoo=1", "no parameter sslfoo"),
        ("postgres://db/x?sslcrl=/a", "sslcrl of a Postgres address is not supported"),
        ("host=db password=hunter2 sslpassword=hunter2", "sslpassword"),
        ("postgres://db/x?sslmode=verify_full", "sslmode must be disable, prefer"),
        ("postgres://db/x?sslmode=allow", "sslmode=allow is not supported"),
        ("postgres://db/x?sslmode=verify-ca", "sslrootcert must be"),
        ("postgres://db/x?sslmode=require&sslrootcert=system", "sslmode must be verify-full"),
        ("postgres://db/x?sslrootcert=/ca.pem", "need an sslmode"),
        ("postgres://db/x?sslmode=require&sslcert=/a", "sslkey must be"),
        ("postgres://db/x?sslmode=require&sslkey=/a", "sslcert must be"),
        ("postgres://db/x?sslmode=require&sslnegotiation=direct", "sslnegotiation"),
        ("postgres://db/x?gssencmode=require", "gssencmode"),
        ("postgres://db/x?channel_binding=require", "channel_binding must be"),
        ("postgres://db/x?channel_binding=yes", "channel_binding must be"),
        ("postgres://db/x?target_session_attrs=standby", "target_session_attrs must be read-write"),
        ("postgres://db/x?connect_timeout=soon", "connect_timeout"),
        ("postgres://db/x?sslmode", "has no value"),
        ("postgres://db:port/x", "port must be"),
        ("postgres://db:0/x", "port must be"),
        ("postgres://a,b/x?port=1,2,3", "port must be one"),
        ("postgres://2001:db8::1/x", "in brackets"),
        ("postgres:///x", "host must be there"),
        ("postgres://a,,b/x", "host must be there"),
        ("host=a,/run sslmode=require", "all unix sockets"),
        ("postgres://me:hun@ter2@db/x", "written %40"),
        ("postgres://db/x?application_name=a@b", "written %40"),
        ("postgres://me:%ff@db/x", "password must be UTF-8"),
        ("host=db password='hunter2", "not closed"),
        ("host=db nothing", "NAME=VALUE"),
    ] {
        let error = refused(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}

/// A password with special characters falls into pieces; a piece may look like the name of a parameter.
#[test]
fn a_piece_of_a_password_is_never_named() {
    for text in [
        "postgres://me:x@y?s3cret=1@db/x",
        "postgres://me:x@y/z?s3cret=1@db/x",
        "host=db password=one s3cret=two",
        "host=db user=u password=hunter2 s3cret = 1",
        "postgres://me:x@hunter2@db",
        "postgres://me:x@[hunter2/y",
        "postgres://db/x?port=hunter2",
    ] {
        refused(text);
    }
}

#[test]
fn an_operator_is_told_where_the_way_is_open() {
    let count = |text: &str| parsed(text).warnings().len();
    for (text, expected) in [
        ("postgres://db/x", 1),
        ("postgres://localhost,db/x", 1),
        ("postgres://db/x?sslmode=prefer", 1),
        ("postgres://db/x?sslmode=require", 1),
        ("postgres://db/x?sslmode=require&sslrootcert=/ca", 0),
        ("postgres://db/x?sslmode=verify-full", 0),
        ("postgres://db/x?sslmode=disable", 0),
        ("postgres://localhost/x", 0),
        ("postgres://127.0.0.9,[::1]/x", 0),
        ("host=/run/postgresql", 0),
        ("host=db hostaddr=127.0.0.1", 0),
        ("host=localhost hostaddr=10.0.0.1", 1),
    ] {
        assert_eq!(count(text), expected, "{text}");
    }
}
