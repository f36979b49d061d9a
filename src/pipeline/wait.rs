//! The one place where the flow waits, and everything that can end a wait: input, room in a worker's
//! channel, events of the workers, signals, the writer of states, and the clock.
//!
//! The watchdog is here: work that is outstanding and not confirmed for the configured time ends the run.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError, TrySendError};

use super::Input;
use super::flow::Flow;
use super::part::Part;
use super::worker::Event;
use crate::broker::Limits;
use crate::error::{Error, Kind};
use crate::logging;
use crate::progress::{self, Snapshot};
use crate::singer::state::render_state;

/// How long a run that was signalled may take to confirm what it has read. Docker kills after 10 seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The SDK tells a stream's metric at most once a minute.
const METRIC_INTERVAL: Duration = Duration::from_mins(1);
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// A wait that ends so much behind its deadline was a pause of the whole process; and as much time is given then
/// to what had come in meanwhile and was not read.
const FORGIVEN: Duration = Duration::from_millis(500);
/// The longest wait, where nothing has a deadline.
const IDLE: Duration = Duration::from_hours(1);

/// The times at which something is due, or was done last.
pub(super) struct Clocks {
    started: Instant,
    /// When a worker's last confirmation came, or when it was given work while it had none.
    progress: Vec<Instant>,
    /// What a worker has said since then about why it gets nothing confirmed.
    trouble: Vec<Option<String>>,
    /// When the last state was given to the writer.
    state: Option<Instant>,
    /// The input has ended: the next state is written whenever the last one was.
    is_ending: bool,
    metrics: Instant,
    shown: Instant,
    stop: Option<Stop>,
}

/// A signal asked the run to end.
#[derive(Clone, Copy)]
struct Stop {
    signal: i32,
    deadline: Instant,
    /// Inputs that were read before the signal and are still to be taken, once they were counted.
    queued: Option<usize>,
}

impl Clocks {
    pub(super) fn start(workers: usize) -> Self {
        let now = Instant::now();
        Self {
            started: now,
            progress: vec![now; workers],
            trouble: vec![None; workers],
            state: None,
            is_ending: false,
            metrics: now,
            shown: now,
            stop: None,
        }
    }
}

