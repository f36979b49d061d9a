//! What is never printed: secrets at any level, and the content of records above DEBUG.

use nkeys::KeyPair;
use serde_json::json;

use crate::harness::{NatsServer, Operator, Outcome, Target, record, schema, state};

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

/// In every way that a secret can come in, and whether the server takes it or not.
#[test]
fn no_secret_setting_is_shown_in_whatever_way_it_is_given() {
    let operator = Operator::new();
    let user = operator.user(None);
    let seed = KeyPair::new_user().seed().unwrap();
    let key = "-----BEGIN PRIVATE KEY-----\nm4rk3r\n-----END PRIVATE KEY-----";
    let secrets: [(&str, &str, &[&str]); 6] = [
        ("nats_password", "m4rk3r", &["m4rk3r"]),
        ("nats_token", "m4rk3r", &["m4rk3r"]),
        ("nats_nkey_seed", &seed, &[&seed]),
        ("nats_credentials", &user.text(), &[&user.jwt, &user.seed]),
        // Damaged, as all but the errors of the configuration leave it alone.
        (
            "nats_credentials",
            "-----BEGIN NATS USER JWT-----\nm4rk3r",
            &["m4rk3r"],
        ),
        ("tls_key", key, &["m4rk3r"]),
    ];
    let servers = [
        NatsServer::start(),
        NatsServer::with("authorization { token: other }"),
    ];
    for (setting, secret, markers) in secrets {
        let variable = format!("TARGET_NATS_{}", setting.to_ascii_uppercase());
        let file = format!("{setting}_file");
        for server in &servers {
            let target = || {
                let target = Target::new()
                    .server(server)
                    .setting("connect_timeout_seconds", 5)
                    .args(["--config", "ENV"])
                    .file("secret", secret)
                    .input(one_record());
                if setting == "nats_password" {
                    target.setting("nats_user", "u")
                } else {
                    target
                }
            };
            let ways: [&dyn Fn() -> Target; 5] = [
                &|| target().setting(setting, secret),
                &|| target().env(&variable, secret),
                &|| target().setting(&file, "secret"),
                &|| target().env(&format!("{variable}_FILE"), "secret"),
                // A secret in place of the path.
                &|| target().setting(&file, secret),
            ];
            for way in ways {
                traced(way, |outcome| {
                    for marker in markers {
                        keeps(outcome, marker);
                    }
                });
            }
        }
    }
}

#[test]
fn no_secret_of_a_context_is_shown() {
    let user = Operator::new().user(None);
    let servers = [
        NatsServer::start(),
        NatsServer::with("authorization { token: other }"),
    ];
    for server in &servers {
        let url = format!("nats://m4rk3r:m4rk3r@{}", server.address());
        for context in [
            json!({"url": url}).to_string(),
            json!({"url": server.url(), "user": "u", "password": "m4rk3r"}).to_string(),
            json!({"url": server.url(), "token": "m4rk3r"}).to_string(),
            json!({"url": server.url(), "token": "m4rk3r", "user": "u"}).to_string(),
            json!({"url": server.url(), "user_jwt": user.jwt, "user_seed": user.seed}).to_string(),
            json!({"url": server.url(), "user_jwt": "m4rk3r", "user_seed": "m4rk3r"}).to_string(),
            json!({"url": server.url(), "creds": "me.creds"}).to_string(),
            json!({"creds": "m4rk3r-nowhere"}).to_string(),
            json!({"token": ["m4rk3r"]}).to_string(),
            json!({"token": "op://m4rk3r"}).to_string(),
            r#"{"token": m4rk3r}"#.to_owned(),
        ] {
            traced(
                || {
                    Target::new()
                        .log_of(server)
                        .setting("nats_context", "c")
                        .setting("connect_timeout_seconds", 2)
                        .file(".config/nats/context/c.json", &context)
                        .file("me.creds", user.text())
                        .input(one_record())
                },
                |outcome| {
                    for marker in ["m4rk3r", &user.jwt, &user.seed] {
                        keeps(outcome, marker);
                    }
                },
            );
        }
    }
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
