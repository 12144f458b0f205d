//! A Postgres that speaks TLS only, as rented ones are: each `sslmode`, certificates of clients, channel binding, and a daemon.

mod intruder;
mod server;

use std::os::unix::fs::PermissionsExt;

use nexo_route::store::Store;
use serde_json::json;

use crate::commands::{Daemon, address, nexo_route, text};
use crate::house::client::Request;
use crate::house::database::cluster;
use intruder::Intruder;
use server::{TlsServer, replace};

/// Asks the database of `url` with a new connection; what it says if that fails.
async fn asked(url: &str) -> Result<(), String> {
    let store = Store::open(url, 1).await.map_err(|error| error.to_string())?;
    let answer = store.ping().await;
    store.close();
    answer.map(drop).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_refused(answer: Result<(), String>, part: &str, url: &str) {
    let error = answer.expect_err(url);
    assert!(error.contains(part), "{url}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_takes_and_refuses_what_libpq_does() {
    let server = TlsServer::start().await;
    let url = |host: &str, query: &str| server.url("throwaway", host, query);
    for (host, query) in [
        ("127.0.0.1", "sslmode=prefer"),
        ("127.0.0.1", "sslmode=require"),
        ("127.0.0.1", "sslmode=require&sslrootcert=FOLDER/root.crt"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=FOLDER/root.crt"),
        ("localhost", "sslmode=verify-full&sslrootcert=FOLDER/root.crt"),
        ("127.0.0.2", "sslmode=verify-full&sslrootcert=FOLDER/root.crt"),
        ("127.0.0.2", "sslmode=verify-full&sslrootcert=FOLDER/root.crt&channel_binding=require"),
        ("127.0.0.1", "sslmode=require&channel_binding=require"),
        ("127.0.0.1", "sslmode=require&channel_binding=disable"),
        // The first one fails, the next is taken.
        ("127.0.0.1,127.0.0.2", "sslmode=verify-full&sslrootcert=FOLDER/root.crt&port=PORT"),
    ] {
        let url = url(host, &query.replace("PORT", &server.port.to_string()));
        asked(&url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }
    for (host, query, part) in [
        ("127.0.0.1", "", "no encryption"),
        ("127.0.0.1", "sslmode=disable", "no encryption"),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert=FOLDER/root.crt", "not valid for name"),
        ("localhost", "sslmode=verify-full&sslrootcert=FOLDER/stranger.crt", "UnknownIssuer"),
        ("localhost", "sslmode=verify-full", "UnknownIssuer"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=FOLDER/stranger.crt", "UnknownIssuer"),
        ("127.0.0.1", "sslmode=require&sslrootcert=FOLDER/stranger.crt", "UnknownIssuer"),
        // A handshake that failed is the end, also where plain text would do.
        ("127.0.0.1", "sslmode=prefer&sslrootcert=FOLDER/stranger.crt", "UnknownIssuer"),
        ("127.0.0.1", "sslmode=require&sslrootcert=FOLDER/none.crt", "sslrootcert: cannot read"),
        ("127.0.0.1", "sslmode=require&sslrootcert=FOLDER/server.key", "it holds no certificate"),
    ] {
        let url = url(host, query);
        assert_refused(asked(&url).await, part, &url);
    }
    asked(&server.socket("postgres")).await.expect("a unix socket");
    asked(&format!("{} sslmode=verify-full", server.socket("postgres")))
        .await
        .expect("TLS is no matter of a unix socket");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_its_certificate_and_a_login_is_bound_to_the_servers() {
    let server = TlsServer::start().await;
    let carded = |query: &str| {
        server.url("carded", "localhost", &format!("sslmode=verify-full&sslrootcert=FOLDER/root.crt{query}"))
    };
    let shown = carded("&sslcert=FOLDER/client.crt&sslkey=FOLDER/client.key");
    asked(&shown).await.expect("the certificate is the login");
    assert_refused(asked(&carded("")).await, "certificate", "no certificate");
    let mixed = carded("&sslcert=FOLDER/client.crt&sslkey=FOLDER/mixed.key");
    std::fs::copy(server.file("server.key"), server.file("mixed.key")).expect("copies");
    std::fs::set_permissions(server.file("mixed.key"), PermissionsExt::from_mode(0o600)).expect("sets");
    assert_refused(asked(&mixed).await, "sslcert and sslkey", "a key of another certificate");
    std::fs::set_permissions(server.file("client.key"), PermissionsExt::from_mode(0o644)).expect("sets");
    assert_refused(asked(&shown).await, "sslkey: others may read", "a key that others may read");

    // A password in the clear proves nothing about the way that it took.
    let loose = |query: &str| server.url("loose", "127.0.0.1", &format!("sslmode=require{query}"));
    asked(&loose("")).await.expect("in TLS");
    assert_refused(asked(&loose("&channel_binding=require")).await, "did not use channel binding", "unbound");
}

/// `require` believes any certificate; what is bound to a certificate still reaches only the server that has it.
#[tokio::test(flavor = "multi_thread")]
async fn who_stands_in_between_is_found_out_by_channel_binding() {
    let server = TlsServer::start().await;
    let intruder = Intruder::before(server.port).await;
    let through =
        |query: &str| server.url("throwaway", "127.0.0.1", &format!("sslmode=require&port={}{query}", intruder.port));
    asked(&through("&channel_binding=disable")).await.expect("nobody notices");
    for bound in ["", "&channel_binding=require"] {
        assert_refused(asked(&through(bound)).await, "channel binding", bound);
    }
    let verified = through("&sslrootcert=FOLDER/root.crt").replace("FOLDER", &server.folder.display().to_string());
    assert_refused(asked(&verified).await, "UnknownIssuer", &verified);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_spoken_to_in_the_clear_only_by_prefer() {
    let plain = cluster().expect("a cluster");
    asked(&format!("{plain}?sslmode=prefer")).await.expect("the server says that it has no TLS");
    for mode in ["require", "verify-full"] {
        let url = format!("{plain}?sslmode={mode}");
        assert_refused(asked(&url).await, "does not support TLS", &url);
    }
}

/// The commands and the daemon as an operator of a rented Postgres runs them, with the address in a file, and an authority that
/// is replaced while it runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_house_lives_on_a_server_that_takes_tls_only() {
    let server = TlsServer::start().await;
    server.administer("CREATE DATABASE house").await;
    let desk = Operator { server: &server };
    let url =
        server.url("throwaway", "localhost", "sslmode=verify-full&sslrootcert=FOLDER/live.crt&channel_binding=require");
    desk.write_url(&format!("{}\n", url.replace("/postgres?", "/house?")));

    desk.ask("secrets create");
    assert!(desk.refused("check-config", 64).contains("sslrootcert: cannot read"));
    assert!(desk.refused("serve", 64).contains("sslrootcert: cannot read"));
    assert!(desk.refused("migrate", 64).contains("sslrootcert: cannot read"));
    replace(&server.file("live.crt"), &server.file("stranger.crt"));
    assert_eq!(desk.ask("check-config")["warnings"], json!([]));
    assert!(desk.refused("check-config --connect", 75).contains("UnknownIssuer"));
    replace(&server.file("live.crt"), &server.file("root.crt"));
    assert_eq!(desk.ask("check-config --connect")["connected"], true);

    desk.ask("migrate");
    let account = text(&desk.ask("account create acme --free-otps"), "account");
    let key = text(&desk.ask(&format!("key create --account {account}")), "key");
    let (daemon, introduction) = Daemon::start(&mut desk.command("serve --port 0 --json"));
    let order = json!({"phone": "+84981234567", "code": "123456"});
    let sent = Request::new("POST", "/api/v1/send-otp").key(&key).json(&order);
    sent.send(address(&introduction, "api")).await.expect("answers").expect(202);
    assert_eq!(desk.ask("verify")["figures"]["deliveries"], 1);
    drop(daemon);

    desk.write_url(&server.url("throwaway", "localhost", "sslmode=verify_full"));
    let said = desk.refused("check-config", 64);
    assert!(said.contains("store.url: sslmode must be") && !said.contains(&server.password), "{said}");
}

/// New certificates hold for the next connection of a store that is open.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_read_for_each_new_connection() {
    let server = TlsServer::start().await;
    replace(&server.file("live.crt"), &server.file("stranger.crt"));
    let url = server.url("throwaway", "localhost", "sslmode=verify-full&sslrootcert=FOLDER/live.crt");
    let store = Store::open(&url, 1).await.expect("the file can be read");
    store.ping().await.expect_err("a stranger's authority");
    replace(&server.file("live.crt"), &server.file("root.crt"));
    store.ping().await.expect("the new authority");
    store.close();
}

/// Commands whose database is named by a file, in the folder of the server's files.
struct Operator<'a> {
    server: &'a TlsServer,
}

impl Operator<'_> {
    fn write_url(&self, url: &str) {
        let path = self.server.file("store-url");
        std::fs::write(&path, url).expect("writes");
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("sets");
    }

    fn command(&self, line: &str) -> std::process::Command {
        let mut command = nexo_route(&self.server.folder);
        command.env("NEXO_STORE__URL_FILE", self.server.file("store-url"));
        command.env("NEXO_SECRETS__KEY_FILE", self.server.file("house.keys"));
        command.env("NEXO_OPS__BIND", "127.0.0.1:0");
        command.args(line.split_whitespace());
        command
    }

    #[track_caller]
    fn ask(&self, line: &str) -> serde_json::Value {
        let output = self.command(&format!("{line} --json")).output().expect("runs");
        assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    #[track_caller]
    fn refused(&self, line: &str, code: i32) -> String {
        let output = self.command(line).output().expect("runs");
        assert_eq!(output.status.code(), Some(code), "{line}: {output:?}");
        String::from_utf8(output.stderr).expect("text")
    }
}
