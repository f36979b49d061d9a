//! Numbered records: an input whose every record can be found again where it is stored.
//!
//! Record `n` goes to the stream `s{n % STREAMS}`, as its number `n / STREAMS`; the STATE behind it, where there
//! is one, says how many records came before it. A [`Tally`] reads what JetStream streams hold of such an input.

use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::{JetStream, Outcome, Running, Stored, record, schema, state};

const STREAMS: usize = 4;
const STATE_EVERY: usize = 1000;

/// What a payload says behind its number.
const TEXT: &str = r#","text":"some words to fill the line, and then some more, so that a record is as long as a record is","more":"of no interest to anybody"}"#;

/// The input, by its records' numbers.
pub struct Numbered;

impl Numbered {
    /// The SCHEMA of every stream.
    pub fn schemas() -> String {
        (0..STREAMS)
            .map(|stream| schema(&format!("s{stream}"), &["id"]))
            .collect()
    }

    /// These records, with a STATE behind each thousandth.
    pub fn records(numbers: Range<usize>) -> String {
        let mut lines = String::new();
        for number in numbers {
            lines += &record(&format!("s{}", number % STREAMS), &Self::payload(number));
            if (number + 1) % STATE_EVERY == 0 {
                lines += &Self::state(number + 1);
            }
        }
        lines
    }

