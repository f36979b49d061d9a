//! The boundary around NATS: what a worker knows of delivery.
//!
//! It speaks of messages, ordinals and confirmations, and not of any client library: `client.rs` alone
//! names the crate. A worker numbers its messages: the first is 1, and they are published in their order. The
//! boundary's promises:
//!
//! - An ordinal is confirmed only if the server took that message and every one before it.
//! - After [`Notice::Lost`] or [`Stop::Lost`] nothing more is confirmed until [`Delivery::connect`] was called and
//!   what is unconfirmed was published again.
//! - [`Delivery::publish`] may block, since a socket does; so it is called by threads that can be abandoned.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crossbeam_channel::{Receiver, Select};

use crate::error::Error;
use crate::route::Route;
use crate::settings::Settings;

mod answer;
mod api;
mod auth;
mod capture;
mod client;
mod core;
mod dial;
mod dry;
mod filter;
mod go_time;
mod info;
mod ingest;
mod inspect;
mod js_audit;
mod js_config;
mod js_error;
mod js_streams;
mod js_wanted;
mod ledger;
mod link;
mod message_id;
mod outlet;
mod publisher;
mod relay;
mod server_error;
mod tls;
mod told;
mod unique;

pub(crate) use self::dry::Dry;
pub(crate) use self::inspect::inspect;
pub(crate) use self::link::Link;
pub(crate) use self::publisher::Publisher;
use self::told::Told;

/// What the publishers of a run have in common.
#[derive(Debug)]
pub(crate) struct Common {
    settings: Settings,
    told: Told,
    /// Nothing is made at the server: what would be is taken to be there.
    is_looking: bool,
}

impl Common {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            told: Told::default(),
            is_looking: false,
        }
    }

    /// For who only looks.
    fn looking(settings: &Settings) -> Self {
        Self {
            is_looking: true,
            ..Self::new(settings)
        }
    }
}

/// What a delivery tells its worker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The server took everything up to this ordinal.
    Confirmed(u64),
    /// The connection is gone. What was not confirmed before must be published again.
    Lost,
    /// Why nothing goes on for now. It may pass.
    Trouble(String),
    /// The server refuses this one message, and would again. Until it is published with another route, or
    /// given up, nothing behind it is confirmed.
    Refused { ordinal: u64, reason: String },
    /// This message ends the run, and nothing behind it is confirmed.
    Failed { ordinal: u64, error: Error },
}

/// Why a message was not taken on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// As [`Notice::Lost`].
    Lost,
    /// As [`Notice::Refused`]; the reason.
    Refused(String),
    /// As [`Notice::Failed`].
    Failed(Error),
}

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

    /// Takes one message on. It is handed to the connection at once, or kept back until [`Delivery::due`] names
    /// it; neither says anything of its arrival.
    fn publish(&mut self, ordinal: u64, route: &Arc<Route>, payload: &[u8]) -> Result<(), Stop>;

    /// The next message that was kept back, or that must be sent again, and may be published now.
    fn due(&mut self) -> Option<u64>;

    /// A message that was refused will not be published: nothing waits for it any more.
    fn give_up(&mut self, ordinal: u64);

    /// Has everything that was published so far confirmed soon. `is_idle` tells that nothing else follows
    /// for now.
    fn request_confirmation(&mut self, is_idle: bool);

    /// Takes in what has come from the server, and gives one notice after another until there is none.
    fn poll(&mut self) -> Result<Option<Notice>, Error>;

    /// Adds what makes a [`Delivery::poll`] worthwhile.
    fn watch<'a>(&'a self, select: &mut Select<'a>);

    /// When a poll is due although nothing has come. What [`Delivery::watch`] adds afterwards may take the place of
    /// a time that has passed by then.
    fn deadline(&self) -> Option<Instant>;
}

/// A panic ends the process, so nobody who waits finds what another thread left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
