//! A Singer target that publishes records to NATS and prints STATE as a receipt: a STATE line appears only
//! when every record before it was confirmed by the server.
//!
//! The program is [`run_program`]; [`Target`] is the same pipeline for callers that have messages of their own.
//! Threads and blocking I/O, no async runtime.
//!
//! # The flow
//!
//! ```text
//!  stdin / --input
//!    │  reader thread: raw blocks, cut at a line end                          input.rs
//!    ▼  bounded
//!  main thread: parses blocks (rayon, where cores are spare; order kept)      pipeline/parse.rs
//!    │    SCHEMA → a new route     STATE → a checkpoint                       pipeline/flow.rs
//!    │    RECORD → checked, routed, added to its worker's part                pipeline/records.rs
//!    │      (or, where that fails, skipped or made a dead letter)             pipeline/invalid.rs
//!    ▼  one bounded channel per worker
//!  worker pool (fixed): publishes over shared connections, keeps what is      pipeline/worker.rs
//!    │    unconfirmed, confirms in groups, sends again after a break
//!    ▼
//!  checkpoints: when every worker has confirmed what came before a STATE,     checkpoint.rs
//!    it is written to stdout                                                  state_out.rs
//! ```
//!
//! # Code map, lowest layer first
//!
//! A file uses only what stands above it here, or its own folder; a test reads the `use` lines.
//!
//! - `error`, `secret`, `nearest`: the words. [`Error`] and [`Kind`] say who must act, and give the exit code.
//! - `settings`: one table declares every setting; loading, `--about`, `--help` and the README follow from it.
//!   `cli`: the command line.
//! - `singer`: one line to a message (a validating scanner, nothing is built), schemas, BATCH manifests.
//!   `route`: subjects, keys of buckets and headers from templates. `checkpoint`: which STATE may be written when.
//!   `replay`: what was published and is not confirmed. All pure: no I/O, no thread, no clock.
//! - `input`: bytes to blocks. `broker`: the boundary around NATS; `broker/client.rs` alone names the `nats`
//!   crate. `state_out`: the only writer of stdout in a run. `stderr`, `logging`, `progress`.
//! - `pipeline`: the flow and the workers. It waits in one place, for everything at once.
//! - `target`, `app`: the library's and the program's front.
//!
//! # Invariants
//!
//! - Only a confirmed record releases a STATE. A PONG confirms only on the connection over which everything
//!   since the last confirmation went.
//! - A stream belongs to one worker, so its records stay in order without a lock.
//! - A payload is a slice of the block that was read, kept alive until it is confirmed. A plain record is
//!   neither copied nor allocated for.
//! - Every queue is bounded, and the blocks of a run are bounded in bytes together. Every wait has a deadline.
//! - The flow calls nothing that can block without end. What can (reading, publishing, connecting, writing to
//!   stdout) is on threads that are left behind when the run ends.
//! - Only `route::subject` makes a subject and only `route::headers` makes headers: nothing unchecked reaches
//!   the wire.
//! - A record is published, or it ends the run, or it is counted and told of: none is lost in silence.
//! - No secret and no content of a record is in a log line or an error.

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
