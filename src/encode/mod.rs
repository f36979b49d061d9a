//! A record to its payload, where that is not the record's own text.
//!
//! Pure: no I/O, no thread, no clock. Which format a run asks for, and what frames a payload, is not decided here.

pub(crate) mod avro;
