//! Somebody else's client against our SMSC: Debian's Kannel sends through `nexo-route sim smpp` and calls back what it was told.
//!
//! It keeps the simulator honest: nothing here knows how our own client reads SMPP.

use serde_json::json;

use crate::house::centre::Centre;
use crate::house::kannel::{Kannel, is_installed};
use crate::house::until;

const ACCEPTED: u32 = 8;
const DELIVERED: u32 = 1;
const FAILED: u32 = 2;
/// Failed, because its time was over.
const EXPIRED: u32 = 34;
const REFUSED: u32 = 16;

fn forced(number: u32) -> String {
    format!("8498100{number:04}")
}

#[tokio::test]
async fn kannel_is_told_how_every_message_ended() {
    if !is_installed() {
        return;
    }
    let centre = Centre::start(&[], &[]);
    let kannel = Kannel::start(centre.address).await;
    for (number, reports) in [
        (0, &[DELIVERED, ACCEPTED][..]),
        (2, &[FAILED, ACCEPTED]),
        (4, &[FAILED, ACCEPTED]),
        (5, &[ACCEPTED, EXPIRED]),
        (7, &[REFUSED]),
        (16, &[DELIVERED, ACCEPTED]),
    ] {
        let phone = forced(number);
        kannel.send(&phone).await;
        kannel.reported(&phone, reports).await;
    }
    // Kannel acknowledged every receipt, and the code stands in no line.
    until("five receipts are acknowledged", async || (centre.saw("receipt").len() == 5).then_some(())).await;
    assert!(centre.saw("receipt").iter().all(|receipt| receipt["status"] == 0));
    let submits = centre.saw("submit");
    assert_eq!(submits.len(), 6);
    assert_eq!(submits[4]["answer"], json!("0xfe"), "{submits:?}");
    assert!(!format!("{submits:?}").contains("482917"));
    assert_eq!(centre.saw("bound")[0]["role"], json!("transceiver"));
    drop(kannel);
    assert_eq!(centre.stop(), Some(0));
}

/// What Kannel loses with its default settings our own client must not: `smpp` in this folder sends to the same two.
#[tokio::test]
async fn kannel_loses_a_receipt_that_comes_early_or_in_another_base() {
    if !is_installed() {
        return;
    }
    let centre = Centre::start(&["--receipt-ids", "decimal"], &[]);
    let kannel = Kannel::start(centre.address).await;
    let (early, other_base) = (forced(12), forced(0));
    for phone in [&early, &other_base] {
        kannel.send(phone).await;
        kannel.reported(phone, &[ACCEPTED]).await;
    }
    // Both receipts were sent and acknowledged; Kannel could not say of which message they were.
    until("both receipts are acknowledged", async || (centre.saw("receipt").len() == 2).then_some(())).await;
    for phone in [&early, &other_base] {
        assert_eq!(kannel.reports(phone), [ACCEPTED], "{phone}");
    }
}
