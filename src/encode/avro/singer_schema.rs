//! A Singer schema to the shape of its records. What was decided, and why, where JSON Schema and Avro do not meet:
//!
//! - Whether a field is nullable follows from the schema alone. Key properties are no exception: Singer wants them
//!   to be there and lets them be null, and a change of keys would else be an incompatible change of the Avro
//!   schema.
//! - A `multipleOf` that is a power of ten is what taps write for the scale of a database's decimals. A double would
//!   lose their digits in silence, so they become decimals; a value with more digits is a bad record that is told of.
//! - A `time` stays text: it may have an offset, and durations beyond a day come as times too; `time-micros` has
//!   a place for neither.
//! - An `enum` is no Avro enum, whose symbols must be names, and to which none can be added compatibly.
//! - What may be of several types becomes one string and no union: consumers handle few unions but those with null.
//! - Keywords that only narrow what is allowed (`maxLength`, `minimum`, `pattern`, `not`, ...) change nothing.
//!
//! The size is bounded: by 100,000 fields, by chains of 64 references, and by 64 levels, below which everything is
//! JSON text.

use std::collections::{HashMap, HashSet};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::decimal::{self, Decimal};
use super::misfit::Misfit;
use super::shape::{Field, Record, Shape, Slot};

type Object = Map<String, Value>;

/// Beyond it, fields are JSON text. Readers of Avro work recursively, as does what is here.
const MOST_LEVELS: usize = 64;

/// A schema of a few lines can come to any number of fields, by way of `$ref`.
const MOST_FIELDS: usize = 100_000;

/// References that lead to one another without anything between. Following them works recursively too.
const MOST_CHAINED: usize = 64;

/// Keywords of a branch of `anyOf` that say what a value is; a branch without any only narrows.
const SHAPING: &[&str] = &[
    "type",
    "properties",
    "items",
    "additionalProperties",
    "patternProperties",
    "format",
    "enum",
    "const",
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
];

/// Finds the shape of the records of a schema, given as JSON text.
pub(super) fn compile(schema: &str) -> Result<Record, Misfit> {
    let root: Value = serde_json::from_str(schema).map_err(|_| {
        Misfit::new("a schema that Avro is made of must be JSON of at most 127 levels")
    })?;
    let mut compiler = Compiler {
        root: &root,
        open_refs: Vec::new(),
        levels: 0,
        fields: 0,
    };
    let mut merged = Merged::default();
    let object = root.as_object().ok_or(NO_PROPERTIES)?;
    if !compiler.merge(object, &mut merged)? {
        return Err("the schema consists of a $ref that leads back to it".into());
    }
    let properties = merged.said.get("properties").and_then(Value::as_object);
    compiler.record(properties.ok_or(NO_PROPERTIES)?, &merged)
}

const NO_PROPERTIES: &str = "a schema that Avro is made of must have properties";

impl From<&'static str> for Misfit {
    fn from(what: &'static str) -> Self {
        Self::new(what)
    }
}

/// All that a schema says, with what it refers to and what it consists of.
#[derive(Default)]
struct Merged {
    /// Has neither `$ref` nor `allOf`.
    said: Object,
    /// References around what is being merged, from the outermost to the innermost.
    around: Vec<String>,
    /// References that were followed. Following one twice adds nothing.
    followed: HashSet<String>,
    /// Of the properties that stand inside references: which ones those are.
    origins: HashMap<String, Vec<String>>,
}

impl Merged {
    /// What was said first stays; properties are added up.
    fn add(&mut self, key: &str, value: &Value) {
        match (self.said.get_mut(key), value) {
            (None, Value::Object(more)) if key == "properties" => {
                self.said.insert(key.to_owned(), Object::new().into());
                self.add_properties(more);
            }
            (None, _) => drop(self.said.insert(key.to_owned(), value.clone())),
            (Some(Value::Object(_)), Value::Object(more)) if key == "properties" => {
                self.add_properties(more);
            }
            (Some(Value::Array(known)), Value::Array(more)) if key == "required" => {
                known.extend_from_slice(more);
            }
            _ => {}
        }
    }

