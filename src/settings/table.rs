//! The one declaration of every setting: name, type, default, help, and where its value goes.
//!
//! Loading, the environment's names, `--about`, `--help` and the README's section are all made from
//! [`TABLE`]. A row only validates and stores: no I/O. The Python target's settings come first, in its
//! order, as `--about` prints them, and are in `python`; those of login and TLS are in `connection`, those of the registry
//! in `registry`.

use super::draft::{
    boolean, count, delivery, ingest, log_format, message_id, object, on_invalid_record,
    parse_texts, seconds, store, subject_invalid, text,
};
use super::kind::ValueKind;
use super::names::{parse_bucket, parse_domain, parse_js_stream, parse_prefix};
use super::object_schemas;
use super::setting::{Group, Setting};

mod connection;
mod python;
mod registry;

const MAX_SECONDS: f64 = 86_400.0;

const SECONDS_OF_A_TIMEOUT: ValueKind = ValueKind::Number {
    min: 0.001,
    max: MAX_SECONDS,
};

// Measured with scripts/bench on two cores: 1 to 4 workers and windows from a quarter of this to twice as much
// differ less than two runs do. Two workers, for streams whose server or network is slower than a loopback.
const WORKERS: &str = "2";
const CONNECTIONS: &str = "2";
const MAX_IN_FLIGHT: &str = "32768";
const MAX_IN_FLIGHT_BYTES: &str = "8388608";

/// Every setting.
pub(crate) const TABLE: &[Setting] = &JOINED;

const PARTS: [&[Setting]; 4] = [python::ROWS, ROWS, connection::ROWS, registry::ROWS];

const COUNT: usize = PARTS[0].len() + PARTS[1].len() + PARTS[2].len() + PARTS[3].len();

const JOINED: [Setting; COUNT] = join();

/// One table of all parts.
const fn join() -> [Setting; COUNT] {
    let mut joined = [Setting::PLAIN; COUNT];
    let (mut at, mut part, mut row) = (0, 0, 0);
    while at < COUNT {
        while row == PARTS[part].len() {
            (part, row) = (part + 1, 0);
        }
        joined[at] = PARTS[part][row];
        (at, row) = (at + 1, row + 1);
    }
    joined
}

