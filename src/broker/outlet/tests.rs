//! Tests of one outlet with answers that a server can hardly be made to give when they are wanted.

use serde_json::json;

use super::*;
use crate::route::{Routed, Routes};
use crate::settings::Settings;

/// An outlet of a stream `S`, which has the number 0.
fn outlet(batch: Option<&str>) -> Outlet {
    let info = StreamInfo::parse(&json!({"config": {"name": "S", "subjects": ["users"]}}));
    let batch = batch.map(str::to_owned);
    Outlet::new(Arc::new(info.unwrap()), 0, batch, Again::All)
}

/// Sends what may be sent of these messages, as a worker does, and returns the ends of their reply subjects.
#[track_caller]
fn send(outlet: &mut Outlet, ordinals: impl IntoIterator<Item = u64>) -> Vec<String> {
    let routes = Routes::compile(&Settings::from_json("{}").unwrap()).unwrap();
    let stream = routes.compile_stream("users", &[]);
    let Ok(Routed::Shared(route)) = stream.route("{}") else {
        panic!("the subject has no part of a record");
    };
    let mut replies = Vec::new();
    for ordinal in ordinals {
        if outlet.takes(ordinal) {
            let mut reply = String::new();
            outlet.send(0, ordinal, route, &mut reply);
            replies.push(reply);
        } else {
            outlet.push(ordinal);
        }
    }
    replies
}

#[track_caller]
fn answer(outlet: &mut Outlet, reply: &str, text: &str) {
    outlet
        .take_reply(reply, None, text.as_bytes(), Instant::now())
        .unwrap();
}

#[test]
fn a_message_that_was_refused_is_not_stored_though_the_batch_is_counted_beyond_it() {
    for last in [
        r#"{"type":"ack","seq":3,"msgs":500}"#,
        r#"{"stream":"S","seq":3,"batch":"0-b-1","count":3}"#,
    ] {
        let mut outlet = outlet(Some("0-b"));
        let mut replies = send(&mut outlet, [1]);
        let flow = r#"{"type":"ack","seq":0,"msgs":500}"#;
        answer(&mut outlet, &replies[0], flow);
        replies.extend(send(&mut outlet, [2, 3]));
        // A store that refuses a message is no end of its batch (nats-server 2.14, stream.go).
        let refusal = r#"{"error":{"code":503,"err_code":10077,"description":"store closed"},"stream":"S","seq":0}"#;
        answer(&mut outlet, &replies[1], refusal);
        answer(&mut outlet, &replies[2], last);
        assert_eq!(outlet.oldest(), Some(2), "{last}");
    }
}

#[test]
fn a_stream_that_acknowledges_a_batch_message_by_message_is_fed_pipelined() {
    let mut outlet = outlet(Some("0-b"));
    let replies = send(&mut outlet, [1, 2]);
    assert_eq!(replies.len(), 1);
    answer(&mut outlet, &replies[0], r#"{"stream":"S","seq":7}"#);
    assert_eq!(outlet.oldest(), Some(2));
    assert!(matches!(outlet.feed, Feed::Pipelined { .. }));
    // Late answers of the batch mean nothing any more.
    answer(&mut outlet, &replies[0], r#"{"stream":"S","seq":8}"#);
    assert_eq!(outlet.oldest(), Some(2));
}

#[test]
fn refusals_of_all_that_is_in_flight_are_one_trouble_with_one_short_pause() {
    let mut outlet = outlet(None);
    let replies = send(&mut outlet, 1..=1000);
    assert_eq!(replies.len(), 1000);
    let full = r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":0}"#;
    for reply in &replies {
        answer(&mut outlet, reply, full);
    }
    assert_eq!(outlet.pause, 2 * FIRST_PAUSE);
    let Feed::Pipelined { most_in_flight, .. } = outlet.feed else {
        panic!("it is fed pipelined");
    };
    assert_eq!(most_in_flight, MOST_IN_FLIGHT / 2);
    assert_eq!(outlet.oldest(), Some(1));
}

#[test]
fn a_pause_that_ends_unseen_is_over_all_the_same() {
    let mut outlet = outlet(None);
    outlet.push(1);
    outlet.paused_until = Some(Instant::now());
    let deadline = outlet.deadline();
    assert!(deadline.is_some_and(|due| due <= Instant::now()));
    assert_eq!(outlet.due(), Some(1));
    assert_eq!(outlet.deadline(), None);
}
