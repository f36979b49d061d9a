"""How the readers of the tests print what they have decoded: one line of JSON for each message.

JSON has no bytes, times and decimals, so those are marked: {"bytes": hex}, {"time": ISO 8601}, {"decimal": digits}.
It has no NaN and no infinities either: they are strings, "NaN", "Infinity" and "-Infinity", as Java's Jackson has them.
"""

import datetime
import decimal
import json
import math
import uuid


def shown(record) -> str:
    return json.dumps(_finite(record), default=_marked, allow_nan=False)


def failed(error: Exception) -> str:
    return json.dumps({"error": f"{type(error).__name__}: {error}"})


def _finite(value):
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


def _marked(value):
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, (datetime.date, datetime.time)):
        return {"time": value.isoformat()}
    if isinstance(value, decimal.Decimal):
        return {"decimal": format(value, "f")}
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not shown")
