//! What binds a login to the server's certificate: `tls-server-end-point` of RFC 5929 §4.
//!
//! The certificate's hash, by the hash function of the signature on it; SHA-256 in the place of MD5 and SHA-1. Of DER no more is
//! read than leads to that signature's algorithm.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const FIRST_OF_A_CHOICE: u8 = 0xa0;

/// RFC 4055 and 8017: `1.2.840.113549.1.1.…`.
const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// RFC 5758: `1.2.840.10045.4.…`.
const ECDSA: [u8; 6] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
/// `2.16.840.1.101.3.4.2.…`.
const SHA2: [u8; 8] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// The binding of a certificate (DER); `None` where the RFC has none (Ed25519), or for a certificate that cannot be read.
#[must_use]
pub fn of_certificate(certificate: &[u8]) -> Option<Vec<u8>> {
    let (whole, _) = element(certificate, SEQUENCE)?;
    let (_signed, rest) = element(whole, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    Some(match hash_of(algorithm)? {
        Hash::Sha224 => Sha224::digest(certificate).to_vec(),
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

/// The hash function of a signature's `AlgorithmIdentifier`, whose content is given.
fn hash_of(algorithm: &[u8]) -> Option<Hash> {
    let (id, parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    if let Some(kind) = id.strip_prefix(&RSA) {
        return match kind {
            [4 | 5 | 11] => Some(Hash::Sha256),
            [12] => Some(Hash::Sha384),
            [13] => Some(Hash::Sha512),
            [14] => Some(Hash::Sha224),
            [10] => of_pss(parameters),
            _ => None,
        };
    }
    match id.strip_prefix(&ECDSA)? {
        [1] | [3, 2] => Some(Hash::Sha256),
        [3, 1] => Some(Hash::Sha224),
        [3, 3] => Some(Hash::Sha384),
        [3, 4] => Some(Hash::Sha512),
        _ => None,
    }
}

/// RSASSA-PSS names its hash in its parameters; SHA-1 is the default.
fn of_pss(parameters: &[u8]) -> Option<Hash> {
    let (parameters, _) = element(parameters, SEQUENCE)?;
    let Some((hash, _)) = element(parameters, FIRST_OF_A_CHOICE) else { return Some(Hash::Sha256) };
    let (hash, _) = element(hash, SEQUENCE)?;
    let (id, _) = element(hash, OBJECT_IDENTIFIER)?;
    match id.strip_prefix(&SHA2) {
        None | Some([1]) => Some(Hash::Sha256),
        Some([2]) => Some(Hash::Sha384),
        Some([3]) => Some(Hash::Sha512),
        Some([4]) => Some(Hash::Sha224),
        Some(_) => None,
    }
}

/// The content of the element that `der` begins with, if it is of this kind, and what comes behind it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = der.strip_prefix(&[tag])?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (digits, rest) =
            rest.split_at_checked(usize::from(*first & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
        (digits.iter().fold(0_usize, |len, digit| (len << 8) | usize::from(*digit)), rest)
    };
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    #[test]
    fn the_hash_is_that_of_the_certificates_signature() {
        let certificate = |algorithm| {
            let key = KeyPair::generate_for(algorithm).expect("a key");
            let params = CertificateParams::new(vec!["db".to_owned()]).expect("a name");
            params.self_signed(&key).expect("a certificate").der().to_vec()
        };
        let short = certificate(&PKCS_ECDSA_P256_SHA256);
        assert_eq!(of_certificate(&short), Some(Sha256::digest(&short).to_vec()));
        let long = certificate(&PKCS_ECDSA_P384_SHA384);
        assert_eq!(of_certificate(&long), Some(Sha384::digest(&long).to_vec()));
        assert_eq!(of_certificate(&certificate(&PKCS_ED25519)), None);
        for cut in 0..short.len() {
            let _never_panics = of_certificate(&short[..cut]);
        }
    }

    #[test]
    fn the_older_and_the_rarer_algorithms_are_known() {
        let rsa = |kind: u8| [&[OBJECT_IDENTIFIER, 9][..], &RSA, &[kind, 5, 0]].concat();
        let expected = [
            (4, Hash::Sha256),
            (5, Hash::Sha256),
            (11, Hash::Sha256),
            (12, Hash::Sha384),
            (13, Hash::Sha512),
            (14, Hash::Sha224),
        ];
        for (kind, hash) in expected {
            assert_eq!(hash_of(&rsa(kind)), Some(hash));
        }
        let pss = |parameters: &[u8]| {
            let len = u8::try_from(parameters.len()).expect("short");
            hash_of(&[&[OBJECT_IDENTIFIER, 9][..], &RSA, &[10, SEQUENCE, len], parameters].concat())
        };
        let named =
            |last: u8| [&[FIRST_OF_A_CHOICE, 13, SEQUENCE, 11, OBJECT_IDENTIFIER, 9][..], &SHA2, &[last]].concat();
        assert_eq!(pss(&[]), Some(Hash::Sha256));
        assert_eq!((pss(&named(1)), pss(&named(3))), (Some(Hash::Sha256), Some(Hash::Sha512)));
        assert_eq!(pss(&named(9)), None);
    }
}
