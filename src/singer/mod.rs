//! The Singer messages: one line of text to a typed message, and what is remembered of a stream.
//!
//! Pure: no I/O, no threads, no clock.

pub(crate) mod alike;
pub(crate) mod batch;
pub(crate) mod guide;
pub(crate) mod json;
pub(crate) mod message;
pub(crate) mod state;
pub(crate) mod stream;
pub(crate) mod value;
