//! Where a host may lead: names that lie, addresses in disguise, servers that say nothing.

use std::net::IpAddr;

use super::name_server::{NameServer, Reply};
use super::receiver::Receiver;
use super::*;
use crate::domain::webhook::Fault;
use crate::webhook::courier::Refused;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn addresses(texts: &[&str]) -> Reply {
    Reply::Addresses(texts.iter().map(|text| text.parse().expect(text)).collect())
}

/// Asks `server`; nothing but the public internet is allowed.
fn strict(server: &NameServer) -> WebhooksConfig {
    WebhooksConfig { dns_servers: vec![server.address], allow_networks: vec![], ..config() }
}

async fn checked(config: &WebhooksConfig, text: &str) -> Result<(), Refused> {
    within(Courier::new(config).expect("a courier").check(&url(text))).await
}

#[tokio::test]
async fn a_literal_address_that_is_not_public_is_refused_at_registration_and_at_every_send() {
    let config = WebhooksConfig { allow_networks: vec![], ..config() };
    for host in [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1]",
    ] {
        let text = format!("http://{host}:9/");
        assert!(matches!(checked(&config, &text).await, Err(Refused::Address(_))), "{text}");
        let exchange = sent(&config, &text).await;
        assert_eq!((exchange.outcome, exchange.status), (Err(Fault::Blocked), None), "{text}");
        assert_eq!(exchange.phases.connect_us, 0, "{text}");
    }
    for text in ["https://1.1.1.1/", "https://[2606:4700::1111]/", "https://[::ffff:1.1.1.1]/"] {
        assert_eq!(checked(&config, text).await, Ok(()), "{text}");
    }
}

#[tokio::test]
async fn an_allowed_network_is_reached_in_either_form_of_its_addresses() {
    let receiver = Receiver::answering(OK).await;
    let text = format!("http://[::ffff:127.0.0.1]:{}/", receiver.port);
    assert_eq!(checked(&config(), &text).await, Ok(()));
    assert_eq!(sent(&config(), &text).await.outcome, Ok(200));
}

#[tokio::test]
async fn scheme_and_port_are_asked_at_every_send() {
    let receiver = Receiver::answering(OK).await;
    let https = WebhooksConfig { allow_http: false, ..config() };
    let narrow = WebhooksConfig { ports: vec![443, 8443], ..config() };
    assert_eq!(checked(&https, &receiver.url()).await, Err(Refused::Http));
    let refused = Refused::Port { port: receiver.port, allowed: vec![443, 8443] };
    assert_eq!(checked(&narrow, &receiver.url()).await, Err(refused));
    for config in [&https, &narrow] {
        assert_eq!(sent(config, &receiver.url()).await.outcome, Err(Fault::Blocked));
    }
    assert_eq!(checked(&narrow, "https://127.0.0.1:8443/").await, Ok(()));
    assert!(receiver.seen.all().is_empty());
}

#[tokio::test]
async fn a_name_that_was_public_when_it_was_checked_and_is_private_now_is_blocked() {
    let receiver = Receiver::answering(OK).await;
    let server = NameServer::start(
        |_, before| {
            if before == 0 { addresses(&["93.184.215.14"]) } else { addresses(&["127.0.0.1"]) }
        },
    )
    .await;
    let courier = Courier::new(&strict(&server)).expect("a courier");
    let text = format!("https://rebind.example:{}/", receiver.port);
    assert_eq!(within(courier.check(&url(&text))).await, Ok(()));
    let exchange = within(courier.line(url(&text)).post(&post(&text))).await;
    assert_eq!(exchange.outcome, Err(Fault::Blocked), "{exchange:?}");
    assert_eq!(exchange.detail, "rebind.example leads to no address of the public internet");
    assert!(receiver.seen.all().is_empty());
}

#[tokio::test]
async fn of_mixed_addresses_only_those_that_are_admitted_are_tried() {
    let inside = Receiver::answering(OK).await;
    let admitted = Receiver::on(&format!("127.0.0.77:{}", inside.port), |mut guest| async move {
        guest.request().await;
        guest.say(OK).await;
    })
    .await;
    let server = NameServer::start(|_, _| {
        addresses(&["127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1", "127.0.0.77", "127.0.0.77"])
    })
    .await;
    let allow_networks = vec!["127.0.0.77/32".parse().expect("a network")];
    let config = WebhooksConfig { allow_networks, timeout_ms: 5_000, ..strict(&server) };
    let exchange = sent(&config, &format!("http://mixed.example:{}/", inside.port)).await;
    assert_eq!(exchange.outcome, Ok(200), "{exchange:?}");
    assert_eq!((admitted.seen.all().len(), inside.seen.all().len()), (1, 0));
}

