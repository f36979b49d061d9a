"""Schemas and records made from a seed, and what fastavro must read of the Avro that they become.

    avro_cases.py make SEED STREAMS RECORDS             prints SCHEMA and RECORD lines for the program
    avro_cases.py check SEED STREAMS RECORDS < answers  reads a line of JSON per stream:
        {"stream": "...", "schema": "the Avro schema's text", "payloads": ["hexadecimal", ...]}
        with the payloads in order, whatever framed them taken off, and none for a record that is bad

`check` makes the same cases again and compares. What is expected follows from how a case was made, not from the
program's rules for schemas. It does not run the program and talks to no server. Needs fastavro to check.
"""

import datetime
import decimal
import io
import json
import math
import random
import struct
import sys

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
decimal.getcontext().prec = 2000

NAMES = [
    "id", "name", "Name", "a-b", "a_b", "a b", "a.b", "a_b_2", "1st", "", "é", "中", "_sdc_x",
    "type", "record", "string", "x\"y", "tab\there", "back\\slash", "\\n", "\n", "long_name_of_a_column_indeed",
    "😀", "null", "value", "id2", "updated_at", "A", "B", "C",
]
STREAMS = ["users", "public-users", "string", "8ball", "größe", "a.b.c"]


class Kind:
    """How values of one sort are declared, written and read back."""

    def __init__(self, schema, good, bad=None):
        self.schema = schema  # without null
        self.good = good  # -> (JSON text, expected value)
        self.bad = bad  # -> JSON text that does not fit, or None


def text_of(rng, length=12):
    alphabet = "abc XYZ 0129_-.é中😀\"\\/\b\f\n\r\t\x7f'{}[]:,"
    return "".join(rng.choice(alphabet) for _ in range(rng.randrange(length)))


def quoted(rng, text):
    spelling = json.dumps(text, ensure_ascii=rng.random() < 0.5)
    if text and rng.random() < 0.1:
        first = text[0]
        if first.isalnum() and first.isascii():
            spelling = '"' + "\\u%04x" % ord(first) + spelling[2:]
    return spelling


def spaced(rng, token):
    return rng.choice(["", "", "", " ", "  ", "\t"]) + token + rng.choice(["", "", "", " "])


def integers(rng):
    def good():
        value = rng.choice([0, 1, -1, 63, 64, -64, -65, 2**31, 2**63 - 1, -(2**63), rng.getrandbits(63), -rng.getrandbits(40)])
        spellings = [str(value)]
        if abs(value) < 10**15:
            spellings += [f"{value}.0", f"{value}e0", f"{value * 10}E-1", f"{value * 1000}.000e-3"]
        return rng.choice(spellings), value

    return Kind({"type": "integer"}, good, lambda: rng.choice(["1.5", str(2**63), '"7"', "true", "[]", "1e-1", "NaN"]))


def doubles(rng):
    def good():
        value = rng.choice([
            0.0, -0.0, 1.5, 0.1, 1e300, 5e-324, math.nan, math.inf, -math.inf, 123456789.125,
            struct.unpack("<d", struct.pack("<Q", rng.getrandbits(62)))[0], rng.uniform(-1e6, 1e6), float(rng.getrandbits(70)),
        ])
        if math.isfinite(value) and value == int(value) and abs(value) < 1e15 and rng.random() < 0.5 and value:
            return str(int(value)), value
        return json.dumps(value), value

    return Kind({"type": rng.choice(["number", ["integer", "number"]])}, good, lambda: rng.choice(['"1"', "1e999", "true", "{}"]))


def decimals(rng):
    scale, digits = rng.choice([0, 1, 2, 9, 18, 38]), rng.choice([1, 5, 19, 60])
    number = rng.random() < 0.6
    if number:
        schema = {"type": "number", "multipleOf": rng.choice([f"1e-{scale:02}", "0." + "0" * (scale - 1) + "1"] if scale else ["1", "1.0"])}
        bound = f"1e{digits}"
        if rng.random() < 0.5:
            schema.update({"minimum": "-" + bound, "maximum": bound, "exclusiveMinimum": True, "exclusiveMaximum": True})
        else:
            schema.update({"exclusiveMinimum": "-" + bound, "exclusiveMaximum": bound})
        # Numbers in these texts are written as they are.
        schema = {key: Raw(value) if key != "type" and isinstance(value, str) else value for key, value in schema.items()}
    else:
        schema = {"type": "string", "format": rng.choice(["singer.decimal", "x-singer.decimal"]), "precision": digits + scale, "scale": scale}

    def good():
        units = rng.choice([0, 1, -1, 127, 128, -128, -129, rng.randrange(10 ** (digits + scale)), -rng.randrange(10 ** (digits + scale))])
        if abs(units) >= 10 ** (digits + scale):
            units = 0
        value = decimal.Decimal(units).scaleb(-scale)
        spelling = rng.choice([f"{value:f}", f"{value:E}", f"{units}e-{scale}"])
        if spelling.startswith("-0") and not value:
            spelling = "0"
        return (spelling if number else json.dumps(spelling)), value

    def bad():
        token = rng.choice([f"1e-{scale + 1}", f"1e{digits}", f"-1e{digits + 3}", "NaN", "true"])
        return token if number or token == "true" else json.dumps(token)

    return Kind(schema, good, bad)


