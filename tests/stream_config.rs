//! Streams that are created, streams that are left alone, and warnings of what a stream may lose.
//!
//! Buckets are in `kv.rs`.

use serde_json::{Value, json};

use crate::harness::{JetStream, NatsServer, Outcome, Target, record, schema, state};

fn one_record() -> String {
    schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1")
}

/// A run that creates the stream `NEW` with this configuration where there is none.
fn creating(server: &NatsServer, config: Value) -> Target {
    Target::new()
        .server(server)
        .setting("jetstream_stream", "NEW")
        .setting("jetstream_create", config)
        .input(one_record())
}

#[track_caller]
fn has(outcome: &Outcome, config: &Value, wanted: &Value) {
    for (field, value) in wanted.as_object().unwrap() {
        outcome.check(
            config[field] == *value,
            &format!("{field} is {value} in {config}"),
        );
    }
}

#[test]
fn a_missing_stream_is_made_as_it_was_asked_for() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    let wanted = json!({
        "subjects": ["users", "more.>"], "storage": "memory", "max_msgs": 1000, "max_msg_size": 5000,
        "duplicate_window": 60_000_000_000_u64, "allow_batched": true, "allow_direct": true,
        "compression": "none", "description": "by a tap", "metadata": {"team": "data"},
    });
    let outcome = creating(&server, wanted.clone()).run();
    outcome
        .succeeds()
        .prints("1\n")
        .logs_once(&[" | INFO ", "NEW", "created"]);
    let config = jetstream.info("NEW")["config"].take();
    assert_eq!(config["metadata"]["team"], "data");
    let mut wanted = wanted;
    wanted.as_object_mut().unwrap().remove("metadata");
    has(&outcome, &config, &wanted);
    assert_eq!(jetstream.count("NEW"), 1);
}

#[test]
fn an_empty_object_makes_a_stream_with_sensible_defaults() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    let outcome = creating(&server, json!({}))
        .setting("queue_prefix", "singer.")
        .run();
    outcome.succeeds().prints("1\n");
    let config = jetstream.info("NEW")["config"].take();
    let wanted = json!({"storage": "file", "retention": "limits", "max_msgs": -1, "max_bytes": -1, "max_age": 0});
    has(&outcome, &config, &wanted);
    let stored = jetstream.messages("NEW");
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].subject, "singer.users");
}

#[test]
fn a_stream_that_exists_is_never_changed_and_differences_are_one_warning() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("NEW", &["users"], json!({"metadata": {"by": "hand"}}));
    let before = jetstream.info("NEW")["config"].take();
    let outcome = creating(
        &server,
        json!({"subjects": ["users"], "max_msgs": 7, "allow_batched": true, "storage": "file"}),
    )
    .run();
    outcome.succeeds().prints("1\n").logs_once(&[
        " | WARNING ",
        "NEW",
        "max_msgs",
        "allow_batched",
    ]);
    outcome.check(
        !outcome
            .stderr
            .lines()
            .any(|line| line.contains("max_msgs") && line.contains("storage")),
        "what is the same is not named",
    );
    assert_eq!(jetstream.info("NEW")["config"], before);
}

#[test]
fn a_stream_that_exists_as_it_was_asked_for_is_no_matter() {
    let server = NatsServer::with_jetstream();
    let wanted = json!({"subjects": ["users"], "max_msg_size": 5000});
    for _ in 0..2 {
        let outcome = creating(&server, wanted.clone()).run();
        outcome.succeeds().does_not_log(" | WARNING ");
    }
    assert_eq!(JetStream::on(&server).count("NEW"), 2);
}

#[test]
fn a_field_that_the_server_does_not_know_is_an_error_with_its_name() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    let outcome = creating(&server, json!({"subjects": ["users"], "max_msgz": 7})).run();
    outcome.prints("").error(&["NEW", "max_msgz"]);
    outcome.check(
        matches!(outcome.status.code(), Some(1 | 2)),
        "it is a matter of the settings or the server's",
    );
    assert!(jetstream.try_info("NEW").is_err());
}

#[test]
fn a_stream_that_would_overlap_another_one_is_an_error_with_the_servers_words() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("OLD", &["*"], json!({}));
    let outcome = creating(&server, json!({"subjects": ["users"]})).run();
    outcome.exits(1).prints("").error(&["NEW", "overlap"]);
    assert_eq!(jetstream.count("OLD"), 0);
}

#[test]
fn a_configuration_that_the_server_refuses_is_an_error_at_once_with_its_words() {
    for (config, words) in [
        (
            json!({"subjects": ["users"], "num_replicas": 3}),
            "replicas > 1",
        ),
        (
            json!({"subjects": ["users"], "max_age": "1m", "duplicate_window": "1h"}),
            "duplicates window",
        ),
    ] {
        let server = NatsServer::with_jetstream();
        let outcome = creating(&server, config).run();
        outcome.exits(1).prints("").error(&["NEW", words]);
    }
}

