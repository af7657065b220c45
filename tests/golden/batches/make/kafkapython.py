#!/usr/bin/python3
"""Golden batches from kafka-python 2.0.2 (python3-kafka), which has gzip only without further
modules. Usage: kafkapython.py DIR. Records are those of tests/unit/test_codec.c, expect()."""
import sys
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.legacy_records import LegacyRecordBatchBuilder

T0 = 1700000000000


def records():
    for i in range(100):
        h = []
        if i % 3 == 0:
            h.append(("h", b"%d" % i))
        if i % 6 == 0:
            h.append(("n", None))
        yield (i, T0 + i * 37 % 100, None if i % 10 == 0 else b"key-%04d" % i,
               None if i % 11 == 5 else b"value-%d-" % i + b"abc" * (i % 50), h)


for codec, name in ((0, "none"), (1, "gzip")):
    b = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 20)
    for i, ts, k, v, h in records():
        b.append(i, ts, k, v, h)
    open("%s/kafkapython-v2-%s.bin" % (sys.argv[1], name), "wb").write(bytes(b.build()))
    for magic in (0, 1):
        b = LegacyRecordBatchBuilder(magic, codec, 1 << 20)
        for i, ts, k, v, h in records():
            b.append(i, ts if magic else None, k, v)
        open("%s/kafkapython-v%d-%s.bin" % (sys.argv[1], magic, name), "wb").write(bytes(b.build()))
