"""kafka-python: kafka_python.py BOOTSTRAP."""
import sys

import kafka
from kafka.admin import KafkaAdminClient, NewPartitions, NewTopic
from kafka.errors import TopicAlreadyExistsError
from steps import CODECS, Skip, finish, same, step, topic_name, until, version

try:
    from kafka.admin import ConfigResource, ConfigResourceType
except ImportError:
    from kafka.admin.config_resource import ConfigResource, ConfigResourceType

B = {"bootstrap_servers": sys.argv[1]}
version(kafka.__version__)
new = int(kafka.__version__.split(".")[0]) >= 3
admin = KafkaAdminClient(**B)
topic = topic_name("kafka-python")
group = "g-" + topic
made = []           # (partition, key, value, headers), in order a partition
tps = [kafka.TopicPartition(topic, p) for p in range(4)]


def groups():
    r = admin.list_groups() if hasattr(admin, "list_groups") else admin.list_consumer_groups()
    return [g["group_id"] if isinstance(g, dict) else g[0] for g in r]


def meta(offset):
    try:
        return kafka.OffsetAndMetadata(offset, "", -1)
    except TypeError:
        return kafka.OffsetAndMetadata(offset, "")


def end_of(part):
    return sum(r[0] == part for r in made)


def produce(records, **conf):
    p = kafka.KafkaProducer(**B, acks="all", linger_ms=5, **conf)
    sent = [p.send(topic, value, key=key, headers=headers or [], partition=part)
            for part, key, value, headers in records]
    p.flush(60)
    offsets = [(f.get(30).partition, f.get(30).offset) for f in sent]
    p.close()
    made.extend(records)
    return offsets


def parts_of_topic():
    d = admin.describe_topics([topic])
    return d[0]["partitions"]


@step("create")
def _():
    admin.create_topics([NewTopic(topic, 2, 1, topic_configs={"retention.ms": "3600000"})])
    try:
        admin.create_topics([NewTopic(topic, 2, 1)])
    except TopicAlreadyExistsError:
        pass
    else:
        raise AssertionError("a topic was created twice")


@step("describe")
def _():
    same(sorted(p.get("partition_index", p.get("partition")) for p in parts_of_topic()), [0, 1])
    same(admin.describe_cluster()["controller_id"], 1)


@step("partitions")
def _():
    admin.create_partitions({topic: 4 if new else NewPartitions(4)})
    until("four partitions", lambda: len(parts_of_topic()) == 4)


def retention():
    r = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    if isinstance(r, dict):
        return r["topic"][topic]["retention.ms"]["value"] if "topic" in r else r[topic]["retention.ms"]
    return next(e[1] for e in r[0].resources[0][4] if e[0] == "retention.ms")


@step("configs")
def _():
    same(retention(), "3600000")
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "7200000"})])
    until("the new value", lambda: retention() == "7200000")


for codec in CODECS:
    @step("produce-" + codec)
    def _():
        kind = None if codec == "none" else codec
        try:
            kafka.KafkaProducer(**B, compression_type=kind).close()
        except AssertionError as e:
            raise Skip(str(e))
        produce([(i % 4, f"{codec}-{i}".encode(), f"value {codec} {i} ".encode() * 20, None) for i in range(400)],
                compression_type=kind)


@step("nulls-headers")
def _():
    produce([(1, None, b"v", [("a", b"1"), ("a", b"2"), ("empty", b"")]),
             (2, b"k", None, None), (3, b"", b"", [("h", b"x" * 5000)])])


@step("idempotent")
def _():
    if not new:
        raise Skip("this version has no idempotent producer")
    same(len(set(produce([(i % 4, str(i).encode(), f"once {i}".encode(), None) for i in range(1000)],
                         enable_idempotence=True, batch_size=200))), 1000)


@step("consume")
def _():
    c = kafka.KafkaConsumer(**B, check_crcs=True)
    c.assign(tps)
    c.seek_to_beginning()
    got = []
    until("every record", lambda: [got.extend(ms) for ms in c.poll(200).values()] and len(got) >= len(made)
          or len(got) >= len(made))
    c.close()
    for p in range(4):
        same([(k, v, h or []) for part, k, v, h in made if part == p],
             [(m.key, m.value, list(m.headers)) for m in got if m.partition == p])
        same([m.offset for m in got if m.partition == p], list(range(end_of(p))))


@step("group")
def _():
    conf = dict(B, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False, session_timeout_ms=10000,
                heartbeat_interval_ms=500)
    a, b = kafka.KafkaConsumer(topic, **conf), kafka.KafkaConsumer(**conf)
    got = set()

    def turn(*consumers):
        for c in consumers:
            for ms in c.poll(50).values():
                got.update((m.partition, m.offset) for m in ms)
    until("all for one", lambda: turn(a) or len(a.assignment()) == 4)
    b.subscribe([topic])

    # One thread turns both: while one waits in its join, the other must come round.
    import threading
    stop = threading.Event()

    def other():
        while not stop.is_set():
            turn(b)
    t = threading.Thread(target=other)
    t.start()
    try:
        until("two each", lambda: turn(a) or len(a.assignment()) == len(b.assignment()) == 2)
        same(a.assignment() | b.assignment(), set(tps))
        until("every record", lambda: turn(a) or len(got) == len(made))
    finally:
        stop.set()
        t.join()
    for c in (a, b):
        c.commit({tp: meta(end_of(tp.partition)) for tp in c.assignment()})
    b.close()
    until("the rest goes to the one that is left", lambda: turn(a) or len(a.assignment()) == 4)
    assert group in groups()
    a.close()


@step("offsets")
def _():
    c = kafka.KafkaConsumer(**B, group_id=group, enable_auto_commit=False)
    ends = [end_of(p) for p in range(4)]
    same([c.committed(tp) for tp in tps], ends)
    same(c.beginning_offsets(tps), dict.fromkeys(tps, 0))
    same(c.end_offsets(tps), dict(zip(tps, ends)))
    c.assign(tps)
    c.commit({tps[0]: meta(3)})
    same(c.committed(tps[0]), 3)
    c.seek(tps[1], 50)
    c.pause(tps[0], tps[2], tps[3])
    first = []
    until("a record", lambda: [first.extend(ms) for ms in c.poll(200).values()])
    at = first[0].timestamp
    assert 0 <= c.offsets_for_times({tps[1]: at})[tps[1]].offset <= 50
    same(c.offsets_for_times({tps[1]: at + 10**8})[tps[1]], None)
    c.close()
    r = admin.list_group_offsets(group) if hasattr(admin, "list_group_offsets") \
        else admin.list_consumer_group_offsets(group)
    r = r.get(group, r)
    same({tp.partition: o.offset for tp, o in r.items()}, {0: 3, 1: ends[1], 2: ends[2], 3: ends[3]})


@step("delete-records")
def _():
    if not hasattr(admin, "delete_records"):
        raise Skip("this version has no delete_records")
    admin.delete_records({tps[0]: 100, tps[1]: -1})
    c = kafka.KafkaConsumer(**B)
    same(c.beginning_offsets(tps[:3]), {tps[0]: 100, tps[1]: end_of(1), tps[2]: 0})
    c.close()


@step("delete-group")
def _():
    delete = getattr(admin, "delete_groups", None) or getattr(admin, "delete_consumer_groups", None)
    if not delete:
        raise Skip("this version has no delete_consumer_groups")

    def gone():
        delete([group])
        return group not in groups()
    until("the group is gone", gone)


@step("delete")
def _():
    admin.delete_topics([topic])
    until("the topic is gone", lambda: topic not in admin.list_topics())


admin.close()
finish()
