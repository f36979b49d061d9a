//! What a registry's answer means: the ids of a schema, or why there are none and what is to be done. Pure.
//!
//! Success is status 200 with ids for what was asked, and nothing else is: a web page, a list of artifacts behind a
//! redirect, another artifact's version all come with 200 (spec apicurio.md, 1). Failures are told apart by the name of
//! the server's exception, and by the status where it gives none (1.4).

use std::time::Duration;

use serde_json::Value;

use super::artifact::{Artifact, ArtifactType};
use super::dialect::Dialect;
use super::http::Reply;
use crate::error::{Error, Kind};
use crate::settings::registry::Api;

/// How the registry knows a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SchemaIds {
    /// What identifies a schema: versions with the same content share it.
    pub(crate) content_id: i64,
    /// Of the version. Confluent's API does not tell it.
    pub(crate) global_id: Option<i64>,
    pub(super) version: Option<String>,
    /// Where the version is in no ordinary state, that.
    pub(super) state: Option<String>,
}

/// Why there are no ids.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Somebody else registers the same: the same call again.
    Conflict(String),
    /// The group must be made.
    NoGroup(Error),
    /// Nothing can be written for now, but found.
    ReadOnly(String),
    /// The next try may do better, after this time where one is given.
    Passing(String, Option<Duration>),
    /// Another token may do better.
    Unauthorised(Error),
    /// A lookup has found nothing.
    NotThere,
    /// The next try would fail as well.
    Lasting(Error),
}

/// What the body of a failure says.
#[derive(Debug, Default)]
struct Problem {
    /// The class of the server's exception.
    name: String,
    /// What it says, and every cause.
    text: String,
    /// Confluent's code.
    code: i64,
}

/// The ids in an answer to a registration.
pub(super) fn read_registered(
    reply: &Reply,
    artifact: &Artifact,
    dialect: &Dialect,
) -> Result<SchemaIds, Verdict> {
    let body = read_success(reply, artifact, dialect)?;
    let version = match dialect.api {
        Api::V3 => &body["version"],
        Api::V2 | Api::Ccompat => &body,
    };
    read_version(version, artifact, dialect.api)
}

/// The ids in an answer to a lookup.
pub(super) fn read_found(
    reply: &Reply,
    artifact: &Artifact,
    dialect: &Dialect,
) -> Result<SchemaIds, Verdict> {
    if reply.status == 404 && dialect.api != Api::V3 {
        let problem = read_problem(&reply.body);
        let is_miss = match dialect.api {
            Api::Ccompat => matches!(problem.code, 40401..=40403),
            _ => ["ArtifactNotFoundException", "GroupNotFoundException"]
                .contains(&problem.name.as_str()),
        };
        if is_miss {
            return Err(Verdict::NotThere);
        }
    }
    let body = read_success(reply, artifact, dialect)?;
    if dialect.api != Api::V3 {
        return read_version(&body, artifact, dialect.api);
    }
    let Value::Array(versions) = &body["versions"] else {
        return Err(Verdict::Lasting(no_ids(reply)));
    };
    // A registry of 3.0 gives disabled ones too, whatever is asked for.
    versions
        .iter()
        .filter(|version| version["state"] != "DISABLED")
        .max_by_key(|version| version["globalId"].as_i64())
        .map_or(Err(Verdict::NotThere), |version| {
            read_version(version, artifact, dialect.api)
        })
}

fn read_success(reply: &Reply, artifact: &Artifact, dialect: &Dialect) -> Result<Value, Verdict> {
    if reply.status != 200 {
        return Err(classify(reply, artifact, dialect));
    }
    serde_json::from_slice(&reply.body).map_err(|_| Verdict::Lasting(no_ids(reply)))
}

fn read_version(version: &Value, artifact: &Artifact, api: Api) -> Result<SchemaIds, Verdict> {
    let text = |key: &str| version[key].as_str().map(str::to_owned);
    let content_id = match api {
        Api::Ccompat => version["id"].as_i64(),
        Api::V3 | Api::V2 => version["contentId"].as_i64(),
    };
    let global_id = version["globalId"].as_i64();
    let Some(content_id) = content_id.filter(|_| api == Api::Ccompat || global_id.is_some()) else {
        let what = "the schema registry answered 200, but with no ids of the schema";
        let hint = "is schema_registry_url the base of its API?";
        return Err(Verdict::Lasting(
            Error::new(Kind::Refused, what).cause(hint),
        ));
    };
    let (id_key, type_key) = match api {
        Api::V3 => ("artifactId", "artifactType"),
        Api::V2 => ("id", "type"),
        Api::Ccompat => ("subject", "schemaType"),
    };
    // Confluent's API tells neither in an answer to a registration, and no type where it is Avro.
    let is_told = |key: &str| api != Api::Ccompat || version[key].is_string();
    if is_told(id_key) && version[id_key] != artifact.id.as_str() {
        let what = "the schema registry answered with another artifact than the one that was sent";
        return Err(Verdict::Lasting(Error::new(Kind::Refused, what)));
    }
    if is_told(type_key) && version[type_key] != artifact.kind.name() {
        let kind = version[type_key].as_str().unwrap_or("another type");
        return Err(Verdict::Lasting(other_type(kind, artifact)));
    }
    Ok(SchemaIds {
        content_id,
        global_id,
        version: text("version").or_else(|| Some(version["version"].as_i64()?.to_string())),
        state: text("state").filter(|state| state != "ENABLED"),
    })
}

