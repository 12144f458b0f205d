//! A daemon that is made to abort leaves no core, which would hold codes, keys and phones.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use super::{Folder, is_root, speaking};
use crate::commands::{address, text};
use crate::house::client::Request;

const SIGABRT: i32 = 6;

/// `program`, after the shell has allowed cores of any size.
const DUMPING: &str = "ulimit -c unlimited && exec \"$@\"";

#[tokio::test(flavor = "multi_thread")]
async fn no_core_is_made_whatever_the_shell_allows() {
    let folder = Folder::new();
    let control =
        Command::new("sh").args(["-c", "ulimit -c unlimited && kill -ABRT $$"]).current_dir(&folder.0).status();
    let control = control.expect("runs");
    if !control.core_dumped() {
        eprintln!("NOT TESTED IN FULL: this system makes no cores at all ({control})");
    }
    let program = folder.program();
    let data = folder.path("data");
    std::fs::create_dir(&data).expect("made");
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("sets");
    let mut command = folder.without_rights("sh".as_ref());
    command.args(["-c", DUMPING, "sh"]).arg(&program).args(["demo", "--dir", "data/demo", "--port", "0", "--json"]);
    let (mut daemon, introduction) = speaking(command.stderr(Stdio::null()));
    let pid = daemon.0.id();

    // What it shows of itself to others is root's alone, and it works all the same.
    let proc = format!("/proc/{pid}");
    assert_eq!(std::fs::metadata(format!("{proc}/environ")).expect("there").uid(), 0);
    let limits = std::fs::read_to_string(format!("{proc}/limits")).expect("reads");
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(cores.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{cores}");
    let metrics = Request::new("GET", "/metrics").send(address(&introduction, "ops")).await.expect("answers");
    metrics.expect(200);
    if is_root() {
        let shown = folder
            .without_rights(&program)
            .args(["account", "show", &text(&introduction, "account"), "--json", "--config"])
            .arg(text(&introduction, "config"))
            .output()
            .expect("runs");
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        let who: Vec<_> = shown["changes"].as_array().expect("a list").iter().map(|change| &change["actor"]).collect();
        assert!(!who.is_empty() && who.iter().all(|who| *who == "nobody"), "{shown}");
    }

    daemon.signal("-ABRT");
    let ended = daemon.0.wait().expect("ends");
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(SIGABRT), false));
    let made = std::fs::read_dir(&folder.0).expect("lists").flatten().map(|entry| entry.file_name());
    let made: Vec<_> = made.filter(|name| name.to_string_lossy().contains("core")).collect();
    assert!(made.len() <= usize::from(control.core_dumped()), "{made:?}");
}
