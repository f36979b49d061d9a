//! Servers and networks that fail: what is retried, what ends the run, how soon, and that no STATE claims too much.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::{
    NatsServer, PATIENCE, Proxy, Subscriber, Target, arrived, numbered, record, schema, state,
    wait_until,
};

/// A port that nothing listens on.
fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

#[test]
fn a_server_that_is_stopped_for_too_long_ends_the_run_as_unavailable() {
    let server = NatsServer::start();
    let mut run = Target::new()
        .server(&server)
        .setting("confirm_timeout_seconds", 2)
        .spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line(r#"{"id": 1}"#);
    server.stop();
    run.send(numbered(2));
    // Its input stays open.
    let outcome = run.wait();
    server.cont();
    outcome.exits(75).prints("{\"id\": 1}\n").error(&[]);
}

#[test]
fn a_stopped_server_ends_the_run_even_when_every_buffer_is_full() {
    let server = NatsServer::start();
    let mut run = Target::new()
        .server(&server)
        .setting("confirm_timeout_seconds", 2)
        .spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line(r#"{"id": 1}"#);
    server.stop();
    let text = "x".repeat(100_000);
    for _ in 0..600 {
        run.send(record("users", &format!(r#"{{"id":"{text}"}}"#)) + &state("2"));
    }
    let outcome = run.wait();
    server.cont();
    outcome.exits(75).prints("{\"id\": 1}\n").error(&[]);
}

#[test]
fn a_server_that_is_stopped_for_a_while_is_waited_for() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let mut run = Target::new().server(&server).spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line(r#"{"id": 1}"#);
    server.stop();
    run.send(numbered(2));
    let stopped = Instant::now();
    wait_until("three seconds are over", PATIENCE, || {
        assert_eq!(
            run.stdout(),
            "{\"id\": 1}\n",
            "a state is printed without a confirmation"
        );
        stopped.elapsed() > Duration::from_secs(3)
    });
    server.cont();
    run.wait_for_line(r#"{"id": 2}"#);
    run.end_input();
    let outcome = run.wait();
    outcome.succeeds();
    arrived(
        &outcome,
        &subscriber.messages(),
        &[("users", r#"{"id":1}"#), ("users", r#"{"id":2}"#)],
    );
}

#[test]
fn a_port_that_accepts_and_stays_silent_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", silent.local_addr().unwrap());
    let outcome = Target::new()
        .setting("nats_url", url)
        .setting("connect_timeout_seconds", 2)
        .input(schema("users", &[]) + &numbered(1))
        .run();
    outcome.exits(75).prints("").error(&["127.0.0.1"]);
}

#[test]
fn a_port_that_speaks_something_else_is_refused_at_once() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", other.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in other.incoming().flatten() {
            let _ = (&client).write_all(b"220 mail.example ESMTP\r\n");
        }
    });
    let outcome = Target::new()
        .setting("nats_url", url)
        .setting("connect_timeout_seconds", 2)
        .input(schema("users", &[]) + &numbered(1))
        .run();
    outcome
        .exits(1)
        .prints("")
        .error(&["127.0.0.1", "no NATS server"]);
}

#[test]
fn a_server_that_is_never_there_is_given_up_after_the_connect_time_out() {
    let outcome = Target::new()
        .setting("nats_url", format!("127.0.0.1:{}", dead_port()))
        .setting("connect_timeout_seconds", 2)
        .input(schema("users", &[]) + &numbered(1))
        .run();
    outcome.exits(75).prints("").error(&["127.0.0.1"]);
    outcome.check(
        outcome.took >= Duration::from_secs(1),
        "it tries for a while",
    );
}

#[test]
fn a_server_that_comes_up_five_seconds_late_is_waited_for() {
    let server = NatsServer::start();
    server.kill();
    let start = Instant::now();
    let mut run = Target::new().server(&server).spawn();
    run.send(schema("users", &[]) + &numbered(1));
    wait_until("five seconds are over", PATIENCE, || {
        assert!(!run.has_ended(), "it gave up:\n{}", run.give_up().stderr);
        start.elapsed() > Duration::from_secs(5)
    });
    server.start_again();
    run.wait_for_line(r#"{"id": 1}"#);
    run.end_input();
    run.wait().succeeds().prints("{\"id\": 1}\n");
}

#[test]
fn what_was_read_before_the_first_connection_arrives() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let proxy = Proxy::before(&server);
    proxy.refuse();
    let mut run = Target::new()
        .log_of(&server)
        .setting("nats_url", proxy.url())
        .spawn();
    run.send(schema("users", &[]) + &numbered(1) + &numbered(2));
    wait_until("it has tried three times", PATIENCE, || {
        proxy.accepted() >= 3
    });
    proxy.open();
    run.wait_for_line(r#"{"id": 2}"#);
    run.end_input();
    let outcome = run.wait();
    outcome.succeeds().prints_last(r#"{"id": 2}"#);
    arrived(
        &outcome,
        &subscriber.messages(),
        &[("users", r#"{"id":1}"#), ("users", r#"{"id":2}"#)],
    );
}

/// The first of two servers is of no use; the second gets the records.
#[track_caller]
fn second_server_is_used(first: &str) {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    for separator in [",", ", "] {
        let outcome = Target::new()
            .log_of(&server)
            .setting("nats_url", format!("{first}{separator}{}", server.url()))
            .input(schema("users", &[]) + &numbered(1))
            .run();
        outcome.succeeds().prints("{\"id\": 1}\n");
    }
    assert_eq!(subscriber.messages().len(), 2);
}

#[test]
fn of_several_servers_a_dead_one_is_passed_over() {
    second_server_is_used(&format!("nats://127.0.0.1:{}", dead_port()));
}

#[test]
fn of_several_servers_a_silent_one_is_passed_over() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    second_server_is_used(&format!("nats://{}", silent.local_addr().unwrap()));
}

#[test]
fn when_one_of_several_servers_dies_the_run_goes_on_with_another() {
    let (first, second) = (NatsServer::start(), NatsServer::start());
    let mut subscriber = Subscriber::on(&second);
    let mut run = Target::new()
        .log_of(&second)
        .setting("nats_url", format!("{},{}", first.url(), second.url()))
        .spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line(r#"{"id": 1}"#);
    assert_eq!(
        subscriber.messages().len(),
        0,
        "the first server of the list is used first"
    );
    first.kill();
    run.send(numbered(2));
    run.wait_for_line(r#"{"id": 2}"#);
    run.end_input();
    let outcome = run.wait();
    outcome.succeeds();
    arrived(
        &outcome,
        &subscriber.messages(),
        &[("users", r#"{"id":2}"#)],
    );
}

#[test]
fn the_servers_own_limit_of_a_payload_counts() {
    let server = NatsServer::with("max_payload: 1000");
    let mut subscriber = Subscriber::on(&server);
    let fits = format!(r#"{{"id":"{}"}}"#, "x".repeat(991));
    assert_eq!(fits.len(), 1000);
    let too_large = format!(r#"{{"id":"{}"}}"#, "x".repeat(992));
    let input = schema("users", &[])
        + &record("users", &fits)
        + &state("1")
        + &record("users", &too_large)
        + &state("2");
    let outcome = Target::new().server(&server).input(input).run();
    outcome
        .exits(1)
        .prints("1\n")
        .error(&["line 4", "stream users", "1001", "1000"]);
    arrived(&outcome, &subscriber.messages(), &[("users", &fits)]);
}

#[test]
fn a_limit_that_shrinks_with_a_restart_counts_from_then_on() {
    let server = NatsServer::with("max_payload: 2000");
    let mut run = Target::new().server(&server).spawn();
    let large = record("users", &format!(r#"{{"id":"{}"}}"#, "x".repeat(1500)));
    run.send(schema("users", &[]) + &large + &state("1"));
    run.wait_for_line("1");
    server.kill();
    server.configure("max_payload: 1000");
    server.start_again();
    run.send(large + &state("2"));
    let outcome = run.wait();
    outcome.exits(1).prints("1\n").error(&["users", "1000"]);
}

#[test]
fn a_server_that_is_gone_for_good_ends_the_run_as_unavailable() {
    let server = NatsServer::start();
    let mut run = Target::new()
        .server(&server)
        .setting("confirm_timeout_seconds", 2)
        .spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line(r#"{"id": 1}"#);
    server.kill();
    run.send(numbered(2));
    let outcome = run.wait();
    outcome.exits(75).prints("{\"id\": 1}\n").error(&[]);
}

#[test]
fn a_server_that_is_gone_matters_not_when_everything_is_confirmed() {
    let server = NatsServer::start();
    let mut run = Target::new().server(&server).spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line(r#"{"id": 1}"#);
    server.kill();
    run.end_input();
    run.wait().succeeds().prints("{\"id\": 1}\n");
}

#[test]
fn a_server_that_goes_away_while_the_tap_is_silent_and_comes_back_is_used_again() {
    let server = NatsServer::start();
    let mut run = Target::new().server(&server).spawn();
    run.send(schema("users", &[]));
    for id in 1..=4 {
        let mut subscriber = Subscriber::on(&server);
        run.send(numbered(id));
        run.wait_for_line(&format!(r#"{{"id": {id}}}"#));
        assert_eq!(
            subscriber.messages().last().unwrap().text(),
            format!(r#"{{"id":{id}}}"#)
        );
        server.kill();
        server.start_again();
    }
    run.end_input();
    run.wait().succeeds();
}

#[test]
fn a_slow_subscriber_that_is_cut_off_does_not_disturb() {
    let server = NatsServer::with("max_pending: 32MB\nwrite_deadline: \"2s\"\n");
    let mut subscriber = Subscriber::each(&server, |_| ());
    let mut slow = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    slow.write_all(b"CONNECT {\"verbose\":false}\r\nSUB > 1\r\n")
        .unwrap();
    let payload = format!(r#"{{"id":"{}"}}"#, "x".repeat(100_000));
    let mut input = schema("users", &[]);
    for _ in 0..1000 {
        input += &record("users", &payload);
    }
    let outcome = Target::new()
        .server(&server)
        .input(input + &state("1"))
        .run();
    outcome.succeeds().prints("1\n");
    subscriber.settle();
    outcome.check(
        subscriber.count() == 1000,
        "every record arrives at the one that reads",
    );
    wait_until("the server has cut the slow one off", PATIENCE, || {
        server.log().contains("Slow Consumer")
    });
}

#[test]
fn a_first_connection_comes_without_a_pause() {
    // The client library would sleep up to a second before it, half a second on average.
    const RUNS: u32 = 12;
    let server = NatsServer::start();
    let publish = || {
        Target::new()
            .server(&server)
            .input(schema("users", &[]) + &numbered(1))
            .run()
    };
    let total: Duration = (0..RUNS).map(|_| publish().succeeds().took).sum();
    let alone: Duration = (0..RUNS)
        .map(|_| Target::new().args(["--version"]).run().exits(0).took)
        .sum();
    assert!(
        total < alone * 4 + Duration::from_secs(3),
        "{RUNS} runs took {total:?}, and {alone:?} without a server"
    );
}

#[test]
fn a_server_whose_greeting_is_too_long_for_the_client_library_is_no_obstacle() {
    let server = NatsServer::with(&format!("server_name: \"{}\"", "x".repeat(6000)));
    let mut subscriber = Subscriber::on(&server);
    let outcome = Target::new()
        .server(&server)
        .input(schema("users", &[]) + &numbered(1))
        .run();
    outcome.succeeds();
    assert_eq!(subscriber.messages().len(), 1);
}

#[test]
fn an_advertised_address_that_nobody_reaches_does_not_hold_the_run_up() {
    // Of a range for documentation, where nothing is.
    let server = NatsServer::with(
        "client_advertise: \"192.0.2.1:4222\"\ncluster: {name: c, listen: \"127.0.0.1:-1\"}",
    );
    let mut run = Target::new().server(&server).spawn();
    run.send(schema("users", &[]) + &numbered(1));
    run.wait_for_line(r#"{"id": 1}"#);
    for id in 2..=4 {
        server.kill();
        server.start_again();
        run.send(numbered(id));
        run.wait_for_line(&format!(r#"{{"id": {id}}}"#));
    }
    run.end_input();
    let outcome = run.wait();
    outcome.succeeds();
    outcome.check(
        outcome.took < Duration::from_secs(30),
        "the address that answers is tried soon enough",
    );
}
