//! Connections and servers that break in the middle of much input: nothing is lost, order is kept.
//!
//! How a count across a kill can be sound although core NATS forgets is told in `harness/proxy.rs`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::{
    Message, NatsServer, PATIENCE, Proxy, Random, Running, Subscriber, Target, heavy, record, say,
    schema, state, wait_until,
};

const STREAMS: usize = 4;

/// What has arrived of streams whose records are numbered from 0 without a gap.
#[derive(Default)]
struct Tally {
    /// Per stream, the number that comes next if nothing is repeated.
    next: [usize; STREAMS],
    total: usize,
    disorder: Option<String>,
}

impl Tally {
    /// A record is either the next one of its stream or a repeat; one that comes too early is out of order.
    fn take(&mut self, message: &Message) {
        self.total += 1;
        let stream: usize = message.subject.strip_prefix('s').unwrap().parse().unwrap();
        let (begin, end) = (r#"{"id":"#, r#","text":"some words to fill the line"}"#);
        let text = message.text();
        let id = text
            .strip_prefix(begin)
            .and_then(|rest| rest.strip_suffix(end));
        let id: usize = id
            .and_then(|id| id.parse().ok())
            .unwrap_or_else(|| panic!("not ours: {text}"));
        let next = &mut self.next[stream];
        if id == *next {
            *next += 1;
        } else if id > *next && self.disorder.is_none() {
            self.disorder = Some(format!("{id} of s{stream} came before {next}"));
        }
    }

    /// Whether the first so many records of the input have arrived, which go to the streams in turn.
    fn has_first(&self, records: usize) -> bool {
        self.next
            .iter()
            .enumerate()
            .all(|(stream, next)| *next >= (records + STREAMS - 1 - stream) / STREAMS)
    }
}

/// A subscriber that fills this tally.
fn subscribe(server: &NatsServer, tally: &Arc<Mutex<Tally>>) -> Subscriber {
    let tally = Arc::clone(tally);
    Subscriber::each(server, move |message| tally.lock().unwrap().take(message))
}

/// Sends the records of this range with a STATE after every thousand of them.
fn send(run: &Running, records: std::ops::Range<usize>) {
    let mut block = String::new();
    for number in records {
        let (stream, id) = (number % STREAMS, number / STREAMS);
        block += &format!(
            r#"{{"type":"RECORD","stream":"s{stream}","record":{{"id":{id},"text":"some words to fill the line"}}}}"#
        );
        block.push('\n');
        if (number + 1) % 1000 == 0 {
            block += &state(&format!(r#"{{"n":{}}}"#, number + 1));
        }
        if block.len() > 1 << 16 {
            run.send(std::mem::take(&mut block));
        }
    }
    run.send(block);
}

/// The number in the newest STATE that was printed.
fn printed(run: &Running) -> usize {
    let line = run.last_line().unwrap_or_else(|| r#"{"n": 0}"#.to_owned());
    let number = line
        .strip_prefix(r#"{"n": "#)
        .and_then(|rest| rest.strip_suffix('}'));
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("an odd state: {line}"))
}

fn schemas() -> String {
    (0..STREAMS)
        .map(|stream| schema(&format!("s{stream}"), &["id"]))
        .collect()
}

/// Sends so many records through a server that is killed and restarted at so many random moments.
fn kill_and_restart(test: &str, records: usize, kills: usize) {
    let _turn = heavy();
    let mut random = Random::new(test);
    // So that the server does not take a subscriber on a busy machine for one that is too slow.
    let server = NatsServer::with("max_pending: 512MB\nwrite_deadline: \"60s\"\n");
    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut subscriber = subscribe(&server, &tally);
    let proxy = Proxy::before(&server);
    let mut run = Target::new()
        .log_of(&server)
        .setting("nats_url", proxy.url())
        .deadline(Duration::from_secs(290))
        .spawn();
    run.send(schemas());

    // The last fiftieth is sent behind the last kill, so the run cannot be over before it.
    let most = records - records / 50;
    let mut moments: Vec<usize> = (0..kills).map(|_| random.within(0..most)).collect();
    moments.sort_unstable();
    let mut sent = 0;
    for moment in moments {
        // Enough behind the moment that the program is in full flow when it comes.
        let upto = (moment + records / 5).min(most);
        if upto > sent {
            send(&run, sent..upto);
            sent = upto;
        }
        wait_until(&format!("record {moment} has arrived"), PATIENCE, || {
            assert!(
                !run.has_ended(),
                "it ended early:\n{}",
                run.give_up().stderr
            );
            tally.lock().unwrap().next.iter().sum::<usize>() >= moment
        });
        proxy.hold();
        subscriber.settle();
        let state = printed(&run);
        let tally_now = tally.lock().unwrap();
        assert!(
            tally_now.has_first(state),
            "state {state} is printed, but {:?} arrived",
            tally_now.next
        );
        drop(tally_now);
        server.kill();
        subscriber.drain();
        if random.once_in(2) {
            // For a while its attempts fail at once, otherwise they only have to wait.
            proxy.refuse();
            proxy.cut();
            let tried = proxy.accepted();
            // Where everything is confirmed, only new work makes it connect.
            send(&run, sent..sent + 1);
            sent += 1;
            wait_until("it has tried to connect again", PATIENCE, || {
                proxy.accepted() > tried
            });
            proxy.hold();
        }
        proxy.cut();
        server.start_again();
        subscriber = subscribe(&server, &tally);
        proxy.open();
    }
    send(&run, sent..records);
    run.end_input();
    let outcome = run.wait();
    outcome
        .succeeds()
        .prints_last(&format!(r#"{{"n": {records}}}"#));
    subscriber.settle();
    let tally = tally.lock().unwrap();
    say(&format!(
        "{test}: {} messages for {records} records",
        tally.total
    ));
    outcome.check(
        tally.has_first(records),
        &format!("every record arrives, not only {:?}", tally.next),
    );
    outcome.check(
        tally.disorder.is_none(),
        &format!("order is kept: {:?}", tally.disorder),
    );
}

#[test]
fn nothing_is_lost_and_order_is_kept_when_the_server_is_killed_five_times_within_500_000_records() {
    kill_and_restart("server killed five times", 500_000, 5);
}

#[test]
fn nothing_is_lost_when_the_server_is_killed_twelve_times_within_20_000_records() {
    kill_and_restart("server killed twelve times", 20_000, 12);
}

#[test]
fn nothing_is_lost_when_the_connection_breaks_twenty_times() {
    const RECORDS: usize = 100_000;
    let _turn = heavy();
    let mut random = Random::new("connection cut twenty times");
    let server = NatsServer::with("max_pending: 512MB\nwrite_deadline: \"60s\"\n");
    // Between two connections there is no order in core NATS, so here only completeness counts.
    let seen = Arc::new(Mutex::new((0, vec![false; RECORDS])));
    let noting = Arc::clone(&seen);
    let mut subscriber = Subscriber::each(&server, move |message| {
        let stream: usize = message.subject[1..].parse().unwrap();
        let id = message.text()[6..].split(',').next().unwrap();
        let number = id.parse::<usize>().unwrap() * STREAMS + stream;
        let mut seen = noting.lock().unwrap();
        seen.0 += usize::from(!std::mem::replace(&mut seen.1[number], true));
    });
    let proxy = Proxy::before(&server);
    let mut run = Target::new()
        .log_of(&server)
        .setting("nats_url", proxy.url())
        .deadline(Duration::from_secs(200))
        .spawn();
    run.send(schemas());
    let mut moments: Vec<usize> = (0..20)
        .map(|_| random.within(0..RECORDS * 9 / 10))
        .collect();
    moments.sort_unstable();
    let mut sent = 0;
    for moment in moments {
        let upto = (moment + RECORDS / 10).max(sent);
        send(&run, sent..upto);
        sent = upto;
        wait_until(&format!("record {moment} has arrived"), PATIENCE, || {
            assert!(
                !run.has_ended(),
                "it ended early:\n{}",
                run.give_up().stderr
            );
            seen.lock().unwrap().0 >= moment
        });
        proxy.cut();
    }
    send(&run, sent..RECORDS);
    run.end_input();
    let outcome = run.wait();
    outcome
        .succeeds()
        .prints_last(&format!(r#"{{"n": {RECORDS}}}"#));
    subscriber.settle();
    outcome.check(seen.lock().unwrap().0 == RECORDS, "every record arrives");
    outcome.check(proxy.accepted() > 10, "it has connected again and again");
}

#[test]
fn what_a_lost_connection_swallowed_is_sent_again_before_its_state_is_printed() {
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let proxy = Proxy::before(&server);
    let mut run = Target::new()
        .log_of(&server)
        .setting("nats_url", proxy.url())
        .spawn();
    run.send(schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1"));
    run.wait_for_line("1");
    for id in 2..=10 {
        // The program's PUB and PING are lost on the way, and no further message tells it so: only the
        // connection that breaks while it waits. A client that connects again by itself and then takes
        // its flush for done would confirm what nobody has.
        proxy.swallow();
        let lost = proxy.swallowed().len();
        run.send(record("users", &format!(r#"{{"id":{id}}}"#)) + &state(&format!("{id}")));
        wait_until(
            "the record and the PING behind it are lost",
            PATIENCE,
            || {
                let swallowed = proxy.swallowed();
                let swallowed = &swallowed[lost..];
                let record = swallowed.find(&format!(r#"{{"id":{id}}}"#));
                record.is_some_and(|at| swallowed[at..].contains("PING\r\n"))
            },
        );
        assert_eq!(subscriber.count(), id - 1);
        proxy.open();
        proxy.cut();
        run.wait_for_line(&id.to_string());
        let messages = subscriber.messages();
        assert_eq!(
            messages.len(),
            id,
            "the record of a printed state has arrived"
        );
        assert_eq!(messages[id - 1].text(), format!(r#"{{"id":{id}}}"#));
    }
    run.end_input();
    run.wait().succeeds();
}
