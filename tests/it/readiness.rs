//! `/readyz` while the database answers reads and takes no order: red for what is ours, green for what is one customer's.

use std::net::SocketAddr;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::commands::{Daemon, Desk, address, text};
use crate::house::client::{Answer, Request};
use crate::house::customer::{Customer, Purse, SEND, body, phone};
use crate::house::database::Engine;
use crate::house::{Fixture as _, House, until};
use crate::privileges::{Role, grants, run};

/// Waits for a colour; every other check is good meanwhile.
async fn turns(ops: SocketAddr, accepting: bool) -> Answer {
    let status = if accepting { 200 } else { 503 };
    until("readiness changes", async || {
        let answer = Request::new("GET", "/readyz").send(ops).await.ok()?;
        (answer.status == status && answer.field("accepting") == accepting && answer.field("database") == true)
            .then_some(answer)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_revoked_turns_it_red_and_green_again_by_itself() {
    let house = House::empty(Engine::Postgres).await;
    let (role, url) = (Role::fresh().await, house.url().to_owned());
    house.store().await.migrate().await.expect("migrates");
    run(&url, &grants(&role)).await;
    let node = house.add(&[("store.url", role.at(&url).as_str())]).await;
    let mut customers = Vec::new();
    for _ in 0..2 {
        customers.push(Customer::create(house.store().await, node.api, Purse::full(), &[]).await);
    }
    turns(node.ops, true).await;
    assert!(node.metric("nexo_accepting").await > 0.0 && node.metric("nexo_accept_suspicious").await < 1.0);
    customers[0].send(&phone(1)).await.expect(202);

    run(&url, &format!("REVOKE INSERT ON deliveries FROM {}", role.name())).await;
    for (customer, n) in customers.iter().zip(2..) {
        assert_eq!(customer.send(&phone(n)).await.expect(503).error(), "unavailable");
    }
    let red = turns(node.ops, false).await;
    assert_eq!((red.field("ready"), red.field("keys"), red.field("links")), (false.into(), true.into(), true.into()));
    assert!(node.metric("nexo_accepting").await < 1.0 && node.metric("nexo_accept_suspicious").await > 0.0);
    assert!(node.metric_of("nexo_accept_probes_total", &[r#"result="failed""#]).await >= 1.0);

    run(&url, &grants(&role)).await;
    turns(node.ops, true).await;
    assert!(node.metric_of("nexo_accept_probes_total", &[r#"result="good""#]).await >= 2.0);
    for (customer, n) in customers.iter().zip(2..) {
        customer.send(&phone(n)).await.expect(202);
    }
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_order_repeated_leaves_it_green() {
    let house = House::start(Engine::Postgres).await;
    let (node, bad) = (house.node(), house.customer(Purse::full()).await);
    let rule = format!("ALTER TABLE deliveries ADD CONSTRAINT none_of_this CHECK (account <> '{}')", bad.account);
    run(house.url(), &rule).await;
    let ledger = house.ledger().await;
    turns(node.ops, true).await;
    let mut repeated = 0;
    until("it was repeated, and probed for long enough", async || {
        assert_eq!(bad.send(&phone(1)).await.expect(500).error(), "internal");
        repeated += 1;
        let ready = node.ask_ops("/readyz").await.expect("answers");
        assert_eq!(ready.field("accepting"), true, "{ready:?}");
        let probed = node.metric_of("nexo_accept_probes_total", &[r#"result="good""#]).await;
        (repeated >= 100 && probed >= 7.0).then_some(())
    })
    .await;
    assert!(node.metric_of("nexo_accept_probes_total", &[r#"result="failed""#]).await < 1.0);
    // A probe leaves nothing.
    assert_eq!(house.ledger().await.deliveries.len(), ledger.deliveries.len());
    house.customer(Purse::full()).await.send(&phone(2)).await.expect(202);
    assert!(node.metric("nexo_accept_suspicious").await < 1.0, "another's order went through");
    // Its internal errors are meant, and those of a daemon that runs are not.
    node.stop().await.expect("stops");
    house.finish().await;
}

/// No file of the process may grow, as on a disk that is full, or any may.
fn let_files_grow(daemon: &Daemon, may: bool) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let current = if may { maximum } else { Some(0) };
    let process = i32::try_from(daemon.0.id()).ok().and_then(Pid::from_raw);
    prlimit(process, Resource::Fsize, Rlimit { current, maximum }).expect("may be set");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_turns_it_red_and_green_again_by_itself() {
    Desk::lend(Engine::Sqlite, async |desk: Desk| {
        desk.configure(
            "[http]\nbind = \"127.0.0.1:0\"\n[ops]\nbind = \"127.0.0.1:0\"\n\
             [simulator]\nack_ms = 0\nack_jitter_ms = 0\n",
        );
        desk.ask("secrets create");
        desk.ask("migrate");
        let mut keys = Vec::new();
        for name in ["shop", "bank"] {
            let account = text(&desk.ask(&format!("account create {name}")), "account");
            desk.ask(&format!("credit --account {account} --bucket balance --usd 100 --reference one"));
            keys.push(text(&desk.ask(&format!("key create --account {account}")), "key"));
        }
        // The signal that comes with the error is ignored, or the process would end.
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "trap '' XFSZ; exec \"$0\" serve --json --config desk.toml",
            env!("CARGO_BIN_EXE_nexo-route"),
        ]);
        let (daemon, said) = Daemon::start(command.env_clear().current_dir(&desk.folder));
        let (api, ops) = (address(&said, "api"), address(&said, "ops"));
        let order = async |key: &str, n| {
            let order = Request::new("POST", SEND).key(key).json(&body(&phone(n)));
            order.send(api).await.expect("answers")
        };
        turns(ops, true).await;
        for (key, n) in keys.iter().zip(1..) {
            until("the key is known", async || (order(key, n).await.status == 202).then_some(())).await;
        }

        let_files_grow(&daemon, false);
        for (key, n) in keys.iter().zip(11..) {
            assert_eq!(order(key, n).await.expect(503).error(), "unavailable");
        }
        let red = turns(ops, false).await;
        assert_eq!((red.field("keys"), red.field("migrations")), (true.into(), true.into()));

        let_files_grow(&daemon, true);
        turns(ops, true).await;
        for (key, n) in keys.iter().zip(11..) {
            order(key, n).await.expect(202);
        }
        drop(daemon);
        assert_eq!(desk.ask("verify")["ok"], true);
    })
    .await;
}
