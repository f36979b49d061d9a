//! What no real registry answers on demand: statuses of proxies, redirects, false successes, bodies that are cut short,
//! nonsense and silence. Each is tried again, or an error, and never taken for a registration.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    Answer, Message, NatsServer, Outcome, ScriptedHttp, Subscriber, Target, record, schema_as,
    state,
};

const SCHEMA: &str = r#"{"type":"object","properties":{"id":{"type":"integer"}}}"#;

/// One record of one stream, with the registry answering so.
#[track_caller]
fn run(
    answers: impl IntoIterator<Item = Answer>,
    seconds: u32,
) -> (Outcome, Vec<Message>, ScriptedHttp) {
    let registry = ScriptedHttp::answering(answers);
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let outcome = Target::new()
        .server(&server)
        .registry_at(&registry.url(), "g")
        .setting("schema_registry_timeout_seconds", seconds)
        .input(schema_as("users", SCHEMA) + &record("users", r#"{"id":1}"#) + &state("1"))
        .run();
    (outcome, subscriber.messages(), registry)
}

#[test]
fn one_request_is_sent_as_the_api_wants_it() {
    let (outcome, messages, registry) = run([Answer::registered(7, 1009)], 30);
    outcome.succeeds().prints("1\n");
    assert_eq!(messages[0].header("apicurio.value.contentId"), Some("1009"));
    assert_eq!(messages[0].header("apicurio.value.globalId"), Some("7"));
    let requests = registry.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(
        (&*request.method, &*request.path),
        (
            "POST",
            "/apis/registry/v3/groups/g/artifacts?ifExists=FIND_OR_CREATE_VERSION&canonical=true"
        )
    );
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("authorization"), None);
    // A registry of version 3.0 refuses a body that is compressed.
    assert_eq!(request.header("content-encoding"), None);
    let kept = r#"{"properties":{"id":{"type":"integer"}},"type":"object"}"#;
    let content = json!({"content": kept, "contentType": "application/json"});
    assert_eq!(
        request.json(),
        json!({"artifactId": "users", "artifactType": "JSON", "firstVersion": {"content": content}})
    );
}

#[test]
fn what_passes_is_tried_again() {
    let conflict = Answer::refusal(
        409,
        "VersionAlreadyExistsException",
        "version 'null' exists",
    );
    let cases = [
        ("503", Answer::status(503)),
        (
            "502 with a page",
            Answer::body(502, "<html>Bad Gateway</html>").header("Content-Type", "text/html"),
        ),
        ("504", Answer::status(504)),
        ("429", Answer::status(429)),
        ("408", Answer::status(408)),
        (
            "500 of its database",
            Answer::refusal(500, "RuntimeSqlException", "no connection"),
        ),
        ("a conflict", conflict),
        ("a connection that ends", Answer::close()),
        ("a body cut short", Answer::registered(1, 2).cut_after(20)),
        ("half a head", Answer::raw("HTTP/1.1 200")),
        (
            "a kept connection that ends",
            Answer::status(503).then_close(),
        ),
    ];
    for (name, first) in cases {
        let (outcome, messages, registry) = run([first, Answer::registered(7, 1009)], 30);
        outcome.succeeds().prints("1\n");
        outcome.check(messages.len() == 1, name);
        let requests = registry.requests();
        assert_eq!(requests.len(), 2, "{name}");
        assert_eq!(requests[0].body, requests[1].body, "{name}");
    }
}

#[test]
fn the_time_that_an_answer_asks_for_is_given() {
    for status in [429, 503] {
        let patience = Answer::status(status).header("Retry-After", "2");
        let (outcome, _, registry) = run([patience, Answer::registered(1, 2)], 30);
        outcome.succeeds();
        let requests = registry.requests();
        let between = requests[1].at - requests[0].at;
        assert!(between >= Duration::from_millis(1900), "{between:?}");
    }
    // More than is left is not waited for.
    let start = Instant::now();
    let patience = Answer::status(503).header("Retry-After", "3600");
    let (outcome, messages, _) = run([patience], 5);
    outcome.exits(75).prints("").error(&["'users'", "503"]);
    assert!(start.elapsed() < Duration::from_secs(30));
    assert!(messages.is_empty());
}

#[test]
fn what_lasts_ends_the_run_at_once() {
    let rule = json!({
        "title": "Incompatible artifact: users [JSON]", "status": 409, "name": "RuleViolationException",
        "causes": [{"description": "TYPE_CHANGED", "context": "/properties/id"}, {"description": "B", "context": "/b"}],
    });
    let list = json!({"artifacts": [], "count": 0});
    let other = json!({"version": {
        "version": "1", "globalId": 1, "contentId": 2, "artifactId": "another", "artifactType": "JSON",
    }});
    let avro = json!({"version": {
        "version": "1", "globalId": 1, "contentId": 2, "artifactId": "users", "artifactType": "AVRO",
    }});
    let page = Answer::body(200, "<html>").header("Content-Type", "text/html");
    let moved = |status| {
        Answer::status(status).header("Location", "https://me:secret@elsewhere.test/apis?secret")
    };
    let cases: [(Answer, &[&str]); 16] = [
        (
            Answer::json(409, &rule),
            &["TYPE_CHANGED", "/properties/id", "/b"],
        ),
        (
            Answer::refusal(500, "SchemaException", "#: could not determine version"),
            &["schema_draft"],
        ),
        (
            Answer::refusal(500, "NullPointerException", "x"),
            &["NullPointerException"],
        ),
        (
            Answer::refusal(409, "LimitExceededException", "too big"),
            &["too big"],
        ),
        (
            Answer::refusal(422, "UnprocessableSchemaException", "x"),
            &["UnprocessableSchemaException"],
        ),
        (Answer::status(401), &["login", "schema_registry_user"]),
        (Answer::status(403), &["403", "sr-developer"]),
        (Answer::status(404), &["404", "schema_registry_url"]),
        (Answer::status(413), &["413"]),
        (moved(301), &["301", "elsewhere.test"]),
        (moved(307), &["307", "elsewhere.test"]),
        (page, &["web page"]),
        (Answer::status(200), &["200"]),
        (Answer::json(200, &list), &["no ids"]),
        (Answer::json(200, &other), &["another artifact"]),
        (Answer::json(200, &avro), &["AVRO"]),
    ];
    for (answer, parts) in cases {
        let (outcome, messages, registry) = run([answer, Answer::registered(1, 2)], 30);
        outcome
            .exits(1)
            .prints("")
            .error(&["line 1, stream users", "group 'g'"]);
        outcome.error(parts).does_not_log("secret");
        outcome.check(messages.is_empty(), "nothing is published");
        outcome.check(registry.requests().len() == 1, "it is not tried again");
    }
}

#[test]
fn silence_and_nonsense_end_when_the_time_is_over() {
    for answer in [
        Answer::silence(),
        Answer::raw("nonsense\r\n\r\n"),
        Answer::close(),
    ] {
        let (outcome, messages, registry) = run([answer], 3);
        outcome
            .exits(75)
            .prints("")
            .error(&["'users'", "schema_registry_timeout_seconds"]);
        outcome.check(outcome.took < Duration::from_secs(20), "it ends in time");
        outcome.check(messages.is_empty(), "nothing is published");
        assert!(registry.requests().len() > 1, "it is tried again");
    }
}

#[test]
fn a_conflict_without_end_is_given_up_after_some_tries() {
    let conflict = Answer::refusal(
        409,
        "VersionAlreadyExistsException",
        "version 'null' exists",
    );
    let (outcome, messages, registry) = run([conflict], 60);
    outcome
        .exits(75)
        .error(&["'users'", "VersionAlreadyExistsException"]);
    assert!(messages.is_empty());
    let tries = registry.requests().len();
    assert!((3..=8).contains(&tries), "{tries}");
}

#[test]
fn ids_that_are_large_or_do_not_fit_a_frame() {
    let large = i64::MAX;
    let (outcome, messages, _) = run([Answer::registered(large, large)], 30);
    outcome.succeeds();
    assert_eq!(
        messages[0].header("apicurio.value.contentId"),
        Some(&*large.to_string())
    );
    for (id, fits) in [
        (i64::from(i32::MAX), true),
        (i64::from(i32::MAX) + 1, false),
    ] {
        let registry = ScriptedHttp::answering([Answer::registered(1, id)]);
        let server = NatsServer::start();
        let mut subscriber = Subscriber::on(&server);
        let outcome = Target::new()
            .server(&server)
            .registry_at(&registry.url(), "g")
            .setting("payload_format", "framed_json")
            .input(schema_as("users", SCHEMA) + &record("users", r#"{"id":1}"#))
            .run();
        if fits {
            outcome.succeeds();
            assert_eq!(
                subscriber.messages()[0].payload,
                b"\0\x7f\xff\xff\xff{\"id\":1}"
            );
        } else {
            outcome.exits(1).error(&["2147483648"]);
            assert!(subscriber.messages().is_empty());
        }
    }
}
