//! An [`Outlet`]: one JetStream stream as one worker feeds it over one connection. It decides what may be sent,
//! and what an answer or a silence means; it sends nothing itself.
//!
//! Whatever goes wrong for a while (the stream is full, has no leader, or says nothing) ends the same way: what is
//! unconfirmed is to be sent again, after a pause that grows, and its first message alone until that one is
//! confirmed. Other outlets go on meanwhile.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::doubt::Doubt;
use self::feed::{Feed, LEAST_IN_FLIGHT, MOST_IN_FLIGHT};
pub(super) use self::refusal::{Refusal, Why};
use super::answer::{Alike, Answer, parse_answer};
use super::ingest::{Batch, Effect, Step};
use super::js_config::StreamInfo;
use super::js_error::{ApiError, Verdict};
use super::ledger::{Again, Ledger};
use crate::error::{Error, Kind};
use crate::route::Route;

mod doubt;
mod feed;
mod refusal;

/// The first silence that is taken for lost acknowledgements, and the longest: a server may only be slow, and
/// what is sent again is more work for it.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
const LONGEST_ACK_TIMEOUT: Duration = Duration::from_secs(40);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// One stream's unconfirmed messages, and how they are fed to it.
pub(super) struct Outlet {
    pub(super) js_stream: Arc<StreamInfo>,
    /// The stream's place among those that are known.
    pub(super) place: usize,
    ledger: Ledger,
    feed: Feed,
    /// With ids the server itself drops what it has.
    again: Again,
    doubt: Doubt,
    paused_until: Option<Instant>,
    pause: Duration,
    ack_timeout: Duration,
    /// When the stream was last heard of, or was sent something while nothing was outstanding.
    heard_at: Instant,
    alike: Alike,
    /// Messages that the stream refuses for what they are, or for what will not pass.
    refused: VecDeque<Refusal>,
    /// The stream is to be looked at: it answered as one does that is gone.
    pub(super) is_missing: bool,
    /// Why the stream takes nothing for now, until it does.
    trouble: Option<Trouble>,
    last_route: Option<Arc<Route>>,
}

/// What keeps a stream from taking messages.
struct Trouble {
    why: String,
    is_told: bool,
}

/// A message that only controls a batch, and the subject that it goes to.
pub(super) struct Control {
    pub(super) route: Arc<Route>,
    pub(super) step: Step,
}

impl Outlet {
    /// `batch` is the prefix of batch ids, which begins with the outlet's number, where the stream is fed by fast
    /// ingest. Messages up to the ordinal `sent_before` may have been sent over another connection.
    pub(super) fn new(
        js_stream: Arc<StreamInfo>,
        place: usize,
        batch: Option<String>,
        again: Again,
        sent_before: u64,
    ) -> Self {
        let now = Instant::now();
        let is_possible = batch.is_some() && again == Again::Unsettled && js_stream.is_replicated();
        Self {
            doubt: Doubt::new(is_possible, sent_before),
            js_stream,
            place,
            ledger: Ledger::default(),
            feed: match batch {
                Some(prefix) => Feed::Fast(Batch::new(prefix, now)),
                None => Feed::pipelined(),
            },
            again,
            paused_until: None,
            pause: FIRST_PAUSE,
            ack_timeout: ACK_TIMEOUT,
            heard_at: now,
            alike: Alike::default(),
            refused: VecDeque::new(),
            is_missing: false,
            trouble: None,
            last_route: None,
        }
    }

    /// Whether this message may be sent now; else it is to be pushed.
    pub(super) fn takes(&mut self, ordinal: u64) -> bool {
        self.look_at_doubt(Some(ordinal));
        self.ledger.is_next(ordinal) && !self.doubt.holds(ordinal) && self.is_ready()
    }

    /// Keeps a message until it is due.
    pub(super) fn push(&mut self, ordinal: u64) {
        self.ledger.push(ordinal);
    }

    /// The next message that may be sent.
    pub(super) fn due(&mut self) -> Option<u64> {
        if self.can_send() {
            self.ledger.next()
        } else {
            None
        }
    }

