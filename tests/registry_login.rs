//! Logins at the registry: what is sent, when a token is renewed, and what a login that fails makes of the run. All of it
//! against real registries that check real passwords and tokens.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Answer, CLIENT_ID, CLIENT_SECRET, IdentityProvider, NatsServer, Outcome, PATIENCE, Registry,
    Request, ScriptedHttp, Target, Version, record, schema, state, wait_until,
};

const VERSIONS: [Version; 2] = [Version::V3_3, Version::V3_0];

/// In each secret of these tests.
const MARKER: &str = "m4rk3r";
const PASSWORD: &str = "m4rk3r@:% /+";
/// The same as a part of a URL, and what Basic makes of it.
const ENCODED: &str = "m4rk3r%40%3A%25%20%2f+";
const BASIC: &str = "ZGV2Om00cmszckA6JSAvKw==";

fn with_users(version: Version) -> &'static Registry {
    static SHARED: [OnceLock<Registry>; 2] = [const { OnceLock::new() }; 2];
    let users = [
        ("dev", PASSWORD, "sr-developer"),
        ("ro", "m4rk3r-ro", "sr-readonly"),
        ("nobody", "m4rk3r-no", "none"),
    ];
    SHARED[version as usize].get_or_init(|| Registry::with_users(version, &users))
}

fn with_tokens(version: Version) -> &'static (Registry, IdentityProvider) {
    static SHARED: [OnceLock<(Registry, IdentityProvider)>; 2] = [const { OnceLock::new() }; 2];
    SHARED[version as usize].get_or_init(|| {
        let provider = IdentityProvider::start();
        (Registry::trusting(version, &provider), provider)
    })
}

/// A token endpoint that says this to each request.
fn endpoint(judge: impl FnMut(usize, &Request) -> Answer + Send + 'static) -> ScriptedHttp {
    let mut judge = judge;
    let mut asked = 0;
    ScriptedHttp::judging(move |request| {
        asked += 1;
        judge(asked, request)
    })
}

/// What a token endpoint says with a token that lasts so long, whatever it says itself.
fn token(provider: &IdentityProvider, seconds: i64) -> Answer {
    let token = provider.token("sr-developer", seconds);
    Answer::json(200, &json!({"access_token": token, "expires_in": 300}))
}

/// A run at the level at which most is said.
fn target(server: &NatsServer, url: &str, group: &str) -> Target {
    Target::new()
        .server(server)
        .registry_at(url, group)
        .setting("schema_registry_timeout_seconds", 20)
        .env("TARGET_NATS_LOGLEVEL", "TRACE")
}

