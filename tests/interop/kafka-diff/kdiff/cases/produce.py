"""Produce and the checks of record batches (traps 26, 30-43)."""
import struct

from ..wire import batch, crc32c, old_message, record, simple, varint

CODECS = {"none": 3, "gzip": 3, "snappy": 3, "lz4": 3, "zstd": 3}


class Producer:
    def __init__(self, d, version):
        self.d, self.version = d, version

    def body(self, topic, parts, acks=-1, **more):
        data = {"partitionData": [{"index": p, "records": r} for p, r in parts]}
        if self.version >= 13:
            data["topicId"] = self.d.id_of(topic) if isinstance(topic, str) else topic[0]
        else:
            data["name"] = topic
        return {"acks": acks, "timeoutMs": 10000, "topicData": [data], **more}

    def ask(self, case, topic, records, partition=0, **more):
        return self.d.ask(case, "Produce", self.version, self.body(topic, [(partition, records)], **more))


def run(d):
    every_version(d)
    bad_batches(d)
    records(d)
    settings(d)
    sequences(d)


def every_version(d):
    internal = "__consumer_offsets"
    d.until("FindCoordinator", 0, {"key": "g"}, lambda r: r["errorCode"] == 0)
    for v in d.versions("Produce"):
        p, t, odd = Producer(d, v), d.topic(2), d.topic(3)
        p.ask("one record", t, simple())
        p.ask("three records", t, simple(3, 1))
        for codec in CODECS:
            p.ask(f"codec {codec} (trap 30)", t, d.codec.batch([{"key": "k", "value": "v" * 50}] * 3, codec=codec))
        for acks in (1, 0, 2, -2):
            if acks:
                p.ask(f"acks {acks} (trap 41)", t, simple(), acks=acks)
        p.ask("unknown partition", t, simple(), 7)
        p.ask("partition -1", t, simple(), -1)
        p.ask("empty records", t, b"")
        p.ask("two batches (trap 30)", t, simple() + simple())
        p.ask("bytes behind the batch", odd, simple() + b"\0\0\0")
        p.ask("cut batch", t, simple()[:-3])
        p.ask("cut header", t, simple()[:30])
        p.ask("message format 1 (trap 30)", t, old_message(b"v", 1))
        p.ask("message format 0 (trap 30)", t, old_message(b"v", 0))
        p.ask("wrong CRC (trap 32)", t, simple(crc=1))
        p.ask("to an internal topic (trap 26)", internal, simple())
        p.ask("idempotent", t, new_producer(d).map(lambda i: simple(2, pid=i, pepoch=0, seq=0)), 1)
        d.ask("two partitions, one bad", "Produce", v, p.body(t, [(0, simple()), (9, simple())]))
        d.ask("partition twice", "Produce", v, p.body(odd, [(1, simple()), (1, simple())]))
        d.ask("nothing", "Produce", v, {"acks": -1, "timeoutMs": 1000, "topicData": []})
        d.ask("no partitions", "Produce", v, p.body(t, []))
        d.ask("timeout 0", "Produce", v, {**p.body(t, [(1, simple())]), "timeoutMs": 0})
        if v >= 13:
            p.ask("unknown topic id (trap 28)", ["u" * 21 + "g"], simple())
            p.ask("zero topic id", ["AAAAAAAAAAAAAAAAAAAAAA"], simple())
        else:
            p.ask("unknown topic", "not-there", simple())
            p.ask("invalid topic", "a b", simple())
            p.ask("empty topic", "", simple())
            d.ask("topic twice", "Produce", v, {"acks": 1, "timeoutMs": 1000, "topicData": [
                {"name": odd, "partitionData": [{"index": i, "records": simple()}]} for i in (0, 2)]})
        p.ask("transactional without a transaction (trap 44)", t, simple(attributes=0x10, pid=1 << 40, pepoch=0, seq=0))
        p.ask("transactional id given (trap 44)", t, simple(attributes=0x10, pid=1 << 40, pepoch=0, seq=0),
              transactionalId="txn")
        if v >= 9:
            d.ask("unknown tags (trap 17)", "Produce", v, {**p.body(t, [(0, simple())]), "_tags": {"44": "00"}})


