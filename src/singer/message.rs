//! One line of a tap to a [`Message`]. It borrows from the line and builds nothing.
//!
//! What a message means for its stream (is it declared, are its keys there) is not decided here.

use std::borrow::Cow;

use super::json::{Fault, Scanner, string_inside, unescape};
use crate::error::{Error, Kind};

/// A Singer message. The `&str` fields other than `stream` are JSON text as the tap wrote it.
#[derive(Debug, PartialEq)]
pub(crate) enum Message<'a> {
    Schema {
        stream: Cow<'a, str>,
        schema: &'a str,
        key_properties: Option<&'a str>,
    },
    Record {
        stream: Cow<'a, str>,
        record: &'a str,
        /// A fingerprint of the record's own keys, in order: see [`Shape`].
        shape: Shape,
    },
    State {
        value: &'a str,
    },
    ActivateVersion {
        stream: Cow<'a, str>,
        version: Option<&'a str>,
    },
    Batch {
        stream: Cow<'a, str>,
        encoding: &'a str,
        manifest: &'a str,
    },
}

/// A hash of a record's keys in their order. Records of one shape have the same keys, so that what was
/// found out about the keys of one need not be found out again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape(u64);

impl Shape {
    /// Mixes eight bytes at a time, as rustc's `FxHasher` does; the length keeps `a`,`b` from being `ab`.
    fn add(&mut self, key: &str) {
        const MIX: u64 = 0x517c_c1b7_2722_0a95;
        let mut hash = (self.0.rotate_left(5) ^ key.len() as u64).wrapping_mul(MIX);
        let (chunks, rest) = key.as_bytes().as_chunks::<8>();
        for chunk in chunks {
            hash = (hash.rotate_left(5) ^ u64::from_le_bytes(*chunk)).wrapping_mul(MIX);
        }
        let tail = rest
            .iter()
            .fold(0, |tail, byte| tail << 8 | u64::from(*byte));
        self.0 = (hash.rotate_left(5) ^ tail).wrapping_mul(MIX);
    }
}

/// The keys of a message that mean something to a target, as they were found.
#[derive(Default)]
struct Parts<'a> {
    kind: Option<&'a str>,
    stream: Option<&'a str>,
    record: Option<&'a str>,
    shape: Shape,
    schema: Option<&'a str>,
    key_properties: Option<&'a str>,
    value: Option<&'a str>,
    version: Option<&'a str>,
    encoding: Option<&'a str>,
    manifest: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn scan(line: &'a str) -> Result<Self, Fault> {
        let mut parts = Self::default();
        let mut scanner = Scanner::new(line);
        scanner.enter_object()?;
        let mut first = true;
        while let Some(key) = scanner.next_key(first)? {
            first = false;
            let part = match &*unescape(key) {
                "record" => {
                    let mut shape = Shape::default();
                    parts.record = Some(scanner.value_with_keys(|key| shape.add(key))?);
                    parts.shape = shape;
                    continue;
                }
                "type" => &mut parts.kind,
                "stream" => &mut parts.stream,
                "schema" => &mut parts.schema,
                "key_properties" => &mut parts.key_properties,
                "value" => &mut parts.value,
                "version" => &mut parts.version,
                "encoding" => &mut parts.encoding,
                "manifest" => &mut parts.manifest,
                _ => {
                    scanner.value()?;
                    continue;
                }
            };
            *part = Some(scanner.value()?);
        }
        scanner.end()?;
        Ok(parts)
    }

    fn stream(&self) -> Result<Cow<'a, str>, Error> {
        string_inside(required(self.stream, "stream")?)
            .map(unescape)
            .ok_or_else(|| input("a stream's name must be a string").field("stream"))
    }
}

