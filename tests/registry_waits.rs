//! Streams whose schema is being registered: what waits for it, what does not, and what of it is confirmed when.
//!
//! The registry is a scripted one, since a real one is not slow when a test wants it to be.

use std::collections::HashMap;
use std::time::Duration;

use crate::harness::{
    Answer, Gate, Message, NatsServer, Outcome, Random, Request, ScriptedHttp, Subscriber, Target,
    record, schema, state,
};

/// The artifact that a registration is about.
fn artifact(request: &Request) -> String {
    request.json()["artifactId"].as_str().unwrap().to_owned()
}

/// A registry that keeps some artifacts waiting until the gate opens.
fn keeping(waiting: &'static [&'static str], gate: &Gate) -> ScriptedHttp {
    let gate = gate.clone();
    ScriptedHttp::judging(move |request| {
        let answer = Answer::registered(7, 5);
        if waiting.contains(&artifact(request).as_str()) {
            answer.behind(&gate)
        } else {
            answer
        }
    })
}

fn target(server: &NatsServer, registry: &ScriptedHttp) -> Target {
    Target::new()
        .server(server)
        .registry_at(&registry.url(), "default")
}

fn payloads(messages: &[Message], subject: &str) -> Vec<String> {
    let of_subject = messages.iter().filter(|message| message.subject == subject);
    of_subject
        .map(|message| message.text().to_owned())
        .collect()
}

fn id(number: usize) -> String {
    format!(r#"{{"id":{number}}}"#)
}

#[test]
fn a_slow_registry_holds_up_only_the_streams_that_wait_for_it() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let gate = Gate::new();
    let registry = keeping(&["slow"], &gate);
    let mut run = target(&server, &registry).spawn();
    run.send(
        schema("slow", &[])
            + &schema("fast", &[])
            + &record("fast", &id(1))
            + &state("1")
            + &record("slow", &id(2))
            + &state("2")
            + &record("fast", &id(3))
            + &state("3"),
    );
    subscriber.wait_for(2);
    // What is before the first held record is confirmed; what is behind it is not, however far the others are.
    run.wait_for_line("1");
    run.send(record("fast", &id(4)) + &record("slow", &id(5)) + &state("4"));
    subscriber.wait_for(3);
    assert_eq!(run.stdout(), "1\n");
    gate.open();
    run.wait_for_line("4");
    run.end_input();
    run.wait().succeeds();
    let messages = subscriber.messages();
    assert_eq!(payloads(&messages, "fast"), [id(1), id(3), id(4)]);
    assert_eq!(payloads(&messages, "slow"), [id(2), id(5)]);
    for message in &messages {
        assert_eq!(
            message.headers.as_deref(),
            Some("NATS/1.0\r\napicurio.value.contentId:5\r\napicurio.value.globalId:7\r\n\r\n")
        );
    }
}

#[test]
fn pings_are_answered_while_a_schema_waits() {
    let server = NatsServer::with("ping_interval: 1\nping_max: 1\n");
    let mut subscriber = Subscriber::on(&server);
    let gate = Gate::new();
    let registry = keeping(&["slow"], &gate);
    let mut run = target(&server, &registry).spawn();
    run.send(
        schema("slow", &[])
            + &schema("fast", &[])
            + &record("fast", &id(1))
            + &record("slow", &id(2)),
    );
    subscriber.wait_for(1);
    // A client that answers none is thrown out after two or three seconds.
    std::thread::sleep(Duration::from_secs(4));
    run.send(record("fast", &id(3)));
    subscriber.wait_for(2);
    gate.open();
    run.end_input();
    run.wait().succeeds().does_not_log("again");
    assert_eq!(subscriber.messages().len(), 3);
}

