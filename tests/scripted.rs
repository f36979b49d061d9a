//! What no real server does on demand, from a scripted one.
//!
//! A panic in any thread: the client library has one that a server can provoke, a protocol line of more than
//! 4096 bytes that comes in one piece without its end (spec nats.md 0.18). And one of two connections that
//! falls silent while the other one goes on.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::harness::{PATIENCE, Target, record, schema, state, wait_until};

const GREETING: &str = "INFO {\"server_id\":\"X\",\"version\":\"2.15.1\",\"host\":\"127.0.0.1\",\"port\":4222,\
     \"proto\":1,\"go\":\"go1\",\"client_id\":1,\"headers\":true,\"max_payload\":1048576} \r\n";

/// Greets, and answers PINGs. A client that is called "babble" has its first message answered with a line that
/// is too long; of those called "one is silent", the one that publishes to `b` gets no answer any more.
fn serve(mut client: TcpStream) -> std::io::Result<()> {
    client.write_all(GREETING.as_bytes())?;
    let (mut babbles, mut may_fall_silent, mut is_silent) = (false, false, false);
    for line in BufReader::new(client.try_clone()?).lines() {
        let line = line?;
        if line.starts_with("CONNECT ") {
            babbles = line.contains("babble");
            may_fall_silent = line.contains("one is silent");
        } else if line == "PING" && !is_silent {
            client.write_all(b"PONG\r\n")?;
        } else if line.starts_with("PUB b ") {
            is_silent = may_fall_silent;
        } else if line.starts_with("PUB ") && babbles {
            client.write_all(&[b'x'; 5000])?;
        }
    }
    Ok(())
}

/// A server of that kind. Its address.
fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that hangs up has seen enough.
            thread::spawn(move || drop(serve(client)));
        }
    });
    address
}

#[test]
fn a_panic_in_a_thread_of_the_client_library_is_exit_1_with_its_message_and_no_state() {
    let outcome = Target::new()
        .setting("nats_url", start())
        .setting("connection_name", "babble")
        .input(schema("users", &[]) + &record("users", "{\"id\":1}") + &state("1"))
        .run();
    outcome.exits(1).prints("").error(&[
        "a defect of this program, or of a library in it",
        "range end index",
    ]);
}

#[test]
fn a_connection_that_falls_silent_ends_the_run_although_another_one_confirms() {
    let mut run = Target::new()
        .setting("nats_url", start())
        .setting("connection_name", "one is silent")
        .setting("confirm_timeout_seconds", 2)
        .spawn();
    run.send(schema("a", &[]) + &schema("b", &[]) + &record("a", "{}") + &record("b", "{}"));
    wait_until("the run has ended", PATIENCE, || {
        run.send(record("a", "{}") + &state("1"));
        thread::sleep(Duration::from_millis(50));
        run.has_ended()
    });
    let outcome = run.wait();
    outcome
        .exits(75)
        .prints("")
        .error(&["confirmed nothing for 2 seconds"]);
}
