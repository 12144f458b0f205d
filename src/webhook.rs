//! Floor 3: what leaves the house towards customers' endpoints.
//!
//! `request` makes a signed POST, `courier` knows where one may go, a `line` carries it. A POST is sent once: nothing here
//! follows a redirect, unpacks an answer, reads more of it than it keeps, or sends again what an endpoint may have seen.

pub mod courier;
mod dial;
pub mod exchange;
mod failure;
pub mod line;
mod ration;
pub mod request;
mod resolver;

#[cfg(test)]
mod tests;
