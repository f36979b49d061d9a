//! [`Subject`]: the only maker of a subject. What it lets through, the server takes as one subject, and
//! somebody can receive it (spec nats.md 1a: the crate checks nothing, and the server little).

use std::fmt::{self, Write};

use super::origin;
use super::template::{Part, Scope, Template, Value};
use crate::error::{Error, Kind};
use crate::settings::SubjectInvalid;

/// The longest subject, in bytes. The server's control line holds 4096 bytes with verb, reply and sizes.
const MAX_SUBJECT_BYTES: usize = 3900;

/// The first token of subjects on which clients await replies.
const INBOX: &str = "_INBOX";

/// A subject that may go to the wire.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Subject(Box<str>);

impl Subject {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A text that is a subject already, or why it is none.
    pub(super) fn checked(text: String) -> Result<Self, &'static str> {
        check(&text)?;
        Ok(Self(text.into()))
    }

    /// Renders a record's subject. Fails with [`Kind::Input`].
    pub(super) fn render(
        template: &Template,
        scope: &Scope<'_>,
        invalid: SubjectInvalid,
    ) -> Result<Self, Error> {
        let mut text = String::new();
        for part in template.parts() {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Stream => push_stream(scope.stream, invalid, &mut text),
                Part::Key => {
                    for (place, value) in scope.key()?.iter().enumerate() {
                        if place > 0 {
                            text.push('.');
                        }
                        push_value(value, scope, invalid, &mut text)?;
                    }
                }
                Part::Record { path, name } => {
                    push_value(&scope.record(path, name)?, scope, invalid, &mut text)?;
                }
            }
        }
        if leads_astray(&text, template) && !mend_start(&mut text, invalid) {
            return Err(refuse(
                "the subject would start with a name reserved by NATS",
                scope,
            ));
        }
        Self::checked(text).map_err(|what| match template.only_record_field() {
            Some(name) => Error::new(Kind::Input, what)
                .stream(scope.stream)
                .field(name),
            None => refuse(what, scope),
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Fails if the literal text of a template makes every subject illegal.
pub(super) fn check_literals(template: &Template) -> Result<(), &'static str> {
    let sample: String = template
        .parts()
        .iter()
        .map(|part| match part {
            Part::Text(text) => text,
            _ => "x",
        })
        .collect();
    check(&sample)
}

fn refuse(what: &str, scope: &Scope<'_>) -> Error {
    Error::new(Kind::Input, what)
        .stream(scope.stream)
        .field("subject")
}

/// Why a text is no subject to publish to.
fn check(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("the subject is empty");
    }
    if text.len() > MAX_SUBJECT_BYTES {
        return Err("the subject is longer than 3900 bytes");
    }
    if text.bytes().any(is_space) {
        return Err("the subject holds white space");
    }
    for token in text.split('.') {
        match token {
            "" => return Err("the subject has an empty token"),
            "*" | ">" => return Err("the subject has a wildcard token"),
            _ => {}
        }
    }
    Ok(())
}

/// What ends a subject on the wire, or the whole line.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Covers all subjects of a stream with so many key properties. It is legal if a subject of the stream is.
pub(super) fn filter(
    template: &Template,
    stream: &str,
    keys: usize,
    invalid: SubjectInvalid,
) -> String {
    let mut name = String::new();
    push_stream(stream, invalid, &mut name);
    let mut filter = origin::filter(template, &name, keys);
    // Where data make the start, the first token is a `*`, and that is not reserved.
    if leads_astray(&filter, template) {
        mend_start(&mut filter, invalid);
    }
    filter
}

/// Whether data lead to where NATS has names of its own. What the operator wrote at the start is the
/// operator's decision.
fn leads_astray(text: &str, template: &Template) -> bool {
    is_reserved(text) && !is_reserved(template.literal_start())
}

/// Mends a reserved start, if the policy is to mend.
fn mend_start(text: &mut String, invalid: SubjectInvalid) -> bool {
    match invalid {
        SubjectInvalid::Reject => return false,
        SubjectInvalid::Replace if text.starts_with('$') => text.replace_range(..1, "_"),
        SubjectInvalid::Replace => text.insert(0, '_'),
        SubjectInvalid::Encode => {
            let rest = text.split_off(1);
            let first = std::mem::take(text).as_bytes()[0];
            push_byte(first, text);
            text.push_str(&rest);
        }
    }
    true
}

fn is_reserved(text: &str) -> bool {
    text.starts_with('$') || text.split('.').next() == Some(INBOX)
}

/// Adds a stream's name, which may have dots: each of its tokens is mended by itself.
fn push_stream(name: &str, invalid: SubjectInvalid, text: &mut String) {
    for (place, token) in name.split('.').enumerate() {
        if place > 0 {
            text.push('.');
        }
        push_token(token, invalid, text);
    }
}

/// Adds a record's value as one token.
fn push_value(
    value: &Value<'_>,
    scope: &Scope<'_>,
    invalid: SubjectInvalid,
    text: &mut String,
) -> Result<(), Error> {
    if invalid == SubjectInvalid::Reject && value.text.contains('.') {
        let what = "the subject holds a dot, which would begin another token";
        return Err(Error::new(Kind::Input, what)
            .stream(scope.stream)
            .field(value.name.clone()));
    }
    push_token(&value.text, invalid, text);
    Ok(())
}

/// Adds a token, mended as the policy says.
fn push_token(token: &str, invalid: SubjectInvalid, text: &mut String) {
    let is_wildcard = matches!(token, "*" | ">");
    match invalid {
        SubjectInvalid::Reject => text.push_str(token),
        SubjectInvalid::Replace if token.is_empty() || is_wildcard => text.push('_'),
        SubjectInvalid::Replace => text.extend(token.chars().map(|c| {
            let is_illegal = c == '.' || u8::try_from(c).is_ok_and(is_space);
            if is_illegal { '_' } else { c }
        })),
        SubjectInvalid::Encode if token.is_empty() => text.push('='),
        SubjectInvalid::Encode => {
            for c in token.chars() {
                match u8::try_from(c) {
                    Ok(byte) if is_space(byte) || matches!(c, '.' | '=') || is_wildcard => {
                        push_byte(byte, text);
                    }
                    _ => text.push(c),
                }
            }
        }
    }
}

/// Adds the code of a byte that has no place in a token.
pub(super) fn push_byte(byte: u8, text: &mut String) {
    write!(text, "={byte:02X}").expect("a String takes everything");
}

/// The value that a token encodes, for the test that says so.
#[cfg(test)]
pub(super) fn decode_token(token: &str) -> Option<String> {
    if token == "=" {
        return Some(String::new());
    }
    let mut parts = token.split('=');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        text.push(char::from(u8::from_str_radix(part.get(..2)?, 16).ok()?));
        text.push_str(&part[2..]);
    }
    Some(text)
}
