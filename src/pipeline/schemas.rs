//! SCHEMA messages to streams that can be published: each schema is registered where a registry is on, and its stream's
//! records are held until it is. Streams do not wait for each other.
//!
//! What is held keeps its blocks alive, which are bounded together with all others. A STATE behind a held record is
//! kept back until that record is handed out; then it needs all that was handed out by then.
//!
//! The outcomes of registrations come at any wait, and are taken up only between blocks: held records are of other
//! blocks than the one at work.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::flow::Flow;
use super::part::Slot;
use super::place::Lines;
use super::streams::Stream;
use crate::encode::payload::Encoding;
use crate::encode::schema_text::render_schema;
use crate::error::{Error, Kind};
use crate::registry::{Artifact, ArtifactType, Registered, Registrar, SchemaIds};
use crate::settings::Settings;
use crate::settings::registry::{ID_HEADERS, OnSchemaError, PayloadFormat};
use crate::singer::guide::Shape;
use crate::singer::stream::{Change, Schema};

/// Bytes of states that are kept back, above which every second one is given up.
const MAX_STATES_BYTES: usize = 4 * 1024 * 1024;

/// What a state that is kept back takes beside its text, about.
const STATE_BYTES: usize = 64;

/// The registrations of a run, and what waits for them.
pub(super) struct Schemas {
    format: PayloadFormat,
    registrar: Option<Registrar>,
    outcomes: Receiver<Registered>,
    /// Outcomes that have come and are not taken up yet.
    received: VecDeque<Registered>,
    /// Asked for, and not taken up.
    open: usize,
    /// Of each stream with held records: the number of the first one among all records, and the stream's place.
    held: BTreeMap<u64, usize>,
    /// States behind held records: the number of records before each, and its value.
    states: VecDeque<(u64, String)>,
    states_bytes: usize,
}

/// A stream whose schema is being registered.
pub(super) struct Waiting {
    /// The line of the SCHEMA message.
    line: u64,
    /// The number of the first held record among all records; 0 while there is none.
    first: u64,
    /// Block by block.
    held: Vec<(Lines, Vec<HeldRecord>)>,
}

/// Where a record lies in its block.
struct HeldRecord {
    /// Among all records.
    number: u64,
    start: usize,
    length: usize,
    shape: Shape,
}

impl Schemas {
    /// Fails with `Config` where the registry's settings cannot be used.
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let registrar = settings.registry.as_ref().map(Registrar::new);
        let registrar = registrar.transpose()?;
        let outcomes = registrar
            .as_ref()
            .map(|registrar| registrar.outcomes().clone());
        Ok(Self {
            format: settings.payload_format,
            outcomes: outcomes.unwrap_or_else(crossbeam_channel::never),
            registrar,
            received: VecDeque::new(),
            open: 0,
            held: BTreeMap::new(),
            states: VecDeque::new(),
            states_bytes: 0,
        })
    }

    /// Where outcomes come, for who waits.
    pub(super) fn outcomes(&self) -> &Receiver<Registered> {
        &self.outcomes
    }

    /// Takes in the outcomes that have come.
    pub(super) fn receive(&mut self) {
        while let Ok(registered) = self.outcomes.try_recv() {
            if let Some(registrar) = &mut self.registrar {
                registrar.take(&registered);
            }
            self.received.push_back(registered);
        }
    }

    /// Whether every schema is registered, and no record is held.
    pub(super) fn is_settled(&self) -> bool {
        self.open == 0
    }

    /// Nothing more will be registered: what is held is not published, and no STATE behind it is written.
    fn abandon(&mut self) {
        self.open = 0;
        self.received.clear();
        self.registrar = None;
        self.outcomes = crossbeam_channel::never();
    }

    /// Whether a state with so many records before it is behind a held one.
    fn is_behind(&self, records: u64) -> bool {
        let oldest = self.held.first_key_value();
        oldest.is_some_and(|(first, _)| *first <= records)
    }

    /// Keeps a state back. Where they are too many, every second one is given up: a newer one says all that it said.
    fn keep_back(&mut self, records: u64, state: &str) {
        // The two would be due together.
        if let Some((before, older)) = self.states.back_mut()
            && *before == records
        {
            self.states_bytes = self.states_bytes - older.len() + state.len();
            state.clone_into(older);
            return;
        }
        self.states_bytes += STATE_BYTES + state.len();
        self.states.push_back((records, state.to_owned()));
        if self.states_bytes > MAX_STATES_BYTES {
            let mut place = self.states.len();
            self.states.retain(|_| {
                place -= 1;
                place.is_multiple_of(2)
            });
            let sizes = self
                .states
                .iter()
                .map(|(_, state)| STATE_BYTES + state.len());
            self.states_bytes = sizes.sum();
        }
    }

    /// The oldest state, if no held record is before it any more.
    fn take_state(&mut self) -> Option<String> {
        let (records, _) = self.states.front()?;
        if self.is_behind(*records) {
            return None;
        }
        let (_, state) = self.states.pop_front()?;
        self.states_bytes -= STATE_BYTES + state.len();
        Some(state)
    }
}

