//! The name of every metric, declared once: kind, help and, for a histogram, its buckets.
//!
//! Nobody else writes a metric's name as text. Labels are bounded: a carrier, a channel, a state, a reason — never a
//! phone, an account or an id. To add a metric, add it to the section of the part that counts it.

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One declaration of this page.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
    /// The upper bounds of a histogram; empty otherwise.
    pub buckets: &'static [f64],
}

/// Seconds, for what takes from a tenth of a millisecond to ten seconds.
const LATENCY: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Seconds, for a delivery's whole life.
const LIFE: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 70.0, 120.0];
/// Rows of one transaction.
const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0];

macro_rules! buckets {
    () => {
        &[]
    };
    ($buckets:ident) => {
        $buckets
    };
}

macro_rules! declare {
    ($( #[doc = $help:literal] $kind:ident $(in $buckets:ident)? : pub const $name:ident: &str = $text:literal; )*) => {
        $( #[doc = $help] pub const $name: &str = $text; )*

        /// Every metric of this page.
        pub const ALL: &[Metric] = &[
            $( Metric { name: $text, kind: Kind::$kind, help: $help, buckets: buckets!($($buckets)?) }, )*
        ];
    };
}

declare! {
    // ---- http: the edge
    /// Requests answered, by route and status.
    Counter: pub const HTTP_REQUESTS: &str = "nexo_http_requests_total";
    /// Seconds from a request's head to its answer, by route.
    Histogram in LATENCY: pub const HTTP_REQUEST_SECONDS: &str = "nexo_http_request_seconds";
    /// Open connections, by listener.
    Gauge: pub const HTTP_CONNECTIONS: &str = "nexo_http_connections";
    /// Connections that were refused or cut, by listener and reason.
    Counter: pub const HTTP_CONNECTIONS_CUT: &str = "nexo_http_connections_cut_total";
    /// Answers 500: ours, and each a bug.
    Counter: pub const INTERNAL_ERRORS: &str = "nexo_internal_errors_total";

    // ---- send: the use case
    /// Orders answered 202, by carrier.
    Counter: pub const ORDERS_ACCEPTED: &str = "nexo_orders_accepted_total";
    /// Orders answered otherwise, by reason (the `error` of the answer).
    Counter: pub const ORDERS_REFUSED: &str = "nexo_orders_refused_total";
    /// Orders answered from an earlier one with the same idempotency key.
    Counter: pub const ORDERS_REPLAYED: &str = "nexo_orders_replayed_total";
    /// Seconds from an order's entry to its 202, by carrier.
    Histogram in LATENCY: pub const ORDER_ANSWER_SECONDS: &str = "nexo_order_answer_seconds";

    // ---- admission: the permits
    /// Permits that are free now, by permit (commit, in_flight).
    Gauge: pub const PERMITS_FREE: &str = "nexo_permits_free";
    /// Callers that wait for a commit permit now.
    Gauge: pub const PERMIT_WAITERS: &str = "nexo_permit_waiters";
    /// Seconds that an order waited for its commit permit.
    Histogram in LATENCY: pub const PERMIT_WAIT_SECONDS: &str = "nexo_permit_wait_seconds";

    // ---- cooldown
    /// Orders that this node's own windows refused without the database.
    Counter: pub const COOLDOWN_REFUSED: &str = "nexo_cooldown_refused_total";
    /// Windows that this node remembers.
    Gauge: pub const COOLDOWN_WINDOWS: &str = "nexo_cooldown_windows";

    // ---- wallet, tracking and notify: the group commits; accept_health
    /// Rows of one group commit, by kind (accept, settle, name, park, claim, result).
    Histogram in ROWS: pub const COMMIT_ROWS: &str = "nexo_commit_rows";
    /// Seconds that one group commit took, by kind (accept, settle, name, park, claim, result).
    Histogram in LATENCY: pub const COMMIT_SECONDS: &str = "nexo_commit_seconds";
    /// Group commits that did not report success, by kind and outcome (not_committed, unknown).
    Counter: pub const COMMITS_FAILED: &str = "nexo_commits_failed_total";
    /// Verdicts of the accept transaction, by verdict.
    Counter: pub const VERDICTS: &str = "nexo_verdicts_total";
    /// Commits of unknown outcome that were resolved, by what they turned out to be (committed, never).
    Counter: pub const COMMITS_RESOLVED: &str = "nexo_commits_resolved_total";
    /// 1 if orders can be written, as far as the last ones and probes tell.
    Gauge: pub const ACCEPTING: &str = "nexo_accepting";
    /// 1 while probes are made each second, because an order was refused for a reason of ours.
    Gauge: pub const ACCEPT_SUSPICIOUS: &str = "nexo_accept_suspicious";
    /// Probes of what an order writes, by result (good, failed).
    Counter: pub const ACCEPT_PROBES: &str = "nexo_accept_probes_total";

    // ---- routing
    /// Phones whose network this node has learned.
    Gauge: pub const LEARNED: &str = "nexo_learned_phones";
    /// What was heard of phones' networks and not remembered, because too much waited to be written.
    Counter: pub const LEARNED_LOST: &str = "nexo_learned_lost_total";
    /// Orders by how their carrier was found (prefix, override, learned, lookup).
    Counter: pub const ORDERS_ROUTED: &str = "nexo_orders_routed_total";
    /// Look-ups of numbers, by outcome (answered, unknown, failed, late; not asked: shed, spared).
    Counter: pub const LOOK_UPS: &str = "nexo_look_ups_total";
    /// Reloads of the carrier table and the ported numbers, by outcome (taken, refused).
    Counter: pub const RELOADS: &str = "nexo_reloads_total";

    // ---- dispatch
    /// Attempts by carrier, channel and outcome.
    Counter: pub const ATTEMPTS: &str = "nexo_attempts_total";
    /// Seconds from the start of an attempt to its outcome, by carrier and channel.
    Histogram in LATENCY: pub const ATTEMPT_SECONDS: &str = "nexo_attempt_seconds";
    /// Seconds from the commit of the charge to the carrier's ack, by carrier.
    Histogram in LATENCY: pub const ACK_SECONDS: &str = "nexo_ack_seconds";
    /// Deliveries that went on to their second channel, by carrier.
    Counter: pub const FALLBACKS: &str = "nexo_fallbacks_total";
    /// Attempts that were not sent, or refused for trouble of their link, and went on to another link of the same channel, by carrier and channel.
    Counter: pub const TRIED_AGAIN: &str = "nexo_tried_again_total";
    /// 1 if the queue takes new orders, as far as its links go, by carrier and channel.
    Gauge: pub const QUEUE_OPEN: &str = "nexo_queue_open";
    /// Jobs that wait in a queue, by carrier and channel.
    Gauge: pub const QUEUE_DEPTH: &str = "nexo_queue_depth";
    /// Slots of a queue that are reserved or taken by jobs that wait, by carrier and channel.
    Gauge: pub const QUEUE_SLOTS: &str = "nexo_queue_slots";
    /// Age in seconds of the oldest job that waits in a queue, by carrier and channel.
    Gauge: pub const QUEUE_OLDEST_SECONDS: &str = "nexo_queue_oldest_seconds";
    /// Jobs that could not leave in time, by carrier and channel.
    Counter: pub const DISPATCH_EXPIRED: &str = "nexo_dispatch_expired_total";
    /// Jobs that were settled because their queue died before they left, by carrier and channel.
    Counter: pub const DISPATCH_LOST: &str = "nexo_dispatch_lost_total";
    /// Times that a breaker opened, by carrier and channel.
    Counter: pub const BREAKER_OPENED: &str = "nexo_breaker_opened_total";

    // ---- dispatch: links
    /// Upstreams that a reload changed and whose new link is not bound yet: the one before goes on.
    Gauge: pub const LINKS_AWAITED: &str = "nexo_links_awaited";
    /// 1 if the link is up, by link.
    Gauge: pub const LINK_UP: &str = "nexo_link_up";
    /// 1 if the other side refuses the link as it is configured, by link.
    Gauge: pub const LINK_MISCONFIGURED: &str = "nexo_link_misconfigured";
    /// 1 if an operator paused the link, by link.
    Gauge: pub const LINK_PAUSED: &str = "nexo_link_paused";
    /// Attempts that await their outcome, by link.
    Gauge: pub const LINK_RUNNING: &str = "nexo_link_running";
    /// The most attempts that may await their outcome at once, by link.
    Gauge: pub const LINK_WINDOW: &str = "nexo_link_window";
    /// Attempts by link and outcome.
    Counter: pub const LINK_ATTEMPTS: &str = "nexo_link_attempts_total";

    // ---- carrier/http: links to providers over HTTP, and their callbacks
    /// What became of requests, by link and answer (the hundred of its status, lost, unreachable).
    Counter: pub const HTTP_LINK_ANSWERS: &str = "nexo_http_link_answers_total";
    /// Seconds from a request to its answer or loss, by link.
    Histogram in LATENCY: pub const HTTP_LINK_SECONDS: &str = "nexo_http_link_seconds";
    /// Times that a provider asked for less, by link.
    Counter: pub const HTTP_LINK_THROTTLED: &str = "nexo_http_link_throttled_total";
    /// Answers that no rule of the settings foresaw, by link.
    Counter: pub const HTTP_LINK_UNFORESEEN: &str = "nexo_http_link_unforeseen_total";
    /// Attempts that were accepted without the name by which alone their receipts can come, by link: they are refunded in time.
    Counter: pub const HTTP_LINK_UNNAMED: &str = "nexo_http_link_unnamed_total";
    /// Receipts that were asked for, by link and result (told, unknown_word, no_answer, throttled, no_place, gave_up, unreadable, unseen).
    Counter: pub const HTTP_LINK_POLLS: &str = "nexo_http_link_polls_total";
    /// Attempts whose receipt another node, or this one before its restart, asked for and this one asks for now, by link.
    Counter: pub const HTTP_LINK_TAKEN_OVER: &str = "nexo_http_link_polls_taken_over_total";
    /// Receipts of callbacks (taken, unknown_word, unreadable), and callbacks (empty, unseen, forbidden, unproven, too_large, encoded, too_many, not_durable), by upstream and result.
    Counter: pub const CALLBACKS: &str = "nexo_callbacks_total";

    // ---- carrier: SMPP links
    /// Connections of a link that are bound, by link.
    Gauge: pub const SMPP_BOUND: &str = "nexo_smpp_bound";
    /// Messages that await their answer, by link.
    Gauge: pub const SMPP_WINDOW: &str = "nexo_smpp_window";
    /// Answers to messages by link and status.
    Counter: pub const SMPP_SUBMITS: &str = "nexo_smpp_submits_total";
    /// Seconds from a message's first octet to its answer, by link.
    Histogram in LATENCY: pub const SMPP_SUBMIT_SECONDS: &str = "nexo_smpp_submit_seconds";
    /// Seconds from a message's answer to its final receipt on the same node, by link.
    Histogram in LIFE: pub const SMPP_RECEIPT_SECONDS: &str = "nexo_smpp_receipt_seconds";
    /// Answers that a message is too much for now, by link.
    Counter: pub const SMPP_THROTTLED: &str = "nexo_smpp_throttled_total";
    /// Messages that may have been sent, by link and why nobody knows (timeout, cut, unnamed).
    Counter: pub const SMPP_AMBIGUOUS: &str = "nexo_smpp_ambiguous_total";
    /// What an SMSC delivered to us, by link and kind (receipt, unknown_word, nameless, message, unreadable, not_durable).
    Counter: pub const SMPP_DELIVERIES: &str = "nexo_smpp_deliveries_total";
    /// PDUs that break the rules of their format; each was answered, by link.
    Counter: pub const SMPP_POISON: &str = "nexo_smpp_poison_total";
    /// Connections that ended, by link and reason (too_much_before_bind: more than is kept came before the bind was answered).
    Counter: pub const SMPP_SESSIONS_ENDED: &str = "nexo_smpp_sessions_ended_total";

    // ---- tracking: ends
    /// Deliveries that await their end on this node.
    Gauge: pub const DELIVERIES_IN_FLIGHT: &str = "nexo_deliveries_in_flight";
    /// Receipts by carrier and state.
    Counter: pub const RECEIPTS: &str = "nexo_receipts_total";
    /// Receipts that came before their attempt had a name, by upstream: they wait for it a minute.
    Counter: pub const RECEIPTS_PARKED: &str = "nexo_receipts_parked_total";
    /// Receipts by an upstream that was given no attempt at their delivery, by that upstream: they change nothing. Its callback URL stands where another one's should.
    Counter: pub const RECEIPTS_MISDIRECTED: &str = "nexo_receipts_misdirected_total";
    /// Receipts that waited a minute for an attempt that nobody named, by upstream: each may be a code that came and was refunded.
    Counter: pub const RECEIPTS_UNMATCHED: &str = "nexo_receipts_unmatched_total";
    /// Deliveries that this node ended, by state and carrier.
    Counter: pub const SETTLED: &str = "nexo_settled_total";
    /// Seconds from the commit of the charge to the final state, by state and carrier.
    Histogram in LIFE: pub const FINAL_SECONDS: &str = "nexo_final_seconds";
    /// Charges that went back.
    Counter: pub const REFUNDS: &str = "nexo_refunds_total";
    /// Micro-dollars that went back.
    Counter: pub const REFUNDED_MICRO_USD: &str = "nexo_refunded_micro_usd_total";

    // ---- notify: webhooks
    /// Attempts by outcome (accepted, failed, discarded) and fault (none if it was accepted).
    Counter: pub const WEBHOOK_ATTEMPTS: &str = "nexo_webhook_attempts_total";
    /// Seconds of one POST, from the name's look-up to the end of the answer, by outcome.
    Histogram in LATENCY: pub const WEBHOOK_ATTEMPT_SECONDS: &str = "nexo_webhook_attempt_seconds";
    /// Seconds from a delivery's end to its event's acceptance at the first attempt.
    Histogram in LIFE: pub const WEBHOOK_DELAY_SECONDS: &str = "nexo_webhook_delay_seconds";
    /// Seconds that the oldest event that may be sent has waited.
    Gauge: pub const WEBHOOK_OUTBOX_OLDEST_SECONDS: &str = "nexo_webhook_outbox_oldest_seconds";
    /// POSTs that are claimed or under way on this node.
    Gauge: pub const WEBHOOK_POSTS: &str = "nexo_webhook_posts";
    /// Endpoints that were disabled by themselves, by reason (gone, failing).
    Counter: pub const WEBHOOK_ENDPOINTS_DISABLED: &str = "nexo_webhook_endpoints_disabled_total";
    /// Attempts that this node left without a result, by reason (claim, late, lost, unwritable): they show as `unknown`.
    Counter: pub const WEBHOOK_UNRESOLVED: &str = "nexo_webhook_unresolved_total";

    // ---- keys
    /// Live keys that this node knows.
    Gauge: pub const KEYS_LIVE: &str = "nexo_keys_live";
    /// Seconds since the key list's last good poll.
    Gauge: pub const KEYS_AGE_SECONDS: &str = "nexo_keys_age_seconds";
    /// Seconds to the Postgres server and back, at the last poll of the key list.
    Gauge: pub const DATABASE_ROUND_TRIP_SECONDS: &str = "nexo_database_round_trip_seconds";

    // ---- sweeper
    /// Overdue deliveries that this node's sweeper ended.
    Counter: pub const SWEPT: &str = "nexo_swept_total";
    /// Overdue deliveries that the sweeper could not end and passed, each time that it came by: always 0.
    Counter: pub const SWEEP_STUCK: &str = "nexo_sweep_stuck_total";
    /// Seconds that the sweeper's watermark is behind the database's clock.
    Gauge: pub const SWEEPER_LAG_SECONDS: &str = "nexo_sweeper_lag_seconds";
    /// Rows that were folded or deleted, by table.
    Counter: pub const PRUNED: &str = "nexo_pruned_total";
    /// Wallets whose rows do not add up, as last checked: always 0.
    Gauge: pub const WALLET_BREACHES: &str = "nexo_wallet_breaches";
    /// Wallets that were checked against their rows.
    Counter: pub const WALLETS_CHECKED: &str = "nexo_wallets_checked_total";

    // ---- the process
    /// 1, with the version as label.
    Gauge: pub const BUILD_INFO: &str = "nexo_build_info";
    /// Restarts of supervised actors, by actor.
    Counter: pub const ACTOR_RESTARTS: &str = "nexo_actor_restarts_total";
    /// Lines of the log that were dropped: it could not be written, or stood still with 8 MiB waiting for it.
    Counter: pub const LOG_LINES_LOST: &str = "nexo_log_lines_lost_total";
    /// Panics, wherever they were caught.
    Counter: pub const PANICS: &str = "nexo_panics_total";
    /// 1 if the node is ready, as `/readyz` says.
    Gauge: pub const READY: &str = "nexo_ready";
    /// Seconds that this node's wall clock is ahead of the database's (negative: behind).
    Gauge: pub const CLOCK_SKEW_SECONDS: &str = "nexo_clock_skew_seconds";
    /// Seconds that the house's time is ahead of the database's clock: after that was set back, it falls by a hundredth.
    Gauge: pub const CLOCK_AHEAD_SECONDS: &str = "nexo_clock_ahead_seconds";
    /// 1 while nothing is ended or dropped for its age, because the database's clock was stepped forward.
    Gauge: pub const CLOCK_HELD: &str = "nexo_clock_held";
    /// 1 while the database's clock is not believed, and every order is answered 503.
    Gauge: pub const CLOCK_DOUBTED: &str = "nexo_clock_doubted";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_conventions_of_prometheus() {
        let mut seen = HashSet::new();
        for metric in ALL {
            let name = metric.name;
            assert!(seen.insert(name), "{name} is declared twice");
            assert!(name.starts_with("nexo_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(metric.kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(metric.kind == Kind::Histogram, !metric.buckets.is_empty(), "{name}");
            assert!(metric.buckets.is_sorted(), "{name}");
            assert!(metric.help.trim().ends_with('.') || metric.help.contains(':'), "{name}: {}", metric.help);
        }
    }
}
