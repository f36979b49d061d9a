//! A panic in any thread. The client library has one that a server can provoke: a protocol line of more than
//! 4096 bytes that comes in one piece without its end (spec nats.md 0.18). A real server does that only with
//! very many addresses in its INFO, so a scripted one stands in.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::harness::{Target, record, schema, state};

const GREETING: &str = "INFO {\"server_id\":\"X\",\"version\":\"2.15.1\",\"host\":\"127.0.0.1\",\"port\":4222,\
     \"proto\":1,\"go\":\"go1\",\"client_id\":1,\"headers\":true,\"max_payload\":1048576} \r\n";

/// Greets, answers PINGs, and answers the first message with a line that is too long.
fn serve(mut client: TcpStream) -> std::io::Result<()> {
    client.write_all(GREETING.as_bytes())?;
    let mut lines = BufReader::new(client.try_clone()?).lines();
    while let Some(line) = lines.next().transpose()? {
        if line == "PING" {
            client.write_all(b"PONG\r\n")?;
        } else if line.starts_with("PUB ") {
            client.write_all(&[b'x'; 5000])?;
        }
    }
    Ok(())
}

#[test]
fn a_panic_in_a_thread_of_the_client_library_is_exit_1_with_its_message_and_no_state() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that hangs up has seen enough.
            thread::spawn(move || drop(serve(client)));
        }
    });
    let outcome = Target::new()
        .setting("nats_url", format!("127.0.0.1:{port}"))
        .setting("confirm_timeout_seconds", 20)
        .input(schema("users", &[]) + &record("users", "{\"id\":1}") + &state("1"))
        .run();
    outcome.exits(1).prints("").error(&[
        "a defect of this program, or of a library in it",
        "range end index",
    ]);
}
