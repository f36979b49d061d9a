//! The replay window of a worker: what was published and is not confirmed, in order. Pure.
//!
//! It is bounded in messages and bytes; what is in it can be published again from the first entry on.

use std::collections::VecDeque;

/// A window over entries of type `T`, each of which stands for some messages.
#[derive(Debug)]
pub(crate) struct Window<T> {
    entries: VecDeque<Entry<T>>,
    /// The position of the newest entry; the first entry ever is at 1.
    newest: u64,
    messages: usize,
    bytes: usize,
    max_messages: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Entry<T> {
    content: T,
    messages: usize,
    bytes: usize,
}

impl<T> Window<T> {
    pub(crate) fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            newest: 0,
            messages: 0,
            bytes: 0,
            max_messages,
            max_bytes,
        }
    }

    /// Whether another entry may be pushed. One entry always fits into an empty window, whatever its size.
    pub(crate) fn has_room(&self) -> bool {
        self.messages < self.max_messages && self.bytes < self.max_bytes
    }

    /// Whether so much is unconfirmed that a confirmation should be under way: a quarter of the bounds, so
    /// that the window is not full before the answer comes.
    pub(crate) fn is_filling(&self) -> bool {
        self.messages >= self.max_messages / 4 || self.bytes >= self.max_bytes / 4
    }

    pub(crate) fn push(&mut self, content: T, messages: usize, bytes: usize) {
        self.newest += 1;
        self.messages += messages;
        self.bytes += bytes;
        self.entries.push_back(Entry {
            content,
            messages,
            bytes,
        });
    }

    /// The position of the newest entry.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Lets go of every entry up to `position`, and returns how many messages that were. A position that
    /// was confirmed before changes nothing.
    pub(crate) fn confirm(&mut self, position: u64) -> usize {
        let before = self.messages;
        let oldest = self.newest - self.entries.len() as u64;
        for _ in oldest..position.min(self.newest) {
            if let Some(entry) = self.entries.pop_front() {
                self.messages -= entry.messages;
                self.bytes -= entry.bytes;
            }
        }
        before - self.messages
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is unconfirmed, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|entry| &entry.content)
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
            // The naive model: every entry ever, and how many of them are confirmed.
            let mut all: Vec<(usize, usize)> = Vec::new();
            let mut confirmed = 0;
            for _ in 0..200 {
                let kept = &all[confirmed..];
                let messages: usize = kept.iter().map(|entry| entry.0).sum();
                let bytes: usize = kept.iter().map(|entry| entry.1).sum();
                assert!(window.iter().copied().eq(confirmed..all.len()));
                assert_eq!(window.newest(), all.len() as u64);
                assert_eq!(window.is_empty(), kept.is_empty());
                assert_eq!(
                    window.has_room(),
                    messages < max_messages && bytes < max_bytes
                );
                assert_eq!(
                    window.is_filling(),
                    messages >= max_messages / 4 || bytes >= max_bytes / 4
                );
                if random.below(2) == 0 && window.has_room() {
                    let (messages, bytes) = (1 + random.below(20), random.below(200));
                    window.push(all.len(), messages, bytes);
                    all.push((messages, bytes));
                } else {
                    // Also positions of long ago, as a late answer brings them.
                    let position = random.below(all.len() + 1);
                    let newly = confirmed..position.max(confirmed);
                    let messages: usize = all[newly.clone()].iter().map(|entry| entry.0).sum();
                    assert_eq!(window.confirm(position as u64), messages);
                    confirmed = newly.end;
                }
            }
        }
    }
}
