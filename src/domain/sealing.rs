//! Encryption and keyed look-up of what a row must not show: phones, metadata, and what webhooks say and are signed with.
//!
//! Pure: the keys are given, the nonce is the row's own id (a signing key's is an id made for it). A sealed value starts with the id of its key, so that keys
//! can be rotated while old values stay readable. Look-ups use a separate key: a plain hash of a ten-digit number is
//! reversed in seconds.

use std::fmt;

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, AeadInOut, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::domain::ids::{AttemptId, DeliveryId, EndpointId};
use crate::domain::metadata::Metadata;
use crate::domain::phone::Phone;
use crate::domain::signature::SigningKey;

/// What a sealed value is; part of its nonce.
#[derive(Clone, Copy)]
enum Kind {
    Phone = 1,
    Metadata = 2,
    /// The body of a webhook.
    Body = 3,
    /// What a webhook's request and answer looked like.
    Exchange = 4,
    SigningKey = 5,
}

/// The keyed 64-bit name of a phone: the key of its window and of look-ups by phone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneKey(i64);

impl PhoneKey {
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Debug for PhoneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[phone key]")
    }
}

/// 32 secret bytes. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; 32]>);

impl SecretKey {
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Eight bytes that tell two keys apart and give nothing of either away.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 8] {
        let digest = Sha256::new().chain_update(b"nexo-route fingerprint").chain_update(*self.0).finalize();
        digest.first_chunk::<8>().copied().unwrap_or_default()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret key]")
    }
}

/// Every key of a deployment: one that seals, those that still open, one for look-ups.
#[derive(Clone)]
pub struct Keyring {
    active: u8,
    sealing: Vec<Sealing>,
    lookup: SecretKey,
}

/// One sealing key, expanded once: the schedule costs more than sealing a phone.
#[derive(Clone)]
struct Sealing {
    id: u8,
    key: SecretKey,
    cipher: Aes256Gcm,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} sealing keys)", self.sealing.len())
    }
}

impl Keyring {
    /// `keys` by id; the one that is named `active` seals. `None` if it is missing or an id repeats.
    #[must_use]
    pub fn new(active: u8, keys: Vec<(u8, SecretKey)>, lookup: SecretKey) -> Option<Self> {
        let known = keys.iter().any(|(id, _)| *id == active);
        let repeated = keys.iter().enumerate().any(|(at, (id, _))| keys[..at].iter().any(|(other, _)| other == id));
        let expand = |(id, key): (u8, SecretKey)| {
            let cipher = Aes256Gcm::new((&*key.0).into());
            Sealing { id, key, cipher }
        };
        let sealing = keys.into_iter().map(expand).collect();
        (known && !repeated).then_some(Self { active, sealing, lookup })
    }

    /// The fingerprint of every sealing key by id, and that of the look-up key.
    #[must_use]
    pub fn fingerprints(&self) -> (Vec<(u8, [u8; 8])>, [u8; 8]) {
        let sealing = self.sealing.iter().map(|sealing| (sealing.id, sealing.key.fingerprint())).collect();
        (sealing, self.lookup.fingerprint())
    }

    #[must_use]
    pub fn phone_key(&self, phone: Phone) -> PhoneKey {
        let mac = self.mac(b"phone", &phone.national().to_be_bytes());
        PhoneKey(i64::from_be_bytes(mac.first_chunk::<8>().copied().unwrap_or_default()))
    }

    /// The keyed digest of a request body: a plain hash would give the code away.
    #[must_use]
    pub fn body_mac(&self, body: &[u8]) -> [u8; 32] {
        self.mac(b"body\0", body)
    }

    #[must_use]
    pub fn seal_phone(&self, delivery: DeliveryId, phone: Phone) -> Vec<u8> {
        self.seal(delivery.as_bytes(), Kind::Phone, &[], &phone.national().to_be_bytes())
    }

    /// `None` if the value was not sealed for this delivery by a key of this ring.
    #[must_use]
    pub fn open_phone(&self, delivery: DeliveryId, sealed: &[u8]) -> Option<Phone> {
        let opened = self.open(delivery.as_bytes(), Kind::Phone, &[], sealed)?;
        Phone::from_national_number(u32::from_be_bytes(opened.as_slice().try_into().ok()?))
    }

    #[must_use]
    pub fn seal_metadata(&self, delivery: DeliveryId, metadata: &Metadata) -> Vec<u8> {
        self.seal(delivery.as_bytes(), Kind::Metadata, &[], &metadata.to_bytes())
    }

