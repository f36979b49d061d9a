//! The fast way to a message: a line that is written as one before it was is compared with that, and only
//! its values are read. That makes parsing twice as fast.
//!
//! It never says what is wrong with a line: what it does not take, `message.rs` reads key by key, and shows
//! it how such lines are written.

use super::guide::Guide;
use super::json::Scanner;
use super::message::Message;
use super::value::{string_inside, unescape};

/// How the last RECORD and STATE were written: the texts between their values.
#[derive(Default)]
pub(crate) struct Alike<'a> {
    /// A RECORD up to its stream's name, where only its type stands before that.
    pub(super) before_stream: Option<&'a str>,
    /// From behind a value to the record.
    pub(super) before_record: Option<&'a str>,
    pub(super) record: Guide<'a>,
    /// From behind the record to each of the values behind it, none of which means anything in a RECORD.
    pub(super) behind_record: Vec<&'a str>,
    /// A STATE up to its value, where only its type stands before that.
    pub(super) before_state: Option<&'a str>,
}

impl<'a> Alike<'a> {
    /// Parses a line that is written alike; `None` says nothing of any other.
    pub(super) fn parse(&mut self, line: &'a str) -> Option<Message<'a>> {
        let mut scanner = Scanner::new(line);
        let message = if scanner.take(self.before_stream) {
            let stream = string_inside(scanner.value().ok()?).map(unescape)?;
            if !scanner.take(self.before_record) {
                return None;
            }
            let record = self.record.value(&mut scanner).ok()?;
            for text in &self.behind_record {
                if !scanner.take(Some(text)) {
                    return None;
                }
                scanner.value().ok()?;
            }
            let shape = self.record.shape();
            Message::Record {
                stream,
                record,
                shape,
            }
        } else if scanner.take(self.before_state) {
            let value = scanner.value().ok()?;
            Message::State { value }
        } else {
            return None;
        };
        let is_whole = scanner.take(Some("}")) && scanner.end().is_ok();
        is_whole.then_some(message)
    }
}
