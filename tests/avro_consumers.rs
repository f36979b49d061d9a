//! Consumers of others, with the libraries that they would use: what they read of framed messages, taken from a
//! JetStream stream, are the records of the input. On registries on which no contentId is a globalId.

use serde_json::{Value, json};

use crate::harness::{
    JetStream, NatsServer, Reader, Registry, Stored, Target, Version, alike, framed, java_reads,
    record, schema_as, state,
};

const VERSIONS: [Version; 2] = [Version::V3_3, Version::V3_0];

/// A field of each kind.
const EVERYTHING: &str = r#"{"type":"object","required":["id","ratio","kind","tags","lines"],"properties":{
    "id":{"type":"integer"},
    "name":{"type":["null","string"]},
    "active":{"type":["boolean","null"]},
    "ratio":{"type":"number"},
    "seen_at":{"type":["string","null"],"format":"date-time"},
    "born":{"type":["string","null"],"format":"date"},
    "at":{"type":["string","null"],"format":"time"},
    "unit-price":{"type":["number","null"],"multipleOf":0.01},
    "balance":{"type":["string","null"],"format":"singer.decimal","precision":60,"scale":4},
    "kind":{"enum":["small","large"]},
    "mixed":{"type":["string","integer","null"]},
    "anything":{},
    "address":{"type":["object","null"],"required":["city"],"properties":{
        "city":{"type":"string"},
        "place":{"type":["null","object"],"required":["north"],"properties":{"north":{"type":"number"}}}}},
    "tags":{"type":"array","items":{"type":["string","null"]}},
    "lines":{"type":"array","items":{"type":"object","properties":{"sku":{"type":"string"},"count":{"type":"integer"}}}},
    "matrix":{"type":["null","array"],"items":{"type":"array","items":{"type":"integer"}}},
    "limits":{"type":["null","object"],"additionalProperties":{"type":["integer","null"]}},
    "times":{"type":["null","object"],"additionalProperties":{"type":"string","format":"date-time"}},
    "nothing":{"type":"null"}}}"#;

/// A column that is added.
const EXTRA: &str = r#""extra":{"type":["array","null"],"items":{"type":"boolean"}},"id":"#;

/// A record as the tap has it, and what of it is shown otherwise: by Java, which shows logical types raw, and by
/// Python's libraries.
struct Case {
    record: &'static str,
    java: Value,
    python: Value,
}

fn cases() -> Vec<Case> {
    let anything = r#"{"a": [1.50, "x", null]}"#;
    let lines = json!([{"sku": "x", "count": 1}, {"sku": null, "count": -65}]);
    vec![
        Case {
            record: r#"{"id":9223372036854775807,"name":"Zoë \ud83d\ude00 \"q\"\n","active":true,"ratio":-0.1,
                "seen_at":"2024-02-29T23:59:59.123456+02:00","born":"1969-12-31","at":"25:00:00","unit-price":-1.28,
                "balance":"12345678901234567890123456789012345678901234567890.1234","kind":"large","mixed":5,
                "anything":{"a": [1.50, "x", null]},"address":{"city":"Köln","place":{"north":50.9375}},
                "tags":["a",null,""],"lines":[{"count":1,"sku":"x"},{"count":-65}],"matrix":[[],[1,2],[3]],
                "limits":{"low":-1,"high":null,"ü":64},"times":{"x":"1970-01-01 00:00:00.000001"},"nothing":null}"#,
            java: json!({
                "seen_at": 1_709_243_999_123_456_i64, "born": -1, "unit_price": {"bytes": "80"},
                "balance": {"bytes": "0149f8901b4fa680c05d4ade260396024d12d87e96aff2"},
                "mixed": "5", "anything": anything, "lines": lines, "times": {"x": 1},
            }),
            python: json!({
                "seen_at": {"time": "2024-02-29T21:59:59.123456+00:00"}, "born": {"time": "1969-12-31"},
                "unit_price": {"decimal": "-1.28"},
                "balance": {"decimal": "12345678901234567890123456789012345678901234567890.1234"},
                "mixed": "5", "anything": anything, "lines": lines,
                "times": {"x": {"time": "1970-01-01T00:00:00.000001+00:00"}},
            }),
        },
        Case {
            record: r#"{"id":-9223372036854775808,"ratio":1e300,"kind":"small","tags":[],"lines":[],"mixed":"5",
                "address":{"city":"","place":null},"limits":{},"matrix":[],"anything":"text","unit-price":128e-2}"#,
            java: json!({"unit_price": {"bytes": "0080"}, "anything": "\"text\""}),
            python: json!({"unit_price": {"decimal": "1.28"}, "anything": "\"text\""}),
        },
        Case {
            record: r#"{"id":0,"ratio":0,"kind":"small","tags":[null],"lines":[{}],"address":{"city":"x"}}"#,
            java: json!({"lines": [{"sku": null, "count": null}], "address": {"city": "x", "place": null}}),
            python: json!({"lines": [{"sku": null, "count": null}], "address": {"city": "x", "place": null}}),
        },
    ]
}

