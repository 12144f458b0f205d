//! The second parse: what can be read of a PDU that breaks the rules of its format.
//!
//! Seen in the field: bytes after the message, TLVs that are too long, too short or without their NUL, addresses that are too
//! long or not ASCII, message ids without a NUL or of more than 64 characters. Nothing here can fail half-way: what is not
//! there reads as empty.

use bytes::{Buf, Bytes};

use super::codec::Delivery;

/// Tags (SMPP 3.4 §5.3.2).
const RECEIPTED_MESSAGE_ID: u16 = 0x001E;
const NETWORK_ERROR_CODE: u16 = 0x0423;
const MESSAGE_PAYLOAD: u16 = 0x0424;
const MESSAGE_STATE: u16 = 0x0427;

/// The id in the body of a `submit_sm_resp`: what stands before the first NUL, or everything.
pub(super) fn submit_response(body: &Bytes) -> String {
    text(&mut body.clone())
}

/// A `deliver_sm` (or `data_sm`); `None` if it ends before its message could begin.
pub(super) fn delivery(is_deliver_sm: bool, body: &Bytes) -> Option<Delivery> {
    let (mut delivery, rest) = mandatory(is_deliver_sm, body)?;
    for (tag, mut value) in tlvs(rest) {
        match tag {
            RECEIPTED_MESSAGE_ID => {
                delivery.receipted_id = Some(text(&mut value)).filter(|id| !id.is_empty());
            }
            MESSAGE_STATE if value.len() == 1 => delivery.message_state = value.first().copied(),
            NETWORK_ERROR_CODE if value.len() >= 3 => {
                delivery.network_error = Some((value.get_u8(), value.get_u16()));
            }
            MESSAGE_PAYLOAD if delivery.text.is_empty() => delivery.text = value,
            _ => {}
        }
    }
    Some(delivery)
}

/// The value of the first TLV with this tag.
pub(super) fn tlv(is_deliver_sm: bool, body: &Bytes, tag: u16) -> Option<Bytes> {
    let (_, rest) = mandatory(is_deliver_sm, body)?;
    tlvs(rest).find(|(known, _)| *known == tag).map(|(_, value)| value)
}

/// What stands before the TLVs, and what is left then.
fn mandatory(is_deliver_sm: bool, body: &Bytes) -> Option<(Delivery, Bytes)> {
    let mut rest = body.clone();
    let mut delivery = Delivery { is_poison: true, ..Delivery::default() };
    text(&mut rest);
    delivery.source = address(&mut rest)?;
    delivery.destination = address(&mut rest)?;
    delivery.esm_class = octet(&mut rest)?;
    if is_deliver_sm {
        // protocol_id, priority_flag, the two times, registered_delivery, replace_if_present.
        octet(&mut rest)?;
        octet(&mut rest)?;
        text(&mut rest);
        text(&mut rest);
        octet(&mut rest)?;
        octet(&mut rest)?;
        delivery.data_coding = octet(&mut rest)?;
        octet(&mut rest)?;
        let length = usize::from(octet(&mut rest)?).min(rest.len());
        delivery.text = rest.split_to(length);
    } else {
        octet(&mut rest)?;
        delivery.data_coding = octet(&mut rest)?;
    }
    Some((delivery, rest))
}

/// TLVs for as long as there are any: one whose length leads past the end takes what is left.
fn tlvs(mut rest: Bytes) -> impl Iterator<Item = (u16, Bytes)> {
    std::iter::from_fn(move || {
        if rest.len() < 4 {
            return None;
        }
        let tag = rest.get_u16();
        let length = usize::from(rest.get_u16()).min(rest.len());
        Some((tag, rest.split_to(length)))
    })
}

fn octet(rest: &mut Bytes) -> Option<u8> {
    rest.has_remaining().then(|| rest.get_u8())
}

/// Type of number, plan, address.
fn address(rest: &mut Bytes) -> Option<String> {
    octet(rest)?;
    octet(rest)?;
    Some(text(rest))
}

/// What stands before the next NUL, which is read too, or everything that is left; bytes that are no ASCII are left out.
fn text(rest: &mut Bytes) -> String {
    let end = rest.iter().position(|b| *b == 0);
    let bytes = rest.split_to(end.unwrap_or(rest.len()));
    if end.is_some() {
        rest.advance(1);
    }
    bytes.iter().filter(|b| b.is_ascii()).map(|b| char::from(*b)).collect()
}
