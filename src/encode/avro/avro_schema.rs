//! The Avro schema of a record's shape, as JSON.
//!
//! Null is always the first branch, and `"default":null` always written: so a nullable field that is added or dropped
//! is compatible in both directions, and the registry's hash of the text does not depend on its version.

use serde_json::{Map, Value, json};

use super::names::{self, RecordNames};
use super::shape::{Record, Shape, Slot};

/// Renders the schema compactly, its keys in a fixed order.
pub(super) fn render(stream: &str, record: &Record) -> String {
    let mut names = RecordNames::default();
    let name = names.outermost(stream);
    let mut schema = Map::new();
    schema.insert("type".into(), "record".into());
    schema.insert("name".into(), name.as_str().into());
    keep_original(&mut schema, stream, &name);
    let fields = render_fields(&name, record, &mut names);
    schema.insert("fields".into(), fields);
    Value::Object(schema).to_string()
}

fn render_fields(record_name: &str, record: &Record, names: &mut RecordNames) -> Value {
    let originals: Vec<&str> = record.fields.iter().map(|field| &*field.name).collect();
    let fields = record.fields.iter().zip(names::name_fields(&originals));
    fields
        .map(|(field, name)| {
            let path = (record_name, name.as_str());
            let mut rendered = Map::new();
            rendered.insert("name".into(), name.as_str().into());
            rendered.insert("type".into(), render_slot(&field.slot, path, names));
            if field.slot.takes_null() {
                rendered.insert("default".into(), Value::Null);
            }
            keep_original(&mut rendered, &field.name, &name);
            Value::Object(rendered)
        })
        .collect()
}

/// Aliases would be the place for it, but they must be Avro names too.
fn keep_original(rendered: &mut Map<String, Value>, original: &str, name: &str) {
    if original != name {
        rendered.insert("singer.name".into(), original.into());
    }
}

/// `path` is the record around it and the field in that.
fn render_slot(slot: &Slot, path: (&str, &str), names: &mut RecordNames) -> Value {
    let rendered = render_shape(&slot.shape, path, names);
    if slot.nullable {
        json!(["null", rendered])
    } else {
        rendered
    }
}

fn render_shape(shape: &Shape, path: (&str, &str), names: &mut RecordNames) -> Value {
    match shape {
        Shape::Null => "null".into(),
        Shape::Boolean => "boolean".into(),
        Shape::Long => "long".into(),
        Shape::Double => "double".into(),
        Shape::String | Shape::Text => "string".into(),
        Shape::Json => json!({"type": "string", "singer.json": true}),
        Shape::Timestamp => json!({"type": "long", "logicalType": "timestamp-micros"}),
        Shape::Date => json!({"type": "int", "logicalType": "date"}),
        Shape::Decimal(decimal) => json!({
            "type": "bytes",
            "logicalType": "decimal",
            "precision": decimal.precision,
            "scale": decimal.scale,
        }),
        Shape::Array(items) => {
            json!({"type": "array", "items": render_slot(items, path, names)})
        }
        Shape::Map(values) => json!({"type": "map", "values": render_slot(values, path, names)}),
        Shape::Record(record) => {
            let name = names.nested(path.0, path.1);
            let fields = render_fields(&name, record, names);
            json!({"type": "record", "name": name, "fields": fields})
        }
    }
}
