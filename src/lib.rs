//! A Singer target that publishes records to NATS and prints STATE as a receipt.

// Each layer uses only those above it; the blank lines keep rustfmt from sorting them away.
mod error;
mod nearest;
mod secret;

mod settings;
mod singer;
mod checkpoint;
mod route;
mod replay;
mod input;
#[cfg(test)]
mod testing;

mod cli;

mod stderr;

mod logging;
mod progress;

pub use error::{Error, Kind};
pub use settings::Settings;
