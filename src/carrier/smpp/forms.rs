//! The forms in which an SMSC names a message: what its answer says and what its receipt says need not look alike.
//!
//! Cases differ, zeros come and go, and some answer in hexadecimal and report in decimal. An attempt is named in every form in
//! which its receipt may come; forms of different kinds never look alike, so that no two attempts share one. A receipt lists
//! the likeliest first. What is no number, or none of 64 bits (a UUID), stays a text.

use crate::config::upstreams::smpp::IdBase;
use crate::domain::reference::Reference;

/// Longer names are cut; both sides are cut alike.
const LEN_MAX: usize = 64;
/// Whose word an id is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    InAnswer,
    InReceipt,
}

/// Every form of `id`; none if nothing in it can be seen.
pub(super) fn forms(id: &str, base: IdBase, told: Told) -> Vec<Reference> {
    let visible: String = id.chars().filter(char::is_ascii_graphic).take(LEN_MAX).collect();
    let visible = visible.to_ascii_lowercase();
    let is_number = !visible.is_empty() && visible.bytes().all(|b| b.is_ascii_hexdigit());
    let text = if is_number { without_zeros(&visible) } else { visible.as_str() };
    let value = |radix| if is_number { u64::from_str_radix(text, radix).ok() } else { None };
    let (hex, dec) = match told {
        Told::InAnswer => (value(16), value(10)),
        Told::InReceipt => (value(10), value(16)),
    };
    let hex = hex
        .filter(|_| matches!(base, IdBase::Auto | IdBase::Hex))
        .map(|value| format!("{}{value}", Reference::GIVEN_HEX));
    let dec = dec
        .filter(|_| matches!(base, IdBase::Auto | IdBase::Dec))
        .map(|value| format!("{}{value}", Reference::GIVEN_DEC));
    [Some(text.to_owned()), hex, dec].into_iter().flatten().filter_map(|form| Reference::new(&form)).collect()
}

fn without_zeros(digits: &str) -> &str {
    let rest = digits.trim_start_matches('0');
    if rest.is_empty() { &digits[..1] } else { rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(answer: &str, receipt: &str, base: IdBase) -> bool {
        let named = forms(answer, base, Told::InAnswer);
        forms(receipt, base, Told::InReceipt).iter().any(|form| named.contains(form))
    }

    #[test]
    fn an_id_matches_in_either_base_and_however_it_is_padded() {
        for (answer, receipt) in [
            ("bc614e", "BC614E"),
            ("0000BC614E", "bc614e"),
            ("bc6150", "12345680"),
            ("12345680", "00BC6150"),
            ("0000123", "123"),
            ("0", "000"),
            ("ffffffffffffffff", "18446744073709551615"),
        ] {
            assert!(matches(answer, receipt, IdBase::Auto), "{answer} {receipt}");
        }
        for (answer, receipt) in [("bc6150", "12345681"), ("1", "2"), ("", ""), ("\0", "\0")] {
            assert!(!matches(answer, receipt, IdBase::Auto), "{answer} {receipt}");
        }
    }

    #[test]
    fn a_base_that_is_set_matches_as_it_says_and_as_a_text() {
        assert!(matches("bc6150", "12345680", IdBase::Hex) && !matches("12345680", "bc6150", IdBase::Hex));
        assert!(matches("12345680", "bc6150", IdBase::Dec) && !matches("bc6150", "12345680", IdBase::Dec));
        assert!(!matches("bc6150", "12345680", IdBase::String) && matches("0bc", "BC", IdBase::String));
        for base in [IdBase::Auto, IdBase::String, IdBase::Hex, IdBase::Dec] {
            assert!(matches("77", "77", base), "{base:?}");
        }
    }

    #[test]
    fn what_is_no_number_of_64_bits_stays_a_text() {
        let uuid = "0A1B2C3D-1111-2222-3333-444455556666";
        let texts =
            |id| forms(id, IdBase::Auto, Told::InAnswer).iter().map(|r| r.as_str().to_owned()).collect::<Vec<_>>();
        assert_eq!(texts(uuid), [uuid.to_ascii_lowercase()]);
        assert_eq!(texts("12345678901234567890123"), ["12345678901234567890123"]);
        assert_eq!(texts("0A0 00\u{7f}A3"), ["a000a3", "hex:10485923"]);
        assert!(matches(&"9".repeat(100), &"9".repeat(90), IdBase::Auto), "cut alike");
    }

    #[test]
    fn no_two_attempts_share_a_form() {
        let mut seen = std::collections::HashSet::new();
        for id in 0..3_000_u32 {
            for form in forms(&id.to_string(), IdBase::Auto, Told::InAnswer) {
                assert!(seen.insert(form.clone()), "{id}: {form:?}");
            }
        }
    }

    #[test]
    fn a_receipt_lists_the_likeliest_form_first() {
        let listed = forms("100", IdBase::Auto, Told::InReceipt);
        assert_eq!(listed.iter().map(Reference::as_str).collect::<Vec<_>>(), ["100", "hex:100", "dec:256"]);
    }
}
