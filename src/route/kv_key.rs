//! [`Bucket`]: the addresses of records that are put into a KV bucket, `$KV.<bucket>.<key>`.
//!
//! The server takes nearly any key, and other clients refuse to read most of what it takes. So a key has only
//! what all of them read, and it says which record it is of: two records of one template have the same key
//! only if all fields in it are equal, each by itself. A field is compared by its text: the number 1 and the
//! string "1" are one key, since a key property has one type, and a tap that changes it means the same row.

use super::origin::filter;
use super::subject::{Subject, push_byte};
use super::template::{Part, Scope, Template, Value};
use crate::error::{Error, Kind};
use crate::settings::{DEFAULT_API_PREFIX, Settings};
use crate::singer::value::{fields, unescape};

/// The header that makes a message a delete marker.
pub(super) const DELETION: (&str, &str) = ("KV-Operation", "DEL");

/// The field by which a tap tells that a row is gone.
const DELETED_AT: &str = "_sdc_deleted_at";

/// Keys that begin so are the clients' own.
const RESERVED: &str = "_kv";

/// Where the records of a run are put.
#[derive(Debug)]
pub(super) struct Bucket {
    /// What stands before a key, its last dot included.
    prefix: String,
    template: Template,
    deletes: bool,
}

impl Bucket {
    /// Fails with [`Kind::Config`].
    pub(super) fn compile(settings: &Settings) -> Result<Self, Error> {
        let config = super::config;
        let bucket = settings.kv_bucket.as_deref().unwrap_or_default();
        if bucket.is_empty() || !bucket.bytes().all(is_bucket_byte) {
            let what = "the name of a bucket is needed, of A-Z, a-z, 0-9, - and _";
            return Err(config("kv_bucket", what));
        }
        let template = Template::parse(&settings.kv_key, &settings.queue_prefix)
            .map_err(|what| config("kv_key", &what))?;
        check_literals(&template).map_err(|what| config("kv_key", what))?;
        // As other clients do: into another domain or account, the API's prefix leads the way. For the usual one
        // a bucket's subjects stand by themselves.
        let way = match settings.jetstream_api_prefix.as_str() {
            DEFAULT_API_PREFIX => String::new(),
            prefix => format!("{prefix}."),
        };
        Ok(Self {
            prefix: format!("{way}$KV.{bucket}."),
            template,
            deletes: settings.kv_deletes,
        })
    }

    pub(super) fn template(&self) -> &Template {
        &self.template
    }

    /// Whether a record may delete its key.
    pub(super) fn deletes(&self) -> bool {
        self.deletes
    }

    /// Renders a record's subject. Fails with [`Kind::Input`].
    pub(super) fn render(&self, scope: &Scope<'_>) -> Result<Subject, Error> {
        let mut key = String::new();
        for part in self.template.parts() {
            match part {
                Part::Text(literal) => key.push_str(literal),
                Part::Stream => push_encoded(scope.stream, &mut key),
                Part::Key => {
                    for (place, value) in scope.key()?.iter().enumerate() {
                        if place > 0 {
                            key.push('.');
                        }
                        push_value(value, scope, &mut key)?;
                    }
                }
                Part::Record { path, name } => {
                    push_value(&scope.record(path, name)?, scope, &mut key)?;
                }
            }
        }
        mend_start(&mut key);
        Subject::checked(self.prefix.clone() + &key).map_err(|what| {
            Error::new(Kind::Input, what)
                .stream(scope.stream)
                .field("kv_key")
        })
    }

    /// Covers all subjects of a stream with so many key properties.
    pub(super) fn filter(&self, stream: &str, keys: usize) -> String {
        let mut name = String::new();
        push_encoded(stream, &mut name);
        let mut key = filter(&self.template, &name, keys);
        mend_start(&mut key);
        self.prefix.clone() + &key
    }
}

/// Whether a record tells that its row is gone.
pub(super) fn is_deleted(record: &str) -> bool {
    fields(record)
        .filter(|(key, _)| unescape(key) == DELETED_AT)
        .last()
        .is_some_and(|(_, value)| value != "null")
}

/// Fails if the literal text of a template makes keys that clients do not read, or that do not keep the
/// fields apart.
fn check_literals(template: &Template) -> Result<(), &'static str> {
    let mut sample = String::new();
    // A field has come since the last dot.
    let mut has_field = false;
    for part in template.parts() {
        match part {
            Part::Text(text) => {
                if !text
                    .bytes()
                    .all(|byte| is_plain(byte) || matches!(byte, b'.' | b'='))
                {
                    return Err("a key is of A-Z, a-z, 0-9, -, /, _, = and dots");
                }
                has_field &= !text.contains('.');
                sample.push_str(text);
            }
            _ if has_field => {
                return Err(
                    "between two fields there must be a dot, or different records could have one key",
                );
            }
            _ => {
                has_field = true;
                sample.push('x');
            }
        }
    }
    if sample.split('.').any(str::is_empty) {
        return Err("a key has no empty token");
    }
    if template.literal_start().starts_with(RESERVED) {
        return Err("keys that begin with _kv are reserved");
    }
    Ok(())
}

/// What is data may not lead to a reserved name: then the first byte is encoded, which it never is otherwise.
fn mend_start(key: &mut String) {
    if key.starts_with(RESERVED) {
        key.replace_range(..1, "=5F");
    }
}

fn push_value(value: &Value<'_>, scope: &Scope<'_>, key: &mut String) -> Result<(), Error> {
    if !value.is_exact {
        let what = "a key cannot hold half a surrogate pair";
        return Err(Error::new(Kind::Input, what)
            .stream(scope.stream)
            .field(value.name.clone()));
    }
    push_encoded(&value.text, key);
    Ok(())
}

/// Adds a text as a part of one token: `=HH` for each byte that has no place there, `=` alone for no text.
fn push_encoded(text: &str, key: &mut String) {
    if text.is_empty() {
        key.push('=');
    }
    for byte in text.bytes() {
        if is_plain(byte) {
            key.push(char::from(byte));
        } else {
            push_byte(byte, key);
        }
    }
}

fn is_plain(byte: u8) -> bool {
    is_bucket_byte(byte) || byte == b'/'
}

fn is_bucket_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests;
