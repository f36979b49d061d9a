//! [`Capture`]: where a message goes. It asks which JetStream stream captures the subjects of a Singer stream.
//!
//! It asks once for each Singer stream and connection, and not for each subject: a filter that covers all subjects
//! of the Singer stream is asked for, and where subjects come from records they are held against the filters of
//! the JetStream streams that were found. What is made at the server later is not seen before the next connection.

use std::collections::HashMap;
use std::sync::Arc;

use log::Level;

use super::api::Api;
use super::js_config::BUCKET_PREFIX;
use super::js_streams::{JsStreams, Wanted, list_names};
use super::{Common, Stop};
use crate::error::{Error, Kind};
use crate::route::Route;
use crate::route::origin::Origin;
use crate::settings::{DeliveryKind, Ingest, MessageId};

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Core,
    /// A JetStream stream, by its place among those that are known.
    Stream(usize),
}

/// Where the messages of a Singer stream go.
#[derive(Clone, Debug)]
enum Plan {
    All(Destination),
    /// Each subject is held against the filters of these streams.
    BySubject(Vec<usize>),
}

impl Plan {
    fn places(&self) -> &[usize] {
        match self {
            Self::All(Destination::Core) => &[],
            Self::All(Destination::Stream(place)) => std::slice::from_ref(place),
            Self::BySubject(places) => places,
        }
    }
}

/// What was found out over one connection.
pub(super) struct Capture {
    common: Arc<Common>,
    js_streams: JsStreams,
    /// By filter.
    plans: HashMap<Box<str>, Plan>,
    /// The JetStream streams of dead letters: how records are fed is not asked of them.
    letter_places: Vec<usize>,
    /// The Singer streams that go to a JetStream stream, by its place.
    feeders: HashMap<usize, Vec<Box<str>>>,
    /// The last answer, since records of one stream come in runs.
    last: Option<(Arc<Origin>, Destination)>,
    /// Why there is no JetStream here for us, if so.
    no_jetstream: Option<String>,
}

impl Capture {
    pub(super) fn new(common: Arc<Common>) -> Self {
        Self {
            js_streams: JsStreams::new(Arc::clone(&common)),
            common,
            plans: HashMap::new(),
            letter_places: Vec::new(),
            feeders: HashMap::new(),
            last: None,
            no_jetstream: None,
        }
    }

    /// Forgets everything: the connection is a new one, and maybe the server.
    pub(super) fn reset(&mut self) {
        self.js_streams.clear();
        self.plans.clear();
        self.letter_places.clear();
        self.feeders.clear();
        self.last = None;
        self.no_jetstream = None;
    }

    pub(super) fn js_streams(&self) -> &JsStreams {
        &self.js_streams
    }

    /// Where this message goes.
    ///
    /// Fails where the settings and what the server has do not go together, and where it does not answer.
    pub(super) fn find(&mut self, route: &Route, api: &Api<'_>) -> Result<Destination, Stop> {
        if let Some((origin, destination)) = &self.last
            && Arc::ptr_eq(origin, &route.origin)
        {
            return Ok(*destination);
        }
        let origin = &route.origin;
        if !self.plans.contains_key(&origin.filter) {
            let plan = self.make_plan(origin, api)?;
            self.tell_choice(origin, &plan)?;
            for place in plan.places() {
                let feeders = self.feeders.entry(*place).or_default();
                feeders.push(origin.stream.clone());
            }
            self.plans.insert(origin.filter.clone(), plan);
        }
        let subject = route.subject.as_str();
        match &self.plans[&origin.filter] {
            Plan::All(destination) => {
                self.last = Some((Arc::clone(origin), *destination));
                Ok(*destination)
            }
            Plan::BySubject(places) => {
                let takes = |place: &&usize| self.js_streams.get(**place).covers(subject);
                let found = places
                    .iter()
                    .find(takes)
                    .map(|place| Destination::Stream(*place));
                let found = found.unwrap_or(Destination::Core);
                self.check(found, origin, subject)?;
                Ok(found)
            }
        }
    }

    /// The place of the bucket or stream that the settings name, if they do. What is missing is made, if they say so.
    fn named_place(&mut self, api: &Api<'_>) -> Result<Option<usize>, Stop> {
        let settings = &self.common.settings;
        let (name, wanted) = match (&settings.kv_bucket, &settings.jetstream_stream) {
            (Some(bucket), _) => (
                format!("{BUCKET_PREFIX}{bucket}"),
                settings.kv_create.as_ref().map(Wanted::Bucket),
            ),
            (None, Some(name)) => (
                name.clone(),
                settings.jetstream_create.as_ref().map(Wanted::Stream),
            ),
            (None, None) => return Ok(None),
        };
        let wanted = wanted.unwrap_or(Wanted::Nothing);
        self.js_streams.named(&name, wanted, api).map(Some)
    }

