//! A [`Batch`]: fast ingest, the way of feeding a JetStream stream that is acknowledged in groups (nats-server
//! 2.14, streams with `allow_batched`). Pure: it counts, and says what is to be done.
//!
//! The control data of a message stand in its reply subject (spec nats.md, 1c):
//! `<inbox>.<batch>.<flow>.fail.<sequence>.<operation>.$FI`. A message that is missing ends the batch, so what is
//! stored is always a prefix of what was sent, in order. A flow answer confirms all up to its sequence, but never
//! the tail behind the last multiple of the flow: to have that confirmed, the batch is ended and another one
//! begun with the next message.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::answer::Answer;

/// Messages between two flow answers. The server allows at most 500 to a publisher that is alone.
const FLOW: u64 = 500;
/// Flow answers that may be outstanding.
const OUTSTANDING: u64 = 16;
/// A batch into which nothing more comes is ended after this time, so that its tail is confirmed.
const QUIET: Duration = Duration::from_millis(100);
/// Silence after which the server is asked for its last flow answer again; it forgets a batch after ten seconds.
const PING_INTERVAL: Duration = Duration::from_secs(3);

/// For how long the end of a batch is waited for after one of its messages was refused by itself.
const VERDICT: Duration = Duration::from_secs(1);

/// The last token of a reply subject that makes its message part of a batch.
const SUFFIX: &str = "$FI";

/// What a message does to its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Start = 0,
    Append = 1,
    /// Ends the batch; the message itself is not stored.
    End = 3,
    /// Asks for the last flow answer again; the message itself is not stored.
    Ping = 4,
}

/// A message of a batch: its number in it, and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) sequence: u64,
    pub(super) operation: Operation,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// The messages with tokens below this one are stored.
    StoredBelow(u64),
    /// The same, and the batch is over. Every message behind must be sent again, if there is one.
    OverBelow(u64),
    /// It speaks of messages that were never sent: this is not JetStream.
    Foreign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next message starts a batch.
    Closed,
    /// The first message is sent, and the server has not yet said how fast it may go on.
    Starting,
    Open,
    /// The end was asked for.
    Ending,
    /// The server has said that a message is missing or refused, and that ends the batch: it will say where, when what
    /// comes before is stored.
    Broken,
}

/// One batch after the other, for one JetStream stream.
#[derive(Debug)]
pub(super) struct Batch {
    /// Makes the ids unique: the server knows a batch by its id alone, whoever sends it.
    prefix: String,
    number: u64,
    state: State,
    /// The token of the batch's first message.
    first_token: u64,
    sent: u64,
    stored: u64,
    /// How much of it may be stored at most: a message behind was refused.
    most_stored: u64,
    flow: u64,
    sent_at: Instant,
    heard_at: Instant,
    /// The end was asked for before it was possible.
    is_end_wanted: bool,
    /// A message was refused by itself, and not as part of the batch: until then its end is waited for.
    ///
    /// nats-server 2.14.0 does so in two cases. Refused before it was counted (a limit of the server or the account, a
    /// sealed stream), it is missing, and whatever follows ends the batch before it. Refused by the store, maybe of a
    /// stream with replicas after it was agreed on, it stays counted as under way: what is stored behind it confirms
    /// it, as does the end of the batch, and without anything behind it nothing is ever said. So the end is asked for
    /// at once, and what it says is believed up to the refused message only.
    condemned_until: Option<Instant>,
}

impl Batch {
    /// `prefix` is one token of a subject and unique in the world, of at most 40 bytes.
    pub(super) fn new(prefix: String, now: Instant) -> Self {
        Self {
            prefix,
            number: 0,
            state: State::Closed,
            first_token: 0,
            sent: 0,
            stored: 0,
            most_stored: u64::MAX,
            flow: FLOW,
            sent_at: now,
            heard_at: now,
            is_end_wanted: false,
            condemned_until: None,
        }
    }

    /// Whether a message may be sent now.
    pub(super) fn is_ready(&self) -> bool {
        match self.state {
            State::Closed => true,
            State::Open if self.condemned_until.is_some() => false,
            State::Open => self.sent - self.stored < self.flow * OUTSTANDING,
            State::Starting | State::Ending | State::Broken => false,
        }
    }

    /// Whether a message may be sent only after an answer that the server gives at once.
    pub(super) fn is_waiting(&self) -> bool {
        match self.state {
            State::Closed => false,
            State::Open => self.condemned_until.is_some(),
            State::Starting | State::Ending | State::Broken => true,
        }
    }

    /// Whether the server has said nothing of the end of a batch of which it has refused a message.
    pub(super) fn is_given_up(&self, now: Instant) -> bool {
        self.state != State::Closed && self.condemned_until.is_some_and(|until| now >= until)
    }

    /// The step of the next message, which has this token.
    pub(super) fn send(&mut self, token: u64, now: Instant) -> Step {
        if self.state == State::Closed {
            self.number += 1;
            self.state = State::Starting;
            self.first_token = token;
            self.sent = 0;
            self.stored = 0;
            self.most_stored = u64::MAX;
            self.condemned_until = None;
            self.heard_at = now;
        }
        self.sent += 1;
        self.sent_at = now;
        self.is_end_wanted = false;
        let operation = match self.sent {
            1 => Operation::Start,
            _ => Operation::Append,
        };
        Step {
            sequence: self.sent,
            operation,
        }
    }

