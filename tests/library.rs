//! The library: `Target` fed by its caller, from one thread and from several.

use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;
use target_nats::{Kind, Settings, Target};

use super::harness::{NatsServer, Subscriber, record, schema, state};

fn settings(server: &NatsServer) -> Settings {
    Settings::from_json(&json!({ "nats_url": server.url() }).to_string()).unwrap()
}

/// A target on a server, and the states that it tells.
fn start(server: &NatsServer) -> (Target, Arc<Mutex<Vec<String>>>) {
    let states = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&states);
    let target = Target::start(settings(server), move |state| {
        told.lock().unwrap().push(state.to_owned());
    });
    (target.unwrap(), states)
}

#[test]
fn messages_are_fed_one_at_a_time_and_confirmed_when_asked_for() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let (target, states) = start(&server);
    target.feed(schema("users", &["id"]).as_bytes()).unwrap();
    for id in 1..=3 {
        target
            .feed(record("users", &format!("{{\"id\": {id}}}")).as_bytes())
            .unwrap();
    }
    target.feed(state("{\"users\": 3}").as_bytes()).unwrap();
    target.confirm().unwrap();
    let payloads: Vec<String> = subscriber
        .messages()
        .iter()
        .map(|m| m.text().to_owned())
        .collect();
    assert_eq!(payloads, ["{\"id\": 1}", "{\"id\": 2}", "{\"id\": 3}"]);
    let counts = target.finish().unwrap();
    assert_eq!(
        (
            counts.lines,
            counts.records,
            counts.published,
            counts.states
        ),
        (5, 3, 3, 1)
    );
    assert_eq!(*states.lock().unwrap(), ["{\"users\": 3}"]);
}

#[test]
fn several_threads_publish_batches_and_each_stays_in_order() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let (target, _) = start(&server);
    for stream in 0..4 {
        target
            .feed(schema(&format!("s{stream}"), &["n"]).as_bytes())
            .unwrap();
    }
    thread::scope(|scope| {
        for stream in 0..4 {
            let target = &target;
            scope.spawn(move || {
                for batch in 0..50 {
                    let records = (0..100).map(|n| format!("{{\"n\":{}}}", batch * 100 + n));
                    target.publish(&format!("s{stream}"), records).unwrap();
                }
                target.confirm().unwrap();
            });
        }
    });
    assert_eq!(target.finish().unwrap().published, 20_000);
    let messages = subscriber.messages();
    for stream in 0..4 {
        let subject = format!("s{stream}");
        let payloads = messages
            .iter()
            .filter(|m| m.subject == subject)
            .map(|m| m.text().to_owned());
        let expected = (0..5000).map(|n| format!("{{\"n\":{n}}}"));
        assert!(
            payloads.eq(expected),
            "{subject} is out of order or incomplete"
        );
    }
}

#[test]
fn a_record_of_a_batch_may_be_written_over_several_lines() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let (target, _) = start(&server);
    target.feed(schema("é", &[]).as_bytes()).unwrap();
    target.publish("é", ["{\n \"a\": \"\\n\"\n}"]).unwrap();
    let error = target
        .publish("é", ["{}, \"type\": \"STATE\", \"x\": {}"])
        .unwrap_err();
    assert_eq!(error.to_string(), "a record is not valid JSON (stream é)");
    target.finish().unwrap();
    assert_eq!(subscriber.messages()[0].text(), "{  \"a\": \"\\n\" }");
}

#[test]
fn an_error_ends_the_run_and_every_later_call_tells_it() {
    let server = NatsServer::start();
    let (target, states) = start(&server);
    let lines = schema("users", &["id"]) + &record("users", "{\"id\":1}") + &state("1");
    target.feed(lines.as_bytes()).unwrap();
    target.feed(&b"no json\n"[..]).unwrap();
    let error = target.confirm().unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    assert!(error.to_string().contains("line 4"), "{error}");
    assert_eq!(target.publish("users", ["{\"id\":2}"]).unwrap_err(), error);
    assert_eq!(target.finish().unwrap_err(), error);
    assert_eq!(
        *states.lock().unwrap(),
        ["1"],
        "what was confirmed before the error is told"
    );
}