/// Fails where the newest version of an artifact in Confluent's API is of another type than what was sent: so is the
/// artifact then. Avro is the type that is not told.
pub(super) fn check_type_of_newest(
    reply: &Reply,
    artifact: &Artifact,
    dialect: &Dialect,
) -> Result<(), Verdict> {
    let newest = read_success(reply, artifact, dialect)?;
    let kind = newest["schemaType"].as_str();
    let kind = kind.unwrap_or(ArtifactType::Avro.name());
    if kind == artifact.kind.name() {
        Ok(())
    } else {
        Err(Verdict::Lasting(other_type(kind, artifact)))
    }
}

fn other_type(kind: &str, artifact: &Artifact) -> Error {
    let what = format!(
        "the artifact is there already as {kind}, and our schema is of type {}",
        artifact.kind.name()
    );
    let hint = "choose another schema_topic_prefix or schema_group_id for this payload_format";
    Error::new(Kind::Refused, what).cause(hint)
}

fn no_ids(reply: &Reply) -> Error {
    let what = "the schema registry answered 200, but not with what was asked for";
    let kind = if reply.content_type.contains("html") {
        "it sent a web page: is schema_registry_url the base of its API?"
    } else {
        "is schema_registry_url the base of its API?"
    };
    Error::new(Kind::Refused, what).cause(kind)
}

/// What an answer that is no success means.
pub(super) fn classify(reply: &Reply, artifact: &Artifact, dialect: &Dialect) -> Verdict {
    let problem = read_problem(&reply.body);
    let status = reply.status;
    let described = describe(status, &problem);
    let lasting = |what: &str, hint: Option<&str>| {
        let cause = hint.map_or(described.clone(), |hint| add_hint(&described, hint));
        Verdict::Lasting(Error::new(Kind::Refused, what).cause(cause))
    };
    match (problem.name.as_str(), status) {
        (
            "VersionAlreadyExistsException"
            | "ArtifactAlreadyExistsException"
            | "ContentAlreadyExistsException"
            | "GroupAlreadyExistsException",
            409,
        ) => Verdict::Conflict(described),
        ("GroupNotFoundException", _) => {
            let what = "the schema registry has no such group, and makes none by itself";
            Verdict::NoGroup(Error::new(Kind::Refused, what).cause(described))
        }
        ("ReadOnlyStorageException", _) => Verdict::ReadOnly(described),
        ("RuleViolationException" | "UnprocessableSchemaException", _) => lasting(
            "the schema registry refuses the schema by a rule",
            open_model_hint(&problem, artifact),
        ),
        ("LimitExceededException" | "ConflictException", _) => {
            lasting("the schema registry refuses the schema", None)
        }
        _ if is_undetermined_draft(&problem) => lasting(
            "the schema registry cannot compare the schema with the version before it",
            Some(UNKNOWN_DRAFT_HINT),
        ),
        (
            "SchemaException"
            | "IllegalStateException"
            | "IllegalArgumentException"
            | "NullPointerException",
            500,
        ) => lasting("the schema registry fails at this schema", None),
        // Confluent's API has no names.
        ("", 409) if dialect.api == Api::Ccompat && is_read_only(&problem) => {
            Verdict::ReadOnly(described)
        }
        ("", 409) if dialect.api == Api::Ccompat && is_conflict(&problem) => {
            Verdict::Conflict(described)
        }
        (_, 409 | 422) if dialect.api == Api::Ccompat => lasting(
            "the schema registry refuses the schema",
            open_model_hint(&problem, artifact),
        ),
        (_, 401) => {
            let what = "the schema registry does not accept the login, or wants one";
            let hint =
                "See schema_registry_user, schema_registry_token and schema_registry_oauth_url";
            let cause = add_hint(&described, hint);
            Verdict::Unauthorised(Error::new(Kind::Refused, what).cause(cause))
        }
        (_, 403) => lasting(
            "the schema registry does not let this login do that",
            Some(
                "To register needs the role sr-developer, to look up sr-readonly; or the artifact belongs to somebody else",
            ),
        ),
        (_, 301..=308) => Verdict::Lasting(redirect_error(reply)),
        (_, 404 | 405 | 406 | 415) => lasting(
            "the schema registry has no such API",
            Some(
                "Is schema_registry_url right? It ends in /apis/registry/v3, /apis/registry/v2 or /apis/ccompat/v7",
            ),
        ),
        (_, 408 | 425 | 429 | 500..) => Verdict::Passing(described, reply.retry_after),
        _ => lasting("the schema registry refuses the request", None),
    }
}

