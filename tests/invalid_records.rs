//! `on_invalid_record`: records that cannot be published as they are end the run, are left out, or are told
//! of by a dead letter, which is waited for like any message.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use target_nats::{Settings, Target as LibraryTarget};

use crate::harness::{
    Message, NatsServer, Outcome, Random, Subscriber, Target, arrived, publish_with, record,
    schema, state,
};

const DEAD: &str = "dead.letters";

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
fn input(bad: &str) -> String {
    let good = || record("users", r#"{"id":7,"to":"a"}"#);
    schema("users", &["id"]) + &good() + &state("1") + &record("users", bad) + &good() + &state("2")
}

fn run(settings: &Value, more: &Value, input: impl Into<Vec<u8>>) -> (Outcome, Vec<Message>) {
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

fn dead_letters() -> Value {
    json!({"on_invalid_record": "dead_letter", "dead_letter_subject": DEAD})
}

/// The headers of a message, as an object.
fn headers(message: &Message) -> Value {
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
fn a_record_that_only_its_own_headers_make_too_large_goes_into_its_dead_letter() {
    let payload = format!(r#"{{"id":"{}"}}"#, "x".repeat((1 << 20) - 2000));
    let settings = json!({"headers": {"Long": "y".repeat(4000)}});
    let (outcome, messages) = run(&settings, &dead_letters(), input(&payload));
    outcome.succeeds().prints_last("2");
    assert_eq!(
        (messages[1].subject.as_str(), messages[1].text()),
        (DEAD, &*payload)
    );
}

#[test]
fn a_record_that_has_room_in_no_dead_letter_at_all_ends_the_run() {
    let server = NatsServer::with("max_payload: 100\n");
    let mut subscriber = Subscriber::on(&server);
    let outcome = Target::new()
        .server(&server)
        .setting("on_invalid_record", "dead_letter")
        .setting("dead_letter_subject", DEAD)
        .input(input(&format!(r#"{{"id":"{}"}}"#, "x".repeat(100))))
        .run();
    outcome
        .exits(1)
        .prints("1\n")
        .error(&["line 4", "stream users", "dead letter", "max_payload"]);
    assert_eq!(subscriber.messages().len(), 1);
}

#[test]
fn a_state_waits_for_the_dead_letter_before_it() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let mut run = Target::new()
        .server(&server)
        .setting("on_invalid_record", "dead_letter")
        .setting("dead_letter_subject", DEAD)
        .setting("confirm_timeout_seconds", 2)
        .spawn();
    let bad = || record("users", r#"{"x":1}"#);
    run.send(schema("users", &["id"]) + &bad() + &state("1"));
    run.wait_for_line("1");
    assert_eq!(subscriber.messages().len(), 1);
    server.stop();
    run.send(bad() + &state("2"));
    let outcome = run.wait();
    server.cont();
    outcome.exits(75).prints("1\n").error(&[]);
}

#[test]
fn a_dead_letter_is_sent_again_after_a_break() {
    let server = NatsServer::start();
    let mut run = Target::new()
        .server(&server)
        .setting("on_invalid_record", "dead_letter")
        .setting("dead_letter_subject", DEAD)
        .spawn();
    let bad = |n: u32| record("users", &format!(r#"{{"x":{n}}}"#));
    run.send(schema("users", &["id"]) + &bad(1) + &state("1"));
    run.wait_for_line("1");
    server.stop();
    run.send(bad(2) + &state("2"));
    run.wait_for_log("is published as a dead letter: Record is missing one or more key_properties");
    server.kill();
    server.start_again();
    run.wait_for_line("2");
    run.end_input();
    run.wait().succeeds().prints("1\n2\n");
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
fn the_line_of_a_dead_letter_is_right_wherever_blocks_end() {
    // Long lines and short ones: blocks of half a megabyte end anywhere.
    let mut input = schema("users", &["id"]);
    let mut expected = Vec::new();
    for n in 0..2_000_u32 {
        let text = "x".repeat((n as usize * 7919) % 3000);
        if n % 17 == 0 {
            expected.push((n + 2).to_string());
            input += &record("users", &format!(r#"{{"x":"{text}"}}"#));
        } else {
            input += &record("users", &format!(r#"{{"id":{n},"x":"{text}"}}"#));
        }
    }
    let (outcome, messages) = run(&json!({}), &dead_letters(), input);
    outcome.succeeds();
    assert_eq!(messages.len(), 2_000);
    let lines: Vec<String> = messages
        .iter()
        .filter(|message| message.subject == DEAD)
        .map(|message| {
            headers(message)["Target-Nats-Line"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn of_any_mixture_every_record_arrives_once_and_where_it_belongs() {
    let mut random = Random::new("mixtures of records");
    for _ in 0..3 {
        let streams = ["a", "b", "c"];
        let mut input: String = streams.iter().map(|name| schema(name, &["id"])).collect();
        // What is to arrive of each stream, in order: subject, payload, and the line where it is a letter.
        let mut expected: [Vec<(String, String, Option<String>)>; 3] = Default::default();
        let mut lines = streams.len();
        for n in 0..3_000 {
            let stream = random.within(0..3);
            let text = "x".repeat(random.within(0..400));
            let kind = random.within(0..12);
            let payload = match kind {
                0 => format!(r#"{{"to":"t","x":"{n}{text}"}}"#),
                1 => format!(r#"{{"id":{n},"x":"{text}"}}"#),
                2 => format!(r#"{{"id":{n},"to":".","x":"{text}"}}"#),
                _ => format!(r#"{{"id":{n},"to":"t","x":"{text}"}}"#),
            };
            lines += 1;
            input += &record(streams[stream], &payload);
            if kind < 3 {
                expected[stream].push((DEAD.to_owned(), payload, Some(lines.to_string())));
            } else {
                expected[stream].push((format!("{}.t", streams[stream]), payload, None));
            }
            if random.once_in(5) {
                lines += 1;
                input += &state(&lines.to_string());
            }
        }
        input += &state("\"end\"");
        let settings = json!({"subject": "{stream}.{record.to}"});
        let (outcome, messages) = run(&settings, &dead_letters(), input);
        outcome.succeeds().prints_last("\"end\"");
        for (stream, expected) in std::iter::zip(streams, expected) {
            let arrived: Vec<_> = messages
                .iter()
                .map(|message| (message, headers(message)))
                .filter(|(message, headers)| {
                    message.subject == format!("{stream}.t")
                        || headers["Target-Nats-Stream"] == stream
                })
                .map(|(message, headers)| {
                    let line = headers["Target-Nats-Line"].as_str().map(str::to_owned);
                    (message.subject.clone(), message.text().to_owned(), line)
                })
                .collect();
            outcome.check(arrived == expected, "every record arrives once, in order");
        }
    }
}

#[test]
fn rows_of_batch_files_follow_the_same_rules() {
    let rows =
        "{\"id\":1,\"to\":\"a\"}\n{\"id\":2,\"to\":\"a.b\"}\n{\"id\":3}\n{\"id\":4,\"to\":\"b\"}\n";
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(rows.as_bytes()).unwrap();
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let target = Target::new()
        .server(&server)
        .setting("subject", "{record.to}")
        .setting("on_invalid_record", "dead_letter")
        .setting("dead_letter_subject", DEAD)
        .file("rows.gz", gzip.finish().unwrap());
    let path = target.path("rows.gz");
    let batch = json!({
        "type": "BATCH", "stream": "users", "manifest": [path],
        "encoding": {"format": "jsonl", "compression": "gzip"},
    });
    let input = schema("users", &["id"]) + &format!("{batch}\n") + &state("1");
    let outcome = target.input(input).run();
    outcome.succeeds().prints("1\n").logs(&format!(
        "An invalid record (line 2, row 2 of the BATCH file {path}) is published"
    ));
    let messages = subscriber.messages();
    let subjects: Vec<_> = messages.iter().map(|m| m.subject.as_str()).collect();
    assert_eq!(subjects, ["a", DEAD, DEAD, "b"]);
    assert_eq!(messages[1].text(), r#"{"id":2,"to":"a.b"}"#);
    assert_eq!(
        headers(&messages[2]),
        json!({
            "Target-Nats-Stream": "users",
            "Target-Nats-Line": "2",
            "Target-Nats-Row": "3",
            "Target-Nats-File": path,
            "Target-Nats-Reason": "a template's field is not in the record (stream users, field record.to)",
        })
    );
}

#[test]
fn a_streams_name_cannot_leave_its_header() {
    let name = "users\r\nEvil: 1";
    let input = schema(name, &["id"]) + &record(name, r#"{"id":1}"#) + &state("1");
    let (outcome, messages) = run(&json!({}), &dead_letters(), input);
    outcome.succeeds().prints("1\n");
    let headers = headers(&messages[0]);
    assert_eq!(headers["Target-Nats-Stream"], r"users\r\nEvil: 1");
    assert_eq!(
        headers["Target-Nats-Reason"],
        r"the subject holds white space (stream users\r\nEvil: 1, field subject)"
    );
    assert_eq!(headers.as_object().unwrap().len(), 3);
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

#[test]
fn a_dry_run_shows_dead_letters() {
    let outcome = Target::new()
        .args(["--dry-run"])
        .setting("on_invalid_record", "dead_letter")
        .setting("dead_letter_subject", DEAD)
        .input(schema("users", &["id"]) + &record("users", r#"{"x":1}"#))
        .run();
    outcome.succeeds().prints(concat!(
        "dead.letters\t",
        r#"{"Target-Nats-Stream":"users","Target-Nats-Line":"2","Target-Nats-Reason":"Record is missing one or more key_properties (stream users, field id)"}"#,
        "\t{\"x\":1}\n"
    ));
}
