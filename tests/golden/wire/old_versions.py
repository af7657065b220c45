#!/usr/bin/python3
"""Golden messages of versions that Kafka 4.4 no longer defines, by kafka-python 2.0.2's classes.

    old_versions.py SOURCE_FOLDER >old_versions.txt

Order, types and bytes are kafka-python's; the field names in the text are those of proto/, by
position. Lines as in Vectors.java.
"""
import importlib.machinery
import importlib.util
import os
import random
import sys

from kafka.protocol import admin, commit, fetch, offset, produce
from kafka.protocol import types as t

sys.dont_write_bytecode = True
os.environ.setdefault("SCHEMA_DIFF_PROTO", os.path.join(sys.argv[1], "proto"))
loader = importlib.machinery.SourceFileLoader("sd", os.path.join(sys.argv[1], "tools/build/schema-diff"))
sd = importlib.util.module_from_spec(importlib.util.spec_from_loader("sd", loader))
loader.exec_module(sd)

CLASSES = [
    (produce, "Produce", "Produce", 3), (fetch, "Fetch", "Fetch", 4), (offset, "Offset", "ListOffsets", 1),
    (commit, "OffsetCommit", "OffsetCommit", 2), (commit, "OffsetFetch", "OffsetFetch", 1),
    (admin, "CreateTopics", "CreateTopics", 2), (admin, "DeleteTopics", "DeleteTopics", 1),
    (admin, "DescribeAcls", "DescribeAcls", 1), (admin, "CreateAcls", "CreateAcls", 1),
    (admin, "DeleteAcls", "DeleteAcls", 1), (admin, "DescribeConfigs", "DescribeConfigs", 1),
]
BITS = {t.Int8: 8, t.Int16: 16, t.Int32: 32, t.Int64: 64}
rng = random.Random(7)


def value(kind, field, structs, version):
    """(value, text) of a kafka-python type that lies where our field is."""
    if isinstance(kind, t.Array):
        pairs = [value(kind.array_of, field, structs, version) for _ in range(rng.randint(1, 2))]
        return [v for v, _ in pairs], "[" + " ".join(s for _, s in pairs) + "]"
    if isinstance(kind, t.Schema):
        fields = [f for f in structs[field["type"].strip("[]")] if sd.both(f["versions"], (version, version))]
        return group(kind, fields, structs, version)
    if isinstance(kind, t.String):
        v = "".join(rng.choice("abcdef") for _ in range(rng.randint(1, 6)))
        return v, '"%s"' % v
    if kind in BITS:
        v = rng.randint(-2 ** (BITS[kind] - 1), 2 ** (BITS[kind] - 1) - 1)
        return v, str(v)
    if kind is t.Boolean:
        v = rng.random() < 0.5
        return v, str(v).lower()
    v = bytes(rng.randrange(256) for _ in range(rng.randint(1, 15)))
    return v, "<%d bytes>" % len(v) if field["type"] == "records" else "<%d bytes %s>" % (len(v), v.hex())


def group(schema, fields, structs, version):
    assert len(schema.fields) == len(fields), (schema.names, [f["name"] for f in fields])
    pairs = [value(k, f, structs, version) for k, f in zip(schema.fields, fields)]
    text = " ".join("%s=%s" % (f["name"], s) for f, (_, s) in zip(fields, pairs))
    return tuple(v for v, _ in pairs), "{" + text + "}"


for module, theirs, ours, versions in CLASSES:
    for half in ("Request", "Response"):
        structs = sd.our_messages()[ours + half]["structs"]
        for v in range(versions):
            c = getattr(module, "%s%s_v%d" % (theirs, half, v))
            fields = [f for f in structs[""] if sd.both(f["versions"], (v, v))]
            for _ in range(2):
                values, text = group(c.SCHEMA, fields, structs, v)
                m = c(*values)      # encode() is a weak method: the object must live
                print("%s%s %d %s %s" % (ours, half, v, m.encode().hex(), text))
