//! Whole schemas and records through the codec, byte for byte.

mod composed;
mod records;
mod schemas;

use super::AvroCodec;
use crate::error::Kind;

/// A Singer schema with one required field `f`.
fn schema_of(field: &str) -> String {
    format!(r#"{{"properties":{{"f":{field}}},"required":["f"]}}"#)
}
