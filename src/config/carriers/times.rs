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
        if let UpstreamConfig::Http(http) = upstream {
            let fits = check_one(http.connect_timeout, http.answer_timeout, times);
            fits.map_err(|why| CarrierTableError::Upstream(id.as_str().to_owned(), why))?;
        }
    }
    Ok(())
}

/// A link may hold an attempt back, and dial, until it must leave; then only the answer is to come. Connections that take longer
/// than that are given up then.
fn check_one(connect: Duration, answer: Duration, times: AttemptTimes) -> Result<(), String> {
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
        "answer_timeout_ms ({answer_ms}) and {waits} ({waits_ms}) together must be below dispatch.attempt_timeout_ms \
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
            check_one(ms(connect), ms(answer), AttemptTimes { within_ms, timeout_ms }).err().unwrap_or_default()
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

    #[test]
    fn the_defaults_fit_and_the_table_is_refused_where_they_do_not() {
        let file = std::env::temp_dir().join(format!("nexo-times-{:016x}.toml", rand::random::<u64>()));
        let text = "price_usd = \"0.022\"\n[carrier.viettel]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\n\
                    sms = [{ upstream = \"x\" }]\n[upstream.x]\nkind = \"http\"\nurl = \"http://localhost/\"\n\
                    json = { code = \"{code}\" }\nreceipts = \"refunded\"\n";
        std::fs::write(&file, text).expect("written");
        let refusal = |more: &str| {
            let settings = format!("[carriers]\nfile = {:?}\n{more}", file.display().to_string());
            let settings = assemble(Some((Path::new("nexo.toml"), &settings)), []).expect("holds").config;
            CarrierTable::load_whole(&settings.carriers).err().map(|why| why.to_string()).unwrap_or_default()
        };
        assert_eq!(refusal(""), "");
        let why = refusal("[dispatch]\nattempt_timeout_ms = 10000");
        assert!(why.starts_with("upstream.x: answer_timeout_ms (6000)"), "{why}");
        std::fs::remove_file(&file).expect("removed");
    }
}
