//! The flow of a run: blocks in, records to the workers, states out.
//!
//! ```text
//!  source ─▶ flow: parse, route ─▶ one bounded channel per worker ─▶ workers: publish, confirm
//!              ▲                                                        │
//!              └──────────── events: connected, confirmed, failed ──────┘
//! ```
//!
//! The flow runs on the caller's thread, and waits in one place only (`wait.rs`), for everything at once: input,
//! workers, signals, the writer of states, and the clock. What can block without end is on threads that the
//! flow can leave behind.
//!
//! Ending: at the end of the input, or at the first error of the input, everything that was handed out is
//! awaited; then the channels to the workers are dropped, and they end. The first error is the run's error.

use crossbeam_channel::{Receiver, Sender};

use crate::broker::Delivery;
use crate::error::Error;
use crate::input::Block;
use crate::settings::Settings;
use crate::state_out::Sink;

mod flow;
mod invalid;
mod parse;
mod part;
mod place;
mod records;
mod rows;
mod schemas;
mod streams;
mod wait;
mod worker;

pub(crate) use self::flow::Flow;
pub(crate) use self::rows::start_reader;

/// What a source brings. Its channel is closed at the end of the input.
pub(crate) enum Input {
    Block(Block),
    /// The source broke; nothing more comes.
    Failed(Error),
    /// Somebody wants to know when everything before this is confirmed.
    Confirm(Sender<()>),
}

/// What a run did with its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines of input.
    pub lines: u64,
    /// SCHEMA messages.
    pub schemas: u64,
    /// RECORD messages.
    pub records: u64,
    /// BATCH messages.
    pub batches: u64,
    /// STATE messages.
    pub states: u64,
    /// `ACTIVATE_VERSION` messages.
    pub activate_versions: u64,
    /// Records that were published and confirmed, those in BATCH files included.
    pub published: u64,
    /// Records that were left out, as `on_invalid_record` says.
    pub skipped: u64,
    /// Records in whose place a dead letter was published and confirmed.
    pub dead_lettered: u64,
    /// Payload bytes of the published messages.
    pub published_bytes: u64,
}

/// Makes the delivery of a worker, by the worker's number.
pub(crate) type Deliveries = Box<dyn Fn(usize) -> Box<dyn Delivery> + Send>;

/// How a run is made up.
pub(crate) struct Run {
    pub(crate) settings: Settings,
    pub(crate) deliveries: Deliveries,
    /// Where states go.
    pub(crate) sink: Sink,
    /// Numbers of the signals that ask the run to end.
    pub(crate) signals: Receiver<i32>,
    /// Whether the progress line on the terminal is wanted.
    pub(crate) shows_progress: bool,
}

impl Run {
    /// Compiles what the settings hold. Fails with `Config` where a template is wrong.
    pub(crate) fn prepare(self) -> Result<Flow, Error> {
        Flow::new(self)
    }
}
