"""The JetStream part of scripts/bench: each way of feeding a stream, beside a bare loop that feeds it the same way.

The stream is made anew for every run, and what it holds afterwards is counted.
"""

import statistics
import sys
import time
from dataclasses import dataclass, field

from bench_run import JS_LOOP, PREFIX, PROGRAM, Run, check_state, make_input, render_costs, render_rates
from bench_run import wait_until_idle, write_config
from nats_local import Cluster, JetStream, Server

ROUNDS = 5
# As the program has them (src/broker/outlet.rs, src/broker/ingest.rs).
PIPELINED = ["pipelined", "32768"]
FAST = ["fast", "500", "16"]
BUCKET = "bench"


@dataclass
class Row:
    title: str
    loop: list
    storage: str = "file"
    replicas: int = 1
    settings: dict = field(default_factory=dict)
    bucket: bool = False
    loop_rates: list = field(default_factory=list)
    runs: list = field(default_factory=list)

    def name(self):
        return "KV_" + BUCKET if self.bucket else "BENCH"

    def prefix(self):
        return f"$KV.{BUCKET}." if self.bucket else PREFIX

    def config(self):
        """Of the stream."""
        config = {"subjects": [self.prefix() + ">"], "storage": self.storage, "num_replicas": self.replicas}
        if self.bucket:
            flags = {"allow_rollup_hdrs": True, "deny_delete": True, "allow_direct": True}
            return {**config, **flags, "discard": "new", "max_msgs_per_subject": 1}
        return {**config, "allow_batched": True}

    def target_config(self, url):
        delivery = {"delivery": "kv", "kv_bucket": BUCKET} if self.bucket else {"queue_prefix": PREFIX}
        return {"nats_url": url, **delivery, "ingest": self.loop[0], **self.settings}


def rows_of_one_server():
    ids = {"message_id": "run"}
    return [
        Row("R1 file, pipelined", PIPELINED),
        Row("R1 file, fast ingest", FAST),
        Row("R1 file, pipelined, ids", [*PIPELINED, "ids"], settings=ids),
        Row("R1 file, fast ingest, ids", [*FAST, "ids"], settings=ids),
        Row("R1 memory, pipelined", PIPELINED, storage="memory"),
        Row("R1 memory, fast ingest", FAST, storage="memory"),
        Row("KV, R1 file", [*PIPELINED, "kv"], bucket=True),
    ]


def rows_of_a_cluster():
    return [
        Row("R3 file, pipelined", PIPELINED, replicas=3),
        Row("R3 file, fast ingest", FAST, replicas=3),
    ]


def measure_one_server(records, rounds):
    rows = rows_of_one_server()
    with Server("jetstream: {store_dir: FOLDER/js}") as server:
        measure_rows(rows, records, rounds, server, lambda _: server)
    return rows


def measure_cluster(records, rounds):
    rows = rows_of_a_cluster()
    with Cluster() as cluster:
        any_server = next(iter(cluster.servers.values()))
        measure_rows(rows, records, rounds, any_server, cluster.leader)
    return rows


def measure_rows(rows, records, rounds, server, leader):
    """Interleaved, so that a busy moment of the machine does not fall on one row only."""
    input_path = make_input("one", records)
    jetstream = JetStream(server)
    for _ in range(rounds):
        for row in rows:
            for measure in (measure_loop, measure_program):
                jetstream.create_anew(row.name(), row.config())
                # Loop and program write to the same server of a cluster, else it is chance which one is near.
                home = leader(row.name())
                wait_until_idle()
                measure(row, home, input_path, records)
                check_stored(jetstream, row.name(), records)
            jetstream.api("STREAM.DELETE." + row.name())


def measure_loop(row, server, input_path, records):
    command = [JS_LOOP, server.url.split("//")[1], row.prefix(), *row.loop]
    row.loop_rates.append(records / float(Run(command, input_path).wait().lines[-1]))


def measure_program(row, server, input_path, records):
    config = write_config("jetstream", row.target_config(server.url))
    run = Run([PROGRAM, "--config", config], input_path).wait()
    check_state(run, records)
    row.runs.append(run)


def check_stored(jetstream, name, records):
    # Who has just become a follower may be a moment behind.
    deadline = time.monotonic() + 5
    while True:
        stored = jetstream.api("STREAM.INFO." + name)["state"]["messages"]
        if stored == records:
            return
        if stored > records or time.monotonic() > deadline:
            sys.exit(f"the stream {name} holds {stored} messages instead of {records}")
        time.sleep(0.01)


def print_rows(rows, records, rounds):
    print(
        f"JetStream: {records:,} records, medians of {rounds} interleaved runs; from exec to exit, the bare loop from"
        " the first message to the last acknowledgement."
    )
    print()
    print("| JetStream | records/s (lowest to highest) | bare loop | × bare loop | CPU s per million | peak RSS |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        rates = [records / run.seconds for run in row.runs]
        ratio = statistics.median(rates) / statistics.median(row.loop_rates)
        costs = render_costs(row.runs, records)
        print(f"| {row.title} | {render_rates(rates)} | {render_rates(row.loop_rates)} | {ratio:.2f} | {costs} |")
    print()
