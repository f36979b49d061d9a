//! The streams that were declared, each with its schema, its route and its worker.

use std::collections::HashMap;

use super::part::Slot;
use crate::route::StreamRoute;
use crate::singer::stream::Schema;

/// One declared stream.
pub(super) struct Stream {
    pub(super) name: Box<str>,
    pub(super) schema: Schema,
    pub(super) route: StreamRoute,
    /// All records of a stream go to one worker: that keeps their order.
    pub(super) worker: usize,
    pub(super) slot: Slot,
    pub(super) records: u64,
    /// How many of the records the last metric has told.
    pub(super) records_told: u64,
}

/// All declared streams, in the order of their first SCHEMA.
#[derive(Default)]
pub(super) struct Streams {
    streams: Vec<Stream>,
    places: HashMap<Box<str>, usize>,
    last: usize,
}

impl Streams {
    pub(super) fn find(&mut self, name: &str) -> Option<&mut Stream> {
        // Records of one stream come in runs.
        if self
            .streams
            .get(self.last)
            .is_none_or(|last| *last.name != *name)
        {
            self.last = *self.places.get(name)?;
        }
        self.streams.get_mut(self.last)
    }

    pub(super) fn add(&mut self, stream: Stream) {
        self.places.insert(stream.name.clone(), self.streams.len());
        self.streams.push(stream);
    }

    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.streams.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.streams.iter_mut()
    }
}
