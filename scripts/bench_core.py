"""The core NATS part of scripts/bench: the program and a Python target beside the raw wire; TLS; start and stall."""

import os
import signal
import statistics
import subprocess
import sys
import time

from bench_run import BENCH, PREFIX, PROGRAM, PYTHON, RAW_WIRE, Run, check_state, make_input, render_costs
from bench_run import render_rates, wait_until_idle, write_config
from nats_local import ROOT, Server, Subscriber

ROUNDS = 7
PYTHON_RECORDS = 20_000
STARTS = 21
STALL_SECONDS = 5
TITLES = {
    "one": "one stream",
    "state": "STATE after every record",
    "hundred": "100 streams in turn",
    "tls": "one stream, TLS",
}


def measure_core(records, rounds, names, with_python):
    """Prints a table of some of TITLES. Interleaved, so that a busy moment of the machine does not fall on one row."""
    with_tls = "tls" in names
    with Server() as server, Server(tls_config() if with_tls else "") as tls_server:
        rows = {name: (server, target_config(server), make_input(name, records)) for name in names if name != "tls"}
        if with_tls:
            rows["tls"] = (tls_server, tls_target_config(tls_server), make_input("one", records))
        questions = {name: count_questions(row[0], row[1], name) for name, row in rows.items()}
        raw_command = [RAW_WIRE, server.url.split("//")[1], PREFIX]
        raw, runs = [], {name: [] for name in rows}
        for _ in range(rounds):
            raw.append(records / float(measure(server, raw_command, make_input("one", records), records).lines[-1]))
            for name, (its_server, config, path) in rows.items():
                messages = records + questions[name]
                runs[name].append(measure(its_server, [PROGRAM, "--config", config], path, messages))
                check_state(runs[name][-1], records)
        python = [measure_python(server)] if with_python else []

    limit = statistics.median(raw)
    print(
        f"Core NATS: {records:,} records ({PYTHON_RECORDS:,} for Python), medians of {rounds} interleaved runs;"
        " from exec to exit, the raw wire from connection to PONG."
    )
    print()
    print("| core NATS | records/s (lowest to highest) | × raw wire | CPU s per million | peak RSS |")
    print("|---|---|---|---|---|")
    print(f"| raw wire | {render_rates(raw)} | 1.00 | – | – |")
    for name in rows:
        print_row(TITLES[name], runs[name], records, limit)
    if python:
        print_row("Python reference", python, PYTHON_RECORDS, limit)
    print()
    if with_tls:
        plain, tls = (statistics.median(records / run.seconds for run in runs[name]) for name in ("one", "tls"))
        print(f"TLS: {tls / plain:.2f} × plaintext on the same input.")
        print()


def print_row(title, runs, records, limit):
    rates = [records / run.seconds for run in runs]
    ratio = statistics.median(rates) / limit
    shown = f"{ratio:.2f}" if ratio >= 0.01 else f"{ratio:.5f}"
    print(f"| {title} | {render_rates(rates)} | {shown} | {render_costs(runs, records)} |")


def measure_start(records):
    with Server() as server:
        config = target_config(server)
        starts_ms = sorted(1000 * start_to_first_message(server, config) for _ in range(STARTS))
        stalled = run_stalled(server, config, records)
    print(
        f"Start to first message: {statistics.median(starts_ms):.1f} ms"
        f" ({starts_ms[0]:.1f} to {starts_ms[-1]:.1f}, {STARTS} starts)."
    )
    print(f"Peak RSS with the server stopped for {STALL_SECONDS} s: {stalled.peak_kb / 1024:.1f} MB.")
    print()


def measure_python(server):
    script = os.path.join(ROOT, "benches", "python_reference.py")
    command = [PYTHON, script, "--config", target_config(server)]
    run = measure(server, command, make_input("one", PYTHON_RECORDS), PYTHON_RECORDS)
    check_state(run, PYTHON_RECORDS)
    return run


def target_config(server):
    return write_config("core", {"nats_url": server.url, "queue_prefix": PREFIX})


def tls_target_config(server):
    settings = {"nats_url": "tls://" + server.url.split("//")[1], "queue_prefix": PREFIX}
    return write_config("tls", {**settings, "tls_ca_file": os.path.join(BENCH, "ca.pem")})


def tls_config():
    """Of a server with a certificate of an authority made for this bench."""
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    issued = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"]
    for command in (
        [*new, "-subj", "/CN=bench authority", "-keyout", "ca.key", "-out", "ca.pem"],
        [*new, "-subj", "/CN=bench", "-keyout", "key.pem", "-out", "cert.pem", *issued]
        + ["-addext", "basicConstraints=critical,CA:FALSE"],
    ):
        subprocess.run(command, cwd=BENCH, check=True, capture_output=True)
    return f"tls: {{cert_file: '{BENCH}/cert.pem', key_file: '{BENCH}/key.pem'}}"


def count_questions(server, config, name):
    """How many messages of a run are no records: each worker asks once whether there is JetStream."""
    records = 100
    before = server.received()
    Run([PROGRAM, "--config", config], make_input("one" if name == "tls" else name, records)).wait()
    # The count may still rise when the records are in it.
    time.sleep(0.2)
    return server.received() - before - records


def measure(server, command, input_path, messages):
    wait_until_idle()
    before = server.received()
    run = Run(command, input_path).wait()
    check_count(server, before, messages)
    return run


def check_count(server, before, messages):
    received = wait_for_messages(server, before, messages)
    if received != messages:
        sys.exit(f"the server received {received} messages instead of {messages}")


def wait_for_messages(server, before, messages):
    # The server counts what it has read a moment after it has answered the PING behind it.
    deadline = time.monotonic() + 5
    while server.received() - before < messages and time.monotonic() < deadline:
        time.sleep(0.01)
    return server.received() - before


def start_to_first_message(server, config):
    """Seconds from exec to the message at a subscriber, on a pipe that stays open like a tap's."""
    with open(make_input("one", 1), "rb") as file:
        lines = file.read()
    subscriber = Subscriber(server, PREFIX + ">")
    wait_until_idle()
    start = time.monotonic()
    process = subprocess.Popen(
        [PROGRAM, "--config", config],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.stdin.write(lines)
        process.stdin.flush()
        subscriber.next()
        seconds = time.monotonic() - start
        process.stdin.close()
        if process.wait(10) != 0:
            sys.exit(f"exit {process.returncode} of a run with one record")
        return seconds
    finally:
        process.kill()
        process.wait()
        subscriber.close()


def run_stalled(server, config, records):
    """A run whose server is stopped in the middle: what is waiting must not pile up in memory."""
    messages = records + count_questions(server, config, "one")
    wait_until_idle()
    before = server.received()
    run = Run([PROGRAM, "--config", config], make_input("one", records))
    try:
        while server.received() == before and run.process.poll() is None:
            pass
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(STALL_SECONDS)
        ended = run.process.poll() is not None
    finally:
        server.process.send_signal(signal.SIGCONT)
    if ended:
        sys.exit("the program ended although the server was stopped")
    run.wait()
    check_count(server, before, messages)
    check_state(run, records)
    return run
