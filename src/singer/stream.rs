//! What a SCHEMA message declares of a stream, and what its records are held against.
//!
//! Key properties are checked for presence only, as the SDK does. The types of values are not looked at.

use std::collections::HashSet;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};

use serde_json::Value;

use super::guide::Shape;
use super::value::{self, fields, unescape};
use crate::error::{Error, Kind};

/// Shapes that a stream remembers as being fully declared. Records of one stream have few.
const KNOWN_SHAPES: usize = 64;

/// Undeclared fields that are named in the log; a stream may have a new one in every record.
const NAMED_FIELDS: usize = 1000;

/// A schema as one SCHEMA message declared it.
#[derive(Debug)]
pub(crate) struct Schema {
    /// Of the schema's meaning: white space and the order of keys do not count.
    digest: u128,
    key_properties: Vec<String>,
    /// Names of the declared fields; `None` where any field is welcome.
    declared: Option<HashSet<Box<str>>>,
    known_shapes: Vec<Shape>,
    /// How many undeclared fields were named.
    named: usize,
}

/// What a look at the keys of a record has found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Keys<'a> {
    /// Nothing to tell.
    Known,
    /// This key property is not there.
    Missing(&'a str),
    /// Fields that the schema does not declare, for the first time.
    Undeclared(Vec<String>),
}

/// What a new SCHEMA message for a known stream changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    Schema,
    KeyProperties,
}

impl Schema {
    /// Parses the two fields of a SCHEMA message; fails with [`Kind::Input`].
    pub(crate) fn parse(schema: &str, key_properties: Option<&str>) -> Result<Self, Error> {
        if !schema.starts_with('{') {
            return Err(input("a schema must be an object", "schema"));
        }
        let mut properties = None;
        let mut any_field = false;
        for (key, value) in fields(schema) {
            match &*unescape(key) {
                "properties" => properties = Some(value),
                "additionalProperties" => any_field = !matches!(value, "false" | "null"),
                _ => {}
            }
        }
        let properties = properties
            .ok_or_else(|| input("a schema must have properties", "schema.properties"))?;
        let declared = || {
            fields(properties)
                .map(|(key, _)| unescape(key).into())
                .collect()
        };
        Ok(Self {
            digest: digest(schema),
            key_properties: parse_key_properties(key_properties)?,
            declared: (!any_field).then(declared),
            known_shapes: Vec::new(),
            named: 0,
        })
    }

    pub(crate) fn key_properties(&self) -> &[String] {
        &self.key_properties
    }

    /// What `newer` changes of this declaration.
    pub(crate) fn change_to(&self, newer: &Self) -> Change {
        if self.digest != newer.digest {
            Change::Schema
        } else if self.key_properties != newer.key_properties {
            Change::KeyProperties
        } else {
            Change::None
        }
    }

    /// Holds the keys of a record against the declaration. A record of a shape that was found whole before
    /// is whole.
    pub(crate) fn look_at_keys(&mut self, record: &str, shape: Shape) -> Keys<'_> {
        if self.known_shapes.contains(&shape) {
            return Keys::Known;
        }
        if let Some(place) = self.missing_key(record) {
            return Keys::Missing(&self.key_properties[place]);
        }
        let (undeclared, is_settled) = self.undeclared_fields(record);
        if is_settled {
            if self.known_shapes.len() == KNOWN_SHAPES {
                self.known_shapes.clear();
            }
            self.known_shapes.push(shape);
        }
        if undeclared.is_empty() {
            Keys::Known
        } else {
            Keys::Undeclared(undeclared)
        }
    }

    /// Which of the key properties a record lacks, the first one. Null counts as present.
    fn missing_key(&self, record: &str) -> Option<usize> {
        self.key_properties
            .iter()
            .position(|key| !fields(record).any(|(found, _)| unescape(found) == key.as_str()))
    }

    /// The fields of a record that hold something and are not declared, each only the first time, and no
    /// more than `NAMED_FIELDS` of a stream. And whether every record of the same shape would have none.
    fn undeclared_fields(&mut self, record: &str) -> (Vec<String>, bool) {
        let mut new = Vec::new();
        // A field that is null today may hold something tomorrow, in a record of the same shape.
        let mut is_settled = true;
        for (key, value) in fields(record) {
            let Some(declared) = &mut self.declared else {
                break;
            };
            let key = unescape(key);
            if declared.contains(&*key) {
                continue;
            }
            if value == "null" {
                is_settled = false;
                continue;
            }
            declared.insert(key.as_ref().into());
            new.push(key.into_owned());
            self.named += 1;
            if self.named == NAMED_FIELDS {
                self.declared = None;
            }
        }
        (new, is_settled || self.declared.is_none())
    }
}

