//! The configuration with which a JetStream stream or a bucket is made, and how it differs from one that exists.
//! JSON from end to end, so that the fields of later servers survive. Pure.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::go_time::parse_time;
use super::js_config::BUCKET_PREFIX;
use crate::error::{Error, Kind};
use crate::nearest::nearest;

/// The level of the API from which on a stream can allow fast ingest (nats-server 2.14).
const LEVEL_OF_BATCHES: u64 = 4;
/// Fields that are times, in nanoseconds.
const TIMES: [&str; 3] = ["max_age", "duplicate_window", "subject_delete_marker_ttl"];

/// A configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WantedConfig {
    pub(super) config: Map<String, Value>,
    /// The fields that the settings ask for themselves, by their names there; the others are defaults.
    asked: Vec<(String, String)>,
}

/// The configuration that `jetstream_create` asks for. `subjects` stand in where it names none. Defaults are
/// those for data that must not be lost: on disk, without a limit, and full rather than forgetful.
///
/// Fails with `Config`.
pub(super) fn wanted_stream(
    name: &str,
    user: &Map<String, Value>,
    subjects: &[String],
    api_level: u64,
) -> Result<WantedConfig, Error> {
    let mut config = object(json!({
        "name": name,
        "subjects": subjects,
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "num_replicas": 1,
        "allow_direct": true,
    }));
    if api_level >= LEVEL_OF_BATCHES {
        config.insert("allow_batched".to_owned(), true.into());
    }
    for (key, value) in given(user) {
        let time = |key: &str, value: &Value| {
            parse_time(value)
                .ok_or_else(|| bad("jetstream_create", key, "is no time, as in \"24h\""))
        };
        let mut value = value.clone();
        if TIMES.contains(&key.as_str()) {
            value = time(key, &value)?;
        } else if key == "consumer_limits"
            && let Some(threshold) = value.get_mut("inactive_threshold")
            && !threshold.is_null()
        {
            *threshold = time("consumer_limits.inactive_threshold", threshold)?;
        }
        config.insert(key.clone(), value);
    }
    if config["name"] != name {
        return Err(bad(
            "jetstream_create",
            "name",
            "is another one than jetstream_stream",
        ));
    }
    if config["subjects"].as_array().is_none_or(Vec::is_empty) {
        let what = "is needed, since the templates of the subjects begin with no fixed part";
        return Err(bad("jetstream_create", "subjects", what));
    }
    Ok(WantedConfig {
        config,
        asked: given(user)
            .map(|(key, _)| (key.clone(), key.clone()))
            .collect(),
    })
}

/// The configuration that `kv_create` asks for, in the words of NATS's clients for buckets.
///
/// Fails with `Config`.
pub(super) fn wanted_bucket(
    bucket: &str,
    user: &Map<String, Value>,
) -> Result<WantedConfig, Error> {
    let mut config = object(json!({
        "name": format!("{BUCKET_PREFIX}{bucket}"),
        "subjects": [format!("$KV.{bucket}.>")],
        "max_msgs_per_subject": 1,
        "storage": "file",
        "num_replicas": 1,
        "discard": "new",
        "allow_rollup_hdrs": true,
        "deny_delete": true,
        "allow_direct": true,
    }));
    let mut asked = Vec::new();
    for (key, value) in given(user) {
        let wrong = |what| bad("kv_create", key, what);
        let time = || parse_time(value).ok_or_else(|| wrong("is no time, as in \"24h\""));
        let (field, value) = match key.as_str() {
            "history" => match value.as_u64() {
                Some(1..=64) => ("max_msgs_per_subject", value.clone()),
                _ => return Err(wrong("must be from 1 to 64")),
            },
            "ttl" => ("max_age", time()?),
            "replicas" | "num_replicas" => ("num_replicas", value.clone()),
            "max_value_size" => ("max_msg_size", value.clone()),
            "compression" => match value.as_bool() {
                Some(true) => ("compression", "s2".into()),
                Some(false) => ("compression", "none".into()),
                None => return Err(wrong("must be true or false")),
            },
            "limit_marker_ttl" => {
                config.insert("allow_msg_ttl".to_owned(), true.into());
                ("subject_delete_marker_ttl", time()?)
            }
            "storage" | "max_bytes" | "description" | "placement" | "republish" | "metadata" => {
                (key.as_str(), value.clone())
            }
            _ => {
                let hint = nearest(key, BUCKET_FIELDS.iter().copied());
                let hint = hint.map_or(String::new(), |name| format!(": did you mean '{name}'?"));
                return Err(wrong(&format!("is unknown{hint}")));
            }
        };
        config.insert(field.to_owned(), value);
        asked.push((key.clone(), field.to_owned()));
    }
    Ok(WantedConfig { config, asked })
}

