//! STATE as a receipt: what is printed, in which form, and when.

use std::time::{Duration, Instant};

use crate::harness::{
    NatsServer, Proxy, Subscriber, Target, publish, publish_with, record, schema, state, wait_until,
};

/// A state that follows its record is printed within this time, however busy the machine is. A state that
/// comes only at the end of the input would never be, since the input stays open.
const SOON: Duration = Duration::from_secs(15);

/// The values of these STATE lines, and the last line that is printed.
#[track_caller]
fn last_of(values: &[&str], printed: &str) {
    let mut input = schema("users", &[]) + &record("users", r#"{"id":1}"#);
    for value in values {
        input += &state(value);
    }
    let (outcome, messages) = publish(input);
    outcome.succeeds();
    assert_eq!(messages.len(), 1);
    if printed.is_empty() {
        outcome.prints("");
    } else {
        outcome.prints_last(printed);
    }
}

#[test]
fn a_state_is_printed_as_python_prints_json() {
    last_of(
        &[
            r#"{"a":4,"b":[1,2.50,1e5,-0,12345678901234567890123],"c":{"d":null,"e":true,"f":false},"g":"","h":[],"i":{}}"#,
        ],
        r#"{"a": 4, "b": [1, 2.50, 1e5, -0, 12345678901234567890123], "c": {"d": null, "e": true, "f": false}, "g": "", "h": [], "i": {}}"#,
    );
}

#[test]
fn text_in_a_state_is_printed_as_ascii() {
    last_of(
        &[r#"{"é":"中😀\u00E9\/\u0041","b":"\"\\\b\f\n\r\t\u0001\u007f"}"#],
        r#"{"\u00e9": "\u4e2d\ud83d\ude00\u00e9/A", "b": "\"\\\b\f\n\r\t\u0001\u007f"}"#,
    );
}

#[test]
fn a_state_keeps_the_order_of_its_keys_whatever_its_spacing() {
    last_of(
        &["{ \"z\" :1 ,\t\"a\" : { \"y\":2,\"b\":3 } }"],
        r#"{"z": 1, "a": {"y": 2, "b": 3}}"#,
    );
}

#[test]
fn a_state_need_not_be_an_object() {
    last_of(&["[1,\"x\"]"], r#"[1, "x"]"#);
    last_of(&["\"bookmark\""], "\"bookmark\"");
    last_of(&["17"], "17");
    last_of(&["true"], "true");
}

#[test]
fn an_empty_state_is_never_printed() {
    for empty in ["{}", "[]", "null", "0", "\"\"", "false", " { } "] {
        last_of(&[empty], "");
    }
}

#[test]
fn an_empty_state_never_replaces_a_good_one() {
    for empty in ["{}", "[]", "null", "0", "\"\"", "false"] {
        last_of(&[r#"{"a":1}"#, r#"{"a":2}"#, empty], r#"{"a": 2}"#);
    }
    last_of(
        &["{}", r#"{"a":1}"#, "{}", r#"{"a":2}"#, "{}"],
        r#"{"a": 2}"#,
    );
}

#[test]
fn the_last_state_is_the_last_line() {
    last_of(&[r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":1}"#], r#"{"a": 1}"#);
}

#[test]
fn a_state_without_any_record_is_printed() {
    let (outcome, _) = publish(state(r#"{"a":1}"#));
    outcome.succeeds().prints("{\"a\": 1}\n");
}

#[test]
fn with_a_state_after_every_record_they_come_in_order_and_the_last_one_comes() {
    let mut input = schema("users", &[]);
    for id in 1..=20_000 {
        input += &record("users", &format!(r#"{{"id":{id}}}"#));
        input += &state(&format!(r#"{{"id":{id}}}"#));
    }
    let (outcome, messages) = publish(input);
    outcome.succeeds().prints_last(r#"{"id": 20000}"#);
    assert_eq!(messages.len(), 20_000);
    let mut last = 0;
    for line in outcome.stdout_text().lines() {
        let number = line
            .strip_prefix("{\"id\": ")
            .and_then(|rest| rest.strip_suffix('}'));
        let id: u32 = number.and_then(|number| number.parse().ok()).unwrap_or(0);
        outcome.check(id > last, &format!("{line:?} is a state beyond {last}"));
        last = id;
    }
}

#[test]
fn a_state_is_printed_while_the_tap_is_silent_and_has_not_ended() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let mut run = Target::new().server(&server).spawn();
    run.send(schema("users", &[]));
    for id in 1..=3 {
        run.send(
            record("users", &format!(r#"{{"id":{id}}}"#)) + &state(&format!(r#"{{"id":{id}}}"#)),
        );
        let sent = Instant::now();
        run.wait_for_line(&format!(r#"{{"id": {id}}}"#));
        assert!(sent.elapsed() < SOON, "it took {:?}", sent.elapsed());
        subscriber.settle();
        assert_eq!(
            subscriber.count(),
            id,
            "the records of a printed state have arrived"
        );
    }
    run.end_input();
    run.wait()
        .succeeds()
        .prints("{\"id\": 1}\n{\"id\": 2}\n{\"id\": 3}\n");
}

#[test]
fn a_state_waits_for_every_stream_before_it() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let mut run = Target::new().server(&server).spawn();
    let mut input = String::new();
    for stream in 0..50 {
        input += &schema(&format!("s{stream}"), &[]);
    }
    for id in 0..2_000 {
        input += &record(&format!("s{}", id % 50), &format!(r#"{{"id":{id}}}"#));
    }
    run.send(input + &state(r#"{"all":2000}"#));
    run.wait_for_line(r#"{"all": 2000}"#);
    subscriber.settle();
    assert_eq!(subscriber.count(), 2_000);
    run.end_input();
    run.wait().succeeds();
}

#[test]
fn a_state_is_not_printed_before_the_server_has_confirmed() {
    let server = NatsServer::start();
    let subscriber = Subscriber::on(&server);
    let proxy = Proxy::before(&server);
    let mut run = Target::new()
        .log_of(&server)
        .setting("nats_url", proxy.url())
        .spawn();
    run.send(schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1"));
    run.wait_for_line("1");
    // From here on every record arrives, and no confirmation of it comes back.
    proxy.hold();
    run.send(record("users", r#"{"id":2}"#) + &state("2"));
    subscriber.wait_for(2);
    run.send(record("users", r#"{"id":3}"#) + &state("3"));
    let patience = Instant::now();
    wait_until("two seconds without a confirmation are over", SOON, || {
        assert_eq!(
            run.stdout(),
            "1\n",
            "a state is printed without a confirmation"
        );
        patience.elapsed() > Duration::from_secs(2)
    });
    proxy.open();
    run.wait_for_line("3");
    run.end_input();
    run.wait().succeeds().prints_last("3");
}

#[test]
fn after_an_error_the_last_confirmed_state_is_printed() {
    let input = schema("users", &[])
        + &record("users", r#"{"id":1}"#)
        + &state(r#"{"a":1}"#)
        + &record("users", r#"{"id":2}"#)
        + &state(r#"{"a":2}"#)
        + &record("users", r#"{"id":3}"#)
        + "nonsense\n"
        + &record("users", r#"{"id":4}"#)
        + &state(r#"{"a":4}"#);
    let (outcome, messages) = publish(input);
    outcome
        .exits(1)
        .prints_last(r#"{"a": 2}"#)
        .error(&["line 7"]);
    assert_eq!(
        messages.len(),
        3,
        "what was valid before the error is published"
    );
}

#[test]
fn after_an_error_behind_much_input_everything_valid_is_published() {
    let mut input = schema("users", &[]);
    for id in 1..=30_000 {
        input += &record("users", &format!(r#"{{"id":{id}}}"#));
        if id % 100 == 0 {
            input += &state(&format!(r#"{{"id":{id}}}"#));
        }
    }
    let line = input.lines().count() + 1;
    let (outcome, messages) = publish(input + "{\n");
    outcome
        .exits(1)
        .prints_last(r#"{"id": 30000}"#)
        .error(&[&format!("line {line}")]);
    assert_eq!(messages.len(), 30_000);
}

#[test]
fn an_error_while_the_input_is_open_ends_the_run_at_once() {
    let server = NatsServer::start();
    let run = Target::new().server(&server).spawn();
    run.send(schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1") + "nonsense\n");
    // Its input is never closed.
    let outcome = run.wait();
    outcome.exits(1).prints("1\n").error(&["line 4"]);
    assert!(outcome.took < SOON, "it took {:?}", outcome.took);
}

#[test]
fn state_interval_seconds_keeps_states_apart_but_never_the_last_one() {
    let mut input = schema("users", &[]);
    for id in 1..=5_000 {
        input += &record("users", &format!(r#"{{"id":{id}}}"#));
        input += &state(&format!(r#"{{"id":{id}}}"#));
    }
    let (outcome, _) = publish_with(
        |target| target.setting("state_interval_seconds", 3600),
        input,
    );
    outcome.succeeds().prints_last(r#"{"id": 5000}"#);
    let lines = outcome.stdout_text().lines().count();
    outcome.check(
        lines <= 2,
        "at most the first and the last state are printed within the interval",
    );
}

#[test]
fn state_interval_seconds_does_not_keep_a_state_for_good() {
    let server = NatsServer::start();
    let mut run = Target::new()
        .server(&server)
        .setting("state_interval_seconds", 1)
        .spawn();
    run.send(schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1"));
    run.wait_for_line("1");
    run.send(record("users", r#"{"id":2}"#) + &state("2"));
    // The tap says nothing more, and the interval passes.
    run.wait_for_line("2");
    run.end_input();
    run.wait().succeeds().prints("1\n2\n");
}
