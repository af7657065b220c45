"""CreateTopics, DeleteTopics, CreatePartitions, InitProducerId, DeleteRecords, DescribeTopicPartitions,
DescribeProducers, ListConfigResources (traps 24, 25, 29, 85, 91, 104)."""
from ..wire import simple
from .produce import Producer, new_producer


def run(d):
    create(d)
    delete(d)
    partitions(d)
    producer_ids(d)
    delete_records(d)
    describe_partitions(d)
    describe_producers(d)
    config_resources(d)


def create(d):
    there = d.topic()
    dotted = d.unique("dot") + ".a"
    d.topic(name=dotted)
    for v in d.versions("CreateTopics"):
        def ask(case, *topics, **more):
            d.ask(case, "CreateTopics", v, {"topics": list(topics), "timeoutMs": 10000, **more})

        def topic(name=None, partitions=1, replicas=1, **more):
            return {"name": name or d.unique("ct"), "numPartitions": partitions, "replicationFactor": replicas, **more}
        ask("one", topic())
        ask("three", topic(), topic(None, 2), topic(None, 3))
        ask("none at all")
        ask("exists", topic(there))
        ask("exists and new", topic(there), topic())
        ask("validate only", topic(), validateOnly=True)
        ask("validate only, exists", topic(there), validateOnly=True)
        ask("validate only, bad", topic(None, -5), validateOnly=True)
        twice = d.unique("twice")
        ask("the same twice", topic(twice), topic(twice))
        ask("the same twice and another", topic(twice), topic(twice), topic())
        for bad in ("", ".", "..", "a b", "x" * 250, "sl/ash", "caf\u00e9"):
            ask(f"invalid name {bad[:8]!r} (trap 24)", topic(bad))
        ask("collides after . to _ (trap 24)", topic(dotted.replace(".", "_")))
        first = d.unique("col")
        ask("two that collide in one request (trap 24)", topic(first + ".x"), topic(first + "_x"))
        ask("249 characters", topic(d.unique("n" * 240)[:249]))
        ask("internal name", topic("__share_group_state"), validateOnly=True)
        for n in (0, -1, -2):
            ask(f"{n} partitions", topic(None, n))
            ask(f"{n} replicas", topic(None, 1, n))
        ask("more replicas than brokers", topic(None, 1, 2))
        ask("many replicas", topic(None, 1, 32767))
        ask("defaults", topic(None, -1, -1))
        ask("above 10,000 partitions (trap 25)", topic(None, 10001), validateOnly=True)
        ask("10,000 and another", topic(None, 10000), topic(None, 1), validateOnly=True)

        def manual(*parts, partitions=-1, replicas=-1):
            return topic(None, partitions, replicas,
                         assignments=[{"partitionIndex": i, "brokerIds": list(b)} for i, b in parts])
        ask("manual assignment", manual((0, [1]), (1, [1])))
        ask("manual, out of order", manual((1, [1]), (0, [1])))
        ask("manual with a partition count", manual((0, [1]), partitions=1))
        ask("manual with a replication factor", manual((0, [1]), replicas=1))
        ask("manual with a gap", manual((0, [1]), (2, [1])))
        ask("manual from 1", manual((1, [1])))
        ask("manual, same partition twice", manual((0, [1]), (0, [1])))
        ask("manual, negative partition", manual((-1, [1])))
        ask("manual, unknown broker", manual((0, [7])))
        ask("manual, negative broker", manual((0, [-1])))
        ask("manual, same broker twice", manual((0, [1, 1])))
        ask("manual, no broker", manual((0, [])))
        ask("manual, unequal counts", manual((0, [1]), (1, [1, 1])))

        def conf(**more):
            return [{"name": k.replace("_", "."), "value": x} for k, x in more.items()]
        ask("with configs", topic(None, configs=conf(retention_ms="5000", cleanup_policy="compact")))
        ask("unknown config", topic(None, configs=conf(no_such="1")))
        ask("bad config value", topic(None, configs=conf(retention_ms="soon")))
        ask("config out of range", topic(None, configs=conf(segment_bytes="-1")))
        ask("bad choice", topic(None, configs=conf(compression_type="brotli")))
        ask("null config value", topic(None, configs=conf(retention_ms=None)))
        ask("empty config value", topic(None, configs=conf(retention_ms="")))
        ask("empty config name", topic(None, configs=[{"name": "", "value": "1"}]))
        ask("same config twice", topic(None, configs=conf(retention_ms="5000") + conf(retention_ms="6000")))
        ask("min.insync.replicas 0", topic(None, configs=conf(min_insync_replicas="0")))
        ask("list with an unknown element", topic(None, configs=conf(cleanup_policy="delete,maybe")))
        ask("empty list", topic(None, configs=conf(cleanup_policy="")))
        ask("list with spaces", topic(None, configs=conf(cleanup_policy=" delete , compact ")))
        ask("several things wrong", topic("a b", 0, 0, configs=conf(no_such="1")))
        ask("bad name and a good one", topic("a b"), topic())
        ask("timeout 0", topic(), timeoutMs=0)
        ask("timeout -1", topic(), timeoutMs=-1)