class Raw(str):
    """JSON text inside a schema."""


def booleans(rng):
    return Kind({"type": "boolean"}, lambda: rng.choice([("true", True), ("false", False)]), lambda: rng.choice(["0", '"true"', "[]"]))


def strings(rng):
    schema = {"type": "string"}
    schema.update(rng.choice([{}, {}, {"maxLength": 500}, {"format": "uuid"}, {"format": "time"}, {"format": "singer.decimal"}]))

    def good():
        text = text_of(rng, rng.choice([3, 20, 200]))
        return quoted(rng, text), text

    return Kind(schema, good, lambda: rng.choice(["1", "true", "{}", "[]", "-Infinity"]))


def instant(rng):
    seconds = rng.choice([0, -1, rng.randrange(-2**33, 2**34), rng.randrange(-60_000_000_000, 250_000_000_000)])
    return EPOCH + datetime.timedelta(seconds=seconds)


def date_times(rng):
    def good():
        moment = instant(rng)
        micros = rng.choice([0, 1, 999_999, rng.randrange(1_000_000)])
        expected = moment.replace(microsecond=micros)
        offset = rng.choice([0, 0, 0, 330, -210, 60])
        local = (expected + datetime.timedelta(minutes=offset)).replace(tzinfo=None)
        text = local.isoformat(sep=rng.choice("T "), timespec="microseconds" if micros else rng.choice(["seconds", "microseconds"]))
        if micros and rng.random() < 0.2:
            text += rng.choice(["0", "9", "999"])
        zones = [f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}{colon}{abs(offset) % 60:02}" for colon in (":", "")]
        if not offset:
            zones += ["Z", "", "z"]
        return quoted(rng, text + rng.choice(zones)), expected

    def bad():
        return rng.choice(["1700000000", '""', '"0000-00-00 00:00:00"', '"2024-02-30"', '"soon"', '"2024-01-01T24:00:00"', "{}"])

    return Kind({"type": "string", "format": "date-time"}, good, bad)


def dates(rng):
    def good():
        day = instant(rng).date()
        text = day.isoformat() + rng.choice(["", "", "", "T00:00:00", " 00:00:00Z"])
        return quoted(rng, text), day

    return Kind({"type": "string", "format": "date"}, good, lambda: rng.choice(["1", '"2023-02-29"', '"2024-01-01T00:00:01"', '""']))


def any_json(rng, depth=2):
    """A JSON text with odd spellings."""
    choice = rng.randrange(7 if depth else 5)
    if choice == 0:
        return rng.choice(["true", "false"])
    if choice < 3:
        return rng.choice(["0", "-1.50", "1e5", "123456789012345678901234567890", "NaN"])
    if choice < 5:
        return quoted(rng, text_of(rng))
    items = [any_json(rng, depth - 1) for _ in range(rng.randrange(3))]
    if choice == 5:
        return "[" + rng.choice([",", ", "]).join(items) + "]"
    return "{" + ", ".join(f"{quoted(rng, text_of(rng, 4))}: {item}" for item in items) + "}"


def untyped(rng):
    """Anything: its text."""
    schema = rng.choice([
        {"type": ["string", "object"]}, {"type": ["array", "integer", "string"]},
        {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]},
        {"oneOf": [{"type": "object", "properties": {"a": {"type": "integer"}}}, {"type": "object", "properties": {"b": {"type": "string"}}}]},
        {"type": "object"}, {"type": "object", "additionalProperties": True},
    ])

    def good():
        text = any_json(rng)
        return text, text

    return Kind(schema, good)


