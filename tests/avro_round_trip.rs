//! Avro of random schemas and records, read back by fastavro: ten thousand records, each of which must come back as it
//! was made, and whose bytes must be those that fastavro writes.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value, json};

use crate::harness::{
    Answer, NatsServer, Random, ScriptedHttp, Subscriber, Target, alike, fastavro_cases, heavy,
    record, schema_as, seeds,
};

const STREAMS: usize = 250;
const RECORDS: usize = 40;

/// What a value is.
enum Kind {
    Integer,
    Number,
    Boolean,
    String,
    Time,
    Day,
    /// A number of so many digits behind the point.
    Decimal(u32),
    /// Anything, as JSON text.
    Any,
    Array(Box<Kind>),
    Map(Box<Kind>),
    Object(Vec<Field>),
}

struct Field {
    name: String,
    kind: Kind,
    nullable: bool,
    required: bool,
}

/// The JSON that a tap might write, and what fastavro is to read, logical types raw.
struct Sample {
    text: String,
    read: Value,
}

fn sample(text: impl Into<String>, read: impl Into<Value>) -> Sample {
    Sample {
        text: text.into(),
        read: read.into(),
    }
}

fn kind(random: &mut Random, depth: usize) -> Kind {
    let choices = if depth == 0 { 8 } else { 11 };
    match random.within(0..choices) {
        0 => Kind::Integer,
        1 => Kind::Number,
        2 => Kind::Boolean,
        3 => Kind::String,
        4 => Kind::Time,
        5 => Kind::Day,
        6 => Kind::Decimal(u32::try_from(random.within(1..7)).unwrap()),
        7 => Kind::Any,
        8 => Kind::Array(Box::new(kind(random, depth - 1))),
        9 => Kind::Map(Box::new(kind(random, depth - 1))),
        _ => Kind::Object(fields(random, depth - 1)),
    }
}

fn fields(random: &mut Random, depth: usize) -> Vec<Field> {
    (0..random.within(1..7))
        .map(|number| Field {
            name: format!(
                "{}{number}",
                random.pick(&["id", "Name", "_x", "a_very_long_name"])
            ),
            kind: kind(random, depth),
            nullable: random.once_in(2),
            required: random.once_in(3),
        })
        .collect()
}

/// The Singer schema, with null in the place where taps have it.
fn schema_of(random: &mut Random, kind: &Kind, nullable: bool) -> Value {
    let (name, mut schema) = match kind {
        Kind::Integer => ("integer", json!({})),
        Kind::Number => ("number", json!({})),
        Kind::Boolean => ("boolean", json!({})),
        Kind::String => ("string", json!({})),
        Kind::Time => ("string", json!({"format": "date-time"})),
        Kind::Day => ("string", json!({"format": "date"})),
        Kind::Decimal(scale) => {
            let unit = format!("0.{}1", "0".repeat(*scale as usize - 1));
            let unit: Value = serde_json::from_str(&unit).unwrap();
            ("number", json!({"multipleOf": unit}))
        }
        Kind::Any => return json!({}),
        Kind::Array(items) => ("array", json!({"items": schema_of(random, items, false)})),
        Kind::Map(values) => {
            let values = schema_of(random, values, false);
            ("object", json!({"additionalProperties": values}))
        }
        Kind::Object(fields) => ("object", object_schema(random, fields)),
    };
    schema["type"] = match (nullable, random.within(0..3)) {
        (false, 0) => json!([name]),
        (false, _) => json!(name),
        (true, 0) => json!(["null", name]),
        (true, _) => json!([name, "null"]),
    };
    schema
}

fn object_schema(random: &mut Random, fields: &[Field]) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let schema = schema_of(random, &field.kind, field.nullable);
        properties.insert(field.name.clone(), schema);
    }
    let required: Vec<&str> = fields
        .iter()
        .filter(|field| field.required)
        .map(|field| field.name.as_str())
        .collect();
    json!({"properties": properties, "required": required})
}

fn sample_of(random: &mut Random, kind: &Kind) -> Sample {
    match kind {
        Kind::Integer => {
            let number = random.next().cast_signed() >> random.within(0..64);
            sample(number.to_string(), number)
        }
        Kind::Number => {
            let number = loop {
                let number = f64::from_bits(random.next());
                if number.is_finite() {
                    break number;
                }
            };
            let number = if random.once_in(2) {
                number
            } else {
                (number % 1e6).round() / 8.0
            };
            sample(format!("{number:?}"), number)
        }
        Kind::Boolean => {
            let value = random.once_in(2);
            sample(value.to_string(), value)
        }
        Kind::String => {
            let text = text(random);
            sample(json!(text).to_string(), text)
        }
        Kind::Time => {
            // From the year 1 to 9999, as far as `jiff` goes.
            let micros =
                -62_135_596_800_000_000 + (random.next() % 315_537_700_000_000_000).cast_signed();
            let time = Timestamp::from_microsecond(micros).unwrap();
            sample(json!(time.to_string()).to_string(), micros)
        }
        Kind::Day => {
            let days = i32::try_from(random.within(0..2_932_896)).unwrap();
            let day = Date::constant(1970, 1, 1).checked_add(jiff::Span::new().days(days));
            sample(json!(day.unwrap().to_string()).to_string(), days)
        }
        Kind::Decimal(scale) => decimal(random, *scale),
        Kind::Any => {
            let text = *random.pick(&[
                "[1, 2]",
                "{\"a\" : null}",
                "\"x\\u00e9\"",
                "1.50",
                "true",
                "{}",
            ]);
            sample(text, text)
        }
        Kind::Array(items) => {
            let count = if random.once_in(8) {
                100
            } else {
                random.within(0..4)
            };
            let items: Vec<Sample> = (0..count).map(|_| sample_of(random, items)).collect();
            let texts: Vec<&str> = items.iter().map(|item| item.text.as_str()).collect();
            let text = format!("[{}]", texts.join(","));
            sample(
                text,
                items.into_iter().map(|item| item.read).collect::<Vec<_>>(),
            )
        }
        Kind::Map(values) => {
            let members = (0..random.within(0..4)).map(|number| {
                (
                    format!("{}{number}", text(random)),
                    sample_of(random, values),
                )
            });
            object_of(members.collect())
        }
        Kind::Object(fields) => object(random, fields),
    }
}

