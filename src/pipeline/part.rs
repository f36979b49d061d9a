//! A [`Part`]: some records of one block that go to one worker. Payloads are slices of the block, which
//! stays alive until they are confirmed.

use std::sync::Arc;

use super::place::{Lines, Place};
use crate::route::Route;

/// Records for one worker, in input order, with their routes.
#[derive(Debug)]
pub(super) struct Part {
    lines: Lines,
    /// The routes of the records, each once where records share it.
    routes: Vec<Arc<Route>>,
    items: Vec<Item>,
    payload_bytes: usize,
}

/// One record: where it lies in the block, and how much of it is the payload. Blocks are shorter than 4 GiB.
#[derive(Clone, Copy, Debug)]
struct Item {
    start: u32,
    /// 0 for a message without payload: a delete marker, or a dead letter that has no room for its record.
    length: u32,
    route: u32,
}

impl Part {
    /// A record's route and payload; records count from 0.
    pub(super) fn record(&self, index: usize) -> (&Arc<Route>, &[u8]) {
        let item = &self.items[index];
        let payload = &self.lines.block.bytes()[item.start as usize..][..item.length as usize];
        (&self.routes[item.route as usize], payload)
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
            payload_bytes: 0,
            serial: 1,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn messages(&self) -> usize {
        self.items.len()
    }

    /// Adds a record with a route that the stream's records share; `slot` is the stream's.
    pub(super) fn push_shared(
        &mut self,
        lines: &Lines,
        payload: &str,
        route: &Arc<Route>,
        slot: &mut Slot,
    ) {
        if slot.serial != self.serial {
            *slot = Slot {
                serial: self.serial,
                index: self.add_route(Arc::clone(route)),
            };
        }
        self.push(lines, payload, slot.index);
    }

    /// Adds a record with a route of its own. A payload that is empty is a slice of the block all the same:
    /// it tells where the record is.
    pub(super) fn push_own(&mut self, lines: &Lines, payload: &str, route: Arc<Route>) {
        // It is kept as long as the payload.
        self.payload_bytes += route.own_bytes();
        let index = self.add_route(route);
        self.push(lines, payload, index);
    }

    fn add_route(&mut self, route: Arc<Route>) -> u32 {
        self.routes.push(route);
        narrow(self.routes.len() - 1)
    }

    fn push(&mut self, lines: &Lines, payload: &str, route: u32) {
        self.payload_bytes += payload.len();
        self.items.push(Item {
            start: narrow(lines.start_of(payload)),
            length: narrow(payload.len()),
            route,
        });
    }

    /// Ends the part; the next record begins another. `lines` are of the block that all records were of.
    pub(super) fn take(&mut self, lines: &Lines) -> Part {
        self.serial += 1;
        Part {
            lines: lines.clone(),
            routes: std::mem::take(&mut self.routes),
            items: std::mem::take(&mut self.items),
            payload_bytes: std::mem::take(&mut self.payload_bytes),
        }
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a block is bounded by the longest line, far below 4 GiB")
}
