//! Dead letters: what they say, where they stand among the records, and that a STATE waits for them.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::harness::{JetStream, NatsServer, Random, Subscriber, Target, record, schema, state};
use crate::invalid_records::{DEAD, dead_letters, headers, input, run};

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
fn a_dead_letter_that_only_its_message_id_makes_too_large_goes_without_its_record() {
    let most = 1000;
    let server = NatsServer::with_jetstream_and(&format!("max_payload: {most}\n"));
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("DEAD", &[DEAD], json!({}));
    // Sizes around the one at which a letter has no room for its record any more.
    let sizes = 550..=most;
    let payload = |size: usize| format!(r#"{{"x":"{}"}}"#, "x".repeat(size));
    let records = sizes.clone().map(|size| record("users", &payload(size)));
    for message_id in ["run", "content"] {
        let outcome = Target::new()
            .server(&server)
            .setting("on_invalid_record", "dead_letter")
            .setting("dead_letter_subject", DEAD)
            .setting("message_id", message_id)
            .input(schema("users", &["id"]) + &records.clone().collect::<String>() + &state("1"))
            .run();
        outcome.succeeds().prints("1\n");
        let letters = jetstream.messages("DEAD");
        assert_eq!(letters.len(), sizes.clone().count());
        let (mut with, mut without) = (0, 0);
        for letter in &letters {
            let line: usize = letter.header("Target-Nats-Line").unwrap().parse().unwrap();
            let payload = payload(sizes.start() + line - 2);
            match letter.header("Target-Nats-Bytes") {
                None => {
                    assert_eq!(letter.text(), payload);
                    with += 1;
                }
                Some(bytes) => {
                    assert_eq!((letter.text(), bytes), ("", &*payload.len().to_string()));
                    without += 1;
                }
            }
            assert!(
                letter
                    .header("Target-Nats-Reason")
                    .unwrap()
                    .contains("key_properties")
            );
        }
        assert!(with > 100 && without > 100, "{with} and {without}");
        jetstream.purge("DEAD");
    }
}

#[test]
fn a_dead_letter_that_its_stream_refuses_goes_without_its_record_and_ends_the_run_only_then() {
    // What a stream takes at most is not known where its configuration may not be asked for.
    let users = r#"authorization: {users: [
        {user: admin, password: admin}
        {user: a, password: a, permissions: {publish: {deny: ["$JS.API.STREAM.INFO.>"]}}}
    ]}"#;
    for config in ["", users] {
        for (most, is_taken) in [(300, true), (100, false)] {
            let server = NatsServer::with_jetstream_and(config);
            let mut jetstream = JetStream::with_login(&server, r#""user":"admin","pass":"admin""#);
            jetstream.create(&json!({"name": "DEAD", "subjects": [DEAD], "max_msg_size": most}));
            let bad = format!(r#"{{"x":"{}"}}"#, "x".repeat(400));
            let outcome = Target::new()
                .log_of(&server)
                .setting("nats_url", format!("nats://a:a@{}", server.address()))
                .setting("on_invalid_record", "dead_letter")
                .setting("dead_letter_subject", DEAD)
                .input(
                    schema("users", &["id"])
                        + &record("users", r#"{"id":1}"#)
                        + &state("1")
                        + &record("users", &bad)
                        + &state("2"),
                )
                .run();
            if is_taken {
                outcome.succeeds().prints_last("2");
                let letters = jetstream.messages("DEAD");
                assert_eq!(letters.len(), 1);
                assert_eq!(letters[0].text(), "");
                let bytes = bad.len().to_string();
                assert_eq!(letters[0].header("Target-Nats-Bytes"), Some(&*bytes));
            } else {
                outcome.exits(1).prints("1\n").error(&["line 4"]);
            }
        }
    }
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
fn ids_of_the_content_tell_dead_letters_apart_that_have_no_record_or_the_same() {
    let server = NatsServer::with_jetstream_and("max_payload: 1000\n");
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("DEAD", &[DEAD], json!({}));
    let large = |n: u32| {
        record(
            "users",
            &format!(r#"{{"id":{n},"x":"{}"}}"#, "x".repeat(1000)),
        )
    };
    let input = schema("users", &["id"])
        + &schema("orders", &["id"])
        + &large(1)
        + &large(2)
        + &record("users", r#"{"x":1}"#)
        + &record("orders", r#"{"x":1}"#)
        + &state("1");
    let outcome = Target::new()
        .server(&server)
        .setting("on_invalid_record", "dead_letter")
        .setting("dead_letter_subject", DEAD)
        .setting("message_id", "content")
        .input(input)
        .run();
    outcome.succeeds().prints("1\n");
    let letters = jetstream.messages("DEAD");
    let mut lines: Vec<_> = letters
        .iter()
        .map(|letter| letter.header("Target-Nats-Line").unwrap())
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, ["3", "4", "5", "6"]);
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
fn rows_of_batch_files_become_dead_letters_too() {
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
