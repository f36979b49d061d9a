//! A Singer target that publishes records to NATS and prints STATE as a receipt.

mod error;
mod nearest;
mod secret;
mod settings;

pub use error::{Error, Kind};
pub use settings::Settings;
