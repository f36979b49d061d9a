//! What settings say together: those that contradict each other, miss one another, or would be without effect.
//!
//! What one value says alone is checked by its row.

use super::draft::Draft;
use super::registry::ID_HEADERS;
use super::{DeliveryKind, Ingest, MessageId, OnInvalidRecord};

/// Says nothing where delivery is not into a bucket.
const OF_BUCKETS: [&str; 4] = ["kv_bucket", "kv_key", "kv_create", "kv_deletes"];
/// Say nothing where it is.
const OF_SUBJECTS: [&str; 3] = ["subject", "subjects", "subject_invalid"];

/// Everything that is wrong with a draft whose defaults are filled in. `is_chosen` tells of a key whether
/// its value is another one than the default: a launcher may pass every default on.
pub(super) fn contradictions(draft: &Draft, is_chosen: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut unless = |legal: bool, what: String| {
        if !legal {
            wrong.push(what);
        }
    };
    let delivery = draft.delivery.unwrap_or(DeliveryKind::Auto);
    let name = delivery_name(delivery);
    let chosen = |keys: &[&'static str]| -> Vec<&'static str> {
        let keys = keys.iter().copied();
        keys.filter(|key| is_chosen(key)).collect()
    };
    let needs_another = |keys: &[&str], needed: &str| {
        let verb = if keys.len() == 1 { "needs" } else { "need" };
        format!("{} {verb} {needed}", join(keys))
    };
    if delivery == DeliveryKind::Kv {
        unless(
            draft.kv_bucket.is_some(),
            "delivery kv needs kv_bucket".to_owned(),
        );
        unless(
            draft.message_id != Some(MessageId::Content),
            "message_id content cannot be used with delivery kv: a key's value that is an earlier one again would \
             be dropped"
                .to_owned(),
        );
        let idle = chosen(&OF_SUBJECTS);
        unless(
            idle.is_empty(),
            format!(
                "{} cannot be used with delivery kv, where kv_key makes the keys",
                join(&idle)
            ),
        );
        let names_prefix = |text: &String| text.contains("{queue_prefix}");
        let headers = draft.headers.iter().flatten().map(|(_, text)| text);
        unless(
            !is_chosen("queue_prefix") || headers.chain(&draft.kv_key).any(names_prefix),
            "queue_prefix says nothing with delivery kv where kv_key has no {queue_prefix}"
                .to_owned(),
        );
    } else {
        let idle = chosen(&OF_BUCKETS);
        unless(idle.is_empty(), needs_another(&idle, "delivery kv"));
    }
    let js_stream = draft.jetstream_stream.is_some();
    unless(
        js_stream || draft.jetstream_create.is_none(),
        "jetstream_create needs jetstream_stream".to_owned(),
    );
    unless(
        !js_stream || matches!(delivery, DeliveryKind::Auto | DeliveryKind::JetStream),
        format!("jetstream_stream cannot be used with delivery {name}"),
    );
    unless(
        draft.jetstream_domain.is_none() || draft.jetstream_api_prefix.is_none(),
        "jetstream_domain and jetstream_api_prefix cannot both be given".to_owned(),
    );
    if delivery == DeliveryKind::Core {
        let idle: Vec<_> = [
            (draft.message_id != Some(MessageId::None), "message_id"),
            (draft.ingest != Some(Ingest::Auto), "ingest"),
        ]
        .into_iter()
        .filter_map(|(given, key)| given.then_some(key))
        .collect();
        unless(
            idle.is_empty(),
            format!("{} cannot be used with delivery core", join(&idle)),
        );
    }
    unless(
        draft.tls.insecure != Some(true) || draft.tls.ca.is_none(),
        "tls_ca cannot be used with tls_insecure, which has no certificate checked".to_owned(),
    );
    let to_dead_letters = draft.on_invalid_record == Some(OnInvalidRecord::DeadLetter);
    unless(
        !to_dead_letters || draft.dead_letter_subject.is_some(),
        "on_invalid_record dead_letter needs dead_letter_subject".to_owned(),
    );
    unless(
        to_dead_letters || draft.dead_letter_subject.is_none(),
        "dead_letter_subject needs on_invalid_record dead_letter".to_owned(),
    );
    let mut names = draft.headers.iter().flatten().map(|(name, _)| &**name);
    let names_ids = names.any(|name| ID_HEADERS.contains(&name));
    wrong.extend(draft.registry.contradictions(names_ids));
    wrong
}

fn delivery_name(delivery: DeliveryKind) -> &'static str {
    match delivery {
        DeliveryKind::Auto => "auto",
        DeliveryKind::Core => "core",
        DeliveryKind::JetStream => "jetstream",
        DeliveryKind::Kv => "kv",
    }
}

