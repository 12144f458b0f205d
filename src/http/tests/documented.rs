//! `openapi.json` against the router, the errors and the values that it describes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::delivery::FailureCode;
use crate::domain::webhook::{AttemptState, Cause, EventType, Fault, Outcome};
use crate::http::api::OPENAPI;
use crate::http::error::ApiError;
use crate::http::error::tests::samples;
use crate::http::request_id::RequestId;
use crate::http::router::Resource;

fn document() -> Value {
    serde_json::from_str(OPENAPI).expect("the document is JSON")
}

/// Follows `$ref` as far as it goes.
fn resolve<'a>(document: &'a Value, mut value: &'a Value) -> &'a Value {
    while let Some(reference) = value["$ref"].as_str() {
        value =
            document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} leads nowhere"));
    }
    value
}

fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, methods)| {
        let methods: &Value = methods;
        methods.as_object().expect("methods").iter().map(move |(method, operation)| (path, method, operation))
    };
    paths
        .iter()
        .flat_map(of_path)
        .map(|(path, method, operation): (&String, &String, _)| (path.as_str(), method.as_str(), operation))
        .collect()
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Object(members) => {
                resolve(document, value);
                members.values().for_each(|member| walk(document, member));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(document, item)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

#[test]
fn what_is_documented_is_routed_and_what_is_routed_is_documented() {
    let document = document();
    let documented: BTreeSet<(String, String)> =
        operations(&document).iter().map(|(path, method, _)| ((*path).to_owned(), method.to_uppercase())).collect();
    let routed: BTreeSet<(String, String)> = Resource::NAMES
        .iter()
        .filter_map(|name| Resource::find(name))
        .flat_map(|resource| {
            // HEAD is GET: the document says so once.
            let methods = resource.allow().split(", ").filter(|method| *method != "HEAD");
            methods.map(move |method| (resource.name().to_owned(), method.to_owned()))
        })
        .collect();
    assert_eq!(documented, routed);
    assert_eq!(routed.len(), Resource::NAMES.len() - 1, "one method each, and one name for what is unknown");
}

/// The names of a schema's properties, its own and inherited, and the values that `error` may have.
fn properties(document: &Value, schema: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
    let schema = resolve(document, schema);
    let own = schema["properties"].as_object().into_iter().flatten();
    let mut names: BTreeSet<String> = own.map(|(name, _)| name.clone()).collect();
    let error = &schema["properties"]["error"];
    let many = error["enum"].as_array().cloned().unwrap_or_default();
    let mut errors: BTreeSet<String> =
        many.iter().chain([&error["const"]]).filter_map(|value| value.as_str().map(str::to_owned)).collect();
    for parent in schema["allOf"].as_array().into_iter().flatten() {
        let (inherited, inherited_errors) = properties(document, parent);
        names.extend(inherited);
        errors.extend(inherited_errors);
    }
    (names, errors)
}

#[test]
fn every_error_is_documented_with_its_status_fields_and_headers() {
    let document = document();
    for error in samples() {
        // An unknown path cannot be in the document; the rest of 404 is a delivery that is not there.
        let id = RequestId::generate();
        let reply = error.reply(&id);
        let status = reply.status().as_str().to_owned();
        let body: Value = serde_json::from_slice(&error.body(&id)).expect("JSON");
        let fields: BTreeSet<String> = body.as_object().expect("an object").keys().cloned().collect();
        let describes = |operation: &Value| {
            let response = resolve(&document, &operation["responses"][&status]);
            let (names, errors) = properties(&document, &response["content"]["application/json"]["schema"]);
            let headers: BTreeSet<String> =
                response["headers"].as_object().into_iter().flatten().map(|(name, _)| name.to_lowercase()).collect();
            errors.contains(error.code())
                && fields.is_subset(&names)
                && headers.contains("x-request-id")
                && reply
                    .headers()
                    .keys()
                    .filter(|name| *name != "content-type")
                    .all(|name| headers.contains(name.as_str()))
        };
        assert!(operations(&document).iter().any(|(_, _, operation)| describes(operation)), "{error:?}");
    }
}

#[test]
fn every_documented_error_exists() {
    let document = document();
    let known: BTreeSet<(String, String)> = samples()
        .iter()
        .map(|error: &ApiError| (error.status().as_str().to_owned(), error.code().to_owned()))
        .collect();
    for (path, method, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let schema = &resolve(&document, response)["content"]["application/json"]["schema"];
            for error in properties(&document, schema).1 {
                assert!(known.contains(&(status.clone(), error.clone())), "{method} {path}: {status} {error}");
            }
        }
    }
}

/// The values of a member that can be named, `null` apart.
fn documented_values(document: &Value, schema: &str, property: &str) -> Vec<String> {
    let property = resolve(document, &document["components"]["schemas"][schema]["properties"][property]);
    let values = property["enum"].as_array().unwrap_or_else(|| panic!("{schema} has values"));
    values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[test]
fn every_failure_code_is_documented() {
    assert_eq!(documented_values(&document(), "Delivery", "error_code"), FailureCode::ALL.map(FailureCode::as_str));
}

#[test]
fn every_word_of_an_attempt_is_documented() {
    let document = document();
    let documented = |property| documented_values(&document, "Attempt", property);
    assert_eq!(documented("event"), EventType::ALL.map(EventType::as_str));
    assert_eq!(documented("cause"), Cause::ALL.map(Cause::as_str));
    assert_eq!(documented("error"), Fault::ALL.map(Fault::as_str));
    let states: BTreeSet<String> = documented("state").into_iter().collect();
    let ended = Outcome::ALL.map(AttemptState::Ended);
    let known = ended.into_iter().chain([AttemptState::Sending, AttemptState::Unknown, AttemptState::Expired]);
    assert_eq!(states, known.map(|state| state.as_str().to_owned()).collect());
}
