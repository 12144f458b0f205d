//! What becomes of an attempt: a pure function of the script, the phone and the channel.
//!
//! A number whose last six digits are `0000NN` forces an outcome:
//!
//! | `NN` | what the carrier does | how the delivery ends |
//! |---|---|---|
//! | `00` | takes it; delivered | `delivered` |
//! | `01` | delivered late: the receipt comes half-way to the settle time | `delivered` |
//! | `02` | reports progress first, then delivered | `delivered` |
//! | `03` | the receipt comes before the ack (300 ms) | `delivered` |
//! | `04` | acks after 1 s, delivered | `delivered` |
//! | `05` | acks after 4 s, past the ack wait, delivered | `delivered` |
//! | `10` | takes it, then fails: unreachable, on every channel | `failed` `unreachable` |
//! | `11` | … invalid number | `failed` `invalid_number` |
//! | `12` | … rejected | `failed` `rejected` |
//! | `13` | … congestion | `failed` `rejected` |
//! | `14` | … misconfigured | `failed` `rejected` |
//! | `15` | … expired | `failed` `expired` |
//! | `16` | the first channel is taken and fails, the fallback is delivered | `delivered` |
//! | `20` | refuses the first channel, takes the fallback; delivered | `delivered` |
//! | `21` | refuses every channel | 502 `no_route` |
//! | `22` | the first channel is not sent, the fallback is taken; delivered | `delivered` |
//! | `23` | no channel is sent | 502 `no_route` |
//! | `24` | refuses this phone for 17 s | 429 `rate_limited` |
//! | `25` | refuses the first channel, then this phone for 17 s | 429 `rate_limited` |
//! | `30` | takes it; the receipt is lost | `failed` `timeout` |
//! | `31` | the receipt comes 2 s after the settle time | `failed` `timeout` |
//! | `32` | delivered, reported twice | `delivered` |
//! | `33` | delivered, then failed | `delivered` |
//! | `34` | failed, then delivered (on one channel; a fallback is delivered) | `failed` `unreachable` |
//! | `40` | ambiguous, then delivered | `delivered` |
//! | `41` | ambiguous, no receipt | `failed` `timeout` |
//! | `42` | never acks, no receipt | `failed` `timeout` |
//! | `43` | never acks, delivered | `delivered` |
//! | `44` | the first channel is ambiguous and then fails, the fallback is delivered | `delivered` |
//! | `45` | the link panics, no receipt | `failed` `timeout` |
//!
//! "First" is the carrier's own first channel: with `channel` chosen to be the other one, it is taken at once; where a
//! carrier has one channel only, there is no fallback. Any other number behaves at random within the configured shares.

use std::time::Duration;

use super::status;
use crate::carrier::upstream::{FailureClass, Outcome, ReceiptState};
use crate::config::{SimulatorConfig, millis};
use crate::domain::carrier::{Carrier, Channel};
use crate::domain::phone::Phone;

/// The remainder that a per-phone refusal names.
pub const PER_PHONE: Duration = Duration::from_secs(17);

const EARLY_ACK: Duration = Duration::from_millis(300);
const SLOW_ACK: Duration = Duration::from_secs(1);
const LATE_ACK: Duration = Duration::from_secs(4);
const AFTER_SETTLE: Duration = Duration::from_secs(2);
/// Between two receipts of one attempt.
const APART: Duration = Duration::from_millis(50);

/// What the carrier answers to an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ack {
    After(Duration, Outcome),
    Never,
    Panics,
}

impl Ack {
    /// Whether the phone may ring.
    pub(super) fn taken(&self) -> bool {
        match self {
            Self::After(_, outcome) => matches!(outcome, Outcome::Accepted | Outcome::Ambiguous { .. }),
            Self::Never | Self::Panics => true,
        }
    }
}

/// A receipt, `after` the start of its attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Later {
    pub(super) after: Duration,
    pub(super) state: ReceiptState,
}

/// The whole of what becomes of an attempt, decided at its start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fate {
    pub(super) ack: Ack,
    pub(super) receipts: [Option<Later>; 2],
}

impl Fate {
    pub(super) fn not_sent(why: &str) -> Self {
        Self::only(Ack::After(Duration::ZERO, Outcome::NotSent { status: status(why) }))
    }

    pub(super) fn silent() -> Self {
        Self::only(Ack::Never)
    }

    fn only(ack: Ack) -> Self {
        Self { ack, receipts: [None, None] }
    }

    fn with(ack: Ack, receipt: Later) -> Self {
        Self { ack, receipts: [Some(receipt), None] }
    }
}

/// Decides what becomes of an attempt that has `to_settle` left before its settle time.
pub(super) fn decide(
    script: &SimulatorConfig,
    carrier: &Carrier,
    first: Channel,
    phone: Phone,
    channel: Channel,
    to_settle: Duration,
) -> Fate {
    let mut draws = Draws::new(script.seed, carrier, phone, channel);
    let ack = millis(script.ack_ms) + draws.up_to(script.ack_jitter_ms);
    let receipt = ack + millis(script.receipt_ms) + draws.up_to(script.receipt_jitter_ms);
    let times = Times { ack, receipt, to_settle };
    match phone.national() % 1_000_000 {
        forced @ 0..100 => times.forced(forced, channel == first).unwrap_or_else(|| times.at_random(script, draws)),
        _ => times.at_random(script, draws),
    }
}

/// When an attempt is acked and reported.
#[derive(Clone, Copy)]
struct Times {
    ack: Duration,
    receipt: Duration,
    to_settle: Duration,
}