    fn add_properties(&mut self, more: &Object) {
        let Some(Value::Object(known)) = self.said.get_mut("properties") else {
            return;
        };
        for (name, property) in more {
            if known.contains_key(name) {
                continue;
            }
            known.insert(name.clone(), property.clone());
            if !self.around.is_empty() {
                self.origins.insert(name.clone(), self.around.clone());
            }
        }
    }
}

struct Compiler<'a> {
    root: &'a Value,
    /// References around the present schema: inside them they would be met again and again.
    open_refs: Vec<String>,
    levels: usize,
    fields: usize,
}

impl Compiler<'_> {
    fn slot(&mut self, schema: &Value) -> Result<Slot, Misfit> {
        let object = match schema {
            Value::Bool(true) => return Ok(Slot::any()),
            Value::Bool(false) => return Ok(Slot::new(false, Shape::Null)),
            Value::Object(object) => object,
            _ => return Err("a field's schema must be an object".into()),
        };
        self.fields += 1;
        if self.fields > MOST_FIELDS {
            return Err("the schema comes to more than 100,000 fields".into());
        }
        let opened = self.open_refs.len();
        self.levels += 1;
        let mut merged = Merged::default();
        let slot = if self.levels > MOST_LEVELS || !self.merge(object, &mut merged)? {
            Slot::any()
        } else {
            self.merged_slot(&merged)?
        };
        self.levels -= 1;
        self.open_refs.truncate(opened);
        Ok(slot)
    }

    /// Adds to `merged` what a schema says, what it refers to, and all that it consists of. Says whether that had
    /// an end: a reference to what is around it has none.
    fn merge(&self, schema: &Object, merged: &mut Merged) -> Result<bool, Misfit> {
        for (key, value) in schema {
            if !matches!(key.as_str(), "$ref" | "allOf") {
                merged.add(key, value);
            }
        }
        if let Some(reference) = schema.get("$ref")
            && !self.merge_reference(reference, merged)?
        {
            return Ok(false);
        }
        for part in schema
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if let Value::Object(part) = part
                && !self.merge(part, merged)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn merge_reference(&self, reference: &Value, merged: &mut Merged) -> Result<bool, Misfit> {
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#'));
        let pointer =
            pointer.ok_or("a $ref must lead to a place in the same schema: '#/definitions/...'")?;
        let pointer = &*percent_decode_str(pointer)
            .decode_utf8()
            .map_err(|_| "a $ref leads to no schema")?;
        let mut open = self.open_refs.iter().chain(&merged.around);
        if open.any(|open| open == pointer) {
            return Ok(false);
        }
        if !merged.followed.insert(pointer.to_owned()) {
            return Ok(true);
        }
        if merged.around.len() >= MOST_CHAINED {
            return Err("a chain of more than 64 $refs".into());
        }
        merged.around.push(pointer.to_owned());
        let has_end = match self.root.pointer(pointer) {
            // The whole schema is around every place in it.
            Some(Value::Object(_)) if pointer.is_empty() => Ok(false),
            Some(Value::Object(target)) => self.merge(target, merged),
            Some(Value::Bool(true)) => Ok(true),
            _ => Err("a $ref leads to no schema".into()),
        };
        merged.around.pop();
        has_end
    }

    fn merged_slot(&mut self, merged: &Merged) -> Result<Slot, Misfit> {
        let schema = &merged.said;
        for key in ["anyOf", "oneOf"] {
            let branches = schema.get(key).and_then(Value::as_array);
            let Some(branches) = branches.filter(|branches| branches.iter().any(is_shaping)) else {
                continue;
            };
            self.open_refs.extend(merged.followed.iter().cloned());
            let mut around = schema.clone();
            around.shift_remove(key);
            let slots = branches
                .iter()
                .map(|branch| self.branch(branch, &around))
                .collect::<Result<_, _>>()?;
            return Ok(join(slots));
        }
        self.typed_slot(merged)
    }

    /// A branch, with what is said around it for what the branch does not say.
    fn branch(&mut self, branch: &Value, around: &Object) -> Result<Slot, Misfit> {
        let Value::Object(branch) = branch else {
            return self.slot(branch);
        };
        let mut whole = branch.clone();
        for (key, value) in around {
            whole.entry(key).or_insert_with(|| value.clone());
        }
        self.slot(&Value::Object(whole))
    }

    /// The slot of a schema that has only its own keywords.
    fn typed_slot(&mut self, merged: &Merged) -> Result<Slot, Misfit> {
        let schema = &merged.said;
        let types = Types::of(schema)?;
        let nullable = types.null;
        let shape = match types.names[..] {
            [] => Shape::Null,
            ["string"] => string_shape(schema),
            ["boolean"] => Shape::Boolean,
            ["integer"] => Shape::Long,
            ["number"] | ["integer", "number"] => number_shape(schema),
            ["array"] => self.array_shape(merged)?,
            ["object"] => self.object_shape(merged)?,
            ref names if !names.iter().any(|name| matches!(*name, "array" | "object")) => {
                Shape::Text
            }
            _ => Shape::Json,
        };
        Ok(Slot::new(nullable, shape))
    }

    fn array_shape(&mut self, merged: &Merged) -> Result<Shape, Misfit> {
        let schema = &merged.said;
        let items = match schema.get("items") {
            Some(items @ (Value::Object(_) | Value::Bool(true)))
                if !schema.contains_key("prefixItems") =>
            {
                self.open_refs.extend(merged.followed.iter().cloned());
                self.slot(items).map_err(|misfit| misfit.in_field("[]"))?
            }
            // None, or one for each place.
            _ => Slot::any(),
        };
        Ok(Shape::Array(Box::new(items)))
    }

    fn object_shape(&mut self, merged: &Merged) -> Result<Shape, Misfit> {
        let schema = &merged.said;
        match schema.get("properties") {
            Some(Value::Object(properties)) if !properties.is_empty() => {
                return Ok(Shape::Record(self.record(properties, merged)?));
            }
            Some(Value::Object(_)) | None => {}
            Some(_) => return Err("properties must be an object".into()),
        }
        match schema.get("additionalProperties") {
            Some(values @ Value::Object(_)) if !schema.contains_key("patternProperties") => {
                self.open_refs.extend(merged.followed.iter().cloned());
                let values = self.slot(values).map_err(|misfit| misfit.in_field("*"))?;
                Ok(Shape::Map(Box::new(values)))
            }
            _ => Ok(Shape::Json),
        }
    }

    fn record(&mut self, properties: &Object, merged: &Merged) -> Result<Record, Misfit> {
        let required = merged.said.get("required").and_then(Value::as_array);
        let required: HashSet<&str> = required
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let opened = self.open_refs.len();
        let fields = properties.iter().map(|(name, property)| {
            let origin = merged.origins.get(name).into_iter().flatten();
            self.open_refs.extend(origin.cloned());
            let slot = self
                .slot(property)
                .map_err(|misfit| misfit.in_field(name))?;
            self.open_refs.truncate(opened);
            let nullable = slot.nullable || !required.contains(name.as_str());
            Ok(Field::new(name, Slot::new(nullable, slot.shape)))
        });
        Ok(Record::new(fields.collect::<Result<_, Misfit>>()?))
    }
}

