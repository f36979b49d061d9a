//! [`Headers`]: the only maker of a message's headers. Nothing in them can end a line or the block.

use std::fmt;

use super::template::{Part, Scope, Template};
use crate::error::{Error, Kind};

/// The headers of a message as they stand on the wire: `Name:value` lines with CRLF between them. Never empty.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Headers(String);

const LINE_END: &str = "\r\n";

/// What the wire has around the lines: the version line before, and the two line ends behind.
const FRAME_BYTES: usize = "NATS/1.0\r\n".len() + "\r\n\r\n".len();

impl Headers {
    /// Renders a record's headers: the given ones, and then those of the templates, in their order. A header
    /// whose value is empty is left out; `None` if that leaves none. Fails with [`Kind::Input`].
    pub(super) fn render<'a>(
        given: impl Iterator<Item = (&'static str, &'a str)>,
        templates: &[(String, Template)],
        scope: &Scope<'_>,
    ) -> Result<Option<Self>, Error> {
        let mut headers = Self(String::new());
        for (name, value) in given {
            headers.push(name, value);
        }
        for (name, template) in templates {
            let value = render_value(template, scope)?;
            check_value(&value).map_err(|what| {
                Error::new(Kind::Input, what)
                    .stream(scope.stream)
                    .field(format!("headers.{name}"))
            })?;
            // Receivers take blanks at the ends off, so they are no part of a value.
            let value = value.trim();
            if !value.is_empty() {
                headers.push(name, value);
            }
        }
        Ok((!headers.0.is_empty()).then_some(headers))
    }

    /// Headers with these values, of which there is at least one. Control characters become escapes.
    pub(super) fn of_texts(lines: &[(&str, String)]) -> Self {
        let mut headers = Self(String::new());
        for (name, value) in lines {
            let mut clean = String::with_capacity(value.len());
            for c in value.chars() {
                if c.is_control() {
                    clean.extend(c.escape_default());
                } else {
                    clean.push(c);
                }
            }
            headers.push(name, clean.trim());
        }
        headers
    }

    fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push_str(LINE_END);
        }
        self.0.push_str(name);
        self.0.push(':');
        self.0.push_str(value);
    }

    /// The first header's name, and everything behind its colon: its value and all the other lines.
    pub(crate) fn first_and_rest(&self) -> (&str, &str) {
        self.0.split_once(':').expect("every line has a colon")
    }

    /// All lines, as they stand on the wire.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Names and values in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .split(LINE_END)
            .filter_map(|line| line.split_once(':'))
    }

    /// Bytes on the wire, which count against the server's largest payload.
    pub(crate) fn wire_bytes(&self) -> usize {
        FRAME_BYTES + self.0.len()
    }
}

/// Headers of one message: those of its route, and lines that the delivery puts before them. Its buffer is
/// used for one message after the other.
#[derive(Debug)]
pub(crate) struct Stamp(Headers);

impl Stamp {
    pub(crate) fn new() -> Self {
        Self(Headers(String::new()))
    }

    /// The headers with these lines, of which there is at least one. Names and values are the program's own:
    /// nothing is checked.
    pub(crate) fn headers(&mut self, base: Option<&Headers>, lines: &[(&str, &str)]) -> &Headers {
        self.0.0.clear();
        for (name, value) in lines {
            self.0.push(name, value);
        }
        if let Some(base) = base {
            self.0.0.push_str(LINE_END);
            self.0.0.push_str(&base.0);
        }
        &self.0
    }
}

impl fmt::Display for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn render_value(template: &Template, scope: &Scope<'_>) -> Result<String, Error> {
    let mut text = String::new();
    for part in template.parts() {
        match part {
            Part::Text(literal) => text.push_str(literal),
            Part::Stream => text.push_str(scope.stream),
            Part::Key => {
                let values = scope.key()?;
                let values: Vec<&str> = values.iter().map(|value| &*value.text).collect();
                text.push_str(&values.join("."));
            }
            Part::Record { path, name } => text.push_str(&scope.record(path, name)?.text),
        }
    }
    Ok(text)
}

/// Fails if the literal text of a template makes every value illegal.
pub(super) fn check_literals(template: &Template) -> Result<(), &'static str> {
    template.parts().iter().try_for_each(|part| match part {
        Part::Text(text) => check_value(text),
        _ => Ok(()),
    })
}

