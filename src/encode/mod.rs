//! A record to its payload, and a stream's schema to what is registered. Pure.

pub(crate) mod payload;
pub(crate) mod schema_text;