const ROWS: &[Setting] = &[
    Setting {
        key: "connection_name",
        group: Group::Connection,
        kind: ValueKind::String,
        default: Some(r#""target-nats""#),
        help: "The connection's name in the server's monitoring.",
        set: |draft, value| store(&mut draft.connection_name, text(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "connect_timeout_seconds",
        group: Group::Connection,
        kind: SECONDS_OF_A_TIMEOUT,
        default: Some("30"),
        help: "How long a first connection may take, waiting for a server that is not up yet included.",
        set: |draft, value| store(&mut draft.connect_timeout, seconds(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "confirm_timeout_seconds",
        group: Group::Connection,
        kind: SECONDS_OF_A_TIMEOUT,
        default: Some("60"),
        help: "With messages unconfirmed and none confirmed for so long, the run ends with exit code 75.",
        set: |draft, value| store(&mut draft.confirm_timeout, seconds(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "subject",
        group: Group::Subjects,
        kind: ValueKind::String,
        default: Some(r#""{queue_prefix}{stream}""#),
        help: "The subject's template, with the fields `{stream}`, `{queue_prefix}`, `{key}` (the key properties joined by dots) and `{record.a.b}`.",
        example: Some(r#""raw.{stream}.{key}""#),
        set: |draft, value| store(&mut draft.subject, text(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "subjects",
        group: Group::Subjects,
        kind: ValueKind::Object,
        help: "Stream name or glob to template; the first match wins, and `subject` serves the streams without one.",
        example: Some(r#"{"orders": "shop.{stream}", "tmp_*": "scratch.{stream}"}"#),
        schema: Some(object_schemas::TEXTS),
        set: |draft, value| store(&mut draft.subjects, parse_texts(value)?),
        ..Setting::PLAIN
    },
    Setting {
        key: "subject_invalid",
        group: Group::Subjects,
        kind: ValueKind::Options(&["reject", "replace", "encode"]),
        default: Some(r#""reject""#),
        help: "What happens to a value that is no legal part of a subject: an error, `_` for each bad character, or `=HH` for each bad byte, which is reversible.",
        set: |draft, value| store(&mut draft.subject_invalid, subject_invalid(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "headers",
        group: Group::Subjects,
        kind: ValueKind::Object,
        help: "Header name to template, with the fields of `subject`, for every message.",
        example: Some(r#"{"Source": "singer", "Stream": "{stream}"}"#),
        schema: Some(object_schemas::TEXTS),
        set: |draft, value| store(&mut draft.headers, parse_texts(value)?),
        ..Setting::PLAIN
    },
    Setting {
        key: "delivery",
        group: Group::Delivery,
        kind: ValueKind::Options(&["auto", "core", "jetstream", "kv"]),
        default: Some(r#""auto""#),
        help: "How messages are delivered.",
        set: |draft, value| store(&mut draft.delivery, delivery(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "ingest",
        group: Group::Delivery,
        kind: ValueKind::Options(&["auto", "pipelined", "fast"]),
        default: Some(r#""auto""#),
        help: "How a JetStream stream is fed: message by message, by fast ingest (nats-server 2.14, streams with `allow_batched`), or as the stream allows.",
        set: |draft, value| store(&mut draft.ingest, ingest(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "message_id",
        group: Group::Delivery,
        kind: ValueKind::Options(&["none", "run", "content"]),
        default: Some(r#""none""#),
        help: "The `Nats-Msg-Id` of JetStream messages: run drops what is sent again after a break, content (a hash of stream, subject and payload) also what another run sends again, within the stream's duplicate window.",
        set: |draft, value| store(&mut draft.message_id, message_id(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "jetstream_stream",
        group: Group::Delivery,
        kind: ValueKind::String,
        help: "The JetStream stream that must capture every subject.",
        example: Some(r#""RAW""#),
        set: |draft, value| store(&mut draft.jetstream_stream, parse_js_stream(&text(value))?),
        ..Setting::PLAIN
    },
    Setting {
        key: "jetstream_create",
        group: Group::Delivery,
        kind: ValueKind::Object,
        help: "The configuration with which that stream is made if it is missing; `{}` stands for sensible defaults. A stream that exists is never changed.",
        example: Some(r#"{"subjects": ["raw.>"], "num_replicas": 3}"#),
        schema: Some(object_schemas::ANY_OBJECT),
        set: |draft, value| store(&mut draft.jetstream_create, object(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "jetstream_domain",
        group: Group::Delivery,
        kind: ValueKind::String,
        help: "The JetStream domain.",
        set: |draft, value| store(&mut draft.jetstream_domain, parse_domain(&text(value))?),
        ..Setting::PLAIN
    },
    Setting {
        key: "jetstream_api_prefix",
        group: Group::Delivery,
        kind: ValueKind::String,
        help: "The prefix of the JetStream API's subjects.",
        set: |draft, value| store(&mut draft.jetstream_api_prefix, parse_prefix(&text(value))?),
        ..Setting::PLAIN
    },
    Setting {
        key: "inbox_prefix",
        group: Group::Delivery,
        kind: ValueKind::String,
        default: Some(r#""_INBOX""#),
        help: "The prefix of the subjects on which answers are awaited.",
        set: |draft, value| store(&mut draft.inbox_prefix, parse_prefix(&text(value))?),
        ..Setting::PLAIN
    },
    Setting {
        key: "kv_bucket",
        group: Group::Delivery,
        kind: ValueKind::String,
        help: "The KV bucket that records are put into with `delivery: kv`.",
        example: Some(r#""singer""#),
        set: |draft, value| store(&mut draft.kv_bucket, parse_bucket(&text(value))?),
        ..Setting::PLAIN
    },
    Setting {
        key: "kv_key",
        group: Group::Delivery,
        kind: ValueKind::String,
        default: Some(r#""{stream}.{key}""#),
        help: "The template of a record's key in the bucket, with the fields of `subject`; between two of them there must be a dot.",
        set: |draft, value| store(&mut draft.kv_key, text(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "kv_create",
        group: Group::Delivery,
        kind: ValueKind::Object,
        help: "The configuration with which the bucket is made if it is missing; `{}` stands for sensible defaults. A bucket that exists is never changed.",
        example: Some(r#"{"history": 5, "ttl": "24h"}"#),
        schema: Some(object_schemas::ANY_OBJECT),
        set: |draft, value| store(&mut draft.kv_create, object(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "kv_deletes",
        group: Group::Delivery,
        kind: ValueKind::Boolean,
        default: Some("false"),
        help: "Whether a record whose `_sdc_deleted_at` is not null becomes a delete marker of its key.",
        set: |draft, value| store(&mut draft.kv_deletes, boolean(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "on_invalid_record",
        group: Group::Delivery,
        kind: ValueKind::Options(&["fail", "skip", "dead_letter"]),
        default: Some(r#""fail""#),
        help: "What happens to a record that lacks a key, cannot be addressed or is too large: an error, left out, or published to `dead_letter_subject`.",
        set: |draft, value| store(&mut draft.on_invalid_record, on_invalid_record(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "dead_letter_subject",
        group: Group::Delivery,
        kind: ValueKind::String,
        help: "Where `on_invalid_record: dead_letter` publishes records as they were received, with headers that say stream, line and reason.",
        example: Some(r#""singer.dead""#),
        set: |draft, value| store(&mut draft.dead_letter_subject, text(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "workers",
        group: Group::Delivery,
        kind: ValueKind::Integer { min: 1, max: 64 },
        default: Some(WORKERS),
        help: "The number of publishing threads; a stream belongs to one of them.",
        set: |draft, value| store(&mut draft.workers, count(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "connections",
        group: Group::Delivery,
        kind: ValueKind::Integer { min: 1, max: 64 },
        default: Some(CONNECTIONS),
        help: "The number of connections that the workers share; not more than workers.",
        set: |draft, value| store(&mut draft.connections, count(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "max_in_flight",
        group: Group::Delivery,
        kind: ValueKind::Integer {
            min: 1,
            max: 1_000_000,
        },
        default: Some(MAX_IN_FLIGHT),
        help: "The number of unconfirmed messages that a worker may hold.",
        set: |draft, value| store(&mut draft.max_in_flight, count(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "max_in_flight_bytes",
        group: Group::Delivery,
        kind: ValueKind::Integer {
            min: 1024,
            max: 1 << 30,
        },
        default: Some(MAX_IN_FLIGHT_BYTES),
        help: "The bytes of unconfirmed payload that a worker may hold.",
        set: |draft, value| store(&mut draft.max_in_flight_bytes, count(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "state_interval_seconds",
        group: Group::Output,
        kind: ValueKind::Number {
            min: 0.0,
            max: MAX_SECONDS,
        },
        default: Some("0"),
        help: "The least time between two STATE lines; the last one is always printed.",
        set: |draft, value| store(&mut draft.state_interval, seconds(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "log_format",
        group: Group::Output,
        kind: ValueKind::Options(&["auto", "text", "json"]),
        default: Some(r#""auto""#),
        help: "How log lines are written: as the SDK prints them, or one JSON object each; auto is json where SINGER_SDK_LOG_CONFIG names a file that asks for it, as Meltano's does.",
        set: |draft, value| store(&mut draft.log_format, log_format(value)),
        ..Setting::PLAIN
    },
];

#[cfg(test)]
mod tests;
