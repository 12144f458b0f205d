//! Whatever an SMSC sends, in whatever pieces: the reader of PDUs takes it apart or says that a length is bad.
//!
//! The first byte says how long the pieces are. What was read must not depend on that.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nexo_route::carrier::smpp::codec;
use nexo_route::carrier::smpp::framing::{Frame, Frames, HEADER_BYTES, PDU_BYTES_MAX};

/// Every PDU of `bytes`, and whether the last length was bad.
fn read(bytes: &[u8], step: usize) -> (Vec<Frame>, bool) {
    let (mut frames, mut read) = (Frames::default(), Vec::new());
    for piece in bytes.chunks(step.max(1)) {
        frames.buffer().extend_from_slice(piece);
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => read.push(frame),
                Ok(None) => break,
                Err(_) => return (read, true),
            }
        }
    }
    (read, false)
}

fuzz_target!(|input: &[u8]| {
    let Some((step, bytes)) = input.split_first() else { return };
    let (frames, is_bad) = read(bytes, usize::from(*step));
    assert_eq!(read(bytes, bytes.len()), (frames.clone(), is_bad), "pieces make no difference");
    let length: usize = frames.iter().map(|frame| HEADER_BYTES + frame.body.len()).sum();
    assert!(length <= bytes.len());
    for frame in &frames {
        assert!(HEADER_BYTES + frame.body.len() <= PDU_BYTES_MAX);
        let incoming = codec::read(frame);
        assert!(codec::tlv(frame, 0x1403).is_none_or(|value| value.len() <= frame.body.len()));
        // Nothing that can be printed shows what a message says or to whom it goes.
        let _ = format!("{frame:?} {incoming:?}").len();
    }
});
