//! Core delivery: a message is stored nowhere, and confirmed by a PONG that followed it.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::client::Generation;
use super::link::Link;
use super::{Delivery, Limits, Lost, Notice, RunEnd};
use crate::error::Error;
use crate::route::Route;

/// Publishes over the current generation of a link.
pub(crate) struct Core {
    link: Arc<Link>,
    generation: Option<Arc<Generation>>,
    sender: Sender<Notice>,
    notices: Receiver<Notice>,
}

impl Core {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        let (sender, notices) = crossbeam_channel::unbounded();
        Self {
            link,
            generation: None,
            sender,
            notices,
        }
    }
}

impl Delivery for Core {
    fn connect(&mut self, run_end: &RunEnd) -> Result<Limits, Error> {
        let generation = self.link.generation(self.generation.take(), run_end)?;
        // A new channel: late notices of the lost generation go nowhere.
        (self.sender, self.notices) = crossbeam_channel::unbounded();
        generation.watch(self.sender.clone());
        let limits = generation.limits();
        self.generation = Some(generation);
        Ok(limits)
    }

    fn publish(&mut self, route: &Route, payload: &[u8]) -> Result<(), Lost> {
        self.generation
            .as_ref()
            .ok_or(Lost)?
            .publish(route, payload)
    }

    fn request_confirmation(&mut self, position: u64) {
        if let Some(generation) = &self.generation {
            generation.request_confirmation(position, self.sender.clone());
        }
    }

    fn notices(&self) -> &Receiver<Notice> {
        &self.notices
    }
}
