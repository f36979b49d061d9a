//! `--check` of a registry: what it tells of each kind, that it changes nothing there, and that it fails where a run would.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Answer, CLIENT_ID, CLIENT_SECRET, IdentityProvider, NatsServer, Outcome, Registry,
    ScriptedHttp, Target, Version,
};

const SCHEMA: &str = r#"{"type":"object","properties":{"id":{"type":"integer"}}}"#;
const OTHER: &str = r#"{"type":"object","properties":{"id":{"type":"string"}}}"#;

fn check(url: &str, settings: &[(&str, Value)]) -> Outcome {
    let server = NatsServer::start();
    let target = Target::new()
        .server(&server)
        .setting("enable_schema_registry", true)
        .setting("schema_registry_url", url)
        .setting("schema_registry_timeout_seconds", 20)
        .env("TARGET_NATS_LOGLEVEL", "TRACE")
        .args(["--check"]);
    target.settings(settings).run()
}

/// What is told of the registry, without the spaces between.
#[track_caller]
fn told(outcome: &Outcome) -> Vec<String> {
    outcome.succeeds();
    keeps_secrets(outcome);
    let text = outcome.stdout_text();
    let lines = text
        .lines()
        .skip_while(|line| !line.starts_with("registry "));
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

#[track_caller]
fn fails(outcome: &Outcome, code: i32, parts: &[&str]) {
    outcome.exits(code).error(parts);
    keeps_secrets(outcome);
}

#[track_caller]
fn keeps_secrets(outcome: &Outcome) {
    for secret in ["m4rk3r", "bTRyazN", "s3cret", "eyJhb"] {
        outcome.check(
            !outcome.stderr.contains(secret) && !outcome.stdout_text().contains(secret),
            &format!("no output holds {secret}"),
        );
    }
}

/// What is told of the streams `users` and `orders`, the prefix of whose artifacts is `p.`.
#[track_caller]
fn told_of(url: &str, group: &str) -> Vec<String> {
    let settings = [
        ("schema_group_id", json!(group)),
        ("schema_topic_prefix", json!("p.")),
        (
            "subjects",
            json!({"users": "u", "orders": "o", "wild*": "w"}),
        ),
    ];
    told(&check(url, &settings))
}

/// A registry of the test's own, with a rule of each kind, whose numbers of contents are known.
struct Ruled {
    registry: Registry,
    last_content: i64,
}

impl Ruled {
    fn start(version: Version) -> Self {
        let registry = Registry::start(version, &[]);
        registry.register("g", "p.users", "JSON", SCHEMA);
        registry.set_global_rule("VALIDITY", "FULL");
        registry.set_global_rule("COMPATIBILITY", "NONE");
        if version != Version::V2_6 {
            registry.set_group_rule("g", "COMPATIBILITY", "FORWARD");
        }
        registry.set_rule("g", "p.users", "COMPATIBILITY", "BACKWARD");
        let last_content = registry.register("g", "last", "JSON", OTHER).content_id;
        Self {
            registry,
            last_content,
        }
    }

    /// Nothing was asked but to read, and nothing is new but what this registers itself.
    #[track_caller]
    fn is_unchanged(&self) {
        let requests = self.registry.requests();
        assert!(!requests.is_empty());
        for request in requests {
            assert_eq!(request.method, "GET", "{request:?}");
            assert!(request.agent.starts_with("target-nats/"), "{request:?}");
        }
        assert_eq!(self.registry.artifacts("g"), ["last", "p.users"]);
        for group in ["h", "default"] {
            assert_eq!(self.registry.artifacts(group), [""; 0]);
        }
        let path = "/groups?limit=100";
        let groups = self.registry.get(path).1;
        assert!(!groups.to_string().contains("\"h\""), "{groups}");
        let third = SCHEMA.replace("id", "key");
        let next = self.registry.register("g", "next", "JSON", &third);
        assert_eq!(next.content_id, self.last_content + 1);
    }
}

#[test]
fn version_3_tells_of_itself_and_of_its_rules_and_is_left_alone() {
    for (version, name) in [
        (Version::V3_3, "Apicurio Registry (SQL)"),
        (Version::V3_0, "Apicurio Registry (In Memory)"),
    ] {
        let ruled = Ruled::start(version);
        let url = ruled.registry.url();
        let head = |group: &str| {
            [
                format!("registry {url}: {name}, version {}", version.number()),
                "login there none, accepted, role admin".to_owned(),
                format!("schemas registered where they are missing, in group '{group}'"),
                "rules VALIDITY FULL, COMPATIBILITY NONE".to_owned(),
            ]
        };
        let nothing = [
            "artifact 'p.users' of 'users', JSON: none, it is not there yet",
            "artifact 'p.orders' of 'orders', JSON: none, it is not there yet",
        ]
        .map(str::to_owned);
        let mut expected = head("g").to_vec();
        expected.extend([
            "of the group COMPATIBILITY FORWARD".to_owned(),
            "artifact 'p.users' of 'users', JSON: COMPATIBILITY BACKWARD".to_owned(),
            nothing[1].clone(),
        ]);
        assert_eq!(told_of(&url, "g"), expected);

        expected = head("h").to_vec();
        expected.push("of the group none, it is not there yet".to_owned());
        expected.extend(nothing.clone());
        assert_eq!(told_of(&(url.clone() + "/"), "h"), expected);

        // It has no rules of its own.
        expected = head("default").to_vec();
        expected.extend(nothing);
        assert_eq!(told_of(&ruled.registry.root_url(), "default"), expected);
        ruled.is_unchanged();
    }
}

#[test]
fn the_other_apis_tell_as_much_as_the_registry_knows() {
    for version in [Version::V2_6, Version::V3_3, Version::V3_0] {
        let ruled = Ruled::start(version);
        let registry = &ruled.registry;
        for url in [registry.v2_url(), registry.ccompat_url(7)] {
            let lines = told_of(&url, "g");
            let about = format!("registry {url}: ");
            assert!(lines[0].starts_with(&about), "{lines:?}");
            let number = format!(", version {}", version.number());
            assert!(lines[0].ends_with(&number), "{lines:?}");
            let mut expected = vec![
                "login there none, accepted, role admin",
                "schemas registered where they are missing, in group 'g'",
                "rules VALIDITY FULL, COMPATIBILITY NONE",
                "of the group COMPATIBILITY FORWARD",
                "artifact 'p.users' of 'users', JSON: COMPATIBILITY BACKWARD",
                "artifact 'p.orders' of 'orders', JSON: none, it is not there yet",
            ];
            if version == Version::V2_6 {
                expected.remove(3);
            }
            assert_eq!(lines[1..], expected);
        }
        ruled.is_unchanged();
    }
}

#[test]
fn confluents_api_alone_tells_what_it_can() {
    let ruled = Ruled::start(Version::V3_0);
    let real = ruled.registry.port();
    let alone = ScriptedHttp::judging(move |request| {
        if request.path.starts_with("/apis/ccompat/") {
            Answer::relayed(real)
        } else {
            Answer::status(404)
        }
    });
    let url = alone.root_url() + "/apis/ccompat/v7";
    assert_eq!(
        told_of(&url, "g"),
        [
            format!("registry {url}: Confluent's API"),
            "login there none, accepted".to_owned(),
            "schemas registered where they are missing, in group 'g'".to_owned(),
            "rules COMPATIBILITY NONE".to_owned(),
            "artifact 'p.users' of 'users', JSON: COMPATIBILITY BACKWARD".to_owned(),
            "artifact 'p.orders' of 'orders', JSON: none, it is not there yet".to_owned(),
        ]
    );
    ruled.is_unchanged();
}

fn with_users(version: Version) -> &'static Registry {
    static SHARED: [OnceLock<Registry>; 2] = [const { OnceLock::new() }; 2];
    let users = [
        ("dev", "m4rk3r", "sr-developer"),
        ("ro", "m4rk3r", "sr-readonly"),
        ("nobody", "m4rk3r", "none"),
    ];
    SHARED[version as usize].get_or_init(|| Registry::with_users(version, &users))
}

