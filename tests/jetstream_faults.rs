//! JetStream servers and connections that break, and a program that does: nothing is lost, nothing is twice where
//! ids say so. What is stored is read back, by another connection.
//!
//! What a stream has acknowledged survives a kill of its server, so unlike in `restarts.rs` nobody has to listen
//! while it dies. Before the program is let in again, what is stored is compared with the newest STATE.

use std::time::Duration;

use serde_json::json;

use crate::harness::{
    JetStream, NatsServer, Numbered, PATIENCE, Proxy, Random, Tally, Target, heavy, record, schema,
    seeds, state, wait_until,
};

/// What a run through killed servers is like.
#[derive(Clone, Copy)]
struct Run {
    ingest: &'static str,
    message_id: &'static str,
    records: usize,
    kills: usize,
}

/// A stream `S` for a numbered input.
fn create(jetstream: &mut JetStream, ingest: &str) {
    jetstream.stream(
        "S",
        &["s0", "s1", "s2", "s3"],
        json!({"allow_batched": ingest == "fast"}),
    );
}

fn target(server: &NatsServer, proxy: &Proxy, ingest: &str, message_id: &str) -> Target {
    Target::new()
        .log_of(server)
        .setting("nats_url", proxy.url())
        .setting("ingest", ingest)
        .setting("message_id", message_id)
        .deadline(Duration::from_mins(4))
}

/// The records of every STATE that was printed are stored.
#[track_caller]
fn states_are_receipts(stdout: &str, tally: &Tally) {
    let printed = Numbered::printed(stdout);
    let missing = tally.missing(printed);
    assert!(
        missing.is_none(),
        "a state is printed for {printed} records, but {missing:?} is not stored"
    );
}

impl Run {
    fn name(self) -> String {
        format!(
            "{} ingest, ids {}, {} kills",
            self.ingest, self.message_id, self.kills
        )
    }

    /// Sends the records through a server that is killed and restarted at random moments.
    #[track_caller]
    fn through_kills(self, random: &mut Random) {
        let server = NatsServer::with_jetstream();
        let mut jetstream = JetStream::on(&server);
        create(&mut jetstream, self.ingest);
        let proxy = Proxy::before(&server);
        let mut run = target(&server, &proxy, self.ingest, self.message_id).spawn();
        // The last fiftieth is sent behind the last kill, so the run cannot be over before it.
        let most = self.records - self.records / 50;
        run.send(Numbered::schemas());
        Numbered::send(&run, 0..most);
        let mut moments: Vec<usize> = (0..self.kills).map(|_| random.within(0..most)).collect();
        moments.sort_unstable();
        let mut tally = Tally::default();
        for moment in moments {
            run.wait_until_stored(&mut jetstream, moment as u64, 2 * PATIENCE);
            server.kill();
            if random.once_in(2) {
                // For a while its attempts fail at once, otherwise they only have to wait.
                proxy.refuse();
                let tried = proxy.accepted();
                // Where everything is confirmed, it has no reason to connect; it may be about to say so.
                wait_until("it has tried to connect again", PATIENCE, || {
                    proxy.accepted() > tried || Numbered::printed(&run.stdout()) >= most
                });
            }
            proxy.hold();
            proxy.cut();
            server.start_again();
            tally.read(&mut jetstream, "S");
            states_are_receipts(&run.stdout(), &tally);
            proxy.open();
        }
        Numbered::send(&run, most..self.records);
        run.end_input();
        let outcome = run.wait();
        Numbered::is_confirmed(&outcome, self.records);
        tally.read(&mut jetstream, "S");
        tally.holds_after_breaks(&outcome, self.records, self.message_id);
    }
}

/// The same run for each seed.
#[track_caller]
fn killed(ingest: &'static str, message_id: &'static str) {
    let _turn = heavy();
    let run = Run {
        ingest,
        message_id,
        records: 300_000,
        kills: 4,
    };
    for mut random in seeds(&run.name()) {
        run.through_kills(&mut random);
    }
}

