//! Records and schemas that do not fit Avro: where they are told of, what becomes of them, and that nothing else is
//! lost by them.

use serde_json::json;

use crate::avro::{ADA, ADA_AVRO, TOLD, avro, run};
use crate::harness::{
    JetStream, NatsServer, Registry, Subscriber, Target, Version, framed, record, schema_as, state,
};
use crate::invalid_records::{DEAD, headers};

/// Records that do not fit: what is said of each, and of which field.
const MISFITS: &[(&str, &str, &str)] = &[
    (
        r#"{ "id" : "hidden-word" }"#,
        "a value that is not an integer of 64 bits",
        "id",
    ),
    (
        r#"{"name":"hidden-word"}"#,
        "the record lacks a field that is required and not nullable",
        "id",
    ),
    (
        r#"{"id":null,"name":"hidden-word"}"#,
        "null in a field that is not nullable",
        "id",
    ),
    (
        r#"{"id":1,"price":1.201,"name":"hidden-word"}"#,
        "a decimal with more digits behind the point than its scale has",
        "price",
    ),
    (
        r#"{"seen_at":"hidden-word","id":1}"#,
        "a value that is not a date-time",
        "seen_at",
    ),
    (
        r#"{"id":1,"new":{"x":"hidden-word"}}"#,
        "the schema does not declare the field, so Avro has no place for it",
        "new",
    ),
];

/// The same good record before and behind a bad one, and a STATE behind each.
fn input(bad: &str) -> String {
    let good = record("users", ADA);
    schema_as("users", TOLD) + &good + &state("1") + &record("users", bad) + &good + &state("2")
}

fn policy(target: Target, policy: &str) -> Target {
    let target = target.setting("on_invalid_record", policy);
    match policy {
        "dead_letter" => target.setting("dead_letter_subject", DEAD),
        _ => target,
    }
}

#[test]
fn a_record_that_does_not_fit_ends_the_run_with_its_field() {
    let registry = Registry::shared(Version::V3_3);
    for (bad, what, field) in MISFITS {
        let (outcome, messages) = run(registry, "avro misfits", |target| target, input(bad));
        outcome
            .exits(1)
            .prints("1\n")
            .error(&[&format!("{what} (line 4, stream users, field {field})")])
            .does_not_log("hidden-word");
        assert_eq!(messages.len(), 1);
    }
}

#[test]
fn a_record_that_does_not_fit_may_be_left_out() {
    let registry = Registry::shared(Version::V3_3);
    for (bad, what, field) in MISFITS {
        let skip = |target| policy(target, "skip");
        let (outcome, messages) = run(registry, "avro misfits", skip, input(bad));
        let named = format!("(line 4) is skipped: {what} (stream users, field {field})");
        outcome
            .succeeds()
            .prints_last("2")
            .logs_once(&[&named])
            .does_not_log("hidden-word");
        let id = registry.versions("avro misfits", "users")[0].content_id;
        assert_eq!(messages.len(), 2);
        assert!(messages.iter().all(|m| m.payload == framed(id, ADA_AVRO)));
    }
}

#[test]
fn the_dead_letter_of_a_record_that_does_not_fit_is_the_record_as_it_was_received() {
    let registry = Registry::shared(Version::V3_3);
    for (bad, what, field) in MISFITS {
        let dead_letters = |target| policy(target, "dead_letter");
        let (outcome, messages) = run(registry, "avro misfits", dead_letters, input(bad));
        outcome
            .succeeds()
            .prints_last("2")
            .does_not_log("hidden-word");
        assert_eq!(messages.len(), 3);
        let letters: Vec<_> = messages.iter().filter(|m| m.subject == DEAD).collect();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].text(), *bad);
        let expected = json!({
            "Target-Nats-Stream": "users", "Target-Nats-Line": "4",
            "Target-Nats-Reason": format!("{what} (stream users, field {field})"),
        });
        assert_eq!(headers(letters[0]), expected);
    }
}

