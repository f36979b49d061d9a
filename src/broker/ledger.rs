//! A [`Ledger`]: the messages of one JetStream stream that are not confirmed, sent or still to be sent. Pure.
//!
//! What is sent has a token, which is never used again; an acknowledgement names it. Tokens count up by one.
//!
//! ```text
//!  push ──▶ todo ──next──▶ sent (token) ──settle──▶ gone
//!             ▲              │
//!             └───rewind─────┘
//! ```

use std::collections::{BTreeSet, VecDeque};

/// Unconfirmed messages, by ordinal.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Kept in the order of the ordinals.
    todo: VecDeque<u64>,
    /// Consecutive tokens; the oldest one is always unsettled.
    sent: VecDeque<Sent>,
    /// The token of the oldest entry of `sent`.
    first_token: u64,
    unsettled: usize,
    /// The highest ordinal that was sent since the last rewind.
    highest: u64,
    /// Ordinals in `sent` that are lower than one before them: dead letters, which are rare.
    strays: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    ordinal: u64,
    is_settled: bool,
    /// Settled, and what becomes of it is decided elsewhere: a dead letter in its place is sent for itself.
    is_refused: bool,
}

/// Which messages are sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Everything from the first unsettled one on, so that they end up in their order once more.
    All,
    /// The unsettled ones: the server would drop the others by their ids.
    Unsettled,
}

impl Ledger {
    /// Adds a message that is to be sent.
    pub(super) fn push(&mut self, ordinal: u64) {
        let index = self.todo.partition_point(|other| *other < ordinal);
        // At the end, but for a dead letter.
        self.todo.insert(index, ordinal);
    }

    pub(super) fn next(&mut self) -> Option<u64> {
        self.todo.pop_front()
    }

