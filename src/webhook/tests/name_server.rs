//! A name server on loopback that answers each query with what its script says.

use std::net::{IpAddr, SocketAddr};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

pub(super) enum Reply {
    /// Those of the asked kind; with a time to live of zero.
    Addresses(Vec<IpAddr>),
    /// The asked name is another's, which has these.
    Alias(&'static str, Vec<IpAddr>),
    /// Only who asks for IPv4 is answered.
    OnlyIpv4(Vec<IpAddr>),
    /// Too long for a packet: it is to be asked for over TCP, where nobody listens.
    Cut,
    NoSuchName,
    Broken,
    Silence,
}

/// Ends when it is dropped.
pub(super) struct NameServer {
    pub(super) address: SocketAddr,
    _tasks: JoinSet<()>,
}

const A: u16 = 1;
const AAAA: u16 = 28;
const CNAME: u8 = 5;

impl NameServer {
    /// `script` is given the name and the number of this name's queries for IPv4 addresses before this one.
    pub(super) async fn start(script: impl Fn(&str, usize) -> Reply + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("bound");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut asked = Vec::<String>::new();
            let mut packet = [0; 1_500];
            loop {
                let (length, from) = socket.recv_from(&mut packet).await.expect("a query");
                let (name, kind, question_end) = question(&packet[..length]);
                let before = asked.iter().filter(|earlier| **earlier == name).count();
                let reply = script(&name, before.saturating_sub(usize::from(kind == AAAA && before > 0)));
                if kind == A {
                    asked.push(name);
                }
                if let Some(answer) = answer(&packet[..question_end], kind, &reply) {
                    socket.send_to(&answer, from).await.expect("sent");
                }
            }
        });
        Self { address, _tasks: tasks }
    }
}

/// The name in lower case, the kind that is asked for, and where the question ends (RFC 1035 §4.1).
fn question(packet: &[u8]) -> (String, u16, usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while packet[at] != 0 {
        let length = usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    (labels.join("."), u16::from_be_bytes([packet[at + 1], packet[at + 2]]), at + 5)
}

fn label(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("short");
    [&[length], text.as_bytes()].concat()
}

fn answer(query: &[u8], kind: u16, reply: &Reply) -> Option<Vec<u8>> {
    let (code, addresses) = match reply {
        Reply::OnlyIpv4(_) if kind != A => return None,
        Reply::Addresses(addresses) | Reply::Alias(_, addresses) | Reply::OnlyIpv4(addresses) => {
            (0, addresses.as_slice())
        }
        Reply::Cut => (0, &[][..]),
        Reply::Broken => (2, &[][..]),
        Reply::NoSuchName => (3, &[][..]),
        Reply::Silence => return None,
    };
    let fits = |address: &&IpAddr| if kind == A { address.is_ipv4() } else { kind == AAAA && address.is_ipv6() };
    let addresses: Vec<&IpAddr> = addresses.iter().filter(fits).collect();
    let mut answer = query.to_vec();
    let cut = if matches!(reply, Reply::Cut) { 0x02 } else { 0 };
    let aliases = usize::from(matches!(reply, Reply::Alias(..)));
    answer[2..4].copy_from_slice(&[0x81 | cut, 0x80 | code]);
    answer[6..8].copy_from_slice(&u16::try_from(addresses.len() + aliases).expect("few").to_be_bytes());
    answer[8..12].fill(0);
    // Where the name of the addresses stands: the question's, or what it is an alias of.
    let mut name_at = 12;
    if let Reply::Alias(of, _) = reply {
        let mut target: Vec<u8> = of.split('.').flat_map(label).collect();
        target.push(0);
        answer.extend_from_slice(&[0xc0, 12, 0, CNAME, 0, 1, 0, 0, 0, 0, 0]);
        answer.push(u8::try_from(target.len()).expect("short"));
        name_at = u8::try_from(answer.len()).expect("short");
        answer.extend_from_slice(&target);
    }
    for address in addresses {
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        // The name, the kind, class IN, a time to live of zero, the address.
        answer.extend_from_slice(&[0xc0, name_at, 0, u8::try_from(kind).expect("small"), 0, 1, 0, 0, 0, 0, 0]);
        answer.push(u8::try_from(bytes.len()).expect("short"));
        answer.extend_from_slice(&bytes);
    }
    Some(answer)
}
