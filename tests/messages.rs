//! Singer messages that are accepted: what of them is published, byte for byte, and what is printed.

use crate::harness::{arrived, publish, publish_with, record, schema, state};

/// One stream without keys.
fn users() -> String {
    schema("users", &[])
}

/// The record is published as these very bytes.
#[track_caller]
fn passes(text: &str) {
    let (outcome, messages) = publish(users() + &record("users", text) + &state("1"));
    outcome.succeeds().prints("1\n");
    arrived(&outcome, &messages, &[("users", text)]);
}

/// This line alone, behind the SCHEMA, publishes this payload.
#[track_caller]
fn line_publishes(line: &str, payload: &str) {
    let (outcome, messages) = publish(users() + line);
    outcome.succeeds();
    arrived(&outcome, &messages, &[("users", payload)]);
}

#[test]
fn an_empty_input_ends_well_and_prints_nothing() {
    let (outcome, messages) = publish("");
    outcome.succeeds().prints("");
    arrived(&outcome, &messages, &[]);
}

#[test]
fn records_arrive_in_order_and_their_state_is_printed() {
    let mut input = users();
    let payloads: Vec<String> = (0..500)
        .map(|id| format!(r#"{{"id":{id},"name":"User {id}"}}"#))
        .collect();
    for payload in &payloads {
        input += &record("users", payload);
    }
    let (outcome, messages) = publish(input + &state(r#"{"bookmarks":{"users":{"n":500}}}"#));
    outcome
        .succeeds()
        .prints("{\"bookmarks\": {\"users\": {\"n\": 500}}}\n");
    let expected: Vec<(&str, &str)> = payloads
        .iter()
        .map(|payload| ("users", payload.as_str()))
        .collect();
    arrived(&outcome, &messages, &expected);
}

#[test]
fn a_payload_keeps_the_spacing_and_key_order_of_the_tap() {
    passes("{ \"z\" : 1 ,\t\"a\":[ 1,2 , {} ] }");
}

#[test]
fn numbers_keep_their_digits() {
    passes(
        r#"{"a":1.50,"b":1e5,"c":1E+5,"d":-0,"e":-0.0,"f":1.0,"g":19.99,"h":0.1e-7,"i":123456789012345678901234567890.5}"#,
    );
}

#[test]
fn numbers_beyond_every_type_pass() {
    let digits = "9".repeat(5000);
    passes(&format!(
        r#"{{"int":{digits},"float":1e400,"small":1e-400,"negative":-{digits}}}"#
    ));
}

#[test]
fn bare_nan_and_infinities_pass() {
    passes(r#"{"a":NaN,"b":Infinity,"c":-Infinity,"d":[NaN,{"e":-Infinity}]}"#);
}

#[test]
fn dates_are_left_alone() {
    let declared = r#"{"type":"SCHEMA","stream":"users","schema":{"type":"object","properties":{"at":{"type":"string","format":"date-time"},"on":{"type":"string","format":"date"}}},"key_properties":[]}"#;
    let payload = r#"{"at":"2026-01-01T00:00:00Z","on":"not a date"}"#;
    let (outcome, messages) = publish(format!("{declared}\n") + &record("users", payload));
    outcome.succeeds();
    arrived(&outcome, &messages, &[("users", payload)]);
}

#[test]
fn text_of_every_script_and_every_escape_passes() {
    passes(
        r#"{"a":"é中😀","b":"\u00e9\u4e2d\ud83d\ude00","c":"\"\\\/\b\f\n\r\t\u0000\u007f","d":"","é":"\u2028"}"#,
    );
}

#[test]
fn a_lone_surrogate_escape_passes() {
    passes(r#"{"a":"\ud83d","b":"\ude00\ud83d"}"#);
}

#[test]
fn duplicate_keys_of_a_record_pass() {
    passes(r#"{"a":1,"b":2,"a":3}"#);
}

#[test]
fn of_duplicate_keys_of_a_message_the_last_counts() {
    line_publishes(
        r#"{"type":"NONE","stream":"other","record":{"id":1},"type":"RECORD","record":{"id":2},"stream":"users"}"#,
        r#"{"id":2}"#,
    );
}

#[test]
fn the_keys_of_a_message_come_in_any_order_with_any_spacing() {
    line_publishes(
        " \t{ \"record\" : {\"id\": 1} , \"extra\": [{\"record\": 5}], \"stream\" :\"users\",\t\"type\": \"RECORD\" } \t\n",
        r#"{"id": 1}"#,
    );
}

#[test]
fn escapes_in_the_keys_and_words_of_a_message_are_understood() {
    line_publishes(
        r#"{"\u0074ype":"\u0052ECORD","str\u0065am":"user\u0073","recor\u0064":{"id":1}}"#,
        r#"{"id":1}"#,
    );
}

#[test]
fn an_escaped_stream_name_is_the_same_stream() {
    let input = schema("café", &[]) + r#"{"type":"RECORD","stream":"caf\u00e9","record":{"id":1}}"#;
    let (outcome, messages) = publish(input);
    outcome.succeeds();
    arrived(&outcome, &messages, &[("café", r#"{"id":1}"#)]);
}

#[test]
fn an_escaped_key_is_the_same_key() {
    let keyed = r#"{"type":"SCHEMA","stream":"users","schema":{"properties":{}},"key_properties":["\u0069d","caf\u00e9"]}"#;
    let payload = r#"{"i\u0064":1,"café":2}"#;
    let (outcome, messages) = publish(format!("{keyed}\n") + &record("users", payload));
    outcome.succeeds();
    arrived(&outcome, &messages, &[("users", payload)]);
}

#[test]
fn lines_may_end_with_carriage_return_and_line_feed() {
    let input =
        (users() + &record("users", r#"{"id":1}"#) + &record("users", r#"{"id":2}"#) + &state("7"))
            .replace('\n', "\r\n");
    let (outcome, messages) = publish(input);
    outcome.succeeds().prints("7\n");
    arrived(
        &outcome,
        &messages,
        &[("users", r#"{"id":1}"#), ("users", r#"{"id":2}"#)],
    );
}

#[test]
fn the_last_line_needs_no_line_end() {
    let input = users() + &record("users", r#"{"id":1}"#);
    let (outcome, messages) = publish(input.trim_end());
    outcome.succeeds();
    arrived(&outcome, &messages, &[("users", r#"{"id":1}"#)]);
    let (outcome, _) = publish(input + state("7").trim_end());
    outcome.succeeds().prints("7\n");
}

#[test]
fn a_lone_carriage_return_is_white_space() {
    line_publishes(
        "{\"type\":\"RECORD\",\r\"stream\":\"users\",\"record\":{\"id\":\r1}}\r\n",
        "{\"id\":\r1}",
    );
}

#[test]
fn a_record_nested_100_000_deep_is_published() {
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    passes(&deep);
    let deep = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    passes(&deep);
}

#[test]
fn a_schema_and_a_state_nested_100_000_deep_are_understood() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = format!(
        r#"{{"type":"SCHEMA","stream":"users","schema":{{"properties":{{}},"x":{deep}}},"key_properties":[]}}"#
    );
    let (outcome, messages) =
        publish(format!("{nested}\n") + &record("users", "{}") + &state(&deep));
    outcome.succeeds().prints(&format!("{deep}\n"));
    arrived(&outcome, &messages, &[("users", "{}")]);
}

#[test]
fn a_schema_of_20_megabytes_is_understood() {
    let text = "x".repeat(20_000_000);
    let big = format!(
        r#"{{"type":"SCHEMA","stream":"users","schema":{{"properties":{{}},"description":"{text}"}},"key_properties":["id"]}}"#
    );
    let (outcome, messages) =
        publish(format!("{big}\n") + &record("users", r#"{"id":1}"#) + &state("7"));
    outcome.succeeds().prints("7\n");
    arrived(&outcome, &messages, &[("users", r#"{"id":1}"#)]);
}

#[test]
fn a_payload_of_exactly_the_largest_size_is_published() {
    let text = "x".repeat((1 << 20) - r#"{"a":""}"#.len());
    passes(&format!(r#"{{"a":"{text}"}}"#));
}

#[test]
fn a_null_record_is_counted_and_not_published_and_an_empty_one_is() {
    let (outcome, messages) =
        publish(users() + &record("users", "null") + &record("users", "{}") + &state("7"));
    outcome
        .succeeds()
        .prints("7\n")
        .logs("4 lines of input (1 schemas, 2 records,");
    arrived(&outcome, &messages, &[("users", "{}")]);
}

#[test]
fn fields_that_the_schema_does_not_declare_are_kept() {
    passes(r#"{"id":1,"unknown":{"a":[]}}"#);
}

#[test]
fn version_and_time_extracted_are_not_looked_at() {
    line_publishes(
        r#"{"type":"RECORD","stream":"users","record":{"id":1},"version":"x","time_extracted":"not a time"}"#,
        r#"{"id":1}"#,
    );
}

#[test]
fn a_key_property_that_is_null_is_there() {
    let (outcome, messages) =
        publish(schema("users", &["id"]) + &record("users", r#"{"id":null}"#));
    outcome.succeeds();
    arrived(&outcome, &messages, &[("users", r#"{"id":null}"#)]);
}

#[test]
fn key_properties_may_be_missing_or_null() {
    for keys in ["", r#","key_properties":null"#] {
        let declared =
            format!(r#"{{"type":"SCHEMA","stream":"users","schema":{{"properties":{{}}}}{keys}}}"#);
        let (outcome, messages) = publish(declared + "\n" + &record("users", "{}"));
        outcome.succeeds();
        arrived(&outcome, &messages, &[("users", "{}")]);
    }
}

#[test]
fn a_repeated_schema_changes_nothing() {
    let (outcome, messages) = publish(
        users()
            + &record("users", r#"{"id":1}"#)
            + &users()
            + &record("users", r#"{"id":2}"#)
            + &state("7"),
    );
    outcome
        .succeeds()
        .prints("7\n")
        .logs("(2 schemas, 2 records,")
        .does_not_log("changed");
    arrived(
        &outcome,
        &messages,
        &[("users", r#"{"id":1}"#), ("users", r#"{"id":2}"#)],
    );
}

#[test]
fn a_changed_schema_is_logged_and_the_stream_goes_on() {
    let changed = r#"{"type":"SCHEMA","stream":"users","schema":{"type":"object","properties":{"id":{"type":"string"}}},"key_properties":[]}"#;
    let (outcome, messages) = publish(
        users()
            + &record("users", r#"{"id":1}"#)
            + changed
            + "\n"
            + &record("users", r#"{"id":"2"}"#)
            + &state("7"),
    );
    outcome
        .succeeds()
        .prints("7\n")
        .logs("Schema has changed for stream 'users'.");
    arrived(
        &outcome,
        &messages,
        &[("users", r#"{"id":1}"#), ("users", r#"{"id":"2"}"#)],
    );
}

#[test]
fn changed_key_properties_take_effect_exactly_where_they_stand() {
    // All of it is one block for the reader, and thousands of lines for the threads that parse it.
    let mut input = String::new();
    let mut expected = Vec::new();
    for round in 0..40 {
        let key = if round % 2 == 0 { "a" } else { "b" };
        input += &schema("users", &[key]);
        for id in 0..50 {
            let payload = format!(r#"{{"{key}":{round},"id":{id}}}"#);
            input += &record("users", &payload);
            expected.push(payload);
        }
    }
    let (outcome, messages) = publish(input.clone() + &state("7"));
    outcome
        .succeeds()
        .prints("7\n")
        .logs("Key properties have changed for stream 'users'.");
    let expected: Vec<(&str, &str)> = expected
        .iter()
        .map(|payload| ("users", payload.as_str()))
        .collect();
    arrived(&outcome, &messages, &expected);
    // And one record too late: the key of the round before.
    let line = input.lines().count() + 1;
    let (outcome, messages) = publish(input + &record("users", r#"{"a":1}"#));
    outcome
        .exits(1)
        .error(&[&format!("line {line}"), "stream users"]);
    arrived(&outcome, &messages, &expected);
}

#[test]
fn streams_are_independent() {
    let input = schema("a", &["x"])
        + &schema("b", &["y"])
        + &record("a", r#"{"x":1}"#)
        + &record("b", r#"{"y":1}"#)
        + &record("a", r#"{"x":2}"#);
    let (outcome, mut messages) = publish(input);
    outcome.succeeds();
    // Between streams there is no order.
    messages.sort_by(|a, b| a.subject.cmp(&b.subject));
    arrived(
        &outcome,
        &messages,
        &[
            ("a", r#"{"x":1}"#),
            ("a", r#"{"x":2}"#),
            ("b", r#"{"y":1}"#),
        ],
    );
}

#[test]
fn activate_version_is_warned_of_and_ignored() {
    let activate = r#"{"type":"ACTIVATE_VERSION","stream":"users","version":1}"#;
    let (outcome, messages) = publish(users() + activate + "\n" + &record("users", "{}"));
    outcome
        .succeeds()
        .logs("target-nats.users")
        .logs("ACTIVATE_VERSION message received but not implemented by this target. Ignoring.")
        .logs("1 activate version messages).");
    arrived(&outcome, &messages, &[("users", "{}")]);
}

#[test]
fn activate_version_that_is_switched_off_is_warned_of_as_such() {
    let activate = r#"{"type":"ACTIVATE_VERSION","stream":"users","version":1}"#;
    let (outcome, _) = publish_with(
        |target| target.setting("process_activate_version_messages", false),
        users() + activate + "\n" + &record("users", "{}"),
    );
    outcome
        .succeeds()
        .logs("`ACTIVATE_VERSION` messages are not enabled for 'users'. Ignoring.")
        .does_not_log("not implemented by this target");
}

#[test]
fn the_last_line_of_the_log_counts_every_kind_of_message() {
    let activate = r#"{"type":"ACTIVATE_VERSION","stream":"users","version":1}"#;
    let input = users()
        + &record("users", "{}")
        + &record("users", "{}")
        + &state("1")
        + &state("2")
        + &state("3")
        + activate;
    let (outcome, _) = publish(input);
    outcome.succeeds().logs(
        "Reader 'target-nats' completed processing 7 lines of input (1 schemas, 2 records, 0 batch manifests, \
         3 state messages, 1 activate version messages).",
    );
}