impl Times {
    fn ack(self, outcome: Outcome) -> Ack {
        Ack::After(self.ack, outcome)
    }

    fn then(self, state: ReceiptState) -> Later {
        Later { after: self.receipt, state }
    }

    fn accepted(self, state: ReceiptState) -> Fate {
        Fate::with(self.ack(Outcome::Accepted), self.then(state))
    }

    fn refused(self, class: FailureClass) -> Fate {
        Fate::only(self.ack(Outcome::Refused { class, status: status("refused") }))
    }

    fn ambiguous(self) -> Ack {
        self.ack(Outcome::Ambiguous { status: status("connection cut") })
    }

    /// Accepted after another ack time than the script's.
    fn acked_after(self, ack: Duration, receipt: Duration) -> Fate {
        let state = ReceiptState::Delivered;
        Fate::with(Ack::After(ack, Outcome::Accepted), Later { after: receipt, state })
    }

    /// The rows of the table; `None` for a number that is not in it.
    fn forced(self, number: u32, first: bool) -> Option<Fate> {
        use FailureClass::{Congestion, Expired, InvalidNumber, Misconfigured, Rejected, Unreachable};
        use ReceiptState::{Delivered, Failed, InProgress};
        let delivered = self.accepted(Delivered);
        Some(match number {
            0 => delivered,
            1 => self.acked_after(self.ack, (self.to_settle / 2).max(self.receipt)),
            2 => self.twice(InProgress, Delivered),
            3 => self.acked_after(EARLY_ACK, Duration::ZERO),
            4 => self.acked_after(SLOW_ACK, SLOW_ACK + self.receipt),
            5 => self.acked_after(LATE_ACK, LATE_ACK + self.receipt),
            10 => self.accepted(Failed(Unreachable)),
            11 => self.accepted(Failed(InvalidNumber)),
            12 => self.accepted(Failed(Rejected)),
            13 => self.accepted(Failed(Congestion)),
            14 => self.accepted(Failed(Misconfigured)),
            15 => self.accepted(Failed(Expired)),
            16 if first => self.accepted(Failed(Unreachable)),
            20 | 25 if first => self.refused(Unreachable),
            21 => self.refused(Unreachable),
            22 if first => Fate::not_sent("no connection"),
            23 => Fate::not_sent("no connection"),
            24 | 25 => Fate::only(self.ack(Outcome::PerPhone { retry_after: PER_PHONE })),
            30 => Fate::only(self.ack(Outcome::Accepted)),
            31 => self.acked_after(self.ack, self.to_settle + AFTER_SETTLE),
            32 => self.twice(Delivered, Delivered),
            33 => self.twice(Delivered, Failed(Unreachable)),
            34 => self.twice(Failed(Unreachable), Delivered),
            40 => Fate::with(self.ambiguous(), self.then(Delivered)),
            41 => Fate::only(self.ambiguous()),
            42 => Fate::silent(),
            43 => Fate::with(Ack::Never, self.then(Delivered)),
            44 if first => Fate::with(self.ambiguous(), self.then(Failed(Unreachable))),
            45 => Fate::only(Ack::Panics),
            16 | 20 | 22 | 44 => delivered,
            _ => return None,
        })
    }

    fn twice(self, state: ReceiptState, again: ReceiptState) -> Fate {
        let second = Later { after: self.receipt + APART, state: again };
        Fate { ack: self.ack(Outcome::Accepted), receipts: [Some(self.then(state)), Some(second)] }
    }

    fn at_random(self, script: &SimulatorConfig, mut draws: Draws) -> Fate {
        const REASONS: [FailureClass; 4] = [
            FailureClass::Unreachable,
            FailureClass::InvalidNumber,
            FailureClass::Rejected,
            FailureClass::Congestion,
        ];
        let class = REASONS[usize::try_from(draws.next() % 4).unwrap_or(0)];
        if draws.happens(script.refuse_rate) {
            return self.refused(class);
        }
        let fails = draws.happens(script.fail_rate);
        let state = if fails { ReceiptState::Failed(class) } else { ReceiptState::Delivered };
        if draws.happens(script.lose_receipt_rate) {
            return Fate::only(self.ack(Outcome::Accepted));
        }
        let late = draws.happens(script.late_receipt_rate);
        let times = if late { Self { receipt: self.to_settle + AFTER_SETTLE, ..self } } else { self };
        if draws.happens(script.duplicate_receipt_rate) { times.twice(state, state) } else { times.accepted(state) }
    }
}

/// Random numbers that depend on the seed and the attempt only (SplitMix64).
struct Draws(u64);

impl Draws {
    fn new(seed: u64, carrier: &Carrier, phone: Phone, channel: Channel) -> Self {
        let mut draws = Self(seed);
        let name = carrier.as_str().bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let channel = u64::from(channel == Channel::Sms);
        for part in [name, u64::from(phone.national()), channel] {
            draws.0 = draws.next() ^ part;
        }
        draws
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// `true` in `share` of the cases.
    fn happens(&mut self, share: f64) -> bool {
        let draw = u32::try_from(self.next() >> 32).unwrap_or(u32::MAX);
        f64::from(draw) < share * (f64::from(u32::MAX) + 1.0)
    }

    fn up_to(&mut self, jitter_ms: u64) -> Duration {
        let jitter_us = jitter_ms.saturating_mul(1_000);
        let draw = self.next();
        Duration::from_micros(if jitter_us == 0 { 0 } else { draw % jitter_us })
    }
}

#[cfg(test)]
pub(super) mod tests;