/// The fields that are set: null stands for the default, as in the settings.
fn given(user: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    user.iter().filter(|(_, value)| !value.is_null())
}

/// What `kv_create` may hold.
const BUCKET_FIELDS: [&str; 13] = [
    "history",
    "ttl",
    "storage",
    "replicas",
    "num_replicas",
    "max_bytes",
    "max_value_size",
    "compression",
    "limit_marker_ttl",
    "description",
    "placement",
    "republish",
    "metadata",
];

impl WantedConfig {
    /// The fields that the settings ask for and that a stream that exists has otherwise.
    pub(super) fn differences_asked(&self, found: &Value) -> Vec<String> {
        let asked = self.asked.iter().map(|(name, field)| (name, field));
        self.differences(asked, found)
    }

    /// The fields that a stream which was made of this has otherwise.
    pub(super) fn differences_all(&self, found: &Value) -> Vec<String> {
        self.differences(self.config.keys().map(|field| (field, field)), found)
    }

    fn differences<'a>(
        &'a self,
        fields: impl Iterator<Item = (&'a String, &'a String)>,
        found: &Value,
    ) -> Vec<String> {
        let differs = |field: &str| {
            let wanted = &self.config[field];
            !is_left_open(field, wanted) && !fits(wanted, &found[field])
        };
        fields
            .filter(|(_, field)| differs(field))
            .map(|(name, field)| {
                let (found, wanted) = (&found[field.as_str()], &self.config[field]);
                format!(
                    "{name} is {}, not {}",
                    render(field, found),
                    render(field, wanted)
                )
            })
            .collect()
    }
}

/// Whether a value asks the server to fill in its own.
fn is_left_open(key: &str, wanted: &Value) -> bool {
    ["num_replicas", "duplicate_window"].contains(&key) && is_nothing(wanted)
}

/// Whether a value is the wanted one. The server leaves out what is at its default, adds to objects, may
/// order lists anew, and writes out that an empty source of a republish is `>`.
fn fits(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => wanted.iter().all(|(key, value)| {
            let found = found.get(key).unwrap_or(&Value::Null);
            fits(value, found) || (key == "src" && is_nothing(value) && found == ">")
        }),
        (Value::Array(wanted), Value::Array(found)) => {
            let all_in = |ones: &[Value], others: &[Value]| {
                ones.iter()
                    .all(|one| others.iter().any(|other| fits(one, other)))
            };
            wanted.len() == found.len() && all_in(wanted, found) && all_in(found, wanted)
        }
        _ if is_nothing(wanted) => is_nothing(found),
        _ => wanted == found,
    }
}

/// Whether a value is what a field has that is not there. Any number below zero is no limit.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64().is_some_and(|number| number <= 0),
        Value::String(text) => ["", "none", "default"].contains(&text.as_str()),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(true) => false,
    }
}

fn render(key: &str, value: &Value) -> String {
    match value.as_u64() {
        Some(nanoseconds) if TIMES.contains(&key) => {
            format!("{} s", Duration::from_nanos(nanoseconds).as_secs_f64())
        }
        _ if value.is_null() => "not set".to_owned(),
        _ => value.to_string(),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(entries) => entries,
        _ => Map::new(),
    }
}

