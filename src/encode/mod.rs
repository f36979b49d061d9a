//! A record to its payload, and a stream's schema to what is registered. Pure: no I/O, no thread, no clock.

pub(crate) mod payload;
pub(crate) mod schema_text;
mod avro;
