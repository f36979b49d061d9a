//! [`Target`]: the pipeline for callers that have messages, and not a tap on standard input.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Sender, select};

use crate::broker::{Common, Link, Publisher, RunEnd};
use crate::error::{Error, Kind};
use crate::input::{Pool, read_blocks};
use crate::pipeline::{Counts, Deliveries, Input, Run};
use crate::settings::Settings;
use crate::singer::json::Scanner;

/// A run that is fed by its caller.
///
/// Every method may be called from several threads at once. What one call brings stays in its order; what
/// two threads bring at the same time is taken in either order.
///
/// ```no_run
/// use target_nats::{Settings, Target};
///
/// # fn main() -> Result<(), target_nats::Error> {
/// let settings = Settings::from_json(r#"{"nats_url": "localhost:4222", "queue_prefix": "raw."}"#)?;
/// let target = Target::start(settings, |state| println!("stored up to {state}"))?;
/// target.feed(&br#"{"type":"SCHEMA","stream":"users","schema":{"properties":{"id":{}}},"key_properties":["id"]}"#[..])?;
/// target.publish("users", [r#"{"id": 1}"#, r#"{"id": 2}"#])?;
/// target.confirm()?;
/// assert_eq!(target.finish()?.published, 2);
/// # Ok(())
/// # }
/// ```
///
/// Without records no server is needed, and a state is stored as soon as it is read:
///
/// ```
/// use std::sync::mpsc;
/// use target_nats::{Settings, Target};
///
/// let (sender, states) = mpsc::channel();
/// let target = Target::start(Settings::from_json("{}")?, move |state| {
///     sender.send(state.to_owned()).ok();
/// })?;
/// target.feed("{\"type\":\"STATE\",\"value\":{\"users\":2}}\n".as_bytes())?;
/// assert_eq!(target.finish()?.states, 1);
/// assert_eq!(states.recv().as_deref(), Ok("{\"users\": 2}"));
/// # Ok::<(), target_nats::Error>(())
/// ```
///
/// An error of the run ends it: the method that meets it returns it, and so does every one after it. An error
/// of what one call was given (a record that is no JSON, a reader that breaks) is that call's alone; what came
/// before it in the call is taken.
///
/// ```
/// use target_nats::{Kind, Settings, Target};
///
/// let target = Target::start(Settings::from_json("{}")?, |_| {})?;
/// target.feed("{\"type\":\"RECORD\",\"stream\":\"users\",\"record\":{}}\n".as_bytes())?;
/// let error = target.finish().unwrap_err();
/// assert_eq!(error.kind(), Kind::Input);
/// assert!(error.to_string().contains("(line 1, stream users)"));
/// # Ok::<(), target_nats::Error>(())
/// ```
pub struct Target {
    inputs: Sender<Input>,
    pool: Arc<Pool>,
    run_end: RunEnd,
    flow: Mutex<Flow>,
}

enum Flow {
    Running(JoinHandle<Result<Counts, Error>>),
    Ended(Result<Counts, Error>),
}