fn by_client(url: &str) -> [(&'static str, Value); 3] {
    [
        ("schema_registry_oauth_url", json!(url)),
        ("schema_registry_oauth_client_id", json!(CLIENT_ID)),
        ("schema_registry_oauth_client_secret", json!(CLIENT_SECRET)),
    ]
}

fn by_password(user: &str, password: &str) -> [(&'static str, Value); 2] {
    [
        ("schema_registry_user", json!(user)),
        ("schema_registry_password", json!(password)),
    ]
}

fn input() -> String {
    schema("users", &["id"]) + &record("users", r#"{"id":1}"#) + &state("1")
}

/// One record with its schema, into a group of that name.
fn run(url: &str, group: &str, settings: &[(&str, Value)]) -> Outcome {
    let server = NatsServer::start();
    target(&server, url, group)
        .settings(settings)
        .input(input())
        .run()
}

/// No output holds a secret, in whatever form.
#[track_caller]
fn keeps_secrets(outcome: &Outcome) {
    for secret in [
        MARKER,
        "bTRyazN",
        BASIC,
        CLIENT_SECRET,
        "s3cret",
        "eyJhb",
        "Bearer ",
    ] {
        outcome.check(
            !outcome.stderr.contains(secret) && !outcome.stdout_text().contains(secret),
            &format!("no output holds {secret}"),
        );
    }
}

#[track_caller]
fn succeeds(outcome: &Outcome) {
    outcome.succeeds().prints("1\n");
    keeps_secrets(outcome);
}

#[track_caller]
fn fails(outcome: &Outcome, code: i32, parts: &[&str]) {
    outcome.exits(code).prints("").error(parts);
    keeps_secrets(outcome);
}

/// The statuses of our requests about a group.
#[track_caller]
fn statuses(registry: &Registry, group: &str) -> Vec<u16> {
    let requests = registry.requests_about(group);
    requests.iter().map(|request| request.status).collect()
}

#[test]
fn a_password_logs_in_in_whatever_way_it_is_given() {
    for version in VERSIONS {
        let registry = with_users(version);
        let (url, server) = (registry.url(), NatsServer::start());
        let in_url = url.replace("http://", &format!("http://dev:{ENCODED}@"));
        let user = json!("dev");
        let ways: [(&str, Target); 4] = [
            (
                "by-settings",
                target(&server, &url, "by-settings").settings(&by_password("dev", PASSWORD)),
            ),
            (
                "by-file",
                target(&server, &url, "by-file")
                    .setting("schema_registry_user", user.clone())
                    .setting("schema_registry_password_file", "secret")
                    .file("secret", format!("{PASSWORD}\n")),
            ),
            ("by-url", target(&server, &in_url, "by-url")),
            (
                "by-environment",
                target(&server, &url, "by-environment")
                    .args(["--config", "ENV"])
                    .env("TARGET_NATS_SCHEMA_REGISTRY_USER", "dev")
                    .env("TARGET_NATS_SCHEMA_REGISTRY_PASSWORD", PASSWORD),
            ),
        ];
        for (group, target) in ways {
            succeeds(&target.input(input()).run());
            assert_eq!(registry.artifacts(group), ["users"]);
            // At once, without being asked for it.
            assert_eq!(statuses(registry, group), [200], "{group}");
        }
    }
}

#[test]
fn a_login_that_is_wrong_or_missing_ends_the_run_at_once() {
    for version in VERSIONS {
        let registry = with_users(version);
        let url = registry.url();
        let wrong = by_password("dev", "m4rk3r-wrong");
        let bearer = [("schema_registry_token", json!("m4rk3r"))];
        let cases: [(&str, &[(&str, Value)]); 3] =
            [("wrong-1", &wrong), ("wrong-2", &[]), ("wrong-3", &bearer)];
        for (group, settings) in cases {
            let outcome = run(&url, group, settings);
            let hints = ["users", "status 401", "schema_registry_user"];
            fails(&outcome, 1, &hints);
            assert_eq!(statuses(registry, group), [401], "{group}");
            let lookup = [settings, &[("schema_mode", json!("lookup"))]].concat();
            fails(&run(&url, group, &lookup), 1, &hints);
        }
    }
}

#[test]
fn a_role_that_may_only_read_looks_schemas_up_and_registers_none() {
    for version in VERSIONS {
        let registry = with_users(version);
        let (url, group) = (registry.url(), "roles");
        let ro = by_password("ro", "m4rk3r-ro");
        let outcome = run(&url, group, &ro);
        fails(&outcome, 1, &["users", "status 403", "sr-developer"]);
        assert_eq!(statuses(registry, group), [403]);

        let lookup = [&ro[..], &[("schema_mode", json!("lookup"))]].concat();
        fails(&run(&url, group, &lookup), 1, &["lookup"]);
        succeeds(&run(&url, group, &by_password("dev", PASSWORD)));
        succeeds(&run(&url, group, &lookup));
        assert_eq!(registry.versions(group, "users").len(), 1);

        let nobody = by_password("nobody", "m4rk3r-no");
        let lookup = [&nobody[..], &[("schema_mode", json!("lookup"))]].concat();
        fails(
            &run(&url, group, &lookup),
            1,
            &["status 403", "sr-readonly"],
        );
    }
}

#[test]
fn more_than_one_login_and_halves_of_one_are_refused_by_name() {
    let password = by_password("u", MARKER);
    let token = [("schema_registry_token", json!(MARKER))];
    let client = by_client("https://idp.example/token");
    let in_url = [("schema_registry_url", json!("http://u:m4rk3r@localhost"))];
    let scope = [("schema_registry_oauth_scope", json!("x"))];
    let refused = |settings: &[&[(&str, Value)]], parts: &[&str]| {
        let outcome = run("http://127.0.0.1:1", "g", &settings.concat());
        fails(&outcome, 2, parts);
    };
    refused(
        &[&password, &token],
        &["more than one login", "_password", "_token"],
    );
    refused(&[&token, &client], &["_token", "_oauth_url"]);
    refused(
        &[&password, &client, &token, &in_url],
        &["in schema_registry_url", "_user", "_token", "_oauth_url"],
    );
    refused(&[&in_url, &scope], &["more than one login", "_oauth_url"]);
    refused(&[&password[..1]], &["need each other"]);
    refused(&[&password[1..]], &["need each other"]);
    refused(&[&client[..2]], &["_oauth_client_secret"]);
    refused(&[&by_password("a:b", MARKER)], &["colon"]);
}

#[test]
fn a_bearer_token_is_sent_as_it_is_and_an_expired_one_is_not_renewed() {
    for version in VERSIONS {
        let (registry, provider) = with_tokens(version);
        let bearer = |token: String| [("schema_registry_token", json!(token))];
        let good = bearer(provider.token("sr-developer", 60));
        succeeds(&run(&registry.url(), "bearer", &good));
        let expired = bearer(provider.token("sr-developer", -5));
        let outcome = run(&registry.url(), "bearer-2", &expired);
        fails(&outcome, 1, &["status 401", "schema_registry_token"]);
        let weak = bearer(provider.token("sr-readonly", 60));
        let outcome = run(&registry.url(), "bearer-3", &weak);
        fails(&outcome, 1, &["status 403"]);
        assert_eq!(statuses(registry, "bearer"), [200, 401, 403]);
    }
}

#[test]
fn one_token_serves_all_registrations() {
    const STREAMS: usize = 60;
    for version in VERSIONS {
        let (registry, provider) = with_tokens(version);
        // Without a scope, the form holds the client and nothing else.
        let asked = endpoint({
            let provider = provider.clone();
            move |_, _| token(&provider, 300)
        });
        let server = NatsServer::start();
        let streams = (0..STREAMS).map(|n| {
            let name = format!("s{n}");
            schema(&name, &[]) + &record(&name, r#"{"id":1}"#)
        });
        let input = streams.collect::<String>() + &state("1");
        let url = asked.root_url() + "/token";
        let target = target(&server, &registry.url(), "many").settings(&by_client(&url));
        succeeds(&target.input(input).run());
        assert_eq!(registry.artifacts("many").len(), STREAMS);
        assert_eq!(statuses(registry, "many"), [200; STREAMS]);
        let requests = asked.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(
            requests[0].text(),
            "grant_type=client_credentials&client_id=a%20client&client_secret=s3cret%26%25%3A%2B%C3%A9"
        );
        let kind = requests[0].header("content-type");
        assert_eq!(kind, Some("application/x-www-form-urlencoded"));
        assert_eq!(requests[0].header("authorization"), None);
    }
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    const LIFE: i64 = 8;
    let (registry, provider) = with_tokens(Version::V3_3);
    let asked = endpoint({
        let provider = provider.clone();
        move |_, _| {
            let token = provider.token("sr-developer", LIFE);
            Answer::json(200, &json!({"access_token": token, "expires_in": LIFE}))
        }
    });
    let server = NatsServer::start();
    let url = asked.root_url() + "/token";
    let target = target(&server, &registry.url(), "renewed");
    let mut running = target.settings(&by_client(&url)).spawn();
    let mut sent = 0;
    wait_until("another token is asked for", PATIENCE, || {
        sent += 1;
        let (name, number) = (format!("s{sent}"), sent.to_string());
        running.send(schema(&name, &[]) + &record(&name, r#"{"id":1}"#) + &state(&number));
        running.wait_for_line(&number);
        asked.requests().len() > 1
    });
    running.end_input();
    let outcome = running.wait();
    outcome.succeeds().prints_last(&sent.to_string());
    keeps_secrets(&outcome);
    assert_eq!(statuses(registry, "renewed"), vec![200; sent]);
}

#[test]
fn a_token_that_is_refused_is_renewed_once_and_not_twice() {
    for version in VERSIONS {
        let (registry, provider) = with_tokens(version);
        for (group, expired) in [("refused-1", 1), ("refused-2", usize::MAX)] {
            let asked = endpoint({
                let provider = provider.clone();
                move |n, _| token(&provider, if n <= expired { -5 } else { 300 })
            });
            let url = asked.root_url() + "/token";
            let outcome = run(&registry.url(), group, &by_client(&url));
            if expired == 1 {
                succeeds(&outcome);
                assert_eq!(statuses(registry, group), [401, 200]);
            } else {
                fails(&outcome, 1, &["status 401", "schema_registry_oauth_url"]);
                assert_eq!(statuses(registry, group), [401, 401]);
            }
            assert_eq!(asked.requests().len(), 2);
        }
    }
}

#[test]
fn an_endpoint_that_wants_the_client_in_a_header_gets_it_there_from_then_on() {
    let (registry, provider) = with_tokens(Version::V3_3);
    let asked = endpoint({
        let provider = provider.clone();
        move |n, request| match request.header("authorization") {
            None => Answer::json(401, &json!({"error": "invalid_client"})),
            // The first is no longer good.
            Some(_) => token(&provider, if n == 2 { -5 } else { 300 }),
        }
    });
    let url = asked.root_url() + "/token";
    let scope = [("schema_registry_oauth_scope", json!("read write"))];
    let settings = [&by_client(&url)[..], &scope].concat();
    succeeds(&run(&registry.url(), "by-header", &settings));
    let requests = asked.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[0].text().contains("client_secret="));
    // `a%20client:s3cret%26%25%3A%2B%C3%A9`
    let basic = "Basic YSUyMGNsaWVudDpzM2NyZXQlMjYlMjUlM0ElMkIlQzMlQTk=";
    for request in &requests[1..] {
        assert_eq!(request.header("authorization"), Some(basic));
        assert_eq!(
            request.text(),
            "grant_type=client_credentials&scope=read%20write"
        );
    }
}

#[test]
fn an_endpoint_that_fails_for_a_while_is_asked_again() {
    let (registry, provider) = with_tokens(Version::V3_3);
    let asked = endpoint({
        let provider = provider.clone();
        move |n, _| match n {
            1 => Answer::status(503),
            2 => Answer::close(),
            _ => token(&provider, 300),
        }
    });
    let url = asked.root_url() + "/token";
    succeeds(&run(&registry.url(), "patient", &by_client(&url)));
    assert_eq!(asked.requests().len(), 3);
}

#[test]
fn a_client_that_gets_no_token_registers_nothing() {
    let (registry, provider) = with_tokens(Version::V3_3);
    let right = by_client(&provider.token_url());
    succeeds(&run(&registry.url(), "client", &right));
    let mut wrong = right;
    wrong[2].1 = json!("m4rk3r");
    let outcome = run(&registry.url(), "client-2", &wrong);
    fails(&outcome, 1, &["users", "token endpoint", "invalid_client"]);

    let web_page = Answer::body(200, "<html>m4rk3r").header("Content-Type", "text/html");
    let redirect =
        Answer::status(307).header("Location", "https://u:m4rk3r@idp.example/t?q=m4rk3r");
    let refusal = Answer::json(
        400,
        &json!({"error": "invalid_scope", "description": "m4rk3r"}),
    );
    let cases = [
        (Some(web_page), 1, "no token in the answer"),
        (Some(redirect), 1, "to https://idp.example/t"),
        (Some(refusal), 1, "invalid_scope"),
        (Some(Answer::status(404)), 1, "status 404"),
        (Some(Answer::status(500)), 75, "status 500"),
        (Some(Answer::silence()), 75, "no answer came in time"),
        (Some(Answer::raw("m4rk3r")), 75, "token endpoint"),
        // Nobody is there.
        (None, 75, "token endpoint"),
    ];
    for (answer, code, part) in cases {
        let asked = answer.map(|answer| ScriptedHttp::answering([answer]));
        let url = match &asked {
            Some(asked) => asked.root_url(),
            None => "http://127.0.0.1:1".to_owned(),
        };
        let timeout = [("schema_registry_timeout_seconds", json!(2))];
        let settings = [&by_client(&url)[..], &timeout].concat();
        let outcome = run(&registry.url(), "client-2", &settings);
        fails(&outcome, code, &["users", "token endpoint", part]);
        outcome.check(
            outcome.took < Duration::from_secs(20),
            "it ends about when its time is over",
        );
    }
    assert_eq!(statuses(registry, "client-2"), [0; 0]);
}
