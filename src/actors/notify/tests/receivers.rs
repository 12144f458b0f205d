//! Receivers that behave as they are told.

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::script::Script;
use super::*;
use crate::actors::notify::post::{Way, Ways};
use crate::domain::endpoint_url::EndpointUrl;
use crate::domain::webhook::{Fault, Phases};
use crate::webhook::line::Exchange;
use crate::webhook::request::Post;

/// How a receiver answers.
#[derive(Clone, Copy)]
pub(super) enum Manner {
    Answers(u16, Duration),
    AsksToWait(Duration),
    /// Until the deadline.
    Hangs,
    Panics,
}

pub(super) const QUICK: Manner = Manner::Answers(204, Duration::from_millis(2));
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// An endpoint's host is its id.
pub(super) fn url(endpoint: EndpointId) -> EndpointUrl {
    EndpointUrl::parse(&format!("https://{endpoint}.example/hook")).expect("valid")
}

fn of_url(url: &EndpointUrl) -> EndpointId {
    let host = url.host_header();
    host.trim_end_matches(".example").parse().expect("an id")
}

impl Ways for Script {
    fn to(&self, url: &EndpointUrl) -> Box<dyn Way> {
        self.with(|world| world.opened += 1);
        Box::new(ScriptedWay { endpoint: of_url(url), script: self.clone(), used: Instant::now() })
    }
}

struct ScriptedWay {
    endpoint: EndpointId,
    script: Script,
    used: Instant,
}

/// Counts a POST while it is under way, however it ends.
struct UnderWay<'s>(&'s Script, EndpointId);

impl<'s> UnderWay<'s> {
    fn new(script: &'s Script, endpoint: EndpointId) -> Self {
        script.with(|world| {
            world.posts.push(endpoint);
            let in_flight = world.in_flight.entry(endpoint).or_default();
            *in_flight += 1;
            let most = world.most_in_flight.entry(endpoint).or_default();
            *most = (*most).max(*in_flight);
        });
        Self(script, endpoint)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.with(|world| *world.in_flight.entry(self.1).or_default() -= 1);
    }
}

impl Way for ScriptedWay {
    fn post<'w>(&'w mut self, _: &'w Post) -> BoxFuture<'w, Exchange> {
        Box::pin(async move {
            let manner = self.script.with(|world| world.manners.get(&self.endpoint).copied().unwrap_or(QUICK));
            let _under_way = UnderWay::new(&self.script, self.endpoint);
            self.used = Instant::now();
            match manner {
                Manner::Answers(status, after) => {
                    tokio::time::sleep(after).await;
                    exchange(Some(status), None)
                }
                Manner::AsksToWait(wait) => exchange(Some(503), Some(wait)),
                Manner::Hangs => {
                    tokio::time::sleep(DEADLINE).await;
                    exchange(None, None)
                }
                Manner::Panics => panic!("on purpose"),
            }
        })
    }

    fn is_open(&mut self) -> bool {
        self.used.elapsed() < Duration::from_secs(4)
    }
}

fn exchange(status: Option<u16>, retry_after: Option<Duration>) -> Exchange {
    let outcome = match status {
        Some(status @ 200..=299) => Ok(status),
        Some(_) => Err(Fault::Status),
        None => Err(Fault::Timeout),
    };
    Exchange {
        outcome,
        status,
        phases: Phases::default(),
        response: Vec::new(),
        retry_after,
        detail: "scripted".to_owned(),
    }
}
