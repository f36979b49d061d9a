//! Where a record goes: its subject and its headers, from the templates of the settings. Pure.
//!
//! [`Routes`] is compiled once a run, [`StreamRoute`] once a stream. A stream whose templates name no field
//! of the record has one [`Route`] that all its messages share.

use std::ops::Deref;
use std::sync::Arc;

use self::dead_letter::DeadLetters;
use self::headers::Headers;
use self::kv_key::Bucket;
use self::origin::Origin;
use self::subject::Subject;
use self::template::{Scope, Template};
use crate::error::{Error, Kind};
use crate::settings::{DeliveryKind, OnInvalidRecord, Settings, SubjectInvalid};

pub(crate) mod dead_letter;
pub(crate) mod headers;
pub(crate) mod origin;
pub(crate) mod subject;
mod glob;
mod kv_key;
mod template;

/// The address of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) subject: Subject,
    pub(crate) headers: Option<Headers>,
    pub(crate) origin: Arc<Origin>,
}

impl Route {
    /// The size of a message with such a payload, as the server holds it against its largest payload.
    pub(crate) fn message_bytes(&self, payload_bytes: usize) -> usize {
        payload_bytes + self.headers.as_ref().map_or(0, Headers::wire_bytes)
    }

    /// What the route itself takes in memory, about.
    pub(crate) fn own_bytes(&self) -> usize {
        size_of::<Self>() + self.message_bytes(self.subject.as_str().len())
    }
}

/// The compiled templates of a run.
#[derive(Debug)]
pub(crate) struct Routes {
    addresses: Addresses,
    headers: Arc<Vec<(String, Template)>>,
    dead_letters: Option<DeadLetters>,
}

/// How subjects are made.
#[derive(Debug)]
enum Addresses {
    Subjects {
        /// Stream name or glob, and its subject's template; the last one matches every stream.
        templates: Vec<(String, Arc<Template>)>,
        invalid: SubjectInvalid,
    },
    Bucket(Arc<Bucket>),
}

/// How the subjects of one stream are made.
#[derive(Clone, Debug)]
enum Address {
    Subject(Arc<Template>, SubjectInvalid),
    Key(Arc<Bucket>),
}

impl Routes {
    /// Compiles the templates of the settings; fails with [`Kind::Config`].
    pub(crate) fn compile(settings: &Settings) -> Result<Self, Error> {
        let is_kv = settings.delivery == DeliveryKind::Kv;
        let addresses = if is_kv {
            Addresses::Bucket(Arc::new(Bucket::compile(settings)?))
        } else {
            Addresses::Subjects {
                templates: compile_subjects(settings)?,
                invalid: settings.subject_invalid,
            }
        };
        let mut headers = Vec::new();
        for (name, text) in &settings.headers {
            let key = format!("headers.{name}");
            headers::check_name(name, is_kv).map_err(|what| config(&key, what))?;
            let template = Template::parse(text, &settings.queue_prefix)
                .map_err(|what| config(&key, &what))?;
            headers::check_literals(&template).map_err(|what| config(&key, what))?;
            headers.push((name.clone(), template));
        }
        let dead_letters = match settings.on_invalid_record {
            OnInvalidRecord::DeadLetter => Some(DeadLetters::compile(settings)?),
            OnInvalidRecord::Fail | OnInvalidRecord::Skip => None,
        };
        Ok(Self {
            addresses,
            headers: Arc::new(headers),
            dead_letters,
        })
    }

    /// The makers of dead letters, where the settings ask for them.
    pub(crate) fn dead_letters(&self) -> Option<DeadLetters> {
        self.dead_letters.clone()
    }

    /// The streams that the settings name, as far as it is known without a record where theirs go, and the dead
    /// letters.
    pub(crate) fn known_origins(&self) -> Vec<Arc<Origin>> {
        let mut names: Vec<&str> = Vec::new();
        if let Addresses::Subjects { templates, .. } = &self.addresses {
            let is_name = |pattern: &str| !pattern.contains(['*', '?']);
            let certain = templates.iter().filter(|(pattern, _)| is_name(pattern));
            names.extend(certain.map(|(pattern, _)| &**pattern));
            let last = templates.last().map(|(_, template)| template);
            if last.is_some_and(|template| !template.names_stream()) {
                names.push("*");
            }
        }
        let streams = names.into_iter().map(|name| self.compile_stream(name, &[]));
        let known = streams.filter(|stream| !stream.address.template().needs_key());
        let origins = known.map(|stream| Arc::clone(stream.origin()));
        let letters = self.dead_letters.as_ref().map(DeadLetters::origin);
        origins.chain(letters.cloned()).collect()
    }

    /// The route of a stream's records, its key properties being these.
    pub(crate) fn compile_stream(&self, stream: &str, key_properties: &[String]) -> StreamRoute {
        self.compile_stream_with(stream, key_properties, &[])
    }

