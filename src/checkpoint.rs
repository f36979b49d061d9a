//! Which STATE may be written when. Pure: no clock, no I/O, no thread.
//!
//! Messages go to the workers, each of which counts its own from 1 and confirms them in order. A checkpoint is a
//! STATE that waits for the messages that were given to the workers before it:
//!
//! ```text
//!  push ──▶ pending (oldest … newest, each with the message that it needs of every worker)
//!              │ confirm(worker, message)
//!              ▼
//!           due: the newest of those whose needs are met; take_due gives it once
//! ```

use std::collections::VecDeque;

/// Bytes of pending checkpoints above which every second one is given up. They are never wrong to lose: a newer one
/// says all that they said.
const MAX_PENDING_BYTES: usize = 4 * 1024 * 1024;

/// The states that wait for their confirmation.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    handed_out: Vec<u64>,
    confirmed: Vec<u64>,
    pending: Pending,
    due: Option<String>,
}

impl Checkpoints {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            handed_out: vec![0; workers],
            confirmed: vec![0; workers],
            pending: Pending::new(workers),
            due: None,
        }
    }

    /// Counts messages that go to a worker.
    pub(crate) fn hand_out(&mut self, worker: usize, messages: usize) {
        self.handed_out[worker] += messages as u64;
    }

    /// Adds a state behind everything handed out so far, and behind so many messages more as `open` tells of
    /// each worker: those are the next that will be handed out.
    pub(crate) fn push(&mut self, state: &str, open: impl Fn(usize) -> usize) {
        let needs = (self.handed_out.iter().enumerate())
            .map(|(worker, handed_out)| handed_out + open(worker) as u64);
        self.pending.push(state, needs);
        if self.pending.bytes() > MAX_PENDING_BYTES {
            self.pending.thin_out();
        }
        self.settle();
    }

    /// Takes note that a worker's messages up to this one are stored.
    pub(crate) fn confirm(&mut self, worker: usize, message: u64) {
        debug_assert!(
            message <= self.handed_out[worker],
            "confirmed before it was handed out"
        );
        self.confirmed[worker] = self.confirmed[worker].max(message);
        self.settle();
    }

    fn settle(&mut self) {
        if let Some(state) = self.pending.take_met(&self.confirmed) {
            self.due = Some(state);
        }
    }

    /// How many messages are stored.
    pub(crate) fn confirmed(&self) -> u64 {
        self.confirmed.iter().sum()
    }

    /// The newest state that may be written and was not taken yet.
    pub(crate) fn take_due(&mut self) -> Option<String> {
        self.due.take()
    }

    pub(crate) fn has_due(&self) -> bool {
        self.due.is_some()
    }

    /// Whether all that was handed out to a worker is confirmed.
    pub(crate) fn is_settled(&self, worker: usize) -> bool {
        self.handed_out[worker] == self.confirmed[worker]
    }

    /// The workers that have something to confirm.
    pub(crate) fn unsettled(&self) -> impl Iterator<Item = usize> {
        (0..self.handed_out.len()).filter(|worker| !self.is_settled(*worker))
    }
}

/// Checkpoints in three queues and not in one of structures: there may be one behind every record, and none of
/// them is allocated for.
#[derive(Debug)]
struct Pending {
    workers: usize,
    /// Of each checkpoint, as many as there are workers.
    needs: VecDeque<u64>,
    lengths: VecDeque<usize>,
    text: VecDeque<u8>,
}

impl Pending {
    fn new(workers: usize) -> Self {
        Self {
            workers,
            needs: VecDeque::new(),
            lengths: VecDeque::new(),
            text: VecDeque::new(),
        }
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.lengths.len() * (1 + self.workers) * size_of::<u64>()
    }

    fn push(&mut self, state: &str, needs: impl Iterator<Item = u64> + Clone) {
        let last = self.needs.len().saturating_sub(self.workers);
        if let Some(length) = self.lengths.back_mut()
            && needs.clone().eq(self.needs.range(last..).copied())
        {
            // The two will be due together, so the newer is enough.
            self.text.truncate(self.text.len() - *length);
            *length = state.len();
        } else {
            self.needs.extend(needs);
            self.lengths.push_back(state.len());
        }
        self.text.extend(state.as_bytes());
    }

    /// Takes out everything up to the newest checkpoint whose needs are met, and returns its state.
    fn take_met(&mut self, confirmed: &[u64]) -> Option<String> {
        let mut count = 0;
        let mut bytes = 0;
        for length in &self.lengths {
            let needs = self.needs.range(count * self.workers..).take(self.workers);
            if !std::iter::zip(needs, confirmed).all(|(need, done)| need <= done) {
                break;
            }
            count += 1;
            bytes += length;
        }
        let newest = *self.lengths.get(count.checked_sub(1)?)?;
        self.needs.drain(..count * self.workers);
        self.lengths.drain(..count);
        self.text.drain(..bytes - newest);
        let state: Vec<u8> = self.text.drain(..newest).collect();
        Some(String::from_utf8(state).expect("it was pushed as text"))
    }

