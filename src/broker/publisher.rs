//! The [`Publisher`]: a worker's delivery to NATS, over the current connection of its link. Each message goes to
//! the [`Outlet`] of the JetStream stream that captures it, or out on core NATS where none does.
//!
//! ```text
//!  publish ──▶ capture ──▶ outlet ──▶ connection      (kept back while the outlet takes nothing: due)
//!                    └───▶ core ────▶ connection
//!  poll ◀── replies to the outlets, PONGs to core; confirmed is what lies below the oldest of all of them
//! ```

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, Sender};
use log::Level;

use super::api::Api;
use super::capture::{Capture, Destination};
use super::client::{Generation, Inbox, LastHeaders, Lost, Signal, reply_status};
use super::core::Core;
use super::ledger::Again;
use super::link::Link;
use super::message_id::MessageIds;
use super::outlet::{Control, Outlet, Refusal, Why};
use super::unique::unique_token;
use super::{Common, Delivery, Limits, Notice, RunEnd, Stop};
use crate::error::Error;
use crate::route::Route;
use crate::route::headers::{Headers, Stamp};
use crate::settings::MessageId;

/// How often replies are looked at while more messages may be sent anyway: a thread that is woken for every
/// acknowledgement does little else.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// The header that de-duplicates, and the one that has another stream refuse the message.
const MESSAGE_ID: &str = "Nats-Msg-Id";
const EXPECTED_STREAM: &str = "Nats-Expected-Stream";

/// What JetStream takes in headers, in bytes (spec nats.md, 1a).
const MOST_HEADER_BYTES: usize = 65_535;

/// Why nothing goes on.
enum End {
    Lost,
    Failed(Error),
}

/// One worker's delivery.
pub(crate) struct Publisher {
    common: Arc<Common>,
    link: Arc<Link>,
    generation: Option<Arc<Generation>>,
    sender: Sender<Signal>,
    signals: Receiver<Signal>,
    run_end: RunEnd,
    /// Where the answers of this connection arrive, once there is an outlet, and how their subjects begin.
    inbox: Option<(String, Inbox)>,
    capture: Capture,
    core: Core,
    outlets: Vec<Outlet>,
    /// The outlet of a JetStream stream, by the stream's place in `capture`.
    outlet_of: HashMap<usize, usize>,
    ids: MessageIds,
    /// Messages that were not taken, of which the worker has not yet said what becomes of them.
    held: BTreeSet<u64>,
    refused: VecDeque<Refusal>,
    /// What ends the run or the connection, once what was acknowledged before it is told.
    end: Option<End>,
    newest: u64,
    confirmed: u64,
    /// Messages up to this ordinal may have been sent over an earlier connection.
    sent_before: u64,
    looked_at: Instant,
    /// Outlets that wait for an answer which a flush would hasten.
    wants_flush: bool,
    reply: String,
    stamp: Stamp,
    last_headers: LastHeaders,
}

impl Publisher {
    pub(crate) fn new(common: Arc<Common>, link: Arc<Link>) -> Self {
        let (sender, signals) = crossbeam_channel::unbounded();
        Self {
            capture: Capture::new(Arc::clone(&common)),
            ids: MessageIds::new(&common.settings),
            common,
            link,
            generation: None,
            sender,
            signals,
            run_end: crossbeam_channel::never(),
            inbox: None,
            core: Core::default(),
            outlets: Vec::new(),
            outlet_of: HashMap::new(),
            held: BTreeSet::new(),
            refused: VecDeque::new(),
            end: None,
            newest: 0,
            confirmed: 0,
            sent_before: 0,
            looked_at: Instant::now(),
            wants_flush: false,
            reply: String::new(),
            stamp: Stamp::new(),
            last_headers: LastHeaders::default(),
        }
    }

    fn generation(&self) -> Result<&Arc<Generation>, Stop> {
        self.generation.as_ref().ok_or(Stop::Lost)
    }

