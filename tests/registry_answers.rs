//! What the program makes of a registry's answers: of those that a real one gives only by accident, and of those that are
//! none of a registry at all.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    Answer, NatsServer, Outcome, ScriptedHttp, Subscriber, Target, record, schema, state,
};

struct Run {
    outcome: Outcome,
    registry: ScriptedHttp,
    /// Messages that have arrived.
    messages: usize,
    took: Duration,
}

/// A run of one record, with a registry that gives these answers in turn, the last one for ever.
fn run(answers: impl IntoIterator<Item = Answer>, settings: &[(&str, &str)]) -> Run {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let registry = ScriptedHttp::answering(answers);
    let mut target = Target::new()
        .server(&server)
        .registry_at(&registry.url(), "default")
        .setting("schema_registry_timeout_seconds", 3);
    for (key, value) in settings {
        target = target.setting(key, *value);
    }
    let start = Instant::now();
    let input = schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1");
    let outcome = target.input(input).run();
    Run {
        took: start.elapsed(),
        messages: subscriber.messages().len(),
        outcome,
        registry,
    }
}

/// The run ends with this exit code, having asked so often, and nothing is published or printed.
#[track_caller]
fn check_end(run: &Run, exit_code: i32, asked: std::ops::RangeInclusive<usize>, parts: &[&str]) {
    run.outcome.exits(exit_code).prints("").error(parts);
    run.outcome.error(&["line 1", "stream users"]);
    let requests = run.registry.requests().len();
    run.outcome.check(
        asked.contains(&requests),
        &format!("it asks {asked:?} times, not {requests}"),
    );
    run.outcome.check(run.messages == 0, "nothing is published");
}

/// After these answers the schema is registered all the same.
#[track_caller]
fn check_healed(troubles: &[Answer], least: Duration) {
    let answers = troubles.iter().cloned().chain([Answer::registered(7, 5)]);
    let run = run(answers, &[]);
    run.outcome.succeeds().prints("1\n");
    assert_eq!(run.messages, 1);
    let requests = run.registry.requests();
    assert_eq!(requests.len(), troubles.len() + 1);
    assert!(
        requests
            .iter()
            .all(|request| request.text() == requests[0].text())
    );
    assert!(run.took >= least, "it took {:?}", run.took);
}

fn version(artifact: &str, kind: &str) -> Answer {
    let version = json!({"version": "1", "artifactId": artifact, "artifactType": kind, "globalId": 7, "contentId": 5});
    Answer::json(200, &json!({"artifact": {}, "version": version}))
}

