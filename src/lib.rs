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
//!    │    SCHEMA → registered, its stream's records held until it is          pipeline/schemas.rs, registry/
//!    │    STATE → a checkpoint                                                pipeline/flow.rs
//!    │    RECORD → checked, routed, encoded, added to its worker's part       pipeline/records.rs, encode/
//!    │      (or, where that fails, skipped or made a dead letter)             pipeline/invalid.rs
//!    ▼  one bounded channel per worker
//!  worker pool (fixed): numbers its messages, keeps what is unconfirmed,      pipeline/worker.rs
//!    │    sends it again after a break                                        replay.rs
//!    ▼
//!  publisher, one a worker, over a connection that workers share              broker/publisher.rs
//!    │    which JetStream stream captures the subject?                        broker/capture.rs
//!    │      one does: its outlet, acknowledgements                            broker/outlet.rs
//!    │      none: core, a PONG                                                broker/core.rs
//!    ▼  confirmed up to a message
//!  checkpoints: when every worker has confirmed the message that a STATE      checkpoint.rs
//!    needs of it, the STATE is written to stdout                              state_out.rs
//! ```
//!
//! A message goes one of three ways through a publisher. It is sent at once; or it is *kept back*, because its
//! outlet takes nothing for now (its window is full, it pauses after trouble), and the worker publishes it when
//! `Delivery::due` names it; or it is *refused* for what it is, and the worker has it left out, replaced by a dead
//! letter, or ends the run. Neither of the last two is confirmed meanwhile, nor is what comes behind it. An outlet
//! that is in trouble holds up no other one, until the worker's window is full.
//!
//! # Code map, lowest layer first
//!
//! A file uses only what stands above it here, or its own folder; a test reads the `use` lines.
//!
//! - `error`, `secret`, `nearest`: the words. [`Error`] and [`Kind`] say who must act, and give the exit code.
//! - `settings`: one table declares every setting; loading, `--about`, `--help` and the README follow from it.
//!   `cli`: the command line.
//! - `certificates`: PEM text of the settings, and what is wrong with a certificate.
//! - `singer`: one line to a message (a validating scanner, nothing is built), schemas, BATCH manifests.
//!   `encode`: a record to its payload (as it is, framed, Avro), and the text of the schema that is registered.
//!   `route`: subjects, keys of buckets and headers from templates. `checkpoint`: which STATE may be written when.
//!   `replay`: what was published and is not confirmed. All pure: no I/O, no thread, no clock.
//! - `input`: bytes to blocks. `broker`: the boundary around NATS, see below. `registry`: schemas to their ids, on threads
//!   of its own; `session` registers one, `dialect` and `answer` are what is said and heard. `state_out`: the only writer of
//!   stdout in a run. `stderr`, `logging`, `progress`.
//! - `pipeline`: the flow and the workers. It waits in one place, for everything at once.
//! - `target`, `app`: the library's and the program's front.
//!
//! The files of `broker`:
//!
//! - The boundary is the trait `broker::Delivery`. `publisher` is the real one, `dry` that of `--dry-run`.
//! - Connections: `link` makes them one after the other, for those who share it. `dial` finds a server and shakes
//!   hands, as `tls` says; `info` is what the server says of itself; `relay` stands between the client library and a
//!   server with TLS; `auth` signs, and explains refusals. `client` is one connection until its first failure, and
//!   alone names the `nats` crate.
//! - Where messages go: `capture` asks and remembers, by way of `api` (questions to JetStream), `js_streams` (what is
//!   known and made), `js_config` and `js_wanted` (configurations, found and asked for; `go_time`), `js_audit`
//!   (warnings) and `filter` (subjects against filters).
//! - JetStream: an `outlet` feeds one stream for one worker. Its `ledger` knows what is sent and unconfirmed,
//!   `ingest` counts a batch of fast ingest, `answer` and `js_error` say what a reply means, `message_id` makes ids.
//! - `core`: what PONGs confirm. `inspect`: `--check`. `told`: what was logged once. `unique`: tokens.
//!
//! # Invariants
//!
//! - Only a confirmed record releases a STATE. A checkpoint names the message that it needs of every worker, and a
//!   worker's confirmation covers everything up to a message: what is below the oldest unconfirmed message of all
//!   outlets, of core, and of those that were refused and not yet decided on.
//! - A PONG confirms only on the connection over which everything since the last confirmation went. It never
//!   confirms a message that goes to JetStream: only an acknowledgement of the stream that was expected does.
//! - What was learnt of a server is forgotten with the connection: which streams capture what, batches, inboxes.
//! - A JetStream stream or a bucket that exists is never changed.
//! - A stream belongs to one worker, so its records stay in order without a lock. What is sent again is sent in
//!   the order of the messages' numbers, which never change; dead letters keep the number of their record.
//! - A payload is a slice of the block that was read, kept alive until it is confirmed. A plain record is
//!   neither copied nor allocated for. Only a format that is asked for makes another payload of it.
//! - With a registry, no record is published before its schema is registered, and no STATE passes one that is held.
//!   A stream waits for its own schema alone.
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
mod certificates;
mod singer;
mod encode;
mod route;
mod checkpoint;
mod replay;
mod input;
mod registry;
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