    fn can_send(&self) -> bool {
        let next = self.ledger.front();
        next.is_some_and(|next| !self.doubt.holds(next)) && self.is_ready()
    }

    fn is_ready(&self) -> bool {
        if self
            .paused_until
            .is_some_and(|until| Instant::now() < until)
        {
            return false;
        }
        match &self.feed {
            Feed::Pipelined {
                is_probing: true, ..
            } => self.ledger.in_flight() == 0,
            Feed::Pipelined { most_in_flight, .. } => self.ledger.in_flight() < *most_in_flight,
            Feed::Fast(batch) => batch.is_ready(),
        }
    }

    /// Takes note of a message that is being sent, and appends the rest of its reply subject: what stands
    /// behind the inbox. `index` is the outlet's own number.
    pub(super) fn send(
        &mut self,
        index: usize,
        ordinal: u64,
        route: &Arc<Route>,
        reply: &mut String,
    ) {
        if self.ledger.in_flight() == 0 {
            self.heard_at = Instant::now();
        }
        let token = self.ledger.send(ordinal);
        match &mut self.feed {
            Feed::Pipelined { .. } => {
                write!(reply, "{index}.{token}").expect("writing to memory cannot fail");
            }
            Feed::Fast(batch) => {
                let step = batch.send(token, Instant::now());
                batch.write_reply(step, reply);
                self.last_route = Some(Arc::clone(route));
            }
        }
    }

    /// Whether a flush would make an answer come sooner that more messages wait for.
    pub(super) fn wants_flush(&self) -> bool {
        match &self.feed {
            Feed::Pipelined { is_probing, .. } => *is_probing && self.ledger.in_flight() > 0,
            Feed::Fast(batch) => batch.is_waiting(),
        }
    }

    /// Nothing else comes for now: what is outstanding should be confirmed soon.
    pub(super) fn finish(&mut self) -> Option<Control> {
        let Feed::Fast(batch) = &mut self.feed else {
            return None;
        };
        if !self.ledger.is_caught_up() {
            return None;
        }
        let step = batch.end(Instant::now())?;
        self.control(step)
    }

    /// Sees to what the time asks for.
    pub(super) fn look_at_clock(&mut self) -> Option<Control> {
        let now = Instant::now();
        if self.is_outstanding() && now >= self.heard_at + self.ack_timeout {
            let (seconds, messages) = (self.ack_timeout.as_secs(), self.ledger.in_flight());
            self.note_trouble(&format!(
                "it has acknowledged none of {messages} messages for {seconds} seconds"
            ));
            self.ack_timeout = (2 * self.ack_timeout).min(LONGEST_ACK_TIMEOUT);
            self.is_missing = true;
            self.start_over(now);
        }
        if (self.feed.batch()).is_some_and(|batch| batch.is_given_up(now)) {
            self.start_over(now);
        }
        let is_sent = self.is_doubt_sent();
        let Feed::Fast(batch) = &mut self.feed else {
            return None;
        };
        let end = if is_sent { batch.end(now) } else { None };
        let step = end.or_else(|| batch.look_at_clock(now))?;
        self.control(step)
    }

    /// When [`Outlet::look_at_clock`] or [`Outlet::due`] has something to do that no answer announces.
    pub(super) fn deadline(&self) -> Option<Instant> {
        // Behind it, an answer decides, where nothing can be sent before.
        let can_send = self.can_send();
        let is_ahead = |until: &Instant| can_send || *until > Instant::now();
        let paused = self.paused_until.filter(is_ahead);
        let silent = self
            .is_outstanding()
            .then(|| self.heard_at + self.ack_timeout);
        let batch = self.feed.batch().and_then(Batch::deadline);
        [paused, silent, batch].into_iter().flatten().min()
    }

    /// Whether an answer is awaited.
    pub(super) fn is_outstanding(&self) -> bool {
        self.ledger.in_flight() > 0 || self.feed.batch().is_some_and(Batch::is_waiting)
    }

