//! Whatever somebody sends as a provider's callback: it is read as a receipt or refused, and what is read stands in it.
//!
//! The first byte chooses the form (JSON, a form, a list of receipts, a GET); what follows up to the first line end is behind the URL's `?`, the rest is the body.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nexo_route::carrier::http::receipt::{EACH_MAX, of_callback};
use nexo_route::carrier::upstream::{ReceiptState, Subject};
use nexo_route::config::SecretText;
use nexo_route::config::upstreams::http::{
    CallbackConfig, CallbackMethod, Class, Form, Pointer, Proof, ReceiptMapping, Source,
};
use nexo_route::domain::allowlist::Allowlist;
use nexo_route::domain::reference::UpstreamId;

fn body(pointer: &str) -> Source {
    Source::Body(Pointer::parse(pointer).expect("a pointer"))
}

fn config(form: Form) -> CallbackConfig {
    CallbackConfig {
        method: CallbackMethod::Post,
        proof: Proof::Query { name: "token".into(), value: SecretText::new("secret").expect("a secret") },
        allow: Allowlist::default(),
        form,
        each: None,
        attempt: Some(Source::Query("attempt".into())),
        reference: Some(body(if form == Form::Json { "/data/0/id" } else { "/id" })),
        phone: Some(body("/phone")),
        mapping: ReceiptMapping {
            status: body("/status"),
            delivered: vec!["DELIVRD".into()],
            in_progress: vec!["ringing".into()],
            failed: vec![("busy".into(), Class::Unreachable)],
            network: Some(body("/network")),
            word: Some(body("/why")),
        },
    }
}

/// Receipts in a list.
fn each() -> CallbackConfig {
    let whole = config(Form::Json);
    CallbackConfig { each: Pointer::parse("/results"), attempt: Some(body("/attempt")), ..whole }
}

/// Receipts by GET.
fn get() -> CallbackConfig {
    let whole = config(Form::Json);
    let query = |name: &str| Source::Query(name.into());
    let mapping = ReceiptMapping { status: query("status"), network: None, word: Some(query("why")), ..whole.mapping };
    let (reference, phone) = (Some(query("id")), Some(query("phone")));
    CallbackConfig { method: CallbackMethod::Get, reference, phone, mapping, ..whole }
}

static CONFIGS: LazyLock<[CallbackConfig; 4]> =
    LazyLock::new(|| [config(Form::Json), config(Form::Form), each(), get()]);
static UPSTREAM: LazyLock<UpstreamId> = LazyLock::new(|| UpstreamId::new("fuzzed").expect("a name"));

fuzz_target!(|input: &[u8]| {
    let Some((form, rest)) = input.split_first() else { return };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let Ok(query) = std::str::from_utf8(&rest[..end]) else { return };
    let body = rest.get(end + 1..).unwrap_or_default();
    let config = &CONFIGS[usize::from(form & 3)];
    let Ok(heard) = of_callback(config, &UPSTREAM, query, body) else { return };
    assert!(heard.told.len() + heard.unreadable <= EACH_MAX);
    assert!(config.each.is_some() || heard.told.len() + heard.unreadable == 1);
    for told in heard.told {
        assert_eq!(told.receipt.upstream, *UPSTREAM);
        // Only a word that the settings know ends a delivery.
        assert!(told.word_is_known || told.receipt.state == ReceiptState::InProgress);
        if let Subject::Reference { references, .. } = &told.receipt.subject {
            assert_eq!(references.len(), 1);
        }
    }
});