/// What a wait is for, beside everything that is always waited for.
enum For<'a> {
    Events,
    Input(&'a Receiver<Input>),
    Room(&'a Sender<Part>),
}

impl Flow {
    /// The next input, or `None` at its end. After a signal: what was read before it, and then the signal
    /// as an error.
    pub(super) fn next_input(&mut self, source: &Receiver<Input>) -> Result<Option<Input>, Error> {
        loop {
            self.take_events()?;
            self.take_registered()?;
            if let Some(stop) = &mut self.clocks.stop {
                let queued = stop.queued.get_or_insert(source.len());
                let signal = stop.signal;
                if *queued == 0 {
                    return Err(signal_error(signal));
                }
                *queued -= 1;
                return source
                    .try_recv()
                    .map(Some)
                    .map_err(|_| signal_error(signal));
            }
            if self.wait(&For::Input(source))? {
                match source.try_recv() {
                    Ok(input) => return Ok(Some(input)),
                    Err(TryRecvError::Disconnected) => return Ok(None),
                    Err(TryRecvError::Empty) => {}
                }
            }
        }
    }

    /// Gives a worker its next part, as soon as there is room in its channel.
    pub(super) fn send(&mut self, worker: usize, mut part: Part) -> Result<(), Error> {
        if self.checkpoints.is_settled(worker) {
            self.clocks.progress[worker] = Instant::now();
        }
        self.checkpoints.hand_out(worker, part.messages());
        let inbox = self.lanes[worker].inbox.clone();
        let mut outcome = Ok(());
        while outcome.is_ok() {
            match inbox.try_send(part) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back)) => part = back,
                Err(TrySendError::Disconnected(_)) => {
                    let what = "a worker has ended without a word";
                    outcome = self.take_events();
                    outcome = outcome.and(Err(Error::new(Kind::Internal, what)));
                    break;
                }
            }
            outcome = self.wait(&For::Room(&inbox)).map(drop);
        }
        // The part is counted and will never be confirmed, so neither will what comes after it.
        self.is_broken = true;
        outcome
    }

    /// Waits for the first connection and returns what its server allows.
    pub(super) fn await_connection(&mut self) -> Result<Limits, Error> {
        loop {
            self.take_events()?;
            if let Some(limits) = self.limits {
                return Ok(limits);
            }
            self.wait_for_events()?;
        }
    }

    /// Waits until something has happened that may be what the message at work needs. A signal ends it: that message is
    /// not published, nor is what comes behind it.
    pub(super) fn wait_for_events(&mut self) -> Result<(), Error> {
        if let Some(stop) = self.clocks.stop {
            return Err(signal_error(stop.signal));
        }
        self.wait(&For::Events).map(drop)
    }

    /// Waits until every schema is registered and everything that was handed out is confirmed, or nothing more
    /// will be. A schema that fails is an error once the rest is confirmed.
    pub(super) fn confirm_all(&mut self) -> Result<(), Error> {
        let mut outcome = Ok(());
        while !self.is_broken {
            let registered = self.take_registered();
            outcome = outcome.and(registered);
            if self.schemas.is_settled() && self.checkpoints.unsettled().next().is_none() {
                break;
            }
            self.wait(&For::Events)?;
        }
        outcome
    }

    /// Writes the newest state that is due, however short the time since the last one, and however late a
    /// signal or the server has made it: the writer has its own time.
    pub(super) fn write_last_state(&mut self) -> Result<(), Error> {
        self.take_confirmations();
        self.clocks.is_ending = true;
        let timeout = match self.clocks.stop {
            Some(_) => STOP_TIMEOUT,
            None => self.run.settings.confirm_timeout,
        };
        let deadline = Instant::now() + timeout;
        self.write_due_state();
        while self.state_out.is_writing() {
            let mut select = Select::new();
            select.recv(self.state_out.written());
            if select.ready_deadline(deadline).is_err() {
                return Err(unread_stdout());
            }
            self.state_out.take_result()?;
            self.write_due_state();
        }
        progress::clear();
        Ok(())
    }

    /// Tells the records of every stream since the last time: `METRIC` lines as the SDK's.
    pub(super) fn tell_metrics(&mut self, all: bool) {
        self.clocks.metrics = Instant::now();
        for stream in self.streams.iter_mut() {
            let count = stream.records - stream.records_told;
            if all || count > 0 {
                logging::record_count_metric(&stream.name, count);
                stream.records_told = stream.records;
            }
        }
    }

    /// Waits until something has happened, or something is due, and sees to it. True if what the wait was
    /// for may be ready.
    fn wait(&mut self, wanted: &For<'_>) -> Result<bool, Error> {
        let mut select = Select::new();
        let events = select.recv(&self.events);
        let signals = select.recv(&self.run.signals);
        let written = select.recv(self.state_out.written());
        let registered = select.recv(self.schemas.outcomes());
        match wanted {
            For::Events => {}
            For::Input(source) => drop(select.recv(source)),
            For::Room(inbox) => drop(select.send(inbox)),
        }
        let deadline = self.next_deadline();
        let ready = select.ready_deadline(deadline);
        self.forgive(deadline);
        match ready {
            Ok(index) if index == events => self.take_events()?,
            Ok(index) if index == signals => self.take_signal(),
            Ok(index) if index == written => self.state_out.take_result()?,
            Ok(index) if index == registered => self.schemas.receive(),
            Ok(_) => {
                self.look_at_clock()?;
                return Ok(true);
            }
            Err(_) => {}
        }
        self.look_at_clock()?;
        Ok(false)
    }

    fn take_events(&mut self) -> Result<(), Error> {
        let failure = self.take_confirmations();
        self.write_due_state();
        match failure {
            Some(error) if !self.is_broken => {
                self.is_broken = true;
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Takes note of what the workers tell, up to a failure, if there is one.
    fn take_confirmations(&mut self) -> Option<Error> {
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Connected(limits) => {
                    let lower = self.limits.map_or(limits.max_payload_bytes, |known| {
                        known.max_payload_bytes.min(limits.max_payload_bytes)
                    });
                    self.limits = Some(Limits {
                        max_payload_bytes: lower,
                        headers: limits.headers && self.limits.is_none_or(|known| known.headers),
                    });
                }
                Event::Confirmed { worker, message } => {
                    self.clocks.progress[worker] = Instant::now();
                    self.clocks.trouble[worker] = None;
                    self.checkpoints.confirm(worker, message);
                }
                Event::Trouble { worker, why } => self.clocks.trouble[worker] = Some(why),
                Event::Failed(error) => return Some(error),
            }
        }
        None
    }

    fn take_signal(&mut self) {
        if let Ok(signal) = self.run.signals.try_recv() {
            log::info!("Received termination signal {signal}, confirming what was read...");
            self.clocks.stop.get_or_insert(Stop {
                signal,
                deadline: Instant::now() + STOP_TIMEOUT,
                queued: None,
            });
        }
    }

    /// Gives the writer the newest state that is due, unless it is busy or the last one was just now.
    fn write_due_state(&mut self) {
        let is_early = self.state_due_at().is_some_and(|due| Instant::now() < due);
        if self.state_out.is_writing() || is_early {
            return;
        }
        if let Some(state) = self.checkpoints.take_due() {
            self.clocks.state = Some(Instant::now());
            self.state_out.write(render_state(&state));
        }
    }

    /// When the next state may be written; `None`: at any time.
    fn state_due_at(&self) -> Option<Instant> {
        if self.clocks.is_ending {
            return None;
        }
        self.clocks
            .state
            .map(|last| last + self.run.settings.state_interval)
    }

    /// When a worker that has something to confirm has been silent for too long.
    fn confirm_deadline(&self) -> Option<Instant> {
        let unsettled = self.checkpoints.unsettled();
        let oldest = unsettled.map(|worker| self.clocks.progress[worker]).min();
        oldest
            .filter(|_| !self.is_broken)
            .map(|oldest| oldest + self.run.settings.confirm_timeout)
    }

    /// A wait that ended well behind its deadline was not the server's fault: the process was stopped, or the
    /// machine. The time does not count.
    fn forgive(&mut self, deadline: Instant) {
        let late = Instant::now().saturating_duration_since(deadline);
        if late > FORGIVEN {
            for progress in &mut self.clocks.progress {
                *progress += late + FORGIVEN;
            }
        }
    }

    fn next_deadline(&self) -> Instant {
        let clocks = &self.clocks;
        let confirm_timeout = self.run.settings.confirm_timeout;
        [
            Some(Instant::now() + IDLE),
            self.confirm_deadline(),
            (self.checkpoints.has_due() && !self.state_out.is_writing())
                .then(|| self.state_due_at())
                .flatten(),
            (self.state_out.is_writing())
                .then(|| clocks.state.map(|since| since + confirm_timeout))
                .flatten(),
            Some(clocks.metrics + METRIC_INTERVAL),
            self.run
                .shows_progress
                .then(|| clocks.shown + PROGRESS_INTERVAL),
            clocks.stop.map(|stop| stop.deadline),
        ]
        .into_iter()
        .flatten()
        .min()
        .expect("the idle deadline is always there")
    }

    /// Sees to everything whose time has come.
    fn look_at_clock(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let confirm_timeout = self.run.settings.confirm_timeout;
        if let Some(stop) = self.clocks.stop
            && now >= stop.deadline
        {
            self.is_broken = true;
            return Err(signal_error(stop.signal));
        }
        if self.confirm_deadline().is_some_and(|due| now >= due) {
            // What has come meanwhile counts.
            self.take_events()?;
        }
        if self.confirm_deadline().is_some_and(|due| now >= due) {
            self.is_broken = true;
            let what = format!(
                "the NATS server confirmed nothing for {} seconds (confirm_timeout_seconds)",
                confirm_timeout.as_secs_f64()
            );
            let error = Error::new(Kind::Unavailable, what);
            return Err(
                match self.clocks.trouble.iter_mut().find_map(Option::take) {
                    Some(why) => error.cause(why),
                    None => error,
                },
            );
        }
        if self.state_out.is_writing()
            && self
                .clocks
                .state
                .is_some_and(|since| now >= since + confirm_timeout)
        {
            return Err(unread_stdout());
        }
        self.write_due_state();
        if now >= self.clocks.metrics + METRIC_INTERVAL {
            self.tell_metrics(false);
        }
        if self.run.shows_progress && now >= self.clocks.shown + PROGRESS_INTERVAL {
            self.clocks.shown = now;
            self.show_progress();
        }
        Ok(())
    }

    fn show_progress(&self) {
        let streams = self.streams.iter();
        progress::show(&Snapshot {
            records: self.counts.published,
            bytes: self.counts.published_bytes,
            unconfirmed: self.messages - self.checkpoints.confirmed(),
            elapsed: self.clocks.started.elapsed(),
            streams: streams
                .map(|stream| (stream.name.to_string(), stream.records))
                .collect(),
        });
    }
}

fn unread_stdout() -> Error {
    let what = "nobody reads standard output: the STATE cannot be written";
    Error::new(Kind::Unavailable, what)
}

fn signal_error(signal: i32) -> Error {
    let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
    Error::new(
        Kind::Signal(signal),
        format!("ended by {name} before the end of the input"),
    )
}
