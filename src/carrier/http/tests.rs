//! The parts of a link that need no socket.
