//! JSON as it is written: by hand, member after member, without serde.
//!
//! Two writers need it: the API's answers and the bodies of webhooks, which are signed byte by byte. Numbers are written as
//! they print, so that money keeps its exact decimals; strings are escaped as `serde_json` escapes them. Nothing is read here.

use std::fmt::Display;
use std::io::Write;

/// A JSON object that is being written. Names of members are our own and need no escaping.
pub struct Object(Vec<u8>);

impl Object {
    /// An object without a member, in a buffer that holds `bytes` before it grows.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut text = Vec::with_capacity(bytes);
        text.push(b'{');
        Self(text)
    }

    /// A number, `true`, `false` or `null`: what is written as it prints.
    #[must_use]
    pub fn plain(mut self, name: &str, value: impl Display) -> Self {
        self.name(name);
        let _ = write!(self.0, "{value}");
        self
    }

    /// A string that needs no escaping: an id, a time, a word of ours.
    #[must_use]
    pub fn quoted(mut self, name: &str, value: impl Display) -> Self {
        self.name(name);
        let _ = write!(self.0, "\"{value}\"");
        self
    }

    /// A string of somebody else's.
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        write_string(&mut self.0, value);
        self
    }

    /// A string of somebody else's, or `null`.
    #[must_use]
    pub fn optional(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self.plain(name, "null"),
        }
    }

    /// An object of strings, in the order given; names and values are somebody else's.
    #[must_use]
    pub fn pairs(mut self, name: &str, pairs: &[(String, String)]) -> Self {
        self.name(name);
        self.0.push(b'{');
        for (index, (key, value)) in pairs.iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            write_string(&mut self.0, key);
            self.0.push(b':');
            write_string(&mut self.0, value);
        }
        self.0.push(b'}');
        self
    }

    /// A value that is already JSON.
    #[must_use]
    pub fn json(mut self, name: &str, value: &[u8]) -> Self {
        self.name(name);
        self.0.extend_from_slice(value);
        self
    }

    /// The whole text.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    fn name(&mut self, name: &str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }
}

/// Writes `value` in quotes, with what RFC 8259 §7 forbids in a string escaped and nothing else.
pub fn write_string(text: &mut Vec<u8>, value: &str) {
    text.push(b'"');
    for byte in value.bytes() {
        match byte {
            b'"' => text.extend_from_slice(b"\\\""),
            b'\\' => text.extend_from_slice(b"\\\\"),
            0x08 => text.extend_from_slice(b"\\b"),
            b'\t' => text.extend_from_slice(b"\\t"),
            b'\n' => text.extend_from_slice(b"\\n"),
            0x0c => text.extend_from_slice(b"\\f"),
            b'\r' => text.extend_from_slice(b"\\r"),
            0..0x20 => {
                let _ = write!(text, "\\u{byte:04x}");
            }
            _ => text.push(byte),
        }
    }
    text.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_the_order_given() {
        let pairs = [("b".to_owned(), "2".to_owned()), ("a\"".to_owned(), "\n".to_owned())];
        let object = Object::with_capacity(8)
            .plain("number", 1.5)
            .quoted("word", "sent")
            .text("text", "\"")
            .optional("none", None)
            .pairs("pairs", &pairs)
            .pairs("empty", &[])
            .json("list", b"[{}]");
        assert_eq!(
            String::from_utf8(object.finish()).expect("text"),
            r#"{"number":1.5,"word":"sent","text":"\"","none":null,"pairs":{"b":"2","a\"":"\n"},"empty":{},"list":[{}]}"#
        );
        assert_eq!(Object::with_capacity(0).finish(), b"{}");
    }

    /// What `serde_json` writes; the edge's tests hold the two against each other.
    #[test]
    fn only_what_must_be_escaped_is() {
        let mut text = Vec::new();
        write_string(&mut text, "\u{0}\u{8}\t\n\u{b}\u{c}\r\u{1b}\u{1f} /\"\\\u{7f}é\u{2028}\u{1F4DE}");
        let expected = concat!(r#""\u0000\b\t\n\u000b\f\r\u001b\u001f /\"\\"#, "\u{7f}é\u{2028}\u{1F4DE}\"");
        assert_eq!(String::from_utf8(text).expect("text"), expected);
    }
}