#[test]
fn a_stream_that_waits_behind_much_input_keeps_its_order_and_the_memory_stays_bounded() {
    const RECORDS: usize = 400_000;
    let server = NatsServer::start();
    let subscriber_counts = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&subscriber_counts);
    let subscriber = Subscriber::each(&server, move |message| {
        let number = message.text().split([':', ',']).nth(1).unwrap();
        seen.lock().unwrap().push(number.parse::<usize>().unwrap());
    });
    let gate = Gate::new();
    let registry = keeping(&["slow"], &gate);
    let mut run = target(&server, &registry)
        .generated(|input| {
            input.write_all(schema("slow", &[]).as_bytes())?;
            let padding = "x".repeat(100);
            for number in 0..RECORDS {
                let text = format!(r#"{{"id":{number},"p":"{padding}"}}"#);
                input.write_all(record("slow", &text).as_bytes())?;
            }
            input.write_all(state("1").as_bytes())
        })
        .start();
    registry.wait_for(1);
    // It reads until its memory is full, and no further.
    std::thread::sleep(Duration::from_secs(2));
    run.look_at_memory();
    assert!(subscriber.count() == 0 && !run.has_ended());
    gate.open();
    let outcome = run.wait();
    outcome.succeeds().prints("1\n");
    let peak = outcome.peak_memory_kib;
    outcome.check(
        peak < 80 * 1024,
        &format!("it takes less than 80 MiB, not {peak} KiB"),
    );
    subscriber.wait_for(RECORDS);
    let seen = subscriber_counts.lock().unwrap();
    assert!(seen.iter().copied().eq(0..RECORDS));
}

#[test]
fn a_schema_that_is_refused_ends_the_run_behind_what_was_published_before() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let registry = ScriptedHttp::judging(|request| match artifact(request).as_str() {
        "bad" => Answer::refusal(400, "RuleViolationException", "Incompatible artifact"),
        _ => Answer::registered(7, 5),
    });
    let mut run = target(&server, &registry).spawn();
    run.send(schema("good", &[]) + &record("good", &id(1)) + &state("1"));
    run.wait_for_line("1");
    run.send(
        record("good", &id(2))
            + &state("2")
            + &schema("bad", &[])
            + &record("bad", &id(3))
            + &state("3"),
    );
    run.wait_for_line("2");
    run.end_input();
    run.wait().exits(1).prints("1\n2\n").error(&[
        "line 6",
        "stream bad",
        "artifact 'bad'",
        "Incompatible artifact",
        "RuleViolationException",
    ]);
    assert_eq!(payloads(&subscriber.messages(), "good"), [id(1), id(2)]);
    assert_eq!(payloads(&subscriber.messages(), "bad"), [""; 0]);
}

#[test]
fn a_stream_without_records_is_registered_and_must_be() {
    let server = NatsServer::start();
    let registry = ScriptedHttp::answering([Answer::registered(1, 1)]);
    let outcome = target(&server, &registry).input(schema("users", &[])).run();
    outcome.succeeds();
    assert_eq!(registry.requests().len(), 1);
    registry.answer([Answer::status(403)]);
    let outcome = target(&server, &registry).input(schema("users", &[])).run();
    outcome.exits(1).error(&["stream users", "sr-developer"]);
}

