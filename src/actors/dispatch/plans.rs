//! What the queues are to be, and what follows from all of it together.

use std::sync::Arc;

use super::link::Link;
use crate::domain::carrier::{Carrier, Channel};

/// One queue as it is to be: the links by which a carrier's phones are reached on a channel, in no order, by weight. Plans of
/// the same link share its rate and its window in equal parts, and what one does not use the others may.
#[derive(Clone, Debug)]
pub struct LanePlan {
    pub carrier: Carrier,
    pub channel: Channel,
    /// A weight of zero is taken as one.
    pub links: Vec<(Arc<Link>, u32)>,
}

/// A [`LanePlan`] with what follows from all plans together.
pub(super) struct Plan {
    pub(super) carrier: Carrier,
    pub(super) channel: Channel,
    pub(super) links: Vec<Planned>,
}

pub(super) struct Planned {
    pub(super) link: Arc<Link>,
    pub(super) weight: u32,
    /// How many queues share the link.
    pub(super) shares: u32,
    pub(super) falls_back: bool,
}

/// What follows from all plans together: how many share a link, and what may go on to which channel.
pub(super) fn together(plans: Vec<LanePlan>) -> Vec<Plan> {
    let shares = |link: &Arc<Link>| {
        let of = |plan: &&LanePlan| plan.links.iter().any(|(other, _)| Arc::ptr_eq(other, link));
        u32::try_from(plans.iter().filter(of).count()).unwrap_or(u32::MAX).max(1)
    };
    let falls_back = |plan: &LanePlan, link: &Arc<Link>| {
        let mut others = plans.iter().filter(|other| other.carrier == plan.carrier && other.channel != plan.channel);
        // An upstream that refuses a phone for a while after it took an attempt is of no use for the next one.
        others.any(|other| other.links.iter().any(|(next, _)| !link.has_gap() || next.id() != link.id()))
    };
    let derive = |plan: &LanePlan| {
        let of = |(link, _): &(Arc<Link>, u32)| (shares(link), falls_back(plan, link));
        plan.links.iter().map(of).collect::<Vec<_>>()
    };
    let derived: Vec<_> = plans.iter().map(derive).collect();
    let complete = plans.into_iter().zip(derived).map(|(LanePlan { carrier, channel, links }, derived)| {
        let planned = links.into_iter().zip(derived).map(|((link, weight), (shares, falls_back))| Planned {
            link,
            weight: weight.max(1),
            shares,
            falls_back,
        });
        Plan { carrier, channel, links: planned.collect() }
    });
    complete.filter(|plan| !plan.links.is_empty()).collect()
}
