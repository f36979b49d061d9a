"""How the readers of the tests print what they have decoded: one line of JSON for each message.

JSON has no bytes, times and decimals, so those are marked: {"bytes": hex}, {"time": ISO 8601}, {"decimal": digits}.
"""

import datetime
import decimal
import json
import uuid


def shown(record) -> str:
    return json.dumps(record, default=_marked)


def failed(error: Exception) -> str:
    return json.dumps({"error": f"{type(error).__name__}: {error}"})


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
