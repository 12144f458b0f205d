//! Callbacks over a listener.