#[test]
fn pipelined_without_ids_a_server_killed_four_times_within_300_000_records_loses_nothing() {
    killed("pipelined", "none");
}

#[test]
fn pipelined_with_ids_of_the_run_a_server_killed_four_times_has_each_record_once() {
    killed("pipelined", "run");
}

#[test]
fn pipelined_with_ids_of_the_content_a_server_killed_four_times_has_each_record_once() {
    killed("pipelined", "content");
}

#[test]
fn fast_without_ids_a_server_killed_four_times_within_300_000_records_loses_nothing() {
    killed("fast", "none");
}

#[test]
fn fast_with_ids_of_the_run_a_server_killed_four_times_has_each_record_once() {
    killed("fast", "run");
}

#[test]
fn fast_with_ids_of_the_content_a_server_killed_four_times_has_each_record_once() {
    killed("fast", "content");
}

#[test]
fn a_server_killed_again_and_again_within_few_records_loses_nothing() {
    let _turn = heavy();
    for ingest in ["pipelined", "fast"] {
        let run = Run {
            ingest,
            message_id: "run",
            records: 8000,
            kills: 6,
        };
        run.through_kills(&mut Random::new(&run.name()));
    }
}

/// The program is killed at random moments, and then run again over the whole input.
#[track_caller]
fn program_killed(ingest: &'static str) {
    const RECORDS: usize = 60_000;
    let _turn = heavy();
    let mut random = Random::new(&format!("program killed, {ingest} ingest"));
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    create(&mut jetstream, ingest);
    let start = || {
        Target::new()
            .server(&server)
            .setting("ingest", ingest)
            .setting("message_id", "content")
            .generated(|to| {
                to.write_all(Numbered::schemas().as_bytes())?;
                Numbered::write(0..RECORDS, to)
            })
            .start()
    };
    for _ in 0..3 {
        let begin = usize::try_from(jetstream.count("S")).unwrap();
        let mut run = start();
        let moment = begin + random.within(0..RECORDS / 5);
        run.wait_until_stored(&mut jetstream, moment as u64, 2 * PATIENCE);
        let killed = run.give_up();
        let stdout = killed.stdout_text();
        let tally = Tally::of(&mut jetstream, "S");
        states_are_receipts(stdout, &tally);
    }
    let outcome = start().wait();
    Numbered::is_confirmed(&outcome, RECORDS);
    Tally::of(&mut jetstream, "S").holds_each_once(&outcome, RECORDS);
}

#[test]
fn a_program_killed_and_run_again_with_ids_of_the_content_leaves_each_record_once() {
    program_killed("pipelined");
}

#[test]
fn a_program_killed_in_fast_ingest_and_run_again_with_ids_of_the_content_leaves_each_record_once() {
    program_killed("fast");
}

/// The connection breaks again and again while acknowledgements are on their way.
#[track_caller]
fn cut(ingest: &'static str, message_id: &'static str) {
    const RECORDS: usize = 30_000;
    let _turn = heavy();
    let mut random = Random::new(&format!(
        "connection cut, {ingest} ingest, ids {message_id}"
    ));
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    create(&mut jetstream, ingest);
    let proxy = Proxy::before(&server);
    let mut run = target(&server, &proxy, ingest, message_id).spawn();
    run.send(Numbered::schemas());
    Numbered::send(&run, 0..RECORDS * 9 / 10);
    let mut moments: Vec<usize> = (0..8).map(|_| random.within(0..RECORDS * 9 / 10)).collect();
    moments.sort_unstable();
    for moment in moments {
        run.wait_until_stored(&mut jetstream, moment as u64, 2 * PATIENCE);
        if random.once_in(2) {
            // What is stored from here on is acknowledged in vain.
            proxy.hold();
            jetstream.count("S");
        }
        proxy.cut();
        proxy.open();
    }
    Numbered::send(&run, RECORDS * 9 / 10..RECORDS);
    run.end_input();
    let outcome = run.wait();
    Numbered::is_confirmed(&outcome, RECORDS);
    let tally = Tally::of(&mut jetstream, "S");
    tally.holds_after_breaks(&outcome, RECORDS, message_id);
    outcome.check(proxy.accepted() > 4, "it has connected again and again");
}

