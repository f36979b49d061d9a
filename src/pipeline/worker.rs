//! A worker: it publishes the parts that it is given, keeps what is unconfirmed, and sends it again in order
//! after a break. It decides when to ask for a confirmation; when to give up, the flow decides.
//!
//! ```text
//!  inbox ──▶ publish ──▶ window ──▶ request_confirmation
//!                          │ ▲            │
//!            Confirmed ────┘ └── Lost: connect, publish the window again
//! ```

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, never, select};

use super::part::Part;
use crate::broker::{Delivery, Limits, Lost, Notice, RunEnd};
use crate::error::{Error, Kind};
use crate::replay::Window;
use crate::settings::Settings;

/// The least time between two confirmations, unless the window fills: each wakes five threads.
const ASK_INTERVAL: Duration = Duration::from_millis(5);

/// What a worker tells the flow.
#[derive(Debug)]
pub(super) enum Event {
    Connected(Limits),
    /// Every part of this worker up to this number, counted from 1, is stored.
    Confirmed {
        worker: usize,
        part: u64,
        /// Messages that this confirms and none before did.
        messages: usize,
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
    limits: Limits,
    /// The connection is gone, and there was nothing to send again: the next part connects.
    is_lost: bool,
    /// Up to which part a confirmation was asked for, and up to which one was had.
    asked: u64,
    confirmed: u64,
    asked_at: Instant,
}

impl Worker {
    pub(super) fn new(
        index: usize,
        inbox: Receiver<Part>,
        events: Sender<Event>,
        delivery: Box<dyn Delivery>,
        run_end: RunEnd,
        settings: &Settings,
    ) -> Self {
        Self {
            index,
            inbox,
            events,
            delivery,
            run_end,
            window: Window::new(settings.max_in_flight, settings.max_in_flight_bytes),
            limits: Limits {
                max_payload_bytes: 0,
                headers: false,
            },
            is_lost: false,
            asked: 0,
            confirmed: 0,
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
            let ask = self.ask_if_wise();
            let closed = never();
            let inbox = if is_open && self.window.has_room() {
                &self.inbox
            } else {
                &closed
            };
            select! {
                recv(inbox) -> part => match part {
                    Ok(part) => self.take_on(part)?,
                    Err(_) => is_open = false,
                },
                recv(self.delivery.notices()) -> notice => match notice {
                    Ok(Notice::Confirmed(part)) => self.confirm(part),
                    Ok(Notice::Lost) | Err(_) => self.lose()?,
                },
                recv(ask) -> _ => {}
                recv(self.run_end) -> _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Asks for a confirmation when there is nothing else to do or the window fills; never for two at once,
    /// so that a STATE after every record costs no round trip each. Returns what ends the wait for the time
    /// when it would be wise, if that is all that it lacks.
    fn ask_if_wise(&mut self) -> Receiver<Instant> {
        let newest = self.window.newest();
        let is_waiting = self.asked > self.confirmed;
        if is_waiting || newest == self.asked {
            return never();
        }
        let is_idle = self.inbox.is_empty();
        let is_early = self.asked_at.elapsed() < ASK_INTERVAL;
        if self.window.is_filling() || (is_idle && !is_early) {
            self.delivery.request_confirmation(newest);
            self.asked = newest;
            self.asked_at = Instant::now();
            never()
        } else if is_idle {
            at(self.asked_at + ASK_INTERVAL)
        } else {
            never()
        }
    }

    fn take_on(&mut self, part: Part) -> Result<(), Error> {
        let outcome = if self.is_lost {
            Err(Break::Lost)
        } else {
            publish(self.delivery.as_mut(), self.limits, &part)
        };
        let (messages, bytes) = (part.messages(), part.payload_bytes());
        self.window.push(part, messages, bytes);
        match outcome {
            Ok(()) => Ok(()),
            Err(Break::Lost) => self.reconnect(),
            Err(Break::Failed(error)) => Err(error),
        }
    }

    fn confirm(&mut self, part: u64) {
        let messages = self.window.confirm(part);
        self.confirmed = part;
        let worker = self.index;
        self.tell(Event::Confirmed {
            worker,
            part,
            messages,
        });
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
            self.is_lost = false;
            self.asked = self.confirmed;
            let messages: usize = self.window.iter().map(Part::messages).sum();
            log::info!("connected to NATS again; {messages} unconfirmed messages are sent again");
            let delivery = self.delivery.as_mut();
            let mut parts = self.window.iter();
            match parts.try_for_each(|part| publish(delivery, self.limits, part)) {
                Ok(()) => return Ok(()),
                Err(Break::Lost) => {}
                Err(Break::Failed(error)) => return Err(error),
            }
        }
    }

    fn tell(&self, event: Event) {
        // The flow is gone only when the run has ended, and then nobody need be told.
        let _ = self.events.send(event);
    }
}

/// Why publishing stopped.
enum Break {
    Lost,
    Failed(Error),
}

/// Publishes the records of a part.
///
/// Fails with `Refused` where a record is larger than the server takes. The flow has held it against the
/// limit of the first server; this is for one that came later and takes less.
fn publish(delivery: &mut dyn Delivery, limits: Limits, part: &Part) -> Result<(), Break> {
    for (route, payload) in part.records() {
        if route.message_bytes(payload.len()) > limits.max_payload_bytes {
            let what = format!(
                "a message for '{}' is larger than the {} bytes that the server takes now",
                route.subject, limits.max_payload_bytes
            );
            return Err(Break::Failed(Error::new(Kind::Refused, what)));
        }
        delivery
            .publish(route, payload)
            .map_err(|Lost| Break::Lost)?;
    }
    Ok(())
}
