//! What `--check` sees of the registry: one line for each thing. It only reads: even a dry run of a registration would
//! make the group (spec apicurio.md, 1.2).

use serde_json::Value;

use super::answer::{Verdict, classify};
use super::artifact::{Artifact, ArtifactType};
use super::dialect::{DEFAULT_GROUP, Dialect, encode};
use super::http::Reply;
use super::login::describe_login;
use super::session::Session;
use crate::error::{Error, Kind};
use crate::settings::registry::{Api, PayloadFormat, Registry, SchemaMode};

/// Where a registry tells of itself.
const INFO: &str = "/system/info";

/// Looks at the registry, and at what it would hold the schemas of these streams against. `tell` gets the name of each
/// thing and what is to be said of it.
///
/// Fails as a run would that cannot register.
pub(crate) fn inspect(
    settings: &Registry,
    format: PayloadFormat,
    streams: &[&str],
    tell: &mut dyn FnMut(&str, &str) -> Result<(), Error>,
) -> Result<(), Error> {
    let session = Session::new(settings)?;
    let mut look = Look {
        session: &session,
        dialect: session.dialect.clone(),
        probe: Artifact::new("", "check", ArtifactType::Json, String::new())?,
    };
    let mut info = match settings.url.api {
        Api::Ccompat => look.must_get("/subjects")?,
        Api::V3 | Api::V2 => look.must_get(INFO)?,
    };
    if let Some((dialect, its_info)) = look.fuller_api() {
        (look.dialect, info) = (dialect, its_info);
    }
    let part = |key: &str| info[key].as_str().unwrap_or("unknown");
    let about = match (look.dialect.api, info["version"].as_str()) {
        (_, Some(version)) => format!("{}, version {version}", part("name")),
        (Api::Ccompat, None) => "Confluent's API".to_owned(),
        (Api::V3 | Api::V2, None) => {
            let what = "what answers at schema_registry_url is no schema registry";
            return Err(Error::new(Kind::Refused, what).cause("it tells no version of itself"));
        }
    };
    tell("registry", &format!("{}: {about}", settings.url))?;
    let login = describe_login(&settings.login);
    tell("login there", &format!("{login}, {}", look.role(settings)?))?;
    let mode = match settings.mode {
        SchemaMode::Register => "registered where they are missing",
        SchemaMode::Lookup => "looked up",
    };
    let group = &settings.group;
    tell("schemas", &format!("{mode}, in group '{group}'"))?;
    let global = match look.dialect.api {
        Api::V3 | Api::V2 => "/admin/rules",
        Api::Ccompat => "/config",
    };
    tell("rules", &look.rules(global)?)?;
    // The default group has none, and version 2 has none of groups.
    if look.dialect.api == Api::V3 && group != DEFAULT_GROUP {
        let path = format!("/groups/{}/rules", encode(group));
        tell("of the group", &look.rules(&path)?)?;
    }
    let kind = match format {
        PayloadFormat::Avro => ArtifactType::Avro,
        PayloadFormat::Json | PayloadFormat::FramedJson => ArtifactType::Json,
    };
    for stream in streams {
        let artifact = Artifact::new(&settings.prefix, stream, kind, String::new())?;
        let id = encode(&artifact.id);
        let path = match look.dialect.api {
            Api::Ccompat => format!("/config/{id}"),
            Api::V3 | Api::V2 => format!("/groups/{}/artifacts/{id}/rules", encode(group)),
        };
        let rules = look.rules(&path)?;
        let id = artifact.short_id();
        tell(
            "artifact",
            &format!("'{id}' of '{stream}', {}: {rules}", kind.name()),
        )?;
    }
    Ok(())
}

/// Asks, and reads what comes.
struct Look<'a> {
    session: &'a Session,
    /// The API that is asked: the one that tells most.
    dialect: Dialect,
    /// Stands for what an answer is about.
    probe: Artifact,
}

