//! `delivery: kv`: what would be put into the bucket, as a dry run prints it. Buckets themselves are elsewhere.

use serde_json::{Value, json};

use crate::harness::{Outcome, Target, record, schema};

/// A dry run with a bucket `B` and these further settings.
fn dry(more: &Value, input: String) -> Outcome {
    let target = Target::new()
        .args(["--dry-run"])
        .setting("delivery", "kv")
        .setting("kv_bucket", "B");
    let more = more.as_object().into_iter().flatten();
    more.fold(target, |target, (key, value)| {
        target.setting(key, value.clone())
    })
    .input(input)
    .run()
}

#[test]
fn a_record_is_the_value_of_its_key() {
    let input = schema("users", &["id"])
        + &record("users", r#"{ "id" : 1 }"#)
        + &schema("a.b", &["x", "y"])
        + &record("a.b", r#"{"y":"é =.","x":""}"#);
    dry(&json!({}), input).succeeds().prints(concat!(
        "$KV.B.users.1\t{}\t{ \"id\" : 1 }\n",
        "$KV.B.a=2Eb.=.=C3=A9=20=3D=2E\t{}\t{\"y\":\"é =.\",\"x\":\"\"}\n",
    ));
}

#[test]
fn the_key_comes_from_its_template() {
    let settings =
        json!({"kv_key": "{queue_prefix}v1.{record.a.b}.{stream}", "queue_prefix": "p/"});
    let input = schema("users", &[]) + &record("users", r#"{"a":{"b":true}}"#);
    dry(&settings, input)
        .succeeds()
        .prints("$KV.B.p/v1.true.users\t{}\t{\"a\":{\"b\":true}}\n");
}

#[test]
fn a_deleted_record_becomes_a_delete_marker_where_that_is_asked_for() {
    let gone = r#"{"id":1,"_sdc_deleted_at":"2026-11-24"}"#;
    let kept = r#"{"id":2,"_sdc_deleted_at":null}"#;
    let input = || schema("users", &["id"]) + &record("users", gone) + &record("users", kept);
    let settings = json!({"kv_deletes": true, "headers": {"Source": "{stream}"}});
    dry(&settings, input()).succeeds().prints(&format!(
        "$KV.B.users.1\t{{\"KV-Operation\":\"DEL\",\"Source\":\"users\"}}\t\n\
         $KV.B.users.2\t{{\"Source\":\"users\"}}\t{kept}\n"
    ));
    dry(&json!({}), input()).succeeds().prints(&format!(
        "$KV.B.users.1\t{{}}\t{gone}\n$KV.B.users.2\t{{}}\t{kept}\n"
    ));
}

#[test]
fn a_record_without_its_key_is_refused() {
    for (bad, part) in [
        ("{}", "Record is missing one or more key_properties"),
        (
            r#"{"id":null}"#,
            "a template needs a string, number or boolean",
        ),
        (
            r#"{"id":[1]}"#,
            "a template needs a string, number or boolean",
        ),
        (r#"{"id":"\ud800"}"#, "half a surrogate pair"),
    ] {
        let input = schema("users", &["id"]) + &record("users", bad);
        dry(&json!({}), input)
            .exits(1)
            .prints("")
            .error(&["line 2", "stream users", part]);
    }
}

#[test]
fn a_record_without_its_key_may_be_left_out_or_told_of() {
    let input = || {
        schema("users", &["id"])
            + &record("users", r#"{"id":null}"#)
            + &record("users", r#"{"id":1}"#)
    };
    dry(&json!({"on_invalid_record": "skip"}), input())
        .succeeds()
        .prints("$KV.B.users.1\t{}\t{\"id\":1}\n");
    let settings = json!({"on_invalid_record": "dead_letter", "dead_letter_subject": "dead"});
    let outcome = dry(&settings, input());
    outcome.succeeds();
    let printed: Vec<&str> = outcome.stdout_text().lines().collect();
    assert!(printed[0].starts_with("dead\t{\"Target-Nats-Stream\":\"users\""));
    assert!(printed[0].ends_with("\t{\"id\":null}"));
    assert_eq!(printed[1], "$KV.B.users.1\t{}\t{\"id\":1}");
}

#[test]
fn a_stream_without_key_properties_has_no_keys() {
    for settings in [
        json!({"on_invalid_record": "fail"}),
        json!({"on_invalid_record": "skip"}),
        json!({"on_invalid_record": "dead_letter", "dead_letter_subject": "dead"}),
    ] {
        let input = schema("users", &[]) + &record("users", r#"{"id":1}"#);
        dry(&settings, input).exits(1).prints("").error(&[
            "line 2",
            "stream users",
            "the stream has no key properties",
        ]);
    }
}

#[test]
fn settings_that_make_unreadable_keys_are_refused() {
    for (settings, part) in [
        (json!({"kv_bucket": "a.b"}), "kv_bucket"),
        (json!({"kv_bucket": ""}), "kv_bucket"),
        (json!({"kv_key": "a b.{key}"}), "kv_key"),
        (json!({"kv_key": "{stream}{key}"}), "a dot"),
        (json!({"kv_key": "_kv.{key}"}), "reserved"),
        (json!({"headers": {"kv-operation": "PURGE"}}), "kv_deletes"),
        (json!({"headers": {"Nats-TTL": "1h"}}), "Nats-TTL"),
        (json!({"headers": {"Nats-Msg-Id": "1"}}), "Nats-"),
    ] {
        dry(&settings, String::new()).exits(2).error(&[part]);
    }
}