impl Target {
    /// Starts a run. `on_state` is called with each state once everything before it is confirmed; it is
    /// called on a thread of its own, and should return soon.
    ///
    /// No connection is made before the first SCHEMA. Fails with [`Kind::Config`] or [`Kind::Internal`].
    pub fn start(
        settings: Settings,
        mut on_state: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self, Error> {
        let (inputs, source) = crossbeam_channel::bounded(2);
        let pool = input_pool(&settings);
        let run = Run {
            deliveries: nats_deliveries(&settings)?,
            settings,
            sink: Box::new(move |state| {
                on_state(state);
                Ok(())
            }),
            signals: crossbeam_channel::never(),
            shows_progress: false,
        }
        .prepare()?;
        let run_end = run.run_end();
        let flow = thread::Builder::new()
            .name("flow".to_owned())
            .spawn({
                let pool = Arc::clone(&pool);
                move || {
                    let outcome = run.run(&source);
                    // Blocks that a lost connection holds do not come back.
                    pool.close();
                    outcome
                }
            })
            .map_err(|error| {
                Error::new(Kind::Internal, "no thread could be started").cause(error)
            })?;
        Ok(Self {
            inputs,
            pool,
            run_end,
            flow: Mutex::new(Flow::Running(flow)),
        })
    }

    /// Feeds Singer messages, one a line, until `lines` ends. The last line may lack its end. Blocks while
    /// too much is unconfirmed.
    pub fn feed(&self, lines: impl Read) -> Result<(), Error> {
        let send = |block| self.inputs.send(Input::Block(block)).is_ok();
        if read_blocks(lines, &self.pool, send)? {
            Ok(())
        } else {
            Err(self.failure())
        }
    }

    /// Feeds records of a stream whose SCHEMA was fed before: one JSON object each, published as it is but
    /// for line breaks between its tokens, which become spaces.
    pub fn publish<R: AsRef<str>>(
        &self,
        stream: &str,
        records: impl IntoIterator<Item = R>,
    ) -> Result<(), Error> {
        const FEED_BYTES: usize = 64 * 1024;
        let name = serde_json::Value::from(stream);
        let head = format!("{{\"type\":\"RECORD\",\"stream\":{name},\"record\":");
        let mut lines = String::new();
        for record in records {
            let record = record.as_ref();
            let mut scanner = Scanner::new(record);
            if scanner.value().and_then(|_| scanner.end()).is_err() {
                self.feed(lines.as_bytes())?;
                return Err(Error::new(Kind::Input, "a record is not valid JSON").stream(stream));
            }
            lines += &head;
            lines.extend(record.chars().map(|c| if c == '\n' { ' ' } else { c }));
            lines += "}\n";
            if lines.len() >= FEED_BYTES {
                self.feed(lines.as_bytes())?;
                lines.clear();
            }
        }
        self.feed(lines.as_bytes())
    }

    /// Waits until everything that was fed before is confirmed.
    pub fn confirm(&self) -> Result<(), Error> {
        let (answer, confirmed) = crossbeam_channel::bounded(1);
        if self.inputs.send(Input::Confirm(answer)).is_ok() {
            // The question may stay in the channel of a run that has ended, so its end is waited for as well.
            select! {
                recv(confirmed) -> answer => if answer.is_ok() { return Ok(()) },
                recv(self.run_end) -> _ => {}
            }
        }
        confirmed.try_recv().map_err(|_| self.failure())
    }

    /// Ends the run: waits until everything is confirmed and the last state was handed to `on_state`.
    pub fn finish(self) -> Result<Counts, Error> {
        let Self { inputs, flow, .. } = self;
        drop(inputs);
        flow.into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .end()
    }

    /// Why the run has ended before its time.
    fn failure(&self) -> Error {
        let mut flow = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = || Error::new(Kind::Internal, "the run has ended before its input");
        let ended = std::mem::replace(&mut *flow, Flow::Ended(Err(unknown()))).end();
        *flow = Flow::Ended(ended.clone());
        ended.err().unwrap_or_else(unknown)
    }
}

impl Flow {
    fn end(self) -> Result<Counts, Error> {
        match self {
            Self::Ended(outcome) => outcome,
            Self::Running(flow) => flow.join().unwrap_or_else(|_| {
                Err(Error::new(
                    Kind::Internal,
                    "a thread of the run has panicked",
                ))
            }),
        }
    }
}

/// The blocks of a run: as much as all workers may hold unconfirmed, and a few on their way there.
pub(crate) fn input_pool(settings: &Settings) -> Arc<Pool> {
    const ON_THE_WAY_BYTES: usize = 2 * 1024 * 1024;
    Pool::new(settings.workers * settings.max_in_flight_bytes + ON_THE_WAY_BYTES)
}

/// Deliveries to NATS, the workers sharing as many connections as the settings say.
///
/// Fails with [`Kind::Config`] where the settings of TLS cannot be used.
pub(crate) fn nats_deliveries(settings: &Settings) -> Result<Deliveries, Error> {
    let first = Link::new(settings)?;
    let others: Vec<_> = (1..settings.connections).map(|_| first.sibling()).collect();
    let links: Vec<_> = std::iter::once(first).chain(others).map(Arc::new).collect();
    let common = Arc::new(Common::new(settings));
    Ok(Box::new(move |worker| {
        let link = Arc::clone(&links[worker % links.len()]);
        Box::new(Publisher::new(Arc::clone(&common), link))
    }))
}