    /// What is to be said of the stream or bucket that the settings name, if they do.
    pub(super) fn describe_place(&mut self, api: &Api<'_>) -> Result<Option<String>, Stop> {
        let Some(place) = self.named_place(api)? else {
            return Ok(None);
        };
        let state = if self.js_streams.get(place).exists {
            "exists"
        } else {
            "is missing and will be created"
        };
        let described = self.describe(Destination::Stream(place))?;
        Ok(Some(format!("{described}; it {state}")))
    }

    /// Where the messages of a Singer stream go.
    pub(super) fn describe_origin(
        &mut self,
        origin: &Origin,
        api: &Api<'_>,
    ) -> Result<String, Stop> {
        let plan = self.make_plan(origin, api)?;
        self.describe_plan(&plan)
    }

    fn make_plan(&mut self, origin: &Origin, api: &Api<'_>) -> Result<Plan, Stop> {
        let settings = &self.common.settings;
        let is_bucket = settings.kv_bucket.is_some();
        let is_letter = settings.dead_letter_subject.as_deref() == Some(&*origin.filter);
        let named = if is_letter {
            // Wherever it is captured: the settings of a stream or a bucket are about records.
            None
        } else {
            self.named_place(api)?
        };
        let plan = match named {
            // Its subjects may have the prefix of an API before them, by which the bucket is not known.
            Some(place) if is_bucket => Plan::All(Destination::Stream(place)),
            Some(place) if !self.js_streams.get(place).overlaps(&origin.filter) => {
                return Err(self.uncaptured(origin, &origin.filter));
            }
            Some(place) => self.plan_over(&[place], origin),
            None => {
                let places = self.streams_over(origin, api)?;
                if is_letter {
                    self.letter_places.clone_from(&places);
                }
                self.plan_over(&places, origin)
            }
        };
        match plan {
            Plan::All(destination) if is_letter || is_bucket => {
                self.check_acknowledged(destination, origin, &origin.filter)?;
            }
            Plan::All(destination) => self.check(destination, origin, &origin.filter)?,
            Plan::BySubject(_) => {}
        }
        Ok(plan)
    }

    fn plan_over(&self, places: &[usize], origin: &Origin) -> Plan {
        let takes_all = |place: usize| self.js_streams.get(place).covers(&origin.filter);
        match places {
            [] => Plan::All(Destination::Core),
            [place] if takes_all(*place) => Plan::All(Destination::Stream(*place)),
            _ => Plan::BySubject(places.to_vec()),
        }
    }

    /// The streams that capture some of the Singer stream's subjects.
    fn streams_over(&mut self, origin: &Origin, api: &Api<'_>) -> Result<Vec<usize>, Stop> {
        if self.no_jetstream.is_some() {
            return Ok(Vec::new());
        }
        // No two streams of an account capture the same subject, so one that takes all settles it.
        let known = (self.js_streams).position(|known| known.covers(&origin.filter));
        if let Some(place) = known {
            return Ok(vec![place]);
        }
        let names = match list_names(&origin.filter, api)? {
            Ok(names) => names,
            Err(why) => {
                if self.common.settings.delivery != DeliveryKind::JetStream {
                    let line = format!("messages go out on core NATS: {why}");
                    self.common.told.once(Level::Info, &line);
                }
                self.no_jetstream = Some(why);
                return Ok(Vec::new());
            }
        };
        let mut places = Vec::new();
        for name in names {
            places.push(self.js_streams.found_by(&name, &origin.filter, api)?);
        }
        Ok(places)
    }

    /// Whether a message may go there by the setting `delivery`.
    fn check(&self, found: Destination, origin: &Origin, subject: &str) -> Result<(), Stop> {
        let settings = &self.common.settings;
        let needs_js =
            settings.delivery == DeliveryKind::JetStream || settings.jetstream_stream.is_some();
        match (settings.delivery, found) {
            (_, Destination::Core) if needs_js => Err(self.uncaptured(origin, subject)),
            (DeliveryKind::Core, Destination::Stream(place)) => {
                let what = format!(
                    "JetStream stream '{}' captures '{subject}', and drops messages under load that are not to be \
                     acknowledged; set delivery to auto or jetstream",
                    self.js_streams.get(place).name
                );
                Err(failed(what, origin))
            }
            _ => self.check_acknowledged(found, origin, subject),
        }
    }

