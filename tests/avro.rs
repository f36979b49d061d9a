//! `payload_format: avro` through the program, on real servers and registries: what is registered, which payloads
//! there are, and which changes a schema may undergo. What does not fit is in `avro_misfits.rs`, who reads it in
//! `avro_consumers.rs`.

use serde_json::json;

use crate::harness::{
    Answer, Gate, JetStream, Message, NatsServer, Outcome, Reader, Registry, ScriptedHttp,
    Subscriber, Target, Version, alike, framed, publish_with, record, schema_as, state,
};

const VERSIONS: [Version; 3] = [Version::V3_3, Version::V3_0, Version::V2_6];

/// As the tap says it, and as it is registered.
pub const TOLD: &str = r#"{"type":"object","properties":{"id":{"type":"integer"},"name":{"type":["string","null"]},"seen_at":{"type":["string","null"],"format":"date-time"},"price":{"type":["number","null"],"multipleOf":0.01}},"required":["id"]}"#;
const KEPT: &str = r#"{"type":"record","name":"users","fields":[{"name":"id","type":"long"},{"name":"name","type":["null","string"],"default":null},{"name":"seen_at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},{"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":38,"scale":2}],"default":null}]}"#;

/// A record, and what it becomes.
pub const ADA: &str =
    r#"{"id":7, "name":"Ada", "price":1.20, "seen_at":"2024-01-01T01:00:00+01:00"}"#;
pub const ADA_AVRO: &[u8] = b"\x0e\x02\x06Ada\x02\x80\x80\x89\x82\xe2\xf5\x86\x06\x02\x02\x78";

pub fn avro(target: Target) -> Target {
    target.setting("payload_format", "avro")
}

/// Publishes Avro to a server of its own: the outcome, and everything that arrived.
#[track_caller]
pub fn run(
    registry: &Registry,
    group: &str,
    settings: impl FnOnce(Target) -> Target,
    input: impl Into<Vec<u8>>,
) -> (Outcome, Vec<Message>) {
    publish_with(
        |target| settings(avro(target.registry(registry, group))),
        input,
    )
}

/// A schema whose fields are all nullable.
fn schema_of(properties: &str) -> String {
    format!(r#"{{"type":"object","properties":{{{properties}}}}}"#)
}

#[test]
fn a_schema_is_registered_as_avro_and_its_records_are_framed_with_its_content_id() {
    let input = schema_as("users", TOLD) + &record("users", ADA) + &state("1");
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let group = "avro first";
        // Confluent's API finds what the registry's own has registered.
        for url in [None, Some(registry.ccompat_url(7)), Some(registry.v2_url())] {
            let at = |target: Target| match &url {
                Some(url) => target.registry_at(url, group),
                None => target,
            };
            let (outcome, messages) = run(registry, group, at, input.clone());
            outcome.succeeds().prints("1\n");
            let versions = registry.versions(group, "users");
            assert_eq!(versions.len(), 1, "{version:?} at {url:?}: {versions:?}");
            let ids = &versions[0];
            assert_ne!(ids.content_id, ids.global_id);
            assert_eq!(ids.artifact_type, "AVRO");
            assert_eq!(registry.content(ids.content_id), KEPT);
            assert_eq!(messages.len(), 1);
            assert_eq!(messages[0].payload, framed(ids.content_id, ADA_AVRO));
            let header = messages[0].header("apicurio.value.contentId");
            assert_eq!(header, Some(&*ids.content_id.to_string()));
        }
    }
}

/// The keys of the schema may come in any order and the types with null first or last; what Avro has no use for does
/// not count. Only the order of the columns does.
#[test]
fn the_same_schema_is_the_same_version_however_it_is_told() {
    let told = [
        TOLD,
        concat!(
            r#"{ "required": ["id"], "properties": { "id": {"type": ["integer"]},"#,
            r#" "name": {"type": ["null", "string"], "maxLength": 9},"#,
            r#" "seen_at": {"format": "date-time", "type": ["null", "string"]},"#,
            r#" "price": {"multipleOf": 1e-2, "description": "in \u20ac", "type": ["null", "number"]} },"#,
            r#" "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object" }"#
        ),
        TOLD,
    ];
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let group = "avro same";
        for told in told {
            let input = schema_as("users", told) + &record("users", ADA);
            let (outcome, messages) = run(registry, group, |target| target, input);
            outcome.succeeds();
            let versions = registry.versions(group, "users");
            assert_eq!(versions.len(), 1, "{versions:?}");
            let payload = framed(versions[0].content_id, ADA_AVRO);
            assert_eq!(messages[0].payload, payload);
        }
        let group = "avro turned";
        if version != Version::V2_6 {
            registry.create_group(group);
            registry.set_group_rule(group, "COMPATIBILITY", "FULL_TRANSITIVE");
        }
        for (told, count) in [(r#""a":{},"b":{}"#, 1), (r#""b":{},"a":{}"#, 2)] {
            let input = schema_as("s", &schema_of(told));
            run(registry, group, |target| target, input.repeat(2))
                .0
                .succeeds();
            assert_eq!(registry.versions(group, "s").len(), count);
        }
    }
}