fn bad(setting: &str, key: &str, what: &str) -> Error {
    Error::new(Kind::Config, format!("setting {setting}: {key} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        object(value)
    }

    #[test]
    fn a_stream_is_made_with_what_the_user_says_and_defaults_that_lose_nothing() {
        let subjects = ["raw.>".to_owned()];
        let wanted = wanted_stream("RAW", &Map::new(), &subjects, 5).unwrap();
        let config = Value::Object(wanted.config);
        assert_eq!(config["subjects"], json!(["raw.>"]));
        assert_eq!(config["discard"], "new");
        assert_eq!(config["storage"], "file");
        assert_eq!(config["allow_batched"], true);
        let user = map(
            json!({"max_age": "24h", "subjects": ["a"], "storage": "memory", "x": 1,
            "consumer_limits": {"inactive_threshold": "5s", "max_ack_pending": 7}}),
        );
        let wanted = wanted_stream("RAW", &user, &[], 3).unwrap();
        let config = Value::Object(wanted.config);
        assert_eq!(config["max_age"], 86_400_000_000_000_u64);
        assert_eq!(config["storage"], "memory");
        assert_eq!(config["x"], 1);
        assert_eq!(
            config["consumer_limits"],
            json!({"inactive_threshold": 5_000_000_000_u64, "max_ack_pending": 7})
        );
        assert_eq!(config.get("allow_batched"), None);
        for (user, subjects, expected) in [
            (
                json!({}),
                &[][..],
                "setting jetstream_create: subjects is needed, since the templates of the subjects begin with no \
                 fixed part",
            ),
            (
                json!({"name": "OTHER"}),
                &subjects,
                "setting jetstream_create: name is another one than jetstream_stream",
            ),
            (
                json!({"max_age": "soon"}),
                &subjects,
                "setting jetstream_create: max_age is no time, as in \"24h\"",
            ),
            (
                json!({"consumer_limits": {"inactive_threshold": "soon"}}),
                &subjects,
                "setting jetstream_create: consumer_limits.inactive_threshold is no time, as in \"24h\"",
            ),
        ] {
            let error = wanted_stream("RAW", &map(user), subjects, 5).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_bucket_is_made_in_the_words_of_buckets() {
        let user = json!({"history": 5, "ttl": "1h", "compression": true, "limit_marker_ttl": "2s",
            "num_replicas": 3, "max_value_size": 100, "max_bytes": null});
        let wanted = wanted_bucket("b", &map(user)).unwrap();
        let config = Value::Object(wanted.config);
        assert_eq!(config["name"], "KV_b");
        assert_eq!(config["subjects"], json!(["$KV.b.>"]));
        assert_eq!(config["max_msgs_per_subject"], 5);
        assert_eq!(config["max_age"], 3_600_000_000_000_u64);
        assert_eq!(config["compression"], "s2");
        assert_eq!(config["allow_msg_ttl"], true);
        assert_eq!(config["subject_delete_marker_ttl"], 2_000_000_000);
        assert_eq!(config["num_replicas"], 3);
        assert_eq!(config["max_msg_size"], 100);
        for (user, expected) in [
            (
                json!({"histroy": 1}),
                "setting kv_create: histroy is unknown: did you mean 'history'?",
            ),
            (
                json!({"history": 65}),
                "setting kv_create: history must be from 1 to 64",
            ),
        ] {
            let error = wanted_bucket("b", &map(user)).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn differences_are_those_that_matter() {
        let user = map(
            json!({"max_age": "1h", "subjects": ["b", "a"], "metadata": {"k": "v"},
            "max_msgs": 0}),
        );
        let wanted = wanted_stream("S", &user, &[], 5).unwrap();
        let mut found = json!({
            "name": "S", "subjects": ["a", "b"], "retention": "limits", "storage": "file", "discard": "new",
            "num_replicas": 1, "allow_direct": true, "allow_batched": true, "max_age": 3_600_000_000_000_u64,
            "metadata": {"k": "v", "_nats.level": "4"}, "max_msgs": -1, "max_bytes": -1,
        });
        assert_eq!(wanted.differences_all(&found), Vec::<String>::new());
        found["allow_batched"] = Value::Null;
        found["max_age"] = 0.into();
        assert_eq!(
            wanted.differences_asked(&found),
            ["max_age is 0 s, not 3600 s"]
        );
        assert_eq!(
            wanted.differences_all(&found),
            [
                "allow_batched is not set, not true",
                "max_age is 0 s, not 3600 s"
            ]
        );
    }

    #[test]
    fn what_is_left_to_the_server_is_no_difference() {
        let user = map(
            json!({"num_replicas": 0, "duplicate_window": 0, "persist_mode": "default",
            "compression": "none", "sources": [], "description": "", "discard": null, "max_msgs": -5,
            "republish": {"src": "", "dest": "copies.>"}}),
        );
        let wanted = wanted_stream("S", &user, &["a".to_owned()], 5).unwrap();
        assert_eq!(wanted.config["discard"], "new");
        let found = json!({
            "name": "S", "subjects": ["a"], "retention": "limits", "storage": "file", "discard": "new",
            "num_replicas": 1, "allow_direct": true, "allow_batched": true, "duplicate_window": 120_000_000_000_u64,
            "max_msgs": -1, "republish": {"src": ">", "dest": "copies.>"},
        });
        assert_eq!(wanted.differences_all(&found), Vec::<String>::new());
        let found = json!({"persist_mode": "async", "num_replicas": 3, "max_msgs": 7,
            "republish": {"src": "a", "dest": "copies.>"}});
        assert_eq!(
            wanted.differences_asked(&found),
            [
                "persist_mode is \"async\", not \"default\"",
                "max_msgs is 7, not -5",
                r#"republish is {"src":"a","dest":"copies.>"}, not {"src":"","dest":"copies.>"}"#
            ]
        );
    }
}
