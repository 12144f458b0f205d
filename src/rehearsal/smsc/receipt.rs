//! What a receipt says and how it looks: the text of SMPP 3.4 appendix B, TLVs, or both.

use rusmpp::pdus::DeliverSm;
use rusmpp::tlvs::MessageDeliveryRequestTlvValue as TlvValue;
use rusmpp::types::{COctetString, OctetString};
use rusmpp::values::{ErrorCodeNetworkType, EsmClass, MessageState, NetworkErrorCode, Npi, Ton};

use super::IdBase;
use crate::carrier::upstream::{FailureClass, ReceiptState};
use crate::domain::time::Timestamp;

/// `esm_class` of a receipt (SMPP 3.4, 5.2.12).
const MC_RECEIPT: u8 = 0x04;

/// How the centre writes its receipts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReceiptForm {
    Text,
    /// No text at all.
    Tlv,
    Both,
}

/// An end of a message as submitted: whom a receipt is from, or to.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) ton: Ton,
    pub(super) npi: Npi,
    pub(super) text: COctetString<1, 21>,
}

/// One receipt that is owed.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    pub(super) id: u64,
    /// To whom the message went.
    pub(super) phone: Address,
    pub(super) sender: Address,
    pub(super) submitted: Timestamp,
    pub(super) state: ReceiptState,
}

impl Receipt {
    /// The word of the text.
    pub(super) const fn stat(&self) -> &'static str {
        self.words().0
    }

    /// The word, its number, and an error of GSM 09.02.
    const fn words(&self) -> (&'static str, MessageState, u16) {
        match self.state {
            ReceiptState::InProgress => ("ENROUTE", MessageState::Enroute, 0),
            ReceiptState::Delivered => ("DELIVRD", MessageState::Delivered, 0),
            ReceiptState::Failed(class) => match class {
                FailureClass::InvalidNumber => ("UNDELIV", MessageState::Undeliverable, 1),
                FailureClass::Unreachable => ("UNDELIV", MessageState::Undeliverable, 27),
                FailureClass::Congestion => ("UNDELIV", MessageState::Undeliverable, 34),
                FailureClass::Expired => ("EXPIRED", MessageState::Expired, 27),
                FailureClass::Rejected | FailureClass::Misconfigured | FailureClass::WrongNetwork => {
                    ("REJECTD", MessageState::Rejected, 0)
                }
            },
        }
    }

    /// The PDU that says it, `now`.
    pub(super) fn pdu(&self, form: ReceiptForm, base: IdBase, now: Timestamp) -> DeliverSm {
        let (stat, state, error) = self.words();
        let id = base.write(self.id);
        let mut pdu = DeliverSm::builder()
            .source_addr_ton(self.phone.ton)
            .source_addr_npi(self.phone.npi)
            .source_addr(self.phone.text.clone())
            .dest_addr_ton(self.sender.ton)
            .dest_addr_npi(self.sender.npi)
            .destination_addr(self.sender.text.clone())
            .esm_class(EsmClass::from(MC_RECEIPT));
        if form != ReceiptForm::Tlv {
            let delivered = u8::from(self.state == ReceiptState::Delivered);
            let (submitted, done) = (minute(self.submitted), minute(now));
            let text = format!(
                "id:{id} sub:001 dlvrd:{delivered:03} submit date:{submitted} done date:{done} stat:{stat} err:{error:03} text:"
            );
            pdu = pdu.short_message(OctetString::from_string(text).unwrap_or_default());
        }
        if form != ReceiptForm::Text {
            let id = COctetString::from_string(id).unwrap_or_default();
            pdu = pdu.push_tlv(TlvValue::ReceiptedMessageId(id)).push_tlv(TlvValue::MessageState(state));
            if error != 0 {
                let code = NetworkErrorCode::new(ErrorCodeNetworkType::Gsm, error);
                pdu = pdu.push_tlv(TlvValue::NetworkErrorCode(code));
            }
        }
        pdu.build()
    }
}

/// `YYMMDDhhmm`, in UTC.
fn minute(at: Timestamp) -> String {
    let text = at.rfc3339();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.get(2..12).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use rusmpp::tlvs::TlvTag;

    use super::*;

    fn receipt(state: ReceiptState) -> Receipt {
        let address = |text: &str| Address {
            ton: Ton::International,
            npi: Npi::Isdn,
            text: COctetString::from_string(text.to_owned()).expect("short"),
        };
        Receipt {
            id: 0xbc_614e,
            phone: address("84981234567"),
            sender: address("NEXO"),
            submitted: Timestamp::from_micros(1_780_000_000_120_999),
            state,
        }
    }

    #[test]
    fn the_text_is_that_of_the_specification() {
        let now = Timestamp::from_micros(1_780_000_060_000_000);
        let pdu = receipt(ReceiptState::Delivered).pdu(ReceiptForm::Text, IdBase::Decimal, now);
        assert_eq!(
            pdu.short_message().to_str(),
            Ok("id:12345678 sub:001 dlvrd:001 submit date:2605282026 done date:2605282027 stat:DELIVRD err:000 text:")
        );
        assert_eq!((u8::from(pdu.esm_class), pdu.tlvs().len()), (0x04, 0));
        assert_eq!((pdu.source_addr.as_str(), pdu.destination_addr.as_str()), ("84981234567", "NEXO"));
    }

    #[test]
    fn a_receipt_of_tlvs_has_no_text() {
        let failed = receipt(ReceiptState::Failed(FailureClass::InvalidNumber));
        let pdu = failed.pdu(ReceiptForm::Tlv, IdBase::Hex, Timestamp::default());
        assert!(pdu.short_message().is_empty());
        let tags: Vec<TlvTag> = pdu.tlvs().iter().map(|tlv| tlv.tag()).collect();
        assert_eq!(tags, [TlvTag::ReceiptedMessageId, TlvTag::MessageState, TlvTag::NetworkErrorCode]);
    }
}
