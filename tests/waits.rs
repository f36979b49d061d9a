//! What is waited for, and what is not: outages that end in time, idle taps, signals while nobody is there.

use std::time::{Duration, Instant};

use crate::harness::{
    NatsServer, PATIENCE, Proxy, Running, Subscriber, Target, arrived, record, schema, state,
    wait_until,
};

const SIGTERM: i32 = 15;

/// One record of `users` with its state.
fn numbered(id: u32) -> String {
    record("users", &format!(r#"{{"id":{id}}}"#)) + &state(&id.to_string())
}

/// Looks for so long that the run has not ended.
#[track_caller]
fn lives(run: &mut Running, seconds: u64) {
    let start = Instant::now();
    wait_until("this time is over", PATIENCE, || {
        assert!(!run.has_ended(), "it ended:\n{}", run.give_up().stderr);
        start.elapsed() > Duration::from_secs(seconds)
    });
}

#[test]
fn a_silent_tap_is_waited_for_without_limit() {
    let server = NatsServer::start();
    let mut run = Target::new()
        .server(&server)
        .setting("confirm_timeout_seconds", 1)
        .setting("connect_timeout_seconds", 1)
        .spawn();
    lives(&mut run, 3);
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line("1");
    lives(&mut run, 3);
    run.send(numbered(2));
    run.wait_for_line("2");
    run.end_input();
    run.wait().succeeds().prints("1\n2\n");
}

#[test]
fn an_outage_longer_than_the_first_connection_may_take_is_survived() {
    let server = NatsServer::start();
    let mut run = Target::new()
        .server(&server)
        .setting("connect_timeout_seconds", 1)
        .setting("workers", 1)
        .spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line("1");
    server.kill();
    run.send(numbered(2));
    lives(&mut run, 4);
    server.start_again();
    run.wait_for_line("2");
    run.end_input();
    run.wait().succeeds().prints("1\n2\n");
}

#[test]
fn a_second_connection_that_is_late_does_not_end_a_run_that_has_its_first() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let proxy = Proxy::before(&server);
    // A look at the server and a connection for each of two; one of the two gets no further than its look.
    proxy.let_in(3);
    let mut run = Target::new()
        .log_of(&server)
        .setting("nats_url", proxy.url())
        .setting("workers", 2)
        .setting("connections", 2)
        .setting("connect_timeout_seconds", 1)
        .spawn();
    let streams = ["a", "b", "c", "d"];
    let declared: String = streams.iter().map(|stream| schema(stream, &[])).collect();
    let records: String = streams.iter().map(|stream| record(stream, "{}")).collect();
    run.send(declared + &records + &state("1"));
    subscriber.wait_for(1);
    lives(&mut run, 3);
    proxy.let_in(usize::MAX);
    run.wait_for_line("1");
    run.end_input();
    run.wait().succeeds().prints("1\n");
    subscriber.settle();
    assert_eq!(subscriber.count(), streams.len());
}

#[test]
fn an_outage_while_nothing_is_outstanding_is_survived_however_long() {
    let server = NatsServer::start();
    let mut run = Target::new()
        .server(&server)
        .setting("confirm_timeout_seconds", 1)
        .setting("connect_timeout_seconds", 1)
        .setting("workers", 1)
        .spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line("1");
    server.kill();
    lives(&mut run, 4);
    server.start_again();
    let mut subscriber = Subscriber::on(&server);
    run.send(numbered(2));
    run.wait_for_line("2");
    run.end_input();
    let outcome = run.wait();
    outcome.succeeds().prints("1\n2\n");
    arrived(
        &outcome,
        &subscriber.messages(),
        &[("users", r#"{"id":2}"#)],
    );
}

#[test]
fn at_the_end_of_the_input_an_outage_is_survived_too() {
    let server = NatsServer::start();
    let mut run = Target::new().server(&server).spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line("1");
    server.kill();
    run.send(numbered(2));
    run.end_input();
    lives(&mut run, 2);
    server.start_again();
    run.wait().succeeds().prints("1\n2\n");
}

#[test]
fn a_signal_while_no_server_is_there_ends_the_run() {
    let mut run = Target::new()
        .setting("nats_url", "nats://127.0.0.1:1")
        .setting("connect_timeout_seconds", 1000)
        .spawn();
    run.send(schema("users", &[]) + &numbered(1));
    lives(&mut run, 1);
    let sent = Instant::now();
    run.signal("TERM");
    let outcome = run.wait();
    outcome.dies_by(SIGTERM).prints("");
    outcome.check(
        sent.elapsed() < Duration::from_secs(20),
        "it ends in bounded time",
    );
}

#[test]
fn what_was_read_before_a_signal_is_still_confirmed_when_the_server_answers_in_time() {
    let server = NatsServer::start();
    let mut run = Target::new().server(&server).spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line("1");
    server.stop();
    run.send(numbered(2));
    // Long enough for the record to have been read.
    lives(&mut run, 1);
    run.signal("TERM");
    lives(&mut run, 1);
    server.cont();
    run.wait().dies_by(SIGTERM).prints("1\n2\n");
}

#[test]
fn a_program_that_was_itself_stopped_does_not_blame_the_server() {
    let server = NatsServer::start();
    let subscriber = Subscriber::on(&server);
    let proxy = Proxy::before(&server);
    let mut run = Target::new()
        .log_of(&server)
        .setting("nats_url", proxy.url())
        .setting("confirm_timeout_seconds", 3)
        .spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line("1");
    proxy.hold();
    run.send(numbered(2));
    subscriber.wait_for(2);
    // The confirmation is outstanding, and comes while the program cannot look at its clock.
    run.signal("STOP");
    lives(&mut run, 5);
    proxy.open();
    run.signal("CONT");
    run.wait_for_line("2");
    run.end_input();
    let outcome = run.wait();
    outcome.succeeds().prints("1\n2\n");
}
