//! What a simulated carrier does with an attempt: a table for numbers that end in `0000NN`, dice for all others.
//!
//! | NN | what happens |
//! |---|---|
//! | 00 | delivered |
//! | 01 | delivered, 5 s later than the script says |
//! | 02 03 04 05 | fails by receipt on every channel: unreachable, invalid number, rejected, expired |
//! | 06 | voice is refused; SMS delivers |
//! | 07 | refused on every channel |
//! | 08 | the carrier refuses this phone for 17 s |
//! | 09 | accepted, the receipt is lost |
//! | 10 | delivered, the receipt comes twice |
//! | 11 | delivered, then a second receipt says failed |
//! | 12 | delivered, the receipt comes before the ack |
//! | 13 | the ack is lost (ambiguous); delivered by receipt |
//! | 14 | the ack is lost and so is the receipt |
//! | 15 | the carrier never answers |
//! | 16 | delivered, the ack takes 4 s |
//! | 17 | the receipt comes after the settle time |
//! | 18 | voice fails by receipt; SMS delivers |
//! | 19 | the link takes nothing, on any channel |
//! | 20 | refused on every channel, after 4 s |
//! | 21 | a receipt says in progress, then delivered |
//! | 22 | voice certainly was not sent; SMS delivers |
//! | 23 | voice is refused; SMS refuses this phone for 17 s |
//! | 24 | every channel fails by receipt, then a second receipt says delivered |
//! | 25 | the carrier never answers; delivered by receipt |
//! | 26 | voice: the ack is lost, then it fails by receipt; SMS delivers |
//! | 27 | the link panics, no receipt comes |

use std::num::NonZeroU32;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use crate::carrier::upstream::{FailureClass, Outcome, ReceiptState};
use crate::config::{SimulatorConfig, millis};
use crate::domain::carrier::Channel;
use crate::domain::delivery::CarrierStatus;
use crate::domain::phone::Phone;

/// How much longer than the ack wait a slow ack takes.
const SLOW_ACK: Duration = Duration::from_secs(4);
/// The remainder that NN 08 names.
const PHONE_LIMIT: Duration = Duration::from_secs(17);
/// How long after the settle time a late receipt comes.
const LATE: Duration = Duration::from_secs(3);

/// A wait of `base` and up to `jitter` more, evenly spread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Delay {
    pub base: Duration,
    pub jitter: Duration,
}

impl Delay {
    fn draw(self, dice: &mut SmallRng) -> Duration {
        if self.jitter.is_zero() {
            return self.base;
        }
        self.base + self.jitter.mul_f64(dice.random::<f64>())
    }
}

/// The behaviour of one simulated carrier; each rate is a share of 0–1 of the attempts.
#[derive(Clone, Debug)]
pub struct Script {
    pub seed: u64,
    pub ack: Delay,
    pub receipt: Delay,
    pub refuse_rate: f64,
    pub fail_rate: f64,
    pub lose_receipt_rate: f64,
    pub duplicate_receipt_rate: f64,
    pub late_receipt_rate: f64,
    pub rate_per_second: Option<NonZeroU32>,
    pub in_flight_max: usize,
    pub link_down: bool,
    pub hang: bool,
}

impl Default for Script {
    /// Everything is delivered at once.
    fn default() -> Self {
        Self {
            seed: 1,
            ack: Delay::default(),
            receipt: Delay::default(),
            refuse_rate: 0.0,
            fail_rate: 0.0,
            lose_receipt_rate: 0.0,
            duplicate_receipt_rate: 0.0,
            late_receipt_rate: 0.0,
            rate_per_second: None,
            in_flight_max: 100_000,
            link_down: false,
            hang: false,
        }
    }
}

impl From<&SimulatorConfig> for Script {
    fn from(config: &SimulatorConfig) -> Self {
        let delay = |base_ms, jitter_ms| Delay { base: millis(base_ms), jitter: millis(jitter_ms) };
        Self {
            seed: config.seed,
            ack: delay(config.ack_ms, config.ack_jitter_ms),
            receipt: delay(config.receipt_ms, config.receipt_jitter_ms),
            refuse_rate: config.refuse_rate,
            fail_rate: config.fail_rate,
            lose_receipt_rate: config.lose_receipt_rate,
            duplicate_receipt_rate: config.duplicate_receipt_rate,
            late_receipt_rate: config.late_receipt_rate,
            rate_per_second: NonZeroU32::new(config.rate_per_second),
            in_flight_max: config.in_flight_max,
            link_down: config.link_down,
            hang: config.hang,
        }
    }
}

/// The carrier's answer to the attempt itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ack {
    After(Duration, Outcome),
    Never,
    Panics,
}

impl Ack {
    /// Whether the phone may have been called.
    #[must_use]
    pub const fn taken(&self) -> bool {
        matches!(self, Self::Never | Self::Panics | Self::After(_, Outcome::Accepted | Outcome::Ambiguous { .. }))
    }
}

/// One receipt that will come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Planned {
    /// From the start of the attempt.
    pub after: Duration,
    pub state: ReceiptState,
    pub status: &'static str,
}

/// Everything that will happen to one attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    pub ack: Ack,
    pub receipts: [Option<Planned>; 2],
}

/// Decides one attempt from the seed, the phone and the channel alone. `settle_by` only places a receipt that is to be
/// late.
#[must_use]
pub fn plan(script: &Script, phone: Phone, channel: Channel, settle_by: Instant) -> Plan {
    let mut dice = SmallRng::seed_from_u64(mix(script.seed, phone, channel));
    let ack = script.ack.draw(&mut dice);
    let receipt = ack + script.receipt.draw(&mut dice);
    let times = Times { ack, receipt, late: settle_by.saturating_duration_since(Instant::now()) + LATE };
    match forced(phone) {
        Some(number) => by_number(number, channel, times),
        None => by_chance(script, times, &mut dice),
    }
}