#[test]
fn what_is_left_to_the_server_is_no_matter() {
    let server = NatsServer::with_jetstream();
    let outcome = creating(
        &server,
        json!({
            "subjects": ["users"], "num_replicas": 0, "duplicate_window": 0, "persist_mode": "default",
            "storage": null, "max_msgs": -5, "republish": {"src": "", "dest": "copies.>"},
        }),
    )
    .run();
    outcome.succeeds().prints("1\n");
}

#[test]
fn times_may_be_words_wherever_they_are() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    let wanted = json!({"subjects": ["users"], "max_age": "1.5h", "duplicate_window": "1m30s",
        "consumer_limits": {"inactive_threshold": "5s"}});
    let outcome = creating(&server, wanted).run();
    outcome.succeeds().prints("1\n");
    has(
        &outcome,
        &jetstream.info("NEW")["config"],
        &json!({"max_age": 5_400_000_000_000_u64, "duplicate_window": 90_000_000_000_u64,
            "consumer_limits": {"inactive_threshold": 5_000_000_000_u64}}),
    );
}

#[test]
fn a_stream_to_create_needs_a_name() {
    let server = NatsServer::with_jetstream();
    let outcome = Target::new()
        .server(&server)
        .setting("jetstream_create", json!({}))
        .input(one_record())
        .run();
    outcome
        .exits(2)
        .prints("")
        .error(&["jetstream_create", "jetstream_stream"]);
}

/// A run into a stream with this configuration.
#[track_caller]
fn audited(config: Value, settings: impl Fn(Target) -> Target) -> Outcome {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("S", &["users", "orders"], config);
    let input =
        one_record() + &schema("orders", &[]) + &record("orders", r#"{"id":1}"#) + &state("2");
    settings(Target::new().server(&server)).input(input).run()
}

#[test]
fn what_may_vanish_though_acknowledged_is_one_warning() {
    for (config, word) in [
        (json!({"retention": "interest"}), "interest"),
        (json!({"storage": "memory"}), "memory"),
        (json!({"max_age": 3_600_000_000_000_u64}), "max_age"),
        (json!({"max_msgs": 100_000}), "max_msgs"),
        (json!({"max_bytes": 100_000_000}), "max_bytes"),
        (json!({"max_msgs_per_subject": 5}), "max_msgs_per_subject"),
        (
            json!({"max_msgs_per_subject": 5, "discard": "new"}),
            "max_msgs_per_subject",
        ),
        (json!({"persist_mode": "async"}), "persist_mode"),
    ] {
        let outcome = audited(config, |target| target);
        outcome
            .succeeds()
            .prints_last("2")
            .logs_once(&[" | WARNING ", "S", word]);
    }
}

#[test]
fn a_limit_that_refuses_is_no_matter_of_a_warning() {
    for config in [
        json!({}),
        json!({"max_msgs": 100_000, "discard": "new"}),
        json!({"allow_batched": true}),
        json!({"retention": "workqueue"}),
    ] {
        audited(config, |target| target)
            .succeeds()
            .does_not_log(" | WARNING ");
    }
}

#[test]
fn interest_retention_with_a_consumer_is_no_matter_of_a_warning() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("S", &["users"], json!({"retention": "interest"}));
    jetstream.consumer("S", "reader");
    let outcome = Target::new().server(&server).input(one_record()).run();
    outcome.succeeds().does_not_log(" | WARNING ");
    assert_eq!(jetstream.count("S"), 1);
}

#[test]
fn a_short_window_for_duplicates_is_a_warning_where_ids_are_of_the_content() {
    let short = json!({"duplicate_window": 1_000_000_000});
    audited(short.clone(), |target| {
        target.setting("message_id", "content")
    })
    .succeeds()
    .logs_once(&[" | WARNING ", "S", "duplicate_window"]);
    audited(short, |target| target)
        .succeeds()
        .does_not_log("duplicate_window");
}

#[test]
fn a_stream_that_acknowledges_nothing_is_a_warning_and_never_a_receipt() {
    let outcome = audited(json!({"no_ack": true}), |target| {
        target.setting("confirm_timeout_seconds", 3)
    });
    outcome.logs_once(&[" | WARNING ", "S", "no_ack"]);
    outcome
        .prints("")
        .check(!outcome.status.success(), "it fails");
}

#[test]
fn a_check_tells_the_window_that_the_server_will_give_to_a_stream() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    let outcome = creating(&server, json!({"subjects": ["users"]}))
        .setting("message_id", "content")
        .args(["--check"])
        .run();
    outcome
        .succeeds()
        .logs_once(&["NEW", "after 120 seconds (duplicate_window)"]);
    assert!(jetstream.try_info("NEW").is_err(), "a check makes nothing");
}
