//! Whether what an upstream may take fits into what an attempt has.
//!
//! An answer that comes when nobody listens any more is lost: a refusal takes no other way then, and what counts as delivered
//! when it is accepted is refunded.

use std::time::Duration;

use super::CarrierTableError;
use super::links::Upstreams;
use crate::config::AttemptTimes;
use crate::config::upstreams::UpstreamConfig;

/// # Errors
/// [`CarrierTableError::Upstream`] naming the first whose answer may come too late.
pub(super) fn check(upstreams: &Upstreams, times: AttemptTimes) -> Result<(), CarrierTableError> {
    for (id, upstream) in upstreams {
        let fits = match upstream {
            UpstreamConfig::Http(http) => {
                check_one(http.connect_timeout, ("answer_timeout_ms", http.answer_timeout), times)
            }
            // Its sessions stand before anything is sent.
            UpstreamConfig::Smpp(smpp) => {
                let answer = ("response_timeout_ms", Duration::from_millis(smpp.response_timeout_ms));
                check_one(Duration::ZERO, answer, times)
            }
            UpstreamConfig::Simulator(_) => Ok(()),
        };
        fits.map_err(|why| CarrierTableError::Upstream(id.as_str().to_owned(), why))?;
    }
    Ok(())
}

/// A link may hold an attempt back, and dial, until it must leave; then only the answer is to come. Connections that take longer
/// than that are given up then.
fn check_one(connect: Duration, (setting, answer): (&str, Duration), times: AttemptTimes) -> Result<(), String> {
    let AttemptTimes { within_ms, timeout_ms } = times;
    let (within, timeout) = (Duration::from_millis(within_ms), Duration::from_millis(timeout_ms));
    if answer.saturating_add(within.max(connect)) < timeout {
        return Ok(());
    }
    let (connect_ms, answer_ms) = (connect.as_millis(), answer.as_millis());
    let (waits, waits_ms) = if within >= connect {
        ("dispatch.dispatch_within_ms", u128::from(within_ms))
    } else {
        ("connect_timeout_ms", connect_ms)
    };
    Err(format!(
        "{setting} ({answer_ms}) and {waits} ({waits_ms}) together must be below dispatch.attempt_timeout_ms \
         ({timeout_ms}): an answer that comes later is not heard"
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::assemble;
    use crate::config::carriers::CarrierTable;

    #[test]
    fn an_answer_must_come_while_somebody_listens() {
        let ms = Duration::from_millis;
        let fits = |connect, answer, within_ms, timeout_ms| {
            let answer = ("answer_timeout_ms", ms(answer));
            check_one(ms(connect), answer, AttemptTimes { within_ms, timeout_ms }).err().unwrap_or_default()
        };
        let why = fits(2_000, 6_000, 5_000, 10_000);
        for part in ["answer_timeout_ms (6000)", "dispatch.dispatch_within_ms (5000)", "attempt_timeout_ms (10000)"] {
            assert!(why.contains(part), "{why}");
        }
        assert!(fits(2_000, 6_000, 5_000, 11_000).contains("must be below"));
        assert!(fits(6_000, 4_000, 1_000, 10_000).contains("connect_timeout_ms (6000)"));
        assert_eq!(fits(2_000, 6_000, 5_000, 11_001), "");
        assert_eq!(fits(2_000, 6_000, 1_000, 8_001), "");
    }

    /// What is wrong with a table whose only upstream is written as `upstream`, under settings that say `more`.
    fn refusal(upstream: &str, more: &str) -> String {
        let file = std::env::temp_dir().join(format!("nexo-times-{:016x}.toml", rand::random::<u64>()));
        let text = format!(
            "price_usd = \"0.022\"\n[carrier.viettel]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\n\
             sms = [{{ upstream = \"x\" }}]\n[upstream.x]\n{upstream}"
        );
        std::fs::write(&file, text).expect("written");
        let settings = format!("[carriers]\nfile = {:?}\n{more}", file.display().to_string());
        let settings = assemble(Some((Path::new("nexo.toml"), &settings)), []).expect("holds").config;
        let refusal = CarrierTable::load_whole(&settings.carriers).err().map(|why| why.to_string());
        std::fs::remove_file(&file).expect("removed");
        refusal.unwrap_or_default()
    }

    #[test]
    fn the_defaults_fit_and_the_table_is_refused_where_they_do_not() {
        let http =
            "kind = \"http\"\nurl = \"http://localhost/\"\njson = { code = \"{code}\" }\nreceipts = \"refunded\"\n";
        let smpp = "kind = \"smpp\"\naddress = \"localhost:2775\"\nsystem_id = \"nexo\"\nsender = \"NEXO\"\n";
        for (upstream, why) in [(http, "answer_timeout_ms (6000)"), (smpp, "response_timeout_ms (6000)")] {
            assert_eq!(refusal(upstream, ""), "");
            let refused = refusal(upstream, "[dispatch]\nattempt_timeout_ms = 10000");
            assert!(refused.starts_with(&format!("upstream.x: {why}")), "{refused}");
        }
        let late = format!("{smpp}response_timeout_ms = 7000\n");
        let refused = refusal(&late, "");
        assert!(refused.contains("dispatch.dispatch_within_ms (5000)"), "{refused}");
        assert_eq!(refusal(&format!("{smpp}response_timeout_ms = 6999\nconnect_timeout_ms = 60000"), ""), "");
        assert_eq!(refusal(&late, "[dispatch]\ndispatch_within_ms = 3000"), "");
    }
}
