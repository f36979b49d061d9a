//! [`StreamInfo`]: what the delivery must know of a JetStream stream, from the server's own JSON. Pure.

use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, Kind};

/// A JetStream stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamInfo {
    pub(super) name: String,
    /// The filters of what it captures.
    pub(super) subjects: Vec<String>,
    /// The largest message in bytes, its headers included.
    pub(super) max_msg_size: Option<usize>,
    pub(super) has_consumers: bool,
    /// Whether the server knows it, and it is not only going to be made.
    pub(super) exists: bool,
    /// The configuration as the server gives it, with the fields of later versions.
    pub(super) config: Value,
}

impl StreamInfo {
    /// Reads an answer to INFO or CREATE. Fails with `Refused` where it is none.
    pub(super) fn parse(json: &Value) -> Result<Self, Error> {
        let config = &json["config"];
        let name = config["name"].as_str().ok_or_else(|| {
            Error::new(
                Kind::Refused,
                "the JetStream API tells of a stream without a name",
            )
        })?;
        let subjects: Vec<String> = (config["subjects"].as_array().into_iter().flatten())
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let has = |key: &str| config.get(key).is_some_and(|value| !value.is_null());
        Ok(Self {
            name: name.to_owned(),
            subjects: if subjects.is_empty() && !has("mirror") && !has("sources") {
                // What a stream captures for which no subjects were given.
                vec![name.to_owned()]
            } else {
                subjects
            },
            max_msg_size: (config["max_msg_size"].as_u64())
                .and_then(|bytes| usize::try_from(bytes).ok())
                .filter(|bytes| *bytes > 0),
            exists: json.get("created").is_some(),
            has_consumers: json["state"]["consumer_count"].as_u64() > Some(0),
            config: config.clone(),
        })
    }

    /// Whether it takes fast ingest.
    pub(super) fn allows_batches(&self) -> bool {
        self.flag("allow_batched")
    }

    /// Whether it acknowledges anything.
    pub(super) fn acknowledges(&self) -> bool {
        !self.flag("no_ack")
    }

    /// Why nothing can be published to it, if so.
    pub(super) fn closed_because(&self) -> Option<&'static str> {
        if self.flag("sealed") {
            Some("it is sealed")
        } else if self.has("mirror") {
            Some("it is a mirror of another one")
        } else {
            None
        }
    }

    fn flag(&self, key: &str) -> bool {
        self.config[key].as_bool().unwrap_or_default()
    }

    fn has(&self, key: &str) -> bool {
        self.config.get(key).is_some_and(|value| !value.is_null())
    }

    /// A text of the configuration.
    pub(super) fn text(&self, key: &str) -> &str {
        self.config[key].as_str().unwrap_or_default()
    }

    /// A limit of the configuration, if there is one: absent, 0 and -1 mean that there is none.
    pub(super) fn limit(&self, key: &str) -> Option<u64> {
        self.config[key].as_u64().filter(|limit| *limit > 0)
    }

    /// A time of the configuration, which the server gives in nanoseconds.
    pub(super) fn duration(&self, key: &str) -> Duration {
        Duration::from_nanos(self.config[key].as_u64().unwrap_or_default())
    }
}
