//! Avro: a Singer schema to an Avro schema, and records to its binary form, straight from the tap's JSON bytes.
//!
//! # What becomes what
//!
//! | Singer | Avro |
//! |---|---|
//! | the stream | a record with the stream's name, its fields in the order of `properties` |
//! | type allows null, or the field is not in `required` | `["null",T]` with default null |
//! | `integer` | `long`; `1.0` and `1e3` are integers, what is beyond 64 bits is a bad record |
//! | `number` | `double`, the nearest one; NaN and the infinities as they are |
//! | `number` with `multipleOf` 1, 0.1, 0.01, ... | `decimal` of that scale; exact, or a bad record |
//! | `string` of format `singer.decimal` with a `scale` | `decimal` of that scale and `precision`; else `string` |
//! | `boolean` | `boolean` |
//! | `string` of format `date-time` | `timestamp-micros`, in UTC |
//! | `string` of format `date` | `date` |
//! | any other `string`: `time`, `uuid`, `enum`, ... | `string` |
//! | `object` with `properties` | a record, named by its path: `stream_field` |
//! | `object` with only a schema for `additionalProperties` | a map |
//! | any other `object` | `string` that holds its JSON text |
//! | `array` | an array; without one schema for its items, of nullable strings that hold JSON text |
//! | no type, but `enum` or `const` | what the values are |
//! | no type at all | nullable `string` that holds JSON text |
//! | `["integer","number"]` | as `number` |
//! | several of `string`, `integer`, `number`, `boolean` | `string`: strings as they are, the others as JSON text |
//! | several types with `object` or `array` among them | `string` that holds JSON text |
//! | `anyOf`, `oneOf` | null apart: what all agree on; of strings `string`; of integer and number `double`; else as for several types |
//! | `allOf`, local `$ref` | merged in; a `$ref` inside what it refers to: JSON text |
//! | `null` | `null` |
//!
//! A string that holds JSON text is marked with `"singer.json":true`. A name that is no Avro name has other
//! characters replaced by `_`, and the original in `singer.name`; see `names.rs`.
//!
//! The reasons are in the files: `shape.rs` (what a schema means), `singer_schema.rs` (how that is found out),
//! `avro_schema.rs` and `names.rs` (how it is written), `encoder.rs` (records), `decimal.rs`, `instant.rs`,
//! `wire.rs`.
//!
//! # Why not the `apache-avro` crate
//!
//! Version 0.22 writes a record from a tree of its `Value`s, built for every record, or by serde. The latter keeps
//! fields that come out of the schema's order in buffers of their own and refuses a key that occurs twice, where
//! Singer's rule is that the last one counts; and its errors hold the value. All that is left to it would be the
//! wire format, which is one short file here. The rest of the work, from JSON text to the right Avro value, it
//! does not do. Without its default features it would bring 24 packages that `Cargo.lock` does not have.

mod avro_schema;
mod decimal;
mod encoder;
mod instant;
mod misfit;
mod names;
mod shape;
mod singer_schema;
#[cfg(test)]
mod tests;
mod wire;

use crate::error::Error;
use shape::Record;

/// What makes Avro of a stream's records; compiled once per stream and schema.
#[derive(Debug)]
pub(crate) struct AvroCodec {
    record: Record,
    schema: String,
}

impl AvroCodec {
    /// Compiles a stream's schema: its JSON text, as the SCHEMA message has it.
    ///
    /// Fails with [`crate::error::Kind::Input`] and names the field (`a.b`) where the schema cannot be understood:
    /// it is not JSON (a bare NaN, more than 127 levels), it has no properties, a type is unknown, a `$ref` leads
    /// nowhere, out of the schema or along more than 64 others, or it comes to more than 100,000 fields. What is
    /// only too loose for Avro becomes JSON text.
    pub(crate) fn compile(stream: &str, schema: &str) -> Result<Self, Error> {
        let record = singer_schema::compile(schema).map_err(misfit::Misfit::into_error)?;
        let schema = avro_schema::render(stream, &record);
        Ok(Self { record, schema })
    }

    /// The Avro schema as compact JSON. The same stream and Singer schema give the same bytes.
    pub(crate) fn schema_text(&self) -> &str {
        &self.schema
    }

    /// Appends a record as Avro binary. `record` is the text of an object that was scanned before.
    ///
    /// Fails with [`crate::error::Kind::Input`] and names the field (`a.b`, `lines[2].price`) where the record
    /// does not fit; `out` is then as it was.
    pub(crate) fn encode(&self, record: &str, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = out.len();
        encoder::encode(&self.record, record, out).map_err(|misfit| {
            out.truncate(start);
            misfit.into_error()
        })
    }
}