    fn control(&self, step: Step) -> Option<Control> {
        let route = Arc::clone(self.last_route.as_ref()?);
        Some(Control { route, step })
    }

    /// Appends the rest of a control message's reply subject.
    pub(super) fn write_reply(&self, step: Step, reply: &mut String) {
        if let Some(batch) = self.feed.batch() {
            batch.write_reply(step, reply);
        }
    }

    /// Takes in a reply. `rest` stands behind the inbox in the reply's subject.
    ///
    /// Fails with `Refused` or `Unavailable` where the stream will not take our messages.
    pub(super) fn take_reply(
        &mut self,
        rest: &str,
        status: Option<&str>,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), Error> {
        let token = match &self.feed {
            // What was sent again is no longer spoken of: each of thousands of refusals would begin a pause.
            Feed::Pipelined { .. } => (rest.split_once('.'))
                .and_then(|(_, token)| token.parse().ok())
                .filter(|token| self.ledger.is_current(*token)),
            Feed::Fast(batch) => batch.parse_reply(rest),
        };
        // Of a batch that is over, or no token of ours. The end of a batch has the one behind its last message.
        let Some(token) = token.filter(|token| *token <= self.ledger.next_token()) else {
            return Ok(());
        };
        if matches!(self.feed, Feed::Pipelined { .. }) && self.alike.matches(payload) {
            self.confirm(token, now);
            self.look_at_doubt(None);
            return Ok(());
        }
        if payload.is_empty() && status.is_some() {
            self.is_missing = true;
            self.note_trouble(&"nobody answers for it");
            self.start_over(now);
            return Ok(());
        }
        let Some(answer) = parse_answer(payload) else {
            return Err(self.foreign());
        };
        let outcome = self.take_answer(token, &answer, payload, now);
        self.look_at_doubt(None);
        outcome
    }

    fn take_answer(
        &mut self,
        token: u64,
        answer: &Answer,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), Error> {
        if let Answer::Stored { js_stream, .. } = answer
            && *js_stream != *self.js_stream.name
        {
            let what = format!(
                "JetStream stream '{js_stream}' has acknowledged a message for stream '{}'",
                self.js_stream.name
            );
            return Err(Error::new(Kind::Refused, what));
        }
        match (&mut self.feed, answer) {
            (Feed::Pipelined { .. }, Answer::Stored { is_duplicate, .. }) => {
                if !is_duplicate {
                    self.alike.learn(payload);
                }
                self.confirm(token, now);
                Ok(())
            }
            // Whoever answers so knows nothing of batches, and has stored a message like any other.
            (Feed::Fast(_), Answer::Stored { count: None, .. }) => {
                self.ledger.settle(token);
                self.note_progress(now);
                self.leave_fast(&"it is acknowledged as no part of a batch", now);
                Ok(())
            }
            (Feed::Fast(batch), answer) => {
                let effect = batch.take_answer(answer, now);
                self.apply(effect, now)?;
                match answer {
                    Answer::Refused(error) | Answer::RefusedOfBatch { error, .. } => {
                        self.take_error(token, error, now);
                    }
                    _ => {}
                }
                Ok(())
            }
            (Feed::Pipelined { .. }, Answer::Refused(error)) => {
                self.take_error(token, error, now);
                Ok(())
            }
            // An answer of fast ingest to a message that asked for none.
            (Feed::Pipelined { .. }, _) => Ok(()),
        }
    }

    fn confirm(&mut self, token: u64, now: Instant) {
        if self.ledger.settle(token).is_some() {
            self.note_progress(now);
        }
        if let Feed::Pipelined {
            most_in_flight,
            is_probing,
        } = &mut self.feed
        {
            *is_probing = false;
            *most_in_flight = (*most_in_flight + 1).min(MOST_IN_FLIGHT);
        }
    }

