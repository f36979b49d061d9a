//! [`DeadLetters`]: the addresses of messages that tell of a record which could not be published.

use std::sync::Arc;

use super::Route;
use super::headers::Headers;
use super::origin::Origin;
use super::subject::Subject;
use crate::error::Error;
use crate::settings::Settings;

/// The Singer stream.
const STREAM: &str = "Target-Nats-Stream";
/// The line of the input, counted from 1: of the record, or of the BATCH message.
const LINE: &str = "Target-Nats-Line";
/// The row in the BATCH file, counted from 1, and the file.
const ROW: &str = "Target-Nats-Row";
const FILE: &str = "Target-Nats-File";
const REASON: &str = "Target-Nats-Reason";
/// The record's size, where the record itself is left out.
const BYTES: &str = "Target-Nats-Bytes";

/// What all dead letters have in common.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetters {
    subject: Subject,
    origin: Arc<Origin>,
}

/// A record that could not be published.
pub(crate) struct Letter<'a> {
    pub(crate) stream: &'a str,
    pub(crate) line: u64,
    /// The row in a BATCH file, and the file's path.
    pub(crate) row: Option<(u64, &'a str)>,
    /// Without content of the record.
    pub(crate) reason: &'a str,
    pub(crate) record_bytes: usize,
}

impl DeadLetters {
    /// Fails with `Config` where the settings do not name a subject.
    pub(super) fn compile(settings: &Settings) -> Result<Self, Error> {
        let key = "dead_letter_subject";
        let text = settings.dead_letter_subject.as_deref().ok_or_else(|| {
            super::config(
                key,
                "on_invalid_record dead_letter needs it, and it is not set",
            )
        })?;
        let subject = Subject::checked(text.to_owned()).map_err(|what| super::config(key, what))?;
        Ok(Self {
            origin: Arc::new(Origin {
                stream: "(dead letters)".into(),
                filter: text.into(),
            }),
            subject,
        })
    }

    /// Whether this is the address of a dead letter.
    pub(super) fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    pub(crate) fn have(&self, origin: &Arc<Origin>) -> bool {
        Arc::ptr_eq(&self.origin, origin)
    }

    /// The address of a letter that has the record as its payload.
    pub(crate) fn with_record(&self, letter: &Letter<'_>) -> Route {
        self.route(letter, false)
    }

    /// The address of a letter without payload, for a record that has no room in one.
    pub(crate) fn without_record(&self, letter: &Letter<'_>) -> Route {
        self.route(letter, true)
    }

    /// The address of the same letter without its record, for which there was no room after all.
    pub(crate) fn bare(&self, letter: &Route, record_bytes: usize) -> Route {
        let lines = letter.headers.iter().flat_map(Headers::iter);
        let lines = lines.map(|(name, value)| (name, value.to_owned()));
        let bytes = (BYTES, record_bytes.to_string());
        let lines: Vec<_> = lines.chain([bytes]).collect();
        Route {
            subject: self.subject.clone(),
            headers: Some(Headers::of_texts(&lines)),
            origin: Arc::clone(&self.origin),
        }
    }

    fn route(&self, letter: &Letter<'_>, tells_bytes: bool) -> Route {
        let mut lines = vec![
            (STREAM, letter.stream.to_owned()),
            (LINE, letter.line.to_string()),
        ];
        if let Some((row, file)) = letter.row {
            lines.push((ROW, row.to_string()));
            lines.push((FILE, file.to_owned()));
        }
        lines.push((REASON, letter.reason.to_owned()));
        if tells_bytes {
            lines.push((BYTES, letter.record_bytes.to_string()));
        }
        Route {
            subject: self.subject.clone(),
            headers: Some(Headers::of_texts(&lines)),
            origin: Arc::clone(&self.origin),
        }
    }
}
