//! A Singer target that publishes records to NATS and prints STATE as a receipt.

mod error;
mod nearest;
mod secret;
mod settings;
mod cli;
mod singer;
mod route;
mod checkpoint;
mod replay;
mod input;
mod broker;
mod state_out;
mod stderr;
mod logging;
mod progress;
mod pipeline;
mod target;
mod app;
#[cfg(test)]
mod testing;

pub use app::run_program;
pub use error::{Error, Kind};
pub use pipeline::Counts;
pub use settings::Settings;
pub use target::Target;
