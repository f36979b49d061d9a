"""A target of the Python kind, to compare with: singer-sdk and nats-py, one publish a record."""

import asyncio
import json

import nats
from singer_sdk import RecordSink, Target
from singer_sdk import typing as th


class NatsSink(RecordSink):
    def setup(self):
        self.loop = asyncio.new_event_loop()
        self.client = self.loop.run_until_complete(nats.connect(self.config["nats_url"]))

    def process_record(self, record, context):
        subject = self.config["queue_prefix"] + self.stream_name
        payload = json.dumps(record, default=str).encode()
        self.loop.run_until_complete(self.client.publish(subject, payload))

    def clean_up(self):
        self.loop.run_until_complete(self.client.close())
        super().clean_up()


class PythonReference(Target):
    name = "python-reference"
    default_sink_class = NatsSink
    config_jsonschema = th.PropertiesList(
        th.Property("nats_url", th.StringType, required=True),
        th.Property("queue_prefix", th.StringType, default=""),
    ).to_dict()


if __name__ == "__main__":
    PythonReference.cli()