    /// The same, every message having these headers before its own.
    pub(crate) fn compile_stream_with(
        &self,
        stream: &str,
        key_properties: &[String],
        given: &[(&'static str, String)],
    ) -> StreamRoute {
        let address = match &self.addresses {
            Addresses::Subjects { templates, invalid } => {
                let template = templates
                    .iter()
                    .find(|(pattern, _)| glob::matches(pattern, stream))
                    .map(|(_, template)| Arc::clone(template))
                    .expect("the last pattern matches every stream");
                Address::Subject(template, *invalid)
            }
            Addresses::Bucket(bucket) => Address::Key(Arc::clone(bucket)),
        };
        let headers = Arc::clone(&self.headers);
        let is_constant = address.is_constant() && headers.iter().all(|(_, h)| h.is_constant());
        let needs_key =
            address.template().needs_key() || headers.iter().any(|(_, h)| h.needs_key());
        let mut route = StreamRoute {
            origin: Arc::new(Origin {
                stream: stream.into(),
                filter: address.filter(stream, key_properties.len()).into(),
            }),
            key_properties: key_properties.to_vec(),
            address,
            given: given.to_vec(),
            headers,
            constant: None,
            is_useless: needs_key && key_properties.is_empty(),
        };
        if is_constant {
            route.constant = Some(route.render("{}", false).map(Arc::new));
        }
        route
    }
}

fn compile_subjects(settings: &Settings) -> Result<Vec<(String, Arc<Template>)>, Error> {
    let subject = |key: &str, text: &str| {
        let template =
            Template::parse(text, &settings.queue_prefix).map_err(|what| config(key, &what))?;
        subject::check_literals(&template).map_err(|what| config(key, what))?;
        Ok::<_, Error>(Arc::new(template))
    };
    let mut templates = Vec::new();
    for (pattern, text) in &settings.subjects {
        let template = subject(&format!("subjects.{pattern}"), text)?;
        templates.push((pattern.clone(), template));
    }
    templates.push(("*".to_owned(), subject("subject", &settings.subject)?));
    Ok(templates)
}

impl Address {
    fn template(&self) -> &Template {
        match self {
            Self::Subject(template, _) => template,
            Self::Key(bucket) => bucket.template(),
        }
    }

    /// Whether all records of a stream go to one subject, and none of them is a deletion.
    fn is_constant(&self) -> bool {
        let deletes = matches!(self, Self::Key(bucket) if bucket.deletes());
        self.template().is_constant() && !deletes
    }

    fn filter(&self, stream: &str, keys: usize) -> String {
        match self {
            Self::Subject(template, invalid) => subject::filter(template, stream, keys, *invalid),
            Self::Key(bucket) => bucket.filter(stream, keys),
        }
    }
}

/// The route of one stream's records.
#[derive(Debug)]
pub(crate) struct StreamRoute {
    origin: Arc<Origin>,
    key_properties: Vec<String>,
    address: Address,
    /// Headers of every message, before those of the templates.
    given: Vec<(&'static str, String)>,
    headers: Arc<Vec<(String, Template)>>,
    /// What every record gets where no template asks for a field. An error is the stream's first record's:
    /// a stream without records need not be addressable.
    constant: Option<Result<Arc<Route>, Error>>,
    is_useless: bool,
}

/// A record's route: the one that the stream's records share, or one of its own.
pub(crate) enum Routed<'a> {
    Shared(&'a Arc<Route>),
    Own(Arc<Route>),
    /// The record deletes its key: the message has no payload.
    Deletion(Arc<Route>),
}

impl StreamRoute {
    /// The route of a record, which must have been scanned before. Fails with [`Kind::Input`].
    pub(crate) fn route(&self, record: &str) -> Result<Routed<'_>, Error> {
        if let Some(constant) = &self.constant {
            return constant.as_ref().map(Routed::Shared).map_err(Error::clone);
        }
        let is_deletion = matches!(&self.address, Address::Key(bucket) if bucket.deletes())
            && kv_key::is_deleted(record);
        let route = Arc::new(self.render(record, is_deletion)?);
        Ok(if is_deletion {
            Routed::Deletion(route)
        } else {
            Routed::Own(route)
        })
    }

    /// Whether no record can be routed, whatever it holds: a template needs the key, and the stream has no
    /// key properties.
    pub(crate) fn is_useless(&self) -> bool {
        self.is_useless
    }

    pub(crate) fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    fn render(&self, record: &str, is_deletion: bool) -> Result<Route, Error> {
        let scope = Scope {
            stream: &self.origin.stream,
            key_properties: &self.key_properties,
            record,
        };
        let subject = match &self.address {
            Address::Subject(template, invalid) => Subject::render(template, &scope, *invalid)?,
            Address::Key(bucket) => bucket.render(&scope)?,
        };
        let mark = is_deletion.then_some(kv_key::DELETION);
        let given = self.given.iter().map(|(name, value)| (*name, &**value));
        Ok(Route {
            subject,
            headers: Headers::render(mark.into_iter().chain(given), &self.headers, &scope)?,
            origin: Arc::clone(&self.origin),
        })
    }
}

impl Deref for Routed<'_> {
    type Target = Route;

    fn deref(&self) -> &Route {
        match self {
            Self::Shared(route) => route,
            Self::Own(route) | Self::Deletion(route) => route,
        }
    }
}

fn config(key: &str, what: &str) -> Error {
    Error::new(Kind::Config, format!("setting {key}: {what}"))
}

#[cfg(test)]
mod tests;
