//! Tests of the worker with a delivery that does as the test says. Real servers are in `tests/`.

use std::cell::Cell;

use super::*;
use crate::input::{Pool, read_blocks};
use crate::pipeline::part::{Builder, Payload};
use crate::pipeline::place::{Lines, Place};
use crate::route::{Route, Routed, Routes};

const PATIENCE: Duration = Duration::from_secs(20);

/// Takes messages as the test says, and gives notices as the test sends them.
struct Scripted {
    take: fn(u64) -> Result<(), Stop>,
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
        (self.take)(ordinal)
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
fn events(
    records: usize,
    take: fn(u64) -> Result<(), Stop>,
    notices: Vec<Notice>,
    has_gap: bool,
) -> Receiver<Event> {
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
        take,
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
    let take = |ordinal| match ordinal {
        10 => Err(Stop::Refused("message 10 is refused".to_owned())),
        _ => Ok(()),
    };
    let events = events(12, take, vec![refused, Notice::Confirmed(4)], false);
    confirms_and_fails(&events, 4, "message 5");
}

/// The worker says that everything up to this message is confirmed, and then ends with this error.
#[track_caller]
fn confirms_and_fails(events: &Receiver<Event>, last: u64, why: &str) {
    match events.recv_timeout(PATIENCE) {
        Ok(Event::Confirmed { message, .. }) => assert_eq!(message, last),
        other => panic!("{other:?}"),
    }
    match events.recv_timeout(PATIENCE) {
        Ok(Event::Failed(error)) => assert!(error.to_string().contains(why), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_that_nothing_can_be_done_about_ends_the_run_when_those_before_it_are_confirmed() {
    let take = |ordinal| match ordinal {
        8 => {
            let what = "message 8 goes nowhere";
            Err(Stop::Failed(Error::new(Kind::Refused, what)))
        }
        9.. => panic!("{ordinal} is behind it"),
        _ => Ok(()),
    };
    let confirmed = || vec![Notice::Confirmed(7)];
    confirms_and_fails(&events(12, take, confirmed(), false), 7, "message 8");
    let failed = Notice::Failed {
        ordinal: 5,
        error: Error::new(Kind::Refused, "message 5 is refused"),
    };
    let notices = vec![failed, Notice::Confirmed(4)];
    confirms_and_fails(&events(12, take, notices, false), 4, "message 5");
}

#[test]
fn what_is_due_between_two_looks_at_the_clock_is_looked_at() {
    let events = events(3, |_| Ok(()), vec![Notice::Confirmed(3)], true);
    assert!(matches!(
        events.recv_timeout(PATIENCE),
        Ok(Event::Confirmed { message: 3, .. })
    ));
}
