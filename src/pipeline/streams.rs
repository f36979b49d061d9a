//! The streams that were declared, each with its schema, its route and its worker.

use std::collections::HashMap;

use super::part::Slot;
use super::schemas::Waiting;
use crate::encode::payload::Encoding;
use crate::route::StreamRoute;
use crate::singer::stream::Schema;

/// One declared stream.
pub(super) struct Stream {
    pub(super) name: Box<str>,
    pub(super) schema: Schema,
    pub(super) route: StreamRoute,
    pub(super) encoding: Encoding,
    /// The schema is being registered: records wait until it is.
    pub(super) waiting: Option<Waiting>,
    /// All records of a stream go to one worker: that keeps their order.
    pub(super) worker: usize,
    pub(super) slot: Slot,
    pub(super) records: u64,
    /// The stream whose message came after one of this one's the last time.
    pub(super) next: usize,
    /// How many of the records the last metric has told.
    pub(super) records_told: u64,
}

/// All declared streams, in the order of their first SCHEMA.
#[derive(Default)]
pub(super) struct Streams {
    all: Vec<Stream>,
    places: HashMap<Box<str>, usize>,
    last: usize,
}

impl Streams {
    /// Where a stream stands, for [`Streams::at`].
    pub(super) fn place(&mut self, name: &str) -> Option<usize> {
        // Records of one stream come in runs, and streams in turn: looked for there, the name is not hashed.
        let last = self.all.get(self.last)?;
        if *last.name != *name {
            let next = self.all.get(last.next);
            let place = match next.filter(|next| *next.name == *name) {
                Some(_) => last.next,
                None => *self.places.get(name)?,
            };
            self.all[self.last].next = place;
            self.last = place;
        }
        Some(self.last)
    }

    pub(super) fn at(&mut self, place: usize) -> &mut Stream {
        &mut self.all[place]
    }

    pub(super) fn add(&mut self, stream: Stream) {
        self.places.insert(stream.name.clone(), self.all.len());
        self.all.push(stream);
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.all.iter_mut()
    }
}