def bad_batches(d):
    """Fields of the header that lie, one at a time (traps 31, 32); v3 cannot say record errors, v8 can."""
    for v in (7, 12):
        two = [record(0, b"a", b"k"), record(1, b"b", b"k")]
        cases = {
            "base offset 5": batch(two, base=5),
            "base offset -1": batch(two, base=-1),
            "leader epoch 7": batch(two, epoch=7),
            "magic 3": batch(two, magic=3),
            "magic -1": batch(two, magic=-1),
            "control batch": batch(two, attributes=0x20),
            "LogAppendTime bit (trap 33)": batch(two, attributes=0x08),
            "unused attribute bits": batch(two, attributes=0x4000),
            "delete horizon bit": batch(two, attributes=0x40),
            "codec 5": batch(two, attributes=5),
            "codec 7": batch(two, attributes=7),
            "gzip bit, plain data": batch(two, attributes=1),
            "zstd bit, plain data": batch(two, attributes=4),
            "snappy bit, plain data": batch(two, attributes=2),
            "lz4 bit, plain data": batch(two, attributes=3),
            "count 0": batch(two, count=0),
            "count 1 of 2": batch(two, count=1),
            "count 3 of 2": batch(two, count=3),
            "count -1": batch(two, count=-1),
            "no records": batch([]),
            "no records, last offset 0": batch([], last=0),
            "last offset 2 of 1": batch(two, last=2),
            "last offset 0 of 1": batch(two, last=0),
            "last offset -1": batch(two, last=-1),
            "max timestamp too small": batch(two, max_ts=5),
            "max timestamp too large": batch(two, max_ts=1800000000000),
            "timestamp -1": batch(two, ts=-1),
            "timestamp -2": batch(two, ts=-2),
            "timestamp 0": batch(two, ts=0),
            "length too small": batch(two, size=-4),
            "length too large": batch(two, size=4),
            "length 0": struct.pack(">qi", 0, 0) + batch(two)[12:],
            "length negative": struct.pack(">qi", 0, -5) + batch(two)[12:],
            "producer id without sequence (trap 31)": batch(two, pid=77, pepoch=0),
            "producer id without epoch": batch(two, pid=77, seq=0),
            "sequence without producer id": batch(two, seq=4),
            "epoch without producer id": batch(two, pepoch=3),
            "producer id -2": batch(two, pid=-2, pepoch=0, seq=0),
            "transactional bit without producer id": batch(two, attributes=0x10),
        }
        each(d, v, "batch", cases)


def each(d, v, kind, cases):
    """One partition a case; then what both took is read back and compared."""
    p, t, same = Producer(d, v), d.topic(len(cases)), []
    for n, (case, data) in enumerate(cases.items()):
        r = p.ask(f"{kind}: {case}", t, data, n)
        if len({x["responses"][0]["partitionResponses"][0]["errorCode"] for x in r.side}) == 1:
            same.append(n)
    d.ask(f"what was taken of {kind}", "Fetch", 12, {"maxWaitMs": 0, "topics": [{"topic": t, "partitions": [
        {"partition": n, "partitionMaxBytes": 1 << 20} for n in same]}]})


