//! [`Feed`]: how a JetStream stream is fed, pipelined or by fast ingest.

use super::super::ingest::Batch;

/// Messages in flight to one stream. The server drops what goes beyond 100,000 for all publishers together.
pub(super) const MOST_IN_FLIGHT: usize = 32_768;
pub(super) const LEAST_IN_FLIGHT: usize = 64;

/// How a stream is fed.
pub(super) enum Feed {
    /// Every message is acknowledged by itself.
    Pipelined {
        most_in_flight: usize,
        /// After trouble: one message, until it is confirmed.
        is_probing: bool,
    },
    Fast(Batch),
}

impl Feed {
    pub(super) fn pipelined() -> Self {
        Self::Pipelined {
            most_in_flight: MOST_IN_FLIGHT,
            is_probing: false,
        }
    }

    pub(super) fn batch(&self) -> Option<&Batch> {
        match self {
            Self::Fast(batch) => Some(batch),
            Self::Pipelined { .. } => None,
        }
    }
}