/// Of the columns that are shown, each that the record has, under a name that Avro takes; null if it has none.
fn expected(columns: &str, record: &str, shown: &Value) -> Value {
    let object = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    let (columns, record) = (object(columns), object(record));
    let mut expected = json!({});
    for name in columns["properties"].as_object().unwrap().keys() {
        let name_shown = name.replace('-', "_");
        let own = record.get(name).unwrap_or(&Value::Null);
        expected[&name_shown] = shown.get(&name_shown).unwrap_or(own).clone();
    }
    expected
}

/// JSON may be broken into lines here, and not in a message.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim_start).collect()
}

/// What a JetStream stream holds when this input has been published to it in some format.
#[track_caller]
fn stored(
    (server, registry): (&NatsServer, &Registry),
    group: &str,
    format: &str,
    input: String,
) -> Vec<Stored> {
    let mut jetstream = JetStream::on(server);
    if jetstream.try_info("S").is_err() {
        jetstream.stream("S", &["rows.>"], json!({}));
    }
    jetstream.purge("S");
    let outcome = Target::new()
        .server(server)
        .registry(registry, group)
        .setting("payload_format", format)
        .setting("subject", "rows.{stream}")
        .input(input)
        .run();
    outcome.succeeds().prints("1\n");
    jetstream.messages("S")
}

/// Each of these was read, and is the record that is next on its subject.
#[track_caller]
fn equal(what: &str, messages: &[Stored], read: &[Value], mut expected: Vec<(&str, Value)>) {
    assert_eq!(messages.len(), expected.len(), "{what}");
    for (message, read) in messages.iter().zip(read) {
        let is_of_subject = |(subject, _): &(&str, Value)| *subject == message.subject;
        let place = expected.iter().position(is_of_subject).unwrap();
        let (_, expected) = expected.remove(place);
        assert!(alike(read, &expected), "{what}: {read} is not {expected}");
    }
}

