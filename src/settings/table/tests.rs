//! What holds the table: a case for every row, and the shape of all of them.

use super::*;
use crate::settings::draft::Draft;
use crate::settings::setting::Support;

/// What a value does to an empty draft: the field that it sets, or its error.
const CASES: &[(&str, &str, &str)] = &[
    (
        "nats_url",
        r#""t@h:1""#,
        r#"nats_urls: Some([ServerAddress { host: "h", port: 1, tls: false, login: Token(***) }])"#,
    ),
    ("queue_prefix", r#""raw.""#, r#"queue_prefix: Some("raw.")"#),
    ("enable_schema_registry", r#""yes""#, "is_on: Some(true)"),
    (
        "schema_registry_url",
        r#""https://u:p@h/""#,
        r#"url: Some(RegistryUrl { api: V3, base: "https://h/apis/registry/v3", login: Some(("u", ***)) })"#,
    ),
    ("schema_group_id", r#""g""#, r#"group: Some("g")"#),
    ("schema_topic_prefix", r#""p""#, r#"prefix: Some("p")"#),
    ("add_record_metadata", "true", NOT_YET),
    ("load_method", r#""upsert""#, ""),
    ("batch_size_rows", "10", ""),
    ("validate_records", "false", NOT_YET),
    ("stream_maps", r#"{"users": null}"#, NOT_YET),
    ("stream_map_config", r#"{"a": 1}"#, NOT_YET),
    ("faker_config", r#"{"seed": 1}"#, NOT_YET),
    ("flattening_enabled", "true", NOT_YET),
    ("flattening_max_depth", "0", NOT_YET),
    ("flattening_max_key_length", "10", NOT_YET),
    ("flattening_separator", r#""""#, NOT_YET),
    (
        "process_activate_version_messages",
        "false",
        "process_activate_version_messages: Some(false)",
    ),
    (
        "batch_config",
        r#"{"encoding": 5, "storage": {"root": "file:///data", "prefix": "x"}}"#,
        r#"batch_config: Some(BatchConfig { root: Some("/data") })"#,
    ),
    ("connection_name", r#""n""#, r#"connection_name: Some("n")"#),
    (
        "connect_timeout_seconds",
        "0.5",
        "connect_timeout: Some(500ms)",
    ),
    (
        "confirm_timeout_seconds",
        "86400",
        "confirm_timeout: Some(86400s)",
    ),
    (
        "subject",
        r#""a.{stream}""#,
        r#"subject: Some("a.{stream}")"#,
    ),
    (
        "subjects",
        r#"{"b*": "x", "a": "y", "b*": "z"}"#,
        r#"subjects: Some([("b*", "z"), ("a", "y")])"#,
    ),
    (
        "subject_invalid",
        r#""encode""#,
        "subject_invalid: Some(Encode)",
    ),
    (
        "headers",
        r#"{"A": "{stream}"}"#,
        r#"headers: Some([("A", "{stream}")])"#,
    ),
    ("delivery", r#""kv""#, "delivery: Some(Kv)"),
    ("ingest", r#""fast""#, "ingest: Some(Fast)"),
    ("message_id", r#""content""#, "message_id: Some(Content)"),
    (
        "jetstream_stream",
        r#""RAW""#,
        r#"jetstream_stream: Some("RAW")"#,
    ),
    (
        "jetstream_create",
        r#"{"a": 1}"#,
        r#"jetstream_create: Some({"a": Number(1)})"#,
    ),
    (
        "jetstream_domain",
        r#""hub""#,
        r#"jetstream_domain: Some("hub")"#,
    ),
    (
        "jetstream_api_prefix",
        r#""$JS.hub.API""#,
        r#"jetstream_api_prefix: Some("$JS.hub.API")"#,
    ),
    ("inbox_prefix", r#""_I""#, r#"inbox_prefix: Some("_I")"#),
    ("kv_bucket", r#""b""#, r#"kv_bucket: Some("b")"#),
    ("kv_key", r#""{key}""#, r#"kv_key: Some("{key}")"#),
    (
        "kv_create",
        r#"{"history": 5}"#,
        r#"kv_create: Some({"history": Number(5)})"#,
    ),
    ("kv_deletes", "true", "kv_deletes: Some(true)"),
    (
        "on_invalid_record",
        r#""dead_letter""#,
        "on_invalid_record: Some(DeadLetter)",
    ),
    (
        "dead_letter_subject",
        r#""dead""#,
        r#"dead_letter_subject: Some("dead")"#,
    ),
    ("workers", "64", "workers: Some(64)"),
    ("connections", "1", "connections: Some(1)"),
    ("max_in_flight", "1000000", "max_in_flight: Some(1000000)"),
    (
        "max_in_flight_bytes",
        "1024",
        "max_in_flight_bytes: Some(1024)",
    ),
    ("state_interval_seconds", "0", "state_interval: Some(0ns)"),
    ("log_format", r#""json""#, "log_format: Some(Fixed(Json))"),
    ("nats_user", r#""u""#, r#"user: Some("u")"#),
    ("nats_password", r#""p""#, "password: Some(***)"),
    ("nats_token", r#""t""#, "token: Some(***)"),
    (
        "nats_nkey_seed",
        r#""SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY""#,
        "nkey_seed: Some(***)",
    ),
    (
        "nats_credentials",
        r#""-----BEGIN NATS USER JWT-----\neyJ0.e30.c2ln\n------END NATS USER JWT------\n-----BEGIN USER NKEY SEED-----\nSUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY\n------END USER NKEY SEED------""#,
        "credentials: Some(Credentials { jwt: ***, seed: *** })",
    ),
    ("nats_context", r#""c""#, r#"nats_context: Some("c")"#),
    (
        "tls_ca",
        r#""-----BEGIN CERTIFICATE-----""#,
        r#"ca: Some("-----BEGIN CERTIFICATE-----")"#,
    ),
    (
        "tls_cert",
        r#""-----BEGIN CERTIFICATE-----""#,
        r#"cert: Some("-----BEGIN CERTIFICATE-----")"#,
    ),
    (
        "tls_key",
        r#""-----BEGIN PRIVATE KEY-----""#,
        "key: Some(***)",
    ),
    ("tls_server_name", r#""h""#, r#"server_name: Some("h")"#),
    ("tls_insecure", "true", "insecure: Some(true)"),
    ("tls_first", "true", "first: Some(true)"),
    ("schema_registry_user", r#""u""#, r#"user: Some("u")"#),
    ("schema_registry_password", r#""p""#, "password: Some(***)"),
    ("schema_registry_token", r#""t""#, "token: Some(***)"),
    (
        "schema_registry_oauth_url",
        r#""https://i/token""#,
        r#"oauth_url: Some("https://i/token")"#,
    ),
    (
        "schema_registry_oauth_client_id",
        r#""c""#,
        r#"oauth_client_id: Some("c")"#,
    ),
    (
        "schema_registry_oauth_client_secret",
        r#""s""#,
        "oauth_client_secret: Some(***)",
    ),
    (
        "schema_registry_oauth_scope",
        r#""x""#,
        r#"oauth_scope: Some("x")"#,
    ),
    (
        "schema_registry_ca",
        r#""-----BEGIN CERTIFICATE-----""#,
        r#"ca: Some("-----BEGIN CERTIFICATE-----")"#,
    ),
    (
        "schema_registry_cert",
        r#""-----BEGIN CERTIFICATE-----""#,
        r#"cert: Some("-----BEGIN CERTIFICATE-----")"#,
    ),
    (
        "schema_registry_key",
        r#""-----BEGIN PRIVATE KEY-----""#,
        "key: Some(***)",
    ),
    (
        "schema_registry_timeout_seconds",
        "2.5",
        "timeout: Some(2.5s)",
    ),
    ("schema_mode", r#""lookup""#, "mode: Some(Lookup)"),
    ("schema_on_error", r#""warn""#, "on_error: Some(Warn)"),
    ("schema_draft", r#""draft-07""#, "draft: Some(Draft07)"),
    ("schema_closed", "true", "is_closed: Some(true)"),
    ("schema_headers", "false", "has_headers: Some(false)"),
    (
        "payload_format",
        r#""framed_json""#,
        "payload_format: Some(FramedJson)",
    ),
];

const NOT_YET: &str = "is not available in this version: take it out or leave it at its default";

const REFUSED: &[(&str, &str, &str)] = &[
    (
        "nats_url",
        r#""ws://h""#,
        "cannot be used: the scheme ws:// is unknown, use nats:// or tls://",
    ),
    ("nats_url", "5", "must be a string, not an integer"),
    (
        "enable_schema_registry",
        r#""maybe""#,
        "must be true or false (or 1, 0, yes, no, on, off)",
    ),
    (
        "enable_schema_registry",
        r#""""#,
        "must be true or false (or 1, 0, yes, no, on, off)",
    ),
    (
        "load_method",
        r#""merge""#,
        "must be one of append-only, upsert, overwrite",
    ),
    (
        "batch_size_rows",
        r#""1""#,
        "must be an integer, not a string",
    ),
    (
        "validate_records",
        r#""false""#,
        "must be a boolean (true or false), not a string",
    ),
    (
        "batch_config",
        r#"{"storage": 1}"#,
        "storage must be an object, not an integer",
    ),
    (
        "batch_config",
        r#"{"storage": {"root": []}}"#,
        "storage.root must be a string, not a list",
    ),
    (
        "subjects",
        r#"{"a": null}"#,
        r#"holds null under "a", not a string"#,
    ),
    ("headers", "[]", "must be an object, not a list"),
    ("workers", "0", "must be from 1 to 64"),
    ("workers", "65", "must be from 1 to 64"),
    (
        "max_in_flight_bytes",
        "1073741825",
        "must be from 1024 to 1073741824",
    ),
    (
        "connect_timeout_seconds",
        "0",
        "must be from 0.001 to 86400",
    ),
    ("state_interval_seconds", "-1", "must be from 0 to 86400"),
    ("log_format", r#""xml""#, "must be one of auto, text, json"),
    ("nats_user", r#""""#, "must not be empty"),
    ("nats_token", r#""""#, "must not be empty"),
    (
        "nats_nkey_seed",
        r#""SAANJIBNEKGCRUWJCPIWUXFBFJLR36FJTFKGBGKAT7AQXH2LVFNQWZJMQU""#,
        "is an account's seed, and a user's seed begins with SU",
    ),
    (
        "tls_ca",
        r#""/etc/ca.pem""#,
        "must be PEM text; a path belongs into tls_ca_file",
    ),
];

fn row(key: &str) -> &'static Setting {
    TABLE.iter().find(|setting| setting.key == key).unwrap()
}

fn count_unset(draft: &Draft) -> usize {
    format!("{draft:?}").matches(": None").count()
}

#[test]
fn every_row_has_its_case_and_sets_one_field_or_none() {
    let keys: Vec<_> = TABLE.iter().map(|setting| setting.key).collect();
    let cases: Vec<_> = CASES.iter().map(|case| case.0).collect();
    assert_eq!(keys, cases);
    let mut all = Draft::default();
    for (key, json, expected) in CASES {
        let value = serde_json::from_str(json).unwrap();
        let mut one = Draft::default();
        let fields = count_unset(&one);
        match row(key).apply(&mut one, &value) {
            Ok(()) => {
                assert!(format!("{one:?}").contains(expected), "{key}: {one:?}");
                let works = row(key).support == Support::Works;
                assert_eq!(fields - count_unset(&one), usize::from(works), "{key}");
                row(key).apply(&mut all, &value).unwrap();
            }
            Err(error) => assert_eq!(error, *expected, "{key}"),
        }
    }
    assert_eq!(count_unset(&all), 0, "{all:?}");
}

#[test]
fn what_a_row_refuses() {
    for (key, json, expected) in REFUSED {
        let value = serde_json::from_str(json).unwrap();
        let error = row(key).apply(&mut Draft::default(), &value).unwrap_err();
        assert_eq!(error, *expected, "{key}");
    }
}

#[test]
fn what_is_not_there_yet_may_stand_at_its_default() {
    for (key, json) in [
        ("enable_schema_registry", "false"),
        ("enable_schema_registry", r#""Off""#),
        ("validate_records", "true"),
        ("add_record_metadata", "false"),
        ("flattening_enabled", "false"),
        ("stream_maps", "{}"),
    ] {
        let value = serde_json::from_str(json).unwrap();
        assert_eq!(
            row(key).apply(&mut Draft::default(), &value),
            Ok(()),
            "{key}"
        );
    }
}

#[test]
fn rows_are_well_formed() {
    for (index, setting) in TABLE.iter().enumerate() {
        let key = setting.key;
        let snake_case = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(key.starts_with(|c: char| c.is_ascii_lowercase()), "{key}");
        assert!(key.chars().all(snake_case), "{key}");
        assert!(TABLE[..index].iter().all(|other| other.key != key), "{key}");
        assert!(setting.help.ends_with('.'), "{key}");
        assert!(Group::ALL.contains(&setting.group), "{key}");
        if setting.secret {
            assert_eq!((setting.default, setting.example), (None, None), "{key}");
        }
        for json in [setting.default, setting.example].into_iter().flatten() {
            let value = serde_json::from_str(json).unwrap();
            assert_eq!(
                setting.apply(&mut Draft::default(), &value),
                Ok(()),
                "{key}"
            );
        }
    }
}
