//! Tests of the worker with a delivery that does as the test says. Real servers are in `tests/`.

use std::cell::Cell;

use super::*;
use crate::input::{Pool, read_blocks};
use crate::pipeline::part::{Builder, Payload};
use crate::pipeline::place::{Lines, Place};
use crate::route::{Route, Routed, Routes};

const PATIENCE: Duration = Duration::from_secs(20);

/// Refuses one message at once, and gives notices as the test sends them.
struct Scripted {
    refused: u64,
    notices: Receiver<Notice>,
    requests: Sender<()>,
    /// Whether the worker has asked for the deadline or for what is to be watched since the last poll. The look that
    /// is due becomes so between the two.
    is_asked: Cell<bool>,
    has_gap: bool,
}

impl Delivery for Scripted {
    fn connect(&mut self, _run_end: &RunEnd) -> Result<Limits, Error> {
        Ok(Limits {
            max_payload_bytes: 1000,
            headers: true,
        })
    }

    fn publish(&mut self, ordinal: u64, _route: &Arc<Route>, _payload: &[u8]) -> Result<(), Stop> {
        if ordinal == self.refused {
            return Err(Stop::Refused(format!("message {ordinal} is refused")));
        }
        Ok(())
    }

    fn due(&mut self) -> Option<u64> {
        None
    }

    fn give_up(&mut self, _ordinal: u64) {}

    fn request_confirmation(&mut self, _is_idle: bool) {
        let _ = self.requests.send(());
    }

    fn poll(&mut self) -> Result<Option<Notice>, Error> {
        self.is_asked.set(false);
        Ok(self.notices.try_recv().ok())
    }

    fn watch<'a>(&'a self, select: &mut Select<'a>) {
        if !self.has_gap || self.is_asked.replace(true) {
            select.recv(&self.notices);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        (self.has_gap && !self.is_asked.replace(true)).then(Instant::now)
    }
}

/// The events of a worker that has been given so many records and whose delivery has these notices for it.
fn events(records: usize, refused: u64, notices: Vec<Notice>, has_gap: bool) -> Receiver<Event> {
    let settings = Settings::from_json("{}").unwrap();
    let routes = Routes::compile(&settings).unwrap();
    let stream = routes.compile_stream("users", &[]);
    let mut blocks = Vec::new();
    let text = "{}\n".repeat(records);
    read_blocks(text.as_bytes(), &Pool::new(0), |block| {
        blocks.push(block);
        true
    })
    .unwrap();
    let lines = Lines {
        block: Arc::new(blocks.remove(0)),
        first: Place { line: 1, row: None },
    };
    let mut builder = Builder::new();
    let block = std::str::from_utf8(lines.block.bytes()).unwrap();
    for record in block.lines() {
        let Ok(Routed::Shared(route)) = stream.route(record) else {
            panic!("the subject has no part of a record");
        };
        builder.push_own(&lines, record, Payload::Record, Arc::clone(route));
    }
    let (parts, inbox) = crossbeam_channel::bounded(1);
    parts.send(builder.take(&lines)).unwrap();
    let (told, events) = crossbeam_channel::unbounded();
    let (given, taken) = crossbeam_channel::unbounded();
    let (requests, requested) = crossbeam_channel::unbounded();
    let delivery = Scripted {
        refused,
        notices: taken,
        requests,
        is_asked: Cell::new(false),
        has_gap,
    };
    let invalid = Arc::new(Invalid::new(&routes, settings.on_invalid_record));
    let worker = Worker::new(
        0,
        inbox,
        told,
        Box::new(delivery),
        crossbeam_channel::never(),
        invalid,
        &settings,
    );
    std::thread::spawn(move || worker.run());
    assert!(matches!(
        events.recv_timeout(PATIENCE),
        Ok(Event::Connected(_))
    ));
    // From here on nothing but a notice is worth the worker's while.
    requested.recv_timeout(PATIENCE).unwrap();
    for notice in notices {
        given.send(notice).unwrap();
    }
    // The test ends with them, and the worker need not.
    std::mem::forget((parts, given));
    events
}

#[test]
fn of_several_refused_messages_the_first_ends_the_run_whichever_is_refused_first() {
    let refused = Notice::Refused {
        ordinal: 5,
        reason: "message 5 is refused".to_owned(),
    };
    let events = events(12, 10, vec![refused, Notice::Confirmed(4)], false);
    assert!(matches!(
        events.recv_timeout(PATIENCE),
        Ok(Event::Confirmed { message: 4, .. })
    ));
    match events.recv_timeout(PATIENCE) {
        Ok(Event::Failed(error)) => assert!(error.to_string().contains("message 5"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_due_between_two_looks_at_the_clock_is_looked_at() {
    let events = events(3, 0, vec![Notice::Confirmed(3)], true);
    assert!(matches!(
        events.recv_timeout(PATIENCE),
        Ok(Event::Confirmed { message: 3, .. })
    ));
}
