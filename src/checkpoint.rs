//! Which STATE may be written when. Pure: no clock, no I/O, no thread.
//!
//! Work goes to the workers in numbered parts (the first is 1), and each worker confirms its parts in order.
//! A checkpoint is a STATE that waits for the parts that were handed out before it:
//!
//! ```text
//!  push ──▶ pending (oldest … newest, each with the part that it needs of every worker)
//!              │ confirm(worker, part)
//!              ▼
//!           due: the newest of those whose needs are met; take_due gives it once
//! ```

use std::collections::VecDeque;

/// Bytes of pending checkpoints above which states between the oldest and the newest are given up. They are
/// never wrong to lose: a newer one says all that they said.
const MAX_PENDING_BYTES: usize = 4 * 1024 * 1024;

/// The states that wait for their confirmation.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    handed_out: Vec<u64>,
    confirmed: Vec<u64>,
    pending: VecDeque<Checkpoint>,
    pending_bytes: usize,
    due: Option<String>,
}

#[derive(Debug)]
struct Checkpoint {
    needs: Vec<u64>,
    state: String,
}

impl Checkpoint {
    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.needs) + self.state.len()
    }
}

impl Checkpoints {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            handed_out: vec![0; workers],
            confirmed: vec![0; workers],
            pending: VecDeque::new(),
            pending_bytes: 0,
            due: None,
        }
    }

    /// Counts a part that goes to a worker, and returns its number.
    pub(crate) fn hand_out(&mut self, worker: usize) -> u64 {
        self.handed_out[worker] += 1;
        self.handed_out[worker]
    }

    /// Adds a state behind everything handed out so far, and behind the parts that `has_open` says are
    /// being filled: those will be the next that are handed out.
    pub(crate) fn push(&mut self, state: &str, has_open: impl Fn(usize) -> bool) {
        let needs = (self.handed_out.iter().enumerate())
            .map(|(worker, handed_out)| handed_out + u64::from(has_open(worker)));
        if let Some(last) = self.pending.back_mut()
            && needs.clone().eq(last.needs.iter().copied())
        {
            // The two will be due together, so the newer is enough.
            self.pending_bytes += state.len();
            self.pending_bytes -= last.state.len();
            last.state.clear();
            last.state.push_str(state);
            return;
        }
        let state = state.to_owned();
        let needs = needs.collect();
        let checkpoint = Checkpoint { needs, state };
        if self.pending.len() > 1
            && self.pending_bytes + checkpoint.bytes() > MAX_PENDING_BYTES
            && let Some(given_up) = self.pending.pop_back()
        {
            self.pending_bytes -= given_up.bytes();
        }
        self.pending_bytes += checkpoint.bytes();
        self.pending.push_back(checkpoint);
        self.settle();
    }

    /// Takes note that a worker's parts up to this one are stored.
    pub(crate) fn confirm(&mut self, worker: usize, part: u64) {
        debug_assert!(
            part <= self.handed_out[worker],
            "confirmed before it was handed out"
        );
        self.confirmed[worker] = self.confirmed[worker].max(part);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(first) = self.pending.front()
            && std::iter::zip(&first.needs, &self.confirmed).all(|(need, done)| need <= done)
            && let Some(first) = self.pending.pop_front()
        {
            self.pending_bytes -= first.bytes();
            self.due = Some(first.state);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    /// The naive model: every part and every state of a run in one list, in input order.
    struct Model {
        events: Vec<Event>,
        printed: usize,
    }

    enum Event {
        Part {
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
                    Event::Part {
                        confirmed: false, ..
                    } => break,
                    Event::Part { .. } => {}
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
            // Records of a part come before and after a state: an open part is in the list from its first record on.
            let mut open = vec![false; workers];
            let mut handed_out = vec![0; workers];
            let mut confirmed = vec![0; workers];
            for step in 0..100 {
                let worker = random.below(workers);
                match random.below(5) {
                    0 if !open[worker] => {
                        open[worker] = true;
                        let number = handed_out[worker] + 1;
                        model.events.push(Event::Part {
                            worker,
                            number,
                            confirmed: false,
                        });
                    }
                    1 if open[worker] => {
                        open[worker] = false;
                        handed_out[worker] = checkpoints.hand_out(worker);
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
                            if let Event::Part {
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
        let state = |n: u64| format!("{n} ") + &"x".repeat(MAX_PENDING_BYTES / 4 - 4);
        for part in 1..=100 {
            assert_eq!(checkpoints.hand_out(0), part);
            checkpoints.push(&state(part), |_| false);
            assert!(checkpoints.pending_bytes <= MAX_PENDING_BYTES + MAX_PENDING_BYTES / 4);
        }
        checkpoints.confirm(0, 1);
        assert_eq!(checkpoints.take_due(), Some(state(1)));
        checkpoints.confirm(0, 100);
        assert_eq!(checkpoints.take_due(), Some(state(100)));
        assert_eq!(checkpoints.pending_bytes, 0);
    }

    #[test]
    fn a_state_with_nothing_before_it_is_due_at_once() {
        let mut checkpoints = Checkpoints::new(2);
        checkpoints.push("1", |_| false);
        assert_eq!(checkpoints.take_due().as_deref(), Some("1"));
        assert_eq!(checkpoints.take_due(), None);
    }
}
