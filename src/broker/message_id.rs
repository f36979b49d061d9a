//! [`MessageIds`]: the value of `Nats-Msg-Id`, by which JetStream drops what it has already.
//!
//! The server compares ids within one JetStream stream, whatever the subject (spec nats.md, L11): so an id of
//! content is made of everything that tells two messages apart.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::unique::unique_token;
use crate::route::Route;
use crate::settings::{MessageId, Settings};

/// The bytes of a hash that stand in an id: two of a billion billion messages meet by chance once in 10^20.
const HASH_BYTES: usize = 16;

/// Makes the ids of one worker's messages.
pub(super) struct MessageIds {
    kind: MessageId,
    /// This worker of this run.
    run: String,
    /// Where dead letters go.
    letters: Option<String>,
    id: String,
}

impl MessageIds {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            kind: settings.message_id,
            run: unique_token(),
            letters: settings.dead_letter_subject.clone(),
            id: String::new(),
        }
    }

    /// The id of a message, if it is to have one.
    pub(super) fn render(&mut self, ordinal: u64, route: &Route, payload: &[u8]) -> Option<&str> {
        self.id.clear();
        match self.kind {
            MessageId::None => return None,
            MessageId::Run => {
                write!(self.id, "{}-{ordinal}", self.run).expect("writing to memory cannot fail");
            }
            MessageId::Content => {
                let mut hash = Sha256::new()
                    .chain_update(route.origin.stream.as_bytes())
                    // No stream's name and no subject holds this byte.
                    .chain_update([b'\n'])
                    .chain_update(route.subject.as_str())
                    .chain_update([b'\n'])
                    .chain_update(payload);
                // Two letters without their records differ in nothing but what they say of them.
                if self.letters.as_deref() == Some(&*route.origin.filter)
                    && let Some(headers) = &route.headers
                {
                    hash.update([b'\n']);
                    hash.update(headers.as_str());
                }
                for byte in &hash.finalize()[..HASH_BYTES] {
                    write!(self.id, "{byte:02x}").expect("writing to memory cannot fail");
                }
            }
        }
        Some(&self.id)
    }
}
