"""The registry's part of scripts/bench: a run with it beside one without, Avro, and what a registration takes."""

import json
import os
import statistics
import subprocess
import sys

from bench_core import count_questions, measure, start_to_first_message
from bench_run import BENCH, PREFIX, PROGRAM, Run, check_state, make_input, render_costs, render_rates
from bench_run import wait_until_idle, write_config
from nats_local import ROOT, Server
from registry_local import VERSION, Registry

ROUNDS = 7
STARTS = 11
REGISTRATIONS = 200
COLUMNS = 20
ROWS = {
    "off": ("without a registry", {}),
    "headers": ("registry, ids in headers", {}),
    "framed": ("registry, framed JSON", {"payload_format": "framed_json"}),
    "avro": ("registry, Avro, ids in headers", {"payload_format": "avro"}),
    "avro_alone": ("registry, Avro, no headers", {"payload_format": "avro", "schema_headers": False}),
}


def measure_registry(records, rounds):
    """Prints a table of ROWS, interleaved, and then what one registration takes."""
    subprocess.run([os.path.join(ROOT, "scripts", "install"), "registry"], check=True)
    with Server() as server, Registry() as registry:
        configs = {name: target_config(server, registry, name) for name in ROWS}
        path = make_input("one", records)
        questions = {name: count_questions(server, config, "one") for name, config in configs.items()}
        runs = {name: [] for name in ROWS}
        for _ in range(rounds):
            for name, config in configs.items():
                runs[name].append(measure(server, [PROGRAM, "--config", config], path, records + questions[name]))
                check_state(runs[name][-1], records)
        starts = {name: sorted(1000 * start_to_first_message(server, configs[name]) for _ in range(STARTS))
                  for name in ("off", "headers")}
        ours, bare = measure_registrations(server, registry)

    rates = {name: [records / run.seconds for run in runs[name]] for name in ROWS}
    limit = statistics.median(rates["off"])
    print(
        f"Schema registry: Apicurio {VERSION} in memory, core NATS, {records:,} records, medians of {rounds}"
        " interleaved runs; from exec to exit."
    )
    print()
    print("| core NATS | records/s (lowest to highest) | × without | CPU s per million | peak RSS |")
    print("|---|---|---|---|---|")
    for name, (title, _) in ROWS.items():
        ratio = statistics.median(rates[name]) / limit
        print(f"| {title} | {render_rates(rates[name])} | {ratio:.2f} | {render_costs(runs[name], records)} |")
    print()
    without, with_registry = (statistics.median(starts[name]) for name in ("off", "headers"))
    print(f"Start to first message: {without:.1f} ms without a registry, {with_registry:.1f} ms with it"
          f" (medians of {STARTS} starts, the schema known to the registry).")
    print(f"One registration of {REGISTRATIONS} changes of a schema with {COLUMNS} columns, one after the other:"
          f" {ours:.1f} ms by the program, {bare:.1f} ms by a bare loop on one connection.")
    print()


def target_config(server, registry, name):
    settings = {"nats_url": server.url, "queue_prefix": PREFIX}
    if name != "off":
        settings |= {"enable_schema_registry": True, "schema_registry_url": registry.url, "schema_group_id": name}
    return write_config(f"registry-{name}", settings | ROWS[name][1])


def measure_registrations(server, registry):
    """Milliseconds of one registration: by the program, and by a bare loop. New schemas for each."""
    config = target_config(server, registry, "headers")
    path = os.path.join(BENCH, "schemas.jsonl")
    registry.register("warm", "users", make_schemas(REGISTRATIONS))
    with open(path, "w") as file:
        for schema in make_schemas(REGISTRATIONS):
            message = {"type": "SCHEMA", "stream": "changing", "schema": json.loads(schema), "key_properties": []}
            file.write(json.dumps(message) + "\n")
    wait_until_idle()
    run = Run([PROGRAM, "--config", config], path).wait()
    if registry.versions("headers", "changing") != REGISTRATIONS:
        sys.exit("not every schema was registered")
    wait_until_idle()
    bare = registry.register("bare", "changing", make_schemas(REGISTRATIONS))
    return 1000 * run.seconds / REGISTRATIONS, 1000 * bare / REGISTRATIONS


def make_schemas(count):
    """Texts of schemas that differ in the name of their last column."""
    for number in range(count):
        names = [f"column_{column}" for column in range(COLUMNS - 1)] + [f"added_{number}"]
        properties = {name: {"type": ["string", "null"]} for name in names}
        yield json.dumps({"type": "object", "properties": properties})