impl Flow {
    pub(super) fn take_schema(
        &mut self,
        name: &str,
        text: &str,
        schema: Schema,
        lines: &Lines,
    ) -> Result<(), Error> {
        let Some(place) = self.streams.place(name) else {
            if self.lanes.is_empty() {
                self.start_workers()?;
            }
            let place = self.streams.len();
            self.streams.add(Stream {
                name: name.into(),
                route: self.routes.compile_stream(name, schema.key_properties()),
                encoding: Encoding::Verbatim,
                waiting: None,
                schema,
                worker: place % self.lanes.len(),
                slot: Slot::default(),
                records: 0,
                records_told: 0,
                next: 0,
            });
            return self.register(place, text);
        };
        let change = match self.streams.at(place).schema.change_to(&schema) {
            Change::None => return Ok(()),
            Change::Schema => "Schema has",
            Change::KeyProperties => "Key properties have",
        };
        log::info!("{change} changed for stream '{name}'.");
        // What is held is of the schema before.
        self.await_schema(place, lines)?;
        self.streams.at(place).schema = schema;
        self.register(place, text)
    }

    /// Has a stream's schema registered, where a registry is on. Its records are held from here on, until it is.
    fn register(&mut self, place: usize, text: &str) -> Result<(), Error> {
        let stream = self.streams.at(place);
        let name = stream.name.clone();
        stream.encoding = Encoding::compile(self.schemas.format, &name, text)?;
        let Some(registrar) = &self.schemas.registrar else {
            return self.open_stream(place, None);
        };
        let avro = self.streams.at(place).encoding.avro_schema();
        let (kind, text) = if let Some(schema) = avro {
            (ArtifactType::Avro, schema.to_owned())
        } else {
            let settings = registrar.settings();
            let text = render_schema(text, settings.draft, settings.is_closed);
            (ArtifactType::Json, text)
        };
        let artifact = match registrar.artifact(&name, kind, text) {
            Ok(artifact) => artifact,
            Err(error) => {
                forgive(registrar.settings().on_error, &name, error)?;
                return self.open_stream(place, None);
            }
        };
        if let Some(ids) = registrar.known(&artifact) {
            let ids = ids.clone();
            return self.open_stream(place, Some(&ids));
        }
        self.request(place, artifact)
    }

    fn request(&mut self, place: usize, artifact: Artifact) -> Result<(), Error> {
        let is_full = |registrar: &Registrar| !registrar.has_room();
        while self.schemas.registrar.as_ref().is_some_and(is_full) {
            self.wait_for_events()?;
        }
        if let Some(registrar) = &mut self.schemas.registrar {
            registrar.register(place, artifact)?;
            self.schemas.open += 1;
            self.streams.at(place).waiting = Some(Waiting {
                line: self.counts.lines,
                first: 0,
                held: Vec::new(),
            });
        }
        Ok(())
    }

    /// Keeps a record until its stream's schema is registered.
    pub(super) fn hold(&mut self, place: usize, record: &str, shape: Shape, lines: &Lines) {
        let Some(waiting) = &mut self.streams.at(place).waiting else {
            return;
        };
        if waiting.first == 0 {
            waiting.first = self.counts.records;
            self.schemas.held.insert(waiting.first, place);
        }
        let is_of_block = |(last, _): &(Lines, _)| Arc::ptr_eq(&last.block, &lines.block);
        if !waiting.held.last().is_some_and(is_of_block) {
            waiting.held.push((lines.clone(), Vec::new()));
        }
        if let Some((_, records)) = waiting.held.last_mut() {
            records.push(HeldRecord {
                number: self.counts.records,
                start: lines.start_of(record),
                length: record.len(),
                shape,
            });
        }
    }

    /// Waits until a stream's schema is registered. What this block has brought is handed out before.
    pub(super) fn await_schema(&mut self, place: usize, lines: &Lines) -> Result<(), Error> {
        if self.streams.at(place).waiting.is_none() {
            return Ok(());
        }
        self.hand_out(lines)?;
        loop {
            self.take_registered()?;
            if self.streams.at(place).waiting.is_none() {
                return Ok(());
            }
            self.wait_for_events()?;
        }
    }

