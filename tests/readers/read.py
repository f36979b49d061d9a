"""Reads framed messages with a client library of others: read.py LIBRARY URL.

Standard input has one message per line, in hex; standard output gets one line of JSON for each: the record, or
{"error": …}. URL is the base that the library wants: of the registry's API of version 3 for `apicurio-avro` and
`fastavro`, of the one like Confluent's for `confluent-avro` and `confluent-json`.
"""

import io
import json
import sys
import urllib.request

from shown import failed, shown


def apicurio_avro(url):
    """Apicurio's own client for Python."""
    from apicurio_serdes import ApicurioRegistryClient
    from apicurio_serdes.avro import AvroDeserializer
    from apicurio_serdes.serialization import MessageField, SerializationContext

    client = ApicurioRegistryClient(url, "default", retry_backoff_ms=10)
    # The frame has a contentId; what this library assumes is a globalId.
    read = AvroDeserializer(client, use_id="contentId")
    context = SerializationContext("subject", MessageField.VALUE)
    return lambda message: read(message, context)


def confluent_avro(url):
    from confluent_kafka.schema_registry.avro import AvroDeserializer

    return _confluent(AvroDeserializer(_confluent_client(url)))


def confluent_json(url):
    from confluent_kafka.schema_registry.json_schema import JSONDeserializer

    return _confluent(JSONDeserializer(None, schema_registry_client=_confluent_client(url)))


def fastavro(url):
    """The schema is fetched here, and fastavro decodes."""
    from fastavro import parse_schema, schemaless_reader

    schemas = {}

    def read(message):
        if message[:1] != b"\0":
            raise ValueError("no frame")
        number = int.from_bytes(message[1:5], "big")
        if number not in schemas:
            with urllib.request.urlopen(f"{url}/ids/contentIds/{number}", timeout=20) as answer:
                schemas[number] = parse_schema(json.load(answer))
        data = io.BytesIO(message[5:])
        record = schemaless_reader(data, schemas[number], None)
        rest = data.read()
        if rest:
            raise ValueError(f"{len(rest)} bytes behind the record")
        return record

    return read


def _confluent_client(url):
    from confluent_kafka.schema_registry import SchemaRegistryClient

    return SchemaRegistryClient({"url": url})


def _confluent(deserializer):
    from confluent_kafka.serialization import MessageField, SerializationContext

    context = SerializationContext("subject", MessageField.VALUE)
    return lambda message: deserializer(message, context)


LIBRARIES = {
    "apicurio-avro": apicurio_avro,
    "confluent-avro": confluent_avro,
    "confluent-json": confluent_json,
    "fastavro": fastavro,
}


def main() -> None:
    read = LIBRARIES[sys.argv[1]](sys.argv[2])
    for line in sys.stdin:
        try:
            print(shown(read(bytes.fromhex(line))))
        # Whatever a library raises is what its user would see.
        except Exception as error:
            print(failed(error))


main()
