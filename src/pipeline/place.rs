//! Where a record stands: [`Lines`], a block with the place of its first line, and the [`Place`] of one record.
//!
//! A place is worked out only when something is to be said of a record: then lines are counted.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::input::Block;

/// A block, and where its lines stand.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    pub(super) block: Arc<Block>,
    /// Of the first line in the block.
    pub(super) first: Place,
}

/// The place of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The line of the input, counted from 1: of the record, or of the BATCH message.
    pub(super) line: u64,
    pub(super) row: Option<Row>,
}

/// A row of a BATCH file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Counted from 1.
    pub(super) number: u64,
    pub(super) file: Arc<Path>,
}

impl Lines {
    /// The place of what begins at this byte of the block.
    pub(super) fn place(&self, start: usize) -> Place {
        let before = &self.block.bytes()[..start];
        let lines = memchr::memchr_iter(b'\n', before).count() as u64;
        let mut place = self.first.clone();
        match &mut place.row {
            Some(row) => row.number += lines,
            None => place.line += lines,
        }
        place
    }

    /// Where a text that is a slice of the block begins in it.
    pub(super) fn start_of(&self, text: &str) -> usize {
        text.as_ptr().addr() - self.block.bytes().as_ptr().addr()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        match &self.row {
            Some(Row { number, file }) => {
                write!(f, ", row {number} of the BATCH file {}", file.display())
            }
            None => Ok(()),
        }
    }
}
