//! What `--check` sees of the registry: one line for each thing. It only reads: even a dry run of a registration would
//! make the group (spec apicurio.md, 1.2).

use serde_json::Value;

use super::answer::{Verdict, classify};
use super::artifact::{Artifact, ArtifactType};
use super::dialect::encode;
use super::http::Reply;
use super::login::describe_login;
use super::session::Session;
use crate::error::{Error, Kind};
use crate::settings::registry::{Api, PayloadFormat, Registry, SchemaMode};

/// The kinds of rules that a registry knows.
const RULES: [&str; 3] = ["VALIDITY", "COMPATIBILITY", "INTEGRITY"];

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
    let look = Look {
        session: &session,
        probe: Artifact::new("", "check", ArtifactType::Json, String::new())?,
    };
    let is_confluent = settings.url.api == Api::Ccompat;
    let about = if is_confluent {
        look.must_get("/subjects")?;
        "Confluent's API".to_owned()
    } else {
        let info = look.must_get("/system/info")?;
        let part = |key: &str| info[key].as_str().unwrap_or("unknown").to_owned();
        if !info["version"].is_string() {
            let what = "what answers at schema_registry_url is no schema registry";
            return Err(Error::new(Kind::Refused, what).cause("it tells no version of itself"));
        }
        format!("{}, version {}", part("name"), part("version"))
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
    let (global, of_group) = if is_confluent {
        ("/config".to_owned(), None)
    } else {
        let path = format!("/groups/{}/rules", encode(group));
        (
            "/admin/rules".to_owned(),
            (settings.url.api == Api::V3).then_some(path),
        )
    };
    tell("rules", &look.rules(&global)?)?;
    if let Some(path) = of_group {
        tell("of the group", &look.rules(&path)?)?;
    }
    let kind = match format {
        PayloadFormat::Avro => ArtifactType::Avro,
        PayloadFormat::Json | PayloadFormat::FramedJson => ArtifactType::Json,
    };
    for stream in streams {
        let artifact = Artifact::new(&settings.prefix, stream, kind, String::new())?;
        let id = encode(&artifact.id);
        let path = match settings.url.api {
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
    /// Stands for what an answer is about.
    probe: Artifact,
}

impl Look<'_> {
    fn get(&self, path: &str) -> Result<Reply, Error> {
        let session = self.session;
        let sent = session.send(&session.dialect.look(path), session.deadline());
        sent.map_err(explain)
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
        if settings.url.api != Api::V3 {
            return Ok("accepted".to_owned());
        }
        let reply = self.get("/users/me")?;
        let user: Value = match reply.status {
            200 => serde_json::from_slice(&reply.body).unwrap_or_default(),
            401 | 403 => return Err(self.refusal(&reply)),
            _ => return Ok("accepted".to_owned()),
        };
        let is = |role: &str| user[role] == true;
        let role = match (is("admin"), is("developer"), is("viewer")) {
            (true, _, _) => "admin",
            (_, true, _) => "developer",
            (_, _, true) => "viewer",
            _ => "no role",
        };
        let may_write = is("admin") || is("developer");
        let may_look = may_write || is("viewer");
        if (settings.mode == SchemaMode::Register && !may_write) || !may_look {
            let what = "the schema registry does not let us register schemas";
            let cause =
                format!("our role is: {role}; to register needs developer, to look up viewer");
            return Err(Error::new(Kind::Refused, what).cause(cause));
        }
        Ok(format!("accepted, role {role}"))
    }

    /// The rules under a path.
    fn rules(&self, path: &str) -> Result<String, Error> {
        let reply = self.get(path)?;
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        match (reply.status, &body) {
            (200, Value::Array(rules)) if rules.is_empty() => Ok("no rules".to_owned()),
            (200, Value::Array(rules)) => {
                let mut told = Vec::new();
                for rule in RULES.iter().filter(|rule| rules.contains(&(**rule).into())) {
                    let reply = self.get(&format!("{path}/{rule}"))?;
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
            (404, _) => Ok("none of its own, it is not there yet".to_owned()),
            (401 | 403, _) => Ok("this login may not see them".to_owned()),
            _ => Err(self.refusal(&reply)),
        }
    }

    fn refusal(&self, reply: &Reply) -> Error {
        explain(classify(reply, &self.probe, &self.session.dialect))
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