fn is_shaping(branch: &Value) -> bool {
    match branch {
        Value::Object(branch) => branch.keys().any(|key| SHAPING.contains(&key.as_str())),
        _ => true,
    }
}

/// One slot for what fits any of several.
fn join(slots: Vec<Slot>) -> Slot {
    let nullable = slots.iter().any(Slot::takes_null);
    let mut shapes: Vec<Shape> = Vec::new();
    for slot in slots {
        if slot.shape != Shape::Null && !shapes.contains(&slot.shape) {
            shapes.push(slot.shape);
        }
    }
    let all = |fits: fn(&Shape) -> bool| shapes.iter().all(fits);
    let joined = if shapes.len() < 2 {
        shapes.pop().unwrap_or(Shape::Null)
    } else if all(|shape| matches!(shape, Shape::Long | Shape::Double)) {
        Shape::Double
    } else if all(|shape| matches!(shape, Shape::String | Shape::Timestamp | Shape::Date)) {
        Shape::String
    } else if all(Shape::is_scalar) {
        Shape::Text
    } else {
        Shape::Json
    };
    Slot::new(nullable, joined)
}

const ALL_TYPES: &[&str] = &[
    "array", "boolean", "integer", "null", "number", "object", "string",
];

/// The types that a value may have.
struct Types<'a> {
    null: bool,
    /// The others, each once, in the order of the alphabet.
    names: Vec<&'a str>,
}

