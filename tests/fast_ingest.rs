//! Fast ingest: when it is chosen, what it falls back to, and batches that end in odd ways.
//!
//! Servers that die in the middle are in `jetstream_faults.rs` and `clusters.rs`, refusals in `jetstream_errors.rs`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    JetStream, NatsServer, Numbered, PATIENCE, Tally, Target, heavy, numbered, record, schema,
    state, wait_until,
};

/// A server, and its JetStream with a stream `S` that captures `users` and the numbered streams.
fn capturing(more: Value) -> (NatsServer, JetStream) {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("S", &["users", "s0", "s1", "s2", "s3", "a.*", "b.*"], more);
    (server, jetstream)
}

#[track_caller]
fn texts(jetstream: &mut JetStream) -> Vec<String> {
    let messages = jetstream.messages("S");
    messages
        .iter()
        .map(|message| message.text().to_owned())
        .collect()
}

#[test]
fn where_a_stream_allows_it_fast_ingest_is_chosen_which_is_said() {
    let (server, mut jetstream) = capturing(json!({"allow_batched": true}));
    let outcome = Target::new()
        .server(&server)
        .input(schema("users", &[]) + &numbered(1) + &numbered(2))
        .run();
    outcome
        .succeeds()
        .prints_last(r#"{"id": 2}"#)
        .logs_once(&[" | INFO ", "users", "S", "fast"]);
    assert_eq!(texts(&mut jetstream), [r#"{"id":1}"#, r#"{"id":2}"#]);
    assert!(jetstream.messages("S").iter().all(|m| m.headers.is_none()));
}

#[test]
fn where_a_stream_does_not_allow_it_it_is_fed_pipelined_which_is_said() {
    let (server, mut jetstream) = capturing(json!({}));
    let outcome = Target::new()
        .server(&server)
        .input(schema("users", &[]) + &numbered(1))
        .run();
    outcome
        .succeeds()
        .logs_once(&[" | INFO ", "users", "S", "pipelined"]);
    assert_eq!(jetstream.count("S"), 1);
}

#[test]
fn pipelined_is_pipelined_where_the_stream_would_allow_more() {
    let (server, mut jetstream) = capturing(json!({"allow_batched": true}));
    let outcome = Target::new()
        .server(&server)
        .setting("ingest", "pipelined")
        .input(schema("users", &[]) + &numbered(1))
        .run();
    outcome
        .succeeds()
        .logs_once(&[" | INFO ", "users", "S", "pipelined"]);
    assert_eq!(jetstream.count("S"), 1);
}

#[test]
fn fast_where_the_stream_does_not_allow_it_is_an_error_that_says_so() {
    let (server, mut jetstream) = capturing(json!({}));
    let outcome = Target::new()
        .server(&server)
        .setting("ingest", "fast")
        .input(schema("users", &[]) + &numbered(1))
        .run();
    outcome.exits(1).prints("").error(&["S", "allow_batched"]);
    assert_eq!(jetstream.count("S"), 0);
}

#[test]
fn a_batch_that_is_idle_for_longer_than_the_server_keeps_one_goes_on() {
    let (server, mut jetstream) = capturing(json!({"allow_batched": true}));
    let mut run = Target::new()
        .server(&server)
        .setting("ingest", "fast")
        .spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line(r#"{"id": 1}"#);
    let start = Instant::now();
    wait_until("twelve seconds are over", PATIENCE, || {
        start.elapsed() > Duration::from_secs(12)
    });
    run.send(numbered(2) + &numbered(3));
    run.wait_for_line(r#"{"id": 3}"#);
    run.end_input();
    run.wait().succeeds();
    assert_eq!(
        texts(&mut jetstream),
        [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#]
    );
}

#[test]
fn a_stream_that_no_longer_allows_it_is_fed_pipelined_from_then_on() {
    let (server, mut jetstream) = capturing(json!({"allow_batched": true}));
    let mut run = Target::new().server(&server).spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line(r#"{"id": 1}"#);
    jetstream.update("S", json!({"allow_batched": false}));
    run.send(numbered(2) + &numbered(3));
    run.wait_for_line(r#"{"id": 3}"#);
    run.end_input();
    let outcome = run.wait();
    outcome.succeeds().logs("pipelined");
    assert_eq!(
        texts(&mut jetstream),
        [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#]
    );
}

#[test]
fn a_state_behind_each_record_is_printed_soon_and_one_by_one() {
    let (server, _jetstream) = capturing(json!({"allow_batched": true}));
    let mut run = Target::new()
        .server(&server)
        .setting("ingest", "fast")
        .spawn();
    run.send(schema("users", &[]));
    let start = Instant::now();
    for id in 1..=50 {
        run.send(numbered(id));
        run.wait_for_line(&format!(r#"{{"id": {id}}}"#));
    }
    assert!(
        start.elapsed() < Duration::from_secs(25),
        "it took {:?}",
        start.elapsed()
    );
    run.end_input();
    run.wait().succeeds();
}

#[test]
fn messages_of_every_size_come_through() {
    let (server, mut jetstream) = capturing(json!({"allow_batched": true}));
    let payload = |id: usize| format!(r#"{{"id":"{}"}}"#, "x".repeat(id * id * id % 60_000));
    let mut input = schema("users", &[]);
    for id in 0..400 {
        input += &record("users", &payload(id));
    }
    let outcome = Target::new()
        .server(&server)
        .setting("ingest", "fast")
        .setting("headers", json!({"Source": "singer"}))
        .input(input + &state("1"))
        .run();
    outcome.succeeds().prints("1\n");
    let stored = texts(&mut jetstream);
    assert_eq!(stored.len(), 400);
    for (id, text) in stored.iter().enumerate() {
        outcome.check(*text == payload(id), &format!("message {id} is as it was"));
    }
}

#[test]
fn two_programs_feed_one_stream_at_once() {
    const RECORDS: usize = 60_000;
    let _turn = heavy();
    for message_id in ["none", "run"] {
        let (server, mut jetstream) = capturing(json!({"allow_batched": true}));
        let runs = ["a.", "b."].map(|prefix| {
            Target::new()
                .server(&server)
                .setting("queue_prefix", prefix)
                .setting("ingest", "fast")
                .setting("message_id", message_id)
                .generated(|to| {
                    to.write_all(Numbered::schemas().as_bytes())?;
                    Numbered::write(0..RECORDS, to)
                })
                .start()
        });
        let outcomes = runs.map(|run| {
            let outcome = run.wait();
            Numbered::is_confirmed(&outcome, RECORDS);
            outcome
        });
        let mut tallies = [Tally::default(), Tally::default()];
        jetstream.each("S", |message| {
            tallies[usize::from(message.subject.starts_with("b."))].take(&message);
        });
        for (tally, outcome) in tallies.iter().zip(&outcomes) {
            tally.holds_each_once(outcome, RECORDS);
        }
    }
}

#[test]
fn a_program_that_begins_and_ends_while_another_one_feeds_the_stream_disturbs_nothing() {
    const RECORDS: usize = 60_000;
    let _turn = heavy();
    let (server, mut jetstream) = capturing(json!({"allow_batched": true}));
    let mut long = Target::new()
        .server(&server)
        .setting("queue_prefix", "a.")
        .setting("ingest", "fast")
        .spawn();
    long.send(Numbered::schemas());
    Numbered::send(&long, 0..RECORDS / 2);
    for id in 1..=5 {
        let outcome = Target::new()
            .server(&server)
            .setting("queue_prefix", "b.")
            .setting("ingest", "fast")
            .input(schema("users", &[]) + &numbered(id))
            .run();
        outcome.succeeds().prints(&format!("{{\"id\": {id}}}\n"));
    }
    Numbered::send(&long, RECORDS / 2..RECORDS);
    long.end_input();
    let outcome = long.wait();
    outcome.succeeds();
    let mut tally = Tally::default();
    let mut others = Vec::new();
    jetstream.each("S", |message| {
        if message.subject.starts_with("a.") {
            tally.take(&message);
        } else {
            others.push(message.text().to_owned());
        }
    });
    tally.holds_each_once(&outcome, RECORDS);
    let expected: Vec<String> = (1..=5).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
    assert_eq!(others, expected);
}

#[test]
fn several_workers_feed_several_streams_each_by_its_own_batch() {
    const RECORDS: usize = 40_000;
    let _turn = heavy();
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("A", &["s0", "s1"], json!({"allow_batched": true}));
    jetstream.stream("B", &["s2", "s3"], json!({"allow_batched": true}));
    let outcome = Target::new()
        .server(&server)
        .setting("ingest", "fast")
        .setting("workers", 4)
        .setting("connections", 4)
        .generated(|to| {
            to.write_all(Numbered::schemas().as_bytes())?;
            Numbered::write(0..RECORDS, to)
        })
        .run();
    Numbered::is_confirmed(&outcome, RECORDS);
    let mut tally = Tally::default();
    for stream in ["A", "B"] {
        jetstream.each(stream, |message| tally.take(&message));
    }
    tally.holds_each_once(&outcome, RECORDS);
}