impl Look<'_> {
    fn get(&self, path: &str) -> Result<Reply, Error> {
        let session = self.session;
        let sent = session.send(&self.dialect.look(path), session.deadline());
        sent.map_err(explain)
    }

    /// An API beside ours that tells more of the same registry: version 2 knows no rules of groups, and Confluent's
    /// neither rules but one nor roles. Where it is not, or is closed to us, ours must do.
    fn fuller_api(&self) -> Option<(Dialect, Value)> {
        let candidates: &[Api] = match self.dialect.api {
            Api::V3 => &[],
            Api::V2 => &[Api::V3],
            Api::Ccompat => &[Api::V3, Api::V2],
        };
        candidates.iter().find_map(|api| {
            let look = Look {
                session: self.session,
                dialect: self.dialect.beside(*api),
                probe: self.probe.clone(),
            };
            let info = look.must_get(INFO).ok()?;
            info["version"].is_string().then_some((look.dialect, info))
        })
    }

    /// The JSON under a path that every registry has.
    fn must_get(&self, path: &str) -> Result<Value, Error> {
        let reply = self.get(path)?;
        if reply.status != 200 {
            return Err(self.refusal(&reply));
        }
        serde_json::from_slice(&reply.body).map_err(|_| {
            let what = "what answers at schema_registry_url is no schema registry";
            Error::new(Kind::Refused, what).cause("its answer is no JSON")
        })
    }

    /// What the login may do, as far as the registry tells. Fails where it may not do what is wanted.
    fn role(&self, settings: &Registry) -> Result<String, Error> {
        let accepted = Ok("accepted".to_owned());
        if self.dialect.api == Api::Ccompat {
            return accepted;
        }
        let reply = self.get("/users/me")?;
        let user: Value = match reply.status {
            200 => serde_json::from_slice(&reply.body).unwrap_or_default(),
            401 | 403 => return Err(self.refusal(&reply)),
            _ => return accepted,
        };
        if !user["developer"].is_boolean() {
            return accepted;
        }
        let is = |role: &str| user[role] == true;
        let role = match (is("admin"), is("developer"), is("viewer")) {
            (true, _, _) => "admin",
            (_, true, _) => "developer",
            (_, _, true) => "viewer",
            _ => "none",
        };
        let may_write = is("admin") || is("developer");
        let (what, suffices) = match settings.mode {
            SchemaMode::Register => (
                "the schema registry does not let us register schemas",
                may_write,
            ),
            SchemaMode::Lookup => (
                "the schema registry does not let us look schemas up",
                may_write || is("viewer"),
            ),
        };
        if !suffices {
            let login = describe_login(&settings.login);
            let cause = format!(
                "our login is: {login}; its role is: {role}; to register needs sr-developer, to look up sr-readonly"
            );
            return Err(Error::new(Kind::Refused, what).cause(cause));
        }
        Ok(format!("accepted, role {role}"))
    }

    /// The rules under a path.
    fn rules(&self, path: &str) -> Result<String, Error> {
        let reply = self.get(path)?;
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        match (reply.status, &body) {
            (200, Value::Array(rules)) if rules.is_empty() => Ok("none".to_owned()),
            (200, Value::Array(rules)) => {
                let mut told = Vec::new();
                for rule in rules.iter().filter_map(Value::as_str) {
                    let reply = self.get(&format!("{path}/{}", encode(rule)))?;
                    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                    told.push(format!(
                        "{rule} {}",
                        body["config"].as_str().unwrap_or("unknown")
                    ));
                }
                Ok(told.join(", "))
            }
            (200, _) => {
                let level = body["compatibilityLevel"].as_str().unwrap_or("unknown");
                Ok(format!("COMPATIBILITY {level}"))
            }
            (404, _) => Ok("none, it is not there yet".to_owned()),
            (403, _) => Ok("this login may not see them".to_owned()),
            _ => Err(self.refusal(&reply)),
        }
    }

    fn refusal(&self, reply: &Reply) -> Error {
        explain(classify(reply, &self.probe, &self.dialect))
    }
}

fn explain(verdict: Verdict) -> Error {
    match verdict {
        Verdict::Lasting(error) | Verdict::Unauthorised(error) | Verdict::NoGroup(error) => error,
        Verdict::Passing(why, _) | Verdict::Conflict(why) | Verdict::ReadOnly(why) => {
            let what = "the schema registry is not available";
            Error::new(Kind::Unavailable, what).cause(why)
        }
        Verdict::NotThere => Error::new(
            Kind::Refused,
            "the schema registry does not have what was looked for",
        ),
    }
}
