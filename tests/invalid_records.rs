//! `on_invalid_record`: records that cannot be published as they are end the run, are left out, or are told
//! of by a dead letter, which is waited for like any message.

use serde_json::{Value, json};
use target_nats::{Settings, Target as LibraryTarget};

use crate::harness::{
    Message, NatsServer, Outcome, Target, arrived, publish_with, record, schema, state,
};

pub const DEAD: &str = "dead.letters";

/// A cause: the settings that it needs, the record, and what the reason holds.
struct Cause {
    settings: Value,
    record: String,
    reason: &'static str,
}

fn causes() -> Vec<Cause> {
    let cause = |settings: Value, record: &str, reason| Cause {
        settings,
        record: record.to_owned(),
        reason,
    };
    vec![
        cause(
            json!({}),
            r#"{"x":"hidden-word"}"#,
            "Record is missing one or more key_properties (stream users, field id)",
        ),
        cause(
            json!({"subject": "{stream}.{record.to}"}),
            r#"{ "id":1, "to":"hidden-word." }"#,
            "the subject holds a dot, which would begin another token (stream users, field record.to)",
        ),
        cause(
            json!({"subject": "{stream}.{record.to}"}),
            r#"{"id":1,"x":"hidden-word"}"#,
            "a template's field is not in the record (stream users, field record.to)",
        ),
        cause(
            json!({"headers": {"To": "{record.to}"}}),
            r#"{"id":1,"to":"hidden-word\n"}"#,
            "a header's value holds a control character (stream users, field headers.To)",
        ),
    ]
}

