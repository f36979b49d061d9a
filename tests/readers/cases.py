"""Decodes Avro of many schemas with fastavro, without a registry.

Each line of standard input is {"schema": …, "payload": hex}; standard output gets {"record": …, "again": …} for
each, or {"error": …}. Logical types stay raw. `again` says whether fastavro encodes that record to the same bytes.
"""

import io
import json
import sys

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from shown import failed, shown


def raw(schema):
    """The schema without its logical types."""
    if isinstance(schema, list):
        return [raw(item) for item in schema]
    if isinstance(schema, dict):
        return {key: raw(value) for key, value in schema.items() if key != "logicalType"}
    return schema


def read(case):
    schema = parse_schema(raw(case["schema"]))
    payload = bytes.fromhex(case["payload"])
    data = io.BytesIO(payload)
    record = schemaless_reader(data, schema, None)
    again = io.BytesIO()
    schemaless_writer(again, schema, record)
    return {"record": record, "again": data.read() == b"" and again.getvalue() == payload}


def main() -> None:
    for line in sys.stdin:
        try:
            print(shown(read(json.loads(line))))
        except Exception as error:
            print(failed(error))


main()