#[test]
fn a_schema_is_asked_for_once_and_again_only_when_it_is_another() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let registry = ScriptedHttp::answering([
        Answer::registered(1, 11),
        Answer::registered(2, 12),
        Answer::registered(3, 13),
    ]);
    let first = schema("users", &[]);
    let second = first.replace("integer", "number");
    let reordered = first.replace(
        r#""type":"object","properties":{"id":{"type":"integer"}}"#,
        r#""properties": {"id":{"type":"integer"}}, "type":"object""#,
    );
    let keys = schema("users", &["id"]);
    let mut input = String::new();
    for (number, schema) in [&first, &first, &reordered, &second, &first, &keys, &second]
        .iter()
        .enumerate()
    {
        input += schema;
        input += &record("users", &id(number));
    }
    target(&server, &registry).input(input).run().succeeds();
    assert_eq!(registry.requests().len(), 2);
    let ids: Vec<String> = subscriber
        .messages()
        .iter()
        .map(|message| {
            let headers = message.headers.clone().unwrap();
            headers
                .lines()
                .nth(1)
                .unwrap()
                .split(':')
                .nth(1)
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(ids, ["11", "11", "11", "12", "11", "11", "12"]);
}

#[test]
fn several_streams_are_registered_at_the_same_time() {
    let server = NatsServer::start();
    let gate = Gate::new();
    let registry = keeping(&["a", "b", "c", "d"], &gate);
    let mut run = target(&server, &registry).spawn();
    let schemas: String = ["a", "b", "c", "d"]
        .map(|stream| schema(stream, &[]))
        .concat();
    run.send(schemas);
    // None was answered, so four are under way.
    registry.wait_for(4);
    gate.open();
    run.end_input();
    run.wait().succeeds();
}

#[test]
fn with_warn_a_stream_is_published_without_ids_and_it_is_said_once() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let registry = ScriptedHttp::judging(|request| match artifact(request).as_str() {
        "bad" => Answer::refusal(400, "RuleViolationException", "no"),
        _ => Answer::registered(7, 5),
    });
    let outcome = target(&server, &registry)
        .setting("schema_on_error", "warn")
        .input(
            schema("bad", &[])
                + &schema("good", &[])
                + &record("bad", &id(1))
                + &record("good", &id(2))
                + &record("bad", &id(3))
                + &state("1"),
        )
        .run();
    outcome.succeeds().prints("1\n").logs_once(&[
        "WARNING",
        "stream 'bad'",
        "without ids",
        "RuleViolationException",
    ]);
    let messages = subscriber.messages();
    assert_eq!(payloads(&messages, "bad"), [id(1), id(3)]);
    for message in messages {
        assert_eq!(message.headers.is_none(), message.subject == "bad");
    }
}

#[test]
fn a_batch_waits_for_its_streams_schema() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let gate = Gate::new();
    let registry = keeping(&["slow"], &gate);
    let target = target(&server, &registry).file("rows.jsonl", "{\"id\":2}\n{\"id\":3}\n");
    let path = target.path("rows.jsonl");
    let batch = format!(
        r#"{{"type":"BATCH","stream":"slow","encoding":{{"format":"jsonl","compression":"none"}},"manifest":["file://{path}"]}}"#
    );
    let mut run = target.spawn();
    run.send(
        schema("slow", &[])
            + &record("slow", &id(1))
            + &batch
            + "\n"
            + &record("slow", &id(4))
            + &state("1"),
    );
    registry.wait_for(1);
    gate.open();
    run.wait_for_line("1");
    run.end_input();
    run.wait().succeeds();
    assert_eq!(
        payloads(&subscriber.messages(), "slow"),
        [1, 2, 3, 4].map(id)
    );
}

#[test]
fn a_signal_while_a_schema_waits_ends_the_run_with_what_is_confirmed() {
    let server = NatsServer::start();
    let gate = Gate::new();
    let registry = keeping(&["slow"], &gate);
    let mut run = target(&server, &registry).spawn();
    run.send(
        schema("fast", &[])
            + &record("fast", &id(1))
            + &state("1")
            + &schema("slow", &[])
            + &record("slow", &id(2))
            + &state("2"),
    );
    run.wait_for_line("1");
    registry.wait_for(2);
    run.signal("TERM");
    run.wait().dies_by(15).prints("1\n");
}

