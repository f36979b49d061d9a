//! The command line: what each option does, and what is said of a command line that is not understood.

use serde_json::Value;

use crate::harness::{NatsServer, Outcome, Subscriber, Target, arrived, record, schema, state};

/// An address where no server is, for runs that need none.
const NOWHERE: &str = "nats://127.0.0.1:1";

fn one_record() -> String {
    schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1")
}

fn run(args: &[&str]) -> Outcome {
    Target::new().args(args).run()
}

/// A usage error in the four lines of the SDK's command line, and nothing on standard output.
#[track_caller]
fn misused(args: &[&str], what: &str) {
    let expected = format!(
        "Usage: target-nats [OPTIONS]\nTry 'target-nats --help' for help.\n\nError: {what}\n"
    );
    let outcome = run(args);
    outcome.exits(2).prints("");
    outcome.check(
        outcome.stderr == expected,
        &format!("standard error is {expected:?}"),
    );
}

#[test]
fn version_is_one_line() {
    let expected = format!(
        "target-nats v{}, Meltano SDK v0.54.9\n",
        env!("CARGO_PKG_VERSION")
    );
    run(&["--version"]).exits(0).prints(&expected);
    // It is answered before any file is opened.
    run(&["--version", "--config", "/nope"])
        .exits(0)
        .prints(&expected);
}

#[test]
fn help_names_every_option_on_standard_output() {
    let outcome = run(&["--help"]);
    outcome.exits(0);
    for option in [
        "--version",
        "--about",
        "--format",
        "--config",
        "--input",
        "--check",
        "--dry-run",
        "--help",
    ] {
        outcome.check(
            outcome.stdout_text().contains(option),
            &format!("{option} is there"),
        );
    }
    outcome.check(outcome.stderr.is_empty(), "standard error is empty");
}

#[test]
fn an_unknown_option_is_refused_with_its_neighbour() {
    misused(
        &["--foo"],
        "No such option '--foo'. Did you mean '--format'?",
    );
    misused(
        &["--vers"],
        "No such option '--vers'. Did you mean '--version'?",
    );
    misused(&["-h"], "No such option '-h'.");
}

#[test]
fn an_argument_without_an_option_is_refused() {
    misused(&["x"], "Got unexpected extra argument (x)");
}

#[test]
fn an_option_without_its_value_is_refused() {
    misused(&["--config"], "Option '--config' requires an argument.");
    misused(
        &["--about", "--input"],
        "Option '--input' requires an argument.",
    );
}

#[test]
fn about_knows_two_formats() {
    misused(
        &["--about", "--format=text"],
        "Invalid value for '--format': 'text' is not one of 'json', 'markdown'.",
    );
    run(&["--about", "--format=JSON"]).exits(0);
    run(&["--about", "--format", "json", "--format", "Markdown"]).exits(0);
}

#[test]
fn a_format_without_about_changes_nothing() {
    let outcome = Target::new()
        .args(["--format=json", "--dry-run"])
        .input(one_record())
        .run();
    outcome.succeeds().prints("users\t{}\t{\"id\":1}\n");
}

#[test]
fn about_as_json_has_the_keys_of_the_sdk_in_their_order() {
    let outcome = run(&["--about", "--format=json"]);
    outcome.exits(0);
    let about: Value = serde_json::from_slice(&outcome.stdout).expect("it is JSON");
    let keys: Vec<&String> = about.as_object().unwrap().keys().collect();
    let expected = [
        "name",
        "description",
        "version",
        "sdk_version",
        "supported_python_versions",
        "capabilities",
        "settings",
    ];
    outcome.check(keys == expected, &format!("its keys are {expected:?}"));
    outcome.check(about["name"] == "target-nats", "its name is given");
    outcome.check(
        about["sdk_version"] == "0.54.9",
        "the SDK's version is given",
    );
    outcome.check(
        outcome
            .stdout_text()
            .starts_with("{\n  \"name\": \"target-nats\",\n"),
        "it is indented by two",
    );
}

