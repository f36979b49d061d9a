//! What a test asks of a registry: what is registered there, its rules and its settings, and which requests it has had.
//!
//! These calls log in as the administrator where there are logins. They are not among the requests that are told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::PATIENCE;
use super::http::{Call, Reply, call, percent_encoded};
use super::registry::{Login, Registry, Version};

/// What the harness calls itself.
const AGENT: &str = "harness";

/// One version of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    pub version: String,
    pub global_id: i64,
    pub content_id: i64,
    /// `JSON`, `AVRO`, …
    pub artifact_type: String,
    /// `ENABLED`, …
    pub state: String,
}

/// A request that a registry has had, from its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub method: String,
    /// As it was sent, with its query.
    pub path: String,
    pub status: u16,
    pub agent: String,
}

impl Registry {
    /// Any request; a path that begins with `/apis/` is absolute, others are below the API of version 3, on a
    /// registry of version 2 below that of version 2.
    #[track_caller]
    pub fn call(&self, method: &str, path: &str, body: &[u8], headers: &[(&str, &str)]) -> Reply {
        let authorization = match self.login() {
            Login::None => None,
            Login::Fixed(value) => Some(value.clone()),
            Login::Tokens(provider) => Some(format!("Bearer {}", provider.token("sr-admin", 600))),
        };
        let mut headers = headers.to_vec();
        if let Some(value) = &authorization {
            headers.push(("Authorization", value));
        }
        self.call_as_nobody(method, path, body, &headers)
    }

