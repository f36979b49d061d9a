//! A worker: it publishes the parts that it is given, keeps what is unconfirmed, and sends it again in order
//! after a break. It decides when to ask for a confirmation; when to give up, the flow decides.
//!
//! ```text
//!  inbox ──▶ publish ──▶ window ──▶ request_confirmation
//!              ▲           │ ▲            │
//!              │ due       │ └────────────┴── Lost: connect, publish the window again
//!              └───────────┤
//!            Confirmed ◀───┘
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError};

use super::invalid::{Bad, DeadLetter, Invalid};
use super::part::Part;
use crate::broker::{Delivery, Limits, Notice, RunEnd, Stop};
use crate::error::{Error, Kind};
use crate::replay::Window;
use crate::settings::Settings;

/// The least time between two confirmations, unless the window fills: each wakes five threads.
const ASK_INTERVAL: Duration = Duration::from_millis(5);

/// What a worker tells the flow.
#[derive(Debug)]
pub(super) enum Event {
    Connected(Limits),
    /// Every message of this worker up to this one, counted from 1, is stored.
    Confirmed {
        worker: usize,
        message: u64,
    },
    /// Why this worker's messages are not confirmed for now.
    Trouble {
        worker: usize,
        why: String,
    },
    /// The worker has ended; nothing more of it will be confirmed.
    Failed(Error),
}

/// One thread of the pool.
pub(super) struct Worker {
    index: usize,
    inbox: Receiver<Part>,
    events: Sender<Event>,
    delivery: Box<dyn Delivery>,
    run_end: RunEnd,
    window: Window<Part>,
    invalid: Arc<Invalid>,
    /// What became of refused messages that are in the window: nothing is published, or a dead letter.
    refused: BTreeMap<u64, Option<DeadLetter>>,
    limits: Limits,
    /// The connection is gone, and there was nothing to send again: the next part connects.
    is_lost: bool,
    /// A message that ends the run, by its ordinal, once everything before it is confirmed.
    failure: Option<(u64, Error)>,
    /// Up to which ordinal a confirmation was asked for.
    asked: u64,
    asked_at: Instant,
}

/// The connection is gone.
struct Lost;

/// What ended a wait.
enum Woken {
    Part(Part),
    InputEnded,
    RunEnded,
    Other,
}

impl Worker {
    pub(super) fn new(
        index: usize,
        inbox: Receiver<Part>,
        events: Sender<Event>,
        delivery: Box<dyn Delivery>,
        run_end: RunEnd,
        invalid: Arc<Invalid>,
        settings: &Settings,
    ) -> Self {
        Self {
            index,
            inbox,
            events,
            delivery,
            run_end,
            window: Window::new(settings.max_in_flight, settings.max_in_flight_bytes),
            invalid,
            refused: BTreeMap::new(),
            limits: Limits {
                max_payload_bytes: 0,
                headers: false,
            },
            is_lost: false,
            failure: None,
            asked: 0,
            asked_at: Instant::now(),
        }
    }

    /// Works until the inbox is closed and all is confirmed, until a failure, which is an event, or until the
    /// run has ended.
    pub(super) fn run(mut self) {
        if let Err(error) = self.work() {
            self.tell(Event::Failed(error));
        }
    }

    fn work(&mut self) -> Result<(), Error> {
        self.limits = self.delivery.connect(&self.run_end)?;
        self.tell(Event::Connected(self.limits));
        let mut is_open = true;
        while is_open || !self.window.is_empty() {
            if let Some((ordinal, error)) = &self.failure
                && self.window.confirmed() + 1 >= *ordinal
            {
                return Err(error.clone());
            }
            let ask_at = self.ask_if_wise();
            let wants_part = is_open && self.window.has_room() && self.failure.is_none();
            match self.wait(wants_part, ask_at) {
                Woken::Part(part) => self.take_on(part)?,
                Woken::InputEnded => is_open = false,
                Woken::RunEnded => return Ok(()),
                Woken::Other => {}
            }
            self.take_notices()?;
            self.publish_due()?;
        }
        Ok(())
    }

