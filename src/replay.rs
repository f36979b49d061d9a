//! The replay window of a worker: what was published and is not confirmed, in order. Pure.
//!
//! Messages have ordinals, the first ever is 1; an entry holds the messages of several in a row. The window is
//! bounded in messages and bytes, and finds a message that must be published again by its ordinal.

use std::collections::VecDeque;

/// A window over entries of type `T`, each of which holds some messages.
#[derive(Debug)]
pub(crate) struct Window<T> {
    entries: VecDeque<Entry<T>>,
    /// The ordinal of the newest message, and of the newest confirmed one.
    newest: u64,
    confirmed: u64,
    bytes: usize,
    max_messages: u64,
    max_bytes: usize,
}

#[derive(Debug)]
struct Entry<T> {
    content: T,
    /// The ordinal of its last message.
    last: u64,
    messages: u64,
    bytes: usize,
}

impl<T> Window<T> {
    pub(crate) fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            newest: 0,
            confirmed: 0,
            bytes: 0,
            max_messages: max_messages as u64,
            max_bytes,
        }
    }

    /// Whether another entry may be pushed. One entry always fits into an empty window, whatever its size.
    pub(crate) fn has_room(&self) -> bool {
        self.unconfirmed() < self.max_messages && self.bytes < self.max_bytes
    }

    /// Whether so much is unconfirmed that a confirmation should be under way: a quarter of the bounds, so
    /// that the window is not full before the answer comes.
    pub(crate) fn is_filling(&self) -> bool {
        self.unconfirmed() >= self.max_messages / 4 || self.bytes >= self.max_bytes / 4
    }

    /// Adds an entry with so many messages (at least one), and returns the ordinal of its first one.
    pub(crate) fn push(&mut self, content: T, messages: usize, bytes: usize) -> u64 {
        let first = self.newest + 1;
        self.newest += messages as u64;
        self.bytes += bytes;
        self.entries.push_back(Entry {
            content,
            last: self.newest,
            messages: messages as u64,
            bytes,
        });
        first
    }

    /// The ordinal of the newest message.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// The ordinal up to which everything is confirmed.
    pub(crate) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Lets go of every entry whose messages all have ordinals up to this one. An ordinal that was confirmed
    /// before changes nothing.
    pub(crate) fn confirm(&mut self, ordinal: u64) {
        self.confirmed = ordinal.min(self.newest).max(self.confirmed);
        while let Some(first) = self.entries.front()
            && first.last <= self.confirmed
        {
            self.bytes -= first.bytes;
            self.entries.pop_front();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn unconfirmed(&self) -> u64 {
        self.newest - self.confirmed
    }

    /// The entry that holds this message, and the message's place in it, from 0.
    pub(crate) fn get(&self, ordinal: u64) -> Option<(&T, usize)> {
        let index = self.entries.partition_point(|entry| entry.last < ordinal);
        let entry = self.entries.get(index)?;
        let place = (ordinal + entry.messages).checked_sub(entry.last + 1)?;
        Some((&entry.content, usize::try_from(place).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn any_schedule_keeps_what_a_naive_model_keeps() {
        let mut random = Random::new("replay window");
        for _ in 0..2_000 {
            let (max_messages, max_bytes) = (1 + random.below(50), 1 + random.below(500));
            let mut window = Window::new(max_messages, max_bytes);
            // The naive model: the entry and the place of every message ever, and the bytes of every entry.
            let mut messages: Vec<(usize, usize)> = Vec::new();
            let mut bytes: Vec<usize> = Vec::new();
            let mut confirmed = 0;
            for _ in 0..100 {
                let first_entry = messages.get(confirmed).map_or(bytes.len(), |place| place.0);
                let kept_bytes: usize = bytes[first_entry..].iter().sum();
                let kept = messages.len() - confirmed;
                assert_eq!(window.newest(), messages.len() as u64);
                assert_eq!(window.confirmed(), confirmed as u64);
                assert_eq!(window.unconfirmed(), kept as u64);
                assert_eq!(window.is_empty(), kept == 0);
                assert_eq!(
                    window.has_room(),
                    kept < max_messages && kept_bytes < max_bytes
                );
                assert_eq!(
                    window.is_filling(),
                    kept >= max_messages / 4 || kept_bytes >= max_bytes / 4
                );
                for ordinal in 0..messages.len() + 2 {
                    let found = window
                        .get(ordinal as u64)
                        .map(|(entry, place)| (*entry, place));
                    let expected = ordinal.checked_sub(1).and_then(|index| messages.get(index));
                    match expected {
                        Some(expected) if expected.0 >= first_entry => {
                            assert_eq!(found, Some(*expected));
                        }
                        _ => assert_eq!(found, None),
                    }
                }
                if window.has_room() && random.below(2) == 0 {
                    let count = 1 + random.below(20);
                    let size = random.below(60);
                    let first = window.push(bytes.len(), count, size);
                    assert_eq!(first, messages.len() as u64 + 1);
                    messages.extend((0..count).map(|place| (bytes.len(), place)));
                    bytes.push(size);
                } else {
                    // Also ordinals that are confirmed already, and one that was never published.
                    let up_to = random.below(messages.len() + 2);
                    confirmed = confirmed.max(up_to.min(messages.len()));
                    window.confirm(up_to as u64);
                }
            }
        }
    }
}