#[test]
fn about_as_json_declares_the_settings_of_the_python_target_first_and_unchanged() {
    let outcome = run(&["--about", "--format=json"]);
    let about: Value = serde_json::from_slice(&outcome.stdout).expect("it is JSON");
    let settings = &about["settings"];
    outcome.check(settings["type"] == "object", "settings are an object");
    outcome.check(
        settings["$schema"] == "https://json-schema.org/draft/2020-12/schema",
        "settings name their draft",
    );
    let properties = settings["properties"]
        .as_object()
        .expect("settings have properties");
    let python = [
        "nats_url",
        "queue_prefix",
        "enable_schema_registry",
        "schema_registry_url",
        "schema_group_id",
        "schema_topic_prefix",
        "add_record_metadata",
        "load_method",
        "batch_size_rows",
        "validate_records",
        "stream_maps",
        "stream_map_config",
        "faker_config",
        "flattening_enabled",
        "flattening_max_depth",
        "flattening_max_key_length",
        "flattening_separator",
    ];
    let first: Vec<&str> = properties
        .keys()
        .take(python.len())
        .map(String::as_str)
        .collect();
    outcome.check(
        first == python,
        &format!("the first settings are {python:?}, not {first:?}"),
    );
    for (key, default) in [
        ("nats_url", "nats://localhost:4222"),
        ("queue_prefix", ""),
        (
            "schema_registry_url",
            "http://localhost:8080/apis/registry/v3",
        ),
        ("schema_group_id", "default"),
        ("schema_topic_prefix", ""),
        ("load_method", "append-only"),
    ] {
        outcome.check(
            properties[key]["default"] == default,
            &format!("the default of {key} is {default:?}"),
        );
    }
    for (key, setting) in properties {
        let types = setting["type"]
            .as_array()
            .unwrap_or_else(|| panic!("{key} has a list of types"));
        outcome.check(
            types.len() == 2 && types[1] == "null",
            &format!("{key} is of one type or null"),
        );
        outcome.check(
            setting["description"].is_string(),
            &format!("{key} is described"),
        );
    }
}

#[test]
fn about_as_text_lists_settings_with_their_variables() {
    let outcome = run(&["--about"]);
    outcome.exits(0);
    let text = outcome.stdout_text();
    for part in [
        "Name: target-nats\n",
        "Description: ",
        "\nSDK Version: 0.54.9\n",
        "Capabilities:\n",
        "Settings:\n",
        "  - Name: nats_url\n    Type: ['string', 'null']\n    Environment Variable: TARGET_NATS_NATS_URL\n",
    ] {
        outcome.check(text.contains(part), &format!("it holds {part:?}"));
    }
}

#[test]
fn about_as_markdown_has_a_table_of_settings() {
    let outcome = run(&["--about", "--format=markdown"]);
    outcome.exits(0);
    let text = outcome.stdout_text();
    outcome.check(
        text.starts_with("# `target-nats`\n"),
        "its title is the name",
    );
    for part in [
        "## Capabilities\n",
        "## Settings\n",
        "| Setting ",
        "| nats_url ",
    ] {
        outcome.check(text.contains(part), &format!("it holds {part:?}"));
    }
}

