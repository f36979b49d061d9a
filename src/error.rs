//! The error of a run: what went wrong, where, and who can mend it.
//!
//! [`Kind`] decides the exit code and nothing else does. An error is rendered as one line; it never
//! holds a secret or the content of a record.

use std::fmt;

/// Who must act on an error. The exit codes follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The tap's owner: the input is not what a Singer target can read.
    Input,
    /// The administrator of NATS, of the registry, or of whatever else said no.
    Refused,
    /// The authors of this program.
    Internal,
    /// The caller: a command line that cannot be understood.
    Usage,
    /// The caller: a setting that is missing, wrong or contradicts another.
    Config,
    /// Nobody: try again later.
    Unavailable,
    /// Nobody: the run was ended by this signal.
    Signal(i32),
}

impl Kind {
    /// The exit code of a process that ends with this kind of error (`EX_TEMPFAIL` of sysexits.h is 75).
    #[must_use]
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Input | Self::Refused | Self::Internal => 1,
            Self::Usage | Self::Config => 2,
            Self::Unavailable => 75,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// An error with its place in the input and its cause, as far as they are known.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: Kind,
    what: String,
    line: Option<u64>,
    stream: Option<String>,
    field: Option<String>,
    cause: Option<String>,
}

impl Error {
    pub(crate) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            what: what.into(),
            line: None,
            stream: None,
            field: None,
            cause: None,
        }))
    }

    /// Adds the line of the input, counted from 1, unless a line is known already.
    pub(crate) fn line(mut self, line: u64) -> Self {
        self.0.line.get_or_insert(line);
        self
    }

    /// Adds the Singer stream, unless a stream is known already.
    pub(crate) fn stream(mut self, stream: impl Into<String>) -> Self {
        self.0.stream.get_or_insert_with(|| shorten(&stream.into()));
        self
    }

    /// Adds the field of the message or record, unless a field is known already.
    pub(crate) fn field(mut self, field: impl Into<String>) -> Self {
        self.0.field.get_or_insert_with(|| shorten(&field.into()));
        self
    }

    /// Adds what another party said of it. It must not hold a secret or the content of a record.
    pub(crate) fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause.get_or_insert_with(|| cause.to_string());
        self
    }

    /// Who must act.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }
}

/// `<what> (line 812, stream users, field email): <cause>`, on one line whatever the parts hold.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let mut text = inner.what.clone();
        let places: Vec<String> = [
            inner.line.map(|line| format!("line {line}")),
            inner.stream.as_ref().map(|name| format!("stream {name}")),
            inner.field.as_ref().map(|name| format!("field {name}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !places.is_empty() {
            text += " (";
            text += &places.join(", ");
            text += ")";
        }
        if let Some(cause) = &inner.cause {
            text += ": ";
            text += cause;
        }
        f.write_str(&render_one_line(&text))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {}

/// A name that comes from outside, cut to what a reader can use: it may be of any length.
pub(crate) fn shorten(name: &str) -> String {
    const MOST_CHARS: usize = 100;
    match name.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}

/// Control characters as escapes: what a log or a terminal shows is what was meant.
fn render_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_and_why_on_one_line() {
        let error = Error::new(Kind::Input, "no such key")
            .line(812)
            .stream("us\ners")
            .field("email")
            .cause("a\tb");
        assert_eq!(
            error.to_string(),
            r"no such key (line 812, stream us\ners, field email): a\tb"
        );
        assert_eq!(error.line(1).to_string().matches("812").count(), 1);
    }

    #[test]
    fn exit_codes_follow_from_the_kind() {
        let codes = [
            (Kind::Input, 1),
            (Kind::Refused, 1),
            (Kind::Internal, 1),
            (Kind::Usage, 2),
            (Kind::Config, 2),
            (Kind::Unavailable, 75),
            (Kind::Signal(15), 143),
        ];
        for (kind, code) in codes {
            assert_eq!(kind.exit_code(), code, "{kind:?}");
        }
    }
}
