//! [`StreamInfo`]: what the delivery must know of a JetStream stream, from the server's own JSON. Pure.

use std::time::Duration;

use serde_json::Value;

use super::filter::{covers, overlaps};
use crate::error::{Error, Kind};

/// What stands before a bucket's name to make the name of its stream.
pub(super) const BUCKET_PREFIX: &str = "KV_";

/// For how long a server knows message ids where nothing is said.
const USUAL_WINDOW: Duration = Duration::from_mins(2);

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

    /// Whether it captures a subject, or all subjects of a filter, by one of its own filters.
    pub(super) fn covers(&self, subjects: &str) -> bool {
        self.subjects.iter().any(|filter| covers(filter, subjects))
    }

    /// Whether it captures a subject of this filter.
    pub(super) fn overlaps(&self, filter: &str) -> bool {
        self.subjects.iter().any(|own| overlaps(own, filter))
    }

    /// Whether it takes fast ingest.
    pub(super) fn allows_batches(&self) -> bool {
        self.flag("allow_batched")
    }

    /// Whether several servers have it, so that what its leader takes is not yet stored.
    pub(super) fn is_replicated(&self) -> bool {
        self.config["num_replicas"].as_u64() > Some(1)
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

    /// For how long it knows message ids. `None` where that is not known, as its configuration may not be asked for.
    pub(super) fn duplicate_window(&self) -> Option<Duration> {
        let window = self.duration("duplicate_window");
        // Where a stream with sources names none, it knows no ids.
        if self.exists || !window.is_zero() || self.has("sources") {
            return Some(window);
        }
        // One that is going to be made has a storage; the server fills in the window.
        self.has("storage").then(|| match self.duration("max_age") {
            Duration::ZERO => USUAL_WINDOW,
            max_age => max_age.min(USUAL_WINDOW),
        })
    }

    /// A time of the configuration, which the server gives in nanoseconds.
    pub(super) fn duration(&self, key: &str) -> Duration {
        Duration::from_nanos(self.config[key].as_u64().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn parse(config: Value) -> StreamInfo {
        let mut answer = json!({});
        answer["config"] = config;
        StreamInfo::parse(&answer).unwrap()
    }

    #[test]
    fn an_answer_of_the_server_is_read_and_its_unknown_fields_are_kept() {
        let config = json!({"name": "S", "subjects": ["a.>", "b"], "max_msg_size": 100, "allow_batched": true,
            "no_ack": true, "max_age": 5_000_000_000_u64, "max_msgs": -1, "of_a_later_version": {"x": [1]}});
        let answer = json!({"type": "io.nats.jetstream.api.v1.stream_info_response", "config": config,
            "created": "2026-01-01T00:00:00Z", "state": {"messages": 7, "consumer_count": 2}});
        let found = StreamInfo::parse(&answer).unwrap();
        assert_eq!(
            (&*found.name, &*found.subjects),
            ("S", &["a.>".to_owned(), "b".to_owned()][..])
        );
        assert!(found.exists && found.has_consumers && found.allows_batches());
        assert!(!found.acknowledges());
        assert_eq!(found.max_msg_size, Some(100));
        assert_eq!(found.duration("max_age"), Duration::from_secs(5));
        assert_eq!(
            (found.limit("max_msgs"), found.closed_because()),
            (None, None)
        );
        assert_eq!(found.config, config);
    }

    #[test]
    fn a_name_and_subjects_are_enough() {
        let found = parse(json!({"name": "S", "subjects": ["a"]}));
        assert_eq!(
            (&*found.name, &*found.subjects),
            ("S", &["a".to_owned()][..])
        );
        assert!(found.acknowledges() && !found.exists && !found.has_consumers);
        assert!(!found.allows_batches());
        for size in [json!(-1), json!(0), Value::Null] {
            let found = parse(json!({"name": "S", "max_msg_size": size}));
            assert_eq!(found.max_msg_size, None);
        }
        for nameless in [
            json!({"config": {"subjects": ["a"]}}),
            json!({"config": {"name": 1}}),
            json!({}),
            json!([]),
        ] {
            let error = StreamInfo::parse(&nameless).unwrap_err();
            assert_eq!(error.kind(), Kind::Refused, "{nameless}");
        }
    }

    #[test]
    fn a_stream_without_subjects_captures_its_name_unless_it_copies_others() {
        let subjects = |config| parse(config).subjects;
        assert_eq!(subjects(json!({"name": "S"})), ["S"]);
        assert_eq!(
            subjects(json!({"name": "S", "subjects": null, "mirror": null})),
            ["S"]
        );
        assert!(subjects(json!({"name": "S", "mirror": {"name": "T"}})).is_empty());
        assert!(subjects(json!({"name": "S", "sources": [{"name": "T"}]})).is_empty());
    }

    #[test]
    fn what_takes_no_messages_says_why() {
        let why = |config| parse(config).closed_because();
        assert_eq!(
            why(json!({"name": "S", "sealed": true})),
            Some("it is sealed")
        );
        assert_eq!(
            why(json!({"name": "S", "mirror": {"name": "T"}})),
            Some("it is a mirror of another one")
        );
        assert_eq!(why(json!({"name": "S", "sources": [{"name": "T"}]})), None);
    }

    #[test]
    fn a_window_that_is_not_said_is_what_the_server_fills_in_or_not_known() {
        let seconds = |config| {
            parse(config)
                .duplicate_window()
                .map(|window| window.as_secs())
        };
        let minute = 60_000_000_000_u64;
        assert_eq!(
            seconds(json!({"name": "S", "duplicate_window": minute})),
            Some(60)
        );
        assert_eq!(seconds(json!({"name": "S", "storage": "file"})), Some(120));
        assert_eq!(
            seconds(
                json!({"name": "S", "storage": "file", "duplicate_window": 0, "max_age": minute})
            ),
            Some(60)
        );
        assert_eq!(
            seconds(json!({"name": "S", "storage": "file", "max_age": 9 * minute})),
            Some(120)
        );
        assert_eq!(
            seconds(json!({"name": "S", "storage": "file", "sources": [{"name": "T"}]})),
            Some(0)
        );
        assert_eq!(seconds(json!({"name": "S", "subjects": ["a"]})), None);
        let found =
            json!({"config": {"name": "S", "storage": "file"}, "created": "2026-01-01T00:00:00Z"});
        let found = StreamInfo::parse(&found).unwrap();
        assert_eq!(found.duplicate_window(), Some(Duration::ZERO));
    }
}