/// The same good record before and behind a bad one, and a STATE behind each.
pub fn input(bad: &str) -> String {
    let good = || record("users", r#"{"id":7,"to":"a"}"#);
    schema("users", &["id"]) + &good() + &state("1") + &record("users", bad) + &good() + &state("2")
}

pub fn run(settings: &Value, more: &Value, input: impl Into<Vec<u8>>) -> (Outcome, Vec<Message>) {
    publish_with(
        |target| {
            let all = [settings, more];
            let all = all.into_iter().filter_map(Value::as_object).flatten();
            all.fold(target, |target, (key, value)| {
                target.setting(key, value.clone())
            })
        },
        input,
    )
}

pub fn dead_letters() -> Value {
    json!({"on_invalid_record": "dead_letter", "dead_letter_subject": DEAD})
}

/// The headers of a message, as an object.
pub fn headers(message: &Message) -> Value {
    let block = message.headers.as_deref().unwrap_or_default();
    let lines = block.split("\r\n").skip(1).filter(|line| !line.is_empty());
    let pairs = lines.map(|line| line.split_once(':').unwrap());
    Value::Object(
        pairs
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect(),
    )
}

#[test]
fn a_record_that_cannot_be_published_ends_the_run_unless_told_otherwise() {
    for cause in causes() {
        for more in [json!({}), json!({"on_invalid_record": "fail"})] {
            let (outcome, messages) = run(&cause.settings, &more, input(&cause.record));
            let reason = cause.reason.replace("(stream", "(line 4, stream");
            outcome
                .exits(1)
                .prints("1\n")
                .error(&[&reason])
                .does_not_log("hidden-word");
            assert_eq!(messages.len(), 1);
        }
    }
}

#[test]
fn a_record_that_cannot_be_published_may_be_left_out() {
    for cause in causes() {
        let more = json!({"on_invalid_record": "skip"});
        let (outcome, messages) = run(&cause.settings, &more, input(&cause.record));
        let named = format!("An invalid record (line 4) is skipped: {}\n", cause.reason);
        outcome
            .succeeds()
            .prints_last("2")
            .logs(&named)
            .logs("1 invalid records of stream 'users' were skipped.")
            .does_not_log("hidden-word");
        assert_eq!(messages.len(), 2);
        assert!(messages.iter().all(|m| m.text() == r#"{"id":7,"to":"a"}"#));
    }
}

#[test]
fn a_record_that_cannot_be_published_may_become_a_dead_letter() {
    for cause in causes() {
        let (outcome, messages) = run(&cause.settings, &dead_letters(), input(&cause.record));
        let named = format!(
            "An invalid record (line 4) is published as a dead letter: {}\n",
            cause.reason
        );
        outcome
            .succeeds()
            .prints_last("2")
            .logs(&named)
            .logs("1 invalid records of stream 'users' became dead letters.")
            .does_not_log("hidden-word");
        assert_eq!(messages.len(), 3);
        let letter = &messages[1];
        assert_eq!(letter.subject, DEAD);
        // Byte for byte, spaces included.
        assert_eq!(letter.text(), cause.record);
        let expected = format!(
            "NATS/1.0\r\nTarget-Nats-Stream:users\r\nTarget-Nats-Line:4\r\nTarget-Nats-Reason:{}\r\n\r\n",
            cause.reason
        );
        assert_eq!(letter.headers.as_deref(), Some(&*expected));
    }
}

#[test]
fn a_record_that_is_too_large_may_be_left_out_or_told_of_without_its_payload() {
    let large = format!(r#"{{"id":"{}"}}"#, "x".repeat(1 << 20));
    let reason =
        "a record makes a message of 1048585 bytes, and the server takes 1048576 (max_payload)";
    assert_eq!(large.len(), 1_048_585);
    let (outcome, messages) = run(
        &json!({}),
        &json!({"on_invalid_record": "skip"}),
        input(&large),
    );
    outcome.succeeds().prints_last("2").logs(reason);
    assert_eq!(messages.len(), 2);

    let (outcome, messages) = run(&json!({}), &dead_letters(), input(&large));
    outcome.succeeds().prints_last("2").logs(reason);
    assert_eq!(messages.len(), 3);
    assert_eq!(
        (messages[1].subject.as_str(), messages[1].text()),
        (DEAD, "")
    );
    assert_eq!(
        headers(&messages[1]),
        json!({
            "Target-Nats-Stream": "users",
            "Target-Nats-Line": "4",
            "Target-Nats-Reason": format!("{reason} (stream users)"),
            "Target-Nats-Bytes": "1048585",
        })
    );
}

#[test]
fn a_state_passes_a_record_that_is_left_out_without_a_server() {
    // It needs none: what is left out is published nowhere.
    let outcome = Target::new()
        .setting("nats_url", "nats://127.0.0.1:1")
        .setting("on_invalid_record", "skip")
        .input(schema("users", &["id"]) + &record("users", "{}") + &state("1"))
        .run();
    outcome.succeeds().prints("1\n");
}

#[test]
fn only_the_first_few_are_named_and_all_are_counted() {
    let bad: String = (0..1000).map(|_| record("users", r#"{"x":1}"#)).collect();
    let others: String = (0..3).map(|_| record("orders", r#"{"x":1}"#)).collect();
    let input =
        schema("users", &["id"]) + &schema("orders", &["id"]) + &bad + &others + &state("9");
    for (more, done) in [
        (json!({"on_invalid_record": "skip"}), "were skipped"),
        (dead_letters(), "became dead letters"),
    ] {
        let (outcome, messages) = run(&json!({}), &more, input.as_str());
        outcome
            .succeeds()
            .prints_last("9")
            .logs("More invalid records of stream 'users' are counted and not named.")
            .does_not_log("stream 'orders' are counted")
            .logs(&format!("1000 invalid records of stream 'users' {done}."))
            .logs(&format!("3 invalid records of stream 'orders' {done}."));
        let named = outcome.stderr.matches("An invalid record (line ").count();
        assert_eq!(named, 5 + 3);
        let lines_of = |stream: &str| -> Vec<String> {
            let headers = messages.iter().map(headers);
            let headers = headers.filter(|headers| headers["Target-Nats-Stream"] == stream);
            headers
                .map(|headers| headers["Target-Nats-Line"].as_str().unwrap().to_owned())
                .collect()
        };
        let expected = |lines: std::ops::Range<u32>| -> Vec<String> {
            let is_letter = done != "were skipped";
            lines
                .filter(|_| is_letter)
                .map(|line| line.to_string())
                .collect()
        };
        assert_eq!(lines_of("users"), expected(3..1003));
        assert_eq!(lines_of("orders"), expected(1003..1006));
    }
}

#[test]
fn what_is_no_record_ends_the_run_all_the_same() {
    let line = |stream: &str, record: &str| {
        format!("{{\"type\":\"RECORD\",\"stream\":\"{stream}\",\"record\":{record}}}\n")
    };
    for (bad, part) in [
        ("nonsense\n".to_owned(), "JSON"),
        (line("users", "[1]"), "a record must be an object"),
        (line("orders", "{}"), "before a SCHEMA of its stream"),
    ] {
        for more in [json!({"on_invalid_record": "skip"}), dead_letters()] {
            let (outcome, messages) =
                run(&json!({}), &more, schema("users", &[]) + &bad + &state("1"));
            outcome.exits(1).prints("").error(&["line 2", part]);
            arrived(&outcome, &messages, &[]);
        }
    }
}

#[test]
fn a_stream_of_which_no_record_can_be_addressed_ends_the_run() {
    let settings = json!({"subject": "{stream}.{key}"});
    for more in [json!({"on_invalid_record": "skip"}), dead_letters()] {
        let input = schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1");
        let (outcome, messages) = run(&settings, &more, input);
        outcome.exits(1).prints("").error(&[
            "line 2",
            "stream users",
            "the stream has no key properties",
        ]);
        arrived(&outcome, &messages, &[]);
    }
}

#[test]
fn the_library_counts_what_was_not_published_as_it_was() {
    for (more, skipped, dead_lettered) in [
        (json!({"on_invalid_record": "skip"}), 2, 0),
        (dead_letters(), 0, 2),
    ] {
        let server = NatsServer::start();
        let mut settings = more;
        settings["nats_url"] = server.url().into();
        let settings = Settings::from_json(&settings.to_string()).unwrap();
        let target = LibraryTarget::start(settings, |_| {}).unwrap();
        let bad = record("users", "{}");
        let input = schema("users", &["id"]) + &bad + &record("users", r#"{"id":1}"#) + &bad;
        target.feed(input.as_bytes()).unwrap();
        let counts = target.finish().unwrap();
        assert_eq!(
            (counts.records, counts.published, counts.published_bytes),
            (3, 1, 8)
        );
        assert_eq!(
            (counts.skipped, counts.dead_lettered),
            (skipped, dead_lettered)
        );
    }
}

#[test]
fn settings_that_say_half_are_refused() {
    for (settings, part) in [
        (
            json!({"on_invalid_record": "dead_letter"}),
            "dead_letter_subject",
        ),
        (
            json!({"on_invalid_record": "dead_letter", "dead_letter_subject": "a b"}),
            "dead_letter_subject",
        ),
        (
            json!({"on_invalid_record": "dead_letter", "dead_letter_subject": "a.>"}),
            "dead_letter_subject",
        ),
        (json!({"on_invalid_record": "drop"}), "on_invalid_record"),
    ] {
        let outcome = Target::new()
            .args(["--dry-run"])
            .config(settings.to_string())
            .run();
        outcome.exits(2).error(&[part]);
    }
}
