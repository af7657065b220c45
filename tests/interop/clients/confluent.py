"""confluent-kafka (librdkafka) for Python: confluent.py BOOTSTRAP."""
import sys

import confluent_kafka as ck
from confluent_kafka import admin as cka
from steps import CODECS, Skip, finish, same, step, topic_name, until, version

B = {"bootstrap.servers": sys.argv[1]}
version(f"{getattr(ck, '__version__', ck.version()[0])} on librdkafka {ck.libversion()[0]}")
admin = cka.AdminClient(B)
topic = topic_name("confluent")
group = "g-" + topic
made = []           # what was produced, in order a partition: (partition, key, value, headers)


def all_of(futures):
    return {k: f.result(30) for k, f in futures.items()}


def need(name, where=admin):
    if not hasattr(where, name):
        raise Skip("this version has no " + name)


def groups():
    if hasattr(admin, "list_consumer_groups"):
        return [g.group_id for g in admin.list_consumer_groups().result(30).valid]
    return [g.id for g in admin.list_groups(timeout=30)]


def end_of(part):
    return sum(r[0] == part for r in made)


def produce(records, **conf):
    errors, offsets = [], []

    def on_delivery(e, m):
        errors.append(e) if e else offsets.append((m.partition(), m.offset()))
    p = ck.Producer({**B, "linger.ms": 5, **conf})
    for part, key, value, headers in records:
        p.produce(topic, value, key, part, on_delivery, headers=headers)
    same(p.flush(60), 0)
    same(errors, [])
    made.extend(records)
    return offsets


def read(parts, want, **conf):
    c = ck.Consumer({**B, "group.id": "reader-" + topic, "enable.auto.commit": False, "check.crcs": True, **conf})
    c.assign([ck.TopicPartition(topic, p, ck.OFFSET_BEGINNING) for p in parts])
    got = []

    def more():
        got.extend(c.consume(500, 0.2))
        return len(got) >= want
    until(f"{want} records", more)
    c.close()
    assert not [m.error() for m in got if m.error()]
    return got


@step("create")
def _():
    all_of(admin.create_topics([cka.NewTopic(topic, 2, 1, config={"retention.ms": "3600000"})]))
    try:
        all_of(admin.create_topics([cka.NewTopic(topic, 2, 1)]))
    except ck.KafkaException as e:
        same(e.args[0].code(), ck.KafkaError.TOPIC_ALREADY_EXISTS)
    else:
        raise AssertionError("a topic was created twice")


@step("describe")
def _():
    t = admin.list_topics(topic, timeout=30).topics[topic]
    same(sorted(t.partitions), [0, 1])
    same({p.leader for p in t.partitions.values()}, {1})
    if hasattr(admin, "describe_topics"):
        d = all_of(admin.describe_topics(ck.TopicCollection([topic])))[topic]
        same([p.id for p in d.partitions], [0, 1])
        same(admin.describe_cluster().result(30).controller.id, 1)


@step("partitions")
def _():
    all_of(admin.create_partitions([cka.NewPartitions(topic, 4)]))
    until("four partitions", lambda: len(admin.list_topics(topic, timeout=30).topics[topic].partitions) == 4)


@step("configs")
def _():
    res = cka.ConfigResource(cka.ConfigResource.Type.TOPIC, topic)
    same(all_of(admin.describe_configs([res]))[res]["retention.ms"].value, "3600000")
    if hasattr(admin, "incremental_alter_configs"):
        e = cka.ConfigEntry("retention.ms", "7200000", incremental_operation=cka.AlterConfigOpType.SET)
        all_of(admin.incremental_alter_configs([cka.ConfigResource(res.restype, topic, incremental_configs=[e])]))
    else:
        all_of(admin.alter_configs([cka.ConfigResource(res.restype, topic, set_config={"retention.ms": "7200000"})]))
    until("the new value", lambda: all_of(admin.describe_configs([res]))[res]["retention.ms"].value == "7200000")
    broker = cka.ConfigResource(cka.ConfigResource.Type.BROKER, "1")
    assert all_of(admin.describe_configs([broker]))[broker]["log.dirs"].value


for codec in CODECS:
    @step("produce-" + codec)
    def _():
        produce([(i % 4, f"{codec}-{i}", f"value {codec} {i} " * 20, None) for i in range(400)],
                **{"compression.type": codec})


@step("nulls-headers")
def _():
    produce([(0, None, None, None), (1, None, "v", [("a", b"1"), ("a", b"2"), ("empty", b""), ("null", None)]),
             (2, "k", None, None), (3, "", "", [("h", "x" * 5000)])])


@step("idempotent")
def _():
    offsets = produce([(i % 4, str(i), f"once {i}", None) for i in range(1000)],
                      **{"enable.idempotence": True, "batch.num.messages": 10})
    same(len(set(offsets)), 1000)