/// `a`, `a and b`, `a, b and c`.
fn join(keys: &[&str]) -> String {
    match keys {
        [] => String::new(),
        [key] => (*key).to_owned(),
        [keys @ .., last] => format!("{} and {last}", keys.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::Settings;

    #[track_caller]
    fn check(config: &str, expected: Option<&str>) {
        let error = Settings::from_json(config)
            .err()
            .map(|error| error.to_string());
        let expected = expected.map(|what| format!("config validation failed: {what}"));
        assert_eq!(error, expected, "{config}");
    }

    #[test]
    fn settings_that_contradict_each_other() {
        check(r#"{"delivery": "kv", "kv_bucket": "b"}"#, None);
        check(r#"{"delivery": "kv"}"#, Some("delivery kv needs kv_bucket"));
        check(
            r#"{"delivery": "kv", "kv_bucket": "b", "subject": "x", "subjects": {"a": "b"}}"#,
            Some(
                "subject and subjects cannot be used with delivery kv, where kv_key makes the keys",
            ),
        );
        check(
            r#"{"kv_bucket": "b", "kv_create": {}, "kv_deletes": true}"#,
            Some("kv_bucket, kv_create and kv_deletes need delivery kv"),
        );
        check(
            r#"{"delivery": "core", "kv_key": "{key}"}"#,
            Some("kv_key needs delivery kv"),
        );
        check(
            r#"{"jetstream_create": {}}"#,
            Some("jetstream_create needs jetstream_stream"),
        );
        check(r#"{"jetstream_stream": "A", "jetstream_create": {}}"#, None);
        check(
            r#"{"jetstream_stream": "A", "delivery": "core"}"#,
            Some("jetstream_stream cannot be used with delivery core"),
        );
        check(
            r#"{"jetstream_stream": "A", "delivery": "kv", "kv_bucket": "b"}"#,
            Some("jetstream_stream cannot be used with delivery kv"),
        );
        check(
            r#"{"jetstream_domain": "A", "jetstream_api_prefix": "b"}"#,
            Some("jetstream_domain and jetstream_api_prefix cannot both be given"),
        );
        check(
            r#"{"tls_insecure": true, "tls_ca": "-----BEGIN CERTIFICATE-----"}"#,
            Some("tls_ca cannot be used with tls_insecure, which has no certificate checked"),
        );
        check(
            r#"{"delivery": "core", "message_id": "run", "ingest": "fast"}"#,
            Some("message_id and ingest cannot be used with delivery core"),
        );
        check(
            r#"{"delivery": "kv", "kv_bucket": "b", "message_id": "content"}"#,
            Some(
                "message_id content cannot be used with delivery kv: a key's value that is an earlier one again \
                 would be dropped",
            ),
        );
        check(
            r#"{"on_invalid_record": "dead_letter"}"#,
            Some("on_invalid_record dead_letter needs dead_letter_subject"),
        );
        check(
            r#"{"dead_letter_subject": "d", "on_invalid_record": "skip"}"#,
            Some("dead_letter_subject needs on_invalid_record dead_letter"),
        );
    }

    #[test]
    fn a_prefix_that_no_key_holds() {
        let what = "queue_prefix says nothing with delivery kv where kv_key has no {queue_prefix}";
        check(
            r#"{"delivery": "kv", "kv_bucket": "b", "queue_prefix": "raw."}"#,
            Some(what),
        );
        check(
            r#"{"delivery": "kv", "kv_bucket": "b", "queue_prefix": "raw.", "kv_key": "{queue_prefix}{key}"}"#,
            None,
        );
        check(
            r#"{"delivery": "kv", "kv_bucket": "b", "queue_prefix": "raw.", "headers": {"A": "{queue_prefix}"}}"#,
            None,
        );
        check(
            r#"{"delivery": "kv", "kv_bucket": "b", "queue_prefix": ""}"#,
            None,
        );
    }

    #[test]
    fn several_contradictions_are_all_named() {
        check(
            r#"{"dead_letter_subject": "d", "jetstream_create": {}}"#,
            Some(
                "jetstream_create needs jetstream_stream; \
                 dead_letter_subject needs on_invalid_record dead_letter",
            ),
        );
    }

    #[test]
    fn defaults_that_a_launcher_passes_on_contradict_nothing() {
        check(
            r#"{"delivery": "core", "kv_key": "{stream}.{key}", "kv_deletes": false, "ingest": "auto",
                "message_id": "none", "subject": "{queue_prefix}{stream}", "kv_bucket": null}"#,
            None,
        );
        check(
            r#"{"delivery": "kv", "kv_bucket": "b", "subject": "{queue_prefix}{stream}", "subject_invalid": "reject"}"#,
            None,
        );
    }
}