#[test]
fn a_nullable_column_may_come_and_go_at_every_level() {
    let narrow = schema_of(r#""id":{"type":"integer"}"#);
    let wide = schema_of(r#""id":{"type":"integer"},"name":{"type":["string","null"]}"#);
    let mut input = String::new();
    for (told, told_record) in [
        (&narrow, r#"{"id":1}"#),
        (&wide, r#"{"id":2,"name":"x"}"#),
        (&narrow, r#"{"id":3}"#),
    ] {
        input += &(schema_as("users", told) + &record("users", told_record));
    }
    input += &state("1");
    for version in [Version::V3_3, Version::V3_0] {
        let registry = Registry::shared(version);
        for level in ["BACKWARD", "FORWARD", "FULL", "FULL_TRANSITIVE"] {
            let group = format!("avro column {level}");
            registry.create_group(&group);
            registry.set_group_rule(&group, "COMPATIBILITY", level);
            let (outcome, messages) = run(registry, &group, |target| target, input.clone());
            outcome.succeeds().prints("1\n");
            let versions = registry.versions(&group, "users");
            assert_eq!(versions.len(), 2, "under {level}");
            let payloads: Vec<Vec<u8>> = messages.into_iter().map(|m| m.payload).collect();
            let (first, second) = (versions[0].content_id, versions[1].content_id);
            assert_eq!(
                payloads,
                [
                    framed(first, b"\x02\x02"),
                    framed(second, b"\x02\x04\x02\x02x"),
                    framed(first, b"\x02\x06")
                ]
            );
        }
    }
}

/// A registry that finds a version by a form of it from which something is missing would have readers take the
/// records for others.
#[test]
fn schemas_that_readers_must_tell_apart_are_versions_of_their_own() {
    let fields = [
        r#""a":{"type":"number","multipleOf":0.01}"#,
        r#""a":{"type":"number","multipleOf":0.001}"#,
        r#""a":{"type":"number","multipleOf":0.01,"minimum":0,"maximum":9}"#,
        r#""a":{"type":"number"}"#,
        r#""a":{"type":"integer"}"#,
        r#""a":{"type":"string","format":"date-time"}"#,
        r#""a":{"type":"string","format":"date"}"#,
        r#""a":{"type":"string"}"#,
        r#""a":{"type":["string","object"]}"#,
        r#""a-b":{"type":"integer"}"#,
        r#""a b":{"type":"integer"}"#,
        r#""a":{"type":"array","items":{"type":"integer"}}"#,
        r#""a":{"type":"array","items":{"type":["integer","null"]}}"#,
        r#""a":{"type":"object","additionalProperties":{"type":"integer"}}"#,
        r#""a":{"type":"object","properties":{"b":{"type":"integer"}}}"#,
    ];
    let told = fields.map(|field| schema_as("users", &schema_of(field)));
    for version in VERSIONS {
        let registry = Registry::shared(version);
        for url in [registry.ccompat_url(7), registry.v2_url(), registry.url()] {
            if version == Version::V2_6 && url == registry.url() {
                continue;
            }
            let group = format!("avro apart {}", url.rsplit('/').next().unwrap());
            let at = |target: Target| target.registry_at(&url, &group);
            run(registry, &group, at, told.concat()).0.succeeds();
            let versions = registry.versions(&group, "users");
            let mut ids: Vec<i64> = versions.iter().map(|v| v.content_id).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), fields.len(), "{version:?} at {url}");
        }
    }
}

#[test]
fn a_bucket_holds_avro_under_keys_from_the_records() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    let registry = Registry::shared(Version::V3_3);
    let told = r#"{"type":"SCHEMA","stream":"users","key_properties":["id"],"schema":"#;
    let input = format!("{told}{TOLD}}}\n")
        + &record("users", ADA)
        + &record("users", r#"{"id":8,"name":"x"}"#)
        + &record("users", r#"{"id":8,"_sdc_deleted_at":"2024-01-01"}"#)
        + &record("users", r#"{"id":"9"}"#)
        + &state("1");
    let outcome = avro(Target::new().server(&server).registry(registry, "avro kv"))
        .setting("delivery", "kv")
        .setting("kv_bucket", "B")
        .setting("kv_create", json!({}))
        .setting("kv_deletes", true)
        .setting("on_invalid_record", "skip")
        .input(input)
        .run();
    outcome
        .succeeds()
        .prints("1\n")
        .logs_once(&["line 5", "field id"]);
    let id = registry.versions("avro kv", "users")[0].content_id;
    let entries = jetstream.kv_entries("B");
    assert_eq!(
        entries.keys().collect::<Vec<_>>(),
        ["users.7", "users.8"],
        "{entries:?}"
    );
    assert_eq!(entries["users.7"].payload, framed(id, ADA_AVRO));
    assert_eq!(entries["users.8"].payload, b"");
    assert_eq!(entries["users.8"].header("KV-Operation"), Some("DEL"));
}

#[test]
fn records_that_wait_for_their_schema_are_avro_too_and_in_order() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let gate = Gate::new();
    let opened = gate.clone();
    let registry = ScriptedHttp::judging(move |_| Answer::registered(7, 5).behind(&opened));
    let target = Target::new()
        .server(&server)
        .registry_at(&registry.url(), "default");
    let mut run = avro(target).setting("on_invalid_record", "skip").spawn();
    let mut input = schema_as("users", TOLD);
    for id in 0..1000 {
        input += &record("users", &format!(r#"{{"id":{id},"name":"{id}"}}"#));
    }
    run.send(
        input + &record("users", r#"{"id":"hidden-word"}"#) + &record("users", ADA) + &state("1"),
    );
    registry.wait_for(1);
    run.end_input();
    assert_eq!(subscriber.messages(), []);
    gate.open();
    let outcome = run.wait();
    outcome
        .succeeds()
        .prints("1\n")
        .logs_once(&["line 1002", "stream users", "field id"])
        .does_not_log("hidden-word");
    let request = registry.requests()[0].json();
    assert_eq!(request["artifactType"], "AVRO");
    assert_eq!(request["firstVersion"]["content"]["content"], KEPT);
    let messages = subscriber.messages();
    assert_eq!(messages.len(), 1001);
    for (id, message) in messages[..1000].iter().enumerate() {
        let name = id.to_string();
        let length = u8::try_from(name.len() * 2).unwrap();
        let end = [&[2, length], name.as_bytes(), &[0, 0]].concat();
        assert_eq!(message.payload[..5], [0, 0, 0, 0, 5]);
        assert!(message.payload.ends_with(&end), "{message:?}");
    }
    assert_eq!(messages[1000].payload, framed(5, ADA_AVRO));
}

#[test]
fn names_that_are_none_in_avro_are_kept_beside_those_that_are() {
    let told = r#"{"type":"object","properties":{"unit-price":{"type":"integer"},"unit_price":{"type":"integer"},"größe":{"type":"string"}}}"#;
    let input = schema_as("public-größen", told)
        + &record(
            "public-größen",
            r#"{"größe":"XL","unit_price":1,"unit-price":2}"#,
        );
    for version in [Version::V3_3, Version::V3_0] {
        let registry = Registry::shared(version);
        let (outcome, messages) = run(registry, "avro names", |target| target, input.clone());
        outcome.succeeds();
        let ids = registry.versions("avro names", "=u=public-gr=C3=B6=C3=9Fen");
        assert_eq!(
            registry.content(ids[0].content_id),
            r#"{"type":"record","name":"public_gr__en","singer.name":"public-größen","fields":[{"name":"unit_price_2","type":["null","long"],"default":null,"singer.name":"unit-price"},{"name":"unit_price","type":["null","long"],"default":null},{"name":"gr__e","type":["null","string"],"default":null,"singer.name":"größe"}]}"#
        );
        let read = Reader::Fastavro.read(registry, &[messages[0].payload.clone()]);
        let expected = json!({"unit_price_2": 2, "unit_price": 1, "gr__e": "XL"});
        assert!(alike(&read[0], &expected), "{}", read[0]);
    }
}

/// A line of fifty bytes becomes a payload of twenty thousand, so what is read says little of what is kept.
#[test]
fn the_memory_stays_bounded_where_records_grow() {
    const RECORDS: usize = 4000;
    const COLUMNS: usize = 20_000;
    let columns: Vec<String> = (0..COLUMNS)
        .map(|column| format!(r#""c{column}":{{"type":"integer"}}"#))
        .collect();
    let server = NatsServer::start();
    let subscriber = Subscriber::each(&server, |message| {
        assert_eq!(message.payload.len(), 5 + COLUMNS + 1);
    });
    let registry = ScriptedHttp::answering([Answer::registered(7, 5)]);
    let target = Target::new()
        .server(&server)
        .registry_at(&registry.url(), "default");
    let input = schema_as("wide", &schema_of(&columns.join(",")))
        + &record("wide", r#"{"c0":1}"#).repeat(RECORDS)
        + &state("1");
    // From a file blocks are larger than from a pipe.
    let outcome = avro(target)
        .file("input", input)
        .args(["--input", "input"])
        .run();
    outcome.succeeds().prints("1\n");
    subscriber.wait_for(RECORDS);
    let peak = outcome.peak_memory_kib;
    outcome.check(
        peak < 80 * 1024,
        &format!("it takes less than 80 MiB, not {peak} KiB"),
    );
}