def delete(d):
    zero, unknown = "AAAAAAAAAAAAAAAAAAAAAA", "u" * 21 + "g"
    for v in d.versions("DeleteTopics"):
        name, other = d.topic(), d.topic()

        def ask(case, names=(), states=(), **more):
            body = {"timeoutMs": 10000, **more}
            if v <= 5:
                body["topicNames"] = list(names)
            else:
                body["topics"] = [{"name": n} for n in names] + list(states)
            d.ask(case, "DeleteTopics", v, body)
        ask("none")
        ask("unknown", ["not-there"])
        ask("invalid name", ["a b"])
        ask("empty name", [""])
        ask("one and unknown", [name, "not-there"])
        ask("again", [name])
        ask("the same twice", [other, other])
        if v >= 6:
            by_id, both = d.topic(), d.topic()
            ident = d.id_of(by_id)
            ask("by unknown id", states=[{"name": None, "topicId": unknown}])
            ask("by zero id", states=[{"name": None, "topicId": zero}])
            ask("by name and id (trap 104)", states=[{"name": by_id, "topicId": ident}])
            ask("by name and by id, two entries of one topic (trap 104)", [by_id], [{"name": None, "topicId": ident}])
            ask("the same id twice", states=[{"name": None, "topicId": ident}] * 2)
            ask("by id", states=[{"name": None, "topicId": d.id_of(both)}])


def partitions(d):
    for v in d.versions("CreatePartitions"):
        name = d.topic(2)

        def ask(case, *topics, **more):
            d.ask(case, "CreatePartitions", v, {"timeoutMs": 10000, "topics": [
                {"name": n, "count": c, "assignments": a and [{"brokerIds": b} for b in a]} for n, c, a in topics], **more})
        ask("none")
        ask("validate only", (name, 3, None), validateOnly=True)
        ask("one more", (name, 3, None))
        ask("same count", (name, 3, None))
        ask("fewer", (name, 1, None))
        ask("0", (name, 0, None))
        ask("-1", (name, -1, None))
        ask("unknown topic", ("not-there", 3, None))
        ask("invalid name", ("a b", 3, None))
        ask("the same twice", (name, 4, None), (name, 5, None))
        ask("good and unknown", (name, 4, None), ("not-there", 2, None))
        ask("with an assignment", (name, 5, [[1]]))
        ask("too few assignments", (name, 7, [[1]]))
        ask("too many assignments", (name, 6, [[1], [1]]))
        ask("unknown broker", (name, 6, [[9]]))
        ask("same broker twice", (name, 6, [[1, 1]]))
        ask("no broker", (name, 6, [[]]))
        ask("empty assignments", (name, 6, []))
        ask("more than 10,000 more (trap 25)", (name, 10100, None), validateOnly=True)


def producer_ids(d):
    d.until("InitProducerId", 0, {"transactionalId": None}, lambda r: r["errorCode"] == 0)
    for v in d.versions("InitProducerId"):
        def ask(case, **body):
            return d.ask(case, "InitProducerId", v, {"transactionalId": None, "transactionTimeoutMs": 60000, **body})
        first = ask("without transactional id (trap 91)")
        ask("again: a new one (trap 91)")
        ask("timeout 0 without transactional id", transactionTimeoutMs=0)
        ask("timeout -1 without transactional id", transactionTimeoutMs=-1)
        ask("huge timeout without transactional id", transactionTimeoutMs=2147483647)
        ask("empty transactional id (trap 91)", transactionalId="")
        if v >= 3:
            ask("id without epoch (trap 91)", producerId=first["producerId"])
            ask("epoch without id (trap 91)", producerEpoch=0)
            ask("id and epoch without transactional id (trap 91)", producerId=first["producerId"], producerEpoch=0)
            ask("transactional id given (trap 91)", transactionalId=d.unique("txn")) if v == 5 else None
            ask("id -2", producerId=-2, producerEpoch=-2)


