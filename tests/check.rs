//! `--check`: one line for each thing that was looked at, nothing published, and the exit code that a run would have.

use serde_json::{Value, json};

use crate::harness::{Cluster, JetStream, NatsServer, Outcome, Subscriber, Target, heavy};

/// One line of standard output holds all of these texts, in whatever case.
#[track_caller]
fn tells(outcome: &Outcome, parts: &[&str]) {
    let holds = |line: &str| {
        let line = line.to_lowercase();
        parts.iter().all(|part| line.contains(&part.to_lowercase()))
    };
    outcome.check(
        outcome.stdout_text().lines().any(holds),
        &format!("one line tells {parts:?}"),
    );
}

fn check(server: &NatsServer, settings: &[(&str, Value)]) -> Outcome {
    let target = Target::new().server(server).args(["--check"]);
    target.settings(settings).run()
}

#[test]
fn a_server_without_jetstream_is_told_of_line_by_line() {
    let server = NatsServer::with("server_name: lonely\nmax_payload: 12345\n");
    let mut subscriber = Subscriber::on(&server);
    let outcome = check(&server, &[]);
    outcome.succeeds();
    tells(&outcome, &[&server.address()]);
    tells(&outcome, &["lonely", "2."]);
    tells(&outcome, &["12345"]);
    tells(&outcome, &["latency", "ms"]);
    tells(&outcome, &["JetStream", "no"]);
    tells(&outcome, &["core"]);
    assert_eq!(subscriber.messages().len(), 0);
}

#[test]
fn the_stream_that_captures_a_known_subject_and_the_chosen_delivery_are_told() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("SHOP", &["shop.>"], json!({"allow_batched": true}));
    jetstream.stream("PEOPLE", &["people"], json!({"storage": "memory"}));
    let outcome = check(
        &server,
        &[(
            "subjects",
            json!({"orders": "shop.orders", "users": "people", "free": "free"}),
        )],
    );
    outcome.succeeds();
    tells(&outcome, &["shop.orders", "SHOP"]);
    tells(&outcome, &["shop.orders", "fast"]);
    tells(&outcome, &["people", "PEOPLE"]);
    tells(&outcome, &["people", "pipelined"]);
    tells(&outcome, &["free", "core"]);
    assert_eq!((jetstream.count("SHOP"), jetstream.count("PEOPLE")), (0, 0));
    outcome.logs_once(&[" | WARNING ", "PEOPLE", "memory"]);
}

#[test]
fn the_named_stream_and_the_bucket_are_told_and_neither_is_created() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    let outcome = check(
        &server,
        &[
            ("jetstream_stream", json!("NEW")),
            ("jetstream_create", json!({"subjects": ["users"]})),
        ],
    );
    outcome.succeeds();
    tells(&outcome, &["NEW", "created"]);
    let outcome = check(
        &server,
        &[
            ("delivery", json!("kv")),
            ("kv_bucket", json!("B")),
            ("kv_create", json!({})),
        ],
    );
    outcome.succeeds();
    tells(&outcome, &["B", "created"]);
    for name in ["NEW", "KV_B"] {
        assert!(jetstream.try_info(name).is_err(), "{name} was created");
    }
}

#[test]
fn a_named_stream_that_is_missing_fails_the_check_as_it_would_the_run() {
    let server = NatsServer::with_jetstream();
    let outcome = check(&server, &[("jetstream_stream", json!("NEW"))]);
    outcome.error(&["NEW"]);
    outcome.check(
        matches!(outcome.status.code(), Some(1 | 2)),
        "it is a matter of the settings or the server's",
    );
}

#[test]
fn a_subject_that_may_not_be_published_to_fails_the_check() {
    let server = NatsServer::with_jetstream_and(
        r#"authorization: {users: [
          {user: all, password: all}
          {user: n, password: n, permissions: {publish: {deny: ["secret"]}}}
        ]}"#,
    );
    let login = r#""user":"all","pass":"all""#;
    JetStream::with_login(&server, login).stream("S", &["secret", "open"], json!({}));
    let url = json!(format!("nats://n:n@{}", server.address()));
    let subjects = json!({"a": "open", "b": "secret"});
    let outcome = check(&server, &[("nats_url", url), ("subjects", subjects)]);
    outcome.exits(1).error(&["secret"]);
    assert_eq!(JetStream::with_login(&server, login).count("S"), 0);
}

#[test]
fn core_into_a_captured_subject_fails_the_check_as_it_would_the_run() {
    let server = NatsServer::with_jetstream();
    JetStream::on(&server).stream("S", &["open"], json!({}));
    let settings = [
        ("delivery", json!("core")),
        ("subjects", json!({"a": "open"})),
    ];
    check(&server, &settings).exits(1).error(&["open", "S"]);
}

#[test]
fn a_login_is_told_by_its_kind_and_not_by_its_secret() {
    let server = NatsServer::with("authorization: {user: someone, password: marker-password}");
    let url = format!("nats://someone:marker-password@{}", server.address());
    let outcome = check(&server, &[("nats_url", json!(url))]);
    outcome.succeeds().does_not_log("marker-password");
    tells(&outcome, &["password"]);
    outcome.check(
        !outcome.stdout_text().contains("marker-password"),
        "no secret is told",
    );
}

#[test]
fn a_cluster_is_told_by_its_name() {
    let _turn = heavy();
    let cluster = Cluster::start();
    let outcome = Target::new().cluster(&cluster).args(["--check"]).run();
    outcome.succeeds();
    tells(&outcome, &["trio"]);
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    let server = NatsServer::start();
    server.kill();
    check(&server, &[("connect_timeout_seconds", json!(1))])
        .exits(75)
        .error(&[&server.address()]);
}