/// The members may come in any order, and some not at all.
fn object(random: &mut Random, fields: &[Field]) -> Sample {
    let mut members = Vec::new();
    let mut read = Map::new();
    for field in fields {
        let is_there = field.required || !random.once_in(4);
        let is_null = !is_there || (field.nullable && random.once_in(3));
        let value = if is_null {
            sample("null", Value::Null)
        } else {
            sample_of(random, &field.kind)
        };
        read.insert(field.name.clone(), value.read.clone());
        if is_there {
            members.insert(
                random.within(0..members.len() + 1),
                (field.name.clone(), value),
            );
        }
    }
    sample(object_of(members).text, read)
}

fn object_of(members: Vec<(String, Sample)>) -> Sample {
    let mut texts = Vec::new();
    let mut read = Map::new();
    for (name, value) in members {
        texts.push(format!("{}: {}", json!(name), value.text));
        read.insert(name, value.read);
    }
    sample(format!("{{{}}}", texts.join(", ")), read)
}

fn text(random: &mut Random) -> String {
    let letters = [
        "a", "Z", "é", "日", "🦀", "\"", "\\", "\n", "\u{1}", " ", "/", "\u{7f}",
    ];
    let count = if random.once_in(20) {
        200
    } else {
        random.within(0..6)
    };
    (0..count).map(|_| *random.pick(&letters)).collect()
}

/// The digits as they are, and the shortest two's complement of the number without its point.
fn decimal(random: &mut Random, scale: u32) -> Sample {
    let units = random.next().cast_signed() >> random.within(10..64);
    let one = 10_i64.pow(scale);
    let sign = if units < 0 { "-" } else { "" };
    let (whole, rest) = (units.abs() / one, units.abs() % one);
    let text = format!("{sign}{whole}.{rest:0width$}", width = scale as usize);
    let bytes = units.to_be_bytes();
    let is_spare = |at: usize| {
        let sign = if units < 0 { 0xff } else { 0 };
        bytes[at] == sign && (bytes[at + 1] ^ sign) & 0x80 == 0
    };
    let start = (0..7).take_while(|at| is_spare(*at)).count();
    let hex: String = bytes[start..]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    sample(text, json!({"bytes": hex}))
}

#[test]
fn ten_thousand_records_of_random_schemas_are_read_back_by_fastavro() {
    let _turn = heavy();
    for mut random in seeds("avro_round_trip") {
        let mut input = String::new();
        let mut expected: HashMap<String, VecDeque<Value>> = HashMap::new();
        let mut records = String::new();
        for number in 0..STREAMS {
            let stream = format!("s{number}");
            let fields = fields(&mut random, 3);
            let mut schema = object_schema(&mut random, &fields);
            schema["type"] = "object".into();
            input += &schema_as(&stream, &schema.to_string());
            for _ in 0..RECORDS {
                let Sample { text, read } = object(&mut random, &fields);
                records += &record(&stream, &text);
                expected.entry(stream.clone()).or_default().push_back(read);
            }
        }
        let registry = ScriptedHttp::judging(|request| {
            let stream = request.json()["artifactId"].as_str().unwrap().to_owned();
            let number: i64 = stream[1..].parse().unwrap();
            Answer::registered(number + 1, 1000 + number)
        });
        let server = NatsServer::start();
        let mut subscriber = Subscriber::on(&server);
        Target::new()
            .server(&server)
            .registry_at(&registry.url(), "g")
            .setting("payload_format", "avro")
            .input(input + &records)
            .run()
            .succeeds();
        let schemas: HashMap<String, Value> = registry
            .requests()
            .iter()
            .map(|request| {
                let body = request.json();
                let text = body["firstVersion"]["content"]["content"].as_str().unwrap();
                let stream = body["artifactId"].as_str().unwrap().to_owned();
                (stream, serde_json::from_str(text).unwrap())
            })
            .collect();
        let messages = subscriber.messages();
        assert_eq!(messages.len(), STREAMS * RECORDS);
        let cases: Vec<(Value, Vec<u8>)> = messages
            .iter()
            .map(|message| {
                (
                    schemas[&message.subject].clone(),
                    message.payload[5..].to_vec(),
                )
            })
            .collect();
        let read = fastavro_cases(&cases);
        for ((message, (schema, _)), read) in messages.iter().zip(&cases).zip(&read) {
            let of_stream = expected.get_mut(&message.subject).unwrap();
            let record = of_stream.pop_front().unwrap();
            assert!(
                alike(&read["record"], &record) && read["again"] == true,
                "{schema}\n{record}\nis read as\n{read}"
            );
        }
    }
}
