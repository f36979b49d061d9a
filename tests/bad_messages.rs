//! Singer input that is refused: exit 1, one line that says where and why, nothing valid lost.

use crate::harness::{Target, arrived, publish, record, schema, state};

/// This line, the fourth, ends the run; the record before it is published and its STATE printed. What
/// follows it is not looked at.
#[track_caller]
fn refused(line: impl AsRef<[u8]>, parts: &[&str]) {
    let mut input =
        (schema("users", &["id"]) + &record("users", r#"{"id":1}"#) + &state(r#"{"a":1}"#))
            .into_bytes();
    input.extend_from_slice(line.as_ref());
    input.extend_from_slice(
        format!("\n{}{}", record("users", r#"{"id":2}"#), state("2")).as_bytes(),
    );
    let (outcome, messages) = publish(input);
    outcome
        .exits(1)
        .prints("{\"a\": 1}\n")
        .error(&["line 4"])
        .error(parts)
        .does_not_log("panicked");
    arrived(&outcome, &messages, &[("users", r#"{"id":1}"#)]);
}

#[test]
fn a_blank_line_is_refused() {
    refused("", &["JSON"]);
}

#[test]
fn a_line_of_white_space_is_refused() {
    refused(" \t \r", &["JSON"]);
}

#[test]
fn a_line_that_is_no_json_is_refused() {
    refused("{'type': 'RECORD'}", &["JSON"]);
    refused("hello", &["JSON"]);
}

#[test]
fn a_truncated_line_is_refused() {
    refused(
        r#"{"type":"RECORD","stream":"users","record":{"id":"#,
        &["JSON"],
    );
}

#[test]
fn two_objects_on_one_line_are_refused() {
    let line = record("users", r#"{"id":7}"#);
    refused(line.trim_end().repeat(2), &["JSON"]);
}

#[test]
fn a_byte_order_mark_is_refused() {
    let (outcome, messages) = publish(format!("\u{feff}{}", schema("users", &[])));
    outcome.exits(1).prints("").error(&["line 1", "JSON"]);
    arrived(&outcome, &messages, &[]);
}

#[test]
fn a_raw_control_character_in_a_string_is_refused() {
    refused(
        "{\"type\":\"RECORD\",\"stream\":\"users\",\"record\":{\"id\":\"a\tb\"}}",
        &["JSON"],
    );
}

#[test]
fn invalid_utf8_is_refused_with_its_line() {
    refused(
        b"{\"type\":\"RECORD\",\"stream\":\"users\",\"record\":{\"id\":\"\xff\"}}",
        &["UTF-8"],
    );
    refused(
        b"{\"type\":\"RECORD\",\"stream\":\"users\",\"record\":{\"id\":\"\xed\xa0\x80\"}}",
        &["UTF-8"],
    );
    refused(b"{\"type\":\"STATE\",\"value\":\"\xc3\"}", &["UTF-8"]);
    refused(b"\xfe", &["UTF-8"]);
}

#[test]
fn garbage_nested_100_000_deep_is_refused() {
    refused("[".repeat(100_000), &["JSON"]);
    refused(r#"{"a":"#.repeat(100_000), &["JSON"]);
    let deep = "[".repeat(100_000);
    refused(
        format!(r#"{{"type":"RECORD","stream":"users","record":{{"id":{deep}}}}}"#),
        &["JSON"],
    );
}

#[test]
fn json_that_is_no_object_is_refused() {
    for line in ["[1]", "\"RECORD\"", "5", "null", "true", "[]"] {
        refused(line, &["object"]);
    }
}

#[test]
fn a_line_without_a_type_is_refused() {
    refused(r#"{"stream":"users","record":{"id":7}}"#, &["type"]);
    refused("{}", &["type"]);
}

#[test]
fn an_unknown_type_is_named() {
    refused(r#"{"type":"FOO"}"#, &["unknown message type 'FOO'"]);
}

#[test]
fn a_type_in_lower_case_is_unknown() {
    refused(
        r#"{"type":"record","stream":"users","record":{"id":7}}"#,
        &["unknown message type 'record'"],
    );
}

#[test]
fn a_type_that_is_no_text_is_refused() {
    refused(
        r#"{"type":5,"stream":"users","record":{"id":7}}"#,
        &["type"],
    );
    refused(r#"{"type":null}"#, &["type"]);
}

#[test]
fn a_record_before_its_schema_names_the_stream() {
    refused(
        r#"{"type":"RECORD","stream":"orders","record":{"id":7}}"#,
        &["stream orders", "before a SCHEMA of its stream"],
    );
}

#[test]
fn a_record_without_stream_or_record_is_refused() {
    refused(r#"{"type":"RECORD","record":{"id":7}}"#, &["stream"]);
    refused(
        r#"{"type":"RECORD","stream":"users"}"#,
        &["record", "stream users"],
    );
}

#[test]
fn a_record_that_is_no_object_is_refused() {
    for value in ["[1]", "\"x\"", "5", "true"] {
        refused(
            format!(r#"{{"type":"RECORD","stream":"users","record":{value}}}"#),
            &["stream users", "object"],
        );
    }
}

#[test]
fn a_stream_that_is_no_text_is_refused() {
    refused(
        r#"{"type":"RECORD","stream":5,"record":{"id":7}}"#,
        &["stream"],
    );
    refused(
        r#"{"type":"SCHEMA","stream":null,"schema":{"properties":{}}}"#,
        &["stream"],
    );
}

#[test]
fn a_schema_without_stream_or_schema_is_refused() {
    refused(
        r#"{"type":"SCHEMA","schema":{"properties":{}}}"#,
        &["stream"],
    );
    refused(
        r#"{"type":"SCHEMA","stream":"users"}"#,
        &["schema", "stream users"],
    );
}

#[test]
fn a_schema_without_properties_is_refused() {
    refused(
        r#"{"type":"SCHEMA","stream":"users","schema":{"type":"object"}}"#,
        &["properties", "stream users"],
    );
}

#[test]
fn a_schema_that_is_no_object_is_refused() {
    for value in ["[]", "5", "null", "\"properties\""] {
        refused(
            format!(r#"{{"type":"SCHEMA","stream":"users","schema":{value}}}"#),
            &["schema", "stream users"],
        );
    }
}

#[test]
fn key_properties_that_are_no_list_of_texts_are_refused() {
    for value in ["\"id\"", "[1]", "{}", "[null]"] {
        let line = format!(
            r#"{{"type":"SCHEMA","stream":"users","schema":{{"properties":{{}}}},"key_properties":{value}}}"#
        );
        refused(line, &["key_properties", "stream users"]);
    }
}

#[test]
fn a_state_without_a_value_is_refused() {
    refused(r#"{"type":"STATE"}"#, &["value"]);
}

#[test]
fn a_record_that_lacks_a_key_property_is_refused() {
    refused(
        r#"{"type":"RECORD","stream":"users","record":{"name":"secret-marker"}}"#,
        &[
            "Record is missing one or more key_properties",
            "stream users",
            "field id",
        ],
    );
    refused(
        r#"{"type":"RECORD","stream":"users","record":{}}"#,
        &["Record is missing one or more key_properties"],
    );
    // A key deeper down is no key.
    refused(
        r#"{"type":"RECORD","stream":"users","record":{"a":{"id":1}}}"#,
        &["field id"],
    );
}

#[test]
fn of_several_key_properties_the_missing_one_is_named() {
    let input = schema("pairs", &["a", "b"])
        + &record("pairs", r#"{"a":1,"b":2}"#)
        + &record("pairs", r#"{"a":1}"#);
    let (outcome, messages) = publish(input);
    outcome
        .exits(1)
        .error(&["line 3", "stream pairs", "field b"]);
    arrived(&outcome, &messages, &[("pairs", r#"{"a":1,"b":2}"#)]);
}

#[test]
fn activate_version_of_an_unknown_stream_is_refused() {
    refused(
        r#"{"type":"ACTIVATE_VERSION","stream":"orders","version":1}"#,
        &["orders"],
    );
}

#[test]
fn activate_version_without_a_version_is_refused() {
    refused(
        r#"{"type":"ACTIVATE_VERSION","stream":"users"}"#,
        &["version", "stream users"],
    );
}

#[test]
fn a_batch_of_an_unknown_stream_is_refused() {
    refused(
        r#"{"type":"BATCH","stream":"orders","encoding":{"format":"jsonl"},"manifest":[]}"#,
        &["orders"],
    );
}

#[test]
fn a_record_of_20_megabytes_names_line_stream_and_limit() {
    let text = "x".repeat(20_000_000);
    refused(
        format!(r#"{{"type":"RECORD","stream":"users","record":{{"id":"{text}"}}}}"#),
        &["stream users", "1048576"],
    );
}

#[test]
fn a_record_one_byte_too_large_is_refused() {
    let text = "x".repeat((1 << 20) + 1 - r#"{"id":""}"#.len());
    refused(
        format!(r#"{{"type":"RECORD","stream":"users","record":{{"id":"{text}"}}}}"#),
        &["stream users", "1048577", "1048576"],
    );
}

#[test]
fn a_bad_line_is_not_shown() {
    let input = schema("users", &[])
        + r#"{"type":"RECORD","stream":"users","record":{"ssn":"078-05-1120",}}"#;
    let (outcome, _) = publish(input);
    outcome
        .exits(1)
        .error(&["line 2"])
        .does_not_log("078-05-1120");
}

#[test]
fn a_bad_first_line_is_refused_without_a_server_too() {
    // Nothing was published, so nothing needs to be confirmed, and the tap's owner is the one who can act.
    let outcome = Target::new().args(["--dry-run"]).input("nonsense\n").run();
    outcome.exits(1).prints("").error(&["line 1", "JSON"]);
}
