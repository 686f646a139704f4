#!/usr/bin/env python3
"""Writes the Arrow streams of these tests, and beside each what it says, as the protocol would.

Usage: python3 make_arrow.py     (pyarrow 15 or later; the committed files are of pyarrow 26.0.1)
"""
import base64
import datetime as dt
import decimal
import json
import math
import os

import pyarrow as pa

HERE = os.path.dirname(os.path.abspath(__file__))
DAY = dt.date(1970, 1, 1)


def number(value):
    if value is None or not isinstance(value, float):
        return value
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


COLUMNS = [
    ("nothing", "null", pa.null(), [None] * 5, lambda v: v),
    ("bool", "bool", pa.bool_(), [True, False, None, True, False], lambda v: v),
    ("i8", "int8", pa.int8(), [-128, 127, None, 0, -1], lambda v: v),
    ("i16", "int16", pa.int16(), [-32768, 32767, None, 0, -1], lambda v: v),
    ("i32", "int32", pa.int32(), [-(2**31), 2**31 - 1, None, 0, -1], lambda v: v),
    ("i64", "int64", pa.int64(), [-(2**63), 2**63 - 1, None, 0, -1], lambda v: v),
    ("f32", "float32", pa.float32(), [0.5, -math.inf, None, math.nan, -0.0], number),
    ("f64", "float64", pa.float64(), [0.1, 1e-310, None, math.inf, 1.7976931348623157e308], number),
    ("text", "string", pa.utf8(), ["", 'quote " slash \\ line\n\t\x01', None, "Zürich 🏔", "x"], lambda v: v),
    ("long", "string", pa.large_utf8(), ["a", "", None, "b" * 300, "c"], lambda v: v),
    ("bytes", "binary", pa.binary(), [b"", b"\x00\xff", None, b"abc", b"d"],
     lambda v: v if v is None else base64.b64encode(v).decode()),
    ("many", "binary", pa.large_binary(), [b"1", b"22", None, b"", b"4444"],
     lambda v: v if v is None else base64.b64encode(v).decode()),
    ("day", "date", pa.date32(), [dt.date(2024, 2, 29), dt.date(1, 1, 1), None, dt.date(9999, 12, 31), DAY],
     lambda v: v if v is None else v.isoformat()),
    ("milliday", "date", pa.date64(), [dt.date(1900, 3, 1), dt.date(1969, 12, 31), None, dt.date(2000, 2, 29), DAY],
     lambda v: v if v is None else v.isoformat()),
    ("instant", "timestamp", pa.timestamp("us", "UTC"),
     [dt.datetime(2024, 2, 29, 23, 59, 59, 123456), dt.datetime(1, 1, 1), None,
      dt.datetime(1969, 12, 31, 23, 59, 59, 999999), dt.datetime(1970, 1, 1)],
     lambda v: v if v is None else v.isoformat(timespec="microseconds") + "Z"),
    ("clock", "timestamp_ntz", pa.timestamp("us"),
     [dt.datetime(2024, 2, 29, 12), None, dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
      dt.datetime(1600, 1, 1), dt.datetime(1970, 1, 1)],
     lambda v: v if v is None else v.isoformat(timespec="microseconds")),
    ("seconds", "timestamp_ntz", pa.timestamp("s"), [dt.datetime(1999, 12, 31, 23, 59, 59)] * 5,
     lambda v: v.isoformat()),
    ("money", "decimal", pa.decimal128(38, 2),
     [decimal.Decimal(t) if t else None for t in
      ["-0.05", "12.30", None, "999999999999999999999999999999999999.99", "-999999999999999999999999999999999999.99"]],
     lambda v: v if v is None else f"{v:f}"),
    ("count", "decimal", pa.decimal128(20, 0), [decimal.Decimal(v) for v in [0, -1, 7, 2**63, -(2**63)]],
     lambda v: f"{v:f}"),
]


def write(name, batches, columns, sink_options=None):
    """One IPC stream of the batches."""
    schema = pa.schema([(c, t) for c, _, t, _, _ in columns])
    with pa.OSFile(os.path.join(HERE, name), "wb") as file:
        with pa.ipc.new_stream(file, schema, options=sink_options) as stream:
            for batch in batches:
                stream.write_batch(batch)


def batch(columns, rows=slice(None)):
    arrays = [pa.array(v[rows], t) for _, _, t, v, _ in columns]
    return pa.record_batch(arrays, names=[c for c, *_ in columns])


def expected(columns):
    rows = [[f(v[i]) for *_, v, f in columns] for i in range(5)]
    return {"columns": [c for c, *_ in columns], "types": [t for _, t, *_ in columns], "values": rows}


whole = batch(COLUMNS)
# The second batch is a slice, whose offsets do not begin at 0 and whose validity begins within a byte.
write("types.arrow", [whole.slice(0, 2), whole.slice(2, 3)], COLUMNS)
with open(os.path.join(HERE, "types.json"), "w") as file:
    json.dump(expected(COLUMNS), file, ensure_ascii=False)
    file.write("\n")

for name, kind, value in [
    ("array", pa.list_(pa.int32()), [1]), ("struct", pa.struct([("a", pa.int8())]), {"a": 1}),
    ("map", pa.map_(pa.utf8(), pa.int8()), [("a", 1)]), ("interval", pa.month_day_nano_interval(), (1, 2, 3)),
    ("duration", pa.duration("us"), dt.timedelta(1)), ("uint64", pa.uint64(), 1),
    ("dictionary", pa.dictionary(pa.int8(), pa.utf8()), "a"), ("float16", pa.float16(), 0.5),
]:
    column = ("odd", name, kind, [value], lambda v: v)
    with pa.OSFile(os.path.join(HERE, f"odd_{name}.arrow"), "wb") as file:
        array = pa.array([value], kind) if name != "float16" else pa.array([0.5], pa.float16())
        table = pa.record_batch([array], names=["odd"])
        with pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_batch(table)

write("compressed.arrow", [whole], COLUMNS, pa.ipc.IpcWriteOptions(compression="zstd"))
write("empty.arrow", [], COLUMNS)