/// Parses one line, its end already cut off.
///
/// Fails with [`Kind::Input`]; the error names the stream and the field as far as they are known, and
/// shows nothing of what the line holds.
pub(crate) fn parse_message(line: &str) -> Result<Message<'_>, Error> {
    let parts = Parts::scan(line).map_err(|fault| describe_fault(line, fault))?;
    let kind = string_inside(required(parts.kind, "type")?)
        .map(unescape)
        .ok_or_else(|| input("a message's type must be a string").field("type"))?;
    let named = |error: Error| match parts.stream.and_then(string_inside) {
        Some(stream) => error.stream(unescape(stream)),
        None => error,
    };
    let message = match &*kind {
        "RECORD" => Message::Record {
            stream: parts.stream()?,
            record: required(parts.record, "record").map_err(named)?,
            shape: parts.shape,
        },
        "SCHEMA" => Message::Schema {
            stream: parts.stream()?,
            schema: required(parts.schema, "schema").map_err(named)?,
            key_properties: parts.key_properties,
        },
        "STATE" => Message::State {
            value: required(parts.value, "value")?,
        },
        "ACTIVATE_VERSION" => Message::ActivateVersion {
            stream: parts.stream()?,
            version: parts.version,
        },
        "BATCH" => Message::Batch {
            stream: parts.stream()?,
            encoding: required(parts.encoding, "encoding").map_err(named)?,
            manifest: required(parts.manifest, "manifest").map_err(named)?,
        },
        other => {
            let shown: String = other.chars().take(40).collect();
            return Err(input(format!("unknown message type '{shown}'")).field("type"));
        }
    };
    Ok(message)
}

/// Says why a text is not a JSON object, without showing any of it.
pub(crate) fn describe_fault(text: &str, fault: Fault) -> Error {
    if text.trim_ascii().is_empty() {
        return input("a blank line: every line must hold one JSON object");
    }
    let is_object = text.trim_ascii_start().starts_with('{');
    let mut whole = Scanner::new(text);
    if !is_object && whole.value().and_then(|_| whole.end()).is_ok() {
        return input("the line is JSON but not an object");
    }
    let column = text
        .get(..fault.at)
        .map_or(fault.at, |head| head.chars().count())
        + 1;
    input("the line is not valid JSON").cause(format!("{} at column {column}", fault.what))
}

fn required<'a>(part: Option<&'a str>, key: &'static str) -> Result<&'a str, Error> {
    part.ok_or_else(|| input("the message lacks a required key").field(key))
}

