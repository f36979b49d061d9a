//! The JSON Schema that is registered for a stream: the tap's own, in a form that is the same for the same schema.
//!
//! Keys are sorted and white space is gone; arrays keep their order, and numbers their digits. Apicurio finds the same
//! version again for any form of it, and a registry that compares bytes for this one (spec apicurio.md, 1.2).

use serde_json::{Map, Value};

use crate::settings::registry::SchemaDraft;

const DRAFT_07: &str = "http://json-schema.org/draft-07/schema#";

/// Keywords whose value is one schema.
const ONE_SCHEMA: [&str; 2] = ["items", "additionalItems"];
/// Keywords whose value is a list of schemas, each of which describes the whole value.
const LIST_OF_SCHEMAS: [&str; 2] = ["anyOf", "oneOf"];
/// Keywords whose value is an object of schemas.
const NAMED_SCHEMAS: [&str; 2] = ["properties", "patternProperties"];
/// Keywords by which a schema gets fields from elsewhere.
const COMBINING: [&str; 8] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "$ref",
    "dependencies",
    "dependentSchemas",
];

/// The text of a schema, with the changes that the settings ask for. A text that `serde_json` does not read (a bare
/// NaN, nesting beyond its limit) stays as it is: the registry has its own opinion of it.
pub(crate) fn render_schema(schema: &str, draft: SchemaDraft, is_closed: bool) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(schema) else {
        return schema.to_owned();
    };
    if let (SchemaDraft::Draft07, Value::Object(root)) = (draft, &mut value) {
        root.insert("$schema".to_owned(), DRAFT_07.into());
    }
    if is_closed {
        close(&mut value);
    }
    value.sort_all_objects();
    value.to_string()
}

/// Takes the licence to have other fields from every object that declares some. None is closed that gets fields from
/// elsewhere as well, or may be what another one gets them from: each part would forbid the fields of the others.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(schema) => close_object(schema),
        Value::Array(schemas) => schemas.iter_mut().for_each(close),
        _ => {}
    }
}

fn close_object(schema: &mut Map<String, Value>) {
    let declares = schema.contains_key("properties");
    let branches = if declares { &[][..] } else { &LIST_OF_SCHEMAS };
    for keyword in ONE_SCHEMA.iter().chain(branches) {
        if let Some(inner) = schema.get_mut(*keyword) {
            close(inner);
        }
    }
    for keyword in NAMED_SCHEMAS {
        if let Some(Value::Object(inner)) = schema.get_mut(keyword) {
            inner.values_mut().for_each(close);
        }
    }
    let is_open = matches!(
        schema.get("additionalProperties"),
        None | Some(Value::Bool(true))
    );
    let is_whole = !COMBINING
        .iter()
        .any(|keyword| schema.contains_key(*keyword));
    if declares && is_whole && is_open {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: &str, draft: SchemaDraft, is_closed: bool, expected: &str) {
        assert_eq!(render_schema(schema, draft, is_closed), expected);
    }

    #[test]
    fn the_same_schema_has_the_same_text() {
        for schema in [
            r#"{"type":["string","null"],"properties":{"b":{"x":0.10},"a":{}}}"#,
            "{ \"properties\": {\"a\":{}, \"b\" :{\"x\":0.10}},\n\"type\": [\"string\",\"null\"] }",
        ] {
            check(
                schema,
                SchemaDraft::Keep,
                false,
                r#"{"properties":{"a":{},"b":{"x":0.10}},"type":["string","null"]}"#,
            );
        }
        let nan = r#"{"properties": {"a":{"default":NaN}}}"#;
        check(nan, SchemaDraft::Draft07, true, nan);
    }

    #[test]
    fn a_draft_is_said_at_the_root() {
        for schema in [
            r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","properties":{}}"#,
            r#"{"properties":{}}"#,
        ] {
            let expected =
                r#"{"$schema":"http://json-schema.org/draft-07/schema#","properties":{}}"#;
            check(schema, SchemaDraft::Draft07, false, expected);
        }
    }

    #[test]
    fn objects_that_get_fields_from_elsewhere_stay_open() {
        for schema in [
            r#"{"anyOf":[{"properties":{"a":{}}}],"properties":{"kind":{}}}"#,
            r##"{"$ref":"#/definitions/b","properties":{"kind":{}}}"##,
        ] {
            check(schema, SchemaDraft::Keep, true, schema);
        }
    }

    #[test]
    fn objects_with_properties_are_closed_at_every_depth() {
        check(
            r#"{"properties":{
                "a":{"type":"object","properties":{"b":{}},"additionalProperties":true},
                "c":{"type":"array","items":{"properties":{}}},
                "d":{"anyOf":[{"properties":{}},{"type":"null"}]},
                "e":{"type":"object"},
                "f":{"properties":{},"additionalProperties":{"type":"string"}},
                "g":{"allOf":[{"properties":{}}]},
                "properties":{"properties":{"x":{}}}
            },"definitions":{"h":{"properties":{}}}}"#,
            SchemaDraft::Keep,
            true,
            concat!(
                r#"{"additionalProperties":false,"definitions":{"h":{"properties":{}}},"properties":{"#,
                r#""a":{"additionalProperties":false,"properties":{"b":{}},"type":"object"},"#,
                r#""c":{"items":{"additionalProperties":false,"properties":{}},"type":"array"},"#,
                r#""d":{"anyOf":[{"additionalProperties":false,"properties":{}},{"type":"null"}]},"#,
                r#""e":{"type":"object"},"#,
                r#""f":{"additionalProperties":{"type":"string"},"properties":{}},"#,
                r#""g":{"allOf":[{"properties":{}}]},"#,
                r#""properties":{"additionalProperties":false,"properties":{"x":{}}}}}"#
            ),
        );
    }
}
