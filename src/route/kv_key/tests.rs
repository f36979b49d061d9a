//! Keys of buckets: what they are, that they differ, and templates that cannot be used.

use std::collections::HashMap;

use super::*;
use crate::route::{Routed, Routes};
use crate::testing::Random;

fn routes(kv_key: &str, more: &str) -> Result<Routes, Error> {
    let kv_key = serde_json::Value::from(kv_key);
    let settings = format!(r#"{{"delivery":"kv","kv_bucket":"B","kv_key":{kv_key}{more}}}"#);
    Routes::compile(&Settings::from_json(&settings).unwrap())
}

/// The subject without the bucket's part, or the error, and the filter likewise.
fn key(kv_key: &str, stream: &str, keys: &[&str], record: &str) -> (String, String) {
    let keys: Vec<_> = keys.iter().map(|&key| key.to_owned()).collect();
    let stream = routes(kv_key, "").unwrap().compile_stream(stream, &keys);
    match stream.route(record) {
        Ok(route) => {
            let cut = |text: &str| text.strip_prefix("$KV.B.").unwrap().to_owned();
            (cut(route.subject.as_str()), cut(&route.origin.filter))
        }
        Err(error) => (error.to_string(), String::new()),
    }
}

#[track_caller]
fn check(kv_key: &str, record: &str, expected: &str) {
    assert_eq!(key(kv_key, "users", &["id"], record).0, expected);
}

#[track_caller]
fn check_config(kv_key: &str, expected: &str) {
    let error = routes(kv_key, "").unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert_eq!(error.to_string(), format!("setting kv_key: {expected}"));
}

const USUAL: &str = "{stream}.{key}";

#[test]
fn a_key_has_only_what_every_client_reads() {
    for (id, token) in [
        ("7", "7"),
        ("\"7\"", "7"),
        ("true", "true"),
        ("-1.5e+3", "-1=2E5e=2B3"),
        ("\"a-b_c/D\"", "a-b_c/D"),
        ("\"\"", "="),
        ("\"=\"", "=3D"),
        ("\".\"", "=2E"),
        ("\"a.b c\"", "a=2Eb=20c"),
        ("\"*\"", "=2A"),
        ("\">\"", "=3E"),
        ("\"$x:y|z\"", "=24x=3Ay=7Cz"),
        ("\"é\"", "=C3=A9"),
        ("\"\\u0000\\r\\n\"", "=00=0D=0A"),
        ("\"\u{fffd}\"", "=EF=BF=BD"),
        ("\"_kv\"", "_kv"),
    ] {
        check(
            USUAL,
            &format!(r#"{{"id":{id}}}"#),
            &format!("users.{token}"),
        );
    }
}

#[test]
fn fields_of_a_template_stay_apart() {
    let two = |stream: &str, keys: &[&str], record: &str| key(USUAL, stream, keys, record).0;
    assert_eq!(two("s", &["a", "b"], r#"{"a":"x.y","b":"z"}"#), "s.x=2Ey.z");
    assert_eq!(two("s", &["a", "b"], r#"{"a":"x","b":"y.z"}"#), "s.x.y=2Ez");
    assert_eq!(two("s.x", &["a"], r#"{"a":"y"}"#), "s=2Ex.y");
    assert_eq!(two("s", &["a", "b"], r#"{"a":"x","b":"y"}"#), "s.x.y");
    check("v-{record.a}-.{key}", r#"{"id":1,"a":""}"#, "v-=-.1");
}

#[test]
fn the_filter_covers_a_streams_keys() {
    let record = r#"{"id":1,"b":"x.y"}"#;
    for (template, filter) in [
        (USUAL, "a=2Eb.*.*"),
        ("k", "k"),
        ("{stream}", "a=2Eb"),
        ("x-{key}-y.{record.b}", "*.*.*"),
    ] {
        assert_eq!(key(template, "a.b", &["id", "b"], record).1, filter);
    }
    assert_eq!(
        key(USUAL, "_kv", &["id"], record),
        ("=5Fkv.1".into(), "=5Fkv.*".into())
    );
    assert_eq!(
        key("{key}", "s", &["id"], r#"{"id":"_kvx"}"#),
        ("=5Fkvx".into(), "*".into())
    );
}

#[test]
fn another_domain_is_reached_by_the_apis_prefix() {
    let more = r#","jetstream_api_prefix":"$JS.hub.API""#;
    let stream = routes(USUAL, more)
        .unwrap()
        .compile_stream("s", &["id".to_owned()]);
    let route = stream.route(r#"{"id":1}"#).unwrap();
    assert_eq!(route.subject.as_str(), "$JS.hub.API.$KV.B.s.1");
    assert_eq!(&*route.origin.filter, "$JS.hub.API.$KV.B.s.*");
}

#[test]
fn a_key_that_cannot_be_told_is_refused() {
    for (record, what) in [
        (
            "{}",
            "a template's field is not in the record (stream users, field record.id)",
        ),
        (
            r#"{"id":null}"#,
            "a template needs a string, number or boolean (stream users, field record.id)",
        ),
        (
            r#"{"id":"\ud83d"}"#,
            "a key cannot hold half a surrogate pair (stream users, field record.id)",
        ),
    ] {
        check(USUAL, record, what);
    }
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(4000));
    check(
        USUAL,
        &long,
        "the subject is longer than 3900 bytes (stream users, field kv_key)",
    );
    let none = routes(USUAL, "").unwrap().compile_stream("users", &[]);
    assert!(none.is_useless());
    assert_eq!(
        none.route("{}").err().unwrap().to_string(),
        "a template needs the key, and the stream has no key properties (stream users, field key)"
    );
}

#[test]
fn a_template_is_legal_by_itself() {
    check_config(
        "a b.{key}",
        "a key is of A-Z, a-z, 0-9, -, /, _, = and dots",
    );
    check_config("é", "a key is of A-Z, a-z, 0-9, -, /, _, = and dots");
    check_config("$x.{key}", "a key is of A-Z, a-z, 0-9, -, /, _, = and dots");
    check_config("", "a key has no empty token");
    check_config(".{key}", "a key has no empty token");
    check_config("{key}.", "a key has no empty token");
    check_config("{stream}..{key}", "a key has no empty token");
    check_config("_kv.{key}", "keys that begin with _kv are reserved");
    for template in [
        "{stream}{key}",
        "{stream}-{key}",
        "{stream}.a-{key}-{record.b}",
    ] {
        check_config(
            template,
            "between two fields there must be a dot, or different records could have one key",
        );
    }
    check_config(
        "{strem}",
        "unknown field {strem}; there are {stream}, {queue_prefix}, {key} and {record.<name>}",
    );
    for bucket in [r#""""#, "null", r#""a.b""#, r#""a b""#] {
        let settings = format!(r#"{{"delivery":"kv","kv_bucket":{bucket}}}"#);
        // Also refused by the settings themselves, where they ask for it.
        let error = Settings::from_json(&settings).and_then(|settings| Routes::compile(&settings));
        assert_eq!(error.unwrap_err().kind(), Kind::Config, "{bucket}");
    }
}

#[test]
fn a_deletion_is_marked_where_that_is_asked_for() {
    let deleted = |more: &str, record: &str| {
        let keys = ["id".to_owned()];
        let stream = routes(USUAL, more).unwrap().compile_stream("s", &keys);
        let route = stream.route(record).unwrap();
        let headers = route.headers.as_ref().map(ToString::to_string);
        (
            matches!(route, Routed::Deletion(_)),
            headers.unwrap_or_default(),
        )
    };
    let gone = r#"{"id":1,"_sdc_deleted_at":"2026-01-01"}"#;
    let on = r#","kv_deletes":true"#;
    let mark = "KV-Operation:DEL";
    assert_eq!(deleted("", gone), (false, String::new()));
    assert_eq!(deleted(on, gone), (true, mark.to_owned()));
    for alive in [
        r#"{"id":1}"#,
        r#"{"id":1,"_sdc_deleted_at":null}"#,
        r#"{"id":1,"a":{"_sdc_deleted_at":1}}"#,
        r#"{"id":1,"_sdc_deleted_at":1,"_sdc_deleted_at":null}"#,
    ] {
        assert_eq!(deleted(on, alive), (false, String::new()), "{alive}");
    }
    assert!(deleted(on, r#"{"id":1,"\u005fsdc_deleted_at":false}"#).0);
    let both = r#","kv_deletes":true,"headers":{"A":"{stream}"}"#;
    assert_eq!(
        deleted(both, gone),
        (true, "KV-Operation:DEL\r\nA:s".to_owned())
    );
    assert_eq!(deleted(both, r#"{"id":1}"#), (false, "A:s".to_owned()));
}

#[test]
fn a_deletion_is_marked_where_all_records_share_a_key() {
    let routes = routes("{stream}", r#","kv_deletes":true"#).unwrap();
    let stream = routes.compile_stream("s", &[]);
    assert!(matches!(
        stream.route(r#"{"_sdc_deleted_at":1}"#),
        Ok(Routed::Deletion(_))
    ));
    assert!(matches!(stream.route("{}"), Ok(Routed::Own(_))));
}

/// The text that a part of a token encodes.
fn decode(part: &str) -> String {
    if part == "=" {
        return String::new();
    }
    let mut pieces = part.split('=');
    let mut bytes = pieces.next().unwrap().as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
        bytes.extend(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn any_fields_make_a_key_that_is_theirs_alone() {
    let mut random = Random::new("kv keys");
    let pieces = [
        "{stream}",
        "{key}",
        "{record.v}",
        "{record.w}",
        ".",
        ".",
        ".",
        "a",
        "-",
        "_",
        "_kv",
        "=",
        "2E",
        "/",
    ];
    let letters = [
        "a", "b", ".", "=", "2", "E", "-", "_", "_kv", "*", ">", " ", "$", "é", "\0", "/", "5F",
    ];
    let word = |random: &mut Random| -> String {
        (0..random.below(4))
            .map(|_| random.pick(&letters))
            .collect()
    };
    let (mut checked, mut templates) = (0, 0);
    while templates < 400 {
        let template: String = (0..=random.below(8))
            .map(|_| random.pick(&pieces))
            .collect();
        let Ok(routes) = routes(&template, "") else {
            continue;
        };
        templates += 1;
        let mut known: HashMap<String, Vec<String>> = HashMap::new();
        for _ in 0..200 {
            let (stream, v, w) = (word(&mut random), word(&mut random), word(&mut random));
            let (k, l) = (word(&mut random), random.below(3));
            let keys = &["k".to_owned(), "l".to_owned()][..=random.below(2)];
            let record = serde_json::json!({ "v": v, "w": w, "k": k, "l": l }).to_string();
            let stream_route = routes.compile_stream(&stream, keys);
            let route = stream_route.route(&record).unwrap();
            let key = route.subject.as_str().strip_prefix("$KV.B.").unwrap();
            assert!(
                key.bytes()
                    .all(|byte| is_plain(byte) || matches!(byte, b'.' | b'=')),
                "{key}"
            );
            assert!(!key.starts_with("_kv") && key.split('.').all(|token| !token.is_empty()));
            // What the fields are, in order; the number of keys is told by the number of tokens.
            let mut fields = Vec::new();
            let mut rest = template.as_str();
            while let Some((_, behind)) = rest.split_once('{') {
                let (name, behind) = behind.split_once('}').unwrap();
                rest = behind;
                match name {
                    "stream" => fields.push(stream.clone()),
                    "key" => fields.extend([k.clone(), l.to_string()].into_iter().take(keys.len())),
                    "record.v" => fields.push(v.clone()),
                    _ => fields.push(w.clone()),
                }
            }
            if let Some(others) = known.insert(key.to_owned(), fields.clone()) {
                assert_eq!(others, fields, "{template} {key}");
            }
            checked += 1;
        }
    }
    assert!(checked > 10_000);
}

#[test]
fn a_usual_key_can_be_read_back() {
    let mut random = Random::new("kv round trip");
    for _ in 0..5_000 {
        let word = |random: &mut Random| -> String {
            (0..random.below(6))
                .map(|_| {
                    char::from_u32(
                        [0, 1, 32, 46, 61, 95, 97, 0xe9, 0x4e2d, 0x1f600][random.below(10)],
                    )
                    .unwrap()
                })
                .collect()
        };
        let (stream, id, part) = (word(&mut random), word(&mut random), word(&mut random));
        let record = serde_json::json!({ "id": id, "part": part }).to_string();
        let (key, filter) = key(USUAL, &stream, &["id", "part"], &record);
        let decoded: Vec<String> = key.split('.').map(decode).collect();
        assert_eq!(decoded, [&*stream, &*id, &*part], "{key}");
        assert_eq!(filter.split('.').next(), key.split('.').next());
    }
}
