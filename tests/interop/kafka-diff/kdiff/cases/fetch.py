"""Fetch and its sessions (traps 28, 47-60)."""
from ..wire import batch, record, simple

ZERO, UNKNOWN = "AAAAAAAAAAAAAAAAAAAAAA", "u" * 21 + "g"


def run(d):
    t, big = d.topic(2), d.topic()
    for n in range(6):
        d.fill(t, 2, start=2 * n)
    for n in range(4):
        d.ask("", "Produce", 9, {"acks": -1, "timeoutMs": 9000, "topicData": [{"name": big, "partitionData": [
            {"index": 0, "records": batch([record(0, b"x" * 3000)])}]}]}, quiet=True)
    ids = {name: d.id_of(name) for name in (t, big)}
    for v in d.versions("Fetch"):
        plain(d, v, t, big, ids)
        if v >= 7:
            sessions(d, v, t, big, ids)
    waits(d)


def entry(v, ids, name, *parts):
    e = {"partitions": [{"partitionMaxBytes": 1 << 20, **p} for p in parts]}
    return {"topicId": ids.get(name, name), **e} if v >= 13 else {"topic": name, **e}


def plain(d, v, t, big, ids):
    def ask(case, *parts, topic=t, **more):
        return d.ask(case, "Fetch", v, {"maxWaitMs": 0, "minBytes": 1, "topics": [entry(v, ids, topic, *parts)], **more})

    def at(offset, partition=0, **more):
        return {"partition": partition, "fetchOffset": offset, **more}
    ask("from 0", at(0))
    ask("inside a batch (trap 48)", at(3))
    ask("the last", at(11))
    ask("the end (trap 51)", at(12))
    ask("beyond the end (trap 51)", at(13))
    ask("far beyond the end (trap 51)", at(1 << 40))
    ask("-1 (trap 51)", at(-1))
    ask("empty partition", at(0, 1))
    ask("unknown partition", at(0, 5))
    ask("partition -1", at(0, -1))
    ask("both and an unknown one", at(0), at(0, 1), at(0, 9))
    ask("partition twice", at(0), at(4))
    ask("no partitions")
    ask("partition limit of 1 byte (trap 47)", at(0, partitionMaxBytes=1))
    ask("partition limit of 0 bytes (trap 47)", at(0, partitionMaxBytes=0))
    ask("partition limit of -1", at(0, partitionMaxBytes=-1))
    ask("partition limit of one batch and a half (trap 47)", at(0, partitionMaxBytes=130))
    ask("response limit of 1 byte (trap 47)", at(0), maxBytes=1)
    ask("response limit of 0 bytes (trap 47)", at(0), maxBytes=0)
    ask("min bytes 0", at(12), minBytes=0)
    ask("min bytes above max bytes (trap 49)", at(0), minBytes=1 << 30, maxBytes=100, maxWaitMs=1000)
    d.ask("two partitions, response limit of 1 byte (trap 47)", "Fetch", v, {"maxWaitMs": 0, "maxBytes": 1, "topics": [
        entry(v, ids, big, at(0)), entry(v, ids, t, at(0))]})
    d.ask("empty one first, response limit of 1 byte (trap 47)", "Fetch", v, {"maxWaitMs": 0, "maxBytes": 1, "topics": [
        entry(v, ids, t, at(0, 1), at(0))]})
    d.ask("second partition over the limit (trap 47)", "Fetch", v, {"maxWaitMs": 0, "maxBytes": 4000, "topics": [
        entry(v, ids, big, at(0)), entry(v, ids, t, at(0))]})
    d.ask("nothing", "Fetch", v, {"maxWaitMs": 0, "topics": []})
    if v < 13:
        ask("unknown topic", at(0), topic="not-there")
        ask("invalid topic", at(0), topic="a b")
        ask("empty topic", at(0), topic="")
        d.ask("topic twice", "Fetch", v, {"maxWaitMs": 0, "topics": [entry(v, ids, t, at(0)), entry(v, ids, t, at(0, 1))]})
    else:
        ask("unknown id (trap 28)", at(0), topic=UNKNOWN)
        ask("zero id (trap 28)", at(0), topic=ZERO)
        d.ask("unknown id beside a known one (trap 28)", "Fetch", v, {"maxWaitMs": 0, "topics": [
            entry(v, ids, UNKNOWN, at(0)), entry(v, ids, t, at(0))]})
    for level in (1, 2):
        ask(f"isolation level {level} (trap 56)", at(0), isolationLevel=level)
        ask(f"isolation level {level}, unknown partition", at(0, 5), isolationLevel=level)
        ask(f"isolation level {level}, at the end", at(12), isolationLevel=level)
    if v >= 5:
        ask("log start offset given", at(0, logStartOffset=0))
    if v >= 9:
        for epoch in (0, 1, 5, -1, -2):
            ask(f"leader epoch {epoch} (trap 52)", at(0, currentLeaderEpoch=epoch))
    if v >= 11:
        ask("rack", at(0), rackId="somewhere")
    if v >= 12:
        for epoch, offset in ((0, 4), (0, 12), (0, 13), (1, 4), (3, 0), (-1, 4), (-2, 4)):
            ask(f"last fetched epoch {epoch} at {offset} (trap 53)", at(offset, lastFetchedEpoch=epoch))
        ask("cluster id", at(0), clusterId="AAAAAAAAAAAAAAAAAAAAAA")
        ask("unknown tags (trap 17)", at(0, _tags={"30": "01"}), _tags={"31": "02"})
    if v <= 14:
        for replica in (-2, -3):
            ask(f"replica {replica}", at(0), replicaId=replica)
        ask("replica 7 (trap 57)", at(0), replicaId=7)
    else:
        ask("replica 7 (trap 57)", at(0), replicaState={"replicaId": 7, "replicaEpoch": 1})