#[test]
fn a_registration_is_one_request_as_the_api_wants_it() {
    let run = run([Answer::registered(7, 1009)], &[("schema_group_id", "a b")]);
    run.outcome.succeeds().prints("1\n");
    let requests = run.registry.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    let path =
        "/apis/registry/v3/groups/a%20b/artifacts?ifExists=FIND_OR_CREATE_VERSION&canonical=true";
    assert_eq!((&*request.method, &*request.path), ("POST", path));
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
fn what_looks_like_success_and_is_none_ends_the_run() {
    let page = Answer::body(200, "<html>Registry</html>").header("Content-Type", "text/html");
    for (answer, part) in [
        (page, "web page"),
        (
            Answer::json(200, &json!({"artifacts": [], "count": 0})),
            "no ids",
        ),
        (
            Answer::json(200, &json!({"artifact": {"artifactId": "users"}})),
            "no ids",
        ),
        (
            Answer::json(200, &json!({"version": {"contentId": 5}})),
            "no ids",
        ),
        (version("other", "JSON"), "another artifact"),
        (version("users", "AVRO"), "AVRO"),
        (Answer::status(200), "schema_registry_url"),
        (Answer::status(204), "status 204"),
    ] {
        check_end(&run([answer], &[]), 1, 1..=1, &[part]);
    }
}

#[test]
fn a_refusal_is_not_asked_for_twice() {
    for (status, name, part) in [
        (
            400,
            "InvalidArtifactIdException",
            "InvalidArtifactIdException",
        ),
        (409, "RuleViolationException", "by a rule"),
        (409, "LimitExceededException", "LimitExceededException"),
        (422, "UnprocessableSchemaException", "by a rule"),
        (403, "ForbiddenException", "sr-developer"),
        (401, "UnauthorizedException", "schema_registry_user"),
        (404, "NotFoundException", "schema_registry_url"),
        (405, "NotAllowedException", "schema_registry_url"),
        (500, "SchemaException", "SchemaException"),
        (500, "NullPointerException", "NullPointerException"),
    ] {
        let answer = Answer::refusal(status, name, "it says why");
        check_end(&run([answer], &[]), 1, 1..=1, &[part, "it says why"]);
    }
    for status in [401, 403, 413] {
        let part = format!("status {status}");
        check_end(&run([Answer::status(status)], &[]), 1, 1..=1, &[&part]);
    }
}

#[test]
fn a_redirect_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let answer = Answer::status(status).header(
            "Location",
            "https://me:secret@real.example.com/apis/registry/v3?secret",
        );
        let run = run([answer], &[]);
        run.outcome.does_not_log("secret");
        check_end(
            &run,
            1,
            1..=1,
            &[
                "https://real.example.com/apis/registry/v3",
                "schema_registry_url",
            ],
        );
    }
}

#[test]
fn troubles_that_pass_are_waited_out() {
    check_healed(
        &[Answer::status(503).header("Retry-After", "1")],
        Duration::from_secs(1),
    );
    for trouble in [
        Answer::status(502),
        Answer::status(429),
        Answer::status(408),
        Answer::status(503).then_close(),
        Answer::raw("HTTP/1.1 200"),
        Answer::status(504),
        Answer::refusal(500, "RuntimeSqlException", "no database"),
        Answer::refusal(500, "OIDCException", "OIDC Server is not available"),
        Answer::close(),
        Answer::registered(7, 5).cut_after(20),
        Answer::raw("nonsense\r\n\r\n"),
    ] {
        check_healed(&[trouble.clone(), trouble], Duration::from_millis(200));
    }
}

#[test]
fn a_call_that_hangs_is_not_the_last() {
    let run = run([Answer::silence(), Answer::registered(7, 5)], &[]);
    run.outcome.succeeds().prints("1\n");
    assert_eq!(run.registry.requests().len(), 2);
}

#[test]
fn other_writers_are_given_way_to() {
    let conflict = Answer::refusal(
        409,
        "VersionAlreadyExistsException",
        "version 'null' exists",
    );
    check_healed(
        &[conflict.clone(), conflict.clone(), conflict.clone()],
        Duration::from_millis(150),
    );
    check_end(
        &run([conflict], &[]),
        75,
        4..=8,
        &["others register the same artifact"],
    );
}

#[test]
fn a_registry_that_stays_away_ends_the_run_in_time() {
    for (answer, part) in [
        (Answer::silence(), "in time"),
        (Answer::status(503), "status 503"),
        (Answer::close(), "schema_registry_timeout_seconds"),
        (
            Answer::registered(7, 5).cut_after(20),
            "schema_registry_timeout_seconds",
        ),
        (
            Answer::status(503).header("Retry-After", "3600"),
            "status 503",
        ),
    ] {
        let run = run([answer], &[]);
        check_end(&run, 75, 1..=12, &[part]);
        let took = run.took;
        run.outcome.check(
            took < Duration::from_secs(6),
            &format!("it takes 3 seconds, not {took:?}"),
        );
    }
}