    /// The ordinal up to which everything is confirmed.
    fn settled(&self) -> u64 {
        let outlets = self.outlets.iter().map(Outlet::oldest);
        let others = [self.core.oldest(), self.held.first().copied()];
        outlets
            .chain(others)
            .flatten()
            .min()
            .map_or(self.newest, |oldest| oldest - 1)
    }

    fn publish_core(&mut self, ordinal: u64, route: &Route, payload: &[u8]) -> Result<(), Stop> {
        let generation = self.generation.as_ref().ok_or(Stop::Lost)?;
        let headers = route.headers.as_ref();
        let headers = headers.map(|headers| (headers, &mut self.last_headers));
        generation
            .publish(route.subject.as_str(), None, headers, payload)
            .map_err(|Lost| Stop::Lost)?;
        self.core.publish(ordinal);
        Ok(())
    }

    /// The outlet of a JetStream stream, made when its first message comes.
    fn outlet(&mut self, place: usize) -> Result<usize, Stop> {
        if let Some(index) = self.outlet_of.get(&place) {
            return Ok(*index);
        }
        let generation = self.generation()?;
        if self.inbox.is_none() {
            let prefix = format!("{}.{}.", self.common.settings.inbox_prefix, unique_token());
            let inbox = generation.subscribe(&format!("{prefix}>"));
            self.inbox = Some((prefix, inbox.map_err(|Lost| Stop::Lost)?));
        }
        let index = self.outlets.len();
        let is_fast = self.capture.feeds_fast(place)?;
        let batch = is_fast.then(|| format!("{index}-{}", unique_token()));
        let again = match self.common.settings.message_id {
            MessageId::None => Again::All,
            MessageId::Run | MessageId::Content => Again::Unsettled,
        };
        let js_stream = Arc::clone(self.capture.js_streams().get(place));
        self.outlets.push(Outlet::new(
            js_stream,
            place,
            batch,
            again,
            self.sent_before,
        ));
        self.outlet_of.insert(place, index);
        Ok(index)
    }

    fn publish_to(
        &mut self,
        index: usize,
        ordinal: u64,
        route: &Arc<Route>,
        payload: &[u8],
    ) -> Result<(), Stop> {
        let (Some(generation), Some((inbox, _))) = (&self.generation, &self.inbox) else {
            return Err(Stop::Lost);
        };
        let outlet = &mut self.outlets[index];
        let mut lines = [("", ""); 2];
        let mut count = 0;
        if let Some(id) = self.ids.render(ordinal, route, payload) {
            lines[count] = (MESSAGE_ID, id);
            count += 1;
        }
        // A dead letter may go elsewhere.
        if self.common.settings.jetstream_stream.as_deref() == Some(&outlet.js_stream.name) {
            lines[count] = (EXPECTED_STREAM, &outlet.js_stream.name);
            count += 1;
        }
        let headers = match &lines[..count] {
            [] => route.headers.as_ref(),
            lines => Some(self.stamp.headers(route.headers.as_ref(), lines)),
        };
        let header_bytes = headers.map_or(0, Headers::wire_bytes);
        let most = outlet.js_stream.max_msg_size.unwrap_or(usize::MAX);
        let bytes = header_bytes + payload.len();
        if bytes > most.min(generation.limits().max_payload_bytes) {
            return Err(Stop::Refused(format!(
                "{bytes} bytes are more than JetStream stream '{}' or the server takes",
                outlet.js_stream.name
            )));
        }
        if header_bytes > MOST_HEADER_BYTES {
            return Err(Stop::Refused(format!(
                "headers of {header_bytes} bytes are more than JetStream takes"
            )));
        }
        self.reply.clone_from(inbox);
        outlet.send(index, ordinal, route, &mut self.reply);
        self.wants_flush |= outlet.wants_flush();
        let headers = headers.map(|headers| (headers, &mut self.last_headers));
        generation
            .publish(route.subject.as_str(), Some(&self.reply), headers, payload)
            .map_err(|Lost| Stop::Lost)
    }