#[derive(Clone, Copy)]
struct Times {
    ack: Duration,
    receipt: Duration,
    late: Duration,
}

/// `NN` of a number that ends in `0000NN`.
fn forced(phone: Phone) -> Option<u32> {
    let tail = phone.national() % 1_000_000;
    (tail < 100).then_some(tail)
}

fn by_number(number: u32, channel: Channel, times: Times) -> Plan {
    use FailureClass::{Expired, InvalidNumber, Rejected, Unreachable};
    let Times { ack, receipt, late } = times;
    let voice = channel == Channel::Voice;
    let soon = receipt + Duration::from_millis(50);
    match number {
        1 => accepted(ack, [delivered(receipt + Duration::from_secs(5)), None]),
        2 => accepted(ack, [failed(receipt, Unreachable), None]),
        3 => accepted(ack, [failed(receipt, InvalidNumber), None]),
        4 => accepted(ack, [failed(receipt, Rejected), None]),
        5 => accepted(ack, [failed(receipt, Expired), None]),
        6 | 23 if voice => refused(ack),
        7 => refused(ack),
        8 | 23 => answered(ack, Outcome::PerPhone { retry_after: PHONE_LIMIT }),
        9 => accepted(ack, [None, None]),
        10 => accepted(ack, [delivered(receipt), delivered(receipt)]),
        11 => accepted(ack, [delivered(receipt), failed(soon, Unreachable)]),
        12 => accepted(ack.max(Duration::from_millis(200)), [delivered(Duration::ZERO), None]),
        13 => Plan { ack: ambiguous(ack), receipts: [delivered(receipt), None] },
        14 => Plan { ack: ambiguous(ack), receipts: [None, None] },
        15 => Plan { ack: Ack::Never, receipts: [None, None] },
        16 => accepted(SLOW_ACK, [delivered(SLOW_ACK + receipt), None]),
        17 => accepted(ack, [delivered(late), None]),
        18 if voice => accepted(ack, [failed(receipt, Unreachable), None]),
        19 => not_sent(ack),
        20 => refused(SLOW_ACK),
        21 => {
            let ringing = Planned { after: receipt, state: ReceiptState::InProgress, status: "ringing" };
            accepted(ack, [Some(ringing), delivered(soon)])
        }
        22 if voice => not_sent(ack),
        24 => accepted(ack, [failed(receipt, Unreachable), delivered(soon)]),
        25 => Plan { ack: Ack::Never, receipts: [delivered(receipt), None] },
        26 if voice => Plan { ack: ambiguous(ack), receipts: [failed(receipt, Unreachable), None] },
        27 => Plan { ack: Ack::Panics, receipts: [None, None] },
        _ => accepted(ack, [delivered(receipt), None]),
    }
}

fn by_chance(script: &Script, times: Times, dice: &mut SmallRng) -> Plan {
    let Times { ack, receipt, late } = times;
    let mut falls = |rate: f64| rate > 0.0 && dice.random::<f64>() < rate;
    if falls(script.refuse_rate) {
        return refused(ack);
    }
    let fails = falls(script.fail_rate);
    let lost = falls(script.lose_receipt_rate);
    let twice = falls(script.duplicate_receipt_rate);
    let at = if falls(script.late_receipt_rate) { late } else { receipt };
    if lost {
        return accepted(ack, [None, None]);
    }
    let receipt = if fails { failed(at, FailureClass::Unreachable) } else { delivered(at) };
    accepted(ack, [receipt, if twice { receipt } else { None }])
}

fn answered(wait: Duration, outcome: Outcome) -> Plan {
    Plan { ack: Ack::After(wait, outcome), receipts: [None, None] }
}

fn accepted(wait: Duration, receipts: [Option<Planned>; 2]) -> Plan {
    Plan { ack: Ack::After(wait, Outcome::Accepted), receipts }
}

fn refused(wait: Duration) -> Plan {
    let status = CarrierStatus::clean("no route to subscriber");
    answered(wait, Outcome::Refused { class: FailureClass::Unreachable, status })
}

fn not_sent(wait: Duration) -> Plan {
    answered(wait, Outcome::NotSent { status: CarrierStatus::clean("link closed") })
}

fn ambiguous(wait: Duration) -> Ack {
    Ack::After(wait, Outcome::Ambiguous { status: CarrierStatus::clean("connection lost") })
}

fn delivered(after: Duration) -> Option<Planned> {
    Some(Planned { after, state: ReceiptState::Delivered, status: "success" })
}

fn failed(after: Duration, class: FailureClass) -> Option<Planned> {
    let status = match class {
        FailureClass::Unreachable => "absent subscriber",
        FailureClass::InvalidNumber => "unknown subscriber",
        FailureClass::Expired => "validity expired",
        FailureClass::Rejected
        | FailureClass::Congestion
        | FailureClass::Misconfigured
        | FailureClass::WrongNetwork => "rejected",
    };
    Some(Planned { after, state: ReceiptState::Failed(class), status })
}

/// One number from three; the finalizer of `SplitMix64`, so that neighbouring phones have nothing in common.
fn mix(seed: u64, phone: Phone, channel: Channel) -> u64 {
    let channel = u64::from(channel == Channel::Sms) << 63;
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(phone.national()) ^ channel;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
