//! The delivery of `--dry-run`: it prints what would be published, and confirms it once it is printed.
//!
//! One line a message: subject, headers as a JSON object and payload, with a TAB between them.

use std::io::{BufWriter, Write};

use crossbeam_channel::{Receiver, Sender};
use serde_json::{Map, Value};

use super::{Delivery, Limits, Lost, Notice, RunEnd};
use crate::error::{Error, Kind};
use crate::route::Route;
use crate::route::headers::Headers;

/// Prints messages instead of publishing them.
pub(crate) struct Dry {
    output: BufWriter<Box<dyn Write + Send>>,
    failure: Option<Error>,
    sender: Sender<Notice>,
    notices: Receiver<Notice>,
}

impl Dry {
    pub(crate) fn new(output: Box<dyn Write + Send>) -> Self {
        let (sender, notices) = crossbeam_channel::unbounded();
        Self {
            output: BufWriter::new(output),
            failure: None,
            sender,
            notices,
        }
    }

    fn fail(&mut self, error: &std::io::Error) {
        let failure = Error::new(Kind::Refused, "standard output cannot be written").cause(error);
        self.failure.get_or_insert(failure);
        // A worker that has ended need not be told.
        let _ = self.sender.send(Notice::Lost);
    }
}

impl Delivery for Dry {
    fn connect(&mut self, _run_end: &RunEnd) -> Result<Limits, Error> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(Limits {
                max_payload_bytes: usize::MAX,
                headers: true,
            }),
        }
    }

    fn publish(&mut self, route: &Route, payload: &[u8]) -> Result<(), Lost> {
        let headers: Map<String, Value> = route
            .headers
            .iter()
            .flat_map(Headers::iter)
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let print = || {
            write!(
                self.output,
                "{}\t{}\t",
                route.subject,
                Value::Object(headers)
            )?;
            self.output.write_all(payload)?;
            self.output.write_all(b"\n")
        };
        print().map_err(|error| {
            self.fail(&error);
            Lost
        })
    }

    fn request_confirmation(&mut self, position: u64) {
        match self.output.flush() {
            Ok(()) => drop(self.sender.send(Notice::Confirmed(position))),
            Err(error) => self.fail(&error),
        }
    }

    fn notices(&self) -> &Receiver<Notice> {
        &self.notices
    }
}
