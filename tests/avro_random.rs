//! Random schemas and records from a seed, through the program: what others read of the Avro that it makes is what
//! the records were. The records that do not fit are left out, and no other.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::avro::avro;
use crate::harness::{
    AvroAnswer, AvroCases, JetStream, NatsServer, Registry, Subscriber, Target, Version, alike,
    fastavro_cases, hex, java_reads, seeds,
};

/// Bytes before each payload.
const FRAME: usize = 5;

fn target(registry: &Registry, group: &str, input: &[u8]) -> Target {
    avro(Target::new().registry(registry, group))
        .setting("on_invalid_record", "skip")
        .setting("subject_invalid", "encode")
        .input(input)
}

/// The text of the schema that a message's frame names.
#[track_caller]
fn schema_of(registry: &Registry, message: &[u8]) -> String {
    let [0, a, b, c, d] = message[..FRAME] else {
        panic!("this message has no frame: {}", hex(message));
    };
    registry.content(u32::from_be_bytes([a, b, c, d]).into())
}

/// The stream that a schema was made for, as the tap names it.
fn stream_of(schema: &str) -> String {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let name = schema.get("singer.name").unwrap_or(&schema["name"]);
    name.as_str().unwrap().to_owned()
}

#[test]
fn ten_thousand_random_records_are_what_fastavro_reads_of_them() {
    let registry = Registry::shared(Version::V3_3);
    for mut random in seeds("random records as Avro") {
        let seed = random.next();
        let cases = AvroCases::new(seed, 200, 50);
        let input = cases.input();
        let server = NatsServer::start();
        let mut subscriber = Subscriber::on(&server);
        let group = format!("avro random {seed}");
        let outcome = target(registry, &group, &input).server(&server).run();
        outcome.succeeds();
        let mut subjects: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for message in subscriber.messages() {
            let messages = subjects.entry(message.subject).or_default();
            messages.push(message.payload);
        }

        let mut answers = Vec::new();
        let mut expected = String::new();
        for (subject, messages) in &subjects {
            let schema = schema_of(registry, &messages[0]);
            let is_framed = |message: &Vec<u8>| message[..FRAME] == messages[0][..FRAME];
            assert!(messages.iter().all(is_framed), "{subject}");
            let payloads = messages.iter().map(|message| message[FRAME..].to_vec());
            for message in messages {
                expected += &format!("{subject}\t{{}}\t0000000000{}\n", hex(&message[FRAME..]));
            }
            answers.push(AvroAnswer {
                stream: stream_of(&schema),
                schema,
                payloads: payloads.collect(),
            });
        }
        assert_eq!(answers.len(), 200);
        let checked = cases.check(&answers);
        assert!((8000..10_000).contains(&checked), "{checked}");

        // A dry run prints the same bytes, and no id.
        let outcome = target(registry, &group, &input).args(["--dry-run"]).run();
        outcome.succeeds();
        let mut lines: Vec<&str> = outcome.stdout_text().lines().collect();
        lines.sort_by_key(|line| line.split('\t').next());
        let is_same = lines.iter().copied().eq(expected.lines());
        outcome.check(is_same, "the dry run prints what was published");
    }
}

#[test]
fn java_reads_random_records_as_fastavro_does() {
    for mut random in seeds("random records for Java") {
        let cases = AvroCases::new(random.next(), 20, 50);
        let server = NatsServer::with_jetstream();
        let mut jetstream = JetStream::on(&server);
        jetstream.stream("S", &["x.>"], json!({}));
        let registry = Registry::shared(Version::V3_0);
        let outcome = target(registry, "avro random", &cases.input())
            .server(&server)
            .setting("subject", "x.{stream}")
            .run();
        outcome.succeeds();
        let mut schemas: BTreeMap<Vec<u8>, Value> = BTreeMap::new();
        let mut payloads = Vec::new();
        for message in jetstream.messages("S") {
            let (frame, payload) = message.payload.split_at(FRAME);
            let schema = schemas.entry(frame.to_vec()).or_insert_with(|| {
                serde_json::from_str(&schema_of(registry, &message.payload)).unwrap()
            });
            payloads.push((schema.clone(), payload.to_vec()));
        }
        assert!(payloads.len() > 500, "{}", payloads.len());
        let by_fastavro = fastavro_cases(&payloads);
        let by_java = java_reads(&server, "S", registry, &[]);
        for ((java, fastavro), (schema, _)) in by_java.iter().zip(&by_fastavro).zip(&payloads) {
            assert_eq!(fastavro["again"], true, "{schema}: {fastavro}");
            assert!(
                alike(&java["record"], &fastavro["record"]),
                "{schema}: {java} is not {fastavro}"
            );
        }
    }
}
