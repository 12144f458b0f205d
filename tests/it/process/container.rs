//! A container as orchestrators make it: its own process tree, a read-only root with nothing but the program and what it
//! links to, no HOME, no name for its user, and a key file that is root's and readable by `fsGroup`.
//!
//! Made with `unshare` and `chroot`, so without a container runtime; only root may, and anybody else skips it loudly.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::{Folder, first_line, free, is_root};
use crate::commands::address;
use crate::house::client::Request;
use crate::house::until;

/// Builds the container in `$1`, with the program `$2` and the mode of its key file `$3`, and becomes its first process with
/// the rest as arguments. Mounts go with the namespace, so nothing is left behind.
const CONTAINER: &str = r#"
set -e
root=$1 program=$2 mode=$3
shift 3
mount -t tmpfs -o mode=755 tmpfs "$root"
mkdir -p "$root/proc" "$root/data" "$root/run/secrets/nexo"
touch "$root/nexo-route"
mount --bind "$program" "$root/nexo-route"
for folder in /lib /lib64 /usr/lib; do
    [ -e "$folder" ] || continue
    mkdir -p "$root$folder"
    mount --bind "$folder" "$root$folder"
done
mount -t proc proc "$root/proc"
# A volume, as Kubernetes gives it to `fsGroup: 20001`.
mount -t tmpfs -o mode=2770,gid=20001 tmpfs "$root/data"
# A secret, as Kubernetes mounts it: two links away.
secrets=$root/run/secrets/nexo
mkdir "$secrets/..2026"
cp "$KEYS" "$secrets/..2026/keys"
chown 0:20001 "$secrets/..2026/keys"
chmod "$mode" "$secrets/..2026/keys"
ln -s ..2026 "$secrets/..data"
ln -s ..data/keys "$secrets/keys"
mount -o remount,ro,bind "$root"
exec env -i NEXO_STORE__URL=sqlite:/data/nexo.db NEXO_SECRETS__KEY_FILE=/run/secrets/nexo/keys \
    NEXO_HTTP__BIND=127.0.0.1:0 NEXO_OPS__BIND=127.0.0.1:0 NEXO_STOP__NOTICE_MS=0 $SETTINGS \
    "$(command -v chroot)" --userspec=10001:10001 --groups=20001 "$root" /nexo-route "$@"
"#;

struct Container {
    folder: Folder,
    unshare: Child,
}

impl Container {
    fn start(mode: &str, settings: &str, arguments: &[&str]) -> Self {
        let folder = Folder::new();
        let (root, keys) = (folder.path("root"), folder.path("keys"));
        std::fs::create_dir(&root).expect("made");
        let made = Command::new(env!("CARGO_BIN_EXE_nexo-route"))
            .env_clear()
            .env("NEXO_SECRETS__KEY_FILE", &keys)
            .args(["secrets", "create"])
            .output();
        assert!(made.expect("runs").status.success());
        let unshare = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", CONTAINER, "container"])
            .arg(&root)
            .args([env!("CARGO_BIN_EXE_nexo-route"), mode])
            .args(arguments)
            .env("KEYS", &keys)
            .env("SETTINGS", settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare is there");
        Self { folder, unshare }
    }

    /// The process that is number 1 inside, as it is known outside.
    fn first_process(&self) -> Option<String> {
        let parent = self.unshare.id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    }

    fn terminate(&self) {
        if let Some(pid) = self.first_process() {
            let _gone_already = Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status();
        }
    }

    fn ended(mut self) -> (Option<i32>, String) {
        use std::io::Read as _;
        let mut said = String::new();
        self.unshare.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        let code = self.unshare.wait().expect("ends").code();
        (code, said)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ended = self.unshare.kill();
        let _ended = self.unshare.wait();
        let _kept_until_now = &self.folder;
    }
}

fn may_make_containers() -> bool {
    let works = is_root()
        && Command::new("unshare").args(["--mount", "--pid", "--fork", "true"]).status().is_ok_and(|s| s.success());
    if !works {
        eprintln!("SKIPPED: only root, where namespaces are allowed, can make a container");
    }
    works
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_serves_in_a_bare_container() {
    if !may_make_containers() {
        return;
    }
    let mut container = Container::start("0440", "", &["serve", "--json"]);
    let line = first_line(&mut container.unshare);
    let Ok(said) = serde_json::from_str(&line) else {
        let (code, said) = container.ended();
        panic!("ended with {code:?}: {said}");
    };
    let (api, ops) = (address(&said, "api"), address(&said, "ops"));
    Request::new("GET", "/livez").send(ops).await.expect("answers").expect(200);
    Request::new("GET", "/metrics").send(ops).await.expect("answers").expect(200);
    // No key was made: the database works, and says so.
    let order = json!({"phone": "+84981234567", "code": super::CODE});
    let request = Request::new("POST", "/api/v1/send-otp").key(&format!("sk_live_{}", "a".repeat(48))).json(&order);
    request.send(api).await.expect("answers").expect(401);
    until("it is ready", async || {
        Request::new("GET", "/readyz").send(ops).await.ok().filter(|answer| answer.status == 200)
    })
    .await;
    container.terminate();
    let (code, said) = container.ended();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("stopped") && !said.contains("panicked"), "{said}");
}

#[test]
fn commands_work_in_a_bare_container_and_say_what_they_lack() {
    if !may_make_containers() {
        return;
    }
    for (mode, settings, code, part) in [
        ("0440", "", 0, ""),
        ("0444", "", 64, "others may read /run/secrets/nexo/keys (mode 0444)"),
        ("0444", "NEXO_SECRETS__KEY_FILE_WORLD_READABLE=true", 0, ""),
        ("0460", "", 64, "others may change or execute"),
        // Root alone may read it.
        ("0400", "", 64, "cannot read /run/secrets/nexo/keys"),
    ] {
        let (ended, said) = Container::start(mode, settings, &["check-config"]).ended();
        assert_eq!(ended, Some(code), "{mode}: {said}");
        assert!(said.contains(part), "{mode}: {said}");
    }
    let nowhere = "NEXO_STORE__URL=sqlite:/var/lib/nexo/nexo.db";
    let (ended, said) = Container::start("0440", nowhere, &["migrate"]).ended();
    assert_eq!(ended, Some(77), "{said}");
    assert!(said.contains("store.url: /var/lib/nexo is on a read-only file system"), "{said}");
}

/// The first process of a container is sent no signal that it does not await: one that hung at its start could only be killed.
#[test]
fn a_container_that_is_told_to_stop_while_it_starts_stops() {
    if !may_make_containers() {
        return;
    }
    // A database that takes connections and never answers.
    let [address] = free();
    let _silent = TcpListener::bind(address).expect("binds");
    for line in [&["serve"][..], &["migrate"], &["account", "list"]] {
        let settings = format!("NEXO_STORE__URL=postgres://nexo:secret@{address}/nexo");
        let mut container = Container::start("0440", &settings, line);
        while container.unshare.try_wait().expect("looks").is_none() {
            container.terminate();
            std::thread::yield_now();
        }
        let (code, said) = container.ended();
        // What came before the program ran ended the shell that was to become it.
        assert!(code == Some(130) && said.contains("ended by SIGTERM"), "{line:?}: {code:?} {said}");
    }
}