fn parse_key_properties(text: Option<&str>) -> Result<Vec<String>, Error> {
    match text {
        None | Some("null") => Ok(Vec::new()),
        Some(text) => serde_json::from_str(text).map_err(|_| {
            input(
                "key_properties must be an array of strings",
                "key_properties",
            )
        }),
    }
}

fn input(what: &str, field: &str) -> Error {
    Error::new(Kind::Input, what).field(field)
}

/// A schema is remembered by 128 bits and not by its text, so that 10,000 streams stay small. A schema
/// that `serde_json` does not read (bare NaN, nesting beyond its limit) is compared by its text.
fn digest(schema: &str) -> u128 {
    let hasher = std::hash::BuildHasherDefault::<DefaultHasher>::new();
    let value: Result<Value, _> = serde_json::from_str(schema);
    let half = |salt: u8| {
        let mut state = hasher.build_hasher();
        salt.hash(&mut state);
        match &value {
            Ok(value) => hash_value(value, &mut state),
            Err(_) => schema.hash(&mut state),
        }
        u128::from(state.finish())
    };
    half(0) << 64 | half(1)
}

fn hash_value(value: &Value, state: &mut DefaultHasher) {
    match value {
        Value::Object(object) => {
            state.write_u8(b'{');
            let mut keys: Vec<_> = object.keys().collect();
            keys.sort();
            for key in keys {
                key.hash(state);
                hash_value(&object[key], state);
            }
            state.write_u8(b'}');
        }
        Value::Array(items) => {
            state.write_u8(b'[');
            for item in items {
                hash_value(item, state);
            }
            state.write_u8(b']');
        }
        Value::String(text) => {
            state.write_u8(b'"');
            text.hash(state);
        }
        scalar => scalar.to_string().hash(state),
    }
}

/// Fails unless a record is an object; `null` is legal in a RECORD message and means no record at all.
pub(crate) fn check_record(record: &str) -> Result<(), Error> {
    if record.starts_with('{') {
        Ok(())
    } else {
        Err(input("a record must be an object", "record"))
    }
}