def delete_records(d):
    packed = d.topic(configs={"cleanup.policy": "compact"}, count=3)
    for v in d.versions("DeleteRecords") if d.serves("DeleteRecords") else ():
        t = d.topic(2, count=9)

        def ask(case, *parts, topic=t, **more):
            d.ask(case, "DeleteRecords", v, {"timeoutMs": 10000, "topics": [{"name": topic, "partitions": [
                {"partitionIndex": p, "offset": o} for p, o in parts]}], **more})
        ask("below 4 (trap 85)", (0, 4))
        d.ask("log start after it (trap 85)", "ListOffsets", 7, {"topics": [{"name": t, "partitions": [
            {"partitionIndex": 0, "timestamp": -2}]}]})
        d.ask("fetch below the log start (trap 51)", "Fetch", 12, {"maxWaitMs": 0, "topics": [{"topic": t, "partitions": [
            {"partition": 0, "fetchOffset": 3, "partitionMaxBytes": 1000}]}]})
        ask("the same again (trap 85)", (0, 4))
        ask("below the log start (trap 85)", (0, 2))
        ask("beyond the end (trap 85)", (0, 10))
        ask("-2 (trap 85)", (0, -2))
        ask("all (trap 85)", (0, -1))
        ask("empty partition (trap 85)", (1, -1))
        ask("partition twice", (1, -1), (1, 0))
        ask("unknown partition", (7, 0))
        ask("good and unknown partition", (0, 9), (7, 0))
        ask("unknown topic", (0, 0), topic="not-there")
        ask("invalid topic", (0, 0), topic="a b")
        ask("internal topic (trap 26)", (0, 0), topic="__consumer_offsets")
        ask("compacted topic (trap 85)", (0, 1), topic=packed)
        ask("no partitions")
        d.ask("nothing", "DeleteRecords", v, {"timeoutMs": 1000, "topics": []})
        ask("timeout 0", (0, 9), timeoutMs=0)


def describe_partitions(d):
    if not d.serves("DescribeTopicPartitions"):
        return
    a, b = sorted((d.topic(3), d.topic(2)))

    def ask(case, *names, **more):
        d.ask(case, "DescribeTopicPartitions", 0, {"topics": [{"name": n} for n in names], **more})
    ask("one (trap 29)", a)
    ask("two, in the order of names (trap 29)", b, a)
    ask("the same twice (trap 29)", a, a)
    ask("unknown", "not-there")
    ask("unknown beside known", "zz-not-there", a)
    ask("invalid name", "a b")
    ask("empty name", "")
    ask("limit of 1 partition (trap 29)", a, b, responsePartitionLimit=1)
    ask("limit of 3 (trap 29)", a, b, responsePartitionLimit=3)
    ask("limit of 4 (trap 29)", a, b, responsePartitionLimit=4)
    ask("limit of 0 (trap 29)", a, responsePartitionLimit=0)
    ask("limit of -1 (trap 29)", a, responsePartitionLimit=-1)
    ask("limit above the broker's (trap 29)", a, responsePartitionLimit=100000)
    ask("cursor in the first (trap 29)", a, b, cursor={"topicName": a, "partitionIndex": 1})
    ask("cursor at the second (trap 29)", a, b, cursor={"topicName": b, "partitionIndex": 0})
    ask("cursor behind the last partition (trap 29)", a, b, cursor={"topicName": a, "partitionIndex": 3})
    ask("cursor at a topic that is not asked for (trap 29)", b, cursor={"topicName": a, "partitionIndex": 0})
    ask("cursor behind all topics (trap 29)", a, cursor={"topicName": "zzz", "partitionIndex": 0})
    ask("cursor with partition -1 (trap 29)", a, cursor={"topicName": a, "partitionIndex": -1})
    ask("cursor at an unknown topic (trap 29)", a, "not-there", cursor={"topicName": "not-there", "partitionIndex": 0})
    ask("unknown tags (trap 17)", a, _tags={"8": "01"})


def describe_producers(d):
    t, pid = d.topic(3), new_producer(d)

    def ask(case, *parts, topic=t):
        d.ask(case, "DescribeProducers", 0, {"topics": [{"name": topic, "partitionIndexes": list(parts)}]})

    def produce(case, seq, n, partition):
        Producer(d, 9).ask(case, t, pid.map(lambda i: simple(n, pid=i, pepoch=0, seq=seq)), partition)
    ask("no producer", 0)
    produce("first batch of a producer", 0, 3, 0)
    ask("one producer", 0)
    produce("second batch of a producer", 3, 2, 0)
    ask("two batches", 0, 1)
    produce("a batch over the wrap of sequences", 2147483646, 5, 2)
    ask("sequences wrapped (trap 38)", 2)
    ask("unknown partition", 0, 9)
    ask("unknown topic", 0, topic="not-there")
    ask("invalid topic", 0, topic="a b")
    ask("no partitions")
    d.ask("nothing", "DescribeProducers", 0, {"topics": []})


def config_resources(d):
    d.ask("client metrics", "ListConfigResources", 0, {})
    for types in ([4], [8], [16], [32], [4, 16], [0], [64], [4, 3], [4, 4]):
        d.ask(f"types {types}", "ListConfigResources", 1, {"resourceTypes": types})