    fn apply(&mut self, effect: Effect, now: Instant) -> Result<(), Error> {
        match effect {
            Effect::Nothing => {}
            Effect::Foreign => return Err(self.foreign()),
            Effect::StoredBelow(_) if self.doubt.is_some() => self.heard_at = now,
            Effect::OverBelow(token) if self.doubt.is_some() => self.end_doubtful_batch(token, now),
            Effect::StoredBelow(token) => {
                self.ledger.settle_below(token);
                self.note_progress(now);
            }
            Effect::OverBelow(token) => {
                self.ledger.settle_below(token);
                self.note_progress(now);
                // What the batch did not take is sent again in another one.
                self.rewind();
            }
        }
        Ok(())
    }

    fn foreign(&self) -> Error {
        let what = format!(
            "something other than JetStream answers the messages for stream '{}'",
            self.js_stream.name
        );
        Error::new(Kind::Refused, what)
    }

    fn note_progress(&mut self, now: Instant) {
        self.trouble = None;
        self.heard_at = now;
        self.ack_timeout = ACK_TIMEOUT;
        self.pause = FIRST_PAUSE;
    }

    fn take_error(&mut self, token: u64, error: &ApiError, now: Instant) {
        match error.verdict() {
            Verdict::BadRecord => {
                self.refuse(token, Why::Bad(error.to_string()), now);
            }
            Verdict::NoBatch => {
                self.start_over(now);
            }
            Verdict::NoBatches => {
                self.leave_fast(error, now);
            }
            Verdict::Retry | Verdict::SlowDown => {
                self.note_trouble(error);
                if let Feed::Pipelined { most_in_flight, .. } = &mut self.feed {
                    *most_in_flight = (*most_in_flight / 2).max(LEAST_IN_FLIGHT);
                    self.start_over(now);
                } else if self.is_first_of_batch(token) {
                    self.start_over(now);
                } else {
                    // The server will say where the batch ends, or nothing for too long.
                    if let Feed::Fast(batch) = &mut self.feed {
                        batch.exclude(token);
                    }
                    self.start_pause(now);
                }
            }
            Verdict::Fail(kind) => {
                let what = format!(
                    "JetStream stream '{}' refuses a message",
                    self.js_stream.name
                );
                // What came before it in its batch may be stored, which the batch's end will tell.
                let error = Error::new(kind, what).cause(error);
                self.refuse(token, Why::Fatal(error), now);
            }
        }
    }

    fn leave_fast(&mut self, why: &dyn std::fmt::Display, now: Instant) {
        log::warn!(
            "JetStream stream '{}' takes no fast ingest now, and is fed pipelined: {why}",
            self.js_stream.name
        );
        self.start_over(now);
        self.feed = Feed::pipelined();
        // Each message is answered for by itself from now on.
        self.doubt = Doubt::default();
    }

    fn note_trouble(&mut self, why: &dyn std::fmt::Display) {
        let name = &self.js_stream.name;
        self.trouble.get_or_insert_with(|| Trouble {
            why: format!("JetStream stream '{name}' takes nothing for now: {why}"),
            is_told: false,
        });
    }

    /// Why nothing goes on, once.
    pub(super) fn take_trouble(&mut self) -> Option<String> {
        let trouble = self.trouble.as_mut().filter(|trouble| !trouble.is_told)?;
        trouble.is_told = true;
        Some(trouble.why.clone())
    }

    /// Everything unconfirmed is sent again after a pause, the first message alone.
    fn start_over(&mut self, now: Instant) {
        self.rewind();
        self.leave_roll_call();
        match &mut self.feed {
            Feed::Pipelined { is_probing, .. } => *is_probing = true,
            Feed::Fast(batch) => batch.abandon(),
        }
        self.heard_at = now;
        self.start_pause(now);
    }

    fn start_pause(&mut self, now: Instant) {
        self.paused_until = Some(now + self.pause);
        self.pause = (2 * self.pause).min(LONGEST_PAUSE);
    }

    /// Whether there is no batch without the message with this token.
    fn is_first_of_batch(&self, token: u64) -> bool {
        (self.feed.batch()).is_some_and(|batch| batch.starts_with(token))
    }

    /// The lowest ordinal that is not confirmed.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.ledger.oldest()
    }
}

#[cfg(test)]
mod tests;