/// The values of a record's key properties, as JSON text, in the order of the keys.
pub(crate) fn key_values<'a>(record: &'a str, keys: &[String]) -> Vec<Option<&'a str>> {
    keys.iter()
        .map(|key| value::field(record, std::slice::from_ref(key)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::singer::alike::Alike;
    use crate::singer::message::{Message, parse_message};

    fn schema(text: &str, keys: Option<&str>) -> Schema {
        Schema::parse(text, keys).unwrap()
    }

    #[track_caller]
    fn check_change(old: (&str, &str), new: (&str, &str), expected: Change) {
        let change = schema(old.0, Some(old.1)).change_to(&schema(new.0, Some(new.1)));
        assert_eq!(change, expected);
    }

    #[test]
    fn a_schema_is_the_same_whatever_its_white_space_and_order() {
        let a = r#"{"properties":{"id":{"type":["a","b"]}},"x":1}"#;
        let b = r#"{ "x" : 1, "properties": {"id":{"type":["a","b"]}} }"#;
        check_change((a, r#"["id"]"#), (b, r#"["id"]"#), Change::None);
        check_change((a, r#"["id"]"#), (b, "null"), Change::KeyProperties);
        let c = r#"{"properties":{"id":{"type":["b","a"]}},"x":1}"#;
        check_change((a, "[]"), (c, "[]"), Change::Schema);
        check_change(
            (a, "[]"),
            (&a.replace(":1", ":\"1\""), "[]"),
            Change::Schema,
        );
        let nan = r#"{"properties":{"id":{"default":NaN}}}"#;
        check_change((nan, "[]"), (nan, "[]"), Change::None);
    }

    #[test]
    fn a_bad_schema_names_its_field() {
        for (text, keys, expected) in [
            ("[]", None, "a schema must be an object (field schema)"),
            (
                "{}",
                None,
                "a schema must have properties (field schema.properties)",
            ),
            (
                r#"{"properties":{}}"#,
                Some("\"id\""),
                "key_properties must be an array of strings (field key_properties)",
            ),
        ] {
            assert_eq!(Schema::parse(text, keys).unwrap_err().to_string(), expected);
        }
    }

    #[track_caller]
    fn check_keys(schema: &mut Schema, record: &str, expected: &Keys<'_>) {
        let line = format!(r#"{{"type":"RECORD","stream":"u","record":{record}}}"#);
        match parse_message(&line, &mut Alike::default()) {
            Ok(Message::Record { record, shape, .. }) => {
                assert_eq!(&schema.look_at_keys(record, shape), expected, "{record}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_must_be_present_in_any_order() {
        let mut schema = schema(
            r#"{"properties":{},"additionalProperties":true}"#,
            Some(r#"["a","b"]"#),
        );
        for (record, expected) in [
            (r#"{"a":1,"b":null}"#, Keys::Known),
            (r#"{"x":0,"b":1,"y":0,"a":2}"#, Keys::Known),
            (r#"{"\u0061":1,"b":2}"#, Keys::Known),
            (r#"{"a":1}"#, Keys::Missing("b")),
            (r#"{"b":{"a":1}}"#, Keys::Missing("a")),
            (r#"{"a":1,"b":2}"#, Keys::Known),
            (r#"{"a":1}"#, Keys::Missing("b")),
            ("{}", Keys::Missing("a")),
        ] {
            check_keys(&mut schema, record, &expected);
        }
    }

    #[test]
    fn an_undeclared_field_is_named_once_when_it_first_holds_something() {
        let undeclared =
            |names: &[&str]| Keys::Undeclared(names.iter().map(ToString::to_string).collect());
        let mut closed = schema(r#"{"properties":{"a":{}}}"#, None);
        check_keys(&mut closed, r#"{"a":1}"#, &Keys::Known);
        check_keys(&mut closed, r#"{"a":1,"b":null}"#, &Keys::Known);
        check_keys(&mut closed, r#"{"a":1,"b":2}"#, &undeclared(&["b"]));
        check_keys(&mut closed, r#"{"a":1,"b":2}"#, &Keys::Known);
        check_keys(
            &mut closed,
            r#"{"c":0,"b":2,"d":0}"#,
            &undeclared(&["c", "d"]),
        );
        let open = r#"{"properties":{},"additionalProperties":{"type":"string"}}"#;
        check_keys(&mut schema(open, None), r#"{"b":2}"#, &Keys::Known);
    }

    #[test]
    fn only_so_many_fields_are_named() {
        let mut schema = schema(r#"{"properties":{}}"#, None);
        let mut named = 0;
        for number in 0..NAMED_FIELDS + 10 {
            let record = format!(r#"{{"f{number}":1}}"#);
            if let (names, _) = schema.undeclared_fields(&record)
                && !names.is_empty()
            {
                named += 1;
            }
        }
        assert_eq!((named, schema.declared.is_none()), (NAMED_FIELDS, true));
    }
}
