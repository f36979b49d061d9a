//! Messages to work: what each Singer message does. Waiting is not done here (`wait.rs`), and what is to be
//! said of single records is in `records.rs` and `rows.rs`.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender};

use super::invalid::Invalid;
use super::parse::parse_block;
use super::part::{Builder, Part};
use super::place::{Lines, Place};
use super::schemas::Schemas;
use super::streams::Streams;
use super::wait::Clocks;
use super::worker::{Event, Worker};
use super::{Counts, Input, Run};
use crate::broker::{Limits, RunEnd};
use crate::checkpoint::Checkpoints;
use crate::error::{Error, Kind, shorten};
use crate::input::Block;
use crate::route::Routes;
use crate::singer::batch::Batch;
use crate::singer::message::Message;
use crate::singer::state::is_empty_state;
use crate::singer::stream::Schema;
use crate::state_out::StateOut;

/// Parts that may wait for a worker. With few, threads that share a core wake each other for every block
/// (2 of each: a tenth less throughput). The memory is bounded elsewhere, in bytes.
const INBOX_PARTS: usize = 8;
/// Events that may wait for the flow.
const EVENTS: usize = 64;

/// A run under way.
pub(crate) struct Flow {
    pub(super) run: Run,
    pub(super) routes: Routes,
    pub(super) schemas: Schemas,
    pub(super) streams: Streams,
    pub(super) counts: Counts,
    /// What is done about records that cannot be published as they are.
    pub(super) invalid: Arc<Invalid>,
    /// Messages for the workers, dead letters included.
    pub(super) messages: u64,
    /// One for each worker, from the first SCHEMA on: a run without one needs no server.
    pub(super) lanes: Vec<Lane>,
    pub(super) events: Receiver<Event>,
    event_sender: Sender<Event>,
    pub(super) limits: Option<Limits>,
    pub(super) checkpoints: Checkpoints,
    pub(super) state_out: StateOut,
    pub(super) clocks: Clocks,
    /// A worker has failed or was given up: nothing more will be confirmed.
    pub(super) is_broken: bool,
    run_end: RunEnd,
    /// Dropped with the flow, which closes `run_end`.
    _alive: Sender<Infallible>,
}

/// A worker as the flow sees it.
pub(super) struct Lane {
    pub(super) inbox: Sender<Part>,
    pub(super) builder: Builder,
}

impl Flow {
    /// Fails with `Config` where a template is wrong.
    pub(super) fn new(mut run: Run) -> Result<Self, Error> {
        let routes = Routes::compile(&run.settings)?;
        let sink = std::mem::replace(&mut run.sink, Box::new(|_| Ok(())));
        let (alive, run_end) = crossbeam_channel::bounded(0);
        let (event_sender, events) = crossbeam_channel::bounded(EVENTS);
        Ok(Self {
            schemas: Schemas::new(&run.settings)?,
            streams: Streams::default(),
            counts: Counts::default(),
            invalid: Arc::new(Invalid::new(&routes, run.settings.on_invalid_record)),
            messages: 0,
            lanes: Vec::new(),
            events,
            event_sender,
            routes,
            limits: None,
            checkpoints: Checkpoints::new(run.settings.workers),
            state_out: StateOut::start(sink)?,
            clocks: Clocks::start(run.settings.workers),
            is_broken: false,
            run_end,
            _alive: alive,
            run,
        })
    }

    /// Closed when the flow has ended.
    pub(crate) fn run_end(&self) -> RunEnd {
        self.run_end.clone()
    }

    /// Runs until the source ends and everything is confirmed, or until the first error.
    pub(crate) fn run(mut self, source: &Receiver<Input>) -> Result<Counts, Error> {
        let read = self.read(source);
        // Whatever ended the input, what was read before it counts: it is confirmed, and its STATE printed.
        let confirmed = self.confirm_all();
        self.take_invalid_counts();
        match read.as_ref().and(confirmed.as_ref()).map_err(Error::kind) {
            Ok(()) => self.log_end(),
            Err(Kind::Signal(_)) => self.tell_metrics(true),
            Err(_) => {}
        }
        let written = self.write_last_state();
        read.and(confirmed).and(written)?;
        Ok(self.counts)
    }

    fn take_invalid_counts(&mut self) {
        let invalid = self.invalid.counts();
        self.counts.skipped = invalid.skipped;
        self.counts.dead_lettered = invalid.dead_lettered;
        self.counts.published -= invalid.refused;
        self.counts.published_bytes -= invalid.refused_bytes;
        self.invalid.log_end();
    }

    fn log_end(&mut self) {
        let counts = self.counts;
        log::info!(
            "Reader 'target-nats' completed processing {} lines of input ({} schemas, {} records, \
             {} batch manifests, {} state messages, {} activate version messages).",
            counts.lines,
            counts.schemas,
            counts.records,
            counts.batches,
            counts.states,
            counts.activate_versions
        );
        self.tell_metrics(true);
    }

