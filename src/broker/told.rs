//! [`Told`]: what a run has said already. Several workers find out the same thing, and each again after every
//! break; it is logged once.

use std::collections::HashSet;
use std::sync::Mutex;

use log::Level;

use super::lock;

/// Shared by the workers of a run.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashSet<String>>);

impl Told {
    /// Logs a line unless it was logged before. They are few: one for each Singer stream, and for each thing
    /// that is odd about a JetStream stream.
    pub(super) fn once(&self, level: Level, line: &str) {
        let mut told = lock(&self.0);
        if told.insert(line.to_owned()) {
            log::log!(level, "{line}");
        }
    }
}
