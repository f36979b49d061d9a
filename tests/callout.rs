//! Logins that a server leaves to an auth callout, and credentials that run out while records come.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    Callout, NatsServer, Operator, Outcome, PATIENCE, Running, Subscriber, Target, Verdict, record,
    schema, state, wait_until,
};

fn input() -> String {
    schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1")
}

fn target(server: &NatsServer) -> Target {
    Target::new()
        .server(server)
        .setting("nats_user", "u")
        .setting("nats_password", "right")
        .setting("connect_timeout_seconds", 20)
}

/// Admits whoever has the password.
fn by_password(options: &Value) -> Verdict {
    if options["pass"] == "right" {
        Verdict::Admit(None)
    } else {
        Verdict::Refuse("not among the users")
    }
}

/// Sends records of three streams, each with a state that is its number, until the run has ended or it is enough.
fn feed(running: &mut Running, mut is_enough: impl FnMut(u32) -> bool) -> u32 {
    running.send(schema("a", &[]) + &schema("b", &[]) + &schema("c", &[]));
    let mut number = 0;
    wait_until("the run has had enough", PATIENCE, || {
        number += 1;
        let line = |stream| record(stream, &format!("{{\"n\":{number}}}"));
        running.send(line("a") + &line("b") + &line("c") + &state(&number.to_string()));
        running.has_ended() || is_enough(number)
    });
    number
}

#[test]
fn a_login_that_a_callout_admits_gets_in() {
    let callout = Callout::start(by_password);
    target(&callout.server)
        .input(input())
        .run()
        .succeeds()
        .prints("1\n");
}

#[test]
fn a_login_that_a_callout_refuses_is_refused_at_once() {
    let callout = Callout::start(by_password);
    let outcome = target(&callout.server)
        .setting("nats_password", "wrong")
        .input(input())
        .run();
    outcome.exits(1).prints("").error(&[
        "refuses the login",
        "by user and password",
        "nats_password",
    ]);
    outcome.check(
        outcome.took < Duration::from_secs(10),
        "it does not try again and again",
    );
    outcome.check(
        callout.asked() <= 4,
        "the service is not asked again and again",
    );
}

/// The newest state, and whether each record up to it has arrived in each stream.
#[track_caller]
fn nothing_is_missing(outcome: &Outcome, subscriber: &mut Subscriber) -> u32 {
    let text = outcome.stdout_text();
    let last = text.lines().last().unwrap_or("0").parse().unwrap();
    let arrived: HashSet<(String, String)> = subscriber
        .messages()
        .into_iter()
        .map(|message| (message.subject.clone(), message.text().to_owned()))
        .collect();
    for number in 1..=last {
        for stream in ["a", "b", "c"] {
            let message = (stream.to_owned(), format!("{{\"n\":{number}}}"));
            outcome.check(
                arrived.contains(&message),
                &format!("record {number} of {stream} has arrived before its state was printed"),
            );
        }
    }
    last
}

#[test]
fn a_login_that_a_callout_grants_for_a_while_is_asked_for_again() {
    let callout = Callout::start(|options| match options["user"].as_str() {
        Some("u") => Verdict::Admit(Some(2)),
        _ => Verdict::Admit(None),
    });
    let mut subscriber = Subscriber::with_login(&callout.server, r#""user":"watch","pass":"""#);
    let mut running = target(&callout.server).setting("workers", 1).spawn();
    // The subscriber, the first connection and two more.
    let sent = feed(&mut running, |_| callout.asked() >= 4);
    running.end_input();
    let outcome = running.wait();
    outcome.succeeds();
    assert_eq!(nothing_is_missing(&outcome, &mut subscriber), sent);
}

#[test]
fn credentials_that_expire_while_records_come_end_a_run_over_several_connections() {
    let operator = Operator::new();
    let server = NatsServer::with(&operator.config());
    let bearer = format!(r#""jwt":"{}""#, operator.bearer());
    let mut subscriber = Subscriber::with_login(&server, &bearer);
    let mut running = Target::new()
        .server(&server)
        .setting("nats_credentials", operator.user(Some(4)).text())
        .setting("workers", 3)
        .setting("connections", 3)
        .spawn();
    feed(&mut running, |_| false);
    let outcome = running.wait();
    outcome
        .exits(1)
        .error(&["the credentials (user JWT) expired on 20", "Z"]);
    let last = nothing_is_missing(&outcome, &mut subscriber);
    outcome.check(last > 0, "states were printed before");
}

/// The server waits for its time-out of logins, and then tells a refusal from silence to nobody.
#[test]
fn a_callout_that_says_nothing_is_a_refusal_and_no_hang() {
    let callout = Callout::start(|_| Verdict::Silence);
    let outcome = target(&callout.server).input(input()).run();
    outcome
        .exits(1)
        .prints("")
        .error(&["refuses the login", "Authorization Violation"]);
    outcome.check(outcome.took < Duration::from_secs(10), "it ends soon");
}
