//! KV: one key per record, its value the newest record, and keys that every client can read.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{JetStream, NatsServer, Outcome, Target, record, schema, state};

/// A server, and its JetStream with a bucket `B` as every client makes one.
fn bucket(more: &Value) -> (NatsServer, JetStream) {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    let mut config = json!({
        "max_msgs_per_subject": 1, "discard": "new", "allow_rollup_hdrs": true, "deny_delete": true,
        "allow_direct": true, "max_age": 0,
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    jetstream.stream("KV_B", &["$KV.B.>"], config);
    (server, jetstream)
}

fn target(server: &NatsServer) -> Target {
    Target::new()
        .server(server)
        .setting("delivery", "kv")
        .setting("kv_bucket", "B")
}

/// Keys and values, as text.
#[track_caller]
fn entries(jetstream: &mut JetStream) -> BTreeMap<String, String> {
    let entries = jetstream.kv_entries("B");
    let text = |(key, message): (String, crate::harness::Stored)| (key, message.text().to_owned());
    entries.into_iter().map(text).collect()
}

/// What `=HH` stands for in one part of a key.
fn decode(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.as_bytes();
    while let [first, behind @ ..] = rest {
        if *first == b'=' {
            let hex = std::str::from_utf8(&behind[..2]).unwrap();
            bytes.push(u8::from_str_radix(hex, 16).unwrap());
            rest = &behind[2..];
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Whether every client reads such a key.
fn is_legal(key: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-/_=.".contains(c);
    key.chars().all(legal) && key.split('.').all(|part| !part.is_empty()) && !key.starts_with("_kv")
}

#[test]
fn a_record_is_the_value_of_its_key_and_a_later_one_replaces_it() {
    let (server, mut jetstream) = bucket(&json!({}));
    let input = schema("users", &["id"])
        + &record("users", r#"{"id":1,"name":"a"}"#)
        + &record("users", r#"{"id":2,"name":"b"}"#)
        + &record("users", r#"{"id":1,"name":"c"}"#)
        + &state("1");
    let outcome = target(&server).input(input).run();
    outcome
        .succeeds()
        .prints("1\n")
        .logs_once(&[" | INFO ", "users", "B"]);
    let expected = [
        ("users.1", r#"{"id":1,"name":"c"}"#),
        ("users.2", r#"{"id":2,"name":"b"}"#),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(entries(&mut jetstream), expected.into());
    assert_eq!(
        jetstream.kv_get("B", "users.2").as_deref(),
        Some(&br#"{"id":2,"name":"b"}"#[..])
    );
}

#[test]
fn a_bucket_with_a_history_keeps_the_values_before() {
    let (server, mut jetstream) = bucket(&json!({"max_msgs_per_subject": 3}));
    let mut input = schema("users", &["id"]);
    for round in 1..=5 {
        input += &record("users", &format!(r#"{{"id":1,"round":{round}}}"#));
    }
    target(&server).input(input).run().succeeds();
    let messages = jetstream.messages("KV_B");
    let texts: Vec<&str> = messages.iter().map(|message| message.text()).collect();
    assert_eq!(
        texts,
        [
            r#"{"id":1,"round":3}"#,
            r#"{"id":1,"round":4}"#,
            r#"{"id":1,"round":5}"#
        ]
    );
}

#[test]
fn keys_of_several_properties_and_odd_text_are_legal_distinct_and_reversible() {
    let (server, mut jetstream) = bucket(&json!({}));
    let odd = [
        "plain", "a.b", "a b", "a*", ">", "é", "a=b", "=20", " ", "a/b", "a:b", "a|b", ".", "..",
        "_kv", "$x", "tab\\t", "Z-_", "日本",
    ];
    let mut input = schema("odd one", &["x", "y"]);
    let mut wanted = BTreeMap::new();
    for x in odd {
        for y in ["1", "a.b", "é "] {
            let text = format!(r#"{{"x":"{x}","y":"{y}"}}"#);
            input += &record("odd one", &text);
            let x = x.replace("\\t", "\t");
            wanted.insert(vec!["odd one".to_owned(), x, y.to_owned()], text);
        }
    }
    let outcome = target(&server).input(input + &state("1")).run();
    outcome.succeeds().prints("1\n");
    let mut got = BTreeMap::new();
    for (key, text) in entries(&mut jetstream) {
        outcome.check(is_legal(&key), &format!("{key:?} is a legal key"));
        let parts: Vec<String> = key.split('.').map(decode).collect();
        outcome.check(
            jetstream.kv_get("B", &key).as_deref() == Some(text.as_bytes()),
            &format!("{key:?} can be read"),
        );
        got.insert(parts, text);
    }
    outcome.check(
        got == wanted,
        &format!("every key stands for its record: {got:#?}"),
    );
}

#[test]
fn numbers_and_booleans_are_keys_by_their_text() {
    let (server, mut jetstream) = bucket(&json!({}));
    let input = schema("n", &["id"])
        + &record("n", r#"{"id":12345678901234567890}"#)
        + &record("n", r#"{"id":-1}"#)
        + &record("n", r#"{"id":true}"#)
        + &record("n", r#"{"id":1.50}"#);
    target(&server).input(input).run().succeeds();
    let keys: Vec<String> = entries(&mut jetstream).into_keys().collect();
    let parts: Vec<String> = keys
        .iter()
        .map(|key| key.split('.').skip(1).map(decode).collect())
        .collect();
    let mut expected = vec!["12345678901234567890", "-1", "true", "1.50"];
    expected.sort_unstable();
    let mut sorted = parts.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected, "{keys:?}");
}

#[test]
fn an_own_template_makes_the_key() {
    let (server, mut jetstream) = bucket(&json!({}));
    let input = schema("users", &["id"]) + &record("users", r#"{"id":1,"country":"ch"}"#);
    target(&server)
        .setting("kv_key", "people.{record.country}.{key}")
        .input(input)
        .run()
        .succeeds();
    let keys: Vec<String> = entries(&mut jetstream).into_keys().collect();
    assert_eq!(keys, ["people.ch.1"]);
}

#[track_caller]
fn bad_record(server: &NatsServer, record_text: &str) -> Outcome {
    let input = schema("users", &["id", "part"])
        + &record("users", r#"{"id":1,"part":1}"#)
        + &state("1")
        + &record("users", record_text)
        + &state("2");
    target(server).input(input).run()
}

#[test]
fn a_record_without_a_key_property_is_a_bad_record() {
    for (text, field) in [
        (r#"{"id":2}"#, "part"),
        (r#"{"part":2}"#, "id"),
        (r#"{"id":2,"part":null}"#, "part"),
        (r#"{"id":2,"part":{"a":1}}"#, "part"),
    ] {
        let (server, mut jetstream) = bucket(&json!({}));
        let outcome = bad_record(&server, text);
        outcome
            .exits(1)
            .prints("1\n")
            .error(&["line 4", "stream users", field]);
        assert_eq!(jetstream.count("KV_B"), 1);
    }
}

#[test]
fn a_record_without_a_key_property_is_skipped_where_that_is_asked_for() {
    let (server, mut jetstream) = bucket(&json!({}));
    let input = schema("users", &["id"])
        + &record("users", r#"{"id":1}"#)
        + &record("users", r#"{"name":"x"}"#)
        + &record("users", r#"{"id":3}"#)
        + &state("1");
    let outcome = target(&server)
        .setting("on_invalid_record", "skip")
        .input(input)
        .run();
    outcome.succeeds().prints("1\n").logs(" | WARNING ");
    let keys: Vec<String> = entries(&mut jetstream).into_keys().collect();
    assert_eq!(keys, ["users.1", "users.3"]);
}

#[test]
fn a_stream_without_key_properties_cannot_go_into_a_bucket() {
    let (server, mut jetstream) = bucket(&json!({}));
    let input = schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1");
    let outcome = target(&server).input(input).run();
    outcome.prints("").error(&["users", "key"]);
    outcome.check(!outcome.status.success(), "it fails");
    assert_eq!(jetstream.count("KV_B"), 0);
}

#[test]
fn a_deleted_record_leaves_a_marker_where_that_is_asked_for() {
    let deleted = r#"{"id":1,"_sdc_deleted_at":"2026-01-01T00:00:00Z"}"#;
    let input = schema("users", &["id"])
        + &record("users", r#"{"id":1}"#)
        + &record("users", r#"{"id":2,"_sdc_deleted_at":null}"#)
        + &record("users", deleted);
    let (server, mut jetstream) = bucket(&json!({}));
    target(&server)
        .setting("kv_deletes", true)
        .input(input.clone())
        .run()
        .succeeds();
    let all = jetstream.kv_entries("B");
    let marker = &all["users.1"];
    assert_eq!(
        (marker.text(), marker.header("KV-Operation")),
        ("", Some("DEL"))
    );
    let live = &all["users.2"];
    assert_eq!(live.header("KV-Operation"), None);
    assert_eq!(live.text(), r#"{"id":2,"_sdc_deleted_at":null}"#);

    let (server, mut jetstream) = bucket(&json!({}));
    target(&server).input(input).run().succeeds();
    assert_eq!(entries(&mut jetstream)["users.1"], deleted);
}

#[test]
fn a_bucket_that_is_missing_is_an_error_with_its_name() {
    let server = NatsServer::with_jetstream();
    let input = schema("users", &["id"]) + &record("users", r#"{"id":1}"#) + &state("1");
    let outcome = target(&server).input(input).run();
    outcome.exits(1).prints("").error(&["B", "kv_create"]);
}

#[test]
fn a_missing_bucket_is_made_as_it_was_asked_for() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    let input = schema("users", &["id"])
        + &record("users", r#"{"id":1,"n":1}"#)
        + &record("users", r#"{"id":1,"n":2}"#)
        + &state("1");
    let outcome = target(&server)
        .setting(
            "kv_create",
            json!({"history": 5, "ttl": "1h", "storage": "memory"}),
        )
        .input(input)
        .run();
    outcome.succeeds().prints("1\n");
    let config = jetstream.info("KV_B")["config"].take();
    for (field, value) in [
        ("subjects", json!(["$KV.B.>"])),
        ("max_msgs_per_subject", json!(5)),
        ("max_age", json!(3_600_000_000_000_u64)),
        ("storage", json!("memory")),
        ("discard", json!("new")),
        ("allow_rollup_hdrs", json!(true)),
        ("deny_delete", json!(true)),
        ("allow_direct", json!(true)),
    ] {
        outcome.check(
            config[field] == value,
            &format!("{field} is {value}: {config}"),
        );
    }
    assert_eq!(jetstream.count("KV_B"), 2);
}

#[test]
fn a_missing_bucket_is_made_with_sensible_defaults() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    let input = schema("users", &["id"]) + &record("users", r#"{"id":1}"#) + &state("1");
    let outcome = target(&server)
        .setting("kv_create", json!({}))
        .input(input)
        .run();
    outcome.succeeds().prints("1\n");
    let config = jetstream.info("KV_B")["config"].take();
    assert_eq!(config["max_msgs_per_subject"], 1);
    assert_eq!(config["storage"], "file");
    assert_eq!(
        jetstream.kv_get("B", "users.1").as_deref(),
        Some(&br#"{"id":1}"#[..])
    );
}

#[test]
fn a_bucket_that_exists_is_not_changed_and_differences_are_one_warning() {
    let (server, mut jetstream) = bucket(&json!({}));
    let before = jetstream.info("KV_B")["config"].take();
    let input = schema("users", &["id"]) + &record("users", r#"{"id":1}"#) + &state("1");
    let outcome = target(&server)
        .setting("kv_create", json!({"history": 7, "storage": "memory"}))
        .input(input)
        .run();
    outcome
        .succeeds()
        .prints("1\n")
        .logs_once(&[" | WARNING ", "B", "history", "storage"]);
    assert_eq!(jetstream.info("KV_B")["config"], before);
}

#[test]
fn a_full_bucket_ends_the_run_as_unavailable_with_the_last_good_state() {
    let (server, mut jetstream) = bucket(&json!({"max_bytes": 500}));
    let mut input = schema("users", &["id"]);
    for id in 1..=50 {
        input += &record("users", &format!(r#"{{"id":{id}}}"#));
        input += &state(&format!(r#"{{"id":{id}}}"#));
    }
    let outcome = target(&server)
        .setting("confirm_timeout_seconds", 3)
        .input(input)
        .run();
    outcome.exits(75).error(&["B"]);
    let stored = jetstream.count("KV_B");
    outcome.prints_last(&format!(r#"{{"id": {stored}}}"#));
}