    fn wait(&self, wants_part: bool, ask_at: Option<Instant>) -> Woken {
        let mut select = Select::new();
        let run_end = select.recv(&self.run_end);
        let inbox = wants_part.then(|| select.recv(&self.inbox));
        // Before what is watched: what becomes due between the two is watched then, or was the deadline.
        let due = self.delivery.deadline();
        self.delivery.watch(&mut select);
        let deadline = [ask_at, due].into_iter().flatten().min();
        let ready = match deadline {
            Some(deadline) => select.ready_deadline(deadline).ok(),
            None => Some(select.ready()),
        };
        if ready == Some(run_end) {
            return Woken::RunEnded;
        }
        if ready.is_some() && ready == inbox {
            return match self.inbox.try_recv() {
                Ok(part) => Woken::Part(part),
                Err(TryRecvError::Disconnected) => Woken::InputEnded,
                Err(TryRecvError::Empty) => Woken::Other,
            };
        }
        Woken::Other
    }

    /// Asks for a confirmation when there is nothing else to do or the window fills; never for two at once,
    /// so that a STATE after every record costs no round trip each. Returns when it would be wise, if the
    /// time is all that it lacks.
    fn ask_if_wise(&mut self) -> Option<Instant> {
        let newest = self.window.newest();
        let is_waiting = self.asked > self.window.confirmed();
        if is_waiting || newest == self.asked {
            return None;
        }
        let is_idle = self.inbox.is_empty();
        let is_early = self.asked_at.elapsed() < ASK_INTERVAL;
        if self.window.is_filling() || (is_idle && !is_early) {
            self.delivery.request_confirmation(is_idle);
            self.asked = newest;
            self.asked_at = Instant::now();
            return None;
        }
        is_idle.then(|| self.asked_at + ASK_INTERVAL)
    }

    fn take_on(&mut self, part: Part) -> Result<(), Error> {
        let (messages, bytes) = (part.messages(), part.payload_bytes());
        let first = self.window.push(part, messages, bytes);
        if self.is_lost {
            return self.reconnect();
        }
        self.publish_from(first).or_else(|Lost| self.reconnect())
    }

    fn take_notices(&mut self) -> Result<(), Error> {
        let worker = self.index;
        while let Some(notice) = self.delivery.poll()? {
            match notice {
                Notice::Confirmed(ordinal) => {
                    self.window.confirm(ordinal);
                    if !self.refused.is_empty() {
                        self.refused = self.refused.split_off(&(ordinal + 1));
                    }
                    let message = ordinal;
                    self.tell(Event::Confirmed { worker, message });
                }
                Notice::Lost => self.lose()?,
                Notice::Trouble(why) => self.tell(Event::Trouble { worker, why }),
                Notice::Refused { ordinal, reason } => {
                    let outcome = self.refuse(ordinal, reason);
                    outcome.or_else(|Lost| self.reconnect())?;
                }
                Notice::Failed { ordinal, error } => self.fail(ordinal, error),
            }
        }
        Ok(())
    }

    /// Connects again at once only if something is unconfirmed.
    fn lose(&mut self) -> Result<(), Error> {
        if self.window.is_empty() {
            self.is_lost = true;
            return Ok(());
        }
        self.reconnect()
    }

    /// Connects, and publishes all that is unconfirmed again, until both have worked.
    fn reconnect(&mut self) -> Result<(), Error> {
        loop {
            self.limits = self.delivery.connect(&self.run_end)?;
            if self.run_end.try_recv() == Err(TryRecvError::Disconnected) {
                // It has its last word said.
                return Ok(());
            }
            self.is_lost = false;
            self.asked = self.window.confirmed();
            let messages = self.window.unconfirmed();
            log::info!("connected to NATS again; {messages} unconfirmed messages are sent again");
            if self.publish_from(self.window.confirmed() + 1).is_ok() {
                return Ok(());
            }
        }
    }

