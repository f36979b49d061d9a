//! Signals, and a standard output that nobody reads: the run ends soon, says why, and prints no STATE too much.

use std::time::{Duration, Instant};

use crate::harness::{
    NatsServer, PATIENCE, Subscriber, Target, TempDir, record, schema, state, wait_until,
};

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// Far less than any time-out of the program's own, and far more than it needs.
const PROMPT: Duration = Duration::from_secs(15);

/// Three records and their state, and then a signal while the tap is silent and standard input stays open.
#[track_caller]
fn ends_by(signal: &str, number: i32) {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let mut run = Target::new().server(&server).spawn();
    let records: String = (1..=3)
        .map(|id| record("users", &format!(r#"{{"id":{id}}}"#)))
        .collect();
    run.send(schema("users", &[]) + &records + &state("3"));
    run.wait_for_line("3");
    let sent = Instant::now();
    run.signal(signal);
    let outcome = run.wait();
    outcome
        .dies_by(number)
        .prints("3\n")
        .does_not_log("panicked");
    outcome.check(sent.elapsed() < PROMPT, "it ends promptly");
    outcome.check(subscriber.messages().len() == 3, "three records arrived");
}

#[test]
fn sigterm_while_the_tap_is_silent_ends_the_run_by_that_signal() {
    ends_by("TERM", SIGTERM);
}

#[test]
fn sigint_while_the_tap_is_silent_ends_the_run_by_that_signal() {
    ends_by("INT", SIGINT);
}

#[test]
fn sighup_is_left_to_the_system() {
    ends_by("HUP", SIGHUP);
}

#[test]
fn sigterm_before_any_input_ends_the_run() {
    let server = NatsServer::start();
    let mut run = Target::new()
        .server(&server)
        .env("TARGET_NATS_LOGLEVEL", "INFO")
        .spawn();
    // It has got as far as its first log line.
    run.wait_for_log("target-nats");
    run.signal("TERM");
    run.wait().dies_by(SIGTERM).prints("");
}

#[test]
fn a_state_that_was_read_before_the_signal_is_printed() {
    let server = NatsServer::start();
    let subscriber = Subscriber::on(&server);
    // The interval would hold the second state back for an hour; the end of the run does not.
    let mut run = Target::new()
        .server(&server)
        .setting("state_interval_seconds", 3600)
        .spawn();
    run.send(schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1"));
    run.wait_for_line("1");
    run.send(record("users", r#"{"id":2}"#) + &state("2") + &record("users", r#"{"id":3}"#));
    subscriber.wait_for(3);
    run.signal("TERM");
    run.wait().dies_by(SIGTERM).prints("1\n2\n");
}

#[test]
fn sigterm_in_full_flow_ends_the_run_with_the_newest_confirmed_state() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let run = Target::new()
        .server(&server)
        .generated(|stdin| {
            stdin.write_all(schema("users", &[]).as_bytes())?;
            // An endless tap: only the program's end stops it.
            for id in 1.. {
                let line = record("users", &format!(r#"{{"id":{id}}}"#)) + &state(&format!("{id}"));
                stdin.write_all(line.as_bytes())?;
            }
            Ok(())
        })
        .start();
    subscriber.wait_for(5_000);
    let sent = Instant::now();
    run.signal("TERM");
    let outcome = run.wait();
    outcome.dies_by(SIGTERM);
    outcome.check(sent.elapsed() < PROMPT, "it ends promptly");
    let messages = subscriber.messages();
    let last: usize = outcome
        .stdout_text()
        .lines()
        .last()
        .map_or(0, |line| line.parse().unwrap());
    outcome.check(last > 0, "a state is printed");
    outcome.check(
        last <= messages.len(),
        "every record of the last state has arrived",
    );
    for (index, message) in messages.iter().enumerate() {
        assert_eq!(message.text(), format!(r#"{{"id":{}}}"#, index + 1));
    }
}

#[test]
fn sigterm_in_the_middle_of_a_large_batch_ends_the_run_promptly() {
    let server = NatsServer::start();
    let subscriber = Subscriber::each(&server, |_| ());
    let rows: String = (0..2_000_000)
        .map(|id| format!("{{\"id\":{id}}}\n"))
        .collect();
    let target = Target::new().server(&server).file("rows", rows);
    let batch = format!(
        r#"{{"type":"BATCH","stream":"users","encoding":{{"format":"jsonl"}},"manifest":["{}"]}}"#,
        target.path("rows")
    );
    let mut run = target.spawn();
    run.send(
        schema("users", &[]) + &record("users", "{}") + &state("1") + &batch + "\n" + &state("2"),
    );
    subscriber.wait_for(1000);
    let sent = Instant::now();
    run.signal("TERM");
    wait_until("it has ended", PATIENCE, || run.has_ended());
    let took = sent.elapsed();
    let outcome = run.wait();
    outcome.dies_by(SIGTERM).prints("1\n");
    outcome.check(took < PROMPT, "it ends promptly");
}

#[test]
fn sigterm_ends_a_dry_run_too() {
    let mut run = Target::new().args(["--dry-run"]).spawn();
    run.send(schema("users", &[]) + &record("users", "{}"));
    run.wait_for_line("users\t{}\t{}");
    run.signal("TERM");
    run.wait().dies_by(SIGTERM).prints("users\t{}\t{}\n");
}

#[test]
fn sigterm_while_the_server_is_stopped_ends_in_bounded_time_without_a_state() {
    let server = NatsServer::start();
    let mut run = Target::new().server(&server).spawn();
    run.send(schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1"));
    run.wait_for_line("1");
    server.stop();
    run.send(record("users", r#"{"id":2}"#) + &state("2"));
    run.signal("TERM");
    let outcome = run.wait();
    server.cont();
    outcome.dies_by(SIGTERM).prints("1\n");
}

#[test]
fn a_second_signal_ends_the_run_at_once() {
    let server = NatsServer::start();
    let mut run = Target::new()
        .server(&server)
        .setting("confirm_timeout_seconds", 600)
        .spawn();
    run.send(schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1"));
    run.wait_for_line("1");
    server.stop();
    run.send(record("users", r#"{"id":2}"#) + &state("2"));
    // Meltano sends SIGINT and, some 10 ms later, SIGTERM. Two signals of one kind that come too close
    // together are one to the system, so the second is said again until it is heard.
    let sent = Instant::now();
    run.signal("INT");
    wait_until("the second signal ends it", PATIENCE, || {
        run.signal("TERM");
        run.has_ended()
    });
    let took = sent.elapsed();
    server.cont();
    let outcome = run.wait();
    outcome.prints("1\n").does_not_log("panicked");
    outcome.check(
        took < Duration::from_secs(4),
        &format!("it ends at once, not after {took:?}"),
    );
    outcome.check(outcome.status.code().is_none(), "it dies by a signal");
}

#[test]
fn a_closed_standard_output_is_an_error_and_no_panic() {
    let server = NatsServer::start();
    let outcome = Target::new()
        .server(&server)
        .stdout_closed()
        .input(schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1"))
        .run();
    outcome
        .exits(1)
        .does_not_log("panicked")
        .error(&["standard output"]);
}

#[test]
fn a_closed_standard_output_is_noticed_while_the_tap_goes_on() {
    let server = NatsServer::start();
    let run = Target::new().server(&server).stdout_closed().spawn();
    run.send(schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1"));
    // Standard input stays open.
    run.wait().exits(1).error(&["standard output"]);
}

#[test]
fn a_closed_standard_output_matters_only_when_there_is_a_state() {
    let server = NatsServer::start();
    let input = schema("users", &[]) + &record("users", r#"{"id":1}"#);
    Target::new()
        .server(&server)
        .stdout_closed()
        .input(input)
        .run()
        .succeeds();
}

#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    let server = NatsServer::start();
    let outcome = Target::new()
        .server(&server)
        .stdout_to("/dev/full")
        .input(schema("users", &[]) + &state("1"))
        .run();
    outcome
        .exits(1)
        .error(&["standard output"])
        .does_not_log("panicked");
}

#[test]
fn a_standard_error_that_nobody_reads_holds_nothing_up() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let folder = TempDir::new();
    let config = folder.path().join("config.json");
    std::fs::write(&config, format!(r#"{{"nats_url":"{}"}}"#, server.url())).unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_target-nats"))
        .arg("--config")
        .arg(&config)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // A warning for each of them: more than a pipe and the queue before it take.
    let warned = |n: usize| {
        format!("{{\"type\":\"ACTIVATE_VERSION\",\"stream\":\"users\",\"version\":{n}}}\n")
    };
    let input = schema("users", &[])
        + &(0..3000).map(warned).collect::<String>()
        + &record("users", "{\"id\":1}")
        + &state("1");
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, input.as_bytes()).unwrap();
    drop(stdin);
    wait_until("it ends", PATIENCE, || child.try_wait().unwrap().is_some());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"1\n");
    subscriber.settle();
    assert_eq!(subscriber.count(), 1);
}