#[test]
fn a_connection_cut_eight_times_loses_nothing() {
    cut("pipelined", "none");
    cut("fast", "none");
}

#[test]
fn a_connection_cut_eight_times_leaves_each_record_once_where_there_are_ids() {
    cut("pipelined", "run");
    cut("fast", "run");
    cut("pipelined", "content");
}

/// The acknowledgement of a stored record is lost.
#[track_caller]
fn lost_acknowledgement(ingest: &str, message_id: &str) -> usize {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("S", &["users"], json!({"allow_batched": true}));
    let proxy = Proxy::before(&server);
    let mut run = target(&server, &proxy, ingest, message_id).spawn();
    run.send(schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1"));
    run.wait_for_line("1");
    proxy.hold();
    run.send(record("users", r#"{"id":2}"#) + &state("2"));
    wait_until("the record is stored", PATIENCE, || {
        jetstream.count("S") == 2
    });
    assert_eq!(
        run.stdout(),
        "1\n",
        "nothing is printed without an acknowledgement"
    );
    proxy.cut();
    proxy.open();
    run.wait_for_line("2");
    run.end_input();
    run.wait().succeeds();
    let stored = jetstream.messages("S");
    let texts: Vec<&str> = stored.iter().map(|message| message.text()).collect();
    assert_eq!(texts[..2], [r#"{"id":1}"#, r#"{"id":2}"#]);
    assert!(
        texts[2..].iter().all(|text| *text == r#"{"id":2}"#),
        "{texts:?}"
    );
    texts.len()
}

#[test]
fn a_lost_acknowledgement_makes_no_second_copy_where_there_are_ids() {
    for message_id in ["run", "content"] {
        assert_eq!(lost_acknowledgement("pipelined", message_id), 2);
        assert_eq!(lost_acknowledgement("fast", message_id), 2);
    }
}

#[test]
fn a_lost_acknowledgement_costs_a_second_copy_without_ids() {
    assert_eq!(lost_acknowledgement("pipelined", "none"), 3);
}

/// Acknowledgements do not come, while the connection stands.
#[track_caller]
fn held_for_good(ingest: &str) {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("S", &["users"], json!({"allow_batched": true}));
    let proxy = Proxy::before(&server);
    let mut run = target(&server, &proxy, ingest, "run")
        .setting("confirm_timeout_seconds", 4)
        .spawn();
    run.send(schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1"));
    run.wait_for_line("1");
    proxy.hold();
    run.send(record("users", r#"{"id":2}"#) + &state("2"));
    let outcome = run.wait();
    outcome.exits(75).prints("1\n").error(&[]);
    outcome.check(
        outcome.took < Duration::from_secs(20),
        "it ends when the time is over",
    );
}

#[test]
fn acknowledgements_that_never_come_end_the_run_as_unavailable() {
    held_for_good("pipelined");
    held_for_good("fast");
}

#[test]
fn a_message_that_was_lost_on_a_standing_connection_is_sent_again() {
    for ingest in ["pipelined", "fast"] {
        let server = NatsServer::with_jetstream();
        let mut jetstream = JetStream::on(&server);
        jetstream.stream("S", &["users"], json!({"allow_batched": true}));
        let proxy = Proxy::before(&server);
        let mut run = target(&server, &proxy, ingest, "run").spawn();
        run.send(schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1"));
        run.wait_for_line("1");
        proxy.swallow();
        run.send(record("users", r#"{"id":2}"#) + &state("2"));
        wait_until("the record is lost", PATIENCE, || {
            proxy.swallowed().contains(r#"{"id":2}"#)
        });
        proxy.open();
        run.wait_for_line("2");
        run.end_input();
        run.wait().succeeds();
        let stored = jetstream.messages("S");
        let texts: Vec<&str> = stored.iter().map(|message| message.text()).collect();
        assert_eq!(texts, [r#"{"id":1}"#, r#"{"id":2}"#]);
    }
}
