//! Writes the bench's input to standard output: `make_input one|state|hundred RECORDS`.
//!
//! The same arguments give the same bytes on every machine. The lines have the shape and spacing that
//! taps print (about 310 bytes each, with escapes, decimals, nulls, a list and an object), because the
//! parser's speed depends on it. `one` has one stream, `state` adds a STATE after every record,
//! `hundred` deals the records to 100 streams in turn.

use std::io::{self, BufWriter, Write};

/// As taps print them: everything outside ASCII as an escape.
const NAMES: [&str; 6] = [
    "Ada Lovelace",
    "Ren\\u00e9e Dupont",
    "J\\u00fcrgen M\\u00fcller",
    "Grace \\\"Amazing\\\" Hopper",
    "Edsger Dijkstra",
    "Barbara Liskov",
];
const CITIES: [&str; 4] = ["Lisbon", "S\\u00e3o Paulo", "Vienna", "Oslo"];
const TAGS: [&str; 4] = ["new", "vip", "trade", "lead"];

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(variant), Some(Ok(records))) = (
        arguments.next(),
        arguments.next().map(|count| count.parse::<u64>()),
    ) else {
        return Err(io::Error::other("make_input one|state|hundred RECORDS"));
    };
    let streams = match variant.as_str() {
        "one" | "state" => vec!["users".to_owned()],
        "hundred" => (0..100).map(|n| format!("users_{n:02}")).collect(),
        _ => return Err(io::Error::other("no such variant")),
    };
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    for stream in &streams {
        writeln!(
            out,
            r#"{{"type": "SCHEMA", "stream": "{stream}", "schema": {{"type": "object", "properties": {{"id": {{"type": "integer"}}, "name": {{"type": "string"}}, "email": {{"type": ["null", "string"]}}, "created_at": {{"type": "string", "format": "date-time"}}, "score": {{"type": "number"}}, "active": {{"type": "boolean"}}, "tags": {{"type": "array", "items": {{"type": "string"}}}}, "address": {{"type": "object", "properties": {{"city": {{"type": "string"}}, "zip": {{"type": "string"}}}}}}}}}}, "key_properties": ["id"]}}"#
        )?;
    }
    let mut random = Random(0x5eed);
    for (id, stream) in (0..records).zip(streams.iter().cycle()) {
        write_record(&mut out, &mut random, id, stream)?;
        if variant == "state" {
            write_state(&mut out, id)?;
        }
    }
    if variant != "state" && records > 0 {
        write_state(&mut out, records - 1)?;
    }
    out.flush()
}

fn write_record(
    out: &mut impl Write,
    random: &mut Random,
    id: u64,
    stream: &str,
) -> io::Result<()> {
    let name = random.pick(&NAMES);
    let city = random.pick(&CITIES);
    let (first_tag, second_tag) = (random.pick(&TAGS), random.pick(&TAGS));
    let (cents, zip, second) = (
        random.below(100_000),
        random.below(100_000),
        random.below(60),
    );
    let active = random.below(2) == 0;
    write!(
        out,
        r#"{{"type": "RECORD", "stream": "{stream}", "record": {{"id": {id}, "name": "{name}", "email": "#
    )?;
    if random.below(10) == 0 {
        write!(out, "null")?;
    } else {
        write!(out, r#""u{id}@example.com""#)?;
    }
    writeln!(
        out,
        r#", "created_at": "2026-01-01T00:00:{second:02}Z", "score": {}.{:02}, "active": {active}, "tags": ["{first_tag}", "{second_tag}"], "address": {{"city": "{city}", "zip": "{zip:05}"}}}}, "time_extracted": "2026-01-02T03:04:05Z"}}"#,
        cents / 100,
        cents % 100
    )
}

fn write_state(out: &mut impl Write, id: u64) -> io::Result<()> {
    writeln!(
        out,
        r#"{{"type": "STATE", "value": {{"bookmarks": {{"users": {{"id": {id}}}}}}}}}"#
    )
}

/// A 64-bit linear congruential generator (Knuth's constants): enough for filler text.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        let index = self.below(from.len() as u64);
        from[usize::try_from(index).expect("it is below the length of a slice")]
    }
}
