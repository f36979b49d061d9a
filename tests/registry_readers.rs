//! What others make of the messages: the libraries of Apicurio and Confluent, in Python and Java, read the payloads of a
//! stream back to the records of the input. By real registries, in which no contentId equals its globalId.

use serde_json::{Value, json};

use crate::harness::{
    JetStream, NatsServer, Reader, Registry, Stored, Target, Version, alike, framed, java_reads,
    record, schema_as, state,
};

const VERSIONS: [Version; 2] = [Version::V3_3, Version::V3_0];

/// A field of each kind.
const SCHEMA: &str = r#"{"type":"object","required":["id"],"properties":{
    "id":{"type":"integer"},
    "name":{"type":["string","null"]},
    "price":{"type":["number","null"]},
    "amount":{"type":["number","null"],"multipleOf":0.01},
    "active":{"type":["boolean","null"]},
    "seen_at":{"type":["string","null"],"format":"date-time"},
    "day":{"type":["string","null"],"format":"date"},
    "tags":{"type":["array","null"],"items":{"type":"string"}},
    "address":{"type":["object","null"],"properties":{"street":{"type":"string"},"no":{"type":["integer","null"]}}},
    "counts":{"type":["object","null"],"additionalProperties":{"type":"integer"}},
    "any":{},
    "mixed":{"type":["string","integer","null"]},
    "a-b":{"type":["string","null"]}
}}"#;

const FULL: &str = r#"{"id":1,"name":"Ada é \"\\\n","price":1.5,"amount":-12.30,"active":true,"seen_at":"2024-01-01T00:00:00.000001+01:00","day":"2024-02-29","tags":["x",""],"address":{"no":-1,"street":"s"},"counts":{"k":7},"any":[1, "x"],"mixed":5,"a-b":"c"}"#;
const BARE: &str = r#"{"id": -9007199254740993}"#;

/// The two records as a reader shows them, with its forms of the time, the day and the amount.
fn shown(seen_at: &Value, day: &Value, amount: &Value) -> [Value; 2] {
    [
        json!({
            "id": 1, "name": "Ada é \"\\\n", "price": 1.5, "amount": amount, "active": true, "seen_at": seen_at,
            "day": day, "tags": ["x", ""], "address": {"street": "s", "no": -1}, "counts": {"k": 7},
            "any": "[1, \"x\"]", "mixed": "5", "a_b": "c",
        }),
        json!({
            "id": -9_007_199_254_740_993_i64, "name": null, "price": null, "amount": null, "active": null,
            "seen_at": null, "day": null, "tags": null, "address": null, "counts": null, "any": null,
            "mixed": null, "a_b": null,
        }),
    ]
}

/// Publishes both records into the stream `S` and gives what is stored there.
#[track_caller]
fn publish(
    (server, jetstream): (&NatsServer, &mut JetStream),
    registry: &Registry,
    (group, format): (&str, &str),
    schema: &str,
) -> Vec<Stored> {
    jetstream.purge("S");
    let input = schema_as("users", &schema.replace('\n', ""))
        + &record("users", FULL)
        + &record("users", BARE)
        + &state("2");
    Target::new()
        .server(server)
        .registry(registry, group)
        .setting("queue_prefix", "s.")
        .setting("payload_format", format)
        .input(input)
        .run()
        .succeeds()
        .prints("2\n");
    jetstream.messages("S")
}

#[test]
fn python_and_java_read_avro_back_to_the_records() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("S", &["s.*"], json!({}));
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let group = ("readers avro", "avro");
        let stored = publish((&server, &mut jetstream), registry, group, SCHEMA);
        let ids = registry.versions("readers avro", "users").remove(0);
        assert_eq!(ids.artifact_type, "AVRO");
        assert_ne!(ids.content_id, ids.global_id);
        for message in &stored {
            assert!(message.payload.starts_with(&framed(ids.content_id, b"")));
            let header = message.header("apicurio.value.contentId");
            assert_eq!(header, Some(&*ids.content_id.to_string()));
        }

        let payloads: Vec<Vec<u8>> = stored.into_iter().map(|message| message.payload).collect();
        let time = json!({"time": "2023-12-31T23:00:00.000001+00:00"});
        let expected = shown(
            &time,
            &json!({"time": "2024-02-29"}),
            &json!({"decimal": "-12.30"}),
        );
        for reader in [
            Reader::ApicurioAvro,
            Reader::ConfluentAvro,
            Reader::Fastavro,
        ] {
            let read = reader.read(registry, &payloads);
            for (read, expected) in read.iter().zip(&expected) {
                assert!(alike(read, expected), "{reader:?}: {read}\nnot {expected}");
            }
        }

        // -1230, in two bytes.
        let amount = json!({"bytes": "fb32"});
        let expected = shown(&json!(1_704_063_600_000_001_i64), &json!(19_782), &amount);
        let read = java_reads(&server, "S", registry, &[]);
        for (read, expected) in read.iter().zip(&expected) {
            let expected = json!({"subject": "s.users", "record": expected});
            assert!(alike(read, &expected), "Java: {read}\nnot {expected}");
        }
    }
}

#[test]
fn confluents_reader_reads_framed_json_back_to_the_records() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("S", &["s.*"], json!({}));
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let group = ("readers json", "framed_json");
        // It checks multipleOf in binary arithmetic, by which -12.30 is no multiple of 0.01.
        let schema = SCHEMA.replace(r#","multipleOf":0.01"#, "");
        let stored = publish((&server, &mut jetstream), registry, group, &schema);
        let ids = registry.versions("readers json", "users").remove(0);
        assert_eq!(ids.artifact_type, "JSON");
        let payloads: Vec<Vec<u8>> = stored.into_iter().map(|message| message.payload).collect();
        // The tap's own bytes behind the frame.
        let expected = [FULL, BARE].map(|text| framed(ids.content_id, text.as_bytes()));
        assert_eq!(payloads, expected);
        let read = Reader::ConfluentJson.read(registry, &payloads);
        for (read, record) in read.iter().zip([FULL, BARE]) {
            let record: Value = serde_json::from_str(record).unwrap();
            assert!(alike(read, &record), "{read}\nnot {record}");
        }
    }
}