#[tokio::test]
async fn names_of_private_addresses_only_are_blocked() {
    let server = NameServer::start(|name, _| match name {
        "metadata.example" => addresses(&["169.254.169.254"]),
        "mapped.example" => addresses(&["::ffff:10.0.0.1"]),
        "nat64.example" => addresses(&["64:ff9b::a9fe:a9fe"]),
        _ => addresses(&["10.0.0.1", "192.168.0.1", "fd00::1"]),
    })
    .await;
    for name in ["metadata.example", "mapped.example", "nat64.example", "many.example"] {
        let text = format!("https://{name}/");
        let refused = checked(&strict(&server), &text).await;
        assert!(matches!(refused, Err(Refused::Private { .. })), "{name}: {refused:?}");
        assert_eq!(sent(&strict(&server), &text).await.outcome, Err(Fault::Blocked), "{name}");
    }
}

#[tokio::test]
async fn localhost_is_no_way_in() {
    let server = NameServer::start(|_, _| Reply::NoSuchName).await;
    for text in ["https://localhost/", "https://localhost./", "https://a.localhost/"] {
        assert!(checked(&strict(&server), text).await.is_err(), "{text}");
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_a_dns_fault() {
    let server = NameServer::start(|name, _| match name {
        "none.example" => Reply::NoSuchName,
        "broken.example" => Reply::Broken,
        _ => addresses(&[]),
    })
    .await;
    for name in ["none.example", "empty.example", "broken.example"] {
        let exchange = sent(&strict(&server), &format!("https://{name}/")).await;
        assert_eq!(exchange.outcome, Err(Fault::Dns), "{name}: {exchange:?}");
        assert!(exchange.detail.contains(name), "{exchange:?}");
    }
}

/// The resolver gives up before the deadline, so that the fault names who is at fault.
#[tokio::test]
async fn a_name_server_that_never_answers_ends_the_attempt_in_time() {
    let server = NameServer::start(|_, _| Reply::Silence).await;
    let exchange = sent(&strict(&server), "https://silent.example/").await;
    assert_eq!(exchange.outcome, Err(Fault::Dns), "{exchange:?}");
    assert!(exchange.phases.dns_us > 0 && exchange.phases.connect_us == 0, "{exchange:?}");
    assert!(checked(&strict(&server), "https://silent.example/").await.is_err());
}

#[tokio::test]
async fn an_address_that_does_not_listen_is_passed_over() {
    let receiver = Receiver::answering(OK).await;
    let server = NameServer::start(|_, _| addresses(&["127.0.0.78", "127.0.0.79", "127.0.0.1"])).await;
    let config = WebhooksConfig { dns_servers: vec![server.address], timeout_ms: 5_000, ..config() };
    assert_eq!(sent(&config, &format!("http://three.example:{}/", receiver.port)).await.outcome, Ok(200));

    let nobody: IpAddr = "127.0.0.78".parse().expect("an address");
    let exchange = sent(&config, &format!("http://{nobody}:{}/", receiver.port)).await;
    assert_eq!(exchange.outcome, Err(Fault::Connect), "{exchange:?}");
}

/// The manual's promise: `allow_http` is for networks that the operator has named.
#[tokio::test]
async fn nothing_goes_to_the_public_internet_in_the_clear() {
    let server = NameServer::start(|_, _| addresses(&["93.184.215.14"])).await;
    let config = WebhooksConfig { dns_servers: vec![server.address], ..config() };
    for text in ["http://1.1.1.1/", "http://[2606:4700::1111]/", "http://public.example/"] {
        assert_eq!(checked(&config, text).await, Err(Refused::Http), "{text}");
        let exchange = sent(&config, text).await;
        assert_eq!((exchange.outcome, exchange.phases.connect_us), (Err(Fault::Blocked), 0), "{text}: {exchange:?}");
    }
    assert_eq!(checked(&config, "https://public.example/").await, Ok(()));
}

#[tokio::test]
async fn an_alias_is_judged_by_where_it_leads() {
    let receiver = Receiver::answering(OK).await;
    let server = NameServer::start(|name, _| {
        let address = if name.starts_with("inside") { "127.0.0.1" } else { "127.0.0.77" };
        Reply::Alias("target.internal.example", vec![address.parse().expect("an address")])
    })
    .await;
    let allow_networks = vec!["127.0.0.77/32".parse().expect("a network")];
    let config = WebhooksConfig { allow_networks, ..strict(&server) };
    let text = format!("http://inside.example:{}/", receiver.port);
    let refused = checked(&config, &text).await;
    assert!(matches!(refused, Err(Refused::Private { .. })), "{refused:?}");
    let exchange = sent(&config, &text).await;
    assert_eq!(exchange.outcome, Err(Fault::Blocked), "{exchange:?}");
    assert!(!exchange.detail.contains("127.0.0.1") && !exchange.detail.contains("internal"), "{exchange:?}");
    assert_eq!(checked(&config, &text.replace("inside", "outside")).await, Ok(()));
    assert!(receiver.seen.all().is_empty());
}

#[tokio::test]
async fn a_name_with_many_addresses_takes_no_longer_than_another() {
    // As many as one packet holds; nobody listens at the first ones.
    let server =
        NameServer::start(|_, _| Reply::Addresses((1..=60).map(|n| IpAddr::from([127, 0, 9, n])).collect())).await;
    let config = WebhooksConfig { dns_servers: vec![server.address], ..config() };
    let exchange = sent(&config, "http://many.example:9/").await;
    assert_eq!(exchange.outcome, Err(Fault::Connect), "{exchange:?}");
    let last: u8 = exchange.detail.split(&['.', ':'][..]).nth(3).and_then(|n| n.parse().ok()).expect("an address");
    assert!(last <= 60 && exchange.phases.total_us < 1_000_000, "{exchange:?}");
}

#[tokio::test]
async fn a_name_whose_ipv6_half_is_silent_is_reached_within_the_deadline() {
    let receiver = Receiver::answering(OK).await;
    let server = NameServer::start(|_, _| Reply::OnlyIpv4(vec!["127.0.0.1".parse().expect("an address")])).await;
    let config = WebhooksConfig { dns_servers: vec![server.address], timeout_ms: 2_000, ..config() };
    let exchange = sent(&config, &format!("http://half.example:{}/", receiver.port)).await;
    assert_eq!(exchange.outcome, Ok(200), "{exchange:?}");
}

/// A customer's name servers are theirs; the house's are everybody's.
#[tokio::test]
async fn names_that_are_never_answered_leave_others_resolved() {
    let receiver = Receiver::answering(OK).await;
    let server = NameServer::start(|name, _| match name {
        name if name.starts_with("good") => addresses(&["127.0.0.1"]),
        name if name.starts_with("cut") => Reply::Cut,
        name if name.starts_with("broken") => Reply::Broken,
        _ => Reply::Silence,
    })
    .await;
    let config = WebhooksConfig { dns_servers: vec![server.address], timeout_ms: 2_000, ..config() };
    let courier = Courier::new(&config).expect("a courier");
    let mut hanging = tokio::task::JoinSet::new();
    for number in 0..300 {
        let kind = ["silent", "cut", "broken"][number % 3];
        let text = format!("http://{kind}{number}.example/");
        let mut line = courier.line(url(&text));
        hanging.spawn(async move { line.post(&post(&text)).await.outcome });
    }
    let mut round = 0;
    while !hanging.is_empty() {
        let text = format!("http://good{round}.example:{}/", receiver.port);
        let exchange = within(courier.line(url(&text)).post(&post(&text))).await;
        assert_eq!(exchange.outcome, Ok(200), "round {round}: {exchange:?}");
        round += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
        while let Some(ended) = hanging.try_join_next() {
            assert!(matches!(ended, Ok(Err(Fault::Dns | Fault::Timeout))), "{ended:?}");
        }
    }
    assert!(round > 5, "{round}");
}

/// A house whose own addresses are public, and a network with a NAT64 prefix of its own.
#[tokio::test]
async fn what_the_operator_has_denied_is_reached_by_nobody() {
    let receiver = Receiver::answering(OK).await;
    let server = NameServer::start(|name, _| match name {
        "ours.example" => addresses(&["93.184.215.14", "2a00:64::10.0.0.1"]),
        _ => addresses(&["93.184.215.15"]),
    })
    .await;
    let deny_networks = ["93.184.215.14/32", "2a00:64::/96", "127.0.0.1/32"].map(|text| text.parse().expect(text));
    let config = WebhooksConfig { dns_servers: vec![server.address], deny_networks: deny_networks.into(), ..config() };
    let refused = checked(&config, "https://ours.example/").await;
    assert!(matches!(refused, Err(Refused::Private { .. })), "{refused:?}");
    assert_eq!(checked(&config, "https://theirs.example/").await, Ok(()));
    for text in ["https://93.184.215.14/", "https://[::ffff:93.184.215.14]/", "https://[2a00:64::a00:1]/"] {
        assert!(matches!(checked(&config, text).await, Err(Refused::Address(_))), "{text}");
        assert_eq!(sent(&config, text).await.outcome, Err(Fault::Blocked), "{text}");
    }
    assert_eq!(sent(&config, &receiver.url()).await.outcome, Err(Fault::Blocked), "denied is stronger than allowed");
    assert!(receiver.seen.all().is_empty());
}
