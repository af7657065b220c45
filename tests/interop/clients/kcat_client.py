"""kcat: kcat_client.py BOOTSTRAP. It has no administration: the topic comes by auto-creation."""
import json
import os
import subprocess
import sys
import tempfile

from steps import CODECS, finish, same, step, topic_name, until, version

boot = sys.argv[1]
topic = topic_name("kcat")
group = "g-" + topic
lines = []


def kcat(*args, stdin=None):
    r = subprocess.run(["kcat", "-b", boot, *args], input=stdin, capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, (args, r.stdout[-500:], r.stderr[-500:])
    return r.stdout


def read(*args):
    return [json.loads(x) for x in kcat("-C", "-t", topic, "-e", "-q", "-J", *args).splitlines()]


version(next(x for x in subprocess.run(["kcat", "-V"], capture_output=True, text=True).stdout.splitlines()
             if x.startswith("Version")).split()[1])

for codec in CODECS:
    @step("produce-" + codec)
    def _():
        new = [f"{codec} {i} " + "x" * 50 for i in range(500)]
        kcat("-P", "-t", topic, "-z", codec, stdin="\n".join(new) + "\n")
        lines.extend(new)


@step("describe")
def _():
    d = json.loads(kcat("-L", "-J", "-t", topic))
    same((d["controllerid"], [b["id"] for b in d["brokers"]]), (1, [1]))
    same([(p["partition"], p["leader"], len(p["isrs"])) for p in d["topics"][0]["partitions"]], [(0, 1, 1)])


@step("nulls-headers")
def _():
    kcat("-P", "-t", topic, "-Z", "-K", ":", "-H", "a=1", "-H", "a=2", "-H", "none", stdin=":\nk:\n:v\n")
    m = read("-o", "-3", "-p", "0")
    same([(x["key"], x["payload"]) for x in m], [(None, None), ("k", None), (None, "v")])
    same(m[0]["headers"], ["a", "1", "a", "2", "none", None])
    lines.extend([None, None, "v"])


@step("idempotent")
def _():
    new = [f"once {i}" for i in range(1000)]
    kcat("-P", "-t", topic, "-X", "enable.idempotence=true", "-X", "batch.num.messages=10", stdin="\n".join(new) + "\n")
    lines.extend(new)


@step("consume")
def _():
    m = read("-o", "beginning")
    same([x["payload"] for x in m], lines)
    same([x["offset"] for x in m], list(range(len(lines))))
    same([x["payload"] for x in read("-o", "-5")], lines[-5:])
    same([x["payload"] for x in read("-o", "7", "-c", "2")], lines[7:9])


@step("group")
def _():
    out = [tempfile.TemporaryFile("w+") for _ in range(2)]
    err = [tempfile.TemporaryFile("w+") for _ in range(2)]

    def member(i):
        return subprocess.Popen(["kcat", "-b", boot, "-G", group, "-u", "-X", "auto.offset.reset=earliest", "-X",
                                 "heartbeat.interval.ms=300", "-X", "session.timeout.ms=6000", topic],
                                stdout=out[i], stderr=err[i])

    def text(f):
        f.flush()
        return os.pread(f.fileno(), 1 << 24, 0).decode()
    a = member(0)
    until("every record", lambda: len(text(out[0]).splitlines()) == len(lines))
    b = member(1)
    until("the second is in the group", lambda: "rebalanced" in text(err[1]))
    until("the first came round again", lambda: text(err[0]).count("assigned:") >= 2)
    a.terminate()
    same(a.wait(30), 0)
    until("the partition goes to the one that is left", lambda: f"assigned: {topic} [0]" in text(err[1]))
    kcat("-P", "-t", topic, stdin="last\n")
    lines.append("last")
    # It goes on where the other had committed: nothing comes twice.
    until("the record", lambda: text(out[1]) == "last\n")
    b.terminate()
    same(b.wait(30), 0)


@step("offsets")
def _():
    m = read("-o", "beginning")
    at = m[700]["ts"]
    want = next(x["offset"] for x in m if x["ts"] >= at)
    same(kcat("-Q", "-t", f"{topic}:0:{at}").split(), [topic, "[0]", "offset", str(want)])
    same(kcat("-Q", "-t", f"{topic}:0:-1").split()[-1], str(len(lines)))
    same(kcat("-Q", "-t", f"{topic}:0:-2").split()[-1], "0")
    same([x["offset"] for x in read("-o", f"s@{at}", "-c", "1")], [want])


finish()