fn login(user: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("schema_registry_user", json!(user)),
        ("schema_registry_password", json!("m4rk3r")),
    ]
}

#[test]
fn a_role_that_does_not_suffice_fails_the_check_of_those_who_need_more() {
    for version in [Version::V3_3, Version::V3_0] {
        let registry = with_users(version);
        for url in [registry.url(), registry.v2_url(), registry.ccompat_url(7)] {
            let lines = told(&check(&url, &login("dev")));
            assert_eq!(lines[1], "login there user 'dev', accepted, role developer");
            let outcome = check(&url, &login("ro"));
            fails(&outcome, 1, &["user 'ro'", "viewer", "sr-developer"]);
            let lookup = ("schema_mode", json!("lookup"));
            let lines = told(&check(
                &url,
                &[&login("ro")[..], std::slice::from_ref(&lookup)].concat(),
            ));
            assert_eq!(lines[1], "login there user 'ro', accepted, role viewer");
            assert_eq!(lines[2], "schemas looked up, in group 'default'");

            for settings in [login("nobody"), Vec::new()] {
                let part = if settings.is_empty() {
                    "none"
                } else {
                    "nobody"
                };
                let lookup = [&settings[..], std::slice::from_ref(&lookup)].concat();
                for settings in [settings, lookup] {
                    let outcome = check(&url, &settings);
                    outcome.exits(1);
                    keeps_secrets(&outcome);
                    let line = outcome.error_line();
                    let says = line.contains(part) || line.contains("status 40");
                    outcome.check(says, "it says who lacks what");
                }
            }
            let wrong = [
                ("schema_registry_user", json!("ro")),
                ("schema_registry_password", json!("m4rk3r-wrong")),
            ];
            let outcome = check(&url, &wrong);
            fails(&outcome, 1, &["status 401", "schema_registry_user"]);
        }
        let requests = registry.requests();
        assert!(requests.iter().all(|request| request.method == "GET"));
    }
}

