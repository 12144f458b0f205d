//! A Postgres that speaks TLS only, its certificate, and whom clients may and may not believe.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};

use crate::house::database::{administer_at, start_cluster};

/// Over TCP with TLS only; `loose` in a way that binds nothing, `carded` by its certificate.
const WHO_MAY: &str = "\
local all all scram-sha-256
hostssl all loose all password
hostssl all carded all cert
hostssl all all all scram-sha-256
";

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// The server and the files of its clients. Its certificate is for `localhost` and 127.0.0.2, and it listens on 127.0.0.1 too.
#[derive(Debug)]
pub struct TlsServer {
    pub folder: PathBuf,
    pub port: u16,
    pub password: String,
}

impl TlsServer {
    /// Starts it, with the folder of its socket and of the files under a short path: a socket's has 107 bytes at most.
    pub async fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("nexo-tls-{:08x}", rand::random::<u32>()));
        std::fs::create_dir_all(&folder).expect("makes");
        // The server is another user where the test is root.
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).expect("sets");
        let mut server = Self { folder, port: 0, password: String::new() };
        server.write_files();
        let settings = [
            format!("tls={}", server.folder.display()),
            "listen_addresses=127.0.0.1,127.0.0.2".to_owned(),
            format!("unix_socket_directories={}", server.folder.display()),
        ];
        let address = start_cluster(&settings).expect("a cluster");
        let (password, rest) =
            address.strip_prefix("postgres://throwaway:").and_then(|rest| rest.split_once('@')).expect("an address");
        let port = rest.split_once(':').and_then(|(_, rest)| rest.split_once('/')).expect("a port").0;
        server.port = port.parse().expect("a port");
        server.password = password.to_owned();
        for role in ["loose", "carded"] {
            server.administer(&format!("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{password}'")).await;
        }
        server
    }

    /// Runs a statement over the unix socket.
    pub async fn administer(&self, statement: &str) {
        administer_at(&self.socket("postgres"), statement).await.expect("runs");
    }

    /// An address of `database` in words, over the unix socket.
    pub fn socket(&self, database: &str) -> String {
        let Self { folder, port, password } = self;
        format!("host={} port={port} user=throwaway password={password} dbname={database}", folder.display())
    }

    /// An address over TCP, with the files of `query` in this FOLDER.
    pub fn url(&self, user: &str, host: &str, query: &str) -> String {
        let Self { port, password, folder } = self;
        let query = query.replace("FOLDER", &folder.display().to_string());
        // The name leads to ::1 as well, where nobody listens.
        let way = if host == "localhost" { "&hostaddr=127.0.0.1" } else { "" };
        format!("postgres://{user}:{password}@{host}:{port}/postgres?{query}{way}")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write_files(&self) {
        let house = authority("the house");
        let names =
            [SanType::DnsName("localhost".try_into().expect("a name")), SanType::IpAddress([127, 0, 0, 2].into())];
        let (server, server_key) = certificate("db", &names, ExtendedKeyUsagePurpose::ServerAuth, &house);
        let (client, client_key) = certificate("carded", &[], ExtendedKeyUsagePurpose::ClientAuth, &house);
        for (name, text) in [
            ("root.crt", house.pem()),
            ("stranger.crt", authority("a stranger").pem()),
            ("server.crt", server),
            ("server.key", server_key),
            ("client.crt", client),
            ("client.key", client_key),
            ("pg_hba.conf", WHO_MAY.to_owned()),
        ] {
            std::fs::write(self.file(name), text).expect("writes");
        }
        std::fs::set_permissions(self.file("client.key"), PermissionsExt::from_mode(0o600)).expect("sets");
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::new(vec![]).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// A certificate and its key, PEM.
fn certificate(name: &str, names: &[SanType], usage: ExtendedKeyUsagePurpose, issuer: &Issuer) -> (String, String) {
    let mut params = CertificateParams::new(vec![]).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = names.to_vec();
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().expect("a key");
    (params.signed_by(&key, issuer).expect("a certificate").pem(), key.serialize_pem())
}

/// Puts the content of one file in the place of another's, as a rotation does.
pub fn replace(file: &Path, by: &Path) {
    let next = file.with_extension("next");
    std::fs::copy(by, &next).expect("copies");
    std::fs::rename(next, file).expect("renames");
}
