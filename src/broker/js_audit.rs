//! The audit of a JetStream stream: how data that it has acknowledged could vanish. Pure.

use std::time::Duration;

use super::js_config::{BUCKET_PREFIX, StreamInfo};
use crate::settings::MessageId;

/// A run that failed is repeated by its scheduler, at the latest the next night.
const REPEATED_WITHIN: Duration = Duration::from_hours(24);

/// A sentence for each way in which acknowledged data could vanish, without somebody deleting it.
pub(super) fn audit(js_stream: &StreamInfo, message_id: MessageId) -> Vec<String> {
    let is_bucket = js_stream.name.starts_with(BUCKET_PREFIX);
    let mut dangers: Vec<String> = Vec::new();
    let mut add = |danger: &str| dangers.push(danger.to_owned());
    if !js_stream.acknowledges() {
        add("acknowledges nothing (no_ack), so it may lose messages without anybody knowing");
    }
    if js_stream.text("retention") == "interest" && !js_stream.has_consumers {
        add(
            "keeps messages for consumers only (retention interest) and has none: it stores nothing",
        );
    }
    if js_stream.text("storage") == "memory" {
        add("is in memory, and a restart of its server empties it");
    }
    if js_stream.duration("max_age") > Duration::ZERO && !is_bucket {
        add("drops messages after a time (max_age)");
    }
    if js_stream.text("persist_mode") == "async" {
        add(
            "acknowledges messages before they are written (persist_mode async), and a crash of its server loses \
             the last of them",
        );
    }
    let forgetful: Vec<&str> = ["max_msgs", "max_bytes", "max_msgs_per_subject"]
        .into_iter()
        .filter(|limit| js_stream.limit(limit).is_some() && forgets(js_stream, limit))
        .collect();
    if !forgetful.is_empty() {
        let limits = forgetful.join(", ");
        add(&format!(
            "drops the oldest messages when it is full ({limits})"
        ));
    }
    if message_id == MessageId::Content
        && let Some(window) = js_stream.duplicate_window()
        && window < REPEATED_WITHIN
    {
        add(&format!(
            "forgets message ids after {} seconds (duplicate_window), and what a later run sends again is stored \
             twice",
            window.as_secs_f64()
        ));
    }
    let name = &js_stream.name;
    let sentence =
        |danger: String| format!("JetStream stream '{name}' {danger}; its owner can change that");
    dangers.into_iter().map(sentence).collect()
}

/// Whether a limit that is reached drops what was stored. `discard: new` alone does not hold for the limit of a
/// subject. That a bucket keeps the newest values of a key is what it is for.
fn forgets(js_stream: &StreamInfo, limit: &str) -> bool {
    let refuses = js_stream.text("discard") == "new";
    match limit {
        "max_msgs_per_subject" if js_stream.name.starts_with(BUCKET_PREFIX) => false,
        "max_msgs_per_subject" => !refuses || js_stream.config["discard_new_per_subject"] != true,
        _ => !refuses,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The fields that the warnings name.
    #[track_caller]
    fn check(name: &str, message_id: MessageId, config: Value, expected: &[&str]) {
        let mut config = config;
        config["name"] = name.into();
        for (key, default) in [
            ("subjects", json!(["a"])),
            ("duplicate_window", 120_000_000_000_u64.into()),
        ] {
            config
                .as_object_mut()
                .unwrap()
                .entry(key)
                .or_insert(default);
        }
        let info =
            StreamInfo::parse(&json!({"config": config, "state": {"consumer_count": 0}})).unwrap();
        let found = audit(&info, message_id);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (warning, field) in std::iter::zip(&found, expected) {
            assert!(warning.contains(field), "{field}: {warning}");
        }
    }

    #[test]
    fn what_may_vanish_is_told_and_nothing_else() {
        let check = |config, expected: &[&str]| check("S", MessageId::None, config, expected);
        check(json!({"discard": "new", "storage": "file"}), &[]);
        check(
            json!({"discard": "old", "max_msgs": -1, "max_bytes": -1, "max_msgs_per_subject": -1}),
            &[],
        );
        check(
            json!({"discard": "old", "max_msgs": 1, "max_bytes": 1}),
            &["(max_msgs, max_bytes)"],
        );
        check(
            json!({"discard": "new", "max_msgs": 1, "max_bytes": 1}),
            &[],
        );
        check(
            json!({"discard": "new", "max_msgs": 1, "max_msgs_per_subject": 1}),
            &["(max_msgs_per_subject)"],
        );
        check(
            json!({"discard": "new", "max_msgs_per_subject": 1, "discard_new_per_subject": true}),
            &[],
        );
        check(
            json!({"discard": "new", "persist_mode": "async"}),
            &["persist_mode async"],
        );
        check(
            json!({"discard": "new", "no_ack": true, "storage": "memory"}),
            &["no_ack", "memory"],
        );
        check(
            json!({"discard": "new", "retention": "interest", "max_age": 1}),
            &["interest", "max_age"],
        );
    }

    #[test]
    fn a_bucket_may_have_a_history_and_a_time_to_live_but_must_not_drop_keys() {
        let check = |config, expected: &[&str]| check("KV_b", MessageId::None, config, expected);
        check(
            json!({"discard": "new", "max_msgs_per_subject": 1, "max_age": 1, "max_bytes": 9}),
            &[],
        );
        check(
            json!({"discard": "old", "max_msgs_per_subject": 1, "max_bytes": 9}),
            &["(max_bytes)"],
        );
    }

    #[test]
    fn a_window_shorter_than_a_day_matters_to_ids_of_the_content() {
        let config = |nanoseconds: u64| json!({"discard": "new", "duplicate_window": nanoseconds});
        check("S", MessageId::Content, config(86_400_000_000_000), &[]);
        check(
            "S",
            MessageId::Content,
            config(86_399_000_000_000),
            &["after 86399 seconds"],
        );
        check("S", MessageId::Run, config(120_000_000_000), &[]);
    }

    #[test]
    fn nothing_is_said_of_a_stream_of_which_only_the_name_is_known() {
        let stub = json!({"config": {"name": "S", "subjects": ["a"]}});
        let found = audit(&StreamInfo::parse(&stub).unwrap(), MessageId::Content);
        assert_eq!(found, Vec::<String>::new());
        let to_be_made = json!({"config": {"name": "S", "storage": "file", "discard": "new"}});
        let found = audit(&StreamInfo::parse(&to_be_made).unwrap(), MessageId::Content);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("after 120 seconds"), "{found:?}");
    }
}