    /// The same with no login but what the headers say.
    #[track_caller]
    pub fn call_as_nobody(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Reply {
        let path = if path.starts_with("/apis/") {
            path.to_owned()
        } else {
            format!("/apis/registry/{}{path}", self.api())
        };
        let mut all = headers.to_vec();
        if headers.iter().all(|(name, _)| *name != "User-Agent") {
            all.push(("User-Agent", AGENT));
        }
        let request = Call {
            method,
            path: &path,
            headers: &all,
            body,
        };
        call(self.port(), &request).unwrap_or_else(|error| {
            panic!(
                "{method} {path}: {error}; the registry's log:\n{}",
                self.log()
            )
        })
    }

    /// Status and JSON.
    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, Value) {
        let reply = self.call("GET", path, b"", &[]);
        (reply.status, reply.json())
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, body)
    }

    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("PUT", path, body)
    }

    #[track_caller]
    fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let content = [("Content-Type", "application/json")];
        let reply = self.call(method, path, body.to_string().as_bytes(), &content);
        (reply.status, reply.json())
    }

    /// Registers a schema of this type (`JSON`, `AVRO`) as the program should: found, or a new version.
    #[track_caller]
    pub fn register(&self, group: &str, artifact: &str, kind: &str, schema: &str) -> Registered {
        let reply = self.try_register(group, artifact, kind, schema);
        let answer = reply.json();
        let version = match self.version {
            Version::V2_6 => &answer,
            Version::V3_3 | Version::V3_0 => &answer["version"],
        };
        registered(version).unwrap_or_else(|| panic!("{}: {}", reply.status, reply.text()))
    }

    /// The same, which may be refused.
    #[track_caller]
    pub fn try_register(&self, group: &str, artifact: &str, kind: &str, schema: &str) -> Reply {
        let path = format!("/groups/{}/artifacts", percent_encoded(group));
        if self.version == Version::V2_6 {
            let headers = [
                ("X-Registry-ArtifactId", artifact),
                ("X-Registry-ArtifactType", kind),
                ("Content-Type", "application/json"),
            ];
            let path = path + "?ifExists=RETURN_OR_UPDATE&canonical=true";
            return self.call("POST", &path, schema.as_bytes(), &headers);
        }
        let content = json!({"content": schema, "contentType": "application/json"});
        let body = json!({"artifactId": artifact, "artifactType": kind, "firstVersion": {"content": content}});
        let path = path + "?ifExists=FIND_OR_CREATE_VERSION&canonical=true";
        let headers = [("Content-Type", "application/json")];
        self.call("POST", &path, body.to_string().as_bytes(), &headers)
    }

    /// All versions of an artifact, in the order in which they were made; none when there is no such artifact.
    #[track_caller]
    pub fn versions(&self, group: &str, artifact: &str) -> Vec<Registered> {
        let path = format!("{}/versions?limit=1000", artifact_path(group, artifact));
        let (status, answer) = self.get(&path);
        if status == 404 {
            return Vec::new();
        }
        let list = answer["versions"].as_array();
        let list = list.unwrap_or_else(|| panic!("{path}: {status}, {answer}"));
        let mut versions: Vec<Registered> = list.iter().filter_map(registered).collect();
        assert_eq!(answer["count"], versions.len(), "{answer}");
        versions.sort_by_key(|version| version.global_id);
        versions
    }

    /// The ids of all artifacts of a group, sorted; none when there is no such group.
    #[track_caller]
    pub fn artifacts(&self, group: &str) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            let page = format!("limit=500&offset={}", ids.len());
            let path = format!("/groups/{}/artifacts?{page}", percent_encoded(group));
            let (status, answer) = self.get(&path);
            if status == 404 {
                return Vec::new();
            }
            let list = answer["artifacts"].as_array();
            let list = list.unwrap_or_else(|| panic!("{path}: {status}, {answer}"));
            let key = match self.version {
                Version::V2_6 => "id",
                Version::V3_3 | Version::V3_0 => "artifactId",
            };
            ids.extend(list.iter().map(|one| one[key].as_str().unwrap().to_owned()));
            if list.is_empty() || answer["count"] == ids.len() {
                ids.sort();
                return ids;
            }
        }
    }

    /// The text with this contentId.
    #[track_caller]
    pub fn content(&self, content_id: i64) -> String {
        let reply = self.call("GET", &format!("/ids/contentIds/{content_id}"), b"", &[]);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text()
    }

    /// Sets a rule (`VALIDITY`, `COMPATIBILITY`, `INTEGRITY`) for all that is registered.
    #[track_caller]
    pub fn set_global_rule(&self, rule: &str, config: &str) {
        self.set_rule_at("/admin/rules", rule, config);
    }

    /// For a group, which must be there; not in version 2.
    #[track_caller]
    pub fn set_group_rule(&self, group: &str, rule: &str, config: &str) {
        let path = format!("/groups/{}/rules", percent_encoded(group));
        self.set_rule_at(&path, rule, config);
    }

    /// For an artifact, which must be there.
    #[track_caller]
    pub fn set_rule(&self, group: &str, artifact: &str, rule: &str, config: &str) {
        self.set_rule_at(&(artifact_path(group, artifact) + "/rules"), rule, config);
    }

    #[track_caller]
    fn set_rule_at(&self, path: &str, rule: &str, config: &str) {
        let key = match self.version {
            Version::V2_6 => "type",
            Version::V3_3 | Version::V3_0 => "ruleType",
        };
        let (mut status, mut answer) = self.post(path, &json!({key: rule, "config": config}));
        if status == 409 {
            let body = json!({key: rule, "config": config});
            (status, answer) = self.put(&format!("{path}/{rule}"), &body);
        }
        assert!(matches!(status, 200 | 204), "{path}: {status}, {answer}");
    }

    /// Makes a group without artifacts.
    #[track_caller]
    pub fn create_group(&self, group: &str) {
        let (status, answer) = self.post("/groups", &json!({"groupId": group}));
        assert_eq!(status, 200, "{answer}");
    }

    /// From here on it refuses what writes, or no longer does; not in version 2.
    #[track_caller]
    pub fn set_read_only(&self, on: bool) {
        self.set_property("apicurio.storage.read-only.enabled", &on.to_string());
    }

    /// Sets what it calls a dynamic property.
    #[track_caller]
    pub fn set_property(&self, name: &str, value: &str) {
        let path = format!("/admin/config/properties/{name}");
        let (status, answer) = self.put(&path, &json!({"value": value}));
        assert_eq!(status, 204, "{answer}");
    }

    /// `ENABLED`, `DISABLED` or `DEPRECATED`; not in version 2.
    #[track_caller]
    pub fn set_state(&self, group: &str, artifact: &str, version: &str, state: &str) {
        let path = format!(
            "{}/versions/{version}/state",
            artifact_path(group, artifact)
        );
        let (status, answer) = self.put(&path, &json!({"state": state}));
        assert_eq!(status, 204, "{answer}");
    }

    /// From here on a contentId is greater than the globalId that comes with it, unless the content is an old one:
    /// each call uses up a number of the first kind, only a new version one of the second.
    #[track_caller]
    pub fn diverge_ids(&self) {
        let schema = r#"{"type":"object","properties":{"diverged":{"type":"integer"}}}"#;
        for _ in 0..20 {
            self.register("harness", "diverged", "JSON", schema);
        }
    }

    /// The requests that it has answered so far, in that order, without those of the harness. On a shared registry
    /// those of other tests are among them.
    #[track_caller]
    pub fn requests(&self) -> Vec<Logged> {
        static MARKS: AtomicUsize = AtomicUsize::new(0);
        let mark = format!("{AGENT} mark {}", MARKS.fetch_add(1, Ordering::SeqCst));
        // What it logs of a request follows its answer.
        self.call("GET", "/system/info", b"", &[("User-Agent", &mark)]);
        let start = Instant::now();
        loop {
            let log = self.log();
            let requests: Vec<Logged> = log.lines().filter_map(logged).collect();
            if requests.iter().any(|request| request.agent == mark) {
                let others = requests.into_iter();
                return others.filter(|r| !r.agent.starts_with(AGENT)).collect();
            }
            assert!(start.elapsed() < PATIENCE, "it does not log {mark}:\n{log}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Those of them that have this text in their path, such as the name of a group.
    #[track_caller]
    pub fn requests_about(&self, text: &str) -> Vec<Logged> {
        let mut requests = self.requests();
        requests.retain(|request| request.path.contains(text));
        requests
    }

    fn api(&self) -> &'static str {
        match self.version {
            Version::V2_6 => "v2",
            Version::V3_3 | Version::V3_0 => "v3",
        }
    }
}

fn artifact_path(group: &str, artifact: &str) -> String {
    let (group, artifact) = (percent_encoded(group), percent_encoded(artifact));
    format!("/groups/{group}/artifacts/{artifact}")
}

/// From an answer of version 3 or 2.
fn registered(version: &Value) -> Option<Registered> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Registered {
        version: text(&version["version"])?,
        global_id: version["globalId"].as_i64()?,
        content_id: version["contentId"].as_i64()?,
        artifact_type: text(&version["artifactType"]).or_else(|| text(&version["type"]))?,
        state: text(&version["state"])?,
    })
}

/// `… REQUEST POST 200 /apis/registry/v3/groups/g/artifacts?ifExists=… [agent]`
fn logged(line: &str) -> Option<Logged> {
    let (_, request) = line
        .split_once("] REQUEST ")
        .or_else(|| line.split_once(") REQUEST "))?;
    let mut words = request.splitn(4, ' ');
    Some(Logged {
        method: words.next()?.to_owned(),
        status: words.next()?.parse().ok()?,
        path: words.next()?.to_owned(),
        agent: words
            .next()?
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned(),
    })
}