#[test]
fn consumers_in_java_and_python_read_the_records_of_the_input() {
    let everything = one_line(EVERYTHING);
    let wider = everything.replacen(r#""id":{"#, &format!("{EXTRA}{{"), 1);
    let narrow = r#"{"type":"object","properties":{"id":{"type":"integer"}}}"#;
    let extended = r#"{"id":1,"extra":[true,false],"ratio":1.5,"kind":"","tags":["x"],"lines":[]}"#;
    let mut input = schema_as("all", &everything) + &schema_as("few", narrow);
    for case in cases() {
        input += &(record("all", &one_line(case.record)) + &record("few", r#"{"id":5}"#));
    }
    input += &(schema_as("all", &wider) + &record("all", extended) + &state("1"));
    let expected = |shown: fn(&Case) -> &Value| {
        let mut expected = Vec::new();
        for case in cases() {
            let record = one_line(case.record);
            expected.push((
                "rows.all",
                self::expected(&everything, &record, shown(&case)),
            ));
            expected.push(("rows.few", json!({"id": 5})));
        }
        let last = self::expected(&wider, extended, &json!({}));
        expected.push(("rows.all", last));
        expected
    };
    for version in VERSIONS {
        let server = NatsServer::with_jetstream();
        let registry = Registry::shared(version);
        let group = "consumers avro";
        let messages = stored((&server, registry), group, "avro", input.clone());
        let versions = registry.versions(group, "all");
        assert_eq!(versions.len(), 2);
        assert!(versions.iter().all(|ids| ids.content_id != ids.global_id));

        let mut read = java_reads(&server, "S", registry, &[]);
        for (message, line) in messages.iter().zip(&mut read) {
            assert_eq!(line["subject"], *message.subject);
            *line = match line.get_mut("record") {
                Some(record) => record.take(),
                None => panic!("{line}"),
            };
        }
        equal("Java", &messages, &read, expected(|case| &case.java));

        let payloads: Vec<Vec<u8>> = messages.iter().map(|m| m.payload.clone()).collect();
        for reader in [
            Reader::ApicurioAvro,
            Reader::ConfluentAvro,
            Reader::Fastavro,
        ] {
            let read = reader.read(registry, &payloads);
            let what = format!("{reader:?}");
            equal(&what, &messages, &read, expected(|case| &case.python));
        }
    }
}

/// What a JSON Schema says of these records is true: Confluent's deserialiser looks.
const USERS: &str = r#"{"type":"object","properties":{"id":{"type":"integer"},"tags":{"type":["array","null"],"items":{"type":"string"}}},"required":["id"]}"#;
const USERS_KEPT: &str = r#"{"properties":{"id":{"type":"integer"},"tags":{"items":{"type":"string"},"type":["array","null"]}},"required":["id"],"type":"object"}"#;
const RECORDS: [&str; 2] = [
    r#"{ "id" : 1.0, "tags":["ü","\n"] }"#,
    r#"{"id":2,"more":1.50}"#,
];

fn users() -> String {
    let records = RECORDS.map(|text| record("users", text)).concat();
    schema_as("users", USERS) + &records + &state("1")
}

#[test]
fn framed_json_is_read_by_confluents_deserialiser() {
    for version in VERSIONS {
        let server = NatsServer::with_jetstream();
        let registry = Registry::shared(version);
        let group = "consumers framed";
        let messages = stored((&server, registry), group, "framed_json", users());
        let ids = &registry.versions(group, "users")[0];
        assert_ne!(ids.content_id, ids.global_id);
        let payloads: Vec<Vec<u8>> = messages.iter().map(|m| m.payload.clone()).collect();
        assert_eq!(
            payloads,
            RECORDS.map(|text| framed(ids.content_id, text.as_bytes()))
        );
        let read = Reader::ConfluentJson.read(registry, &payloads);
        for (read, text) in read.iter().zip(RECORDS) {
            let expected: Value = serde_json::from_str(text).unwrap();
            assert!(alike(read, &expected), "{read}");
        }
    }
}

#[test]
fn the_ids_in_the_headers_lead_to_the_schema() {
    for version in VERSIONS {
        let server = NatsServer::with_jetstream();
        let registry = Registry::shared(version);
        for format in ["json", "framed_json", "avro"] {
            let group = format!("consumers headers {format}");
            let input = users().replace(r#","more":1.50"#, "");
            let messages = stored((&server, registry), &group, format, input);
            assert_eq!(messages.len(), RECORDS.len());
            for message in &messages {
                let id = |name: &str| message.header(name).unwrap().parse::<i64>().unwrap();
                let content_id = id("apicurio.value.contentId");
                let global_id = id("apicurio.value.globalId");
                assert_ne!(content_id, global_id);
                let by_content = registry.content(content_id);
                let path = format!("/ids/globalIds/{global_id}");
                let by_global = registry.call("GET", &path, b"", &[]);
                assert_eq!(
                    (by_global.status, by_global.text()),
                    (200, by_content.clone())
                );
                match format {
                    "avro" => assert!(by_content.starts_with(r#"{"type":"record""#)),
                    _ => assert_eq!(by_content, USERS_KEPT),
                }
                match format {
                    "json" => assert!(message.payload.starts_with(b"{")),
                    _ => assert!(message.payload.starts_with(&framed(content_id, b""))),
                }
            }
            // The plain text with that id before it is what a consumer of framed texts reads.
            if format == "json" {
                let header = messages[0].header("apicurio.value.contentId");
                let id = header.unwrap().parse().unwrap();
                let text = framed(id, &messages[0].payload);
                let read = &Reader::ConfluentJson.read(registry, &[text])[0];
                assert!(
                    alike(read, &json!({"id": 1, "tags": ["ü", "\n"]})),
                    "{read}"
                );
            }
        }
    }
}
