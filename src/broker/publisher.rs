//! The [`Publisher`]: a worker's delivery to NATS, over the current connection of its link.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Select, Sender};

use super::client::{Generation, Lost, Signal};
use super::core::Core;
use super::link::Link;
use super::{Delivery, Limits, Notice, RunEnd, Stop};
use crate::error::Error;
use crate::route::Route;
use crate::route::headers::Headers;

/// One worker's delivery.
pub(crate) struct Publisher {
    link: Arc<Link>,
    generation: Option<Arc<Generation>>,
    sender: Sender<Signal>,
    signals: Receiver<Signal>,
    core: Core,
    /// Refused messages of which the worker has not yet said what becomes of them.
    held: BTreeSet<u64>,
    newest: u64,
    confirmed: u64,
}

impl Publisher {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        let (sender, signals) = crossbeam_channel::unbounded();
        Self {
            link,
            generation: None,
            sender,
            signals,
            core: Core::default(),
            held: BTreeSet::new(),
            newest: 0,
            confirmed: 0,
        }
    }

    /// The ordinal up to which everything is confirmed.
    fn settled(&self) -> u64 {
        let oldest = [self.core.oldest(), self.held.first().copied()];
        oldest
            .into_iter()
            .flatten()
            .min()
            .map_or(self.newest, |oldest| oldest - 1)
    }
}

impl Delivery for Publisher {
    fn connect(&mut self, run_end: &RunEnd) -> Result<Limits, Error> {
        let generation = self.link.generation(self.generation.take(), run_end)?;
        // A new channel: late signals of the lost generation go nowhere.
        (self.sender, self.signals) = crossbeam_channel::unbounded();
        generation.watch(self.sender.clone());
        let limits = generation.limits();
        self.generation = Some(generation);
        // What was unconfirmed is published again, and comes in its order.
        self.core = Core::default();
        self.held.clear();
        self.newest = self.confirmed;
        Ok(limits)
    }

    fn publish(&mut self, ordinal: u64, route: &Arc<Route>, payload: &[u8]) -> Result<(), Stop> {
        let generation = self.generation.as_ref().ok_or(Stop::Lost)?;
        self.newest = self.newest.max(ordinal);
        self.held.remove(&ordinal);
        generation
            .publish(
                route.subject.as_str(),
                None,
                route.headers.as_ref().map(Headers::first_and_rest),
                payload,
            )
            .map_err(|Lost| Stop::Lost)?;
        self.core.publish(ordinal);
        Ok(())
    }

    fn due(&mut self) -> Option<u64> {
        None
    }

    fn give_up(&mut self, ordinal: u64) {
        self.newest = self.newest.max(ordinal);
        self.held.remove(&ordinal);
    }

    fn request_confirmation(&mut self, _is_idle: bool) {
        if let Some(generation) = &self.generation
            && let Some(ping) = self.core.start_ping()
        {
            generation.flush(ping, self.sender.clone());
        }
    }

    fn poll(&mut self) -> Result<Option<Notice>, Error> {
        while let Ok(signal) = self.signals.try_recv() {
            match signal {
                Signal::Flushed(ping) => self.core.take_pong(ping),
                Signal::Lost => {
                    self.generation = None;
                    return Ok(Some(Notice::Lost));
                }
            }
        }
        let settled = self.settled();
        if settled > self.confirmed {
            self.confirmed = settled;
            return Ok(Some(Notice::Confirmed(settled)));
        }
        Ok(None)
    }

    fn watch<'a>(&'a self, select: &mut Select<'a>) {
        select.recv(&self.signals);
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}