    /// What record `number` says.
    pub fn payload(number: usize) -> String {
        format!(r#"{{"id":{}{TEXT}"#, number / STREAMS)
    }

    /// The STATE that so many records came before, as the input has it.
    pub fn state(records: usize) -> String {
        state(&format!(r#"{{"n":{records}}}"#))
    }

    /// The same as the program prints it.
    pub fn printed_state(records: usize) -> String {
        format!(r#"{{"n": {records}}}"#)
    }

    /// The run has ended well, and has said so of all its records.
    #[track_caller]
    pub fn is_confirmed(outcome: &Outcome, records: usize) {
        outcome
            .succeeds()
            .prints_last(&Self::printed_state(records));
    }

    /// The records of this range, and a STATE behind the last.
    pub fn write(numbers: Range<usize>, to: &mut dyn Write) -> std::io::Result<()> {
        const BLOCK: usize = 500;
        for begin in numbers.clone().step_by(BLOCK) {
            let end = (begin + BLOCK).min(numbers.end);
            to.write_all(Self::records(begin..end).as_bytes())?;
        }
        to.write_all(Self::state(numbers.end).as_bytes())
    }

    /// Feeds these records to a run.
    pub fn send(run: &Running, numbers: Range<usize>) {
        let mut bytes = Vec::new();
        Self::write(numbers, &mut bytes).expect("a vector takes all");
        run.send(bytes);
    }

    /// How many records the newest STATE covers that was printed.
    #[track_caller]
    pub fn printed(stdout: &str) -> usize {
        let whole = stdout.rfind('\n').map_or("", |end| &stdout[..end]);
        let Some(line) = whole.lines().last() else {
            return 0;
        };
        let number = line.strip_prefix(r#"{"n": "#);
        number
            .and_then(|rest| rest.strip_suffix('}')?.parse().ok())
            .unwrap_or_else(|| panic!("an odd state: {line}"))
    }
}

/// An input that goes on until it is ended: much at once, and then more at an even pace.
#[derive(Default)]
pub struct Pace {
    over: AtomicBool,
    records: AtomicUsize,
}

impl Pace {
    const AT_ONCE: usize = 60_000;
    const BLOCK: usize = 200;
    const PAUSE: Duration = Duration::from_millis(20);

    /// The whole input. Ends with the STATE that covers all of it.
    pub fn write(&self, to: &mut dyn Write) -> std::io::Result<()> {
        to.write_all(Numbered::schemas().as_bytes())?;
        Numbered::write(0..Self::AT_ONCE, to)?;
        let mut written = Self::AT_ONCE;
        while !self.over.load(Ordering::SeqCst) {
            let block = Numbered::records(written..written + Self::BLOCK);
            to.write_all(block.as_bytes())?;
            written += Self::BLOCK;
            thread::sleep(Self::PAUSE);
        }
        self.records.store(written, Ordering::SeqCst);
        to.write_all(Numbered::state(written).as_bytes())
    }

    /// Ends the input.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// How many records there were, once the input has ended.
    pub fn records(&self) -> usize {
        self.records.load(Ordering::SeqCst)
    }
}

/// What JetStream streams hold of a numbered input.
#[derive(Default)]
pub struct Tally {
    /// Per Singer stream, its numbers in the order in which they are stored.
    ids: [Vec<usize>; STREAMS],
    /// How often each number is stored.
    copies: [Vec<u32>; STREAMS],
    /// The sequence behind what was read.
    read: u64,
}

impl Tally {
    /// All that this stream holds.
    #[track_caller]
    pub fn of(jetstream: &mut JetStream, stream: &str) -> Self {
        let mut tally = Self::default();
        tally.read(jetstream, stream);
        tally
    }

    /// Takes in what this stream holds behind what was read before.
    #[track_caller]
    pub fn read(&mut self, jetstream: &mut JetStream, stream: &str) {
        jetstream.each_from(stream, self.read + 1, |message| self.take(&message));
    }

    /// Takes in one message.
    #[track_caller]
    pub fn take(&mut self, message: &Stored) {
        self.read = message.sequence;
        let token = message.subject.rsplit('.').next().unwrap();
        let stream: usize = token.strip_prefix('s').unwrap().parse().unwrap();
        let text = message.text();
        let id = text.strip_prefix(r#"{"id":"#);
        let id: usize = id
            .and_then(|rest| rest.strip_suffix(TEXT)?.parse().ok())
            .unwrap_or_else(|| panic!("not ours: {text}"));
        let copies = &mut self.copies[stream];
        if copies.len() <= id {
            copies.resize(id + 1, 0);
        }
        copies[id] += 1;
        self.ids[stream].push(id);
    }

    /// How many messages there are.
    pub fn total(&self) -> usize {
        self.ids.iter().map(Vec::len).sum()
    }

    /// The first record that is not stored of so many.
    pub fn missing(&self, records: usize) -> Option<usize> {
        (0..records).find(|number| {
            let copies = self.copies[number % STREAMS].get(number / STREAMS);
            copies.is_none_or(|copies| *copies == 0)
        })
    }

    /// Every record is stored, and of each stream the last copies are in order.
    #[track_caller]
    pub fn holds_all(&self, outcome: &Outcome, records: usize) {
        self.holds_all_in_any_order(outcome, records);
        self.is_in_order(outcome);
    }

    #[track_caller]
    fn holds_all_in_any_order(&self, outcome: &Outcome, records: usize) {
        let missing = self.missing(records);
        outcome.check(
            missing.is_none(),
            &format!("every record is stored, but {missing:?} is not"),
        );
        let known: usize = self.copies.iter().map(Vec::len).sum();
        outcome.check(known == records, "nothing else is stored");
    }

    #[track_caller]
    fn is_in_order(&self, outcome: &Outcome) {
        for (stream, ids) in self.ids.iter().enumerate() {
            let mut seen = vec![false; self.copies[stream].len()];
            let mut before = usize::MAX;
            for id in ids.iter().rev() {
                if std::mem::replace(&mut seen[*id], true) {
                    continue;
                }
                outcome.check(
                    *id < before,
                    &format!("order is kept, but in s{stream} {before} comes before the last {id}"),
                );
                before = *id;
            }
        }
    }

    /// What is promised where servers and connections broke: with ids nothing is there twice.
    #[track_caller]
    pub fn holds_after_breaks(&self, outcome: &Outcome, records: usize, message_id: &str) {
        if message_id == "none" {
            self.holds_all(outcome, records);
        } else {
            self.holds_each_once(outcome, records);
        }
    }

    /// What is promised where messages were refused for a moment: pipelined with ids does not keep the order.
    #[track_caller]
    pub fn holds_after_refusals(
        &self,
        outcome: &Outcome,
        records: usize,
        ingest: &str,
        message_id: &str,
    ) {
        match (ingest, message_id) {
            ("pipelined", "run" | "content") => {
                self.holds_each_once_in_any_order(outcome, records);
            }
            _ => self.holds_after_breaks(outcome, records, message_id),
        }
    }

    /// Every record is stored once, in order.
    #[track_caller]
    pub fn holds_each_once(&self, outcome: &Outcome, records: usize) {
        self.holds_each_once_in_any_order(outcome, records);
        self.is_in_order(outcome);
    }

    /// Every record is stored once. What a stream refused for a moment comes behind what followed it where
    /// messages are pipelined and have ids: sent again, those that followed are dropped.
    #[track_caller]
    fn holds_each_once_in_any_order(&self, outcome: &Outcome, records: usize) {
        outcome.check(
            self.total() == records,
            &format!("{records} messages are stored, but {} are", self.total()),
        );
        self.holds_all_in_any_order(outcome, records);
    }
}
