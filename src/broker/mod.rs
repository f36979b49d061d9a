//! The boundary around NATS: what a worker knows of delivery.
//!
//! It speaks of messages, positions and confirmations, and not of any client library: `client.rs` alone
//! names the crate. The boundary's promises:
//!
//! - A position is confirmed only if the server took every message before it, on one unbroken connection.
//! - After [`Notice::Lost`] nothing more is confirmed until [`Delivery::connect`] was called and what is
//!   unconfirmed was published again.
//! - [`Delivery::publish`] may block, since a socket does; so it is called by threads that can be abandoned.

use std::convert::Infallible;

use crossbeam_channel::Receiver;

use crate::error::Error;
use crate::route::Route;

mod client;
mod core;
mod dry;
mod info;
mod link;

pub(crate) use self::core::Core;
pub(crate) use self::dry::Dry;
pub(crate) use self::link::Link;

/// What a delivery tells its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The server took everything up to this position.
    Confirmed(u64),
    /// The connection is gone. What was not confirmed before must be published again.
    Lost,
}

/// The connection is gone, as in [`Notice::Lost`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost;

/// Closed when the run has ended: nobody waits for a connection any more.
pub(crate) type RunEnd = Receiver<Infallible>;

/// What the server at the other end allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The largest message in bytes, its headers included.
    pub(crate) max_payload_bytes: usize,
    /// Whether a message may have headers.
    pub(crate) headers: bool,
}

/// One way of delivering messages, as one worker uses it.
pub(crate) trait Delivery: Send {
    /// Connects, at first and after each loss. Blocks until it has, until it is known that it cannot, or
    /// until the run has ended.
    ///
    /// Fails with `Refused` or `Config` where the server will not have us, with `Unavailable` where no
    /// first connection was had in time.
    fn connect(&mut self, run_end: &RunEnd) -> Result<Limits, Error>;

    /// Hands one message to the connection. That says nothing of its arrival.
    fn publish(&mut self, route: &Route, payload: &[u8]) -> Result<(), Lost>;

    /// Asks for a [`Notice::Confirmed`] for all that was published so far, which ends at this position.
    fn request_confirmation(&mut self, position: u64);

    /// Where notices arrive. A new one after each [`Delivery::connect`].
    fn notices(&self) -> &Receiver<Notice>;
}
