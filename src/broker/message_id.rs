//! [`MessageIds`]: the value of `Nats-Msg-Id`, by which JetStream drops what it has already.
//!
//! The server compares ids within one JetStream stream, whatever the subject (spec nats.md, L11): so an id of
//! content is made of everything that tells two messages apart.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::unique::unique_token;
use crate::route::Route;
use crate::settings::MessageId;

/// The bytes of a hash that stand in an id: two of a billion billion messages meet by chance once in 10^20.
const HASH_BYTES: usize = 16;

/// Makes the ids of one worker's messages.
pub(super) struct MessageIds {
    kind: MessageId,
    /// This worker of this run.
    run: String,
    id: String,
}

impl MessageIds {
    pub(super) fn new(kind: MessageId) -> Self {
        Self {
            kind,
            run: unique_token(),
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
                let hash = Sha256::new()
                    .chain_update(route.origin.stream.as_bytes())
                    // No stream's name and no subject holds this byte.
                    .chain_update([b'\n'])
                    .chain_update(route.subject.as_str())
                    .chain_update([b'\n'])
                    .chain_update(payload)
                    .finalize();
                for byte in &hash[..HASH_BYTES] {
                    write!(self.id, "{byte:02x}").expect("writing to memory cannot fail");
                }
            }
        }
        Some(&self.id)
    }
}
