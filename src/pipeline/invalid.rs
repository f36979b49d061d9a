//! [`Invalid`]: what becomes of records that cannot be published as they are: the run fails, or they are left
//! out, or a dead letter tells of them. Shared by the flow and the workers: either may find one.
//!
//! Nothing is lost in silence: each is counted for its stream, the first few are named in the log as they
//! come, and the end of the run tells the numbers. A dead letter is published and confirmed like a record, so
//! no STATE passes it before.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::place::Place;
use crate::broker::Limits;
use crate::error::{Error, Kind, shorten};
use crate::route::dead_letter::{DeadLetters, Letter};
use crate::route::origin::Origin;
use crate::route::{Route, Routes};
use crate::settings::OnInvalidRecord;

/// How many records of a stream are named in the log, one line each.
const NAMED_RECORDS: u64 = 5;

/// What is done about invalid records, and how many there were.
#[derive(Debug)]
pub(super) struct Invalid {
    policy: OnInvalidRecord,
    dead_letters: Option<DeadLetters>,
    streams: Mutex<BTreeMap<Box<str>, u64>>,
    /// Those that had been counted as published, and their bytes.
    refused: AtomicU64,
    refused_bytes: AtomicU64,
}

/// A record that cannot be published.
#[derive(Debug)]
pub(super) struct Bad<'a> {
    /// Of the route that it has, or would have.
    pub(super) origin: &'a Arc<Origin>,
    pub(super) place: Place,
    /// As it was received.
    pub(super) bytes: usize,
    pub(super) error: Error,
}

/// What is published in a record's place.
#[derive(Debug)]
pub(super) struct DeadLetter {
    pub(super) route: Arc<Route>,
    /// Whether the record is the payload. Otherwise there is none, and the headers tell why.
    pub(super) has_record: bool,
}

impl DeadLetter {
    /// Its payload, the record being this.
    pub(super) fn payload<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        if self.has_record { record } else { b"" }
    }
}

/// How many invalid records there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InvalidCounts {
    pub(super) skipped: u64,
    pub(super) dead_lettered: u64,
    /// How many of them had been counted as published, and the bytes of their payloads.
    pub(super) refused: u64,
    pub(super) refused_bytes: u64,
}

impl Invalid {
    pub(super) fn new(routes: &Routes, policy: OnInvalidRecord) -> Self {
        Self {
            policy,
            dead_letters: routes.dead_letters(),
            streams: Mutex::default(),
            refused: AtomicU64::new(0),
            refused_bytes: AtomicU64::new(0),
        }
    }

    /// Decides on a record that was not handed out. `None`: it is left out. `limits` are asked for only if a
    /// dead letter is to be made. Fails with the record's own error where the settings say so, and where not
    /// even a dead letter can be published.
    pub(super) fn judge(
        &self,
        bad: &Bad<'_>,
        limits: impl FnOnce() -> Result<Limits, Error>,
    ) -> Result<Option<DeadLetter>, Error> {
        let letter = match &self.dead_letters {
            _ if self.policy == OnInvalidRecord::Fail => return Err(bad.error.clone()),
            // A dead letter that cannot be published is not told of by another one.
            Some(dead_letters) if dead_letters.have(bad.origin) => return Err(bad.error.clone()),
            Some(dead_letters) => Some(make_letter(dead_letters, bad, limits()?)?),
            None => None,
        };
        self.count(bad, letter.is_some());
        Ok(letter)
    }

    /// The same, once, for a record that was handed out and is refused by the server. What is published in its
    /// place is no longer counted as published, and neither is its payload.
    pub(super) fn judge_refused(
        &self,
        bad: &Bad<'_>,
        payload_bytes: usize,
        limits: Limits,
    ) -> Result<Option<DeadLetter>, Error> {
        let letter = self.judge(bad, || Ok(limits))?;
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.refused_bytes
            .fetch_add(payload_bytes as u64, Ordering::Relaxed);
        Ok(letter)
    }

    /// What is published in place of a dead letter that is refused and has the record as its payload: it may have been
    /// too large. `None` for what is no such letter. The record was counted.
    pub(super) fn bare_letter(&self, route: &Route, payload: &[u8]) -> Option<DeadLetter> {
        let dead_letters = self.dead_letters.as_ref()?;
        (dead_letters.have(&route.origin) && !payload.is_empty()).then(|| DeadLetter {
            route: Arc::new(dead_letters.bare(route, payload.len())),
            has_record: false,
        })
    }

    pub(super) fn counts(&self) -> InvalidCounts {
        let all = self.lock().values().sum();
        let is_skipping = self.dead_letters.is_none();
        InvalidCounts {
            skipped: if is_skipping { all } else { 0 },
            dead_lettered: if is_skipping { 0 } else { all },
            refused: self.refused.load(Ordering::Relaxed),
            refused_bytes: self.refused_bytes.load(Ordering::Relaxed),
        }
    }

    /// Tells each stream's number.
    pub(super) fn log_end(&self) {
        let done = match self.dead_letters {
            Some(_) => "became dead letters",
            None => "were skipped",
        };
        for (stream, count) in &*self.lock() {
            log::warn!(
                "{count} invalid records of stream '{}' {done}.",
                shorten(stream)
            );
        }
    }

    fn count(&self, bad: &Bad<'_>, is_letter: bool) {
        let mut streams = self.lock();
        let count = streams.entry(bad.origin.stream.clone()).or_default();
        *count += 1;
        let count = *count;
        drop(streams);
        if count <= NAMED_RECORDS {
            let done = if is_letter {
                "is published as a dead letter"
            } else {
                "is skipped"
            };
            log::warn!("An invalid record ({}) {done}: {}", bad.place, bad.error);
        }
        if count == NAMED_RECORDS {
            log::warn!(
                "More invalid records of stream '{}' are counted and not named.",
                shorten(&bad.origin.stream)
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, u64>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A letter that the server takes, as far as its limits tell: what the delivery adds, and what a JetStream stream
/// allows, is found out when it is published. Fails with `Refused` if it takes none.
fn make_letter(
    dead_letters: &DeadLetters,
    bad: &Bad<'_>,
    limits: Limits,
) -> Result<DeadLetter, Error> {
    let fail = |what: &str| {
        Err(Error::new(Kind::Refused, what)
            .stream(&*bad.origin.stream)
            .cause(&bad.error))
    };
    if !limits.headers {
        return fail("a dead letter has headers, and the NATS server does not support them");
    }
    let file = bad.place.row.as_ref();
    let file = file.map(|row| (row.number, row.file.display().to_string()));
    let reason = bad.error.to_string();
    let letter = Letter {
        stream: &bad.origin.stream,
        line: bad.place.line,
        row: file.as_ref().map(|(number, file)| (*number, &**file)),
        reason: &reason,
        record_bytes: bad.bytes,
    };
    let route = dead_letters.with_record(&letter);
    if route.message_bytes(bad.bytes) <= limits.max_payload_bytes {
        return Ok(DeadLetter {
            route: Arc::new(route),
            has_record: true,
        });
    }
    let route = dead_letters.without_record(&letter);
    if route.message_bytes(0) <= limits.max_payload_bytes {
        return Ok(DeadLetter {
            route: Arc::new(route),
            has_record: false,
        });
    }
    fail("not even a dead letter without its record is small enough for the server (max_payload)")
}
