"""ListOffsets, OffsetForLeaderEpoch (traps 52, 61-63)."""
from ..wire import batch, record


def run(d):
    t = d.topic(2)
    base = 1700000000000
    for n, stamps in enumerate(([0, 50], [100, 100, 90], [40], [200, 300, 250], [300])):
        d.ask("", "Produce", 9, {"acks": -1, "timeoutMs": 9000, "topicData": [{"name": t, "partitionData": [{"index": 0,
              "records": batch([record(i, b"v", b"k", ts_delta=s) for i, s in enumerate(stamps)], ts=base,
                               max_ts=base + max(stamps))}]}]}, quiet=True)
    packed = d.topic()
    d.ask("", "Produce", 9, {"acks": -1, "timeoutMs": 9000, "topicData": [{"name": packed, "partitionData": [{"index": 0,
          "records": d.codec.batch([{"value": "v", "timestamp": base + 10 * i} for i in range(5)], codec="gzip")}]}]}, quiet=True)
    for v in d.versions("ListOffsets"):
        def ask(case, ts, partition=0, topic=t, epoch=None, **more):
            part = {"partitionIndex": partition, "timestamp": ts}
            if epoch is not None:
                part["currentLeaderEpoch"] = epoch
            d.ask(case, "ListOffsets", v, {"topics": [{"name": topic, "partitions": [part]}], "timeoutMs": 5000, **more})
        for ts in (-1, -2, -3, -4, -5, -6, -7, -100):
            ask(f"special {ts} (trap 61)", ts)
            ask(f"special {ts}, empty partition (trap 61)", ts, 1)
            ask(f"special {ts}, unknown partition", ts, 7)
        for after in (-1, 0, 1, 50, 51, 95, 100, 101, 250, 260, 300, 301, 10 ** 9):
            ask(f"time {after} (trap 61)", base + after)
        for after in (0, 5, 20, 40, 41):
            ask(f"time {after} in a compressed batch (trap 61)", base + after, topic=packed)
        ask("largest time in a compressed batch", -3, topic=packed)
        ask("time 0", 0)
        ask("time in an empty partition", base, 1)
        ask("unknown topic", -1, topic="not-there")
        ask("invalid topic", -1, topic="a b")
        ask("partition -1", -1, -1)
        d.ask("partition twice (trap 61)", "ListOffsets", v, {"topics": [{"name": t, "partitions": [
            {"partitionIndex": 0, "timestamp": -1}, {"partitionIndex": 0, "timestamp": -2},
            {"partitionIndex": 1, "timestamp": -2}]}]})
        d.ask("topic twice", "ListOffsets", v, {"topics": [{"name": t, "partitions": [{"partitionIndex": p, "timestamp": -1}]}
                                                           for p in (0, 1)]})
        d.ask("nothing", "ListOffsets", v, {"topics": []})
        d.ask("no partitions", "ListOffsets", v, {"topics": [{"name": t, "partitions": []}]})
        ask("as a consumer", -1, replicaId=-1)
        ask("as a debugger", -1, replicaId=-2)
        ask("as a replica that is none (trap 57)", -1, replicaId=9)
        if v >= 2:
            for level in (1, 2):
                ask(f"isolation level {level} (trap 61)", -1, isolationLevel=level)
                ask(f"isolation level {level}, by time (trap 61)", base + 100, isolationLevel=level)
        if v >= 4:
            for epoch in (0, 1, -1, -2, 9):
                ask(f"leader epoch {epoch} (trap 52)", -1, epoch=epoch)
        if v >= 6:
            ask("unknown tags (trap 17)", -1, _tags={"12": "aa"})
    epochs(d, t)


def epochs(d, t):
    for v in d.versions("OffsetForLeaderEpoch"):
        def ask(case, *parts, topic=t, **more):
            d.ask(case, "OffsetForLeaderEpoch", v, {"replicaId": -1, "topics": [{"topic": topic, "partitions": [
                {"partition": p, "leaderEpoch": e, "currentLeaderEpoch": c} for p, e, c in parts]}], **more})
        for epoch in (0, 1, 7, -1, -2):
            ask(f"epoch {epoch} (trap 63)", (0, epoch, -1))
            ask(f"epoch {epoch} of an empty partition (trap 63)", (1, epoch, -1))
            ask(f"current epoch {epoch} (trap 52)", (0, 0, epoch))
        ask("unknown partition", (9, 0, -1))
        ask("unknown topic", (0, 0, -1), topic="not-there")
        ask("invalid topic", (0, 0, -1), topic="a b")
        ask("two partitions", (0, 0, -1), (1, 0, -1))
        ask("partition twice", (0, 0, -1), (0, 1, -1))
        ask("no partitions")
        d.ask("nothing", "OffsetForLeaderEpoch", v, {"replicaId": -1, "topics": []})
        if v >= 3:
            ask("as a replica that is none", (0, 0, -1), replicaId=9)
            ask("as a debugger", (0, 0, -1), replicaId=-2)