    /// `None` if the value was not sealed for this delivery by a key of this ring.
    #[must_use]
    pub fn open_metadata(&self, delivery: DeliveryId, sealed: &[u8]) -> Option<Metadata> {
        Metadata::from_bytes(&self.open(delivery.as_bytes(), Kind::Metadata, &[], sealed)?)
    }

    /// Seals the body of an attempt; an attempt has one body.
    #[must_use]
    pub fn seal_body(&self, attempt: AttemptId, body: &[u8]) -> Vec<u8> {
        self.seal(attempt.as_bytes(), Kind::Body, &[], body)
    }

    /// `None` if the value was not sealed for this attempt by a key of this ring.
    #[must_use]
    pub fn open_body(&self, attempt: AttemptId, sealed: &[u8]) -> Option<Vec<u8>> {
        self.open(attempt.as_bytes(), Kind::Body, &[], sealed)
    }

    /// Seals the request's head and the answer of an attempt. Once per attempt: who writes a result again writes the same
    /// sealed bytes again.
    #[must_use]
    pub fn seal_exchange(&self, attempt: AttemptId, exchange: &[u8]) -> Vec<u8> {
        self.seal(attempt.as_bytes(), Kind::Exchange, &[], exchange)
    }

    /// `None` if the value was not sealed for this attempt by a key of this ring.
    #[must_use]
    pub fn open_exchange(&self, attempt: AttemptId, sealed: &[u8]) -> Option<Vec<u8>> {
        self.open(attempt.as_bytes(), Kind::Exchange, &[], sealed)
    }

    /// Seals an endpoint's signing key under `fresh`, 16 bytes from the operating system's random source that are used for
    /// no other key: an endpoint has more than one key in its life, so its own id cannot be the nonce. They stand before the
    /// sealed bytes.
    #[must_use]
    pub fn seal_signing_key(&self, endpoint: EndpointId, fresh: [u8; 16], key: &SigningKey) -> Vec<u8> {
        let sealed = self.seal(&fresh, Kind::SigningKey, endpoint.as_bytes(), key.expose_bytes());
        [fresh.as_slice(), &sealed].concat()
    }

    /// `None` if the value was not sealed for this endpoint by a key of this ring.
    #[must_use]
    pub fn open_signing_key(&self, endpoint: EndpointId, sealed: &[u8]) -> Option<SigningKey> {
        let (fresh, sealed) = sealed.split_first_chunk::<16>()?;
        let opened = Zeroizing::new(self.open(fresh, Kind::SigningKey, endpoint.as_bytes(), sealed)?);
        opened.as_slice().try_into().ok().map(SigningKey::from_bytes)
    }

    fn mac(&self, label: &[u8; 5], message: &[u8]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&*self.lookup.0)
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        mac.update(label);
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// The nonce is made of the row's id and the kind of value: a key never seals two values under one nonce, because a
    /// delivery has one phone and one metadata, an attempt one body and one exchange, each sealed once. `bound_to` is what
    /// else the value belongs to.
    fn seal(&self, id: &[u8; 16], kind: Kind, bound_to: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut value = Vec::with_capacity(1 + plain.len() + TAG_LEN);
        value.push(self.active);
        value.extend_from_slice(plain);
        let tag = self
            .cipher(self.active)
            .and_then(|cipher| cipher.encrypt_inout_detached(&nonce(id, kind), bound_to, (&mut value[1..]).into()).ok())
            .expect("the active key is of the ring, and the value far below the cipher's limit");
        value.extend_from_slice(&tag);
        value
    }

    fn open(&self, id: &[u8; 16], kind: Kind, bound_to: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (key, sealed) = sealed.split_first()?;
        let payload = Payload { msg: sealed, aad: bound_to };
        self.cipher(*key)?.decrypt(&nonce(id, kind), payload).ok()
    }

    fn cipher(&self, id: u8) -> Option<&Aes256Gcm> {
        self.sealing.iter().find(|sealing| sealing.id == id).map(|sealing| &sealing.cipher)
    }
}

const TAG_LEN: usize = 16;

/// The twelve bytes of a version 7 id that hold its 74 random bits and the last 16 of its time. Its version, the same four
/// bits in every id, gives place to the kind.
fn nonce(id: &[u8; 16], kind: Kind) -> Nonce<U12> {
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&id[4..]);
    nonce[2] = (nonce[2] & 0x0f) | ((kind as u8) << 4);
    nonce.into()
}

#[cfg(test)]
mod tests;
