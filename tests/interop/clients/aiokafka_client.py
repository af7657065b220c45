"""aiokafka: aiokafka_client.py BOOTSTRAP."""
import asyncio
import sys

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import TopicAlreadyExistsError
from steps import CODECS, finish, report, same, topic_name, version

B = {"bootstrap_servers": sys.argv[1]}
topic = topic_name("aiokafka")
group = "g-" + topic
made = []
tps = [aiokafka.TopicPartition(topic, p) for p in range(4)]


def end_of(part):
    return sum(r[0] == part for r in made)


async def until(what, check, seconds=60):
    end = asyncio.get_running_loop().time() + seconds
    while True:
        v = await check()
        if v:
            return v
        assert asyncio.get_running_loop().time() < end, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.01)


async def produce(records, **conf):
    p = aiokafka.AIOKafkaProducer(**B, linger_ms=5, acks="all", **conf)
    await p.start()
    try:
        sent = [await p.send(topic, v, key=k, partition=part, headers=h or []) for part, k, v, h in records]
        got = [await f for f in sent]
    finally:
        await p.stop()
    made.extend(records)
    return [(m.partition, m.offset) for m in got]


async def create(admin):
    # This client leaves the errors to be read from the answer, or raises, as its version will have it.
    await admin.create_topics([NewTopic(topic, 2, 1, topic_configs={"retention.ms": "3600000"})])
    try:
        r = await admin.create_topics([NewTopic(topic, 2, 1)])
        same(r.topic_errors[0][1], TopicAlreadyExistsError.errno)
    except TopicAlreadyExistsError:
        pass


async def describe(admin):
    d = (await admin.describe_topics([topic]))[0]
    same((d["error_code"], sorted(p["partition"] for p in d["partitions"])), (0, [0, 1]))
    assert topic in await admin.list_topics()


async def partitions(admin):
    await admin.create_partitions({topic: NewPartitions(4)})

    async def four():
        return len((await admin.describe_topics([topic]))[0]["partitions"]) == 4
    await until("four partitions", four)


async def configs(admin):
    async def value():
        r = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        return next(e[1] for e in r[0].resources[0][4] if e[0] == "retention.ms")
    same(await value(), "3600000")
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "7200000"})])

    async def changed():
        return await value() == "7200000"
    await until("the new value", changed)


async def nulls_headers(_):
    await produce([(1, None, b"v", [("a", b"1"), ("a", b"2"), ("empty", b""), ("null", None)]),
                   (2, b"k", None, None), (3, b"", b"", [("h", b"x" * 5000)])])


async def idempotent(_):
    got = await produce([(i % 4, str(i).encode(), f"once {i}".encode(), None) for i in range(1000)],
                        enable_idempotence=True, max_batch_size=400)
    same(len(set(got)), 1000)


async def consume(_):
    c = aiokafka.AIOKafkaConsumer(**B, check_crcs=True, auto_offset_reset="earliest")
    await c.start()
    try:
        c.assign(tps)
        got = []

        async def more():
            for ms in (await c.getmany(timeout_ms=200)).values():
                got.extend(ms)
            return len(got) >= len(made)
        await until("every record", more)
    finally:
        await c.stop()
    for p in range(4):
        same([(k, v, h or []) for part, k, v, h in made if part == p],
             [(m.key, m.value, list(m.headers)) for m in got if m.partition == p])
        same([m.offset for m in got if m.partition == p], list(range(end_of(p))))


async def two_members(admin):
    conf = dict(B, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False, session_timeout_ms=10000,
                heartbeat_interval_ms=500)
    a, b = aiokafka.AIOKafkaConsumer(topic, **conf), aiokafka.AIOKafkaConsumer(topic, **conf)
    got = set()

    async def turn(*consumers):
        for c in consumers:
            for ms in (await c.getmany(timeout_ms=50)).values():
                got.update((m.partition, m.offset) for m in ms)

    async def one():
        await turn(a)
        return len(a.assignment()) == 4

    async def two():
        await turn(a, b)
        return len(a.assignment()) == len(b.assignment()) == 2

    async def everything():
        await turn(a, b)
        return len(got) == len(made)
    await a.start()
    try:
        await until("all for one", one)
        await b.start()
        try:
            await until("two each", two)
            same(a.assignment() | b.assignment(), set(tps))
            await until("every record", everything)
            for c in (a, b):
                await c.commit({tp: end_of(tp.partition) for tp in c.assignment()})
        finally:
            await b.stop()
        await until("the rest goes to the one that is left", one)
        assert group in [g[0] for g in await admin.list_consumer_groups()]
    finally:
        await a.stop()


async def offsets(admin):
    c = aiokafka.AIOKafkaConsumer(**B, group_id=group, enable_auto_commit=False)
    await c.start()
    try:
        ends = [end_of(p) for p in range(4)]
        same([await c.committed(tp) for tp in tps], ends)
        same(await c.beginning_offsets(tps), dict.fromkeys(tps, 0))
        same(await c.end_offsets(tps), dict(zip(tps, ends)))
        c.assign(tps[:2])
        await c.commit({tps[0]: 3})
        same(await c.committed(tps[0]), 3)
        c.seek(tps[1], 50)
        m = await asyncio.wait_for(c.getone(tps[1]), 30)
        same(m.offset, 50)
        assert 0 <= (await c.offsets_for_times({tps[1]: m.timestamp}))[tps[1]].offset <= 50
        same((await c.offsets_for_times({tps[1]: m.timestamp + 10**8}))[tps[1]], None)
    finally:
        await c.stop()
    r = await admin.list_consumer_group_offsets(group)
    same({tp.partition: o.offset for tp, o in r.items()}, {0: 3, 1: ends[1], 2: ends[2], 3: ends[3]})


async def delete_records(admin):
    await admin.delete_records({tps[0]: RecordsToDelete(100), tps[1]: RecordsToDelete(-1)})
    c = aiokafka.AIOKafkaConsumer(**B)
    await c.start()
    try:
        same(await c.beginning_offsets(tps[:3]), {tps[0]: 100, tps[1]: end_of(1), tps[2]: 0})
    finally:
        await c.stop()


async def delete(admin):
    await admin.delete_topics([topic])

    async def gone():
        return topic not in await admin.list_topics()
    await until("the topic is gone", gone)


def codec_step(codec):
    async def run(_):
        await produce([(i % 4, f"{codec}-{i}".encode(), f"value {codec} {i} ".encode() * 20, None)
                       for i in range(400)], compression_type=None if codec == "none" else codec)
    return run


async def main():
    version(aiokafka.__version__)
    admin = AIOKafkaAdminClient(**B)
    await admin.start()
    steps = [("create", create), ("describe", describe), ("partitions", partitions), ("configs", configs)]
    steps += [("produce-" + c, codec_step(c)) for c in CODECS]
    steps += [("nulls-headers", nulls_headers), ("idempotent", idempotent), ("consume", consume),
              ("group", two_members), ("offsets", offsets), ("delete-records", delete_records), ("delete", delete)]
    for name, function in steps:
        try:
            await asyncio.wait_for(function(admin), 120)
        except Exception as e:
            report(name, e)
        else:
            report(name, None)
    await admin.close()

asyncio.run(main())
finish()
