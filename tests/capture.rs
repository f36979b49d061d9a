//! `delivery`: which streams are captured by JetStream, how that is found out, and what is refused.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;

use serde_json::json;

use crate::harness::{
    JetStream, NatsServer, Stored, Subscriber, Target, arrived, record, schema, state,
};

/// Two records of each of these Singer streams, with a STATE at the end.
fn two_of_each(streams: &[&str]) -> String {
    let mut input = String::new();
    for stream in streams {
        input += &schema(stream, &["id"]);
    }
    for id in 1..=2 {
        for stream in streams {
            input += &record(stream, &format!(r#"{{"id":{id}}}"#));
        }
    }
    input + &state("1")
}

/// The number in `{"id":…,`
fn id(message: &Stored) -> usize {
    let number = message.text()[6..].split(',').next().unwrap();
    number.parse().unwrap()
}

fn shown(messages: &[Stored]) -> Vec<(&str, &str)> {
    messages
        .iter()
        .map(|message| (message.subject.as_str(), message.text()))
        .collect()
}

#[test]
fn what_is_captured_is_stored_and_what_is_not_goes_by_core_in_one_run() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("SHOP", &["orders", "items"], json!({}));
    let mut subscriber = Subscriber::to(&server, "users");
    let outcome = Target::new()
        .server(&server)
        .input(two_of_each(&["users", "orders", "items"]))
        .run();
    outcome.succeeds().prints("1\n");
    arrived(
        &outcome,
        &subscriber.messages(),
        &[("users", r#"{"id":1}"#), ("users", r#"{"id":2}"#)],
    );
    let stored = jetstream.messages("SHOP");
    for subject in ["orders", "items"] {
        let of_one: Vec<&str> = stored
            .iter()
            .filter(|message| message.subject == subject)
            .map(Stored::text)
            .collect();
        assert_eq!(of_one, [r#"{"id":1}"#, r#"{"id":2}"#]);
    }
    assert_eq!(stored.len(), 4);
    assert!(stored.iter().all(|message| message.headers.is_none()));
    outcome
        .logs_once(&[" | INFO ", "orders", "SHOP"])
        .logs_once(&[" | INFO ", "items", "SHOP"])
        .logs_once(&[" | INFO ", "users", "core"]);
}

#[test]
fn the_choice_is_said_once_for_a_singer_stream_whose_schema_comes_again_and_again() {
    let server = NatsServer::with_jetstream();
    JetStream::on(&server).stream("SHOP", &["orders"], json!({}));
    let input = two_of_each(&["users", "orders"]).repeat(20);
    let outcome = Target::new().server(&server).input(input).run();
    outcome
        .succeeds()
        .logs_once(&[" | INFO ", "orders", "SHOP"])
        .logs_once(&[" | INFO ", "users", "core"]);
    assert_eq!(JetStream::on(&server).count("SHOP"), 40);
}

#[test]
fn subjects_from_a_record_are_asked_for_each_by_itself() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("EU", &["t.eu", "t.ch"], json!({}));
    jetstream.stream("US", &["t.us"], json!({"allow_batched": true}));
    let mut subscriber = Subscriber::to(&server, "t.asia");
    let mut input = schema("users", &[]);
    let regions = ["eu", "us", "asia", "ch"];
    for id in 0..400 {
        let region = regions[id % 4];
        input += &record("users", &format!(r#"{{"id":{id},"region":"{region}"}}"#));
    }
    let outcome = Target::new()
        .server(&server)
        .setting("subject", "t.{record.region}")
        .input(input + &state("1"))
        .run();
    outcome.succeeds().prints("1\n");
    for (stream, rests) in [("EU", &[0, 3][..]), ("US", &[1])] {
        let ids: Vec<usize> = jetstream.messages(stream).iter().map(id).collect();
        let expected: Vec<usize> = (0..400).filter(|id| rests.contains(&(id % 4))).collect();
        outcome.check(
            ids == expected,
            &format!("{stream} has its records in order"),
        );
    }
    assert_eq!(subscriber.messages().len(), 100);
}

#[test]
fn thousands_of_subjects_from_records_are_told_apart() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("EVEN", &["t.0.*"], json!({}));
    let mut subscriber = Subscriber::to(&server, "t.1.*");
    let mut input = schema("users", &[]);
    for id in 0..6000 {
        let half = id % 2;
        input += &record("users", &format!(r#"{{"id":{id},"half":{half}}}"#));
    }
    let outcome = Target::new()
        .server(&server)
        .setting("subject", "t.{record.half}.{record.id}")
        .input(input + &state("1"))
        .run();
    outcome.succeeds().prints("1\n");
    assert_eq!(jetstream.count("EVEN"), 3000);
    assert_eq!(subscriber.messages().len(), 3000);
}

#[test]
fn two_thousand_singer_streams_go_to_three_streams_and_core() {
    const EACH: usize = 5;
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("A", &["a.*"], json!({}));
    jetstream.stream("B", &["b.*"], json!({"allow_batched": true}));
    jetstream.stream("C", &["c.*"], json!({"storage": "memory"}));
    let mut subscriber = Subscriber::to(&server, "d.*");
    let names: Vec<String> = (0..2000)
        .map(|number| format!("{}.s{number}", ["a", "b", "c", "d"][number % 4]))
        .collect();
    let mut input: String = names.iter().map(|name| schema(name, &[])).collect();
    for id in 0..EACH {
        for name in &names {
            input += &record(name, &format!(r#"{{"id":{id}}}"#));
        }
    }
    let outcome = Target::new()
        .server(&server)
        .setting("subject", "{stream}")
        .input(input + &state("1"))
        .run();
    outcome.succeeds().prints("1\n");
    let mut by_subject: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for stream in ["A", "B", "C"] {
        let messages = jetstream.messages(stream);
        outcome.check(
            messages.len() == 500 * EACH,
            &format!("{stream} has its records"),
        );
        for message in messages {
            let text = message.text().to_owned();
            by_subject.entry(message.subject).or_default().push(text);
        }
    }
    for message in subscriber.messages() {
        let text = message.text().to_owned();
        by_subject.entry(message.subject).or_default().push(text);
    }
    let expected: Vec<String> = (0..EACH).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
    for name in &names {
        outcome.check(
            by_subject.get(name) == Some(&expected),
            &format!(
                "{name} has its records in order, not {:?}",
                by_subject.get(name)
            ),
        );
    }
}

/// Core is used, which is said once although there are several streams.
#[track_caller]
fn core_is_used(server: &NatsServer, url: &str, login: &str) {
    let mut subscriber = Subscriber::with_login(server, login);
    let outcome = Target::new()
        .log_of(server)
        .setting("nats_url", url)
        .input(two_of_each(&["users", "orders"]))
        .run();
    outcome.succeeds().prints("1\n");
    let messages = subscriber.messages();
    outcome.check(messages.len() == 4, "every record arrives");
    outcome.logs_once(&[" | INFO ", "JetStream"]);
}

#[test]
fn a_server_without_jetstream_means_core() {
    let server = NatsServer::start();
    core_is_used(&server, &server.url(), "");
}

#[test]
fn an_account_without_jetstream_means_core() {
    let server = NatsServer::with_jetstream_and(
        "accounts: {A: {jetstream: enabled, users: [{user: a, password: a}]}, B: {users: [{user: b, password: b}]}}",
    );
    let login = r#""user":"b","pass":"b""#;
    core_is_used(&server, &format!("nats://b:b@{}", server.address()), login);
}

#[test]
fn an_api_that_may_not_be_asked_means_core() {
    let server = NatsServer::with_jetstream_and(
        "authorization: {users: [
          {user: all, password: all}
          {user: b, password: b, permissions: {publish: {deny: [\"$JS.API.>\"]}}}
        ]}",
    );
    let login = r#""user":"all","pass":"all""#;
    core_is_used(&server, &format!("nats://b:b@{}", server.address()), login);
}

#[test]
fn an_api_whose_answers_may_not_be_heard_means_core() {
    let server = NatsServer::with_jetstream_and(
        "authorization: {users: [
          {user: all, password: all}
          {user: b, password: b, permissions: {subscribe: {deny: [\">\"]}}}
        ]}",
    );
    let login = r#""user":"all","pass":"all""#;
    core_is_used(&server, &format!("nats://b:b@{}", server.address()), login);
}

#[test]
fn an_api_that_is_denied_to_several_workers_of_one_connection_at_once_means_core() {
    for permissions in [
        "publish: {deny: [\"$JS.API.>\"]}",
        "publish: {deny: [\"$JS.API.>\"]}, subscribe: {deny: [\">\"]}",
    ] {
        let server = NatsServer::with_jetstream_and(&format!(
            "authorization: {{users: [{{user: b, password: b, permissions: {{{permissions}}}}}]}}"
        ));
        let streams: Vec<String> = (0..8).map(|n| format!("s{n}")).collect();
        let streams: Vec<&str> = streams.iter().map(String::as_str).collect();
        for _ in 0..5 {
            let outcome = Target::new()
                .log_of(&server)
                .setting("nats_url", format!("nats://b:b@{}", server.address()))
                .setting("workers", 8)
                .setting("connections", 1)
                .input(two_of_each(&streams))
                .run();
            outcome
                .succeeds()
                .prints("1\n")
                .logs_once(&[" | INFO ", "JetStream API"]);
        }
    }
}

#[test]
fn one_who_listens_to_everything_and_answers_nothing_does_not_keep_the_run_from_starting() {
    let server = NatsServer::start();
    let mut silent = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    silent
        .write_all(b"CONNECT {\"verbose\":false}\r\nSUB > 1\r\n")
        .unwrap();
    let mut subscriber = Subscriber::to(&server, "users");
    let outcome = Target::new()
        .server(&server)
        .input(two_of_each(&["users"]))
        .run();
    outcome.succeeds().prints("1\n");
    assert_eq!(subscriber.messages().len(), 2);
}

#[test]
fn core_into_a_captured_subject_is_refused_with_the_streams_name() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("SHOP", &["orders"], json!({}));
    let mut subscriber = Subscriber::to(&server, "users");
    let outcome = Target::new()
        .server(&server)
        .setting("delivery", "core")
        .input(two_of_each(&["users"]) + &two_of_each(&["orders"]))
        .run();
    outcome.exits(1).error(&["orders", "SHOP"]);
    assert_eq!(jetstream.count("SHOP"), 0);
    let state_is_covered = outcome.stdout_text().is_empty() || subscriber.messages().len() == 2;
    outcome.check(state_is_covered, "a state that is printed is a receipt");
}

#[test]
fn core_into_a_subject_that_a_record_makes_a_captured_one_is_refused() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("EU", &["t.eu"], json!({}));
    let input = schema("users", &[])
        + &record("users", r#"{"id":1,"region":"us"}"#)
        + &record("users", r#"{"id":2,"region":"eu"}"#)
        + &state("2");
    let outcome = Target::new()
        .server(&server)
        .setting("delivery", "core")
        .setting("subject", "t.{record.region}")
        .input(input)
        .run();
    outcome.exits(1).prints("").error(&["EU"]);
    assert_eq!(jetstream.count("EU"), 0);
}

#[test]
fn core_where_nothing_is_captured_is_core() {
    let server = NatsServer::with_jetstream();
    let mut subscriber = Subscriber::to(&server, "users");
    let outcome = Target::new()
        .server(&server)
        .setting("delivery", "core")
        .input(two_of_each(&["users"]))
        .run();
    outcome.succeeds().prints("1\n");
    assert_eq!(subscriber.messages().len(), 2);
}

#[test]
fn jetstream_where_nothing_captures_is_an_error_that_says_so() {
    let server = NatsServer::with_jetstream();
    let mut subscriber = Subscriber::to(&server, "users");
    let outcome = Target::new()
        .server(&server)
        .setting("delivery", "jetstream")
        .input(two_of_each(&["users"]))
        .run();
    outcome
        .exits(1)
        .prints("")
        .error(&["users", "stream", "captures"]);
    assert_eq!(subscriber.messages().len(), 0);
}

#[test]
fn jetstream_where_there_is_none_is_an_error_that_says_so() {
    let server = NatsServer::start();
    let outcome = Target::new()
        .server(&server)
        .setting("delivery", "jetstream")
        .input(two_of_each(&["users"]))
        .run();
    outcome.exits(1).prints("").error(&["JetStream"]);
}

#[test]
fn what_jetstream_stores_is_the_taps_own_bytes() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("S", &["users"], json!({}));
    let text = r#"{ "b":1.0e5,  "a":"é\u00e9 \"x\"", "id" : 12345678901234567890.0123456789 }"#;
    let outcome = Target::new()
        .server(&server)
        .setting("delivery", "jetstream")
        .setting("headers", json!({"Source": "singer {stream}"}))
        .input(schema("users", &[]) + &record("users", text))
        .run();
    outcome.succeeds();
    let stored = jetstream.messages("S");
    assert_eq!(shown(&stored), [("users", text)]);
    assert_eq!(stored[0].header("Source"), Some("singer users"));
}

#[test]
fn a_subject_that_the_named_stream_does_not_capture_is_an_error_though_another_stream_would() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("P", &["part.1"], json!({}));
    jetstream.stream("Q", &["part.2"], json!({}));
    let outcome = Target::new()
        .server(&server)
        .setting("subject", "part.{record.id}")
        .setting("jetstream_stream", "P")
        .input(two_of_each(&["users"]))
        .run();
    outcome.exits(1).error(&["P", "part.2", "users"]);
    assert_eq!(jetstream.count("Q"), 0);
}

#[test]
fn a_bucket_or_a_stream_of_dead_letters_that_acknowledges_nothing_is_never_a_receipt() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    let silent = json!({"no_ack": true, "allow_batched": true});
    jetstream.stream("KV_B", &["$KV.B.>"], silent.clone());
    jetstream.stream("DEAD", &["dead"], silent);
    let run = |settings: &[(&str, &str)], record: &str| {
        let target = Target::new().server(&server);
        let target = settings
            .iter()
            .fold(target, |target, (key, value)| target.setting(key, *value));
        let input = schema("users", &["id"]) + record + &state("1");
        target.input(input).run()
    };
    let bucket = [("delivery", "kv"), ("kv_bucket", "B")];
    run(&bucket, &record("users", r#"{"id":1}"#))
        .exits(1)
        .prints("")
        .error(&["KV_B", "no_ack"]);
    let letters = [
        ("on_invalid_record", "dead_letter"),
        ("dead_letter_subject", "dead"),
    ];
    run(&letters, &record("users", "{}"))
        .exits(1)
        .prints("")
        .error(&["DEAD", "no_ack"]);
}
