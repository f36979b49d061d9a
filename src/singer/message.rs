//! One line of a tap to a [`Message`]. It borrows from the line and builds nothing.
//!
//! What a message means for its stream (is it declared, are its keys there) is not decided here.

use std::borrow::Cow;

use super::alike::Alike;
use super::guide::Shape;
use super::json::{Fault, Scanner};
use super::value::{string_inside, unescape};
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
        /// Of the record's own keys.
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

/// Types of messages, as JSON text.
const RECORD: &str = "\"RECORD\"";
const STATE: &str = "\"STATE\"";

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
    /// Reads a line key by key, and shows `alike` how it is written.
    fn scan(line: &'a str, alike: &mut Alike<'a>) -> Result<Self, Fault> {
        let mut parts = Self::default();
        let mut scanner = Scanner::new(line);
        scanner.enter_object()?;
        let mut keys = 0;
        loop {
            let mut ignored = None;
            let before = scanner.at();
            let Some(key) = scanner.next_key(keys == 0)? else {
                break;
            };
            keys += 1;
            let part = match &*unescape(key) {
                "record" => {
                    // Only behind a value: what stands before a first key has no comma.
                    alike.before_record = (keys > 1).then(|| scanner.since(before));
                    alike.behind_record.clear();
                    parts.record = Some(alike.record.value(&mut scanner)?);
                    parts.shape = alike.record.shape();
                    continue;
                }
                "type" => &mut parts.kind,
                "stream" => {
                    let is_usual = parts.kind == Some(RECORD) && keys == 2;
                    alike.before_stream = is_usual.then(|| scanner.since(0));
                    &mut parts.stream
                }
                "schema" => &mut parts.schema,
                "key_properties" => &mut parts.key_properties,
                "value" => {
                    let is_usual = parts.kind == Some(STATE) && keys == 2;
                    alike.before_state = is_usual.then(|| scanner.since(0));
                    &mut parts.value
                }
                "version" => &mut parts.version,
                "encoding" => &mut parts.encoding,
                "manifest" => &mut parts.manifest,
                _ => &mut ignored,
            };
            let is_behind_record = !matches!(&*unescape(key), "type" | "stream");
            if parts.record.is_some() && is_behind_record {
                alike.behind_record.push(scanner.since(before));
            }
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
/// shows nothing of what the line holds. `alike` is for lines that follow each other, and changes nothing
/// but the speed.
pub(crate) fn parse_message<'a>(
    line: &'a str,
    alike: &mut Alike<'a>,
) -> Result<Message<'a>, Error> {
    if let Some(message) = alike.parse(line) {
        return Ok(message);
    }
    let parts = Parts::scan(line, alike).map_err(|fault| describe_fault(line, fault))?;
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

    fn parse(line: &str) -> Result<Message<'_>, Error> {
        parse_message(line, &mut Alike::default())
    }

    #[track_caller]
    fn check_record(line: &str, stream: &str, record: &str) {
        match parse(line) {
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
        assert_eq!(parse(line).unwrap_err().to_string(), expected);
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
        let state = parse(r#"{"type":"STATE","value":{"a":1}}"#).unwrap();
        assert_eq!(
            state,
            Message::State {
                value: r#"{"a":1}"#
            }
        );
        let schema = r#"{"type":"SCHEMA","stream":"u","schema":{},"key_properties":["id"]}"#;
        assert_eq!(
            parse(schema).unwrap(),
            Message::Schema {
                stream: "u".into(),
                schema: "{}",
                key_properties: Some(r#"["id"]"#)
            }
        );
        let version = r#"{"type":"ACTIVATE_VERSION","stream":"u","version":7}"#;
        assert_eq!(
            parse(version).unwrap(),
            Message::ActivateVersion {
                stream: "u".into(),
                version: Some("7")
            }
        );
        let batch = r#"{"type":"BATCH","stream":"u","encoding":{"format":"jsonl"},"manifest":[]}"#;
        assert_eq!(
            parse(batch).unwrap(),
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

    /// A message or error as text, but for a record's shape, which only says when it is known to be the same.
    fn content(message: &Result<Message<'_>, Error>) -> String {
        match message {
            Ok(Message::Record { stream, record, .. }) => format!("{stream:?} {record}"),
            other => format!("{other:?}"),
        }
    }

    fn parts_of(line: &str, parts: &Parts<'_>) -> Vec<(String, String)> {
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
        assert!(
            found
                .iter()
                .all(|(_, value)| line.contains(value.as_str()) || value == RECORD)
        );
        found
    }

    #[test]
    fn the_parts_of_lines_made_at_random_are_those_that_serde_json_finds() {
        let mut random = Random::new("message scanner");
        let (mut valid, mut taken) = (0, 0);
        for _ in 0..30_000 {
            // Lines that follow each other and are much alike, as those of a tap are, and differ somewhere.
            let mut members = Vec::new();
            for key in ["type", "stream", "record", "value", "other", "\\u0074ype"] {
                let value = match (key, random.below(8)) {
                    ("type", 0) => "\"STATE\"".to_owned(),
                    ("type", 1..6) => "\"RECORD\"".to_owned(),
                    ("stream", 0..6) => random.json_string(),
                    ("record", 0..4) => format!("{{\"a\": {}}}", random.json(1)),
                    ("value" | "other", 0..5) | ("\\u0074ype", 0..7) => continue,
                    _ => random.json(2),
                };
                members.push(format!("\"{key}\": {value}"));
            }
            if random.below(4) == 0 && !members.is_empty() {
                let by = random.below(members.len());
                members.rotate_left(by);
            }
            let lines: Vec<String> = (0..4)
                .map(|_| {
                    let place = random.below(2 * members.len() + 1);
                    if let Some(member) = members.get_mut(place) {
                        let key = member.split(':').next().unwrap_or_default().to_owned();
                        *member = format!("{key}: {}", random.json(2));
                    }
                    let comma = random.pick(&[", ", ", ", ", ", ","]);
                    let line = format!("{{{}}}", members.join(comma));
                    if random.below(3) == 0 {
                        random.mutate_text(&line)
                    } else {
                        line
                    }
                })
                .filter(|line| {
                    !["NaN", "Infinity", "\\ud8"]
                        .iter()
                        .any(|text| line.contains(text))
                })
                .collect();
            let mut alike = Alike::default();
            for line in &lines {
                let fresh = parse(line);
                let along = parse_message(line, &mut alike);
                assert_eq!(content(&along), content(&fresh), "{lines:?}");
                let ours = Parts::scan(line, &mut Alike::default()).ok();
                let ours = ours.map(|parts| parts_of(line, &parts));
                assert_eq!(ours, parts_of_serde(line), "{line}");
                valid += usize::from(ours.is_some());
                taken += usize::from(fresh.is_ok());
            }
        }
        assert!(taken > 5_000, "too few of the lines were messages: {taken}");
        assert!(valid > 20_000, "too few of the lines were valid: {valid}");
    }

    #[test]
    fn what_a_line_borrows_from_the_one_before_is_checked() {
        let lines = [
            r#"{ "record": {"a": 1}, "type": "RECORD", "stream": "u"}"#,
            r#"{"type": "RECORD", "stream": "u", "record": {"a": 1}}"#,
            r#"{"type": "RECORD", "stream": "u" "record": {"a": 1}}"#,
            r#"{"type": "RECORD", "stream": "v", "record": {"a": 1, "b": 2}, "record": {"c": 3}}"#,
            r#"{"type": "RECORD", "stream": "v", "record": {"a": 1 "b": 2}}"#,
            r#"{"type": "RECORD", "stream": 1, "record": {"c": 4}}"#,
            r#"{"type": "RECORD", "stream": "w", "record": {}, "type": "STATE", "value": 5}"#,
        ];
        let mut alike = Alike::default();
        let told: Vec<String> = lines
            .iter()
            .map(|line| match parse_message(line, &mut alike) {
                Ok(Message::Record { stream, record, .. }) => format!("{stream} {record}"),
                Ok(other) => format!("{other:?}"),
                Err(error) => error.to_string(),
            })
            .collect();
        let expected = [
            r#"u {"a": 1}"#,
            r#"u {"a": 1}"#,
            "the line is not valid JSON: expected ',' or '}' at column 34",
            r#"v {"c": 3}"#,
            "the line is not valid JSON: expected ',' or '}' at column 53",
            "a stream's name must be a string (field stream)",
            r#"State { value: "5" }"#,
        ];
        assert_eq!(told, expected);
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
            if let Err(error) = parse(&line) {
                assert_eq!(error.kind(), Kind::Input);
            }
        }
    }
}