    /// Nothing can be confirmed that is never acknowledged.
    fn check_acknowledged(
        &self,
        found: Destination,
        origin: &Origin,
        subject: &str,
    ) -> Result<(), Stop> {
        match found {
            Destination::Stream(place) if !self.js_streams.get(place).acknowledges() => {
                let what = format!(
                    "JetStream stream '{}' captures '{subject}' and acknowledges nothing (no_ack), so nothing can \
                     be confirmed",
                    self.js_streams.get(place).name
                );
                Err(failed(what, origin))
            }
            _ => Ok(()),
        }
    }

    fn uncaptured(&self, origin: &Origin, subject: &str) -> Stop {
        let what = match &self.common.settings.jetstream_stream {
            Some(name) => format!("JetStream stream '{name}' does not capture '{subject}'"),
            None => format!("no JetStream stream captures '{subject}', and delivery is jetstream"),
        };
        let error = Error::new(Kind::Refused, what).stream(&*origin.stream);
        Stop::Failed(match &self.no_jetstream {
            Some(why) => error.cause(why),
            None => error,
        })
    }

    /// Fails if a JetStream stream that answers no more is gone, or captures other subjects now.
    pub(super) fn check_again(&self, place: usize, api: &Api<'_>) -> Result<(), Stop> {
        let outcome = self.js_streams.check_again(place, api);
        let Some([only]) = self.feeders.get(&place).map(Vec::as_slice) else {
            return outcome;
        };
        outcome.map_err(|stop| match stop {
            Stop::Failed(error) => Stop::Failed(error.stream(&**only)),
            other => other,
        })
    }

    /// Whether a JetStream stream is fed by fast ingest. Fails if it cannot be and must.
    ///
    /// Not with ids of the content where the stream is replicated: what another run has sent is counted as stored from
    /// the moment that the leader has it, and may be lost with that leader (see `outlet/doubt.rs`).
    pub(super) fn feeds_fast(&self, place: usize) -> Result<bool, Stop> {
        let settings = &self.common.settings;
        let js_stream = self.js_streams.get(place);
        let is_unsafe = settings.message_id == MessageId::Content && js_stream.is_replicated();
        let is_possible = js_stream.allows_batches() && !is_unsafe;
        match settings.ingest {
            Ingest::Pipelined => Ok(false),
            Ingest::Auto => Ok(is_possible),
            Ingest::Fast if is_possible => Ok(true),
            Ingest::Fast if self.letter_places.contains(&place) => Ok(false),
            Ingest::Fast if is_unsafe => {
                let what = format!(
                    "JetStream stream '{}' has replicas, and its server confirms fast ingest with message ids of the \
                     content too early; set ingest to auto, or message_id to run",
                    js_stream.name
                );
                Err(Stop::Failed(Error::new(Kind::Refused, what)))
            }
            Ingest::Fast => {
                let what = format!(
                    "JetStream stream '{}' does not allow fast ingest (allow_batched, from nats-server 2.14 on); set \
                     ingest to auto, or have the stream changed",
                    js_stream.name
                );
                Err(Stop::Failed(Error::new(Kind::Refused, what)))
            }
        }
    }

    fn tell_choice(&self, origin: &Origin, plan: &Plan) -> Result<(), Stop> {
        let described = self.describe_plan(plan)?;
        let line = format!(
            "stream '{}' goes to '{}': {described}",
            origin.stream, origin.filter
        );
        self.common.told.once(Level::Info, &line);
        Ok(())
    }

    fn describe_plan(&self, plan: &Plan) -> Result<String, Stop> {
        Ok(match plan {
            Plan::All(destination) => self.describe(*destination)?,
            Plan::BySubject(places) => {
                let mut parts = Vec::new();
                for place in places {
                    parts.push(self.describe(Destination::Stream(*place))?);
                }
                if self.common.settings.jetstream_stream.is_none() {
                    parts.push("or core NATS where that captures nothing".to_owned());
                }
                parts.join(", ")
            }
        })
    }

    fn describe(&self, destination: Destination) -> Result<String, Stop> {
        Ok(match destination {
            Destination::Core => "core NATS".to_owned(),
            Destination::Stream(place) => {
                let name = &self.js_streams.get(place).name;
                let feed = if self.feeds_fast(place)? {
                    "fast ingest"
                } else {
                    "pipelined"
                };
                format!("JetStream stream '{name}', {feed}")
            }
        })
    }
}

fn failed(what: String, origin: &Origin) -> Stop {
    Stop::Failed(Error::new(Kind::Refused, what).stream(&*origin.stream))
}
