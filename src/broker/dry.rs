//! The delivery of `--dry-run`: it prints what would be published, and confirms it once it is printed.
//!
//! One line a message: subject, headers as a JSON object and payload, with a TAB between them. Framed payloads are
//! printed in hexadecimal, with a zero for the id of their schema, since no registry is asked.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Select;
use serde_json::{Map, Value};

use super::{Delivery, Limits, Notice, RunEnd, Stop};
use crate::error::{Error, Kind};
use crate::route::Route;
use crate::route::headers::Headers;
use crate::settings::registry::PayloadFormat;

/// Prints messages instead of publishing them.
pub(crate) struct Dry {
    output: BufWriter<Box<dyn Write + Send>>,
    is_hexadecimal: bool,
    printed: u64,
    confirmed: u64,
    outcome: Result<(), Error>,
}

impl Dry {
    pub(crate) fn new(output: Box<dyn Write + Send>, format: PayloadFormat) -> Self {
        Self {
            output: BufWriter::new(output),
            is_hexadecimal: format != PayloadFormat::Json,
            printed: 0,
            confirmed: 0,
            outcome: Ok(()),
        }
    }

    fn print(&mut self, route: &Route, payload: &[u8]) -> io::Result<()> {
        let headers: Map<String, Value> = route
            .headers
            .iter()
            .flat_map(Headers::iter)
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        write!(
            self.output,
            "{}\t{}\t",
            route.subject,
            Value::Object(headers)
        )?;
        if self.is_hexadecimal {
            for byte in payload {
                write!(self.output, "{byte:02x}")?;
            }
        } else {
            self.output.write_all(payload)?;
        }
        self.output.write_all(b"\n")
    }
}

impl Delivery for Dry {
    fn connect(&mut self, _run_end: &RunEnd) -> Result<Limits, Error> {
        Ok(Limits {
            max_payload_bytes: usize::MAX,
            headers: true,
        })
    }

    fn publish(&mut self, ordinal: u64, route: &Arc<Route>, payload: &[u8]) -> Result<(), Stop> {
        self.print(route, payload)
            .map_err(|error| Stop::Failed(unwritable(&error)))?;
        self.printed = ordinal;
        Ok(())
    }

    fn due(&mut self) -> Option<u64> {
        None
    }

    fn give_up(&mut self, ordinal: u64) {
        self.printed = ordinal;
    }

    fn request_confirmation(&mut self, _is_idle: bool) {
        match self.output.flush() {
            Ok(()) => self.confirmed = self.printed,
            Err(error) => self.outcome = Err(unwritable(&error)),
        }
    }

    fn poll(&mut self) -> Result<Option<Notice>, Error> {
        self.outcome.clone()?;
        let confirmed = std::mem::take(&mut self.confirmed);
        Ok((confirmed > 0).then_some(Notice::Confirmed(confirmed)))
    }

    fn watch<'a>(&'a self, _select: &mut Select<'a>) {}

    /// A request is answered at once.
    fn deadline(&self) -> Option<Instant> {
        (self.confirmed > 0 || self.outcome.is_err()).then(Instant::now)
    }
}

fn unwritable(error: &io::Error) -> Error {
    Error::new(Kind::Refused, "standard output cannot be written").cause(error)
}
