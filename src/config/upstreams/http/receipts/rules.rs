//! What must hold between the settings of a callback or a poll, and what an operator is warned of.

use super::{CallbackConfig, CallbackMethod, Form, Pointer, PollConfig, Proof, ReceiptMapping, Source};
use crate::config::upstreams::stands_twice;

impl CallbackConfig {
    /// A signature is of the body: what stands behind the URL's `?` is not signed, and a captured callback would be one of any
    /// delivery.
    pub(super) fn check_signed(&self) -> Result<(), String> {
        if !matches!(self.proof, Proof::Hmac(_)) {
            return Ok(());
        }
        if self.method == CallbackMethod::Get {
            return Err(
                "callback.hmac_sha256 signs a body, and a GET has none: over nothing the signature is the same for \
                        every receipt; prove it by header or query"
                    .to_owned(),
            );
        }
        for (name, source) in self.sources() {
            if let Source::Query(parameter) = source {
                return Err(format!(
                    "callback.{name}: hmac_sha256 signs the body, and ?{parameter} is not in it: give a JSON pointer (our \
                     own name for an attempt is what was sent as {{attempt_id}})"
                ));
            }
        }
        Ok(())
    }

    /// A form has no lists. Elements of one body are told apart by what stands in them.
    pub(super) fn check_each(&self) -> Result<(), String> {
        if self.each.is_none() {
            return Ok(());
        }
        if self.form == Form::Form {
            return Err("callback.each names a list in JSON, and form = \"form\" has none".to_owned());
        }
        match self.sources().find(|(_, source)| matches!(source, Source::Query(_))) {
            None => Ok(()),
            Some((name, _)) => Err(format!(
                "callback.{name} is behind the URL's \"?\", which is one for all elements of callback.each: give a JSON pointer \
                 relative to the element"
            )),
        }
    }

    pub(super) fn check_get(&self) -> Result<(), String> {
        if self.method != CallbackMethod::Get {
            return Ok(());
        }
        if self.each.is_some() {
            return Err("callback.each names a list in a body, and a GET has none".to_owned());
        }
        for (name, source) in self.sources() {
            if let Source::Body(pointer) = source {
                let pointer = pointer.as_str();
                return Err(format!("callback.{name}: a GET has no body for {pointer:?}: write \"?name\""));
            }
        }
        Ok(())
    }

    /// Every value that is read from a receipt, with its name in the settings.
    pub fn sources(&self) -> impl Iterator<Item = (&'static str, &Source)> {
        let Self { attempt, reference, phone, mapping, .. } = self;
        let all = [
            ("attempt", attempt.as_ref()),
            ("reference", reference.as_ref()),
            ("phone", phone.as_ref()),
            ("status", Some(&mapping.status)),
            ("network", mapping.network.as_ref()),
            ("word", mapping.word.as_ref()),
        ];
        all.into_iter().filter_map(|(name, source)| Some((name, source?)))
    }

    /// The pointers that say which attempt a receipt is of: where they look into a list, its other elements may be other
    /// receipts. (A list of words or of errors is one receipt's.)
    pub fn pointers_of_one(&self) -> impl Iterator<Item = &Pointer> {
        let Self { attempt, reference, phone, .. } = self;
        attempt.iter().chain(reference).chain(phone).filter_map(|source| match source {
            Source::Body(pointer) => Some(pointer),
            Source::Query(_) => None,
        })
    }

    /// What an operator should know although it can be meant.
    pub(in crate::config::upstreams::http) fn warning(&self) -> Option<String> {
        let list = self.each.is_none().then(|| self.pointers_of_one().find_map(Pointer::list)).flatten()?;
        Some(several("callback", list))
    }
}

impl PollConfig {
    /// What an operator should know although it can be meant.
    pub(in crate::config::upstreams::http) fn warning(&self) -> Option<String> {
        let Source::Body(status) = &self.mapping.status else { return None };
        let list = self.each.is_none().then(|| status.list()).flatten()?;
        Some(several("poll", list))
    }
}

fn several(section: &str, list: &str) -> String {
    format!(
        "{section} reads one element of a list: if there can be several, write each = {list:?} and pointers relative to the \
         element"
    )
}

impl ReceiptMapping {
    pub(super) fn check(&self, section: &str) -> Result<(), String> {
        if self.delivered.is_empty() {
            return Err(format!("{section}.delivered is empty: nothing would ever be delivered"));
        }
        let failed = self.failed.iter().map(|(word, _)| word);
        let words = self.delivered.iter().chain(&self.in_progress).chain(failed);
        stands_twice(words.map(String::as_str)).map_or(Ok(()), |why| Err(format!("{section}: {why}")))
    }
}