def records(d):
    """Records that lie (traps 31, 36)."""
    for v in (7, 9):
        one = record(0, b"a")
        cases = {
            "offset deltas 0,0": [record(0, b"a"), record(0, b"b")],
            "offset deltas 1,0": [record(1, b"a"), record(0, b"b")],
            "offset deltas 0,2": [record(0, b"a"), record(2, b"b")],
            "offset delta 1 alone": [record(1, b"a")],
            "record attributes 1": [record(0, b"a", attributes=1)],
            "record longer than its fields": [record(0, b"a", pad=b"xx")],
            "length field too large": [record(0, b"a", length=1)],
            "length field too small": [record(0, b"a", length=-1)],
            "negative timestamp delta": [record(0, b"a", ts_delta=-5)],
            "null value": [record(0, None, b"k")],
            "headers": [record(0, b"a", headers=[(b"h", b"1"), (b"h", None)])],
            "empty header key": [record(0, b"a", headers=[(b"", b"1")])],
            "bytes behind the last record": [one + b"\0"],
            "key length -2": [varint(8) + b"\0\0\0" + varint(-2) + varint(0) + varint(0) + b"\0\0"],
            "header count -1": [varint(6) + b"\0\0\0" + varint(-1) + varint(-1) + varint(-1)],
            "varint of 6 bytes": [b"\xff" * 6 + one],
            "zero length record": [varint(0)],
            "negative length record": [varint(-3)],
        }
        cases = {case: batch(data) for case, data in cases.items()}
        good = bytearray(d.codec.batch([{"key": "k", "value": "v" * 100}] * 2, codec="gzip"))
        good[70] ^= 0xff
        good[17:21] = struct.pack(">I", crc32c(bytes(good[21:])))
        cases["damaged gzip (trap 36)"] = bytes(good)
        cut = bytearray(d.codec.batch([{"key": "k", "value": "v" * 100}] * 2, codec="lz4"))[:-6]
        cut[8:12] = struct.pack(">i", len(cut) - 12)
        cut[17:21] = struct.pack(">I", crc32c(bytes(cut[21:])))
        cases["cut lz4 (trap 36)"] = bytes(cut)
        more = bytearray(d.codec.batch([{"key": "k", "value": "v" * 100}] * 2, codec="zstd"))
        more[57:61] = struct.pack(">i", 3)
        more[23:27] = struct.pack(">i", 2)
        more[17:21] = struct.pack(">I", crc32c(bytes(more[21:])))
        cases["zstd with fewer records than counted (trap 36)"] = bytes(more)
        each(d, v, "records", cases)


def settings(d):
    """What a topic's settings change (traps 33-35)."""
    import time
    now = int(time.time() * 1000)
    for v in (3, 8, 12):
        p = Producer(d, v)
        compacted = d.topic(configs={"cleanup.policy": "compact"})
        p.ask("compacted, with keys (trap 33)", compacted, simple(2))
        p.ask("compacted, without key (trap 33)", compacted, batch([record(0, b"a")]))
        p.ask("compacted, second without key (trap 33)", compacted, batch([record(0, b"a", b"k"), record(1, b"b")]))
        p.ask("compacted, gzip without key (trap 33)", compacted, d.codec.batch([{"value": "v"}], codec="gzip"))
        stamped = d.topic(configs={"message.timestamp.type": "LogAppendTime"})
        p.ask("LogAppendTime (trap 34)", stamped, simple(2))
        p.ask("LogAppendTime, gzip (trap 34)", stamped, d.codec.batch([{"key": "k", "value": "v"}], codec="gzip"))
        p.ask("LogAppendTime, bit set (trap 34)", stamped, simple(2, attributes=8))
        p.ask("LogAppendTime, old records (trap 34)", stamped, simple(ts=5))
        narrow = d.topic(configs={"message.timestamp.before.max.ms": "3600000", "message.timestamp.after.max.ms": "3600000"})
        p.ask("timestamp now (trap 33)", narrow, simple(ts=now))
        p.ask("timestamp too old (trap 33)", narrow, simple(ts=now - 7200000))
        p.ask("timestamp too new (trap 33)", narrow, simple(ts=now + 7200000))
        p.ask("timestamp -1 (trap 33)", narrow, simple(ts=-1))
        p.ask("one of two too old (trap 33)", narrow, batch([record(0, b"a"), record(1, b"b", ts_delta=-7200000)], ts=now))
        small = d.topic(configs={"max.message.bytes": "1000", "segment.bytes": "1048576"})
        p.ask("larger than max.message.bytes (trap 35)", small, batch([record(0, b"x" * 1000)]))
        p.ask("exactly max.message.bytes (trap 35)", small, batch([record(0, b"x" * (1000 - 61 - 9))]))
        p.ask("around max.message.bytes (trap 35)", small, batch([record(0, b"x" * (1000 - 61 - 8))]))
        large = d.topic(configs={"max.message.bytes": "5000000", "segment.bytes": "1048576"})
        p.ask("larger than a segment (trap 35)", large, batch([record(0, b"x" * 1100000)]))
        p.ask("far in the future by default (trap 33)", large, simple(ts=now + 2 * 86400000))
    for codec in ("gzip", "uncompressed", "lz4", "zstd", "snappy"):
        t, p = d.topic(configs={"compression.type": codec}), Producer(d, 9)
        p.ask(f"compression.type {codec}, plain (trap 35)", t, simple(3))
        p.ask(f"compression.type {codec}, gzip (trap 35)", t, d.codec.batch([{"key": "k", "value": "v" * 50}] * 3, codec="gzip"))
        d.ask(f"what compression.type {codec} left (trap 35)", "ListOffsets", 7, {"topics": [{"name": t, "partitions": [
            {"partitionIndex": 0, "timestamp": ts} for ts in (-1,)]}]})
        d.ask(f"codec on disk of compression.type {codec} (trap 35)", "Fetch", 12, {"maxWaitMs": 0, "topics": [
            {"topic": t, "partitions": [{"partition": 0, "partitionMaxBytes": 1 << 20}]}]})


