//! Logins and permissions: who gets in, who does not, and that no STATE claims what was refused.

use std::time::Duration;

use crate::harness::{NatsServer, Subscriber, Target, arrived, numbered, record, schema, state};

/// A user with a name and a password that a URL cannot hold as they are, and one that may not publish everywhere.
const USERS: &str = r#"
authorization {
  users = [
    { user: "us@er", password: "p@ss/w:rd%" }
    { user: "narrow", password: "n", permissions: { publish: { deny: ["secret", "secret.>"] } } }
  ]
}
"#;
const LOGIN: &str = r#""user":"us@er","pass":"p@ss/w:rd%""#;

#[test]
fn wrong_credentials_fail_at_once_and_are_not_shown() {
    let server = NatsServer::with(USERS);
    for login in [
        "us%40er:marker-password@",
        "nobody:marker-password@",
        "marker-password@",
        "",
    ] {
        let outcome = Target::new()
            .log_of(&server)
            .setting("nats_url", format!("nats://{login}{}", server.address()))
            .setting("connect_timeout_seconds", 40)
            .input(schema("users", &[]) + &numbered(1))
            .run();
        outcome
            .exits(1)
            .prints("")
            .error(&[&server.address()])
            .does_not_log("marker-password");
        outcome.check(
            outcome.took < Duration::from_secs(20),
            "it does not try again and again",
        );
    }
}

#[test]
fn a_login_in_the_url_is_percent_decoded() {
    let server = NatsServer::with(USERS);
    let mut subscriber = Subscriber::with_login(&server, LOGIN);
    let outcome = Target::new()
        .log_of(&server)
        .setting(
            "nats_url",
            format!("nats://us%40er:p%40ss%2Fw%3Ard%25@{}", server.address()),
        )
        .input(schema("users", &[]) + &numbered(1))
        .run();
    outcome.succeeds().prints("{\"id\": 1}\n");
    arrived(
        &outcome,
        &subscriber.messages(),
        &[("users", r#"{"id":1}"#)],
    );
}

#[test]
fn a_token_in_the_url_is_percent_decoded() {
    let server = NatsServer::with("authorization { token: \"t@k/en%\" }");
    let mut subscriber = Subscriber::with_login(&server, r#""auth_token":"t@k/en%""#);
    let outcome = Target::new()
        .log_of(&server)
        .setting(
            "nats_url",
            format!("nats://t%40k%2Fen%25@{}", server.address()),
        )
        .input(schema("users", &[]) + &numbered(1))
        .run();
    outcome.succeeds().prints("{\"id\": 1}\n");
    arrived(
        &outcome,
        &subscriber.messages(),
        &[("users", r#"{"id":1}"#)],
    );
}

#[test]
fn a_denied_subject_ends_the_run_with_its_name_and_no_state_behind_it() {
    let server = NatsServer::with(USERS);
    let mut subscriber = Subscriber::with_login(&server, LOGIN);
    let mut input = schema("users", &[]) + &schema("secret", &[]);
    for id in 1..=200 {
        input += &numbered(id);
    }
    input += &record("secret", r#"{"id":0}"#);
    for id in 201..=400 {
        input += &numbered(id);
    }
    let outcome = Target::new()
        .log_of(&server)
        .setting("nats_url", format!("nats://narrow:n@{}", server.address()))
        .input(input)
        .run();
    outcome.exits(1).error(&["secret"]);
    let messages = subscriber.messages();
    outcome.check(
        messages.iter().all(|message| message.subject == "users"),
        "nothing denied arrives",
    );
    for line in outcome.stdout_text().lines() {
        let id = line.trim_start_matches("{\"id\": ").trim_end_matches('}');
        outcome.check(
            id.parse::<u32>().is_ok_and(|id| id <= 200),
            &format!("{line} is a state before the denial"),
        );
    }
}

#[test]
fn a_denial_ends_the_run_while_the_tap_is_silent() {
    let server = NatsServer::with(USERS);
    let mut run = Target::new()
        .log_of(&server)
        .setting("nats_url", format!("nats://narrow:n@{}", server.address()))
        .setting("queue_prefix", "secret.")
        .setting("subjects", serde_json::json!({"users": "open.users"}))
        .spawn();
    run.send(schema("users", &[]) + &schema("orders", &[]) + &numbered(1));
    run.wait_for_line(r#"{"id": 1}"#);
    run.send(record("orders", r#"{"id":2}"#) + &state("2"));
    let outcome = run.wait();
    outcome
        .exits(1)
        .prints("{\"id\": 1}\n")
        .error(&["secret.orders"]);
}