def sessions(d, v, t, big, ids):
    conn = d.connect()

    def ask(case, sid, epoch, topics=(), forgotten=(), **more):
        return d.ask("session: " + case, "Fetch", v, {"maxWaitMs": 0, "sessionId": sid, "sessionEpoch": epoch,
                     "topics": [entry(v, ids, n, *p) for n, p in topics],
                     "forgottenTopicsData": [{("topicId" if v >= 13 else "topic"): ids.get(n, n) if v >= 13 else n,
                                              "partitions": p} for n, p in forgotten], **more}, conn)
    p0, p1 = {"partition": 0, "fetchOffset": 0}, {"partition": 1, "fetchOffset": 0}
    sid = ask("new (trap 54)", 0, 0, [(t, [p0, p1])])["sessionId"]
    ask("nothing changed: only what has data (trap 54)", sid, 1)
    ask("at the end: nothing (trap 54)", sid, 2, [(t, [{"partition": 0, "fetchOffset": 12}])])
    ask("still nothing", sid, 3)
    ask("wrong epoch (trap 54)", sid, 9)
    ask("goes on after a wrong epoch", sid, 4)
    ask("the same epoch again", sid, 4)
    ask("add a topic", sid, 5, [(big, [p0])])
    ask("forget it (trap 54)", sid, 6, forgotten=[(big, [0])])
    ask("forget what is not there", sid, 7, forgotten=[(big, [0]), (t, [7])])
    ask("add an unknown partition", sid, 8, [(t, [{"partition": 8, "fetchOffset": 0}])])
    ask("its error again", sid, 9)
    ask("forget and add at once", sid, 10, [(t, [{"partition": 0, "fetchOffset": 4}])], [(t, [8])])
    ask("forget everything: the session ends (trap 54)", sid, 11, forgotten=[(t, [0, 1])])
    ask("after its end", sid, 12)
    ask("unknown session (trap 54)", 123456789, 1)
    ask("unknown session, epoch 0", 123456789, 0, [(t, [p1])])
    ask("no session (trap 54)", 0, -1, [(t, [p0])])
    ask("session id with epoch -1: closes (trap 54)", 5, -1, [(t, [p0])])
    ask("session 0, epoch 1", 0, 1, [(t, [p0])])
    ask("session 0, epoch 5, nothing", 0, 5)
    ask("empty new session", 0, 0)
    other = ask("another", 0, 0, [(t, [{"partition": 0, "fetchOffset": 12}])])["sessionId"]
    ask("replaced by a new one", other, 0, [(t, [{"partition": 0, "fetchOffset": 12}])])
    ask("the old one is gone", other, 1)
    last = ask("to close", 0, 0, [(t, [p0])])["sessionId"]
    ask("closed with epoch -1", last, -1)
    ask("after the close", last, 1)
    if v >= 13:
        ask("unknown topic id", 0, 0, [(UNKNOWN, [p0]), (t, [p0])])
    kind = ask("of names or ids (trap 55)", 0, 0, [(t, [p0])])["sessionId"]
    w = 12 if v >= 13 else 13
    d.ask("session: the other kind (trap 55)", "Fetch", w, {"maxWaitMs": 0, "sessionId": kind, "sessionEpoch": 1,
          "topics": [entry(w, ids, t, p0)]}, conn)
    d.ask("session: the other kind, no topics (trap 55)", "Fetch", w, {"maxWaitMs": 0, "sessionId": kind, "sessionEpoch": 1,
          "topics": []}, conn)
    for c in conn:
        c.close()


def waits(d):
    """A parked fetch is answered by what it waits for (trap 50)."""
    for v in (4, 11, 17):
        t = d.topic()
        ids = {t: d.id_of(t)}
        conn = d.connect()
        h = d.send("Fetch", v, {"maxWaitMs": 20000, "minBytes": 1, "topics": [
            entry(v, ids, t, {"partition": 0, "fetchOffset": 0})]}, conn)
        d.fill(t, 1)
        d.read("woken by a produce (trap 50)", h)
        h = d.send("Fetch", v, {"maxWaitMs": 50, "minBytes": 1, "topics": [
            entry(v, ids, t, {"partition": 0, "fetchOffset": 1})]}, conn)
        d.read("empty after max wait (trap 49)", h)
        h = d.send("Fetch", v, {"maxWaitMs": 20000, "minBytes": 1, "topics": [
            entry(v, ids, t, {"partition": 0, "fetchOffset": 9})]}, conn)
        d.read("an error does not wait (trap 49)", h)
        for c in conn:
            c.close()
