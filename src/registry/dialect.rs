//! What is asked of a registry, in the words of its API: v3, v2 or Confluent's. Pure; what comes back is in
//! `answer.rs`.
//!
//! Registering is one idempotent call, which finds the version that has the schema or makes it, and makes the group
//! where the registry does that by itself. No version, no draft and no name is ever sent, and the group is not asked
//! for: each of them does harm (spec apicurio.md, 1.1 and 1.2).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::artifact::Artifact;
use crate::settings::registry::{Api, Registry};

/// What needs no encoding in a part of a path or a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

const JSON: &str = "application/json";

/// The group that every registry has.
pub(super) const DEFAULT_GROUP: &str = "default";

/// Where and how a registry is asked.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    pub(super) api: Api,
    pub(super) group: String,
    base: String,
}

/// One request, but for the login.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<(&'static str, String)>,
}

impl Dialect {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            api: registry.url.api,
            group: registry.group.clone(),
            base: registry.url.to_string(),
        }
    }

    /// Finds the version of this content, or makes it.
    pub(super) fn register(&self, artifact: &Artifact) -> Call {
        let kind = artifact.kind.name();
        let artifacts = format!("/groups/{}/artifacts", encode(&self.group));
        match self.api {
            Api::V3 => {
                let body = json!({
                    "artifactId": artifact.id,
                    "artifactType": kind,
                    "firstVersion": {"content": {"content": artifact.text, "contentType": JSON}},
                });
                let query = "ifExists=FIND_OR_CREATE_VERSION&canonical=true";
                self.post(&format!("{artifacts}?{query}"), body.to_string())
            }
            Api::V2 => {
                let query = "ifExists=RETURN_OR_UPDATE&canonical=true";
                let call = self.post(&format!("{artifacts}?{query}"), artifact.text.clone());
                Call {
                    headers: vec![
                        ("X-Registry-ArtifactId", artifact.id.clone()),
                        ("X-Registry-ArtifactType", kind.to_owned()),
                    ],
                    ..call
                }
            }
            Api::Ccompat => {
                let path = format!("/subjects/{}/versions?normalize=true", encode(&artifact.id));
                self.subject_call(&path, artifact)
            }
        }
    }

    /// Finds the version of this content. It needs no permission to write.
    pub(super) fn find(&self, artifact: &Artifact) -> Call {
        let (group, id) = (encode(&self.group), encode(&artifact.id));
        match self.api {
            Api::V3 => {
                let kind = artifact.kind.name();
                let path = format!(
                    "/search/versions?groupId={group}&artifactId={id}&canonical=true&artifactType={kind}&limit=500"
                );
                self.post(&path, artifact.text.clone())
            }
            Api::V2 => {
                let path = format!("/groups/{group}/artifacts/{id}/meta?canonical=true");
                self.post(&path, artifact.text.clone())
            }
            Api::Ccompat => self.subject_call(&format!("/subjects/{id}?normalize=true"), artifact),
        }
    }

    /// Asks for the newest version of an artifact, in Confluent's API.
    pub(super) fn look_at_newest(&self, artifact: &Artifact) -> Call {
        self.look(&format!(
            "/subjects/{}/versions/latest",
            encode(&artifact.id)
        ))
    }

    /// Makes the group; only where the registry does not by itself.
    pub(super) fn create_group(&self) -> Option<Call> {
        let key = match self.api {
            Api::V3 => "groupId",
            Api::V2 => "id",
            Api::Ccompat => return None,
        };
        let is_needed = self.group != DEFAULT_GROUP;
        is_needed.then(|| self.post("/groups", json!({key: self.group}).to_string()))
    }

    /// Asks for what stands under a path of the API.
    pub(super) fn look(&self, path: &str) -> Call {
        Call {
            url: format!("{}{path}", self.base),
            headers: match self.api {
                Api::V3 | Api::V2 => Vec::new(),
                Api::Ccompat => self.group_header(),
            },
            body: None,
        }
    }

    /// The same registry by another of its APIs, which Apicurio has side by side.
    pub(super) fn beside(&self, api: Api) -> Self {
        let root = self.base.split("/apis/").next().unwrap_or_default();
        let path = match api {
            Api::V3 => "/apis/registry/v3",
            Api::V2 => "/apis/registry/v2",
            Api::Ccompat => "/apis/ccompat/v7",
        };
        Self {
            api,
            group: self.group.clone(),
            base: format!("{root}{path}"),
        }
    }

    fn subject_call(&self, path: &str, artifact: &Artifact) -> Call {
        let body = json!({"schema": artifact.text, "schemaType": artifact.kind.name()});
        self.post(path, body.to_string())
    }

    /// Confluent's API has no groups in its paths.
    fn group_header(&self) -> Vec<(&'static str, String)> {
        let is_needed = self.group != DEFAULT_GROUP;
        let header = is_needed.then(|| ("X-Registry-GroupId", self.group.clone()));
        header.into_iter().collect()
    }

    fn post(&self, path: &str, body: String) -> Call {
        Call {
            body: Some((JSON, body)),
            ..self.look(path)
        }
    }
}

pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::artifact::ArtifactType;

    fn dialect(api: Api, group: &str) -> Dialect {
        Dialect {
            api,
            group: group.to_owned(),
            base: "http://r/b".to_owned(),
        }
    }

    fn artifact() -> Artifact {
        Artifact::new(
            "p.",
            "us/ers",
            ArtifactType::Json,
            r#"{"a":"é"}"#.to_owned(),
        )
        .unwrap()
    }

    #[track_caller]
    fn check(call: &Call, url: &str, body: &str) {
        let text = call.body.as_ref().map(|(_, text)| text.as_str());
        assert_eq!((call.url.as_str(), text), (url, Some(body)));
    }

    #[test]
    fn a_registration_in_every_dialect() {
        check(
            &dialect(Api::V3, "g/x y").register(&artifact()),
            "http://r/b/groups/g%2Fx%20y/artifacts?ifExists=FIND_OR_CREATE_VERSION&canonical=true",
            r#"{"artifactId":"p.us/ers","artifactType":"JSON","firstVersion":{"content":{"content":"{\"a\":\"é\"}","contentType":"application/json"}}}"#,
        );
        let v2 = dialect(Api::V2, "default").register(&artifact());
        check(
            &v2,
            "http://r/b/groups/default/artifacts?ifExists=RETURN_OR_UPDATE&canonical=true",
            r#"{"a":"é"}"#,
        );
        assert_eq!(v2.headers[0].1, "p.us/ers");
        let ccompat = dialect(Api::Ccompat, "g").register(&artifact());
        check(
            &ccompat,
            "http://r/b/subjects/p.us%2Fers/versions?normalize=true",
            r#"{"schema":"{\"a\":\"é\"}","schemaType":"JSON"}"#,
        );
        assert_eq!(ccompat.headers, [("X-Registry-GroupId", "g".to_owned())]);
    }

    #[test]
    fn the_default_group_is_never_made() {
        for api in [Api::V3, Api::V2, Api::Ccompat] {
            assert_eq!(dialect(api, DEFAULT_GROUP).create_group(), None);
        }
        let call = dialect(Api::V3, "g").create_group().unwrap();
        check(&call, "http://r/b/groups", r#"{"groupId":"g"}"#);
        let call = dialect(Api::V2, "g").create_group().unwrap();
        check(&call, "http://r/b/groups", r#"{"id":"g"}"#);
    }

    #[test]
    fn another_api_is_beside_the_one_that_is_used() {
        let mut confluent = dialect(Api::Ccompat, "g");
        confluent.base = "http://r/p/apis/ccompat/v7".to_owned();
        let native = confluent.beside(Api::V2).look("/system/info");
        assert_eq!(native.url, "http://r/p/apis/registry/v2/system/info");
        assert_eq!(native.headers, []);
    }
}
