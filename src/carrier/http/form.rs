//! `application/x-www-form-urlencoded`, both ways (WHATWG URL §5). Reading never fails: what is no escape stands for itself.

/// Writes `value` so that it can stand behind an equals sign, with a space as `+` if `is_form`; in a path otherwise.
pub(super) fn escape(text: &mut Vec<u8>, value: &str, is_form: bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => text.push(byte),
            b' ' if is_form => text.push(b'+'),
            byte => {
                let (high, low) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
                text.extend_from_slice(&[b'%', high, low]);
            }
        }
    }
}

/// The pairs of a form or of what stands behind a URL's `?`, in order.
pub(super) fn pairs(text: &[u8]) -> impl Iterator<Item = (String, String)> + '_ {
    text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        (unescape(&pair[..at]), unescape(pair.get(at + 1..).unwrap_or_default()))
    })
}

fn unescape(text: &[u8]) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, hexadecimal(after)) {
            (b'+', _) => bytes.push(b' '),
            (b'%', Some(escaped)) => {
                bytes.push(escaped);
                rest = &after[2..];
            }
            _ => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hexadecimal(text: &[u8]) -> Option<u8> {
    let digits = text.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        pairs(text.as_bytes()).collect()
    }

    #[test]
    fn what_is_no_escape_stands_for_itself() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            read("a=1&b=x+y%20z&&c&d=%&e=%4&f=%zz&g=%+1&=h"),
            [
                pair("a", "1"),
                pair("b", "x y z"),
                pair("c", ""),
                pair("d", "%"),
                pair("e", "%4"),
                pair("f", "%zz"),
                pair("g", "% 1"),
                pair("", "h"),
            ]
        );
        assert_eq!(read("%ff=1"), [pair("\u{fffd}", "1")]);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_and_nothing_gets_out_of_its_place(name in "\\PC{1,20}", value in "\\PC{0,40}") {
            let mut text = Vec::new();
            escape(&mut text, &name, true);
            text.push(b'=');
            escape(&mut text, &value, true);
            prop_assert!(text.iter().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(pairs(&text).collect::<Vec<_>>(), vec![(name, value)]);
        }
    }
}
