//! Integration tests: the built executable against real nats-server processes.
//!
//! The harness starts the server and the program, listens on a raw socket of its own and compares what
//! arrived byte for byte. Every test has its own server, its own folder and its own deadline, so they
//! run side by side; the heavy ones take turns (`harness::heavy`). Which of them guard against the known ways
//! to lose data and to hang is listed in `paths.rs`.

// A test may: its panic is the report.
#![allow(clippy::unwrap_used)]
// Inputs are put together in the way that reads best.
#![allow(clippy::format_push_string, clippy::format_collect)]

mod harness;

// Logins and permissions.
mod access;
// Avro: what is registered, and which payloads there are.
mod avro;
// Framed messages and headers with ids, read by the libraries of others.
mod avro_consumers;
// Records and schemas that do not fit Avro.
mod avro_misfits;
// Schemas and records made from a seed, as Avro, compared with what others read.
mod avro_random;
// Messages that are refused: where, why, and nothing valid lost.
mod bad_messages;
// BATCH messages and their files.
mod batch;
// Auth callouts, and credentials that run out.
mod callout;
// Which streams JetStream captures, and what `delivery` makes of it.
mod capture;
// What `--check` tells.
mod check;
// The command line.
mod cli;
// A cluster of three, and what happens to its servers.
mod clusters;
// Configuration files and the environment.
mod config;
// What tells of a record that cannot be published.
mod dead_letters;
// Generated documents, layers, and what the source must look like.
mod docs;
// Fast ingest: choice, fallback, batches.
mod fast_ingest;
// Servers and networks that fail.
mod faults;
// Mutated input, settings and protocol lines.
mod fuzz;
// The harness itself, without the program.
mod harness_works;
// Records that cannot be published as they are.
mod invalid_records;
// Ids, expected streams, domains, prefixes, permissions.
mod jetstream;
// Streams that refuse.
mod jetstream_errors;
// JetStream servers, connections and programs that break in the middle of much input.
mod jetstream_faults;
// Buckets.
mod kv;
// Keys of KV buckets.
mod kv_keys;
// The library's own front.
mod library;
// Every way to log in, and contexts of the NATS CLI.
mod login;
// Log lines, metrics, the progress line.
mod logs;
// Messages that are accepted: what is published.
mod messages;
// The spec's ways to lose data and to hang, and which tests are about them.
mod paths;
// Connections and servers that break in the middle of much input.
mod restarts;
// Ten thousand streams, a gigabyte, and the memory they take.
mod scale;
// Schemas in a registry: registered, found again, looked up, and their ids in messages.
mod registry;
// What each level of compatibility makes of a changed schema.
mod registry_evolution;
// Registries that are down, killed, or shared by many.
mod registry_faults;
// What the rules of a registry refuse.
mod registry_rules;
// What the registry answers, and what is made of it.
mod registry_answers;
// What `--check` tells of a registry.
mod registry_check;
// Logins at a registry.
mod registry_login;
// Proxies, redirects and time-outs on the way to a registry.
mod registry_network;
// Encrypted connections to a registry.
mod registry_tls;
// Streams whose schema is being registered.
mod registry_waits;
// Who gets through the relay that speaks TLS.
mod relay;
// What no real server does on demand.
mod scripted;
// What is never printed.
mod secrecy;
// The harness of the schema registry, without the program.
mod rig;
// Its scripted servers, likewise.
mod rig_http;
// Signals, and a standard output that nobody reads.
mod signals;
// The cases of the SDK's own suite, with inputs of ours.
mod singer_cases;
// Streams that are created or left alone, and what they may lose.
mod stream_config;
// STATE: its form, its order, and when it is printed.
mod state;
// Subjects and headers.
mod subjects;
// Encrypted connections.
mod tls;
// Encrypted connections and their servers under load, and when they break.
mod tls_faults;
// What is waited for, and how long.
mod waits;
// Windows, workers and connections of every size.
mod windows;
