//! Whatever stands in a receipt: what is read from it are words of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nexo_route::carrier::smpp::receipt_text::{field, receipt_text};

fuzz_target!(|text: &str| {
    let said = receipt_text(text);
    for word in [said.id, said.stat, said.err, field(text, "mccmnc:")].into_iter().flatten() {
        assert!(!word.is_empty() && text.contains(word));
        assert!(!word.contains(char::is_whitespace) && !word.contains(char::is_control));
    }
});
