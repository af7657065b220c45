"""Unmodified clients from Debian packages against a running cluster: kcat, python3-confluent-kafka
(librdkafka), python3-kafka, and our own command. Each: create, produce with every codec, consume,
a group of two with a rebalance, offsets, delete."""
import json
import threading
import time
import uuid

import pytest

from cluster import Cluster, run, wait_for

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


@pytest.fixture(scope="module")
def cluster():
    c = Cluster("--set", "group.initial.rebalance.delay.ms=200").start()
    yield c
    c.finish()


def test_moldau_command(cluster):
    name = "cmd-" + uuid.uuid4().hex[:8]
    cluster.moldau("topics", "create", name, "--partitions", "3")
    assert name in cluster.moldau("topics", "list").stdout
    for codec in CODECS:
        cluster.moldau("produce", name, "--compression", codec, stdin="".join(f"{codec} {i}\n" for i in range(100)))
    got = cluster.moldau("consume", name, "--from-beginning", "--exit-at-end").stdout.splitlines()
    assert sorted(got) == sorted(f"{c} {i}" for c in CODECS for i in range(100))
    d = json.loads(cluster.moldau("topics", "describe", name, "--output", "json").stdout)
    assert [p["leader"] for p in d[0]["partitions"]] == [1, 1, 1]
    cluster.moldau("topics", "add-partitions", name, "--partitions", "5")
    wait_for("five partitions", lambda: len(json.loads(cluster.moldau(
        "topics", "describe", name, "--output", "json").stdout)[0]["partitions"]) == 5)
    cluster.moldau("topics", "delete", name)
    wait_for("topic gone", lambda: name not in cluster.moldau("topics", "list").stdout.split())


@pytest.mark.parametrize("codec", CODECS)
def test_kcat(cluster, codec):
    name = f"kcat-{codec}-" + uuid.uuid4().hex[:8]
    cluster.moldau("topics", "create", name)
    lines = [f"line {i}" for i in range(500)]
    run("kcat", "-b", cluster.bootstrap, "-P", "-t", name, "-z", codec, stdin="\n".join(lines) + "\n")
    got = run("kcat", "-b", cluster.bootstrap, "-C", "-t", name, "-o", "beginning", "-e", "-q").splitlines()
    assert got == lines
    assert name in run("kcat", "-b", cluster.bootstrap, "-L")


def test_kcat_group(cluster):
    name = "kcatg-" + uuid.uuid4().hex[:8]
    cluster.moldau("topics", "create", name, "--partitions", "2")
    cluster.moldau("produce", name, stdin="".join(f"{i}\n" for i in range(50)))
    out = run("timeout", "30", "kcat", "-b", cluster.bootstrap, "-G", "g-" + name, "-X", "auto.offset.reset=earliest",
              "-c", "50", "-q", name)
    assert sorted(out.split(), key=int) == [str(i) for i in range(50)]
    assert "g-" + name in cluster.moldau("groups", "list").stdout


def test_confluent(cluster):
    ck = pytest.importorskip("confluent_kafka")
    from confluent_kafka.admin import AdminClient, NewTopic
    name = "ck-" + uuid.uuid4().hex[:8]
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([NewTopic(name, 4, 1)])[name].result(20)
    for codec in CODECS:
        errors = []
        p = ck.Producer({"bootstrap.servers": cluster.bootstrap, "compression.type": codec,
                         "enable.idempotence": True})
        for i in range(200):
            p.produce(name, key=str(i), value=f"{codec}-{i}", on_delivery=lambda e, m: e and errors.append(e))
        assert p.flush(20) == 0 and not errors
    want = {f"{c}-{i}" for c in CODECS for i in range(200)}
    conf = {"bootstrap.servers": cluster.bootstrap, "group.id": "g-" + name, "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000, "enable.auto.commit": False}
    a, b = ck.Consumer(conf), ck.Consumer(conf)
    got, seen = set(), {0: set(), 1: set()}
    for c in (a, b):
        c.subscribe([name])
    end = time.monotonic() + 40
    while time.monotonic() < end and (got != want or not all(len(c.assignment()) == 2 for c in (a, b))):
        for n, c in enumerate((a, b)):
            m = c.poll(0.05)
            if m and not m.error():
                got.add(m.value().decode())
                seen[n].add(m.partition())
    assert got == want
    assert len(a.assignment()) == 2 and len(b.assignment()) == 2
    a.commit(asynchronous=False)
    b.close()
    wait_for("the rest goes to the one that is left", lambda: a.poll(0.1) is None and len(a.assignment()) == 4, 30)
    a.close()
    admin.delete_topics([name])[name].result(20)


def test_kafka_python(cluster):
    kafka = pytest.importorskip("kafka")
    from kafka.admin import KafkaAdminClient, NewTopic
    name = "kp-" + uuid.uuid4().hex[:8]
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    admin.create_topics([NewTopic(name, 2, 1)])
    p = kafka.KafkaProducer(bootstrap_servers=cluster.bootstrap, compression_type="gzip", acks="all")
    for i in range(300):
        p.send(name, str(i).encode(), partition=i % 2)
    p.flush(20)
    p.close()
    c = kafka.KafkaConsumer(name, bootstrap_servers=cluster.bootstrap, group_id="g-" + name,
                            auto_offset_reset="earliest", consumer_timeout_ms=15000)
    got = []
    for m in c:
        got.append(int(m.value))
        if len(got) == 300:
            break
    c.commit()
    c.close()
    assert sorted(got) == list(range(300))
    c = kafka.KafkaConsumer(bootstrap_servers=cluster.bootstrap, group_id="g-" + name)
    tps = [kafka.TopicPartition(name, 0), kafka.TopicPartition(name, 1)]
    assert [c.committed(tp) for tp in tps] == [150, 150]
    c.close()
    admin.delete_topics([name])
    admin.close()
