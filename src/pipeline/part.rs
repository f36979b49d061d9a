//! A [`Part`]: some records of one block that go to one worker. Payloads are slices of the block, which
//! stays alive until they are confirmed, or were made of its records and lie beside it.

use std::sync::Arc;

use super::place::{Lines, Place};
use crate::encode::payload::Encoding;
use crate::error::Error;
use crate::route::Route;

/// Encoded payloads of a part, above which another is begun: a block's records may become many times its size.
const FULL_BYTES: usize = 4 * 1024 * 1024;

/// Room for encoded payloads that a part may have beyond what it holds.
const MOST_SPARE_BYTES: usize = 1024 * 1024;

/// Records for one worker, in input order, with their routes.
#[derive(Debug)]
pub(super) struct Part {
    lines: Lines,
    /// The routes of the records, each once where records share it.
    routes: Vec<Arc<Route>>,
    items: Vec<Item>,
    encoded: Vec<u8>,
    payload_bytes: usize,
}

/// One record: where it lies in the block, and what of it is published. Blocks are shorter than 4 GiB.
#[derive(Clone, Copy, Debug)]
struct Item {
    start: u32,
    length: u32,
    route: u32,
    payload: Payload,
}

/// What of a record is published.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payload {
    /// The record as it was received.
    Record,
    /// Nothing: a delete marker, or a dead letter that has no room for its record.
    Empty,
    /// What [`Builder::encode`] has made of it.
    Encoded(Encoded),
}

/// Where an encoded payload lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoded {
    start: u32,
    length: u32,
}

impl Payload {
    /// Its size, the record being this.
    pub(super) fn bytes(self, record: &str) -> usize {
        match self {
            Self::Record => record.len(),
            Self::Empty => 0,
            Self::Encoded(encoded) => encoded.length as usize,
        }
    }
}

impl Part {
    /// A message's route and payload; they count from 0.
    pub(super) fn message(&self, index: usize) -> (&Arc<Route>, &[u8]) {
        let item = &self.items[index];
        let payload = match item.payload {
            Payload::Record => self.record(index),
            Payload::Empty => b"",
            Payload::Encoded(Encoded { start, length }) => {
                &self.encoded[start as usize..][..length as usize]
            }
        };
        (&self.routes[item.route as usize], payload)
    }

    /// The record as it was received.
    pub(super) fn record(&self, index: usize) -> &[u8] {
        let item = &self.items[index];
        &self.lines.block.bytes()[item.start as usize..][..item.length as usize]
    }

    /// Where that record stands in the input. It costs a look at the block.
    pub(super) fn place(&self, index: usize) -> Place {
        self.lines.place(self.items[index].start as usize)
    }

    pub(super) fn messages(&self) -> usize {
        self.items.len()
    }

    pub(super) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }
}

/// The part of a worker that is being filled. All its records are of one block.
#[derive(Debug)]
pub(super) struct Builder {
    routes: Vec<Arc<Route>>,
    items: Vec<Item>,
    encoded: Vec<u8>,
    payload_bytes: usize,
    /// Tells the parts apart, for [`Slot`].
    serial: u64,
}

/// Where a stream's shared route stands in the part that is being filled, if it does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    serial: u64,
    index: u32,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            routes: Vec::new(),
            items: Vec::new(),
            encoded: Vec::new(),
            payload_bytes: 0,
            serial: 1,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the part should be taken before its block ends.
    pub(super) fn is_full(&self) -> bool {
        self.encoded.len() >= FULL_BYTES
    }

    pub(super) fn messages(&self) -> usize {
        self.items.len()
    }

    /// Makes a payload of a record, for the message that is pushed next.
    pub(super) fn encode(&mut self, record: &str, encoding: &Encoding) -> Result<Payload, Error> {
        let start = self.encoded.len();
        if let Err(error) = encoding.encode(record, &mut self.encoded) {
            self.give_back(start);
            return Err(error);
        }
        Ok(Payload::Encoded(Encoded {
            start: narrow(start),
            length: narrow(self.encoded.len() - start),
        }))
    }

    /// A payload that was made is not pushed after all.
    pub(super) fn take_back(&mut self, payload: Payload) {
        if let Payload::Encoded(Encoded { start, .. }) = payload {
            self.give_back(start as usize);
        }
    }

    /// Takes out what was encoded from here on. Its room, too, where it was large: the part would keep it until it is
    /// confirmed.
    fn give_back(&mut self, start: usize) {
        self.encoded.truncate(start);
        if self.encoded.capacity() > MOST_SPARE_BYTES {
            self.encoded.shrink_to(start);
        }
    }

    /// Adds a record with a route that the stream's records share; `slot` is the stream's.
    pub(super) fn push_shared(
        &mut self,
        lines: &Lines,
        record: &str,
        payload: Payload,
        route: &Arc<Route>,
        slot: &mut Slot,
    ) {
        if slot.serial != self.serial {
            *slot = Slot {
                serial: self.serial,
                index: self.add_route(Arc::clone(route)),
            };
        }
        self.push(lines, record, payload, slot.index);
    }

    /// Adds a record with a route of its own.
    pub(super) fn push_own(
        &mut self,
        lines: &Lines,
        record: &str,
        payload: Payload,
        route: Arc<Route>,
    ) {
        // It is kept as long as the payload.
        self.payload_bytes += route.own_bytes();
        let index = self.add_route(route);
        self.push(lines, record, payload, index);
    }

    fn add_route(&mut self, route: Arc<Route>) -> u32 {
        self.routes.push(route);
        narrow(self.routes.len() - 1)
    }

    fn push(&mut self, lines: &Lines, record: &str, payload: Payload, route: u32) {
        self.payload_bytes += payload.bytes(record);
        self.items.push(Item {
            start: narrow(lines.start_of(record)),
            length: narrow(record.len()),
            route,
            payload,
        });
    }

    /// Ends the part; the next record begins another. `lines` are of the block that all records were of.
    pub(super) fn take(&mut self, lines: &Lines) -> Part {
        self.serial += 1;
        Part {
            lines: lines.clone(),
            routes: std::mem::take(&mut self.routes),
            items: std::mem::take(&mut self.items),
            encoded: std::mem::take(&mut self.encoded),
            payload_bytes: std::mem::take(&mut self.payload_bytes),
        }
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a block, and what is made of it, are far below 4 GiB")
}
