//! Questions to the JetStream API over a connection: raw JSON in, raw JSON out. What an answer means is not known
//! here.
//!
//! Every question has an inbox of its own and is followed by a flush, since the crate's own flush timer is the
//! round trip otherwise (spec nats.md, 0.5). A denial of its subject is an answer too, and no error of the
//! connection.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};
use serde_json::Value;

use super::RunEnd;
use super::client::{Denied, Generation, Lost, reply_status};
use super::unique::unique_token;
use crate::settings::Settings;

/// How long the server may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The same where the server says that it has no JetStream itself, and its silence means that there is none.
///
/// Where nobody listens it says so at once, and nothing is waited for. Silence has two causes: somebody listens to
/// everything there, and this is waited for in vain, once for each connection; or the question is on its way to
/// the JetStream of a hub, over a leaf node's link. To take the second for the first costs records without a word
/// (spec nats.md, 0.9), so it is as long as the official clients give the JetStream API (five seconds): a
/// link that is slower is of no use to anybody.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a wait looks whether the connection is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What comes of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// What the API says, which may be an error.
    Json(Value),
    /// There is no JetStream, or none that can answer now.
    NoResponders,
    /// The account may not ask this, or not subscribe to answers.
    Denied,
    /// Nothing came in time.
    Silent,
}

/// The API as one worker asks it.
#[derive(Clone, Copy)]
pub(super) struct Api<'a> {
    pub(super) generation: &'a Generation,
    /// `$JS.API`, or another prefix for a domain or an import.
    pub(super) prefix: &'a str,
    inbox_prefix: &'a str,
    /// How long an answer that does not come is asked for again.
    pub(super) patience: Duration,
    run_end: &'a RunEnd,
}

impl<'a> Api<'a> {
    pub(super) fn new(
        generation: &'a Generation,
        settings: &'a Settings,
        run_end: &'a RunEnd,
    ) -> Self {
        Self {
            generation,
            prefix: &settings.jetstream_api_prefix,
            inbox_prefix: &settings.inbox_prefix,
            patience: settings.connect_timeout,
            run_end,
        }
    }

    /// Asks `<prefix>.<verb>`. The verb may hold the name of a stream, which must have been checked.
    pub(super) fn ask(&self, verb: &str, body: &Value) -> Result<Reply, Lost> {
        let subject = format!("{}.{verb}", self.prefix);
        let inbox_subject = format!("{}.{}", self.inbox_prefix, unique_token());
        let (denied, denials) = crossbeam_channel::unbounded();
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.generation.allow_denial(&subject, denied.clone());
        self.generation.allow_denial(&inbox_subject, denied.clone());
        let outcome = self.exchange(&subject, &inbox_subject, &body, &denials);
        self.generation.require(&subject, &denied);
        self.generation.require(&inbox_subject, &denied);
        outcome
    }

    fn exchange(
        &self,
        subject: &str,
        inbox_subject: &str,
        body: &str,
        denials: &Receiver<Denied>,
    ) -> Result<Reply, Lost> {
        let inbox = self.generation.subscribe(inbox_subject)?;
        self.generation
            .publish(subject, Some(inbox_subject), None, body.as_bytes())?;
        let (flushed, pongs) = crossbeam_channel::unbounded();
        self.generation.flush(0, flushed);
        let timeout = if self.generation.info().jetstream {
            TIMEOUT
        } else {
            SILENCE_TIMEOUT
        };
        let deadline = Instant::now() + timeout;
        let never = crossbeam_channel::never();
        let mut is_denied = false;
        while Instant::now() < deadline && !self.generation.is_lost() {
            select! {
                recv(inbox.replies()) -> reply => {
                    let Ok(reply) = reply else { return Err(Lost) };
                    if reply.data.is_empty() && reply_status(&reply).is_some() {
                        return Ok(Reply::NoResponders);
                    }
                    // Something that is no JSON was not said by the API.
                    return Ok(serde_json::from_slice(&reply.data).map_or(Reply::Silent, Reply::Json));
                }
                recv(denials) -> _ => is_denied = true,
                // Both subjects may be denied, one after the other: all of it comes before the PONG.
                recv(if is_denied { &pongs } else { &never }) -> _ => return Ok(Reply::Denied),
                recv(self.run_end) -> _ => return Err(Lost),
                default(LOOK_INTERVAL) => {}
            }
        }
        if self.generation.is_lost() {
            return Err(Lost);
        }
        Ok(if is_denied {
            Reply::Denied
        } else {
            Reply::Silent
        })
    }
}