    /// Takes up the registrations that have ended. Must be called between blocks, when nothing is left to be handed
    /// out.
    pub(super) fn take_registered(&mut self) -> Result<(), Error> {
        while let Some(Registered {
            ticket: place,
            artifact,
            outcome,
        }) = self.schemas.received.pop_front()
        {
            self.schemas.open -= 1;
            let registrar = self.schemas.registrar.as_ref();
            let on_error = registrar.map_or(OnSchemaError::Fail, |registrar| {
                registrar.settings().on_error
            });
            let ids = match outcome {
                Ok(ids) => Some(ids),
                Err(error) => {
                    if let Err(error) = forgive(on_error, &artifact.stream, error) {
                        self.schemas.abandon();
                        return Err(at_schema(self.streams.at(place).waiting.as_ref(), error));
                    }
                    None
                }
            };
            self.open_stream(place, ids.as_ref())?;
        }
        Ok(())
    }

    /// Has a stream's records published from here on, beginning with those that were held.
    fn open_stream(&mut self, place: usize, ids: Option<&SchemaIds>) -> Result<(), Error> {
        let has_headers = (self.schemas.registrar.as_ref())
            .is_some_and(|registrar| registrar.settings().has_headers);
        let mut lines = Vec::new();
        if let Some(ids) = ids.filter(|_| has_headers) {
            let [content_header, global_header] = ID_HEADERS;
            lines.push((content_header, ids.content_id.to_string()));
            lines.extend(ids.global_id.map(|id| (global_header, id.to_string())));
        }
        let stream = self.streams.at(place);
        stream.route =
            (self.routes).compile_stream_with(&stream.name, stream.schema.key_properties(), &lines);
        stream.slot = Slot::default();
        if let Some(ids) = ids {
            let named = stream.encoding.name_schema(ids.content_id);
            named
                .map_err(|error| at_schema(stream.waiting.as_ref(), error.stream(&*stream.name)))?;
        }
        let Some(waiting) = stream.waiting.take() else {
            return Ok(());
        };
        for (lines, records) in waiting.held {
            let mut outcome = Ok(());
            for held in records {
                outcome = self.take_held(place, &held, &lines);
                if outcome.is_err() {
                    // A state before it is behind none that is held any more.
                    self.schemas.held.remove(&waiting.first);
                    self.schemas.held.insert(held.number, place);
                    break;
                }
            }
            let handed_out = self.hand_out(&lines);
            if outcome.is_err() {
                self.release_states();
            }
            outcome.and(handed_out)?;
        }
        self.schemas.held.remove(&waiting.first);
        self.release_states();
        Ok(())
    }

    fn take_held(&mut self, place: usize, held: &HeldRecord, lines: &Lines) -> Result<(), Error> {
        let block = Arc::clone(&lines.block);
        let bytes = &block.bytes()[held.start..][..held.length];
        let record = str::from_utf8(bytes)
            .map_err(|_| Error::new(Kind::Internal, "a held record has changed"))?;
        self.take_record_of(place, record, held.shape, lines)
            .map_err(|error| match error.kind() {
                Kind::Input | Kind::Refused if !self.is_broken => {
                    error.line(lines.place(held.start).line)
                }
                _ => error,
            })
    }

    /// Takes a STATE: as a checkpoint, or kept back where it is behind a record that is held.
    pub(super) fn take_state(&mut self, state: &str) {
        let records = self.counts.records;
        if self.schemas.is_behind(records) {
            self.schemas.keep_back(records, state);
        } else {
            self.push_state(state);
        }
    }

    fn release_states(&mut self) {
        while let Some(state) = self.schemas.take_state() {
            self.push_state(&state);
        }
    }

    fn push_state(&mut self, state: &str) {
        let workers = &self.lanes;
        let open = |worker: usize| {
            let lane = workers.get(worker);
            lane.map_or(0, |lane| lane.builder.messages())
        };
        self.checkpoints.push(state, open);
    }
}

/// Says that a stream does without ids, where the settings let it. Else the error ends the run.
fn forgive(on_error: OnSchemaError, stream: &str, error: Error) -> Result<(), Error> {
    match on_error {
        OnSchemaError::Fail => Err(error),
        OnSchemaError::Warn => {
            log::warn!("stream '{stream}' is published without ids of its schema: {error}");
            Ok(())
        }
    }
}

/// The error with the line of the SCHEMA message, where its stream waits.
fn at_schema(waiting: Option<&Waiting>, error: Error) -> Error {
    match waiting {
        Some(waiting) => error.line(waiting.line),
        None => error,
    }
}
