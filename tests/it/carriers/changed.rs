//! Reloads that change an SMSC's upstream: one that allows no more sessions than the old link has, one whose new bind does not
//! stand.

use super::*;
use crate::house::write_secret;

/// Leads to `to`, for one connection at a time; what comes while there is one is closed.
async fn one_at_a_time(to: SocketAddr) -> (SocketAddr, impl Future<Output = ()>) {
    let gate = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = gate.local_addr().expect("bound");
    let serve = async move {
        let mut through = JoinSet::new();
        loop {
            let (mut client, _) = gate.accept().await.expect("accepts");
            while through.try_join_next().is_some() {}
            if through.is_empty() {
                through.spawn(async move {
                    let mut smsc = tokio::net::TcpStream::connect(to).await.expect("connects");
                    let _cut = tokio::io::copy_bidirectional(&mut client, &mut smsc).await;
                });
            }
        }
    };
    (address, serve)
}

pub(super) async fn changed(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    let written = scene.smsc("vt_smsc", 700).await;
    let centre = written.split('"').find_map(|word| word.parse().ok()).expect("its address is written");
    let (gate, serve) = one_at_a_time(centre).await;
    scene.running.spawn(serve);
    let written = format!("{}reconnect_max_ms = 200\n", written.replace(&centre.to_string(), &gate.to_string()));
    let carriers = "[carrier.viettel]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\nsms = [{ upstream = \"vt_smsc\" }]";
    scene.write(carriers, &[&written]);
    let (node, customer) = scene.open().await;
    all_up(&node, 1).await;
    let before = customer.send(&phone(1)).await.expect(202).string("id");
    scene.write(carriers, &[&format!("{written}text = \"Ma: {{code}}\"\n")]);
    assert!(node.running.reload.now().await);
    let after = until("the new one is bound", async || {
        let answer = customer.send(&phone(100_000 + rand::random_range(0..500_000))).await;
        (answer.status == 202).then(|| answer.string("id"))
    })
    .await;
    for id in [&before, &after] {
        assert_eq!(
            customer.ended(id).await["status"],
            "delivered",
            "the new one gets receipts of the old one's messages"
        );
    }
    scene.close().await;
}

pub(super) async fn awaited(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    let written = scene.smsc("vt_smsc", 700).await;
    let centre: SocketAddr = written.split('"').find_map(|word| word.parse().ok()).expect("its address is written");
    let carriers = "[carrier.viettel]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\nsms = [{ upstream = \"vt_smsc\" }]";
    scene.write(carriers, &[&written]);
    let (node, customer) = scene.open().await;
    all_up(&node, 1).await;

    // A password that the SMSC refuses.
    let another = scene.house.folder().join("another");
    write_secret(&another, "another");
    scene.write(carriers, &[&written.replace(&scene.secret(), &format!("{{ file = {another:?} }}"))]);
    assert!(node.running.reload.now().await);
    all_up(&node, 1).await;
    assert_eq!(ended(&customer, &phone(1), "sms").await["status"], "delivered", "by the old bind");

    // An address at which nobody listens yet.
    let free = TcpListener::bind("127.0.0.1:0").expect("binds");
    let later = free.local_addr().expect("bound");
    drop(free);
    let moved = format!("{}reconnect_max_ms = 200\n", written.replace(&centre.to_string(), &later.to_string()));
    scene.write(carriers, &[&moved]);
    assert!(node.running.reload.now().await);
    all_up(&node, 1).await;
    assert!(node.metric(names::LINKS_AWAITED).await > 0.0);
    let before = customer.send(&phone(2)).await.expect(202).string("id");
    assert_eq!(scene.submits("vt_smsc"), 2);

    scene.smsc_at(later, "later", 20).await;
    let mut next = 3..;
    until("the new one is bound and takes the work", async || {
        let id = customer.send(&phone(next.next()?)).await.expect(202).string("id");
        assert_eq!(customer.ended(&id).await["status"], "delivered");
        (scene.submits("later") > 0).then_some(())
    })
    .await;
    assert!(node.metric(names::LINKS_AWAITED).await < 1.0, "none is awaited any more");
    assert_eq!(customer.ended(&before).await["status"], "delivered", "the old one gets receipts of its own messages");
    scene.close().await;
}
