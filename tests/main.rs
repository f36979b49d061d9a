//! Integration tests: the built executable against real nats-server processes.
//!
//! The harness starts the server and the program, listens on a raw socket of its own and compares what
//! arrived byte for byte. Every test has its own server, its own folder and its own deadline, so they
//! run side by side; the heavy ones take turns (`harness::heavy`).

#![allow(clippy::unwrap_used)] // A test may: its panic is the report.

mod harness;

// Messages that are refused: where, why, and nothing valid lost.
mod bad_messages;
// Messages that are accepted: what is published.
mod messages;
// STATE: its form, its order, and when it is printed.
mod state;

// The harness itself, without the program.
mod harness_works;
