//! BATCH messages: their files' rows are published as they are, and waited for like records.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::harness::{
    Message, NatsServer, Outcome, Subscriber, Target, arrived, record, schema, state,
};

const ROWS: &str = "{\"id\":1,\"f\":1.50}\n{ \"id\" : 2 }\n{}\n";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A BATCH line of `users` with this encoding and these files.
fn batch(encoding: &str, files: &[&str]) -> String {
    let manifest = json!(files);
    format!(r#"{{"type":"BATCH","stream":"users","encoding":{encoding},"manifest":{manifest}}}"#)
        + "\n"
}

const JSONL: &str = r#"{"format":"jsonl"}"#;
const GZIPPED: &str = r#"{"format":"jsonl","compression":"gzip"}"#;

/// Publishes one SCHEMA, what `lines` makes of the target's folder, and a STATE.
fn publish(
    prepare: impl FnOnce(Target) -> Target,
    lines: impl FnOnce(&Target) -> String,
) -> (Outcome, Vec<Message>) {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let target = prepare(Target::new().server(&server));
    let input = schema("users", &["id"]) + &lines(&target) + &state("1");
    let outcome = target.input(input).run();
    let messages = subscriber.messages();
    (outcome, messages)
}

/// The rows of one file with this content are published.
#[track_caller]
fn rows_arrive(encoding: &str, content: &[u8], expected: &[&str]) -> Outcome {
    let (outcome, messages) = publish(
        |target| target.file("rows", content),
        |target| batch(encoding, &[&target.path("rows")]),
    );
    outcome.succeeds().prints("1\n");
    let expected: Vec<(&str, &str)> = expected.iter().map(|payload| ("users", *payload)).collect();
    arrived(&outcome, &messages, &expected);
    outcome
}

/// The BATCH line, the second, ends the run.
#[track_caller]
fn refused(
    prepare: impl FnOnce(Target) -> Target,
    line: impl FnOnce(&Target) -> String,
    parts: &[&str],
) -> Vec<Message> {
    let (outcome, messages) = publish(prepare, line);
    outcome
        .exits(1)
        .prints("")
        .error(&["line 2", "stream users"])
        .error(parts)
        .does_not_log("panicked");
    messages
}

#[test]
fn rows_are_published_as_they_are_without_a_look_at_their_keys() {
    let outcome = rows_arrive(
        JSONL,
        ROWS.as_bytes(),
        &[r#"{"id":1,"f":1.50}"#, r#"{ "id" : 2 }"#, "{}"],
    );
    outcome
        .logs("Processing batch of 3 records")
        .logs("1 batch manifests")
        .logs(r#""value":3,"tags":{"stream":"users""#);
}

#[test]
fn rows_may_be_compressed() {
    rows_arrive(
        GZIPPED,
        &gzip(ROWS),
        &[r#"{"id":1,"f":1.50}"#, r#"{ "id" : 2 }"#, "{}"],
    );
}

#[test]
fn any_other_compression_is_none_as_in_the_sdk() {
    rows_arrive(
        r#"{"format":"jsonl","compression":"none"}"#,
        ROWS.as_bytes(),
        &[r#"{"id":1,"f":1.50}"#, r#"{ "id" : 2 }"#, "{}"],
    );
}

#[test]
fn a_compressed_file_may_be_of_several_parts() {
    let parts = [
        gzip("{\"id\":1}\n{\"id\""),
        gzip(":2}\n"),
        gzip(""),
        gzip("{\"id\":3}"),
    ]
    .concat();
    rows_arrive(
        GZIPPED,
        &parts,
        &[r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#],
    );
}

#[test]
fn the_last_row_needs_no_line_end_and_lines_may_end_with_carriage_returns() {
    rows_arrive(
        JSONL,
        b"{\"id\":1}\r\n{\"id\":2}",
        &[r#"{"id":1}"#, r#"{"id":2}"#],
    );
}

#[test]
fn an_empty_file_has_no_rows() {
    rows_arrive(JSONL, b"", &[]);
    rows_arrive(GZIPPED, &gzip(""), &[]);
}

#[test]
fn an_empty_manifest_has_no_rows() {
    let (outcome, messages) = publish(|target| target, |_| batch(JSONL, &[]));
    outcome.succeeds().prints("1\n");
    arrived(&outcome, &messages, &[]);
}

#[test]
fn files_are_read_in_their_order_by_path_or_by_file_url() {
    let (outcome, messages) = publish(
        |target| {
            target
                .file("b", "{\"n\":1}\n{\"n\":2}\n")
                .file("a", "{\"n\":3}\n")
        },
        |target| {
            batch(
                JSONL,
                &[&format!("file://{}", target.path("b")), &target.path("a")],
            ) + &record("users", r#"{"id":4}"#)
        },
    );
    outcome.succeeds().prints("1\n");
    arrived(
        &outcome,
        &messages,
        &[
            ("users", r#"{"n":1}"#),
            ("users", r#"{"n":2}"#),
            ("users", r#"{"n":3}"#),
            ("users", r#"{"id":4}"#),
        ],
    );
}

#[test]
fn many_rows_stay_in_order() {
    let rows: String = (0..50_000).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let (outcome, messages) = publish(
        |target| target.file("rows", gzip(&rows)),
        |target| batch(GZIPPED, &[&target.path("rows")]),
    );
    outcome.succeeds().prints("1\n");
    outcome.check(messages.len() == 50_000, "every row arrives");
    for (message, row) in messages.iter().zip(rows.lines()) {
        assert_eq!(message.text(), row);
    }
}

#[test]
fn with_a_storage_root_only_the_name_of_a_file_counts() {
    for scheme in ["", "file://"] {
        let (outcome, messages) = publish(
            |target| {
                let root = format!("{scheme}{}", target.path(""));
                target.file("rows.jsonl", "{\"id\":1}\n").setting(
                    "batch_config",
                    json!({"encoding": {"format": "jsonl"}, "storage": {"root": root}}),
                )
            },
            |_| batch(JSONL, &["file:///somewhere/else/rows.jsonl"]),
        );
        outcome.succeeds().prints("1\n");
        arrived(&outcome, &messages, &[("users", r#"{"id":1}"#)]);
    }
}

#[test]
fn a_missing_file_is_named_and_its_folder_is_not_made() {
    let server = NatsServer::start();
    let target = Target::new().server(&server).file("marker", "");
    let missing = target.path("nope/rows.jsonl");
    let folder = target.path("nope");
    let run = target.spawn();
    run.send(
        schema("users", &["id"])
            + &record("users", r#"{"id":1}"#)
            + &state("1")
            + &batch(JSONL, &[&missing]),
    );
    let outcome = run.wait();
    outcome
        .exits(1)
        .prints("1\n")
        .error(&["line 4", "stream users", "nope/rows.jsonl"]);
    outcome.check(!std::path::Path::new(&folder).exists(), "no folder is made");
}

#[test]
fn a_relative_path_is_refused() {
    refused(
        |target| target.file("rows", "{}"),
        |_| batch(JSONL, &["rows"]),
        &["manifest"],
    );
}

#[test]
fn a_path_of_another_kind_is_refused() {
    refused(
        |target| target,
        |_| batch(JSONL, &["s3://bucket/rows"]),
        &["manifest"],
    );
}

#[test]
fn a_bad_row_is_named_with_its_file_and_place_and_the_rows_before_it_are_published() {
    for bad in ["nonsense", "", "[1]", "{\"id\":1}{\"id\":2}", "5"] {
        let content = format!("{{\"id\":1}}\n{{\"id\":2}}\n{bad}\n{{\"id\":4}}\n");
        let messages = refused(
            |target| target.file("rows.jsonl", content),
            |target| batch(JSONL, &[&target.path("rows.jsonl")]),
            &["rows.jsonl", "3"],
        );
        let payloads: Vec<&str> = messages.iter().map(Message::text).collect();
        assert_eq!(payloads, [r#"{"id":1}"#, r#"{"id":2}"#], "before {bad:?}");
    }
}

#[test]
fn a_row_of_invalid_utf8_is_refused() {
    refused(
        |target| target.file("rows.jsonl", b"{\"a\":\"\xff\"}\n"),
        |target| batch(JSONL, &[&target.path("rows.jsonl")]),
        &["rows.jsonl", "UTF-8"],
    );
}

#[test]
fn rows_before_one_of_invalid_utf8_are_published_and_the_row_is_named() {
    let rows: String = (1..=5000).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let content = [rows.as_bytes(), b"{\"id\":\"\xff\"}\n{\"id\":5002}\n"].concat();
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let target = Target::new().server(&server).file("rows.jsonl", content);
    let input = schema("users", &[]) + &batch(JSONL, &[&target.path("rows.jsonl")]);
    let outcome = target.input(input).run();
    outcome
        .exits(1)
        .error(&["row 5001", "rows.jsonl", "UTF-8", "line 2", "stream users"]);
    let payloads = subscriber
        .messages()
        .into_iter()
        .map(|m| m.text().to_owned());
    outcome.check(
        payloads.eq((1..=5000).map(|id| format!("{{\"id\":{id}}}"))),
        "the rows before arrive",
    );
}

#[test]
fn a_row_that_is_too_large_is_refused() {
    let row = format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20));
    refused(
        |target| target.file("rows.jsonl", row),
        |target| batch(JSONL, &[&target.path("rows.jsonl")]),
        &["1048576"],
    );
}

#[test]
fn a_compressed_file_that_is_cut_short_is_refused() {
    let mut content = gzip(&"{\"id\":1}\n".repeat(1000));
    content.truncate(content.len() - 9);
    refused(
        |target| target.file("rows.gz", content),
        |target| batch(GZIPPED, &[&target.path("rows.gz")]),
        &["rows.gz"],
    );
    refused(
        |target| target.file("rows.gz", "{\"id\":1}\n"),
        |target| batch(GZIPPED, &[&target.path("rows.gz")]),
        &["rows.gz"],
    );
}

#[test]
fn an_encoding_that_is_not_understood_is_refused() {
    for encoding in [
        r#"{"format":"parquet"}"#,
        r#"{"format":"jsonl","level":9}"#,
        r#"{"compression":"gzip"}"#,
        "{}",
        "[]",
        "\"jsonl\"",
    ] {
        refused(
            |target| target.file("rows", "{}\n"),
            |target| batch(encoding, &[&target.path("rows")]),
            &["encoding"],
        );
    }
}

#[test]
fn a_manifest_that_is_no_list_of_texts_is_refused() {
    for manifest in ["\"/rows\"", "{}", "[1]", "null"] {
        let line = format!(
            r#"{{"type":"BATCH","stream":"users","encoding":{JSONL},"manifest":{manifest}}}"#
        );
        refused(|target| target, |_| line + "\n", &["manifest"]);
    }
}

#[test]
fn a_batch_without_encoding_or_manifest_is_refused() {
    let line = r#"{"type":"BATCH","stream":"users","manifest":[]}"#.to_owned() + "\n";
    refused(|target| target, |_| line, &["encoding"]);
    let line = format!(r#"{{"type":"BATCH","stream":"users","encoding":{JSONL}}}"#) + "\n";
    refused(|target| target, |_| line, &["manifest"]);
}
