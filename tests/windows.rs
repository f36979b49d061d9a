//! Workers, connections and windows of every size: only speed depends on them.

use serde_json::Value;

use crate::harness::{
    Message, NatsServer, PATIENCE, Proxy, Subscriber, Target, publish_with, record, schema, state,
    wait_until,
};

const STREAMS: usize = 7;
const RECORDS: usize = 700;

/// Records of several streams in turn, some of them large, with a STATE now and then.
fn input() -> String {
    let mut input: String = (0..STREAMS)
        .map(|stream| schema(&format!("s{stream}"), &["id"]))
        .collect();
    for number in 0..RECORDS {
        input += &record(&format!("s{}", number % STREAMS), &payload(number));
        if number % 50 == 0 {
            input += &state(&format!("{}", number + 1));
        }
    }
    input + &state("\"all\"")
}

fn payload(number: usize) -> String {
    let size = if number % 100 == 3 { 50_000 } else { 10 };
    format!(r#"{{"id":{number},"text":"{}"}}"#, "x".repeat(size))
}

/// Every stream has all of its records in order.
fn is_complete(messages: &[Message]) -> bool {
    (0..STREAMS).all(|stream| {
        let subject = format!("s{stream}");
        let got = messages
            .iter()
            .filter(|message| message.subject == subject)
            .map(Message::text);
        let expected = (0..RECORDS)
            .filter(|number| number % STREAMS == stream)
            .map(payload);
        got.eq(expected)
    })
}

#[track_caller]
fn works(settings: &[(&str, usize)]) {
    let (outcome, messages) = publish_with(
        |target| {
            settings.iter().fold(target, |target, (key, value)| {
                target.setting(key, Value::from(*value))
            })
        },
        input(),
    );
    outcome.succeeds().prints_last("\"all\"");
    outcome.check(messages.len() == RECORDS, "every record arrives once");
    outcome.check(is_complete(&messages), "every stream is in order");
}

#[test]
fn a_window_of_one_message_works() {
    works(&[("max_in_flight", 1)]);
}

#[test]
fn a_window_smaller_than_a_record_works() {
    works(&[("max_in_flight_bytes", 1024)]);
}

#[test]
fn one_worker_works() {
    works(&[("workers", 1), ("connections", 1)]);
}

#[test]
fn many_workers_work_over_one_connection_and_over_many() {
    works(&[("workers", 16), ("connections", 1)]);
    works(&[("workers", 16), ("connections", 16)]);
    works(&[("workers", 5), ("connections", 3), ("max_in_flight", 2)]);
}

#[test]
fn many_workers_with_small_windows_survive_a_break_of_every_connection() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let proxy = Proxy::before(&server);
    let mut run = Target::new()
        .log_of(&server)
        .setting("nats_url", proxy.url())
        .setting("workers", 6)
        .setting("connections", 3)
        .setting("max_in_flight", 10)
        .spawn();
    run.send(input());
    for round in 1..=3 {
        subscriber.wait_for(RECORDS * round / 5);
        let accepted = proxy.accepted();
        proxy.cut();
        wait_until("it has connected again", PATIENCE, || {
            proxy.accepted() > accepted
        });
    }
    run.end_input();
    let outcome = run.wait();
    outcome.succeeds().prints_last("\"all\"");
    // Between two connections there is no order, so only what is missing is looked for.
    let mut numbers: Vec<String> = subscriber
        .messages()
        .iter()
        .map(|message| message.text().to_owned())
        .collect();
    numbers.sort();
    numbers.dedup();
    outcome.check(numbers.len() == RECORDS, "every record arrives");
}
