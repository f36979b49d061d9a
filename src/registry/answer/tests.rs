//! Answers of registries and what they are taken for, a line each.

use super::*;
use crate::registry::dialect::Dialect;
use crate::settings::Settings;

fn dialect(path: &str) -> Dialect {
    let config =
        format!(r#"{{"enable_schema_registry": true, "schema_registry_url": "http://r{path}"}}"#);
    let settings = Settings::from_json(&config).unwrap();
    Dialect::new(settings.registry.as_ref().unwrap())
}

const V3: &str = "/apis/registry/v3";
const V2: &str = "/apis/registry/v2";
const CCOMPAT: &str = "/apis/ccompat/v7";

fn artifact() -> Artifact {
    Artifact::new("", "users", ArtifactType::Json, "{}".to_owned()).unwrap()
}

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        status,
        retry_after: None,
        location: None,
        content_type: "application/json".to_owned(),
        body: body.as_bytes().to_vec(),
    }
}

#[track_caller]
fn check_ids(path: &str, body: &str, content_id: i64, global_id: Option<i64>) {
    let ids = read_registered(&reply(200, body), &artifact(), &dialect(path)).unwrap();
    assert_eq!((ids.content_id, ids.global_id), (content_id, global_id));
}

#[test]
fn ids_are_read_in_every_dialect() {
    check_ids(
        V3,
        r#"{"artifact":{},"version":{"version":"2","artifactType":"JSON","globalId":7,"contentId":5,"state":"ENABLED","artifactId":"users"}}"#,
        5,
        Some(7),
    );
    check_ids(
        V2,
        r#"{"id":"users","version":"2","type":"JSON","globalId":7,"contentId":5,"state":"ENABLED"}"#,
        5,
        Some(7),
    );
    check_ids(CCOMPAT, r#"{"id":5}"#, 5, None);
}

#[test]
fn a_version_in_another_state_is_told() {
    let body = r#"{"version":{"version":"2","artifactType":"JSON","globalId":7,"contentId":5,"state":"DISABLED","artifactId":"users"}}"#;
    let ids = read_registered(&reply(200, body), &artifact(), &dialect(V3)).unwrap();
    assert_eq!(ids.state.as_deref(), Some("DISABLED"));
}

/// Success without the ids of what was sent is no success.
#[test]
fn a_false_success_is_an_error() {
    for (path, body, what) in [
        (V3, "<html>", "not with what was asked for"),
        (V3, "", "not with what was asked for"),
        (V3, r#"{"artifacts":[],"count":0}"#, "no ids"),
        (V3, r#"{"artifact":{}}"#, "no ids"),
        (
            V3,
            r#"{"version":{"contentId":5,"artifactId":"users","artifactType":"JSON"}}"#,
            "no ids",
        ),
        (
            V3,
            r#"{"version":{"contentId":"5","globalId":7,"artifactId":"users","artifactType":"JSON"}}"#,
            "no ids",
        ),
        (
            V3,
            r#"{"version":{"contentId":5,"globalId":7,"artifactId":"other","artifactType":"JSON"}}"#,
            "another artifact",
        ),
        (
            V3,
            r#"{"version":{"contentId":5,"globalId":7,"artifactId":"users","artifactType":"AVRO"}}"#,
            "is there already as AVRO",
        ),
        (
            V2,
            r#"{"globalId":7,"contentId":5,"id":"x","type":"JSON"}"#,
            "another artifact",
        ),
        (CCOMPAT, r#"{"ids":5}"#, "no ids"),
    ] {
        match read_registered(&reply(200, body), &artifact(), &dialect(path)) {
            Err(Verdict::Lasting(error)) => {
                assert_eq!(error.kind(), Kind::Refused);
                assert!(error.to_string().contains(what), "{body}: {error}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn the_newest_enabled_version_is_found() {
    let found =
        |path, status, body: &str| read_found(&reply(status, body), &artifact(), &dialect(path));
    let version = |global: i64, state: &str| {
        format!(
            r#"{{"globalId":{global},"contentId":5,"artifactId":"users","artifactType":"JSON","state":"{state}"}}"#
        )
    };
    let all = [
        version(7, "ENABLED"),
        version(9, "ENABLED"),
        version(11, "DISABLED"),
    ]
    .join(",");
    let body = format!(r#"{{"count":3,"versions":[{all}]}}"#);
    assert_eq!(found(V3, 200, &body).unwrap().global_id, Some(9));
    let none = r#"{"count":0,"versions":[]}"#;
    assert_eq!(found(V3, 200, none), Err(Verdict::NotThere));
    let missing = r#"{"name":"ArtifactNotFoundException"}"#;
    assert_eq!(found(V2, 404, missing), Err(Verdict::NotThere));
    for code in [40401, 40403] {
        let missing = format!(r#"{{"error_code":{code},"message":"x"}}"#);
        assert_eq!(found(CCOMPAT, 404, &missing), Err(Verdict::NotThere));
    }
    assert!(matches!(
        found(CCOMPAT, 404, "{}"),
        Err(Verdict::Lasting(_))
    ));
    assert!(matches!(found(V3, 404, "{}"), Err(Verdict::Lasting(_))));
    let found = found(
        CCOMPAT,
        200,
        r#"{"subject":"users","id":5,"version":2,"schemaType":"JSON","schema":"{}"}"#,
    );
    assert_eq!(found.unwrap().version.as_deref(), Some("2"));
}

/// The first word of a verdict, and what it says.
fn verdict(path: &str, reply: &Reply) -> String {
    match classify(reply, &artifact(), &dialect(path)) {
        Verdict::Conflict(why) => format!("conflict: {why}"),
        Verdict::NoGroup(error) => format!("no group: {error}"),
        Verdict::ReadOnly(why) => format!("read-only: {why}"),
        Verdict::Passing(why, patience) => format!("passing: {why} {patience:?}"),
        Verdict::Unauthorised(error) => format!("login: {error}"),
        Verdict::NotThere => "not there".to_owned(),
        Verdict::Lasting(error) => format!("lasting: {error}"),
    }
}

#[track_caller]
fn check(path: &str, status: u16, body: &str, parts: &[&str]) {
    let verdict = verdict(path, &reply(status, body));
    for (index, part) in parts.iter().enumerate() {
        let is_there = match index {
            0 => verdict.starts_with(part),
            _ => verdict.contains(part),
        };
        assert!(is_there, "{status} {body}: {verdict}");
    }
}

fn named(name: &str) -> String {
    format!(r#"{{"name":"{name}","title":"it says so"}}"#)
}

#[test]
fn failures_are_told_apart_by_name_and_then_by_status() {
    for (status, name, expected) in [
        (409, "VersionAlreadyExistsException", "conflict"),
        (409, "ArtifactAlreadyExistsException", "conflict"),
        (409, "GroupAlreadyExistsException", "conflict"),
        (404, "GroupNotFoundException", "no group"),
        (409, "ReadOnlyStorageException", "read-only"),
        (409, "LimitExceededException", "lasting"),
        (409, "ConflictException", "lasting"),
        (400, "RuleViolationException", "lasting"),
        (409, "RuleViolationException", "lasting"),
        (422, "UnprocessableSchemaException", "lasting"),
        (400, "InvalidArtifactIdException", "lasting"),
        (404, "NotFoundException", "lasting"),
        (500, "SchemaException", "lasting"),
        (500, "NullPointerException", "lasting"),
        (500, "RuntimeSqlException", "passing"),
        (500, "OIDCException", "passing"),
        (401, "UnauthorizedException", "login"),
        (403, "ForbiddenException", "lasting"),
    ] {
        check(V3, status, &named(name), &[expected, name, "it says so"]);
        check(V2, status, &named(name), &[expected, name]);
    }
    for (status, expected) in [
        (400, "lasting"),
        (401, "login"),
        (403, "lasting"),
        (404, "lasting"),
        (405, "lasting"),
        (408, "passing"),
        (413, "lasting"),
        (415, "lasting"),
        (429, "passing"),
        (500, "passing"),
        (502, "passing"),
        (503, "passing"),
        (504, "passing"),
    ] {
        for body in ["", "Not able to deserialize data provided.", "<html>"] {
            check(V3, status, body, &[expected, &format!("status {status}")]);
        }
    }
}

#[test]
fn confluents_api_has_codes_and_classes_in_messages() {
    let class = "io.apicurio.registry.rules.violation.RuleViolationException";
    let incompatible =
        format!(r#"{{"error_code":409,"message":"{class}: Incompatible artifact: users"}}"#);
    check(
        CCOMPAT,
        409,
        &incompatible,
        &["lasting", "RuleViolationException", "schema_closed"],
    );
    let invalid = format!(r#"{{"error_code":42201,"message":"{class}: bad"}}"#);
    check(
        CCOMPAT,
        422,
        &invalid,
        &["lasting", "RuleViolationException"],
    );
    check(
        CCOMPAT,
        409,
        r#"{"error_code":0,"message":"x"}"#,
        &["conflict"],
    );
    check(
        CCOMPAT,
        409,
        r#"{"error_code":409,"message":"version already exists"}"#,
        &["conflict"],
    );
}

#[test]
fn every_cause_of_a_violation_is_told_with_a_hint() {
    let body = r#"{"causes":[{"description":"A","context":"/properties/id"},{"description":"B","context":""}],
        "title":"Incompatible artifact: users [JSON]","detail":"RuleViolationException: Incompatible artifact: users [JSON]",
        "status":400,"name":"RuleViolationException"}"#;
    check(
        V3,
        400,
        body,
        &[
            "lasting",
            "A at /properties/id",
            "; B",
            "schema_closed",
            "FORWARD",
        ],
    );
    let draft = r##"{"name":"SchemaException","title":"#: could not determine version"}"##;
    check(V3, 500, draft, &["lasting", "schema_draft"]);
    let draft = r##"{"error_code":0,"message":"#: could not determine version"}"##;
    check(CCOMPAT, 500, draft, &["lasting", "schema_draft"]);
}

#[test]
fn a_redirect_is_told_without_what_may_be_secret() {
    let mut redirect = reply(301, "");
    redirect.location = Some("https://me:secret@h/apis?token=secret".to_owned());
    let told = verdict(V3, &redirect);
    assert!(
        told.starts_with("lasting") && told.contains("https://h/apis"),
        "{told}"
    );
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn patience_that_is_asked_for_is_passed_on() {
    let mut busy = reply(503, "");
    busy.retry_after = Some(Duration::from_secs(7));
    assert!(verdict(V3, &busy).contains("Some(7s)"));
}