def new_producer(d):
    r = d.until("InitProducerId", 4, {"transactionalId": None, "transactionTimeoutMs": 60000}, lambda r: r["errorCode"] == 0)
    return r["producerId"]


def sequences(d):
    """Idempotent producers (traps 37-39)."""
    for v in (3, 8, 13):
        t, p, pid = d.topic(), Producer(d, v), new_producer(d)

        def ask(case, seq, n=1, epoch=0, **more):
            return p.ask("sequence: " + case, t, pid.map(lambda i: simple(n, pid=i, pepoch=epoch, seq=seq, **more)))
        ask("first", 0, 2)
        ask("next", 2, 3)
        ask("the same again (trap 37)", 2, 3)
        ask("the first again (trap 37)", 0, 2)
        ask("gap (trap 38)", 9)
        ask("inside an old one (trap 37)", 1, 1)
        ask("overlap (trap 37)", 4, 3)
        for n in range(5, 11):
            ask(f"{n}", n)
        ask("one beyond the last five again (trap 37)", 2, 3)
        ask("fifth last again (trap 37)", 6)
        ask("sixth last again (trap 37)", 5)
        ask("new epoch, not from 0 (trap 38)", 11, epoch=1)
        ask("new epoch from 0", 0, epoch=1)
        ask("older epoch (trap 39)", 11, epoch=0)
        ask("older epoch, a duplicate (trap 39)", 10, epoch=0)
        ask("epoch 32767", 0, epoch=32767)
        ask("negative sequence", -2, epoch=32767)
        fresh = new_producer(d)
        p.ask("sequence: unknown producer starts at 7 (trap 38)", t, fresh.map(lambda i: simple(1, pid=i, pepoch=0, seq=7)))
        wrap = new_producer(d)
        p.ask("sequence: starts before the wrap (trap 38)", t, wrap.map(
            lambda i: simple(2, pid=i, pepoch=0, seq=2147483646)))
        p.ask("sequence: 0 after the wrap (trap 38)", t, wrap.map(lambda i: simple(1, pid=i, pepoch=0, seq=0)))
        over = new_producer(d)
        p.ask("sequence: a batch over the wrap (trap 38)", t, over.map(
            lambda i: simple(3, pid=i, pepoch=0, seq=2147483646)))
        p.ask("sequence: after a batch over the wrap (trap 38)", t, over.map(lambda i: simple(1, pid=i, pepoch=0, seq=1)))
        d.ask("what was taken", "ListOffsets", 7, {"topics": [{"name": t, "partitions": [
            {"partitionIndex": 0, "timestamp": -1}]}]})
