//! What does not fit, and where: an error that grows its path on the way up, and never holds a value.

use crate::error::{Error, Kind};

/// Boxed, so that the result of encoding one value stays small.
#[derive(Debug)]
pub(super) struct Misfit(Box<Inner>);

#[derive(Debug)]
struct Inner {
    what: &'static str,
    /// From the outermost field to the innermost; empty for the whole.
    path: String,
}

impl Misfit {
    pub(super) fn new(what: &'static str) -> Self {
        Self(Box::new(Inner {
            what,
            path: String::new(),
        }))
    }

    /// Says that it happened inside this field.
    pub(super) fn in_field(mut self, name: &str) -> Self {
        let name = if name.is_empty() { "\"\"" } else { name };
        let separator = match self.0.path.as_bytes().first() {
            None | Some(b'[') => "",
            Some(_) => ".",
        };
        self.0.path = format!("{name}{separator}{}", self.0.path);
        self
    }

    /// Says that it happened inside this item of an array, counted from 0.
    pub(super) fn in_item(self, place: usize) -> Self {
        self.in_field(&format!("[{place}]"))
    }

    pub(super) fn into_error(self) -> Error {
        let error = Error::new(Kind::Input, self.0.what);
        if self.0.path.is_empty() {
            error
        } else {
            error.field(self.0.path)
        }
    }
}