fn input(what: impl Into<String>) -> Error {
    Error::new(Kind::Input, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[track_caller]
    fn check_record(line: &str, stream: &str, record: &str) {
        match parse_message(line) {
            Ok(Message::Record {
                stream: found,
                record: text,
                ..
            }) => assert_eq!((&*found, text), (stream, record)),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[track_caller]
    fn check_error(line: &str, expected: &str) {
        assert_eq!(parse_message(line).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_record_is_the_taps_own_text() {
        check_record(
            r#"{"type":"RECORD","stream":"u","record":{"a": 1.50}}"#,
            "u",
            r#"{"a": 1.50}"#,
        );
        check_record(
            r#" { "record" : {} , "stream" : "u" , "type" : "RECORD" } "#,
            "u",
            "{}",
        );
        check_record(
            r#"{"type":"RECORD","stream":"\u00e9","record":null,"x":[{}]}"#,
            "é",
            "null",
        );
        check_record(
            r#"{"\u0074ype":"RECORD","stream":"u","record":1,"record":2}"#,
            "u",
            "2",
        );
    }

    #[test]
    fn the_other_messages_keep_their_parts() {
        let state = parse_message(r#"{"type":"STATE","value":{"a":1}}"#).unwrap();
        assert_eq!(
            state,
            Message::State {
                value: r#"{"a":1}"#
            }
        );
        let schema = r#"{"type":"SCHEMA","stream":"u","schema":{},"key_properties":["id"]}"#;
        assert_eq!(
            parse_message(schema).unwrap(),
            Message::Schema {
                stream: "u".into(),
                schema: "{}",
                key_properties: Some(r#"["id"]"#)
            }
        );
        let version = r#"{"type":"ACTIVATE_VERSION","stream":"u","version":7}"#;
        assert_eq!(
            parse_message(version).unwrap(),
            Message::ActivateVersion {
                stream: "u".into(),
                version: Some("7")
            }
        );
        let batch = r#"{"type":"BATCH","stream":"u","encoding":{"format":"jsonl"},"manifest":[]}"#;
        assert_eq!(
            parse_message(batch).unwrap(),
            Message::Batch {
                stream: "u".into(),
                encoding: r#"{"format":"jsonl"}"#,
                manifest: "[]"
            }
        );
    }

    #[test]
    fn an_error_says_what_is_wrong_and_shows_no_content() {
        check_error("", "a blank line: every line must hold one JSON object");
        check_error(" \r", "a blank line: every line must hold one JSON object");
        check_error("[1]", "the line is JSON but not an object");
        check_error("12", "the line is JSON but not an object");
        check_error(
            "{} {}",
            "the line is not valid JSON: unexpected text behind the value at column 4",
        );
        check_error(
            "{\"é\": secret}",
            "the line is not valid JSON: expected a value at column 7",
        );
        check_error(
            "{\"a\": 1",
            "the line is not valid JSON: the text ends too early at column 8",
        );
        check_error(
            "\u{feff}{}",
            "the line is not valid JSON: expected '{' at column 1",
        );
        check_error("{}", "the message lacks a required key (field type)");
        check_error(
            r#"{"type":1}"#,
            "a message's type must be a string (field type)",
        );
        check_error(
            r#"{"type":"record"}"#,
            "unknown message type 'record' (field type)",
        );
        check_error(
            r#"{"type":"RECORD","record":{}}"#,
            "the message lacks a required key (field stream)",
        );
        check_error(
            r#"{"type":"RECORD","stream":"u"}"#,
            "the message lacks a required key (stream u, field record)",
        );
        check_error(
            r#"{"type":"STATE"}"#,
            "the message lacks a required key (field value)",
        );
        check_error(
            r#"{"type":"RECORD","stream":1,"record":{}}"#,
            "a stream's name must be a string (field stream)",
        );
    }

    /// The same parts found by `serde_json` as raw values.
    fn parts_of_serde(line: &str) -> Option<Vec<(String, String)>> {
        let raw: std::collections::HashMap<String, Box<serde_json::value::RawValue>> =
            serde_json::from_str(line).ok()?;
        let mut parts: Vec<_> = raw
            .iter()
            .filter(|(key, _)| ["type", "stream", "record", "value"].contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.get().to_owned()))
            .collect();
        parts.sort();
        Some(parts)
    }

    #[test]
    fn the_parts_of_lines_made_at_random_are_those_that_serde_json_finds() {
        let mut random = Random::new("message scanner");
        let mut valid = 0;
        for _ in 0..100_000 {
            let mut members = Vec::new();
            for key in ["type", "stream", "record", "value", "other", "\\u0074ype"] {
                if random.below(3) > 0 {
                    members.push(format!("\"{key}\":{}", random.json(3)));
                }
            }
            let mut line = format!("{{{}}}", members.join(random.pick(&[",", " , "])));
            if random.below(3) == 0 {
                line = random.mutate_text(&line);
            }
            if line.contains("NaN") || line.contains("Infinity") || line.contains("\\ud8") {
                continue;
            }
            let ours = Parts::scan(&line).ok().map(|parts| {
                let mut found: Vec<_> = [
                    ("type", parts.kind),
                    ("stream", parts.stream),
                    ("record", parts.record),
                    ("value", parts.value),
                ]
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
                .collect();
                found.sort();
                found
            });
            assert_eq!(ours, parts_of_serde(&line), "{line}");
            valid += usize::from(ours.is_some());
        }
        assert!(valid > 10_000, "too few of the lines were valid: {valid}");
    }

    #[test]
    fn damaged_messages_never_panic() {
        let mut random = Random::new("damaged messages");
        let lines = [
            r#"{"type":"RECORD","stream":"users","record":{"id":1,"s":"\u00e9\n"},"time_extracted":"2026"}"#,
            r#"{"type":"SCHEMA","stream":"users","schema":{"properties":{}},"key_properties":["id"]}"#,
            r#"{"type":"BATCH","stream":"users","encoding":{"format":"jsonl"},"manifest":["file:///x"]}"#,
        ];
        for _ in 0..50_000 {
            let mut line = random.pick(&lines).to_owned();
            for _ in 0..=random.below(4) {
                line = random.mutate_text(&line);
            }
            if let Err(error) = parse_message(&line) {
                assert_eq!(error.kind(), Kind::Input);
            }
        }
    }
}
