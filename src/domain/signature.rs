//! A webhook's secret and the signatures made with it (contract §10).
//!
//! The customer holds the secret, which is shown once; the house holds its SHA-256, the signing key. That hash signs, so it
//! is as secret as the secret: wiped when dropped, never printed, sealed at rest. The seeds read it in two ways
//! ([`KeyForm`]); the Standard Webhooks signature always uses its 32 bytes.

use std::fmt;

use aes_gcm::KeyInit;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::domain::webhook::KeyForm;

const PREFIX: &str = "nws_";
const LIBRARY_PREFIX: &str = "whsec_";

/// A freshly made secret, to be shown once.
pub struct WebhookSecret(Zeroizing<String>);

impl WebhookSecret {
    /// Makes the secret of 32 bytes from the operating system's random source.
    #[must_use]
    pub fn from_entropy(entropy: &[u8; 32]) -> Self {
        let body = Zeroizing::new(URL_SAFE_NO_PAD.encode(entropy));
        Self(Zeroizing::new(format!("{PREFIX}{}", *body)))
    }

    /// The text, for the one time that it is shown.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The SHA-256 of the text: what signs, and what is kept.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::of_secret(&self.0)
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[webhook secret]")
    }
}

/// The 32 bytes of SHA-256(secret).
#[derive(Clone)]
pub struct SigningKey(Zeroizing<[u8; 32]>);

impl SigningKey {
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for sealing and nothing else.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The value of `X-NEXO-Signature`: `sha256=` and the HMAC-SHA256 of the body in lower-case hexadecimal.
    #[must_use]
    pub fn seed_signature(&self, form: KeyForm, body: &[u8]) -> String {
        let mac = match form {
            KeyForm::Raw => hmac_sha256(&*self.0, &[body]),
            KeyForm::Hex => hmac_sha256(hex(&self.0).as_bytes(), &[body]),
        };
        format!("sha256={}", *hex(&mac))
    }

    /// One signature of `webhook-signature` as Standard Webhooks 1.0 makes it: `v1,` and the base64 of the HMAC of
    /// `id.seconds.body`.
    #[must_use]
    pub fn standard_signature(&self, id: &str, unix_seconds: i64, body: &[u8]) -> String {
        let seconds = unix_seconds.to_string();
        let mac = hmac_sha256(&*self.0, &[id.as_bytes(), b".", seconds.as_bytes(), b".", body]);
        format!("v1,{}", STANDARD.encode(mac))
    }

    /// What the published Standard Webhooks libraries take as their secret: `whsec_` and the base64 of the key.
    #[must_use]
    pub fn library_secret(&self) -> Zeroizing<String> {
        let body = Zeroizing::new(STANDARD.encode(*self.0));
        Zeroizing::new(format!("{LIBRARY_PREFIX}{}", *body))
    }

    fn of_secret(secret: &str) -> Self {
        Self::from_bytes(Sha256::digest(secret.as_bytes()).into())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[signing key]")
    }
}

/// HMAC-SHA256 over `parts`, one after the other.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key)
        .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8; 32]) -> Zeroizing<String> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = Zeroizing::new(String::with_capacity(64));
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 0x0f)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body of the seed's cURL guide.
    const BODY: &[u8] = br#"{"type":"otp.delivered","id":"test","phone":"+84981234567","carrier":"viettel","status":"delivered","cost":0.022,"error_code":null,"created_at":"2026-05-26T10:00:00Z","completed_at":"2026-05-26T10:00:25Z"}"#;

    fn secret() -> WebhookSecret {
        WebhookSecret::from_entropy(&std::array::from_fn(|index| u8::try_from(index).unwrap_or(0)))
    }

    /// Made with `openssl dgst` as the seed's cURL guide does, and with the hexadecimal text as `-hmac` key.
    #[test]
    fn both_key_forms_sign_as_openssl_does() {
        assert_eq!(secret().expose(), "nws_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
        let key = secret().signing_key();
        assert_eq!(
            key.seed_signature(KeyForm::Raw, BODY),
            "sha256=a4746f47866657c24564be32b87ffe81bbd6308e7f87bd02a1a56d88e3abf506"
        );
        assert_eq!(
            key.seed_signature(KeyForm::Hex, BODY),
            "sha256=69450d944189e762b764b81b063227e026cec5d152d8f87af55d61ddc5b2ec0f"
        );
    }

    /// Made with openssl.
    #[test]
    fn the_standard_signature_covers_id_and_time() {
        let key = secret().signing_key();
        assert_eq!(key.library_secret().as_str(), "whsec_YHKeMSih2h48Vgdf7FnmqwSwDygAIq0Sx+nc5+aMH/4=");
        assert_eq!(
            key.standard_signature("evt_11111111-1111-1111-1111-111111111111", 1_779_703_225, BODY),
            "v1,OFRspOMlQ96QqMnFhWg8rlLrsouKGFRMKIio1adCSlg="
        );
    }

    /// The vector of the published libraries' own tests; its key has 24 bytes.
    #[test]
    fn the_standards_own_vector_holds() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let mac = hmac_sha256(
            &key,
            &[b"msg_p5jXN8AQM9LWM0D4loKWxJek", b".", b"1614265330", b".", br#"{"test": 2432232314}"#],
        );
        assert_eq!(STANDARD.encode(mac), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn nothing_that_signs_is_printed() {
        assert_eq!(format!("{:?} {:?}", secret(), secret().signing_key()), "[webhook secret] [signing key]");
    }
}