fn check_value(text: &str) -> Result<(), &'static str> {
    if text.chars().any(char::is_control) {
        return Err("a header's value holds a control character");
    }
    Ok(())
}

/// Fails if a user may not give a header this name.
///
/// The server and other clients act on `Nats-*` and `KV-Operation`: such a header drops what it takes for a
/// duplicate (`Nats-Msg-Id`), deletes what was stored before (`Nats-Rollup`), keeps a message from being stored
/// that is confirmed all the same (`Nats-Trace-Only`, `Nats-Schedule`), or makes a value a deletion. What of
/// them is useful has a setting of its own (`message_id`, `jetstream_stream`, `kv_deletes`). `Nats-TTL` alone
/// does what it says and no more; in a bucket, where a value that ends brings the one before it back, it
/// does not.
pub(super) fn check_name(name: &str, is_kv: bool) -> Result<(), &'static str> {
    let is_legal = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b':');
    if !is_legal {
        return Err("a header's name is printable ASCII without space and colon");
    }
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "nats-ttl" if !is_kv => Ok(()),
        "nats-ttl" => {
            Err("a value of a bucket that ends brings an older one back, so it has no Nats-TTL")
        }
        "kv-operation" => {
            Err("the header means something to NATS and cannot be set (see kv_deletes)")
        }
        _ if lower.starts_with("nats-") => Err(
            "headers that begin with Nats- mean something to the server and cannot be set, but for Nats-TTL",
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_puts_lines_before_those_of_the_route() {
        let base = Headers::of_texts(&[("A", "1".to_owned()), ("B", "x:y".to_owned())]);
        let id = ("Nats-Msg-Id", "7");
        let mut stamp = Stamp::new();
        for (base, lines, text) in [
            (None, &[id][..], "Nats-Msg-Id:7"),
            (Some(&base), &[id], "Nats-Msg-Id:7\r\nA:1\r\nB:x:y"),
            (None, &[("S", ""), id], "S:\r\nNats-Msg-Id:7"),
            (
                Some(&base),
                &[id, id],
                "Nats-Msg-Id:7\r\nNats-Msg-Id:7\r\nA:1\r\nB:x:y",
            ),
        ] {
            let stamped = stamp.headers(base, lines);
            assert_eq!(stamped.to_string(), text);
            let (name, rest) = stamped.first_and_rest();
            assert_eq!(format!("{name}:{rest}"), text);
            assert_eq!(
                stamped.wire_bytes(),
                "NATS/1.0\r\n\r\n\r\n".len() + text.len()
            );
        }
    }

    #[test]
    fn a_stamp_uses_its_buffer_again() {
        let mut stamp = Stamp::new();
        stamp.headers(None, &[("Long", &"x".repeat(1000))]);
        let (pointer, capacity) = (stamp.0.0.as_ptr(), stamp.0.0.capacity());
        stamp.headers(None, &[("Nats-Msg-Id", &"y".repeat(900))]);
        assert_eq!(
            (stamp.0.0.as_ptr(), stamp.0.0.capacity()),
            (pointer, capacity)
        );
    }

    #[test]
    fn a_text_cannot_leave_its_header() {
        let headers = Headers::of_texts(&[("A", " x\r\nEvil: y\u{0}\u{85} ".to_owned())]);
        assert_eq!(headers.to_string(), r"A:x\r\nEvil: y\u{0}\u{85}");
        assert_eq!(headers.iter().count(), 1);
    }

    #[test]
    fn names_that_mean_something_to_the_server_are_refused() {
        for name in [
            "Source",
            "traceparent",
            "ce-id",
            "Nats",
            "X-Nats-Msg-Id",
            "KV",
            "Nats-TTL",
            "nats-ttl",
        ] {
            assert_eq!(check_name(name, false), Ok(()), "{name}");
        }
        for name in [
            "Nats-Msg-Id",
            "nats-msg-id",
            "NATS-ROLLUP",
            "Nats-Expected-Stream",
            "Nats-Schedule",
            "Nats-Trace-Only",
            "Nats-Batch-Id",
            "Nats-TTL-",
            "KV-Operation",
            "kv-operation",
        ] {
            assert!(check_name(name, false).is_err(), "{name}");
            assert!(check_name(name, true).is_err(), "{name}");
        }
        assert!(check_name("Nats-TTL", true).is_err());
    }
}