    fn publish_or_push(
        &mut self,
        ordinal: u64,
        route: &Arc<Route>,
        payload: &[u8],
    ) -> Result<(), Stop> {
        let generation = self.generation.as_deref().ok_or(Stop::Lost)?;
        let api = Api::new(generation, &self.common.settings, &self.run_end);
        match self.capture.find(route, &api)? {
            Destination::Core => self.publish_core(ordinal, route, payload),
            Destination::Stream(place) => {
                let index = self.outlet(place)?;
                if self.outlets[index].takes(ordinal) {
                    return self.publish_to(index, ordinal, route, payload);
                }
                self.outlets[index].push(ordinal);
                Ok(())
            }
        }
    }

    /// Publishes a message that only controls a batch.
    fn publish_control(&mut self, index: usize, control: &Control) -> Result<(), Stop> {
        let (Some(generation), Some((inbox, _))) = (&self.generation, &self.inbox) else {
            return Err(Stop::Lost);
        };
        self.reply.clone_from(inbox);
        self.outlets[index].write_reply(control.step, &mut self.reply);
        self.wants_flush = true;
        let subject = control.route.subject.as_str();
        generation
            .publish(subject, Some(&self.reply), None, b"")
            .map_err(|Lost| Stop::Lost)
    }

    /// Takes in what has come, and sees to what the time asks for.
    fn look(&mut self) -> Result<(), End> {
        let is_lost = !self.take_signals();
        // What was acknowledged before the connection broke is stored.
        self.take_replies().map_err(End::Failed)?;
        if is_lost {
            return Err(End::Lost);
        }
        match self.look_at_clock() {
            Ok(()) | Err(Stop::Refused(_)) => {}
            Err(Stop::Failed(error)) => return Err(End::Failed(error)),
            Err(Stop::Lost) => return Err(End::Lost),
        }
        self.flush_if_wanted();
        Ok(())
    }

    fn take_signals(&mut self) -> bool {
        while let Ok(signal) = self.signals.try_recv() {
            match signal {
                Signal::Flushed(ping) => {
                    if let Some(next) = self.core.take_pong(ping)
                        && let Some(generation) = &self.generation
                    {
                        generation.flush(next, self.sender.clone());
                    }
                }
                Signal::Lost => return false,
            }
        }
        true
    }

    fn take_replies(&mut self) -> Result<(), Error> {
        let Some((prefix, inbox)) = &self.inbox else {
            return Ok(());
        };
        let now = Instant::now();
        self.looked_at = now;
        for reply in inbox.replies().try_iter() {
            let Some(rest) = reply.subject.strip_prefix(prefix.as_str()) else {
                continue;
            };
            // `<outlet>.<token>`, or `<outlet>-<batch>.…`
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let index = rest[..digits].parse().ok();
            if let Some(outlet) = index.and_then(|index: usize| self.outlets.get_mut(index)) {
                outlet.take_reply(rest, reply_status(&reply), &reply.data, now)?;
                while let Some(refused) = outlet.take_refused() {
                    self.held.insert(refused.ordinal);
                    self.refused.push_back(refused);
                }
            }
        }
        Ok(())
    }

    fn look_at_clock(&mut self) -> Result<(), Stop> {
        for index in 0..self.outlets.len() {
            if let Some(control) = self.outlets[index].look_at_clock() {
                self.publish_control(index, &control)?;
            }
            if std::mem::take(&mut self.outlets[index].is_missing) {
                let generation = self.generation.as_deref().ok_or(Stop::Lost)?;
                let place = self.outlets[index].place;
                let api = Api::new(generation, &self.common.settings, &self.run_end);
                self.capture.check_again(place, &api)?;
            }
        }
        Ok(())
    }

    fn flush_if_wanted(&mut self) {
        if std::mem::take(&mut self.wants_flush)
            && let Some(generation) = &self.generation
        {
            // Its PONG says nothing about core messages: 0 is the number of no PING of theirs.
            generation.flush(0, self.sender.clone());
        }
    }
}