def mixed(rng):
    """Several scalars: strings as they are, the others as their text."""
    schema = rng.choice([
        {"type": ["string", "integer"]}, {"type": ["boolean", "number", "string"]},
        {"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"enum": ["a", 1, 2.5]},
    ])

    def good():
        if rng.random() < 0.5:
            text = text_of(rng)
            return quoted(rng, text), text
        text = rng.choice(["1", "-1.50", "true", "1E5"])
        return text, text

    return Kind(schema, good)


def classic_times(rng):
    """Date-times that may also be any string are strings."""
    schema = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string"}]}

    def good():
        text = rng.choice(["2024-01-01T00:00:00Z", "soon", ""])
        return quoted(rng, text), text

    return Kind(schema, good, lambda: "1")


def arrays(rng, depth):
    item = Slot(rng, depth - 1, optional=False)

    def good():
        pairs = [item.good() for _ in range(rng.choice([0, 1, 2, 3, 70]))]
        tokens = [spaced(rng, text) for text, _ in pairs]
        return "[" + ",".join(tokens) + rng.choice(["", " "]) + "]", [value for _, value in pairs]

    def bad():
        broken = item.bad()
        return "[" + ",".join([item.good()[0], broken]) + "]" if broken and rng.random() < 0.7 else rng.choice(["{}", "1"])

    return Kind({"type": "array", "items": item.schema}, good, bad)


def maps(rng, depth):
    value = Slot(rng, depth - 1, optional=False)

    def good():
        pairs = {text_of(rng, 6): value.good() for _ in range(rng.randrange(4))}
        tokens = [f"{quoted(rng, key)}:{spaced(rng, text)}" for key, (text, _) in pairs.items()]
        return "{" + ",".join(tokens) + "}", {key: read for key, (_, read) in pairs.items()}

    return Kind({"type": "object", "additionalProperties": value.schema}, good, lambda: rng.choice(["[]", "1"]))


class Slot:
    """A field, item or value: a kind, perhaps with null."""

    def __init__(self, rng, depth, optional):
        self.rng = rng
        scalars = [integers, doubles, decimals, booleans, strings, strings, date_times, dates, untyped, mixed, classic_times]
        nested = [lambda rng: arrays(rng, depth), lambda rng: maps(rng, depth), lambda rng: Record(rng, depth - 1)]
        maker = rng.choice(scalars + (nested if depth > 0 else []))
        self.kind = maker(rng)
        self.nullable = rng.random() < 0.5
        self.required = not optional or rng.random() < 0.4
        self.schema = with_null(rng, self.kind.schema) if self.nullable else self.kind.schema
        if rng.random() < 0.1:
            self.schema = {"allOf": [self.schema, {"title": "all of it"}]}

    def good(self):
        if self.nullable and self.rng.random() < 0.2:
            return "null", None
        return self.kind.good()

    def bad(self):
        if not self.nullable and self.required and self.rng.random() < 0.3:
            return "null"
        return self.kind.bad and self.kind.bad()


def with_null(rng, schema):
    if "enum" in schema:
        return {"enum": schema["enum"] + [None]}
    if "type" not in schema:
        (key, branches), = schema.items()
        return {key: rng.sample(branches + [{"type": "null"}], len(branches) + 1)}
    if rng.random() < 0.3:
        return {rng.choice(["anyOf", "oneOf"]): rng.sample([schema, {"type": "null"}], 2)}
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": rng.choice([types + ["null"], ["null"] + types])}


class Record:
    """An object whose properties are declared. A kind itself."""

    def __init__(self, rng, depth, most=6):
        self.rng = rng
        names = rng.sample(NAMES, rng.randrange(1, most))
        self.slots = {name: Slot(rng, depth, optional=True) for name in names}
        self.schema = {
            "type": "object",
            "properties": {name: slot.schema for name, slot in self.slots.items()},
            "required": [name for name, slot in self.slots.items() if slot.required],
            **rng.choice([{}, {"additionalProperties": True}, {"additionalProperties": False}]),
        }

    def good(self):
        return self.write({name: slot.good() for name, slot in self.slots.items()})

    def write(self, pairs):
        rng = self.rng
        pairs = {
            name: pair for name, pair in pairs.items()
            if self.slots[name].required or rng.random() < 0.8
        }
        expected = {name: pairs[name][1] if name in pairs else None for name in self.slots}
        tokens = [(name, text) for name, (text, _) in pairs.items()]
        if rng.random() < 0.3:
            rng.shuffle(tokens)
        if rng.random() < 0.1:
            tokens.insert(0, ("undeclared", "null"))
        if tokens and rng.random() < 0.1:
            # The last one counts.
            tokens.insert(0, (rng.choice(tokens)[0], any_json(rng)))
        members = [f"{spaced(rng, quoted(rng, name))}:{spaced(rng, text)}" for name, text in tokens]
        return "{" + ",".join(members) + rng.choice(["", " "]) + "}", expected

    def bad(self):
        rng = self.rng
        pairs = {name: slot.good() for name, slot in self.slots.items()}
        broken = {name: slot.bad() for name, slot in self.slots.items()}
        broken = [name for name in broken if broken[name]] and {name: text for name, text in broken.items() if text}
        if broken and rng.random() < 0.8:
            name = rng.choice(list(broken))
            pairs[name] = (broken[name], None)
            tokens = [f"{quoted(rng, name)}:{text}" for name, (text, _) in pairs.items()]
            return "{" + ",".join(tokens) + "}"
        text, _ = self.write(pairs)
        comma = "," if len(text.strip("{} \t")) else ""
        return "{" + '"unknown": {}' + comma + text.strip()[1:]


def dumps(value):
    """A schema as JSON, with the texts that are in it."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {dumps(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dumps, value)) + "]"
    return json.dumps(value)


def make_cases(seed, streams, records):
    """Yields the stream's name, its schema, and for each record its text and what it is expected to be; None if bad."""
    for number in range(streams):
        rng = random.Random(f"{seed}/{number}")
        record = Record(rng, 2, most=12)
        made = []
        for _ in range(records):
            is_bad = rng.random() < 0.1
            made.append((record.bad(), None) if is_bad else record.good())
        yield f"{rng.choice(STREAMS)}-{number}", record.schema, made


def print_cases(arguments):
    for stream, schema, records in make_cases(*arguments):
        name = json.dumps(stream)
        print(f'{{"type": "SCHEMA", "stream": {name}, "schema": {dumps(schema)}, "key_properties": []}}')
        for text, _ in records:
            # A line is a record, so no line feed may be between the tokens; there is none.
            print(f'{{"type": "RECORD", "stream": {name}, "record": {text}}}')


def original(schema, value):
    """A value with the names that the tap had for its fields."""
    if isinstance(schema, list):
        assert schema[0] == "null" and len(schema) == 2, schema
        return None if value is None else original(schema[1], value)
    kind = schema["type"] if isinstance(schema, dict) else schema
    if kind == "record":
        names = {field["name"]: field.get("singer.name", field["name"]) for field in schema["fields"]}
        assert len(set(names.values())) == len(names) == len(value), schema
        fields = {field["name"]: field["type"] for field in schema["fields"]}
        return {names[name]: original(fields[name], item) for name, item in value.items()}
    if kind == "array":
        return [original(schema["items"], item) for item in value]
    if kind == "map":
        return {key: original(schema["values"], item) for key, item in value.items()}
    return value


def same(read, expected):
    if isinstance(expected, float):
        return type(read) is float and struct.pack("<d", read) == struct.pack("<d", expected)
    if isinstance(expected, dict):
        return type(read) is dict and read.keys() == expected.keys() and all(same(read[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return type(read) is list and len(read) == len(expected) and all(map(same, read, expected))
    return type(read) is type(expected) and read == expected


def check_cases(arguments):
    import fastavro

    answers = {answer["stream"]: answer for answer in map(json.loads, sys.stdin)}
    checked = bad = 0
    for stream, schema, records in make_cases(*arguments):
        answer = answers[stream]
        written = json.loads(answer["schema"])
        parsed = fastavro.parse_schema(json.loads(answer["schema"]))
        order = [field.get("singer.name", field["name"]) for field in written["fields"]]
        assert order == list(schema["properties"]), (stream, answer["schema"])
        payloads = iter(answer["payloads"])
        for text, expected in records:
            if expected is None:
                bad += 1
                continue
            payload = next(payloads, None)
            assert payload is not None, f"{stream}: too few payloads: a record was refused that is good"
            source = io.BytesIO(bytes.fromhex(payload))
            read = original(written, fastavro.schemaless_reader(source, parsed))
            assert not source.read(), f"{stream}: bytes are left of {text}"
            assert same(read, expected), f"{stream}\n{dumps(schema)}\n{text}\nread     {read}\nexpected {expected}"
            checked += 1
        assert next(payloads, None) is None, f"{stream}: too many payloads: a bad record was accepted"
    print(f"checked {checked} records, {bad} bad ones were refused")


if __name__ == "__main__":
    command, *numbers = sys.argv[1:]
    {"make": print_cases, "check": check_cases}[command]([int(number) for number in numbers])