#[test]
fn patience_of_nothing_and_without_end_is_no_reason_to_hurry_or_to_fail() {
    let none = Answer::status(503).header("Retry-After", "0");
    let run_of_none = run([none], &[]);
    check_end(&run_of_none, 75, 1..=12, &["status 503"]);
    let endless = Answer::status(503).header("Retry-After", "18446744073709551615");
    check_end(&run([endless], &[]), 75, 1..=1, &["status 503"]);
}

#[test]
fn a_group_whose_making_fails_for_now_is_made_later() {
    let missing = || Answer::refusal(404, "GroupNotFoundException", "No group 'g'");
    let answers = [
        missing(),
        Answer::status(503),
        missing(),
        Answer::json(200, &json!({"groupId": "g"})),
        Answer::registered(7, 5),
    ];
    let run = run(answers, &[("schema_group_id", "g")]);
    run.outcome.succeeds().prints("1\n");
    assert_eq!(run.registry.requests().len(), 5);
}

#[test]
fn with_warn_a_registry_that_is_away_holds_nobody_up_for_long() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let registry = ScriptedHttp::answering([Answer::close()]);
    let streams: Vec<String> = (0..24).map(|stream| format!("s{stream}")).collect();
    let schemas: String = streams.iter().map(|stream| schema(stream, &[])).collect();
    let records = streams.iter().map(|stream| record(stream, "{}"));
    let start = Instant::now();
    Target::new()
        .server(&server)
        .registry_at(&registry.url(), "default")
        .setting("schema_registry_timeout_seconds", 4)
        .setting("schema_on_error", "warn")
        .input(schemas + &records.collect::<String>() + &state("1"))
        .run()
        .succeeds()
        .prints("1\n");
    assert_eq!(subscriber.messages().len(), 24);
    // Eight at a time: the first take their time, the others a second.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_group_that_the_registry_does_not_make_is_made_once() {
    let missing = Answer::refusal(404, "GroupNotFoundException", "No group 'g'");
    let settings = [("schema_group_id", "g")];
    for made in [
        Answer::json(200, &json!({"groupId": "g"})),
        Answer::refusal(409, "GroupAlreadyExistsException", "there"),
    ] {
        let run = run([missing.clone(), made, Answer::registered(7, 5)], &settings);
        run.outcome.succeeds();
        let requests = run.registry.requests();
        assert_eq!(requests.len(), 3);
        assert_eq!(requests[1].path, "/apis/registry/v3/groups");
        assert_eq!(requests[1].json(), json!({"groupId": "g"}));
    }
    let refused = Answer::refusal(403, "ForbiddenException", "no");
    check_end(
        &run([missing.clone(), refused], &settings),
        1,
        2..=2,
        &["group", "ForbiddenException"],
    );
    check_end(&run([missing.clone()], &settings), 1, 2..=3, &["group"]);
    check_end(&run([missing], &[]), 1, 1..=1, &["group"]);
}

#[test]
fn what_a_read_only_registry_has_is_found() {
    let read_only = Answer::refusal(409, "ReadOnlyStorageException", "read-only");
    let found = json!({"count": 1, "versions": [
        {"version": "1", "artifactId": "users", "artifactType": "JSON", "globalId": 7, "contentId": 5, "state": "ENABLED"}
    ]});
    let run = run([read_only, Answer::json(200, &found)], &[]);
    run.outcome.succeeds();
    let requests = run.registry.requests();
    assert!(
        requests[1]
            .path
            .starts_with("/apis/registry/v3/search/versions?groupId=default&artifactId=users&")
    );
    assert_eq!(
        requests[1].text(),
        r#"{"properties":{"id":{"type":"integer"}},"type":"object"}"#
    );
}

#[test]
fn ids_that_have_no_room_before_a_payload_are_refused() {
    let answer = || [Answer::registered(1, i64::from(i32::MAX) + 1)];
    run(answer(), &[]).outcome.succeeds();
    let framed = run(answer(), &[("payload_format", "framed_json")]);
    framed.outcome.exits(1).error(&["contentId", "2147483648"]);
}