@step("consume")
def _():
    def raw(x):
        return x.encode() if isinstance(x, str) else x
    got = read(range(4), len(made))
    for p in range(4):
        same([(raw(k), raw(v), h and [(n, raw(x)) for n, x in h]) for part, k, v, h in made if part == p],
             [(m.key(), m.value(), m.headers()) for m in got if m.partition() == p])
        same([m.offset() for m in got if m.partition() == p], list(range(end_of(p))))


@step("group")
def _():
    conf = {**B, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
            "session.timeout.ms": 10000, "heartbeat.interval.ms": 500, "partition.assignment.strategy": "roundrobin"}
    a, b = ck.Consumer(conf), ck.Consumer(conf)
    a.subscribe([topic])
    got = set()

    def turn(*consumers):
        for c in consumers:
            for m in c.consume(200, 0.05):
                assert not m.error(), m.error()
                got.add((m.partition(), m.offset()))
    until("all for one", lambda: turn(a) or len(a.assignment()) == 4)
    b.subscribe([topic])
    until("two each", lambda: turn(a, b) or len(a.assignment()) == len(b.assignment()) == 2)
    same({p.partition for p in a.assignment() + b.assignment()}, {0, 1, 2, 3})
    until("every record", lambda: turn(a, b) or len(got) == len(made))
    for c in (a, b):
        c.commit(offsets=[ck.TopicPartition(topic, x.partition, end_of(x.partition)) for x in c.assignment()],
                 asynchronous=False)
    b.close()
    until("the rest goes to the one that is left", lambda: turn(a) or len(a.assignment()) == 4)
    if hasattr(admin, "describe_consumer_groups"):
        d = admin.describe_consumer_groups([group])[group].result(30)
        same((len(d.members), d.state.name, d.partition_assignor), (1, "STABLE", "roundrobin"))
        same(len(d.members[0].assignment.topic_partitions), 4)
    assert group in groups()
    a.close()


@step("offsets")
def _():
    c = ck.Consumer({**B, "group.id": group, "enable.auto.commit": False})
    parts = [ck.TopicPartition(topic, p) for p in range(4)]
    ends = [end_of(p) for p in range(4)]
    same([x.offset for x in c.committed(parts, timeout=30)], ends)
    same([c.get_watermark_offsets(p, timeout=30) for p in parts], [(0, e) for e in ends])
    c.commit(offsets=[ck.TopicPartition(topic, 0, 3, "note")] if hasattr(parts[0], "metadata")
             else [ck.TopicPartition(topic, 0, 3)], asynchronous=False)
    same(c.committed(parts[:1], timeout=30)[0].offset, 3)
    same(c.committed([ck.TopicPartition(topic, 0)], timeout=30)[0].error, None)
    first = read([1], ends[1])
    at = first[50].timestamp()[1]
    want = next(m.offset() for m in first if m.timestamp()[1] >= at)
    same(c.offsets_for_times([ck.TopicPartition(topic, 1, at)], timeout=30)[0].offset, want)
    same(c.offsets_for_times([ck.TopicPartition(topic, 1, first[-1].timestamp()[1] + 60000)], timeout=30)[0].offset, -1)
    c.close()
    if hasattr(admin, "list_offsets"):
        r = all_of(admin.list_offsets({parts[2]: cka.OffsetSpec.latest(), parts[3]: cka.OffsetSpec.max_timestamp()}))
        same(r[parts[2]].offset, ends[2])
        assert 0 <= r[parts[3]].offset < ends[3]
    if hasattr(admin, "alter_consumer_group_offsets"):
        req = [ck.ConsumerGroupTopicPartitions(group, [ck.TopicPartition(topic, 0, 7)])]
        all_of(admin.alter_consumer_group_offsets(req))
        req = [ck.ConsumerGroupTopicPartitions(group, None)]
        r = all_of(admin.list_consumer_group_offsets(req))[group]
        same({p.partition: p.offset for p in r.topic_partitions}, {0: 7, 1: ends[1], 2: ends[2], 3: ends[3]})


@step("delete-records")
def _():
    need("delete_records")
    r = all_of(admin.delete_records([ck.TopicPartition(topic, 0, 100), ck.TopicPartition(topic, 1, ck.OFFSET_END)]))
    low = {p.partition: d.low_watermark for p, d in r.items()}
    end = end_of(1)
    same(low, {0: 100, 1: end})
    c = ck.Consumer({**B, "group.id": "x"})
    same([c.get_watermark_offsets(ck.TopicPartition(topic, p), timeout=30)[0] for p in (0, 1, 2)], [100, end, 0])
    c.close()


@step("delete-group")
def _():
    need("delete_consumer_groups")
    until("the group is empty", lambda: not admin.describe_consumer_groups([group])[group].result(30).members)
    all_of(admin.delete_consumer_groups([group]))
    assert group not in groups()


@step("delete")
def _():
    all_of(admin.delete_topics([topic], operation_timeout=30))
    until("the topic is gone", lambda: topic not in admin.list_topics(timeout=30).topics)


finish()
