//! What an SMSC sends before it has answered our bind.
//!
//! After a cut some SMSCs begin to repeat receipts as soon as they have read the bind. These PDUs are kept in their order, for
//! the session to work on once the bind holds; a bind that is refused answers none of them, and the SMSC repeats them.

use bytes::Bytes;

use super::framing::{Frame, HEADER_BYTES};

/// PDUs that are kept.
pub(super) const PDUS_MAX: usize = 256;
/// Their bytes, headers included.
pub(super) const BYTES_MAX: usize = 1024 * 1024;

/// The SMSC sent more than is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the SMSC sent more than {PDUS_MAX} PDUs or {BYTES_MAX} bytes before it answered the bind")]
pub(super) struct TooMuch;

#[derive(Debug, Default)]
pub(super) struct Early {
    frames: Vec<Frame>,
    bytes: usize,
}

impl Early {
    pub(super) fn keep(&mut self, mut frame: Frame) -> Result<(), TooMuch> {
        self.bytes += HEADER_BYTES + frame.body.len();
        if self.frames.len() == PDUS_MAX || self.bytes > BYTES_MAX {
            return Err(TooMuch);
        }
        // A piece of the buffer that it was read into would keep the whole buffer.
        frame.body = Bytes::copy_from_slice(&frame.body);
        self.frames.push(frame);
        Ok(())
    }

    /// In the order in which they came.
    pub(super) fn into_frames(self) -> Vec<Frame> {
        self.frames
    }
}
