//! The audit of a JetStream stream: how data that it has acknowledged could vanish. Pure.

use std::time::Duration;

use super::js_config::StreamInfo;
use crate::settings::MessageId;

/// A run that failed is repeated by its scheduler, at the latest the next night.
const REPEATED_WITHIN: Duration = Duration::from_hours(24);

/// A sentence for each way in which acknowledged data could vanish, without somebody deleting it.
pub(super) fn audit(js_stream: &StreamInfo, message_id: MessageId) -> Vec<String> {
    let is_bucket = js_stream.name.starts_with("KV_");
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
    let limits = ["max_msgs", "max_bytes", "max_msgs_per_subject"];
    let is_limited = |key: &&&str| js_stream.limit(key).is_some();
    let found: Vec<&str> = limits.iter().filter(is_limited).copied().collect();
    if js_stream.text("discard") == "old" && !found.is_empty() && !is_bucket {
        let found = found.join(", ");
        add(&format!(
            "drops the oldest messages when it is full ({found} with discard old)"
        ));
    }
    let window = js_stream.duration("duplicate_window");
    if message_id == MessageId::Content && window < REPEATED_WITHIN {
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
