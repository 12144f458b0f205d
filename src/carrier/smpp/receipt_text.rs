//! The text of a receipt (SMPP 3.4 appendix B), as tolerantly as SMSCs are careless.
//!
//! Keys are looked for in any order and either case, with or without a space after the colon; fields may be missing. What
//! stands after `text:` is the message itself and is read last: a text of ours that says `id:` must not be taken for one.

/// What a receipt's text says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReceiptText<'t> {
    pub id: Option<&'t str>,
    pub stat: Option<&'t str>,
    pub err: Option<&'t str>,
}

const KEYS: &[&str] = &["id:", "sub:", "dlvrd:", "submit date:", "done date:", "stat:", "err:", "text:"];

/// Reads what `text` says as a receipt.
#[must_use]
pub fn receipt_text(text: &str) -> ReceiptText<'_> {
    let (head, tail) = around_the_message(text);
    // Before the message, or, where somebody puts it first, behind it.
    let value = |key| value(head, key).or_else(|| value(tail, key));
    ReceiptText { id: value("id:"), stat: value("stat:"), err: value("err:") }
}

/// The word behind `key`, a field of some SMSC's own, its colon included: before the message, or behind it.
#[must_use]
pub fn field<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let (head, tail) = around_the_message(text);
    value(head, key).or_else(|| value(tail, key))
}

/// What stands before the message, and the rest.
fn around_the_message(text: &str) -> (&str, &str) {
    // Wherever it begins: some leave the blank before it out.
    inside(text, "text:").map_or((text, ""), |at| text.split_at(at))
}

/// The word behind the first `key`. It ends where another key begins, blank or not: the message may follow at once.
fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let at = key_at(text, key)?;
    let rest = text[at + key.len()..].trim_start_matches(' ');
    // A field that is empty is followed by the next key.
    if KEYS.iter().any(|key| starts_with(rest, key)) {
        return None;
    }
    let end = rest.find(|c: char| c.is_whitespace() || c.is_control() || matches!(c, ',' | ';'));
    let word = &rest[..end.unwrap_or(rest.len())];
    // A key may hold a blank, and so reach beyond the word.
    let end = KEYS.iter().filter_map(|key| inside(rest, key)).min().unwrap_or(rest.len());
    let word = &word[..end.min(word.len())];
    if word.is_empty() { None } else { Some(word) }
}

/// Where `key` begins a word.
fn key_at(text: &str, key: &str) -> Option<usize> {
    let begins = |at: usize| !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    text.char_indices().map(|(at, _)| at).find(|at| starts_with(&text[*at..], key) && begins(*at))
}

/// Where `key` stands first, within a word too.
fn inside(text: &str, key: &str) -> Option<usize> {
    text.char_indices().map(|(at, _)| at).find(|at| starts_with(&text[*at..], key))
}

fn starts_with(text: &str, key: &str) -> bool {
    text.as_bytes().get(..key.len()).is_some_and(|start| start.eq_ignore_ascii_case(key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said<'t>(id: &'t str, stat: &'t str, err: &'t str) -> ReceiptText<'t> {
        let some = |text: &'t str| if text.is_empty() { None } else { Some(text) };
        ReceiptText { id: some(id), stat: some(stat), err: some(err) }
    }

    #[test]
    fn the_fields_come_in_any_order_and_some_not_at_all() {
        for (text, expected) in [
            (
                "id:bc614e sub:001 dlvrd:001 submit date:2611201530 done date:261120153012 stat:DELIVRD err:000 text:Ma",
                said("bc614e", "DELIVRD", "000"),
            ),
            ("stat:UNDELIV err:0B2 ID:7f3e-41aa", said("7f3e-41aa", "UNDELIV", "0B2")),
            ("id: 123 stat: EXPIRED", said("123", "EXPIRED", "")),
            ("id:1\0stat:DELIVRD\r\nerr:5;", said("1", "DELIVRD", "5")),
            ("Id:1,Stat:REJECTD,Err:1", said("1", "REJECTD", "1")),
            ("id: sub:001 stat:DELIVRD", said("", "DELIVRD", "")),
            ("Text:your id:99 stat:WRONG id:1", said("99", "WRONG", "")),
            ("id:1 stat:DELIVRD text:id:2 stat:EXPIRED err:9", said("1", "DELIVRD", "9")),
            ("text:482917 id:3 stat:DELIVRD err:000", said("3", "DELIVRD", "000")),
            ("id:1 stat:DELIVRD err:000Text:482917 la ma", said("1", "DELIVRD", "000")),
            ("id:1 err:000 stat:DELIVRDText:482917 la ma", said("1", "DELIVRD", "000")),
            ("stat:DELIVRD err:0 id:12tExT:482917 la ma", said("12", "DELIVRD", "0")),
            ("id:1 stat:DELIVRDtext:err:482917", said("1", "DELIVRD", "482917")),
            ("id:7submit date:26 stat:DELIVRDdone date:26 err:1dlvrd:1", said("7", "DELIVRD", "1")),
            ("mid:1 restat:2", said("", "", "")),
            ("Xin chao", said("", "", "")),
            ("", said("", "", "")),
            ("id:", said("", "", "")),
            ("ë id:1", said("1", "", "")),
        ] {
            assert_eq!(receipt_text(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_field_of_their_own_is_read_wherever_it_stands() {
        for (text, network) in [
            ("id:1 stat:DELIVRD mccmnc:45204 err:000", Some("45204")),
            ("id:1 MCCMNC: 452-04,stat:DELIVRD", Some("452-04")),
            ("id:1 mccmnc:45204stat:DELIVRD", Some("45204")),
            ("id:1 mccmnc: stat:DELIVRD", None),
            ("id:1 imccmnc:45204", None),
            ("id:1 mccmnc:45204 text:mccmnc:45201", Some("45204")),
            ("text:hello mccmnc:45201 id:1", Some("45201")),
            ("id:1 stat:DELIVRD", None),
        ] {
            assert_eq!(field(text, "mccmnc:"), network, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "(id:|stat:|err:|text:|sub:|[ -~]|é|\0|ß){0,40}") {
            let _ = receipt_text(&text);
        }
    }
}
