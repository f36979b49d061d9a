//! Standard error: the SDK's line format and levels, metrics, JSON lines, and nothing that should not be there.

use serde_json::{Value, json};

use crate::harness::{NatsServer, Outcome, PATIENCE, Target, record, schema, state, wait_until};

fn one_record() -> String {
    schema("users", &["id"]) + &record("users", r#"{"id":1}"#) + &state("1")
}

/// Whether `2026-01-31 23:59:59,123 | INFO     | target-nats                    | …`
fn is_sdk_line(line: &str) -> bool {
    let shape = "0000-00-00 00:00:00,000 | ";
    let Some((head, rest)) = line.split_at_checked(shape.len()) else {
        return false;
    };
    let dated = head.bytes().zip(shape.bytes()).all(|(got, wanted)| {
        if wanted == b'0' {
            got.is_ascii_digit()
        } else {
            got == wanted
        }
    });
    let parts: Vec<&str> = rest.splitn(3, " | ").collect();
    let [level, name, message] = parts[..] else {
        return false;
    };
    let levels = ["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"];
    let (word, logger) = (level.trim_end(), name.trim_end());
    dated
        && levels.contains(&word)
        && level == format!("{word:8}")
        && name == format!("{logger:30}")
        && !logger.is_empty()
        && !message.is_empty()
}

#[test]
fn every_line_has_the_format_of_the_sdk() {
    let server = NatsServer::start();
    let outcome = Target::new()
        .server(&server)
        .setting("unknown_key", 1)
        .env("TARGET_NATS_LOGLEVEL", "TRACE")
        .input(one_record() + r#"{"type":"ACTIVATE_VERSION","stream":"users","version":1}"#)
        .run();
    outcome.succeeds();
    for line in outcome.stderr.lines() {
        outcome.check(
            is_sdk_line(line),
            &format!("this is a line of the SDK's format: {line}"),
        );
    }
    for part in [
        " | WARNING  | ",
        " | INFO     | ",
        " | target-nats.users              | ",
        " | singer_sdk.metrics             | ",
    ] {
        outcome.logs(part);
    }
}

#[test]
fn a_run_begins_with_its_versions() {
    let server = NatsServer::start();
    let outcome = Target::new().server(&server).input(one_record()).run();
    let expected = format!(
        "| target-nats v{}, Meltano SDK v0.54.9",
        env!("CARGO_PKG_VERSION")
    );
    let first = outcome.stderr.lines().next().unwrap_or_default();
    outcome.check(
        first.ends_with(&expected),
        &format!("the first line ends with {expected}"),
    );
}

/// The lines of standard error at this level.
fn lines_at(variable: &str, level: &str) -> Vec<String> {
    let server = NatsServer::start();
    let outcome = Target::new()
        .server(&server)
        .setting("unknown_key", 1)
        .env(variable, level)
        .input(one_record())
        .run();
    outcome.succeeds();
    outcome.stderr.lines().map(str::to_owned).collect()
}

#[test]
fn the_level_comes_from_the_environment_in_any_case() {
    for variable in ["TARGET_NATS_LOGLEVEL", "LOGLEVEL"] {
        assert_eq!(lines_at(variable, "ERROR"), Vec::<String>::new());
        assert_eq!(lines_at(variable, "critical"), Vec::<String>::new());
        let warnings = lines_at(variable, "Warning");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(lines_at(variable, "info").len() > 3);
    }
}

#[test]
fn the_programs_own_variable_wins() {
    let server = NatsServer::start();
    let outcome = Target::new()
        .server(&server)
        .env("TARGET_NATS_LOGLEVEL", "ERROR")
        .env("LOGLEVEL", "DEBUG")
        .input(one_record())
        .run();
    outcome.succeeds();
    outcome.check(outcome.stderr.is_empty(), "nothing is logged");
}

#[test]
fn an_unknown_level_is_an_error_of_the_configuration() {
    for variable in ["TARGET_NATS_LOGLEVEL", "LOGLEVEL"] {
        Target::new()
            .env(variable, "BOGUS")
            .run()
            .exits(2)
            .prints("")
            .error(&[variable, "BOGUS"]);
    }
}

#[test]
fn the_error_line_is_printed_at_every_level() {
    let outcome = Target::new()
        .env("LOGLEVEL", "CRITICAL")
        .args(["--dry-run"])
        .input("nonsense\n")
        .run();
    outcome.exits(1).error(&["line 1"]);
    outcome.check(
        outcome.stderr.lines().count() == 1,
        "there is no other line",
    );
}

#[test]
fn each_stream_has_its_metric_with_count_and_process() {
    let server = NatsServer::start();
    let mut input = schema("users", &[]) + &schema("orders", &[]) + &schema("unused", &[]);
    for id in 0..30 {
        input += &record(
            if id % 3 == 0 { "orders" } else { "users" },
            &format!(r#"{{"id":{id}}}"#),
        );
    }
    let run = Target::new()
        .server(&server)
        .input(input + &record("users", "null"))
        .start();
    let pid = run.pid();
    let outcome = run.wait();
    outcome.succeeds();
    for (stream, count) in [("users", 20), ("orders", 10)] {
        outcome.logs(&format!(
            r#"METRIC: {{"type":"counter","metric":"record_count","value":{count},"tags":{{"stream":"{stream}","pid":{pid}}}}}"#
        ));
    }
}

/// The lines of standard error as JSON objects.
#[track_caller]
fn json_lines(outcome: &Outcome) -> Vec<Value> {
    let lines: Vec<Value> = outcome
        .stderr
        .lines()
        .map(|line| {
            serde_json::from_str(line).unwrap_or_else(|_| outcome.fail(&format!("no JSON: {line}")))
        })
        .collect();
    for line in &lines {
        for key in [
            "level",
            "pid",
            "logger_name",
            "ts",
            "thread_name",
            "app_name",
            "message",
        ] {
            outcome.check(line.get(key).is_some(), &format!("{key} is in {line}"));
        }
        outcome.check(line["app_name"] == "singer-sdk", "the SDK's name is there");
    }
    outcome.check(!lines.is_empty(), "something is logged");
    lines
}

#[test]
fn lines_can_be_json_objects() {
    let server = NatsServer::start();
    let outcome = Target::new()
        .server(&server)
        .setting("log_format", "json")
        .input(one_record() + r#"{"type":"ACTIVATE_VERSION","stream":"users","version":1}"#)
        .run();
    outcome.exits(0).prints("1\n");
    let lines = json_lines(&outcome);
    let of_stream = lines
        .iter()
        .find(|line| line["level"] == "warning")
        .expect("there is a warning");
    outcome.check(
        of_stream["logger_name"] == "target-nats.users",
        "a stream's line has its logger",
    );
    let metric = lines
        .iter()
        .find(|line| line["logger_name"] == "singer_sdk.metrics")
        .expect("there is a metric");
    outcome.check(
        metric["message"] == "METRIC",
        "a metric's message is METRIC",
    );
    outcome.check(
        metric["metric_info"]["value"] == 1,
        "a metric has its value",
    );
}

#[test]
fn an_error_is_a_json_line_too() {
    let outcome = Target::new()
        .setting("log_format", "json")
        .args(["--dry-run"])
        .input("nonsense\n")
        .run();
    outcome.exits(1);
    let lines = json_lines(&outcome);
    let last = lines.last().unwrap();
    outcome.check(last["level"] == "error", "the last line is an error");
    let message = last["message"].as_str().unwrap_or_default();
    outcome.check(
        message.starts_with("target-nats: error: ") && message.contains("line 1"),
        "it says where",
    );
}

#[test]
fn json_is_chosen_where_the_sdks_log_configuration_asks_for_it() {
    let server = NatsServer::start();
    let yaml = "formatters:\n  structured:\n    \"()\": singer_sdk.logging.StructuredFormatter\n";
    let target = |text: &str| {
        Target::new()
            .server(&server)
            .file("log.yml", text)
            .env("SINGER_SDK_LOG_CONFIG", "log.yml")
            .input(one_record())
    };
    let outcome = target(yaml).run();
    outcome.exits(0);
    json_lines(&outcome);
    target("formatters: {}\n")
        .run()
        .succeeds()
        .logs(" | INFO     | ");
    target(yaml)
        .setting("log_format", "text")
        .run()
        .succeeds()
        .logs(" | INFO     | ");
    Target::new()
        .server(&server)
        .env("SINGER_SDK_LOG_CONFIG", "nope.yml")
        .input(one_record())
        .run()
        .succeeds()
        .logs("Logging config file not found: nope.yml");
}

#[test]
fn a_good_run_logs_no_word_that_sounds_like_a_failure() {
    // `meltano config test` fails a plugin whose output holds them.
    let server = NatsServer::start();
    let outcome = Target::new().server(&server).input(one_record()).run();
    outcome.succeeds();
    let log = outcome.stderr.to_lowercase();
    outcome.check(
        !log.contains("error") && !log.contains("exception"),
        "it holds neither word",
    );
}

/// Runs its arguments with a terminal as standard error, and copies what appears there to its own standard error.
const WITH_TERMINAL: &str = r"
import os, pty, subprocess, sys
master, slave = pty.openpty()
child = subprocess.Popen(sys.argv[1:], stderr=slave)
os.close(slave)
while True:
    try:
        seen = os.read(master, 65536)
    except OSError:
        break
    if not seen:
        break
    os.write(2, seen)
sys.exit(child.wait())
";

#[test]
fn on_a_terminal_there_is_a_progress_line() {
    let server = NatsServer::start();
    let mut run = Target::new()
        .server(&server)
        .through(&["python3", "-c", WITH_TERMINAL])
        .env("TERM", "xterm")
        .env("TARGET_NATS_LOGLEVEL", "ERROR")
        .spawn();
    run.send(schema("users", &[]));
    for id in 0..1234 {
        run.send(record("users", &format!(r#"{{"id":{id}}}"#)));
    }
    // It comes while the tap is silent, too.
    run.wait_for_log("1,234 records");
    run.wait_for_log("unconfirmed | users 1,234");
    run.send(state("1"));
    run.wait_for_line("1");
    run.end_input();
    let outcome = run.wait();
    outcome.exits(0).prints("1\n");
    let last = outcome.stderr.rsplit('\r').next().unwrap_or_default();
    outcome.check(
        !last.contains("records"),
        "the progress line is erased at the end",
    );
}

#[test]
fn without_a_terminal_there_is_no_progress_line() {
    let server = NatsServer::start();
    let mut run = Target::new()
        .server(&server)
        .env("TARGET_NATS_LOGLEVEL", "ERROR")
        .env("TERM", "xterm")
        .spawn();
    run.send(one_record());
    run.wait_for_line("1");
    // Longer than a terminal would have to wait for its line.
    let start = std::time::Instant::now();
    wait_until("two seconds are over", PATIENCE, || {
        start.elapsed() > std::time::Duration::from_secs(2)
    });
    run.end_input();
    let outcome = run.wait();
    outcome.exits(0);
    outcome.check(
        outcome.stderr.is_empty(),
        "nothing is written to standard error",
    );
}

#[test]
fn names_that_hold_control_characters_do_not_break_a_line() {
    let stream = "a\u{1b}[31m\nb";
    let input = schema(stream, &[])
        + &json!({"type": "ACTIVATE_VERSION", "stream": stream, "version": 1}).to_string();
    let outcome = Target::new().args(["--dry-run"]).input(input).run();
    outcome.succeeds().does_not_log("\u{1b}");
    for line in outcome.stderr.lines() {
        outcome.check(is_sdk_line(line), &format!("this is a whole line: {line}"));
    }
}