/// Such a registry says of everybody that he is an administrator, and of nobody too.
#[test]
fn a_login_that_is_missing_is_seen_where_there_are_no_roles() {
    for version in [Version::V3_3, Version::V3_0] {
        let embedded = "-Dquarkus.security.users.embedded";
        let flags = [
            "-Dquarkus.http.auth.basic=true".to_owned(),
            format!("{embedded}.plain-text=true"),
            format!("{embedded}.users.dev=m4rk3r"),
        ];
        let registry = Registry::start(version, &flags.each_ref().map(String::as_str));
        let outcome = check(&registry.url(), &[]);
        fails(&outcome, 1, &["status 401", "schema_registry_user"]);
        let lines = told(&check(&registry.url(), &login("dev")));
        assert_eq!(lines[1], "login there user 'dev', accepted, role admin");
    }
}

#[test]
fn a_reader_that_needs_no_login_passes_the_check_of_lookups_only() {
    let flags = [
        "-Dquarkus.http.auth.basic=true",
        "-Dapicurio.auth.role-based-authorization=true",
        "-Dapicurio.auth.anonymous-read-access.enabled=true",
    ];
    let registry = Registry::start(Version::V3_3, &flags);
    let lines = told(&check(&registry.url(), &[("schema_mode", json!("lookup"))]));
    assert_eq!(lines[1], "login there none, accepted, role viewer");
    let outcome = check(&registry.url(), &[]);
    fails(&outcome, 1, &["viewer", "sr-developer"]);
}

#[test]
fn tokens_are_told_by_their_kind() {
    let provider = IdentityProvider::start();
    let registry = Registry::trusting(Version::V3_3, &provider);
    let client = |url: &str| {
        [
            ("schema_registry_oauth_url", json!(url)),
            ("schema_registry_oauth_client_id", json!(CLIENT_ID)),
            ("schema_registry_oauth_client_secret", json!(CLIENT_SECRET)),
        ]
    };
    let url = registry.url();
    let lines = told(&check(&url, &client(&provider.token_url())));
    assert_eq!(
        lines[1],
        "login there client 'a client' by OAuth, accepted, role developer"
    );
    assert_eq!(provider.given(), 1);
    let bearer = |seconds| {
        let token = provider.token("sr-developer", seconds);
        [("schema_registry_token", json!(token))]
    };
    let lines = told(&check(&url, &bearer(60)));
    assert_eq!(
        lines[1],
        "login there a bearer token, accepted, role developer"
    );
    fails(&check(&url, &bearer(-5)), 1, &["status 401"]);
    let outcome = check(&url, &client("http://127.0.0.1:1"));
    fails(&outcome, 75, &["token endpoint"]);
    let mut wrong = client(&provider.token_url());
    wrong[2].1 = json!("m4rk3r");
    fails(&check(&url, &wrong), 1, &["invalid_client"]);
}

#[test]
fn what_is_no_registry_or_cannot_be_reached_fails_the_check() {
    let root = Registry::shared(Version::V3_3).root_url();
    let paths = [
        "/apis/registry/v9",
        "/apis/registry",
        "/apis/ccompat/v9",
        "/registry",
        "/apis/registry/v3/groups",
    ];
    for path in paths {
        let outcome = check(&format!("{root}{path}"), &[]);
        fails(&outcome, 1, &["schema_registry_url"]);
    }
    let old = Registry::shared(Version::V2_6);
    fails(&check(&old.url(), &[]), 1, &["schema_registry_url"]);

    let page = Answer::body(200, "<html>m4rk3r</html>").header("Content-Type", "text/html");
    let moved = Answer::status(301).header("Location", "https://registry.example/x");
    let cases = [
        (page, 1, "no schema registry"),
        (
            Answer::json(200, &json!({"name": "m4rk3r"})),
            1,
            "no schema registry",
        ),
        (moved, 1, "https://registry.example/x"),
        (Answer::status(503), 75, "503"),
        (Answer::close(), 75, "not available"),
        (Answer::silence(), 75, "no answer came in time"),
    ];
    for (answer, code, part) in cases {
        let server = ScriptedHttp::answering([answer]);
        let timeout = [("schema_registry_timeout_seconds", json!(2))];
        let outcome = check(&server.url(), &timeout);
        fails(&outcome, code, &[part]);
        outcome.check(outcome.took < Duration::from_secs(20), "it does not hang");
    }
    let outcome = check("http://127.0.0.1:1", &[]);
    fails(&outcome, 75, &["not available"]);
}