#[test]
fn about_reads_its_config_files_but_judges_no_value() {
    let about = |config: &str| {
        Target::new()
            .config(config)
            .args(["--about", "--format=json"])
            .run()
    };
    about(r#"{"queue_prefix":5,"nats_url":"nats://u:marker-password@h:99999"}"#)
        .exits(0)
        .does_not_log("marker");
    about("not JSON")
        .exits(2)
        .prints("")
        .error(&["config.json"]);
    run(&["--about", "--config", "/nope.json"])
        .exits(2)
        .prints("")
        .error(&["/nope.json"]);
}

#[test]
fn about_never_shows_what_is_configured() {
    for format in [
        &["--about"] as &[&str],
        &["--about", "--format=json"],
        &["--about", "--format=markdown"],
    ] {
        let outcome = Target::new()
            .setting("nats_url", "nats://u:marker-password@h")
            .args(format)
            .run();
        outcome.exits(0);
        outcome.check(
            !outcome.stdout_text().contains("marker-password"),
            "no secret is shown",
        );
    }
}

#[test]
fn without_a_configuration_all_is_default_and_an_empty_input_ends_well() {
    Target::new().run().succeeds().prints("");
}

#[test]
fn input_comes_from_a_file() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let outcome = Target::new()
        .server(&server)
        .file("messages.singer", one_record())
        .args(["--input", "messages.singer"])
        .input("nonsense that nobody reads\n")
        .run();
    outcome.succeeds().prints("1\n");
    arrived(
        &outcome,
        &subscriber.messages(),
        &[("users", r#"{"id":1}"#)],
    );
}

#[test]
fn of_several_inputs_the_last_one_is_read() {
    Target::new()
        .file("messages.singer", one_record())
        .args(["--dry-run", "--input", "/nope", "--input=messages.singer"])
        .run()
        .succeeds()
        .prints("users\t{}\t{\"id\":1}\n");
}

#[test]
fn a_dash_is_standard_input() {
    Target::new()
        .args(["--dry-run", "--input", "-"])
        .input(one_record())
        .run()
        .succeeds()
        .prints("users\t{}\t{\"id\":1}\n");
}

#[test]
fn an_input_file_that_is_not_there_is_a_usage_error() {
    let what = "Error: Invalid value for '--input': '/nope': No such file or directory\n";
    let outcome = run(&["--input", "/nope"]);
    outcome.exits(2).prints("");
    outcome.check(
        outcome.stderr.ends_with(what),
        &format!("standard error ends with {what}"),
    );
}

#[test]
fn a_folder_is_no_input_file() {
    let outcome = run(&["--dry-run", "--input", "/"]);
    outcome.prints("").does_not_log("panicked");
    outcome.check(
        matches!(outcome.status.code(), Some(1 | 2)),
        "it exits 1 or 2",
    );
}

#[test]
fn dry_run_prints_subject_headers_and_payload_and_needs_no_server() {
    let headers = serde_json::json!({"B": "{stream}", "A": "x"});
    let outcome = Target::new()
        .setting("nats_url", NOWHERE)
        .setting("queue_prefix", "raw.")
        .setting("headers", headers)
        .args(["--dry-run"])
        .input(
            schema("users", &[])
                + &record("users", "{ \"id\" : 1.50 }")
                + &state("1")
                + &record("users", "{}"),
        )
        .run();
    outcome.succeeds().prints(
        "raw.users\t{\"B\":\"users\",\"A\":\"x\"}\t{ \"id\" : 1.50 }\n\
         raw.users\t{\"B\":\"users\",\"A\":\"x\"}\t{}\n",
    );
}

#[test]
fn dry_run_keeps_the_order_of_the_input() {
    let mut input = schema("a", &[]) + &schema("b", &[]);
    let mut expected = String::new();
    for id in 0..20_000 {
        let stream = if id % 3 == 0 { "a" } else { "b" };
        let payload = format!(r#"{{"id":{id}}}"#);
        input += &record(stream, &payload);
        expected += &format!("{stream}\t{{}}\t{payload}\n");
    }
    let outcome = Target::new().args(["--dry-run"]).input(input).run();
    outcome.succeeds();
    let mut lines: Vec<&str> = outcome.stdout_text().lines().collect();
    let mut expected: Vec<&str> = expected.lines().collect();
    // As on the wire, each stream has its order.
    lines.sort_by_key(|line| line.as_bytes()[0]);
    expected.sort_by_key(|line| line.as_bytes()[0]);
    outcome.check(
        lines == expected,
        "each stream is printed whole and in order",
    );
}

#[test]
fn dry_run_finds_what_a_run_would_refuse() {
    let outcome = Target::new()
        .args(["--dry-run"])
        .input(one_record() + "nonsense\n")
        .run();
    outcome
        .exits(1)
        .prints("users\t{}\t{\"id\":1}\n")
        .error(&["line 4"]);
}

#[test]
fn dry_run_into_a_pipe_that_is_closed_is_no_panic() {
    let mut input = schema("users", &[]);
    for id in 0..50_000 {
        input += &record("users", &format!(r#"{{"id":{id}}}"#));
    }
    let outcome = Target::new()
        .args(["--dry-run"])
        .stdout_closed()
        .input(input)
        .run();
    outcome.exits(1).does_not_log("panicked");
}

#[test]
fn check_tells_of_a_server_that_answers_and_publishes_nothing() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let outcome = Target::new()
        .server(&server)
        .args(["--check"])
        .input(one_record())
        .run();
    outcome.succeeds();
    outcome.check(
        outcome.stdout_text().contains(&server.address()),
        "it names the server",
    );
    outcome.check(subscriber.messages().is_empty(), "nothing is published");
}

#[test]
fn check_does_not_wait_for_input() {
    let server = NatsServer::start();
    // Standard input stays open.
    let run = Target::new().server(&server).args(["--check"]).spawn();
    run.wait().succeeds();
}

#[test]
fn check_fails_as_a_run_would() {
    let outcome = Target::new()
        .setting("nats_url", NOWHERE)
        .setting("connect_timeout_seconds", 1)
        .args(["--check"])
        .run();
    outcome.exits(75).error(&["127.0.0.1:1"]);
    let server = NatsServer::with("authorization { token: \"t\" }");
    let url = format!("nats://marker-token@{}", server.address());
    let outcome = Target::new()
        .log_of(&server)
        .setting("nats_url", url)
        .args(["--check"])
        .run();
    outcome
        .exits(1)
        .error(&[&server.address()])
        .does_not_log("marker-token");
    Target::new()
        .setting("queue_prefix", 5)
        .args(["--check"])
        .run()
        .exits(2);
}
