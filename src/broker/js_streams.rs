//! [`JsStreams`]: the JetStream streams that were found over one connection, and how they are asked for and made.
//! A stream that exists is never changed.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::Level;
use serde_json::{Map, Value, json};

use super::api::{Api, Reply};
use super::client::Lost;
use super::js_audit::audit;
use super::js_config::{BUCKET_PREFIX, StreamInfo};
use super::js_error::{ApiError, NO_STREAM, Verdict, api_error};
use super::js_wanted::{WantedConfig, wanted_bucket, wanted_stream};
use super::{Common, Stop};
use crate::error::{Error, Kind};
use crate::route::origin::root_filters;

/// How long JetStream is asked for where the server says that it has none: another one of its cluster may.
const CLUSTER_PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(250);

/// What the API says to a question.
#[derive(Debug)]
pub(super) enum Finding {
    Json(Value),
    Error(ApiError),
    /// There is no JetStream here for us; why.
    NoJetStream(String),
}

/// What is to be made where it is missing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    Nothing,
    Stream(&'a Map<String, Value>),
    Bucket(&'a Map<String, Value>),
}

/// The streams that are known.
pub(super) struct JsStreams {
    common: Arc<Common>,
    known: Vec<Arc<StreamInfo>>,
}

impl JsStreams {
    pub(super) fn new(common: Arc<Common>) -> Self {
        Self {
            common,
            known: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    pub(super) fn get(&self, place: usize) -> &Arc<StreamInfo> {
        &self.known[place]
    }

    /// The place of a stream that fulfils a condition.
    pub(super) fn position(&self, condition: impl Fn(&StreamInfo) -> bool) -> Option<usize> {
        self.known.iter().position(|known| condition(known))
    }

    /// The place of the stream with this name, which is made if it is missing and wanted.
    pub(super) fn named(
        &mut self,
        name: &str,
        wanted: Wanted<'_>,
        api: &Api<'_>,
    ) -> Result<usize, Stop> {
        if let Some(place) = self.position(|known| *known.name == *name) {
            return Ok(place);
        }
        match ask(api, &format!("STREAM.INFO.{name}"), &Value::Null)? {
            Finding::Json(json) => {
                let found = parse_info(&json)?;
                if let Some(wanted) = self.wanted_config(name, wanted, api)? {
                    let differences = wanted.differences_asked(&found.config);
                    if !differences.is_empty() {
                        let line = format!(
                            "JetStream stream '{name}' exists and is left as it is, which is not as the settings \
                             say: {}",
                            differences.join("; ")
                        );
                        self.common.told.once(Level::Warn, &line);
                    }
                }
                self.add(found)
            }
            Finding::Error(error) if error.err_code == NO_STREAM => {
                if let Some(wanted) = self.wanted_config(name, wanted, api)? {
                    if self.common.is_looking {
                        let config = json!({ "config": wanted.config });
                        let line =
                            format!("JetStream stream '{name}' is missing and will be created");
                        self.common.told.once(Level::Info, &line);
                        return self.add(parse_info(&config)?);
                    }
                    let found = create(name, &wanted, api)?;
                    let subjects = found.subjects.join(", ");
                    log::info!("created JetStream stream '{name}', which captures {subjects}");
                    return self.add(found);
                }
                let what = match name.strip_prefix(BUCKET_PREFIX) {
                    Some(bucket) => {
                        format!("there is no bucket '{bucket}', and kv_create is not set")
                    }
                    None => {
                        format!(
                            "there is no JetStream stream '{name}', and jetstream_create is not set"
                        )
                    }
                };
                Err(Stop::Failed(Error::new(Kind::Refused, what).cause(error)))
            }
            Finding::Error(error) => Err(unusable(&format!("stream '{name}'"), &error)),
            Finding::NoJetStream(why) => Err(unusable(&format!("stream '{name}'"), &why)),
        }
    }

    /// As [`JsStreams::named`], for a stream of which only the name may be known to us: it is taken to capture
    /// the filter that it was found by.
    pub(super) fn found_by(
        &mut self,
        name: &str,
        filter: &str,
        api: &Api<'_>,
    ) -> Result<usize, Stop> {
        if let Some(place) = self.position(|known| *known.name == *name) {
            return Ok(place);
        }
        let json = match ask(api, &format!("STREAM.INFO.{name}"), &Value::Null)? {
            Finding::Json(json) => json,
            Finding::NoJetStream(_) => json!({ "config": { "name": name, "subjects": [filter] } }),
            Finding::Error(error) => return Err(unusable(&format!("stream '{name}'"), &error)),
        };
        self.add(parse_info(&json)?)
    }

    /// Fails if a stream that answers no more is gone, or captures other subjects now.
    pub(super) fn check_again(&self, place: usize, api: &Api<'_>) -> Result<(), Stop> {
        let known = self.get(place);
        let name = &known.name;
        let answer = api.ask(&format!("STREAM.INFO.{name}"), &Value::Null);
        // Whatever else it says, it is asked again after the next silence.
        let Reply::Json(json) = answer.map_err(|Lost| Stop::Lost)? else {
            return Ok(());
        };
        match api_error(&json) {
            Some(error) if error.err_code == NO_STREAM => {
                let what = format!("JetStream stream '{name}' was deleted while it was written to");
                Err(Stop::Failed(Error::new(Kind::Refused, what).cause(error)))
            }
            // Where the messages go is found out anew.
            None if parse_info(&json)?.subjects != known.subjects => Err(Stop::Lost),
            Some(_) | None => Ok(()),
        }
    }

    fn add(&mut self, found: StreamInfo) -> Result<usize, Stop> {
        if let Some(why) = found.closed_because() {
            return Err(unusable(&format!("stream '{}'", found.name), &why));
        }
        for warning in audit(&found, self.common.settings.message_id) {
            self.common.told.once(Level::Warn, &warning);
        }
        self.known.push(Arc::new(found));
        Ok(self.known.len() - 1)
    }

    fn wanted_config(
        &self,
        name: &str,
        wanted: Wanted<'_>,
        api: &Api<'_>,
    ) -> Result<Option<WantedConfig>, Stop> {
        let config = match wanted {
            Wanted::Nothing => return Ok(None),
            Wanted::Stream(user) => wanted_stream(
                name,
                user,
                &root_filters(&self.common.settings),
                api_level(api)?,
            ),
            Wanted::Bucket(user) => {
                wanted_bucket(name.strip_prefix(BUCKET_PREFIX).unwrap_or(name), user)
            }
        };
        config.map(Some).map_err(Stop::Failed)
    }
}

/// The names of the streams whose subjects overlap with a filter; or why there is no JetStream here for us.
pub(super) fn list_names(filter: &str, api: &Api<'_>) -> Result<Result<Vec<String>, String>, Stop> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let body = json!({ "subject": filter, "offset": names.len() });
        let json = match ask(api, "STREAM.NAMES", &body)? {
            Finding::Json(json) => json,
            Finding::NoJetStream(why) => return Ok(Err(why)),
            Finding::Error(error) => {
                return Err(unusable("its streams cannot be listed", &error));
            }
        };
        let page = json["streams"].as_array().map_or(&[][..], Vec::as_slice);
        names.extend(page.iter().filter_map(Value::as_str).map(str::to_owned));
        let total = json["total"].as_u64().unwrap_or_default();
        if page.is_empty() || names.len() as u64 >= total {
            return Ok(Ok(names));
        }
    }
}

fn parse_info(json: &Value) -> Result<StreamInfo, Stop> {
    StreamInfo::parse(json).map_err(Stop::Failed)
}

/// The level of the API, which says what a configuration may hold.
fn api_level(api: &Api<'_>) -> Result<u64, Stop> {
    let json = ask_for("its level is not known", api, "INFO", &Value::Null)?;
    Ok(json["api"]["level"].as_u64().unwrap_or_default())
}

/// Makes a stream, and holds what the server says that it made against what was asked for.
fn create(name: &str, wanted: &WantedConfig, api: &Api<'_>) -> Result<StreamInfo, Stop> {
    let config = Value::Object(wanted.config.clone());
    let failure = format!("stream '{name}' cannot be made");
    let json = ask_for(&failure, api, &format!("STREAM.CREATE.{name}"), &config)?;
    let differences = wanted.differences_all(&json["config"]);
    if !differences.is_empty() {
        let what = format!(
            "the server has made JetStream stream '{name}' otherwise than it was asked to: {}",
            differences.join("; ")
        );
        return Err(Stop::Failed(Error::new(Kind::Refused, what)));
    }
    parse_info(&json)
}

/// Asks for what must be had. `failure` says what is the matter without it.
fn ask_for(failure: &str, api: &Api<'_>, verb: &str, body: &Value) -> Result<Value, Stop> {
    match ask(api, verb, body)? {
        Finding::Json(json) => Ok(json),
        Finding::Error(error) => Err(unusable(failure, &error)),
        Finding::NoJetStream(why) => Err(unusable(failure, &why)),
    }
}

/// Asks until there is an answer that will not change by itself: after a restart, or while a cluster has no leader,
/// there is none for a while.
fn ask(api: &Api<'_>, verb: &str, body: &Value) -> Result<Finding, Stop> {
    let start = Instant::now();
    let info = api.generation.info();
    loop {
        let waited = start.elapsed();
        let why = match api.ask(verb, body).map_err(|Lost| Stop::Lost)? {
            Reply::Denied => {
                let why = "this account may not ask the JetStream API, or not listen to its answers (setting \
                           inbox_prefix)";
                return Ok(Finding::NoJetStream(why.to_owned()));
            }
            Reply::NoResponders | Reply::Silent if !info.jetstream => {
                if info.cluster.is_none() || waited >= CLUSTER_PATIENCE {
                    let why = "the server has no JetStream";
                    return Ok(Finding::NoJetStream(why.to_owned()));
                }
                "nobody answers".to_owned()
            }
            Reply::NoResponders => "nobody answers".to_owned(),
            Reply::Silent => "there is no answer".to_owned(),
            Reply::Json(json) => match api_error(&json) {
                None => return Ok(Finding::Json(json)),
                Some(error) if error.is_no_jetstream() => {
                    return Ok(Finding::NoJetStream(error.to_string()));
                }
                Some(error) if error.verdict() != Verdict::Retry => {
                    return Ok(Finding::Error(error));
                }
                Some(error) => error.to_string(),
            },
        };
        if waited >= api.patience {
            let what = format!("the JetStream API does not answer on {}.{verb}", api.prefix);
            return Err(Stop::Failed(Error::new(Kind::Unavailable, what).cause(why)));
        }
        // The run may end meanwhile, and this thread is left behind.
        thread::sleep(PAUSE);
    }
}

fn unusable(what: &str, why: &dyn std::fmt::Display) -> Stop {
    Stop::Failed(Error::new(Kind::Refused, format!("JetStream cannot be used: {what}")).cause(why))
}