#[test]
fn a_bad_record_that_was_held_is_told_with_its_line() {
    let server = NatsServer::start();
    let gate = Gate::new();
    let registry = keeping(&["slow"], &gate);
    let mut run = target(&server, &registry).spawn();
    run.send(
        schema("slow", &["id"])
            + &record("slow", &id(1))
            + &state("1")
            + &record("slow", "{}")
            + &state("2")
            + &record("slow", &id(3))
            + &state("3"),
    );
    registry.wait_for(1);
    gate.open();
    run.end_input();
    let outcome = run.wait();
    outcome
        .exits(1)
        .error(&["line 4", "stream slow", "field id", "key_properties"]);
    assert_eq!(outcome.stdout_text(), "1\n");
}

#[test]
fn a_dry_run_asks_no_registry() {
    let registry = ScriptedHttp::answering([Answer::registered(1, 1)]);
    let outcome = Target::new()
        .registry_at(&registry.url(), "default")
        .args(["--dry-run"])
        .input(schema("users", &[]) + &record("users", &id(1)))
        .run();
    outcome.succeeds().prints("users\t{}\t{\"id\":1}\n");
    assert_eq!(registry.connections(), 0);
}

/// Streams whose registrations take their time, and one of which fails in most runs: whatever STATE was printed, every
/// record before it has arrived.
#[test]
fn no_state_passes_a_record_that_is_held_however_registrations_end() {
    let mut random = Random::new("registrations");
    for round in 0..12 {
        let streams = 2 + random.within(0..5);
        let mut delays = HashMap::new();
        for stream in 0..streams {
            delays.insert(format!("s{stream}"), random.within(0..150) as u64);
        }
        let failing = format!("s{}", random.within(0..streams + 1));
        let judged = (delays.clone(), failing.clone());
        let registry = ScriptedHttp::judging(move |request| {
            let (delays, failing) = &judged;
            let artifact = artifact(request);
            let answer = if artifact == *failing {
                Answer::status(403)
            } else {
                Answer::registered(1, 1)
            };
            answer.after(Duration::from_millis(delays[&artifact]))
        });
        let server = NatsServer::start();
        let mut subscriber = Subscriber::on(&server);
        let mut run = target(&server, &registry).spawn();
        let mut sent = Vec::new();
        let mut declared = 0;
        for number in 0..200 {
            if declared < streams && (declared == 0 || random.once_in(10)) {
                run.send(schema(&format!("s{declared}"), &[]));
                declared += 1;
            }
            let stream = format!("s{}", random.within(0..declared));
            run.send(record(&stream, &id(number)) + &state(&number.to_string()));
            sent.push(stream);
            if random.once_in(20) {
                std::thread::sleep(Duration::from_millis(random.within(0..20) as u64));
            }
        }
        run.end_input();
        let outcome = run.wait();
        check_states(round, &outcome, &sent, &mut subscriber, &failing);
    }
}

#[track_caller]
fn check_states(
    round: usize,
    outcome: &Outcome,
    sent: &[String],
    subscriber: &mut Subscriber,
    failing: &str,
) {
    let messages = subscriber.messages();
    let has_failed = sent.iter().any(|stream| stream == failing);
    let what = format!("round {round}");
    outcome.check(outcome.status.success() || has_failed, &what);
    let last = outcome
        .stdout_text()
        .lines()
        .last()
        .map(|line| line.parse::<usize>().unwrap());
    let confirmed = last.map_or(0, |last| last + 1);
    for (number, stream) in sent.iter().enumerate().take(confirmed) {
        let is_there = payloads(&messages, stream).contains(&id(number));
        outcome.check(
            is_there,
            &format!("{what}: record {number} is there before its STATE"),
        );
    }
    if !has_failed {
        outcome.check(
            confirmed == sent.len() && messages.len() == sent.len(),
            &what,
        );
    }
    for stream in sent {
        let numbers: Vec<String> = payloads(&messages, stream);
        let wanted = sent.iter().enumerate().filter(|(_, of)| *of == stream);
        let wanted: Vec<String> = wanted.map(|(number, _)| id(number)).collect();
        outcome.check(
            wanted.starts_with(&numbers),
            &format!("{what}: {stream} is in order"),
        );
    }
}
