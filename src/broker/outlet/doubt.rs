//! [`Doubt`]: acknowledgements of fast ingest that cannot be believed, and how the truth is found out.
//!
//! The leader of a replicated stream knows the id of a message from the moment that it proposes it to the other
//! servers, and forgets it when it learns that it leads no more (and not even then always). Until the proposal is
//! accepted, the message is not stored, and may never be. To a message by itself with the same id such a leader says
//! so (10158); as part of a batch it skips it as a duplicate and counts it as stored (nats-server 2.14.0,
//! `processJetStreamFastBatchMsg`: `errMsgIdDuplicate` advances `pseq` whether the id has a sequence or not). A leader
//! that was cut off from the others would so confirm what nobody will ever have.
//!
//! It can only happen to what is sent again. So the batch in which that is done has it stored in its order, as far as
//! it is not there yet, and confirms nothing; when it is over, each of its messages is sent once more by itself, and
//! is confirmed as a duplicate that has a sequence, or not at all. What was never sent before waits meanwhile.
//!
//! `message_id: content` has no such way, since another run may have sent the same: see `Capture::feeds_fast`.

use std::time::Instant;

use super::super::ingest::Batch;
use super::{Feed, Outlet};

/// What was sent again and is not yet known to be stored.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    is_possible: bool,
    /// The highest ordinal of it.
    highest: Option<u64>,
    /// The batches, while messages are sent by themselves.
    parked: Option<Batch>,
}

impl Doubt {
    pub(super) fn new(is_possible: bool, sent_before: u64) -> Self {
        Self {
            is_possible,
            highest: (is_possible && sent_before > 0).then_some(sent_before),
            parked: None,
        }
    }

    pub(super) fn is_some(&self) -> bool {
        self.highest.is_some()
    }

    /// Whether a message must wait until the doubt is over.
    pub(super) fn holds(&self, ordinal: u64) -> bool {
        self.highest.is_some_and(|highest| ordinal > highest)
    }
}

impl Outlet {
    /// Everything unconfirmed is to be sent again.
    pub(super) fn rewind(&mut self) {
        let highest = self.ledger.rewind(self.again);
        if self.doubt.is_possible {
            self.doubt.highest = self.doubt.highest.max(highest);
        }
    }

    /// Whether a batch has all that the doubt is about.
    pub(super) fn is_doubt_sent(&self) -> bool {
        let next = self.ledger.front();
        self.doubt.is_some() && next.is_none_or(|next| self.doubt.holds(next))
    }

    /// The batch is over, and counts what lies below this token.
    pub(super) fn end_doubtful_batch(&mut self, token: u64, now: Instant) {
        self.heard_at = now;
        let is_whole = self.is_doubt_sent() && token >= self.ledger.next_token();
        self.rewind();
        if is_whole && let Feed::Fast(batch) = std::mem::replace(&mut self.feed, Feed::pipelined())
        {
            self.doubt.parked = Some(batch);
        }
    }

    /// Batches again, if messages are sent by themselves for now.
    pub(super) fn leave_roll_call(&mut self) {
        if let Some(batch) = self.doubt.parked.take() {
            self.feed = Feed::Fast(batch);
        }
    }

    /// Ends the doubt once nothing is left that it was about. `next` is the message that is to be sent next.
    pub(super) fn look_at_doubt(&mut self, next: Option<u64>) {
        let Some(highest) = self.doubt.highest else {
            return;
        };
        let mut left = [self.ledger.oldest(), next].into_iter().flatten();
        if left.all(|ordinal| ordinal > highest) {
            self.doubt.highest = None;
            self.leave_roll_call();
        }
    }
}
