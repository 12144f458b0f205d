//! A link that does what its test says.

use std::sync::Mutex as StdMutex;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use super::*;

/// What a link does with an attempt.
type Script = Box<dyn Fn(&Attempt) -> BoxFuture<'static, Outcome> + Send + Sync>;

pub(super) struct FakeLink {
    pub(super) id: UpstreamId,
    pub(super) capabilities: Capabilities,
    pub(super) health: watch::Sender<Health>,
    pub(super) script: StdMutex<Script>,
    pub(super) seen: StdMutex<Vec<(DeliveryId, Channel, Instant)>>,
    pub(super) closed: StdMutex<bool>,
    /// When it was asked for its health so many times, it is up just before the next.
    pub(super) up_after: StdMutex<Option<usize>>,
}

impl fmt::Debug for FakeLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeLink")
    }
}

impl FakeLink {
    /// A link that takes everything at once.
    pub(super) fn new(name: &str, rate_per_second: Option<u32>, in_flight_max: usize) -> Self {
        Self {
            id: UpstreamId(name.into()),
            capabilities: Capabilities {
                in_flight_max,
                rate_per_second,
                per_phone_gap: None,
                receipts: ReceiptTrust::Handset,
            },
            health: watch::Sender::new(Health::Up),
            script: StdMutex::new(Box::new(|_| async { Outcome::Accepted }.boxed())),
            seen: StdMutex::default(),
            closed: StdMutex::default(),
            up_after: StdMutex::default(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.closed.lock().expect("not poisoned")
    }

    pub(super) fn script(&self, script: impl Fn(&Attempt) -> BoxFuture<'static, Outcome> + Send + Sync + 'static) {
        *self.script.lock().expect("not poisoned") = Box::new(script);
    }

    /// Answers at once, each channel its own.
    pub(super) fn answer(&self, voice: Outcome, sms: Outcome) {
        self.script(move |attempt| {
            let outcome = if attempt.channel == Channel::Voice { voice.clone() } else { sms.clone() };
            async move { outcome }.boxed()
        });
    }

    pub(super) fn seen(&self) -> Vec<(DeliveryId, Channel, Instant)> {
        self.seen.lock().expect("not poisoned").clone()
    }

    pub(super) fn channels(&self) -> Vec<Channel> {
        self.seen().into_iter().map(|(_, channel, _)| channel).collect()
    }
}

impl Upstream for FakeLink {
    fn id(&self) -> &UpstreamId {
        &self.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn health(&self) -> watch::Receiver<Health> {
        let mut up_after = self.up_after.lock().expect("not poisoned");
        *up_after = up_after.and_then(|asks| {
            if asks == 0 {
                self.health.send_replace(Health::Up);
            }
            asks.checked_sub(1)
        });
        self.health.subscribe()
    }

    fn dispatch(&self, attempt: Attempt) -> BoxFuture<'static, Outcome> {
        self.seen.lock().expect("not poisoned").push((attempt.delivery, attempt.channel, Instant::now()));
        let script = self.script.lock().expect("not poisoned");
        script(&attempt)
    }

    fn shutdown(&self, _grace: Duration) -> BoxFuture<'static, ()> {
        *self.closed.lock().expect("not poisoned") = true;
        async {}.boxed()
    }
}
