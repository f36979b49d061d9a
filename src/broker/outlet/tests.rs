//! Tests of one outlet with answers that a server can hardly be made to give when they are wanted.

use serde_json::json;

use super::*;
use crate::route::{Routed, Routes};
use crate::settings::Settings;

/// An outlet of a stream `S`, which has the number 0.
fn outlet(batch: Option<&str>) -> Outlet {
    outlet_over(1, batch, Again::All, 0)
}

fn outlet_over(replicas: u64, batch: Option<&str>, again: Again, sent_before: u64) -> Outlet {
    let config = json!({"name": "S", "subjects": ["users"], "num_replicas": replicas});
    let info = StreamInfo::parse(&json!({"config": config}));
    let batch = batch.map(str::to_owned);
    Outlet::new(Arc::new(info.unwrap()), 0, batch, again, sent_before)
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

const FLOW: &str = r#"{"type":"ack","seq":0,"msgs":500}"#;

/// The end of a batch that counts so many messages.
fn over(count: u64) -> String {
    format!(r#"{{"stream":"S","seq":0,"batch":"0-b","count":{count}}}"#)
}

/// Sends what is due, as a worker does.
#[track_caller]
fn send_due(outlet: &mut Outlet) -> (Vec<u64>, Vec<String>) {
    let (mut ordinals, mut replies) = (Vec::new(), Vec::new());
    while let Some(ordinal) = outlet.due() {
        ordinals.push(ordinal);
        replies.extend(send(outlet, [ordinal]));
    }
    (ordinals, replies)
}

/// Three messages of which the batch's end says nothing, so that they are sent again.
#[track_caller]
fn send_again(outlet: &mut Outlet) -> Vec<String> {
    let mut replies = send(outlet, [1]);
    answer(outlet, &replies[0], FLOW);
    replies.extend(send(outlet, [2, 3]));
    answer(outlet, &replies[2], &over(0));
    assert_eq!(outlet.oldest(), Some(1));
    replies
}

#[test]
fn what_is_sent_again_to_replicas_by_fast_ingest_is_confirmed_message_by_message() {
    let mut outlet = outlet_over(3, Some("0-b"), Again::Unsettled, 0);
    send_again(&mut outlet);
    // New ones wait behind.
    assert!(send(&mut outlet, [4, 5]).is_empty());
    let first = outlet.due().unwrap();
    let mut replies = send(&mut outlet, [first]);
    answer(&mut outlet, &replies[0], FLOW);
    let (ordinals, more) = send_due(&mut outlet);
    assert_eq!((first, ordinals), (1, vec![2, 3]));
    replies.extend(more);
    let end = outlet.look_at_clock().expect("the batch is ended at once");
    assert_eq!(end.step.sequence, 4);
    answer(
        &mut outlet,
        &replies[2],
        r#"{"type":"ack","seq":3,"msgs":500}"#,
    );
    answer(&mut outlet, &replies[2], &over(3));
    // The server counts what it may yet lose.
    assert_eq!(outlet.oldest(), Some(1));
    let (ordinals, replies) = send_due(&mut outlet);
    assert_eq!(ordinals, [1, 2, 3]);
    for reply in &replies {
        assert!(!reply.ends_with("$FI"), "{reply}");
        let duplicate = r#"{"stream":"S","seq":1,"duplicate": true}"#;
        answer(&mut outlet, reply, duplicate);
    }
    assert_eq!(outlet.oldest(), Some(4));
    let (ordinals, replies) = send_due(&mut outlet);
    assert_eq!(ordinals, [4]);
    assert!(replies[0].ends_with("$FI"), "{replies:?}");
    answer(&mut outlet, &replies[0], &over(1));
    assert_eq!(outlet.oldest(), Some(5));
}

#[test]
fn a_message_that_is_not_yet_stored_when_its_turn_comes_is_not_confirmed() {
    let mut outlet = outlet_over(3, Some("0-b"), Again::Unsettled, 0);
    send_again(&mut outlet);
    for _ in 0..3 {
        outlet.paused_until = None;
        let first = outlet.due().unwrap();
        let replies = send(&mut outlet, [first]);
        answer(&mut outlet, &replies[0], FLOW);
        let (_, replies) = send_due(&mut outlet);
        answer(&mut outlet, &replies[1], &over(3));
        let (ordinals, replies) = send_due(&mut outlet);
        assert_eq!(ordinals, [1, 2, 3]);
        let in_process = r#"{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"},"stream":"S","seq":0}"#;
        answer(&mut outlet, &replies[0], in_process);
        assert_eq!(outlet.oldest(), Some(1));
        // And all over again.
        assert!(matches!(outlet.feed, Feed::Fast(_)));
    }
    assert_eq!(outlet.pause, 8 * FIRST_PAUSE);
    assert!(outlet.take_trouble().is_some());
}

#[test]
fn what_another_connection_may_have_sent_is_doubted_and_what_comes_behind_is_not() {
    for (replicas, again, is_doubted) in [
        (3, Again::Unsettled, true),
        (1, Again::Unsettled, false),
        (3, Again::All, false),
    ] {
        for first in [7, 9] {
            let mut outlet = outlet_over(replicas, Some("0-b"), again, 8);
            let replies = send(&mut outlet, [first]);
            answer(&mut outlet, &replies[0], &over(1));
            let is_confirmed = outlet.oldest().is_none();
            assert_eq!(is_confirmed, first > 8 || !is_doubted, "{first} {replicas}");
        }
    }
}

#[test]
fn a_dead_letter_is_sent_again_once_though_its_record_was_sent_before_it() {
    let mut outlet = outlet(None);
    let replies = send(&mut outlet, 1..=3);
    let refusal = r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"},"stream":"S","seq":0}"#;
    answer(&mut outlet, &replies[1], refusal);
    assert_eq!(outlet.take_refused().unwrap().ordinal, 2);
    // The letter in its place goes to the same stream.
    send(&mut outlet, [2]);
    let full = r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":0}"#;
    answer(&mut outlet, &replies[0], full);
    outlet.paused_until = None;
    let mut ordinals = Vec::new();
    while let Some(ordinal) = outlet.due() {
        let replies = send(&mut outlet, [ordinal]);
        answer(&mut outlet, &replies[0], r#"{"stream":"S","seq":7}"#);
        ordinals.push(ordinal);
    }
    assert_eq!(ordinals, [1, 2, 3]);
    assert_eq!(outlet.oldest(), None);
}

#[test]
fn of_a_batch_whose_last_message_is_refused_by_itself_the_end_is_asked_for_at_once() {
    for says_its_end in [true, false] {
        let start = Instant::now();
        let mut outlet = outlet(Some("0-b"));
        let mut replies = send(&mut outlet, [1]);
        answer(&mut outlet, &replies[0], FLOW);
        replies.extend(send(&mut outlet, [2, 3]));
        let refusal = r#"{"error":{"code":503,"err_code":10023,"description":"insufficient resources"},"stream":"S","seq":0}"#;
        answer(&mut outlet, &replies[2], refusal);
        assert!(send(&mut outlet, [4]).is_empty());
        let end = outlet.look_at_clock().expect("the end is asked for");
        assert_eq!(end.step.sequence, 4);
        if says_its_end {
            answer(&mut outlet, &replies[2], &over(2));
        }
        let mut due = None;
        while due.is_none() {
            let deadline = outlet.deadline().expect("something is waited for");
            std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
            assert!(outlet.look_at_clock().is_none());
            due = outlet.due();
        }
        assert_eq!(due, Some(if says_its_end { 3 } else { 1 }));
        assert!(start.elapsed() < ACK_TIMEOUT / 2);
    }
}
