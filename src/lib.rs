//! A Singer target that publishes records to NATS and prints STATE as a receipt.

mod error;
mod secret;
mod settings;
mod singer;
mod checkpoint;
mod replay;
#[cfg(test)]
mod testing;

pub use error::{Error, Kind};
pub use settings::Settings;
