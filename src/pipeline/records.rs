//! Records to messages: each is held against its stream, routed, and added to its worker's part.

use std::sync::Arc;

use super::flow::{Flow, logger};
use super::invalid::Bad;
use super::part::Payload;
use super::place::Lines;
use crate::broker::Limits;
use crate::error::{Error, Kind, shorten};
use crate::route::Routed;
use crate::singer::guide::Shape;
use crate::singer::stream::{Keys, check_record};

impl Flow {
    pub(super) fn take_record(
        &mut self,
        name: &str,
        record: &str,
        shape: Shape,
        lines: &Lines,
    ) -> Result<(), Error> {
        let place = self.place(name)?;
        if record == "null" {
            return Ok(());
        }
        check_record(record).map_err(|error| error.stream(name))?;
        if self.streams.at(place).waiting.is_some() {
            self.hold(place, record, shape, lines);
            return Ok(());
        }
        self.take_record_of(place, record, shape, lines)
    }

    /// Takes a record of the stream at this place, whose schema is registered.
    pub(super) fn take_record_of(
        &mut self,
        place: usize,
        record: &str,
        shape: Shape,
        lines: &Lines,
    ) -> Result<(), Error> {
        let stream = self.streams.at(place);
        match stream.schema.look_at_keys(record, shape) {
            Keys::Known => {}
            Keys::Missing(key) => {
                let what = "Record is missing one or more key_properties";
                let error = Error::new(Kind::Input, what)
                    .stream(&*stream.name)
                    .field(key);
                return self.take_invalid(place, record, lines, error);
            }
            Keys::Undeclared(fields) => {
                for field in fields {
                    let field = shorten(&field);
                    log::warn!(target: &logger(&stream.name), "No schema for record field '{field}'");
                }
            }
        }
        self.push(place, record, lines)
    }

    /// Adds a record of the stream at this place to its worker's part.
    pub(super) fn push(&mut self, place: usize, record: &str, lines: &Lines) -> Result<(), Error> {
        let limits = self.first_limits()?;
        let stream = self.streams.at(place);
        let builder = &mut self.lanes[stream.worker].builder;
        let route = match stream.route.route(record) {
            Ok(route) => route,
            Err(error) if stream.route.is_useless() => return Err(error),
            Err(error) => return self.take_invalid(place, record, lines, error),
        };
        if route.headers.is_some() && !limits.headers {
            let what = "the NATS server does not support headers, which this message needs";
            return Err(Error::new(Kind::Refused, what).stream(&*stream.name));
        }
        let payload = match route {
            Routed::Deletion(_) => Payload::Empty,
            _ if stream.encoding.is_verbatim() => Payload::Record,
            _ => match builder.encode(record, &stream.encoding) {
                Ok(payload) => payload,
                Err(error) => {
                    let error = error.stream(&*stream.name);
                    drop(route);
                    return self.take_invalid(place, record, lines, error);
                }
            },
        };
        let payload_bytes = payload.bytes(record);
        let bytes = route.message_bytes(payload_bytes);
        if bytes > limits.max_payload_bytes {
            let what = format!(
                "a record makes a message of {bytes} bytes, and the server takes {} (max_payload)",
                limits.max_payload_bytes
            );
            let error = Error::new(Kind::Refused, what).stream(&*stream.name);
            drop(route);
            builder.take_back(payload);
            return self.take_invalid(place, record, lines, error);
        }
        match route {
            Routed::Shared(route) => {
                builder.push_shared(lines, record, payload, route, &mut stream.slot);
            }
            Routed::Own(route) | Routed::Deletion(route) => {
                builder.push_own(lines, record, payload, route);
            }
        }
        stream.records += 1;
        let is_full = builder.is_full();
        self.messages += 1;
        self.counts.published += 1;
        self.counts.published_bytes += payload_bytes as u64;
        if is_full {
            self.hand_out(lines)?;
        }
        Ok(())
    }

    /// Does what the settings say about a record that cannot be published as it is.
    fn take_invalid(
        &mut self,
        place: usize,
        record: &str,
        lines: &Lines,
        error: Error,
    ) -> Result<(), Error> {
        let invalid = Arc::clone(&self.invalid);
        let bad = Bad {
            origin: &Arc::clone(self.streams.at(place).route.origin()),
            place: lines.place(lines.start_of(record)),
            bytes: record.len(),
            error,
        };
        if let Some(letter) = invalid.judge(&bad, || self.first_limits())? {
            let payload = if letter.has_record {
                Payload::Record
            } else {
                Payload::Empty
            };
            // By its stream's worker: a STATE is told by what every worker has confirmed.
            let worker = self.streams.at(place).worker;
            let builder = &mut self.lanes[worker].builder;
            builder.push_own(lines, record, payload, letter.route);
            self.messages += 1;
        }
        Ok(())
    }

    /// What the server allows, once there is one: a stream without records needs none.
    fn first_limits(&mut self) -> Result<Limits, Error> {
        match self.limits {
            Some(limits) => Ok(limits),
            None => self.await_connection(),
        }
    }

    /// Gives the workers what was added for them. All of it must be of this block.
    pub(super) fn hand_out(&mut self, lines: &Lines) -> Result<(), Error> {
        for worker in 0..self.lanes.len() {
            let builder = &mut self.lanes[worker].builder;
            if !builder.is_empty() {
                let part = builder.take(lines);
                self.send(worker, part)?;
            }
        }
        Ok(())
    }
}
