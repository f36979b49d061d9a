//! [`Refusal`]: a message that a stream refuses for good, and what that does to its outlet.

use std::time::Instant;

use super::Outlet;
use crate::error::Error;

/// A message that the stream will not take.
pub(in crate::broker) struct Refusal {
    pub(in crate::broker) ordinal: u64,
    pub(in crate::broker) why: Why,
}

pub(in crate::broker) enum Why {
    /// It is a bad record.
    Bad(String),
    /// Nothing will be taken: the run ends.
    Fatal(Error),
}

impl Outlet {
    /// The message with this token is refused for good.
    pub(super) fn refuse(&mut self, token: u64, why: Why, now: Instant) {
        let is_first = self.is_first_of_batch(token);
        if let Some(ordinal) = self.ledger.refuse(token) {
            self.refused.push_back(Refusal { ordinal, why });
        }
        self.heard_at = now;
        if is_first {
            self.start_over(now);
        }
    }

    /// Messages that were refused for good, oldest first.
    pub(in crate::broker) fn take_refused(&mut self) -> Option<Refusal> {
        self.refused.pop_front()
    }
}
