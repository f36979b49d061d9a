//! Configuration: files, the environment, `.env`, unknown keys, and what is refused. Most of it is seen in the
//! subject that a dry run prints.

use serde_json::{Value, json};

use crate::harness::{NatsServer, Outcome, Target, record, schema, state};

/// A dry run of one record of the stream `s`.
fn dry(target: Target) -> Outcome {
    target
        .args(["--dry-run"])
        .input(schema("s", &["id"]) + &record("s", r#"{"id":1}"#))
        .run()
}

/// The record goes to this subject.
#[track_caller]
fn subject(target: Target, expected: &str) -> Outcome {
    let outcome = dry(target);
    outcome
        .succeeds()
        .prints(&format!("{expected}\t{{}}\t{{\"id\":1}}\n"));
    outcome
}

/// This setting ends the run as an error of the configuration that says so.
#[track_caller]
fn refused(key: &str, value: impl Into<Value>, parts: &[&str]) {
    let outcome = dry(Target::new().setting(key, value));
    outcome.exits(2).prints("").error(&[key]).error(parts);
}

/// From the environment, with `--config ENV` alone.
fn from_env(variables: &[(&str, &str)]) -> Target {
    variables.iter().fold(
        Target::new().args(["--config", "ENV"]),
        |target, (key, value)| target.env(key, value),
    )
}

#[test]
fn a_missing_file_is_named() {
    dry(Target::new().args(["--config", "nope.json"]))
        .exits(2)
        .prints("")
        .error(&["nope.json", "not found"]);
}

#[test]
fn a_missing_file_with_a_template_beside_it_gets_a_hint() {
    let target = Target::new()
        .file("mine.json.template", "{}")
        .args(["--config", "mine.json"]);
    dry(target).exits(2).error(&["mine.json.template"]);
}

#[test]
fn a_file_that_is_no_json_is_named() {
    for text in ["", "{", "queue_prefix: x", "{} {}", "{\"a\":1,}"] {
        dry(Target::new().config(text))
            .exits(2)
            .prints("")
            .error(&["config.json", "JSON"]);
    }
}

#[test]
fn a_file_that_is_no_object_is_refused() {
    for text in ["[1]", "null", "5", "\"x\"", "true"] {
        dry(Target::new().config(text))
            .exits(2)
            .prints("")
            .error(&["config.json", "object"]);
    }
}

#[test]
fn an_empty_list_passes_as_an_empty_configuration() {
    subject(Target::new().config("[]"), "s");
}

#[test]
fn an_empty_file_name_is_refused() {
    dry(Target::new().args(["--config", ""]))
        .exits(2)
        .prints("")
        .error(&["config"]);
}

#[test]
fn every_wrong_value_is_reported_at_once() {
    let outcome = dry(Target::new()
        .setting("queue_prefix", 5)
        .setting("subjects", "x")
        .setting("workers", "two"));
    outcome.exits(2).prints("").error(&[
        "queue_prefix",
        "a string",
        "subjects",
        "an object",
        "workers",
        "an integer",
    ]);
}

#[test]
fn a_wrong_type_is_refused() {
    refused("nats_url", 4222, &["a string"]);
    refused("connect_timeout_seconds", "30", &["a number"]);
    refused("process_activate_version_messages", "yes", &["a boolean"]);
    refused("batch_size_rows", 1.5, &["an integer"]);
    refused(
        "subject_invalid",
        "ignore",
        &["reject", "replace", "encode"],
    );
    refused(
        "load_method",
        "merge",
        &["append-only", "upsert", "overwrite"],
    );
    refused("log_format", "xml", &["auto", "text", "json"]);
    refused("headers", json!({"A": 1}), &[]);
    refused("subjects", json!(["a"]), &["an object"]);
}

#[test]
fn a_value_out_of_its_range_is_refused() {
    refused("connect_timeout_seconds", 0, &[]);
    refused("confirm_timeout_seconds", -1, &[]);
    refused("state_interval_seconds", -1, &[]);
    refused("workers", 0, &[]);
    refused("max_in_flight", 0, &[]);
}

#[test]
fn an_address_that_makes_no_sense_is_refused_without_its_login() {
    for url in [
        "nats://u:marker-password@h:99999",
        "ws://u:marker-password@h",
        "nats://u:marker-password@",
        "",
        "nats://a,,nats://u:marker-password@b",
    ] {
        let outcome = dry(Target::new().setting("nats_url", url));
        outcome
            .exits(2)
            .prints("")
            .error(&["nats_url"])
            .does_not_log("marker-password");
    }
}

#[test]
fn a_template_that_makes_no_sense_is_refused() {
    for template in [
        "{nope}",
        "{stream",
        "a.}",
        "{record}",
        "{record.}",
        "{}",
        "",
    ] {
        refused("subject", template, &[]);
    }
    refused("subjects", json!({"s": "{nope}"}), &[]);
    refused("headers", json!({"A": "{nope}"}), &[]);
}

#[test]
fn null_is_the_default() {
    let mut target = Target::new();
    for key in [
        "nats_url",
        "queue_prefix",
        "enable_schema_registry",
        "add_record_metadata",
        "validate_records",
        "stream_maps",
        "flattening_enabled",
        "batch_config",
        "subject",
        "subjects",
        "headers",
        "workers",
        "connect_timeout_seconds",
        "log_format",
        "batch_size_rows",
        "load_method",
    ] {
        target = target.setting(key, Value::Null);
    }
    subject(target, "s");
}

#[test]
fn a_later_file_wins_and_values_are_replaced_whole() {
    let target = Target::new()
        .file(
            "a.json",
            r#"{"queue_prefix":"a.","subjects":{"s":"from-a"}}"#,
        )
        .file("b.json", r#"{"subjects":{"other":"from-b"}}"#)
        .args(["--config", "a.json", "--config=b.json"]);
    subject(target, "a.s");
}

#[test]
fn the_environment_wins_over_files_wherever_it_stands() {
    for args in [
        ["--config", "ENV", "--config", "a.json"],
        ["--config", "a.json", "--config", "ENV"],
    ] {
        let target = Target::new()
            .file("a.json", r#"{"queue_prefix":"file."}"#)
            .args(args)
            .env("TARGET_NATS_QUEUE_PREFIX", "env.");
        subject(target, "env.s");
    }
}

#[test]
fn the_environment_is_not_read_without_its_word() {
    let target = Target::new()
        .setting("queue_prefix", "file.")
        .env("TARGET_NATS_QUEUE_PREFIX", "env.");
    subject(target, "file.s").logs("Skipping parse of env var settings...");
    // In lower case the word is a file.
    dry(Target::new().args(["--config", "env"]))
        .exits(2)
        .error(&["env", "not found"]);
}

#[test]
fn each_variable_that_is_read_is_logged_without_its_value() {
    let outcome = subject(
        from_env(&[("TARGET_NATS_QUEUE_PREFIX", "marker.")]),
        "marker.s",
    );
    outcome
        .logs("Parsing env var for settings config...")
        .logs("singer_sdk.configuration._dict_config")
        .logs("Parsing 'queue_prefix' config from env variable 'TARGET_NATS_QUEUE_PREFIX'.")
        .does_not_log("marker");
}

#[test]
fn variables_are_converted_by_the_type_of_their_setting() {
    let set = [
        ("TARGET_NATS_BATCH_SIZE_ROWS", " +1_000 "),
        ("TARGET_NATS_CONNECT_TIMEOUT_SECONDS", "1.5"),
        ("TARGET_NATS_PROCESS_ACTIVATE_VERSION_MESSAGES", "Off"),
        ("TARGET_NATS_ENABLE_SCHEMA_REGISTRY", "false"),
        ("TARGET_NATS_SUBJECTS", r#"{"s": "from.{stream}"}"#),
        ("TARGET_NATS_LOAD_METHOD", "upsert"),
    ];
    subject(from_env(&set), "from.s");
}

#[test]
fn a_variable_that_cannot_be_converted_is_named() {
    for (variable, value) in [
        ("TARGET_NATS_BATCH_SIZE_ROWS", "many"),
        ("TARGET_NATS_BATCH_SIZE_ROWS", ""),
        ("TARGET_NATS_SUBJECTS", "{"),
        ("TARGET_NATS_SUBJECTS", "[]"),
        ("TARGET_NATS_PROCESS_ACTIVATE_VERSION_MESSAGES", "maybe"),
        ("TARGET_NATS_CONNECT_TIMEOUT_SECONDS", "soon"),
        ("TARGET_NATS_LOAD_METHOD", "merge"),
    ] {
        dry(from_env(&[(variable, value)]))
            .exits(2)
            .prints("")
            .error(&[variable]);
    }
}

#[test]
fn a_variable_that_is_set_and_empty_counts() {
    let target = Target::new()
        .setting("queue_prefix", "file.")
        .args(["--config", "ENV"])
        .env("TARGET_NATS_QUEUE_PREFIX", "");
    subject(target, "s");
}

#[test]
fn only_the_exact_name_of_a_variable_counts() {
    subject(
        from_env(&[
            ("target_nats_queue_prefix", "a."),
            ("TARGET_NATS_PREFIX", "b."),
            ("QUEUE_PREFIX", "c."),
        ]),
        "s",
    );
}

#[test]
fn the_file_dot_env_is_read_with_the_environment() {
    let text = "# mine\nexport TARGET_NATS_QUEUE_PREFIX='dot.'\nBASE=x\nTARGET_NATS_SUBJECT=\"{queue_prefix}${BASE}.{stream}\"\n";
    subject(
        Target::new().file(".env", text).args(["--config", "ENV"]),
        "dot.x.s",
    );
}

#[test]
fn the_environment_wins_over_dot_env() {
    let target = Target::new()
        .file(".env", "TARGET_NATS_QUEUE_PREFIX=dot.\n")
        .args(["--config", "ENV"])
        .env("TARGET_NATS_QUEUE_PREFIX", "real.");
    subject(target, "real.s");
}

#[test]
fn dot_env_is_not_read_without_the_environment() {
    subject(
        Target::new()
            .file(".env", "TARGET_NATS_QUEUE_PREFIX=dot.\n")
            .setting("queue_prefix", "file."),
        "file.s",
    );
}

#[test]
fn an_unknown_key_is_warned_of_with_its_neighbour() {
    let outcome = subject(
        Target::new()
            .setting("queue_prefx", "x.")
            .setting("something_else", 1),
        "s",
    );
    outcome
        .logs("queue_prefx")
        .logs("'queue_prefix'")
        .logs("something_else");
    let warnings = outcome
        .stderr
        .lines()
        .filter(|line| line.contains("| WARNING  |"))
        .count();
    outcome.check(warnings == 2, "there is one warning each");
}

#[test]
fn what_the_python_target_ignored_is_accepted() {
    let target = Target::new()
        .setting("load_method", "overwrite")
        .setting("batch_size_rows", 5);
    subject(target, "s").does_not_log("WARNING");
}

#[test]
fn settings_of_transforms_are_refused_until_they_work() {
    let later = "not available in this version";
    refused("add_record_metadata", true, &[later]);
    refused("stream_maps", json!({"s": {"__alias__": "t"}}), &[later]);
    refused("stream_map_config", json!({"a": 1}), &[later]);
    refused("faker_config", json!({"seed": 1}), &[later]);
    refused("flattening_enabled", true, &[later]);
    refused("flattening_max_depth", 2, &[later]);
    refused("flattening_max_key_length", 20, &[later]);
    refused("flattening_separator", "-", &[later]);
    refused("enable_schema_registry", "maybe", &[]);
}

#[test]
fn settings_of_transforms_may_say_their_default() {
    let target = Target::new()
        .setting("add_record_metadata", false)
        .setting("validate_records", true)
        .setting("stream_maps", json!({}))
        .setting("stream_map_config", json!({}))
        .setting("faker_config", json!({}))
        .setting("flattening_enabled", false)
        .setting("enable_schema_registry", "off")
        .setting(
            "schema_registry_url",
            "http://localhost:8080/apis/registry/v3",
        )
        .setting("schema_group_id", "default")
        .setting("schema_topic_prefix", "");
    subject(target, "s");
}

#[test]
fn a_bad_configuration_is_found_before_any_input_is_read() {
    // Standard input stays open and empty.
    let run = Target::new().setting("queue_prefix", 5).spawn();
    run.wait().exits(2).prints("").error(&["queue_prefix"]);
}

#[test]
fn the_connection_has_a_name_that_can_be_set() {
    for (name, expected) in [
        (None, "target-nats"),
        (Some("nightly load"), "nightly load"),
    ] {
        let server = NatsServer::with("debug: true");
        let mut target = Target::new().server(&server);
        if let Some(name) = name {
            target = target.setting("connection_name", name);
        }
        target
            .input(schema("s", &[]) + &record("s", "{}") + &state("1"))
            .run()
            .succeeds();
        // The server logs a client's name when it closes its connection; the names of its log are its own.
        let log = server.log();
        assert!(
            log.contains(expected),
            "{expected} is not in the log of the server:\n{log}"
        );
    }
}
