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
    /// Whether it takes fast ingest.
    pub(super) allow_batched: bool,
    /// It acknowledges nothing.
    pub(super) no_ack: bool,
    pub(super) sealed: bool,
    /// It takes nothing but what another stream has.
    pub(super) is_mirror: bool,
    pub(super) has_consumers: bool,
    /// The configuration as the server gives it, with the fields of later versions.
    pub(super) config: Value,
}

impl StreamInfo {
    /// Reads an answer to INFO or CREATE. Fails with `Refused` where it is none.
    pub(super) fn parse(json: &Value) -> Result<Self, Error> {
        let config = &json["config"];
        let flag = |key: &str| config[key].as_bool().unwrap_or_default();
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
        let is_mirror = config.get("mirror").is_some_and(|mirror| !mirror.is_null());
        let has_sources = config
            .get("sources")
            .is_some_and(|sources| !sources.is_null());
        Ok(Self {
            name: name.to_owned(),
            subjects: if subjects.is_empty() && !is_mirror && !has_sources {
                // What a stream captures for which no subjects were given.
                vec![name.to_owned()]
            } else {
                subjects
            },
            max_msg_size: (config["max_msg_size"].as_u64())
                .and_then(|bytes| usize::try_from(bytes).ok())
                .filter(|bytes| *bytes > 0),
            allow_batched: flag("allow_batched"),
            no_ack: flag("no_ack"),
            sealed: flag("sealed"),
            is_mirror,
            has_consumers: json["state"]["consumer_count"].as_u64() > Some(0),
            config: config.clone(),
        })
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