    /// Ends the batch, if that is possible now; else as soon as it is, unless something is sent before.
    pub(super) fn end(&mut self, now: Instant) -> Option<Step> {
        if self.state != State::Open {
            self.is_end_wanted = self.state == State::Starting;
            return None;
        }
        self.state = State::Ending;
        self.heard_at = now;
        Some(Step {
            sequence: self.sent + 1,
            operation: Operation::End,
        })
    }

    /// What the time asks for.
    pub(super) fn look_at_clock(&mut self, now: Instant) -> Option<Step> {
        if self.state != State::Open {
            return None;
        }
        if self.condemned_until.is_some() {
            return self.end(now);
        }
        let is_quiet = self.is_end_wanted || now >= self.sent_at + QUIET;
        if is_quiet && self.is_ready() {
            return self.end(now);
        }
        if self.stored < self.sent && now >= self.heard_at + PING_INTERVAL {
            self.heard_at = now;
            return Some(Step {
                sequence: self.sent,
                operation: Operation::Ping,
            });
        }
        None
    }

    /// When [`Batch::look_at_clock`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            _ if self.condemned_until.is_some() => self.condemned_until,
            State::Open if self.is_ready() => Some(self.sent_at + QUIET),
            State::Open => Some(self.heard_at + PING_INTERVAL),
            _ => None,
        }
    }

    /// Whether the message with this token is the first of the batch.
    pub(super) fn starts_with(&self, token: u64) -> bool {
        self.state != State::Closed && token == self.first_token
    }

    /// The message with this token was refused, and is to be sent again. The server may count it as stored all the
    /// same, if its store was what refused it.
    pub(super) fn exclude(&mut self, token: u64) {
        let before = token.saturating_sub(self.first_token);
        self.most_stored = self.most_stored.min(before);
    }

    /// Gives the batch up. The next message starts another one.
    pub(super) fn abandon(&mut self) {
        self.state = State::Closed;
    }

    /// Appends the rest of a reply subject, behind the inbox.
    pub(super) fn write_reply(&self, step: Step, subject: &mut String) {
        let Self { prefix, number, .. } = self;
        let (sequence, operation) = (step.sequence, step.operation as u8);
        write!(
            subject,
            "{prefix}-{number}.{FLOW}.fail.{sequence}.{operation}.{SUFFIX}"
        )
        .expect("writing to memory cannot fail");
    }

    /// The token of the message that an answer is for, by what stands behind the inbox in the reply subject.
    /// `None` for the answers of a batch that is over.
    pub(super) fn parse_reply(&self, rest: &str) -> Option<u64> {
        let rest = rest.strip_prefix(&*self.prefix)?.strip_prefix('-')?;
        let mut tokens = rest.split('.');
        let number: u64 = tokens.next()?.parse().ok()?;
        let sequence: u64 = tokens.nth(2)?.parse().ok()?;
        let is_current = number == self.number && self.state != State::Closed;
        (is_current && sequence > 0).then(|| self.first_token + sequence - 1)
    }

    /// Takes in an answer.
    ///
    /// What nats-server 2.14.0 counts (`jetstream_batching.go`): an acknowledgement speaks of what is applied, which with
    /// replicas is what most of them have. When the leader steps down, what it had proposed and they do not have is
    /// dropped without a word. The next leader knows the batch from what it has applied; it acknowledges that,
    /// finds that the following message is missing, and ends the batch there. If it has applied nothing of it, it does
    /// not know the batch (10208). So what is counted is stored, with two exceptions: what a store has refused, for
    /// which there is [`Batch::exclude`], and what was skipped by its id, for which there is `outlet/doubt.rs`. A
    /// store's refusal while nobody leads is told to nobody; it takes a stream that becomes full at that moment.
    pub(super) fn take_answer(&mut self, answer: &Answer, now: Instant) -> Effect {
        self.heard_at = now;
        let foremost = match answer {
            Answer::Flow { sequence, .. } => *sequence,
            Answer::Stored { count, .. } => count.unwrap_or_default(),
            _ => 0,
        };
        if foremost > self.sent {
            return Effect::Foreign;
        }
        match answer {
            Answer::Flow { sequence, messages } => {
                self.flow = (*messages).max(1);
                self.stored = self.stored.max(*sequence).min(self.most_stored);
                if self.state == State::Starting {
                    self.state = State::Open;
                }
                Effect::StoredBelow(self.first_token + self.stored)
            }
            Answer::Stored { count, .. } => {
                self.state = State::Closed;
                let count = count.unwrap_or(self.stored).min(self.most_stored);
                Effect::OverBelow(self.first_token + count)
            }
            Answer::Gap | Answer::RefusedOfBatch { .. } => {
                self.state = State::Broken;
                Effect::Nothing
            }
            Answer::Refused(_) => {
                self.condemned_until.get_or_insert(now + VERDICT);
                Effect::Nothing
            }
        }
    }
}