    /// What [`Ledger::next`] will give.
    pub(super) fn front(&self) -> Option<u64> {
        self.todo.front().copied()
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_caught_up(&self) -> bool {
        self.todo.is_empty()
    }

    /// Whether nothing that waits to be sent comes before this message.
    pub(super) fn is_next(&self, ordinal: u64) -> bool {
        self.todo.front().is_none_or(|first| ordinal < *first)
    }

    /// The token that [`Ledger::send`] will give next.
    pub(super) fn next_token(&self) -> u64 {
        self.first_token + self.sent.len() as u64
    }

    /// Whether a message has this token that was not sent again meanwhile.
    pub(super) fn is_current(&self, token: u64) -> bool {
        (self.first_token..self.next_token()).contains(&token)
    }

    /// Takes note of a message that is being sent.
    pub(super) fn send(&mut self, ordinal: u64) -> u64 {
        let token = self.next_token();
        if ordinal < self.highest {
            self.strays.insert(ordinal);
        }
        self.highest = self.highest.max(ordinal);
        self.sent.push_back(Sent {
            ordinal,
            is_settled: false,
            is_refused: false,
        });
        self.unsettled += 1;
        token
    }

    /// The message with this token needs no more attention. Returns its ordinal, unless it was settled before
    /// or sent again meanwhile.
    pub(super) fn settle(&mut self, token: u64) -> Option<u64> {
        let index = usize::try_from(token.checked_sub(self.first_token)?).ok()?;
        let sent = self.sent.get_mut(index).filter(|sent| !sent.is_settled)?;
        sent.is_settled = true;
        let ordinal = sent.ordinal;
        self.unsettled -= 1;
        self.strays.remove(&ordinal);
        while self.sent.front().is_some_and(|sent| sent.is_settled) {
            self.sent.pop_front();
            self.first_token += 1;
        }
        Some(ordinal)
    }

    /// The same for a message that is not to be sent again, whatever becomes of those before it.
    pub(super) fn refuse(&mut self, token: u64) -> Option<u64> {
        let index = usize::try_from(token.checked_sub(self.first_token)?).ok()?;
        let sent = self.sent.get_mut(index).filter(|sent| !sent.is_settled)?;
        sent.is_refused = true;
        self.settle(token)
    }

    /// Settles every message below this token.
    pub(super) fn settle_below(&mut self, token: u64) {
        while self.first_token < token && self.settle(self.first_token).is_some() {}
    }

    /// Nothing that was sent can be relied on: it is to be sent again. Returns the highest ordinal of that, if there
    /// is any.
    pub(super) fn rewind(&mut self, again: Again) -> Option<u64> {
        let is_open = |sent: &&Sent| !sent.is_settled;
        let highest = (self.sent.iter().filter(is_open))
            .map(|sent| sent.ordinal)
            .max();
        self.first_token = self.next_token();
        let again = std::mem::take(&mut self.sent)
            .into_iter()
            .filter(|sent| !sent.is_refused && (again == Again::All || !sent.is_settled))
            .map(|sent| sent.ordinal);
        let mut todo: Vec<u64> = again.chain(std::mem::take(&mut self.todo)).collect();
        todo.sort_unstable();
        self.todo = todo.into();
        self.strays.clear();
        self.highest = 0;
        self.unsettled = 0;
        highest
    }

    /// How many messages are sent and unsettled.
    pub(super) fn in_flight(&self) -> usize {
        self.unsettled
    }

    /// The lowest ordinal that is not settled.
    pub(super) fn oldest(&self) -> Option<u64> {
        let sent = self.sent.front().map(|sent| sent.ordinal);
        let (todo, stray) = (self.todo.front(), self.strays.first());
        [sent, todo.copied(), stray.copied()]
            .into_iter()
            .flatten()
            .min()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::Random;

    #[test]
    fn any_schedule_keeps_what_a_naive_model_keeps() {
        let mut random = Random::new("ledger");
        for _ in 0..3_000 {
            let mut ledger = Ledger::default();
            // The naive model: unsent ordinals, and those that were sent since the last rewind by their tokens.
            let mut todo: BTreeSet<u64> = BTreeSet::new();
            let mut sent: BTreeMap<u64, (u64, bool)> = BTreeMap::new();
            let mut refused: BTreeSet<u64> = BTreeSet::new();
            let (mut newest, mut next_token) = (0_u32, 0_u32);
            for _ in 0..80 {
                match random.below(9) {
                    0..=2 => {
                        newest += 1;
                        // Now and then one of long ago comes back, as a dead letter does.
                        let known = |ordinal: u64| {
                            let is_sent = |(token, entry): (&u64, &(u64, bool))| {
                                entry.0 == ordinal && !refused.contains(token)
                            };
                            todo.contains(&ordinal) || sent.iter().any(is_sent)
                        };
                        let old = 1 + random.below(newest as usize) as u64;
                        let ordinal = if known(old) { u64::from(newest) } else { old };
                        ledger.push(ordinal);
                        todo.insert(ordinal);
                    }
                    3..=4 => {
                        let next = ledger.next();
                        assert_eq!(next, todo.pop_first());
                        if let Some(ordinal) = next {
                            assert_eq!(ledger.send(ordinal), u64::from(next_token));
                            sent.insert(u64::from(next_token), (ordinal, false));
                            next_token += 1;
                        }
                    }
                    5 => {
                        let token = random.below(next_token as usize + 2) as u64;
                        let expected = sent.get_mut(&token).filter(|entry| !entry.1);
                        assert_eq!(ledger.settle(token), expected.as_ref().map(|entry| entry.0));
                        if let Some(entry) = expected {
                            entry.1 = true;
                        }
                    }
                    6 => {
                        let token = random.below(next_token as usize + 2) as u64;
                        let expected = sent.get_mut(&token).filter(|entry| !entry.1);
                        assert_eq!(ledger.refuse(token), expected.as_ref().map(|entry| entry.0));
                        if let Some(entry) = expected {
                            entry.1 = true;
                            refused.insert(token);
                        }
                    }
                    7 => {
                        let token = random.below(next_token as usize + 1) as u64;
                        ledger.settle_below(token);
                        for (_, entry) in sent.range_mut(..token) {
                            entry.1 = true;
                        }
                    }
                    _ => {
                        let again = *random.pick(&[&Again::All, &Again::Unsettled]);
                        let open = sent.values().filter(|entry| !entry.1);
                        let highest = open.map(|entry| entry.0).max();
                        assert_eq!(ledger.rewind(again), highest);
                        let from_first = sent.iter().skip_while(|(_, entry)| entry.1);
                        todo.extend(
                            from_first
                                .filter(|(token, _)| !refused.contains(token))
                                .filter(|(_, entry)| again == Again::All || !entry.1)
                                .map(|(_, entry)| entry.0),
                        );
                        sent.clear();
                    }
                }
                let unsettled = || sent.values().filter(|entry| !entry.1).map(|entry| entry.0);
                assert_eq!(ledger.in_flight(), unsettled().count());
                assert_eq!(ledger.is_caught_up(), todo.is_empty());
                assert_eq!(ledger.front(), todo.first().copied());
                assert_eq!(
                    ledger.oldest(),
                    unsettled().chain(todo.first().copied()).min()
                );
            }
        }
    }
}
