#!/usr/bin/env python3
"""Plants differences, one at a time, in a folder of JSON definitions; schema-diff must name each.

The folder is made from proto/ itself, in Kafka's form, or copied from $KAFKA_MESSAGES.
"""
import contextlib
import copy
import importlib.machinery
import importlib.util
import io
import json
import os
import random
import sys
import tempfile

SRC = os.path.join(os.environ.get("srcdir", "."), "tools/build/schema-diff")
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("schema_diff", SRC)
spec = importlib.util.spec_from_loader("schema_diff", loader)
sd = importlib.util.module_from_spec(spec)
loader.exec_module(sd)


def camel(name):
    return "".join(w.capitalize() for w in name.split("_"))


def text(v):
    return sd.show(v)


def export_field(f, structs, added):
    kind = f["type"].strip("[]")
    j = {"name": camel(f["name"]), "versions": text(f["versions"]),
         "type": ("[]" if f["array"] else "") + (kind if kind in sd.PLAIN else camel(kind))}
    if f["nullable"]:
        j["nullableVersions"] = text(f["nullable"])
    if f["tag"] is not None:
        j["tag"], j["taggedVersions"] = f["tag"], text(f["tagged"])
    if f["default"] != "empty":
        j["default"] = str(f["default"]).lower()
    if f["ignorable"]:
        j["ignorable"] = True
    if f["inflexible"]:
        j["flexibleVersions"] = "none"
    return j


def export(name, m):
    j = {"type": "data", "name": name, "validVersions": text(m["versions"])}
    if m["key"] is not None:
        j["apiKey"] = m["key"]
    if m["listeners"] != [""]:
        j["listeners"] = m["listeners"]
    if m["unstable"]:
        j["latestVersionUnstable"] = True
    if m["versions"] is None:
        return j
    j["flexibleVersions"] = text(m["flexible"])
    for s, fields in m["structs"].items():
        out = [export_field(f, m["structs"], m["added"]) for f in fields if not f["added"]]
        if s == "":
            j["fields"] = out
        else:
            j.setdefault("commonStructs", []).append({"name": camel(s), "fields": out})
    return j


def load():
    folder = os.environ.get("KAFKA_MESSAGES")
    if not folder:
        return {n: export(n, m) for n, m in sd.our_messages().items()}
    out = {}
    for where, _, names in os.walk(folder):
        for n in names:
            if n.endswith(".json"):
                with open(os.path.join(where, n)) as f:
                    d = json.loads(sd.strip(f.read()))
                out[d["name"]] = d
    return out


def run(messages):
    """(exit status, output) of schema-diff over these messages."""
    with tempfile.TemporaryDirectory() as folder:
        for n, d in messages.items():
            with open(os.path.join(folder, n + ".json"), "w") as f:
                f.write("// a comment\n" + json.dumps(d))
        out = io.StringIO()
        sys.argv = ["schema-diff", folder]
        with contextlib.redirect_stdout(out):
            status = sd.main()
        return status, out.getvalue()


def lists_of(d):
    found = []

    def walk(fields):
        if fields:
            found.append(fields)
        for f in fields:
            walk(f.get("fields", []))
    walk(d.get("fields", []))
    for c in d.get("commonStructs", []):
        walk(c["fields"])
    return found


def field_mutation(change):
    """A mutation that takes some field that `change` can change; False from it: it cannot."""
    def mutate(messages, rng):
        names = sorted(messages)
        rng.shuffle(names)
        for n in names:
            for fields in lists_of(messages[n]):
                order = list(range(len(fields)))
                rng.shuffle(order)
                for i in order:
                    if change(fields, i) is not False:
                        return n
        return None
    return mutate


def other_type(fs, i):
    swap = {"int32": "int64", "int64": "int32", "string": "bytes", "bytes": "string", "int16": "uint16",
            "[]int32": "[]int64", "bool": "int8"}
    if fs[i]["type"] not in swap or "default" in fs[i]:
        return False
    fs[i]["type"] = swap[fs[i]["type"]]


def put(key, value, when=lambda f: True):
    def change(fs, i):
        if not when(fs[i]) or fs[i].get(key) == value(fs[i]):
            return False
        fs[i][key] = value(fs[i])
    return change


def drop(key):
    def change(fs, i):
        if key not in fs[i]:
            return False
        del fs[i][key]
    return change


def swap(fs, i):
    if i + 1 >= len(fs):
        return False
    fs[i], fs[i + 1] = fs[i + 1], fs[i]


def remove(fs, i):
    if len(fs) < 2:
        return False
    del fs[i]


def add(fs, i):
    fs.insert(i, {"name": "Planted", "type": "int8", "versions": "0+"})


FIELD = {
    "type": other_type,
    "versions": put("versions", lambda f: "77+"),
    "nullable": put("nullableVersions", lambda f: f.get("versions", "0+"),
                    lambda f: f["type"] == "string" and "nullableVersions" not in f),
    "not nullable": lambda fs, i: False if fs[i].get("default") == "null" else
                    drop("nullableVersions")(fs, i),
    "tag": put("tag", lambda f: f["tag"] + 7, lambda f: "tag" in f),
    "tagged": put("taggedVersions", lambda f: "99+", lambda f: "tag" in f),
    "default": put("default", lambda f: "41", lambda f: f["type"] in ("int32", "int64")),
    "no default": lambda fs, i: False if fs[i].get("default") not in ("-1", "null") else
                  drop("default")(fs, i),
    "ignorable": put("ignorable", lambda f: not f.get("ignorable", False)),
    "inflexible": put("flexibleVersions", lambda f: "none", lambda f: f["type"] == "string"),
    "order": swap, "field removed": remove, "field added": add,
    "name": put("name", lambda f: f["name"] + "X"),
}


def message_mutation(change):
    def mutate(messages, rng):
        n = rng.choice(sorted(k for k, d in messages.items() if d["validVersions"] != "none"))
        change(messages, n)
        return n
    return mutate


MESSAGE = {
    "key": lambda ms, n: ms[n].update(apiKey=ms[n].get("apiKey", 0) + 100),
    "valid versions": lambda ms, n: ms[n].update(validVersions="0-99"),
    "flexible": lambda ms, n: ms[n].update(flexibleVersions="98+"),
    "listeners": lambda ms, n: ms[n].update(listeners=["moon"]),
    "unstable": lambda ms, n: ms[n].update(latestVersionUnstable=not ms[n].get("latestVersionUnstable")),
    "message removed": lambda ms, n: ms.pop(n),
    "message added": lambda ms, n: ms.update(Planted=dict(ms[n], name=n + "Planted")),
}


def main():
    base, rng, bad = load(), random.Random(1), 0
    status, out = run(base)
    if status != 0:
        print("clean definitions differ:\n" + out)
        return 1
    print("clean: " + out.splitlines()[-1])
    kinds = [(k, field_mutation(f)) for k, f in FIELD.items()]
    kinds += [(k, message_mutation(f)) for k, f in MESSAGE.items()]
    for kind, mutate in kinds:
        for _ in range(2):
            ms = copy.deepcopy(base)
            name = mutate(ms, rng)
            status, out = run(ms)
            if status != 1 or not any(l.startswith(name) for l in out.splitlines()):
                print("MISSED: %s in %s: status %d" % (kind, name, status))
                bad += 1
    print("%d planted differences, %d missed" % (2 * len(kinds), bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