impl Delivery for Publisher {
    fn connect(&mut self, run_end: &RunEnd) -> Result<Limits, Error> {
        // First of all, since it holds on to the connection that is lost.
        self.inbox = None;
        let generation = self.link.generation(self.generation.take(), run_end)?;
        self.run_end = run_end.clone();
        // A new channel: late signals of the lost generation go nowhere.
        (self.sender, self.signals) = crossbeam_channel::unbounded();
        generation.watch(self.sender.clone());
        let limits = generation.limits();
        self.generation = Some(generation);
        // What was unconfirmed is published again, and comes in its order.
        self.capture.reset();
        self.outlets.clear();
        self.outlet_of.clear();
        self.core = Core::default();
        self.held.clear();
        self.refused.clear();
        self.end = None;
        self.sent_before = self.sent_before.max(self.newest);
        self.newest = self.confirmed;
        Ok(limits)
    }

    fn publish(&mut self, ordinal: u64, route: &Arc<Route>, payload: &[u8]) -> Result<(), Stop> {
        self.newest = self.newest.max(ordinal);
        let outcome = self.publish_or_push(ordinal, route, payload);
        match outcome {
            Ok(()) if self.held.is_empty() => {}
            Ok(()) => drop(self.held.remove(&ordinal)),
            Err(Stop::Refused(_) | Stop::Failed(_)) => drop(self.held.insert(ordinal)),
            Err(Stop::Lost) => {}
        }
        outcome
    }

    fn due(&mut self) -> Option<u64> {
        self.outlets.iter_mut().find_map(Outlet::due)
    }

    fn give_up(&mut self, ordinal: u64) {
        self.newest = self.newest.max(ordinal);
        self.held.remove(&ordinal);
    }

    fn request_confirmation(&mut self, is_idle: bool) {
        if is_idle {
            for index in 0..self.outlets.len() {
                if let Some(control) = self.outlets[index].finish() {
                    // A connection that is lost is told of as that.
                    let _ = self.publish_control(index, &control);
                }
                self.wants_flush |= self.outlets[index].is_outstanding();
            }
        }
        if let Some(generation) = &self.generation
            && let Some(ping) = self.core.start_ping()
        {
            generation.flush(ping, self.sender.clone());
            self.wants_flush = false;
        }
        self.flush_if_wanted();
    }

    fn poll(&mut self) -> Result<Option<Notice>, Error> {
        if self.end.is_none() {
            self.end = self.look().err();
        }
        if let Some(Refusal { ordinal, why }) = self.refused.pop_front() {
            return Ok(Some(match why {
                Why::Bad(reason) => Notice::Refused { ordinal, reason },
                Why::Fatal(error) => Notice::Failed { ordinal, error },
            }));
        }
        let settled = self.settled();
        if settled > self.confirmed {
            self.confirmed = settled;
            return Ok(Some(Notice::Confirmed(settled)));
        }
        match self.end.take() {
            None => {}
            Some(End::Failed(error)) => return Err(error),
            Some(End::Lost) => {
                self.generation = None;
                return Ok(Some(Notice::Lost));
            }
        }
        // Behind what was confirmed before it began.
        if let Some(trouble) = self.outlets.iter_mut().find_map(Outlet::take_trouble) {
            self.common.told.once(Level::Warn, &trouble);
            return Ok(Some(Notice::Trouble(trouble)));
        }
        Ok(None)
    }

    fn watch<'a>(&'a self, select: &mut Select<'a>) {
        select.recv(&self.signals);
        if let Some((_, inbox)) = &self.inbox
            && self.looked_at.elapsed() >= LOOK_INTERVAL
        {
            select.recv(inbox.replies());
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let is_busy = self.outlets.iter().any(Outlet::is_outstanding);
        let look = is_busy.then(|| self.looked_at + LOOK_INTERVAL);
        let look = look.filter(|look| *look > Instant::now());
        let outlets = self.outlets.iter().map(Outlet::deadline);
        outlets.chain([look]).flatten().min()
    }
}
