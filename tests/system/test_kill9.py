"""kill -9 of each role under idempotent load: it is replaced, nothing acknowledged is lost, doubled or reordered."""
import time
import uuid

import pytest

from cluster import Cluster, wait_for


@pytest.fixture()
def cluster():
    c = Cluster("--set", "group.initial.rebalance.delay.ms=200").start()
    yield c
    c.finish()


def read_all(ck, cluster, name, parts):
    got = {p: [] for p in range(parts)}
    c = ck.Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "r", "enable.partition.eof": True,
                     "auto.offset.reset": "earliest"})
    c.assign([ck.TopicPartition(name, p, 0) for p in range(parts)])
    eof = set()
    end = time.monotonic() + 60
    while len(eof) < parts and time.monotonic() < end:
        m = c.poll(1)
        if m is None:
            continue
        if m.error():
            eof.add(m.partition())
        else:
            got[m.partition()].append(int(m.value()))
    c.close()
    assert len(eof) == parts
    return got


@pytest.mark.parametrize("role", ["worker", "storage", "groups", "agent", "quorum", "supervisor"])
def test_kill9(cluster, role):
    ck = pytest.importorskip("confluent_kafka")
    name, parts = "k-" + uuid.uuid4().hex[:8], 2
    cluster.moldau("topics", "create", name, "--partitions", str(parts))
    acked = {p: set() for p in range(parts)}
    failed = []

    def done(err, m):
        (failed.append(err) if err else acked[m.partition()].add(int(m.value())))

    p = ck.Producer({"bootstrap.servers": cluster.bootstrap, "enable.idempotence": True, "linger.ms": 2,
                     "reconnect.backoff.max.ms": 200, "message.timeout.ms": 60000})
    n, end, next_kill, kills = 0, time.monotonic() + 5, time.monotonic() + 0.5, 0
    while time.monotonic() < end:
        for _ in range(20):
            p.produce(name, str(n), partition=n % parts, on_delivery=done)
            n += 1
        p.poll(0.005)
        if time.monotonic() > next_kill and kills < 4:
            wait_for(role + " is up", lambda: cluster.roles().get(role))
            cluster.kill9(role)
            kills += 1
            next_kill = time.monotonic() + 0.8
    assert p.flush(60) == 0 and not failed
    assert kills == 4
    got = read_all(ck, cluster, name, parts)
    for q in range(parts):
        assert got[q] == sorted(got[q]), "reordered"
        assert len(got[q]) == len(set(got[q])), "doubled"
        assert acked[q] <= set(got[q]), "lost"
    wait_for("all roles are back", lambda: set(cluster.roles()) >= {
        "quorum", "supervisor", "agent", "storage", "groups", "worker"})