    /// Publishes the messages of the window from this ordinal on.
    fn publish_from(&mut self, first: u64) -> Result<(), Lost> {
        (first..=self.window.newest()).try_for_each(|ordinal| self.publish(ordinal))
    }

    /// Publishes what the delivery had kept back.
    fn publish_due(&mut self) -> Result<(), Error> {
        while let Some(ordinal) = self.delivery.due() {
            let outcome = self.publish(ordinal);
            outcome.or_else(|Lost| self.reconnect())?;
        }
        Ok(())
    }

    /// Publishes a message of the window, or the dead letter in its place; nothing behind one that ends the run.
    fn publish(&mut self, ordinal: u64) -> Result<(), Lost> {
        // What was kept back, or takes a refused message's place, was not there when a confirmation was asked for.
        self.asked = self.asked.min(ordinal - 1);
        if (self.failure.as_ref()).is_some_and(|(failed, _)| ordinal >= *failed) {
            return Ok(());
        }
        let Some((part, place)) = self.window.get(ordinal) else {
            return Ok(());
        };
        let (mut route, mut payload) = part.message(place);
        if !self.refused.is_empty() {
            match self.refused.get(&ordinal) {
                None => {}
                Some(None) => {
                    self.delivery.give_up(ordinal);
                    return Ok(());
                }
                Some(Some(letter)) => {
                    route = &letter.route;
                    payload = letter.payload(part.record(place));
                }
            }
        }
        // The flow has held the size against the limit of the first server; this is for one that came later
        // and takes less.
        let outcome = if route.message_bytes(payload.len()) > self.limits.max_payload_bytes {
            Err(Stop::Refused(format!(
                "a message is larger than the {} bytes that the server takes now",
                self.limits.max_payload_bytes
            )))
        } else {
            self.delivery.publish(ordinal, route, payload)
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(Stop::Lost) => Err(Lost),
            Err(Stop::Refused(reason)) => self.refuse(ordinal, reason),
            Err(Stop::Failed(error)) => {
                self.fail(ordinal, error);
                Ok(())
            }
        }
    }

    /// A message will not be taken as it is: the run fails, or nothing or a dead letter is published in its
    /// place.
    fn refuse(&mut self, ordinal: u64, reason: String) -> Result<(), Lost> {
        let Some((part, place)) = self.window.get(ordinal) else {
            return Ok(());
        };
        let (mut route, mut payload) = part.message(place);
        let (record, payload_bytes) = (part.record(place), payload.len());
        if let Some(Some(letter)) = self.refused.get(&ordinal) {
            route = &letter.route;
            payload = letter.payload(record);
        }
        if let Some(letter) = self.invalid.bare_letter(route, payload) {
            self.refused.insert(ordinal, Some(letter));
            return self.publish(ordinal);
        }
        let bad = Bad {
            origin: &route.origin,
            place: part.place(place),
            bytes: record.len(),
            error: Error::new(Kind::Refused, reason)
                .line(part.place(place).line)
                .stream(&*route.origin.stream),
        };
        match self.invalid.judge_refused(&bad, payload_bytes, self.limits) {
            Ok(letter) => {
                self.refused.insert(ordinal, letter);
                self.publish(ordinal)
            }
            Err(error) => {
                self.fail(ordinal, error);
                Ok(())
            }
        }
    }

    /// This message ends the run, once everything before it is confirmed.
    fn fail(&mut self, ordinal: u64, error: Error) {
        // Behind a refusal that comes later but stands before it, nothing is confirmed.
        if (self.failure.as_ref()).is_none_or(|(failed, _)| ordinal < *failed) {
            self.failure = Some((ordinal, error));
        }
        self.delivery.request_confirmation(true);
    }

    fn tell(&self, event: Event) {
        // The flow is gone only when the run has ended, and then nobody need be told.
        let _ = self.events.send(event);
    }
}

#[cfg(test)]
mod tests;