impl<'a> Types<'a> {
    fn of(schema: &'a Object) -> Result<Self, Misfit> {
        const NO_TYPE: &str = "a type must be a name or an array of names";
        let mut names: Vec<&str> = match schema.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => {
                let names: Option<_> = names.iter().map(Value::as_str).collect();
                names.ok_or(NO_TYPE)?
            }
            Some(_) => return Err(NO_TYPE.into()),
            None => implied_types(schema),
        };
        if names.is_empty() {
            names.extend(ALL_TYPES);
        }
        if !names.iter().all(|name| ALL_TYPES.contains(name)) {
            return Err("the schema names an unknown type".into());
        }
        names.sort_unstable();
        names.dedup();
        let null = names.contains(&"null");
        names.retain(|name| *name != "null");
        Ok(Self { null, names })
    }
}

/// The types of the values that are allowed; or what the keywords are about, which leave null alone.
fn implied_types(schema: &Object) -> Vec<&'static str> {
    if let Some(value) = schema.get("const") {
        vec![type_of(value)]
    } else if let Some(Value::Array(values)) = schema.get("enum") {
        values.iter().map(type_of).collect()
    } else if schema.contains_key("properties") {
        vec!["object", "null"]
    } else if schema.contains_key("items") {
        vec!["array", "null"]
    } else {
        Vec::new()
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if decimal::parse_long(&number.to_string()).is_some() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn string_shape(schema: &Object) -> Shape {
    match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => Shape::Timestamp,
        Some("date") => Shape::Date,
        _ => singer_decimal(schema).map_or(Shape::String, Shape::Decimal),
    }
}

fn number_shape(schema: &Object) -> Shape {
    singer_decimal(schema)
        .or_else(|| decimal_of_step(schema))
        .map_or(Shape::Double, Shape::Decimal)
}

/// The decimal of Singer SDK's taps, which say it in the format. Without a scale nothing can be made of it.
fn singer_decimal(schema: &Object) -> Option<Decimal> {
    let format = schema.get("format")?.as_str()?;
    if !matches!(format, "singer.decimal" | "x-singer.decimal") {
        return None;
    }
    let number = |key: &str| u32::try_from(schema.get(key)?.as_u64()?).ok();
    Decimal::new(number("precision"), number("scale")?)
}

/// The decimal of taps that say it by `multipleOf`, with as many digits as the bounds need.
fn decimal_of_step(schema: &Object) -> Option<Decimal> {
    let number = |key: &str| match schema.get(key)? {
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let power = decimal::power_of_ten(&number("multipleOf")?)?;
    let scale = u32::try_from(-power).ok()?;
    let digits = |inclusive: &str, exclusive: &str| {
        if let Some(bound) = number(exclusive) {
            return decimal::integer_digits(&bound, true);
        }
        let is_excluded = schema.get(exclusive) == Some(&Value::Bool(true));
        decimal::integer_digits(&number(inclusive)?, is_excluded)
    };
    let lowest = digits("minimum", "exclusiveMinimum");
    let highest = digits("maximum", "exclusiveMaximum");
    let precision = lowest
        .zip(highest)
        .map(|(lowest, highest)| lowest.max(highest).saturating_add(scale));
    Decimal::new(precision, scale)
}
