//! The template language of subjects and headers: text with `{stream}`, `{queue_prefix}`, `{key}` and
//! `{record.a.b}` in it; `{{` and `}}` stand for the braces themselves.

use std::borrow::Cow;

use crate::error::{Error, Kind};
use crate::singer::stream::key_values;
use crate::singer::value::{field, string_inside, unescape};

/// A parsed template. `{queue_prefix}` is text from here on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    Stream,
    Key,
    /// A path into the record, and its name as the template gives it.
    Record {
        path: Vec<String>,
        name: String,
    },
}

/// What the fields of a template stand for.
pub(crate) struct Scope<'a> {
    pub(crate) stream: &'a str,
    pub(crate) key_properties: &'a [String],
    pub(crate) record: &'a str,
}

/// The value of one field, and how it is named in errors.
pub(crate) struct Value<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) name: String,
    /// Whether no other value of a record has this text, numbers and words aside. It is not where half a
    /// surrogate pair, which no text can hold, was replaced.
    pub(crate) is_exact: bool,
}

impl Template {
    pub(crate) fn parse(text: &str, queue_prefix: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = behind;
                continue;
            }
            if brace == "}" {
                return Err("'}' without '{'".to_owned());
            }
            let (name, behind) = rest.split_once('}').ok_or("'{' without '}'")?;
            rest = behind;
            let part = match name.split_once('.') {
                None if name == "queue_prefix" => {
                    literal.push_str(queue_prefix);
                    continue;
                }
                None if name == "stream" => Part::Stream,
                None if name == "key" => Part::Key,
                Some(("record", path)) if path.split('.').all(|key| !key.is_empty()) => {
                    Part::Record {
                        path: path.split('.').map(str::to_owned).collect(),
                        name: name.to_owned(),
                    }
                }
                _ => {
                    return Err(format!(
                        "unknown field {{{name}}}; there are {{stream}}, {{queue_prefix}}, {{key}} and {{record.<name>}}"
                    ));
                }
            };
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(part);
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts })
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether every record of a stream gets the same text.
    pub(crate) fn is_constant(&self) -> bool {
        self.parts
            .iter()
            .all(|part| matches!(part, Part::Text(_) | Part::Stream))
    }

    /// Whether two streams have different texts.
    pub(crate) fn names_stream(&self) -> bool {
        self.parts.contains(&Part::Stream)
    }

    /// Whether it can be rendered only for streams with key properties.
    pub(crate) fn needs_key(&self) -> bool {
        self.parts.contains(&Part::Key)
    }

    /// The one field that varies, if it is one of the record: what is wrong with a text is wrong with it.
    pub(crate) fn only_record_field(&self) -> Option<&str> {
        let mut fields = self
            .parts
            .iter()
            .filter(|part| !matches!(part, Part::Text(_)));
        match (fields.next(), fields.next()) {
            (Some(Part::Record { name, .. }), None) => Some(name),
            _ => None,
        }
    }

    /// The text before the first field.
    pub(crate) fn literal_start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }
}

impl<'a> Scope<'a> {
    /// The key properties' values, in order. Fails with [`Kind::Input`], also where there are none.
    pub(crate) fn key(&self) -> Result<Vec<Value<'a>>, Error> {
        if self.key_properties.is_empty() {
            return Err(Error::new(
                Kind::Input,
                "a template needs the key, and the stream has no key properties",
            )
            .stream(self.stream)
            .field("key"));
        }
        std::iter::zip(
            self.key_properties,
            key_values(self.record, self.key_properties),
        )
        .map(|(key, value)| self.text(value, format!("record.{key}")))
        .collect()
    }

    /// A field of the record. Fails with [`Kind::Input`] where it is missing or no scalar.
    pub(crate) fn record(&self, path: &[String], name: &str) -> Result<Value<'a>, Error> {
        self.text(field(self.record, path), name.to_owned())
    }

    fn text(&self, value: Option<&'a str>, name: String) -> Result<Value<'a>, Error> {
        let fail = |what: &str| {
            Err(Error::new(Kind::Input, what)
                .stream(self.stream)
                .field(name.clone()))
        };
        let Some(value) = value else {
            return fail("a template's field is not in the record");
        };
        let mut is_exact = true;
        let text = match (string_inside(value), value.as_bytes()) {
            (Some(inside), _) => {
                let text = unescape(inside);
                if text.contains(char::REPLACEMENT_CHARACTER) {
                    // It may stand in the record as such; serde_json tells.
                    is_exact = serde_json::from_str::<String>(value).is_ok();
                }
                text
            }
            (None, [b'{' | b'[', ..] | b"null") => {
                return fail("a template needs a string, number or boolean");
            }
            (None, _) => Cow::Borrowed(value),
        };
        Ok(Value {
            text,
            name,
            is_exact,
        })
    }
}
