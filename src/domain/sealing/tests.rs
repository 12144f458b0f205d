//! What is sealed opens for its own row only.

use super::*;

fn key(byte: u8) -> SecretKey {
    SecretKey::new([byte; 32])
}

fn delivery(byte: u8) -> DeliveryId {
    DeliveryId::from_bytes([byte; 16])
}

#[test]
fn a_sealed_phone_opens_only_for_its_delivery_and_after_rotation() {
    let phone = Phone::parse("+84981234567").expect("valid");
    let old = Keyring::new(1, vec![(1, key(1))], key(9)).expect("valid");
    let sealed = old.seal_phone(delivery(1), phone);
    assert_eq!(sealed.len(), 21);
    assert_eq!(old.open_phone(delivery(1), &sealed), Some(phone));
    assert_eq!(old.open_phone(delivery(2), &sealed), None);

    let rotated = Keyring::new(2, vec![(1, key(1)), (2, key(2))], key(9)).expect("valid");
    assert_eq!(rotated.open_phone(delivery(1), &sealed), Some(phone));
    assert_eq!(rotated.seal_phone(delivery(1), phone)[0], 2);
    assert_eq!(rotated.phone_key(phone), old.phone_key(phone), "look-ups survive a rotation of the sealing key");

    let stranger = Keyring::new(1, vec![(1, key(3))], key(9)).expect("valid");
    assert_eq!(stranger.open_phone(delivery(1), &sealed), None);
    let mut torn = sealed;
    torn[5] ^= 1;
    assert_eq!(old.open_phone(delivery(1), &torn), None);
}

#[test]
fn what_a_webhook_says_opens_only_for_its_attempt_and_kind() {
    let ring = Keyring::new(1, vec![(1, key(1))], key(9)).expect("valid");
    let (mine, other) = (AttemptId::from_bytes([1; 16]), AttemptId::from_bytes([2; 16]));
    let (body, exchange) = (ring.seal_body(mine, b"{}"), ring.seal_exchange(mine, b"{}"));
    assert_ne!(body, exchange, "two kinds never share a nonce");
    assert_eq!(ring.open_body(mine, &body).as_deref(), Some(&b"{}"[..]));
    assert_eq!(ring.open_exchange(mine, &exchange).as_deref(), Some(&b"{}"[..]));
    assert_eq!(ring.open_body(other, &body), None);
    assert_eq!(ring.open_exchange(other, &exchange), None);
    assert_eq!((ring.open_body(mine, &exchange), ring.open_exchange(mine, &body)), (None, None));
    assert_eq!(ring.open_body(mine, &ring.seal_body(mine, b"")).as_deref(), Some(&b""[..]));
}

#[test]
fn a_signing_key_opens_only_for_its_endpoint() {
    let ring = Keyring::new(1, vec![(1, key(1))], key(9)).expect("valid");
    let (mine, other) = (EndpointId::from_bytes([1; 16]), EndpointId::from_bytes([2; 16]));
    let signing = SigningKey::from_bytes([0x5a; 32]);
    let sealed = ring.seal_signing_key(mine, [7; 16], &signing);
    assert_eq!((sealed.len(), &sealed[..16]), (16 + 1 + 32 + 16, &[7; 16][..]));
    assert!(!sealed.windows(8).any(|bytes| bytes == [0x5a; 8]));
    let opened = ring.open_signing_key(mine, &sealed);
    assert_eq!(opened.map(|key| *key.expose_bytes()), Some([0x5a; 32]));
    assert_ne!(ring.seal_signing_key(mine, [8; 16], &signing)[16..], sealed[16..]);
    assert!(ring.open_signing_key(other, &sealed).is_none());
    for torn in [&sealed[..15], &sealed[..16], &sealed[..17], &sealed[..64], b""] {
        assert!(ring.open_signing_key(mine, torn).is_none());
    }
    let mut moved = sealed;
    moved[15] ^= 1;
    assert!(ring.open_signing_key(mine, &moved).is_none());
    let rotated = Keyring::new(2, vec![(1, key(1)), (2, key(2))], key(9)).expect("valid");
    assert!(rotated.open_signing_key(mine, &ring.seal_signing_key(mine, [9; 16], &signing)).is_some());
}

#[test]
fn a_ring_needs_its_active_key_and_no_id_twice() {
    assert!(Keyring::new(2, vec![(1, key(1))], key(9)).is_none());
    assert!(Keyring::new(1, vec![(1, key(1)), (1, key(2))], key(9)).is_none());
    assert_eq!(format!("{:?}", key(1)), "[secret key]");
}
