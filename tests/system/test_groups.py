"""Groups and their offsets over deaths: committed offsets that were acknowledged are never lost, and a member
stays in its group, when any process is killed and when the whole cluster starts again."""
import time
import uuid

import pytest

from cluster import Cluster, wait_for

ck = pytest.importorskip("confluent_kafka")


@pytest.fixture()
def cluster():
    c = Cluster("--set", "group.initial.rebalance.delay.ms=200").start()
    yield c
    c.finish()


def consumer(cluster, group, **extra):
    return ck.Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": group, "auto.offset.reset": "earliest",
                        "enable.auto.commit": False, "session.timeout.ms": 10000,
                        "reconnect.backoff.max.ms": 200, **extra})


def joined(c, name, parts):
    c.subscribe([name])

    def all_assigned():
        c.poll(0.1)
        return len(c.assignment()) == parts
    wait_for("the assignment", all_assigned)


def committed(c, name, p=0):
    return c.committed([ck.TopicPartition(name, p)], timeout=20)[0].offset


@pytest.mark.parametrize("role", ["groups", "worker", "storage", "agent", "supervisor"])
def test_commits_survive_kills(cluster, role):
    name = "g-" + uuid.uuid4().hex[:8]
    cluster.moldau("topics", "create", name, "--partitions", "2")
    c = consumer(cluster, name)
    joined(c, name, 2)
    acked, tried, kills, errors = 0, 0, 0, []
    end, next_kill = time.monotonic() + 4, time.monotonic() + 0.5
    while time.monotonic() < end or kills < 3:
        if time.monotonic() > next_kill and kills < 3:
            wait_for(role + " is up", lambda: cluster.roles().get(role))
            cluster.kill9(role)
            kills += 1
            next_kill = time.monotonic() + 1
        tried += 1
        try:
            r = c.commit(offsets=[ck.TopicPartition(name, 0, tried)], asynchronous=False)
            if r[0].error:
                errors.append(r[0].error)
            else:
                acked = tried
        except ck.KafkaException as e:
            errors.append(e)
        c.poll(0)
    assert acked > 100, errors[:3]
    assert acked <= committed(c, name) <= tried
    if role in ("groups", "storage", "agent"):
        assert not errors, errors[:3]       # such a death is not seen by a client
    c.close()


def test_everything_starts_again(cluster):
    name = "g-" + uuid.uuid4().hex[:8]
    cluster.moldau("topics", "create", name, "--partitions", "2")
    c = consumer(cluster, name)
    joined(c, name, 2)
    c.commit(offsets=[ck.TopicPartition(name, 0, 41), ck.TopicPartition(name, 1, 42)], asynchronous=False)
    c.close()
    cluster.stop()
    cluster.start()
    c = consumer(cluster, name)
    assert [committed(c, name, p) for p in (0, 1)] == [41, 42]
    c.close()


def test_static_member_keeps_its_place(cluster):
    name = "g-" + uuid.uuid4().hex[:8]
    cluster.moldau("topics", "create", name, "--partitions", "2")
    a = consumer(cluster, name, **{"group.instance.id": "one"})
    joined(a, name, 2)
    a.close()                               # a static member does not leave
    start = time.monotonic()
    b = consumer(cluster, name, **{"group.instance.id": "one"})
    joined(b, name, 2)
    assert time.monotonic() - start < 5     # no rebalance, no wait for a session
    b.close()
