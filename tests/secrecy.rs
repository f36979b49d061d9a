//! What is never printed: secrets at any level, and the content of records above DEBUG.

use crate::harness::{NatsServer, Outcome, Target, record, schema, state};

fn one_record() -> String {
    schema("users", &["id"]) + &record("users", r#"{"id":1}"#) + &state("1")
}

/// Neither output holds the marker.
#[track_caller]
fn keeps(outcome: &Outcome, marker: &str) {
    outcome.check(
        !outcome.stderr.contains(marker),
        &format!("standard error does not hold {marker}"),
    );
    outcome.check(
        !outcome.stdout_text().contains(marker),
        &format!("standard output does not hold {marker}"),
    );
}

/// One run at the level at which most is said, in each log format.
fn traced(target: impl Fn() -> Target, check: impl Fn(&Outcome)) {
    for format in ["text", "json"] {
        check(
            &target()
                .setting("log_format", format)
                .env("TARGET_NATS_LOGLEVEL", "TRACE")
                .run(),
        );
    }
}

#[test]
fn no_secret_is_shown_in_success_or_failure() {
    const MARKER: &str = "m4rk3r";
    let server = NatsServer::with(
        "authorization { users = [ { user: \"u\", password: \"m4rk3r/p\", permissions: { publish: { deny: \"secret\" } } } ] }",
    );
    let url = |login: &str| format!("nats://{login}@{}", server.address());
    let right = url("u:m4rk3r%2Fp");
    let target = |url: &str, input: &str| {
        Target::new()
            .log_of(&server)
            .setting("nats_url", url)
            .setting("connect_timeout_seconds", 1)
            .input(input)
    };
    let cases: [(&str, String, String, i32); 7] = [
        ("success", right.clone(), one_record(), 0),
        ("a wrong password", url("u:m4rk3r-wrong"), one_record(), 1),
        ("a token instead", url("m4rk3r-token"), one_record(), 1),
        (
            "a denied subject",
            right.clone(),
            schema("secret", &[]) + &record("secret", "{}") + &state("1"),
            1,
        ),
        ("bad input", right.clone(), one_record() + "nonsense\n", 1),
        (
            "nobody there",
            "nats://u:m4rk3r@127.0.0.1:1,nats://m4rk3r@127.0.0.1:2".to_owned(),
            one_record(),
            75,
        ),
        (
            "a bad address",
            "nats://u:m4rk3r@127.0.0.1:port".to_owned(),
            one_record(),
            2,
        ),
    ];
    for (case, url, input, code) in cases {
        eprintln!("{case}");
        traced(
            || target(&url, &input),
            |outcome| {
                outcome.exits(code);
                keeps(outcome, MARKER);
            },
        );
    }
}

#[test]
fn no_secret_of_the_environment_is_shown() {
    let server = NatsServer::with("authorization { token: \"m4rk3r\" }");
    traced(
        || {
            Target::new()
                .log_of(&server)
                .args(["--config", "ENV"])
                .env(
                    "TARGET_NATS_NATS_URL",
                    format!("nats://m4rk3r@{}", server.address()),
                )
                // Meltano passes the tap's secrets on.
                .env("TAP_POSTGRES_PASSWORD", "m4rk3r-tap")
                .file(
                    ".env",
                    "OTHER_SECRET=m4rk3r-env\nthis line makes no sense m4rk3r\n",
                )
                .input(one_record())
        },
        |outcome| {
            outcome.exits(0);
            keeps(outcome, "m4rk3r");
        },
    );
}

#[test]
fn no_content_of_a_record_is_shown() {
    const MARKER: &str = "078-05-1120";
    let with = |text: &str| {
        schema("users", &["id"])
            + &record("users", &format!(r#"{{"id":1,"ssn":"{MARKER}"}}"#))
            + text
    };
    let large = "x".repeat(1 << 20);
    let cases = [
        ("success", with(&state("1")), 0),
        (
            "no JSON",
            with(&format!(
                r#"{{"type":"RECORD","stream":"users","record":{{"ssn":"{MARKER}"}}"#
            )),
            1,
        ),
        (
            "a trailing comma",
            with(&format!(
                r#"{{"type":"RECORD","stream":"users","record":{{"ssn":"{MARKER}",}}}}"#
            )),
            1,
        ),
        (
            "no key",
            with(&record("users", &format!(r#"{{"ssn":"{MARKER}"}}"#))),
            1,
        ),
        (
            "no object",
            with(&record("users", &format!(r#"["{MARKER}"]"#))),
            1,
        ),
        (
            "no schema",
            with(&record("others", &format!(r#"{{"ssn":"{MARKER}"}}"#))),
            1,
        ),
        (
            "an unknown type",
            with(&format!(
                r#"{{"type":"FOO","record":{{"ssn":"{MARKER}"}}}}"#
            )),
            1,
        ),
        (
            "no type",
            with(&format!(r#"{{"record":{{"ssn":"{MARKER}"}}}}"#)),
            1,
        ),
        (
            "too large",
            with(&record(
                "users",
                &format!(r#"{{"id":1,"ssn":"{MARKER}","x":"{large}"}}"#),
            )),
            1,
        ),
    ];
    for (case, input, code) in cases {
        eprintln!("{case}");
        let server = NatsServer::start();
        for level in ["INFO", "DEBUG"] {
            let run = Target::new()
                .server(&server)
                .env("LOGLEVEL", level)
                .input(input.clone())
                .run();
            run.exits(code);
            if level == "INFO" {
                keeps(&run, MARKER);
            }
        }
    }
}