/// `$schema` of an SDK tap is 2020-12, and a registry with a COMPATIBILITY rule cannot compare such (trap B of the spec).
const UNKNOWN_DRAFT_HINT: &str = "With a COMPATIBILITY rule it reads drafts 4, 6 and 7 only: set schema_draft to draft-07 \
     before the first registration; versions of another draft must be disabled in the registry";

fn is_undetermined_draft(problem: &Problem) -> bool {
    problem.text.contains("could not determine version")
}

/// A column more is incompatible under BACKWARD where other fields are allowed (trap A of the spec).
fn open_model_hint(problem: &Problem, artifact: &Artifact) -> Option<&'static str> {
    let is_about_change = problem.text.contains("ncompatible");
    (is_about_change && artifact.kind == ArtifactType::Json).then_some(
        "An added column breaks BACKWARD on a schema that allows other fields: use FORWARD, or schema_closed from the first \
         version on, or payload_format avro",
    )
}

/// Version 2.6 answers so to two writers at once: without a code, as to much else.
fn is_conflict(problem: &Problem) -> bool {
    let text = problem.text.to_lowercase();
    text.contains("already exists") || (problem.code == 0 && !text.contains("limit"))
}

/// What Confluent's API says of it, which has no name for it.
fn is_read_only(problem: &Problem) -> bool {
    problem.text.to_lowercase().contains("read-only")
}

fn redirect_error(reply: &Reply) -> Error {
    let what = "the schema registry redirects us, which would lose what we send";
    let cause = format!(
        "status {}, to {}. Set schema_registry_url to where it really is",
        reply.status,
        reply.redirect_target()
    );
    Error::new(Kind::Refused, what).cause(cause)
}

fn add_hint(described: &str, hint: &str) -> String {
    format!("{}. {hint}", described.trim_end_matches('.'))
}

fn describe(status: u16, problem: &Problem) -> String {
    let Problem { name, text, .. } = problem;
    match (name.is_empty(), text.is_empty()) {
        (true, true) => format!("status {status}"),
        (true, false) => format!("status {status}, {text}"),
        (false, true) => format!("status {status}, {name}"),
        (false, false) => format!("status {status}, {name}, {text}"),
    }
}

/// Reads the body of a failure: a problem of v3, an error of v2 or of Confluent's API, some text, or nothing.
fn read_problem(body: &[u8]) -> Problem {
    const MAX_TEXT: usize = 4000;
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return Problem::default();
    };
    let text = |key: &str| body[key].as_str().unwrap_or_default().trim();
    let mut said: Vec<String> = Vec::new();
    for key in ["title", "message", "detail"] {
        // `detail` repeats the title behind the exception's class.
        let is_new = !said
            .iter()
            .any(|before| text(key).contains(before.as_str()));
        if !text(key).is_empty() && is_new {
            said.push(text(key).to_owned());
        }
    }
    let causes = body["causes"].as_array().into_iter().flatten();
    let causes: Vec<String> = causes
        .map(|cause| {
            let part = |key: &str| cause[key].as_str().unwrap_or_default();
            match part("context") {
                "" => part("description").to_owned(),
                context => format!("{} at {context}", part("description")),
            }
        })
        .collect();
    if !causes.is_empty() {
        said.push(format!("causes: {}", causes.join("; ")));
    }
    let mut said = said.join("; ");
    if let Some((end, _)) = said.char_indices().nth(MAX_TEXT) {
        said.truncate(end);
        said += "…";
    }
    let name = text("name");
    Problem {
        name: if name.is_empty() {
            exception_in(text("message")).unwrap_or_default()
        } else {
            name.to_owned()
        },
        text: said,
        code: body["error_code"].as_i64().unwrap_or_default(),
    }
}

/// The class of the exception with which a message of Confluent's API begins.
fn exception_in(message: &str) -> Option<String> {
    let class = message.split_once(':')?.0.rsplit('.').next()?;
    class.ends_with("Exception").then(|| class.to_owned())
}

#[cfg(test)]
mod tests;