    fn read(&mut self, source: &Receiver<Input>) -> Result<(), Error> {
        while let Some(input) = self.next_input(source)? {
            match input {
                Input::Block(block) => self.take_block(block)?,
                Input::Failed(error) => return Err(error.line(self.counts.lines + 1)),
                Input::Confirm(answer) => {
                    self.confirm_all()?;
                    // Who asked may have gone away.
                    let _ = answer.send(());
                }
            }
        }
        Ok(())
    }

    fn take_block(&mut self, block: Block) -> Result<(), Error> {
        let lines = Lines {
            block: Arc::new(block),
            first: Place {
                line: self.counts.lines + 1,
                row: None,
            },
        };
        let taken = parse_block(&lines.block, |message| {
            self.counts.lines += 1;
            message
                .and_then(|message| self.take_message(&message, &lines))
                .map_err(|error| match error.kind() {
                    // Of the input, and not of what the run met while it was at this line.
                    Kind::Input | Kind::Refused if !self.is_broken => error.line(self.counts.lines),
                    _ => error,
                })
        });
        self.hand_out(&lines).and(taken)
    }

    fn take_message(&mut self, message: &Message<'_>, lines: &Lines) -> Result<(), Error> {
        match message {
            Message::Record {
                stream,
                record,
                shape,
            } => {
                self.counts.records += 1;
                self.take_record(stream, record, *shape, lines)
            }
            Message::State { value } => {
                self.counts.states += 1;
                if !is_empty_state(value) {
                    self.take_state(value);
                }
                Ok(())
            }
            Message::Schema {
                stream,
                schema,
                key_properties,
            } => {
                self.counts.schemas += 1;
                let parsed = Schema::parse(schema, *key_properties)
                    .map_err(|error| error.stream(&**stream))?;
                self.take_schema(stream, schema, parsed, lines)
            }
            Message::ActivateVersion { stream, version } => {
                self.counts.activate_versions += 1;
                self.take_activate_version(stream, *version)
            }
            Message::Batch {
                stream,
                encoding,
                manifest,
            } => {
                self.counts.batches += 1;
                let root = self.run.settings.batch_root.as_deref();
                let batch = Batch::parse(encoding, manifest, root)
                    .map_err(|error| error.stream(&**stream))?;
                let place = self.place(stream)?;
                self.await_schema(place, lines)?;
                // The rows come behind what this block has brought before them.
                self.hand_out(lines)?;
                self.take_batch(place, &batch)
                    .map_err(|error| error.stream(&**stream))
            }
        }
    }

    /// Where a declared stream stands.
    pub(super) fn place(&mut self, name: &str) -> Result<usize, Error> {
        self.streams.place(name).ok_or_else(|| {
            let what = "a message came before a SCHEMA of its stream; check that the tap follows the Singer spec";
            Error::new(Kind::Input, what).stream(name)
        })
    }

    pub(super) fn start_workers(&mut self) -> Result<(), Error> {
        for index in 0..self.run.settings.workers {
            let (inbox, parts) = crossbeam_channel::bounded(INBOX_PARTS);
            let delivery = (self.run.deliveries)(index);
            let events = self.event_sender.clone();
            let end = self.run_end.clone();
            let invalid = Arc::clone(&self.invalid);
            let settings = &self.run.settings;
            let worker = Worker::new(index, parts, events, delivery, end, invalid, settings);
            spawn(format!("worker-{index}"), move || worker.run())?;
            self.lanes.push(Lane {
                inbox,
                builder: Builder::new(),
            });
        }
        Ok(())
    }

    fn take_activate_version(&mut self, name: &str, version: Option<&str>) -> Result<(), Error> {
        self.place(name)?;
        if !self.run.settings.process_activate_version_messages {
            log::warn!("`ACTIVATE_VERSION` messages are not enabled for '{name}'. Ignoring.");
        } else if version.is_none() {
            let what = "the message lacks a required key";
            return Err(Error::new(Kind::Input, what).stream(name).field("version"));
        } else {
            log::warn!(
                target: &logger(name),
                "ACTIVATE_VERSION message received but not implemented by this target. Ignoring."
            );
        }
        Ok(())
    }
}

/// The logger of a stream, named as the SDK does.
pub(super) fn logger(stream: &str) -> String {
    format!("target-nats.{}", shorten(stream))
}

/// Starts a thread with a name.
pub(super) fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    thread::Builder::new()
        .name(name)
        .spawn(work)
        .map(drop)
        .map_err(|error| Error::new(Kind::Internal, "no thread could be started").cause(error))
}