#[test]
fn rows_of_a_batch_are_encoded_and_told_of_by_their_number() {
    let registry = Registry::shared(Version::V3_3);
    let group = "avro batch";
    let rows = format!("{ADA}\n{}\n{ADA}\n", r#"{ "id" : "hidden-word" }"#);
    for policy in ["fail", "skip", "dead_letter"] {
        let server = NatsServer::start();
        let mut subscriber = Subscriber::on(&server);
        let target = avro(Target::new().server(&server).registry(registry, group));
        let target = self::policy(target, policy).file("rows", &rows);
        let path = target.path("rows");
        let batch = json!({"type": "BATCH", "stream": "users", "encoding": {"format": "jsonl"}, "manifest": [path]});
        let input = schema_as("users", TOLD) + &format!("{batch}\n") + &state("1");
        let outcome = target.input(input).run();
        let messages = subscriber.messages();
        let id = registry.versions(group, "users")[0].content_id;
        let good = framed(id, ADA_AVRO);
        outcome.does_not_log("hidden-word");
        let payloads: Vec<&[u8]> = messages.iter().map(|m| &*m.payload).collect();
        let field = "stream users, field id";
        match policy {
            "fail" => {
                outcome
                    .exits(1)
                    .prints("")
                    .error(&["line 2", "row 2", &path, field]);
                assert_eq!(payloads, [&*good]);
            }
            "skip" => {
                outcome
                    .succeeds()
                    .prints("1\n")
                    .logs_once(&["line 2", "row 2", field]);
                assert_eq!(payloads, [&*good, &good]);
            }
            _ => {
                outcome.succeeds().prints("1\n");
                let letter = messages.iter().find(|m| m.subject == DEAD).unwrap();
                assert_eq!(letter.text(), r#"{ "id" : "hidden-word" }"#);
                assert_eq!(letter.header("Target-Nats-Row"), Some("2"));
                assert_eq!(messages.len(), 3);
            }
        }
    }
}

#[test]
fn a_schema_that_cannot_be_expressed_ends_the_run_with_its_field_and_is_not_registered() {
    let registry = Registry::shared(Version::V3_3);
    let group = "avro inexpressible";
    let cases = [
        (
            r#"{"properties":{"a":{"type":"object","properties":{"b":{"type":"strange"}}}}}"#,
            "field a.b",
        ),
        (
            r#"{"properties":{"a":{"items":{"$ref":"https://example.com/x"}}}}"#,
            "field a[]",
        ),
        (
            r##"{"properties":{"a":{"additionalProperties":{"$ref":"#/definitions/none"},"type":"object"}}}"##,
            "field a.*",
        ),
        (r#"{"properties":{"a":{"default":NaN}}}"#, "127 levels"),
        (r#"{"properties":{"a":{"type":["string",1]}}}"#, "field a"),
    ];
    for (told, place) in cases {
        let server = NatsServer::start();
        let mut subscriber = Subscriber::on(&server);
        let target = Target::new().server(&server).registry(registry, group);
        let mut run = avro(target).spawn();
        run.send(schema_as("users", TOLD) + &record("users", ADA) + &state("1"));
        run.wait_for_line("1");
        run.send(schema_as("odd", told) + &record("odd", r#"{"a":null}"#) + &state("2"));
        run.end_input();
        let outcome = run.wait();
        outcome
            .exits(1)
            .prints("1\n")
            .error(&["line 4", "stream odd", place]);
        assert_eq!(subscriber.messages().len(), 1);
        assert_eq!(registry.artifacts(group), ["users"]);
    }
}

#[test]
fn settings_that_avro_cannot_do_with_are_refused() {
    let registry = Registry::shared(Version::V3_3);
    for (key, value, part) in [
        ("schema_on_error", json!("warn"), "schema_on_error"),
        ("schema_draft", json!("draft-07"), "schema_draft"),
        ("schema_closed", json!(true), "schema_closed"),
        ("enable_schema_registry", json!(false), "payload_format"),
    ] {
        let with = |target: Target| target.setting(key, value);
        let (outcome, messages) = run(registry, "avro settings", with, input("{}"));
        outcome.exits(2).prints("").error(&[part, "payload_format"]);
        assert_eq!(messages, []);
    }
    assert_eq!(registry.artifacts("avro settings"), [""; 0]);
}

/// What counts is the message: numbers grow, long names and spaces are gone.
#[test]
fn the_size_that_a_server_takes_is_that_of_the_encoded_record() {
    const MOST: usize = 1000;
    let told = r#"{"type":"object","properties":{"numbers":{"type":"array","items":{"type":"number"}}},"required":["numbers"]}"#;
    let numbers = |count: usize| format!(r#"{{"numbers":[{}]}}"#, vec!["1"; count].join(","));
    let spaces = format!(r#"{{{} "numbers":[1]}}"#, " ".repeat(2 * MOST));
    let large = numbers(150);
    assert!(large.len() < MOST / 2);
    let registry = Registry::shared(Version::V3_3);
    let group = "avro sizes";
    let input = schema_as("users", told)
        + &record("users", &spaces)
        + &state("1")
        + &record("users", &large)
        + &record("users", &numbers(2))
        + &state("2");
    // A zero, the id, the number of items in two bytes, the items, and a zero.
    let bytes = 5 + 2 + 150 * 8 + 1;
    for policy in ["fail", "skip", "dead_letter"] {
        let server = NatsServer::with(&format!("max_payload: {MOST}\n"));
        let mut subscriber = Subscriber::on(&server);
        let target = Target::new().server(&server).registry(registry, group);
        let outcome = self::policy(avro(target), policy)
            .setting("schema_headers", false)
            .input(input.clone())
            .run();
        let id = registry.versions(group, "users")[0].content_id;
        let one = 1f64.to_le_bytes();
        let first = framed(id, &[&[2][..], &one, &[0]].concat());
        let last = framed(id, &[&[4][..], &one, &one, &[0]].concat());
        let messages = subscriber.messages();
        let payloads: Vec<&[u8]> = messages.iter().map(|m| &*m.payload).collect();
        let what =
            format!("a record makes a message of {bytes} bytes, and the server takes {MOST}");
        match policy {
            "fail" => {
                outcome.exits(1).prints("1\n").error(&[
                    &what,
                    "max_payload",
                    "line 4, stream users",
                ]);
                assert_eq!(payloads, [&*first]);
            }
            "skip" => {
                outcome.succeeds().prints_last("2").logs_once(&[&what]);
                assert_eq!(payloads, [&*first, &last]);
            }
            _ => {
                outcome.succeeds().prints_last("2").logs_once(&[&what]);
                assert_eq!(payloads, [&*first, large.as_bytes(), &last]);
            }
        }
    }
}

/// A stream's own limit, which only the stream tells of where its configuration may not be asked for.
#[test]
fn the_dead_letter_of_what_a_stream_refuses_is_the_record_too() {
    let users = r#"authorization: {users: [
        {user: admin, password: admin}
        {user: a, password: a, permissions: {publish: {deny: ["$JS.API.STREAM.INFO.>"]}}}
    ]}"#;
    let told =
        r#"{"type":"object","properties":{"numbers":{"type":"array","items":{"type":"number"}}}}"#;
    let large = format!(r#"{{"numbers":[{}]}}"#, ["1"; 100].join(","));
    let registry = Registry::shared(Version::V3_3);
    for user in ["admin", "a"] {
        let server = NatsServer::with_jetstream_and(users);
        let mut jetstream = JetStream::with_login(&server, r#""user":"admin","pass":"admin""#);
        jetstream.create(&json!({"name": "ROWS", "subjects": ["users"], "max_msg_size": 500}));
        jetstream.create(&json!({"name": "DEAD", "subjects": [DEAD]}));
        let target = Target::new().registry(registry, "avro refused").setting(
            "nats_url",
            format!("nats://{user}:{user}@{}", server.address()),
        );
        let outcome = policy(avro(target), "dead_letter")
            .input(
                schema_as("users", told)
                    + &record("users", &large)
                    + &record("users", r#"{"numbers":[1]}"#)
                    + &state("1"),
            )
            .run();
        outcome.succeeds().prints("1\n");
        let letters = jetstream.messages("DEAD");
        assert_eq!((letters.len(), letters[0].text()), (1, &*large));
        assert_eq!(letters[0].header("Target-Nats-Line"), Some("2"));
        let id = registry.versions("avro refused", "users")[0].content_id;
        let payload = framed(id, &[&[2, 2][..], &1f64.to_le_bytes(), &[0]].concat());
        let rows = jetstream.messages("ROWS");
        assert_eq!((rows.len(), &rows[0].payload), (1, &payload));
    }
}