    /// Gives every second checkpoint up, but not the oldest and the newest.
    fn thin_out(&mut self) {
        let mut kept = Self::new(self.workers);
        let count = self.lengths.len();
        let mut start = 0;
        for (index, length) in self.lengths.iter().enumerate() {
            if index % 2 == 0 || index + 1 == count {
                let needs = self.needs.range(index * self.workers..);
                kept.needs.extend(needs.take(self.workers));
                kept.lengths.push_back(*length);
                kept.text.extend(self.text.range(start..start + length));
            }
            start += length;
        }
        *self = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    /// The naive model: every message and every state of a run in one list, in input order.
    struct Model {
        events: Vec<Event>,
        printed: usize,
    }

    enum Event {
        Message {
            worker: usize,
            number: u64,
            confirmed: bool,
        },
        State(String),
    }

    impl Model {
        /// The newest state before which everything is confirmed, with its place.
        fn due(&self) -> Option<(usize, &str)> {
            let mut due = None;
            for (place, event) in self.events.iter().enumerate() {
                match event {
                    Event::Message {
                        confirmed: false, ..
                    } => break,
                    Event::Message { .. } => {}
                    Event::State(state) => due = Some((place + 1, state.as_str())),
                }
            }
            due.filter(|(place, _)| *place > self.printed)
        }
    }

    #[test]
    fn any_schedule_gives_the_states_that_a_naive_model_gives() {
        let mut random = Random::new("checkpoints");
        for _ in 0..2_000 {
            let workers = 1 + random.below(4);
            let mut checkpoints = Checkpoints::new(workers);
            let mut model = Model {
                events: Vec::new(),
                printed: 0,
            };
            // Messages of a part come before and after a state.
            let mut open = vec![0; workers];
            let mut handed_out = vec![0; workers];
            let mut confirmed = vec![0; workers];
            for step in 0..100 {
                let worker = random.below(workers);
                match random.below(5) {
                    0 => {
                        open[worker] += 1;
                        model.events.push(Event::Message {
                            worker,
                            number: handed_out[worker] + open[worker] as u64,
                            confirmed: false,
                        });
                    }
                    1 => {
                        let messages = std::mem::take(&mut open[worker]);
                        checkpoints.hand_out(worker, messages);
                        handed_out[worker] += messages as u64;
                    }
                    2 => {
                        let state = format!("{{\"step\":{step}}}");
                        checkpoints.push(&state, |worker| open[worker]);
                        model.events.push(Event::State(state));
                    }
                    3 if confirmed[worker] < handed_out[worker] => {
                        let ahead = handed_out[worker] - confirmed[worker];
                        confirmed[worker] += 1 + random.next() % ahead;
                        checkpoints.confirm(worker, confirmed[worker]);
                        for event in &mut model.events {
                            if let Event::Message {
                                worker: of,
                                number,
                                confirmed: done,
                            } = event
                                && *of == worker
                            {
                                *done |= *number <= confirmed[worker];
                            }
                        }
                    }
                    _ => {
                        let expected = model.due().map(|(place, state)| (place, state.to_owned()));
                        assert_eq!(checkpoints.has_due(), expected.is_some());
                        assert_eq!(
                            checkpoints.take_due(),
                            expected.as_ref().map(|(_, state)| state.clone())
                        );
                        model.printed = expected.map_or(model.printed, |(place, _)| place);
                    }
                }
                let unsettled =
                    (0..workers).filter(|worker| handed_out[*worker] > confirmed[*worker]);
                assert!(checkpoints.unsettled().eq(unsettled));
            }
        }
    }

    #[test]
    fn pending_states_are_bounded_in_bytes_and_the_oldest_and_newest_stay() {
        let mut checkpoints = Checkpoints::new(1);
        let state = |n: u64| format!("{n} ") + &"x".repeat(MAX_PENDING_BYTES / 50);
        for message in 1..=1000 {
            checkpoints.hand_out(0, 1);
            checkpoints.push(&state(message), |_| 0);
            assert!(checkpoints.pending.bytes() <= MAX_PENDING_BYTES);
        }
        let kept = checkpoints.pending.lengths.len();
        assert!(kept > 20, "{kept}");
        checkpoints.confirm(0, 1);
        assert_eq!(checkpoints.take_due(), Some(state(1)));
        checkpoints.confirm(0, 1000);
        assert_eq!(checkpoints.take_due(), Some(state(1000)));
        assert_eq!(checkpoints.pending.bytes(), 0);
    }

    #[test]
    fn a_state_with_nothing_before_it_is_due_at_once() {
        let mut checkpoints = Checkpoints::new(2);
        checkpoints.push("1", |_| 0);
        assert_eq!(checkpoints.take_due().as_deref(), Some("1"));
        assert_eq!(checkpoints.take_due(), None);
    }
}
