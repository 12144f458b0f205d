//! From a code that is sent to every receiver that the seeds show, unchanged: each accepts the event with its secret, and
//! one that holds another secret refuses it, which is listed.

use nexo_route::domain::endpoint_url::EndpointUrl;
use nexo_route::domain::ids::{AccountId, EndpointId};
use nexo_route::domain::signature::WebhookSecret;
use nexo_route::domain::webhook::{EventFilter, KeyForm, RetrySchedule};
use nexo_route::records::audit::Actor;
use nexo_route::records::endpoints::{self, NewEndpoint, Registered};
use nexo_route::store::Store;
use serde_json::{Value, json};

use crate::both_engines;
use crate::house::customer::{Customer, Purse, forced};
use crate::house::database::Engine;
use crate::house::node::keyring;
use crate::house::published::{Kind, Receiver, Secrets, are_prepared, free_address, url};
use crate::house::{House, until};

both_engines! {
    async fn every_receiver_of_the_seeds_is_told(engine: Engine) { told(engine).await }
}

const LOCAL: &[(&str, &str)] =
    &[("webhooks.allow_http", "true"), ("webhooks.allow_networks", "127.0.0.0/8"), ("webhooks.ports", "0")];

/// An endpoint at `url`, signed to with `secret`.
async fn endpoint(store: &Store, account: AccountId, url: &str, form: KeyForm, secret: &WebhookSecret) -> EndpointId {
    let id = EndpointId::from_bytes(rand::random());
    let new = NewEndpoint {
        id,
        account,
        url: EndpointUrl::parse(url).expect("a URL"),
        events: EventFilter::ALL,
        key_form: form,
        schedule: RetrySchedule::default(),
        key_sealed: keyring().seal_signing_key(id, rand::random(), &secret.signing_key()),
    };
    let made = store.write(move |tx| {
        let new = new.clone();
        Box::pin(async move { endpoints::create(tx, &Actor("tester".into()), &new).await })
    });
    assert_eq!(made.await, Ok(Registered::Done(id)));
    id
}

/// The one attempt at an endpoint, once it has ended.
async fn attempt(customer: &Customer, endpoint: EndpointId) -> Value {
    until("the attempt ends", async || {
        let list = customer.read(&format!("/api/v1/webhooks/attempts?endpoint={endpoint}")).await;
        let data = list["data"].as_array().expect("a list").clone();
        assert!(data.len() <= 1, "{data:?}");
        data.into_iter().find(|attempt| attempt["state"] != "sending")
    })
    .await
}

async fn told(engine: Engine) {
    if !are_prepared() {
        return;
    }
    let house = House::with(engine, LOCAL).await;
    let store = house.store().await;
    let (secret, another) = (WebhookSecret::from_entropy(&[1; 32]), WebhookSecret::from_entropy(&[2; 32]));
    let (right, wrong) = (house.customer(Purse::full()).await, house.customer(Purse::full()).await);
    let (mut receivers, mut rightly, mut wrongly) = (Vec::new(), Vec::new(), Vec::new());
    for kind in Kind::ALL {
        let receiver = Receiver::start(kind, free_address(), &Secrets::from(&secret)).await;
        let url = url(receiver.address);
        rightly.push((kind, endpoint(store, right.account, &url, kind.form(), &secret).await));
        wrongly.push((kind, endpoint(store, wrong.account, &url, kind.form(), &another).await));
        receivers.push(receiver);
    }
    // Delivered to one, failed to the other: the receivers are told of both.
    for (customer, endpoints, (phone, event), (state, status, error)) in [
        (&right, &rightly, (forced(1, 0), "otp.delivered"), ("accepted", 200, Value::Null)),
        (&wrong, &wrongly, (forced(1, 2), "otp.failed"), ("failed", 401, json!("status"))),
    ] {
        let id = customer.send(&phone).await.expect(202).string("id");
        customer.ended(&id).await;
        for (kind, endpoint) in endpoints {
            let attempt = attempt(customer, *endpoint).await;
            let seen = (&attempt["state"], &attempt["http_status"], &attempt["error"]);
            assert_eq!(seen, (&json!(state), &json!(status), &error), "{kind:?}: {attempt}");
            assert_eq!((&attempt["event"], &attempt["delivery_id"]), (&json!(event), &json!(id)), "{kind:?}");
        }
    }
    house.finish().await;
}
