//! [`Headers`]: the only maker of a message's headers. Nothing in them can end a line or the block.

use std::fmt;

use super::template::{Part, Scope, Template};
use crate::error::{Error, Kind};

/// The headers of a message as they stand on the wire: `Name:value` lines with CRLF between them. Never empty.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Headers(String);

/// What the wire has around the lines: the version line before, and the two line ends behind.
const FRAME_BYTES: usize = "NATS/1.0\r\n".len() + "\r\n\r\n".len();

impl Headers {
    /// Renders a record's headers, in the order of the templates. A header whose value is empty is left out;
    /// `None` if that leaves none. Fails with [`Kind::Input`].
    pub(super) fn render(
        templates: &[(String, Template)],
        scope: &Scope<'_>,
    ) -> Result<Option<Self>, Error> {
        let mut lines = String::new();
        for (name, template) in templates {
            let value = render_value(template, scope)?;
            check_value(&value).map_err(|what| {
                Error::new(Kind::Input, what)
                    .stream(scope.stream)
                    .field(format!("headers.{name}"))
            })?;
            // Receivers take blanks at the ends off, so they are no part of a value.
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            if !lines.is_empty() {
                lines.push_str("\r\n");
            }
            lines.push_str(name);
            lines.push(':');
            lines.push_str(value);
        }
        Ok((!lines.is_empty()).then_some(Self(lines)))
    }

    /// The first header's name, and everything behind its colon: its value and all the other lines.
    pub(crate) fn first_and_rest(&self) -> (&str, &str) {
        self.0.split_once(':').expect("every line has a colon")
    }

    /// Names and values in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split("\r\n").filter_map(|line| line.split_once(':'))
    }

    /// Bytes on the wire, which count against the server's largest payload.
    pub(crate) fn wire_bytes(&self) -> usize {
        FRAME_BYTES + self.0.len()
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

pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    if !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b':')
    {
        Ok(())
    } else {
        Err("a header's name is printable ASCII without space and colon")
    }
}
