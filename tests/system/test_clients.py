"""Our own command, and unmodified clients from Debian packages: kcat, a C program on librdkafka,
python3-confluent-kafka, python3-kafka."""
import json
import os
import subprocess
import uuid

import pytest

from cluster import BUILD, Cluster, wait_for

INTEROP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop")

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
    ck = pytest.importorskip("confluent_kafka")
    group = "g-" + name
    c = ck.Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": group})
    c.commit(offsets=[ck.TopicPartition(name, 1, 5)], asynchronous=False)
    c.close()
    end = sum(1 for _ in cluster.moldau("consume", name, "--partition", "1", "--from-beginning",
                                        "--exit-at-end").stdout.splitlines())
    g = json.loads(cluster.moldau("groups", "describe", group, "--output", "json").stdout)[0]
    assert g["offsets"] == [{"topic": name, "partition": 1, "committed_offset": 5, "log_end_offset": end,
                             "lag": max(end - 5, 0)}]
    cluster.moldau("topics", "add-partitions", name, "--partitions", "5")
    wait_for("five partitions", lambda: len(json.loads(cluster.moldau(
        "topics", "describe", name, "--output", "json").stdout)[0]["partitions"]) == 5)
    cluster.moldau("topics", "delete", name)
    wait_for("topic gone", lambda: name not in cluster.moldau("topics", "list").stdout.split())


@pytest.mark.parametrize("client", ["kcat", "librdkafka", "confluent-kafka-debian", "kafka-python-debian"])
def test_client(client, tmp_path):
    """One script a client (tests/interop): create, describe, configs, every codec, null keys and values, headers,
    idempotence, a group of two with a rebalance, offsets, delete records, delete. It ends with the checks of a
    system test itself."""
    env = {**os.environ, "MOLDAU_BUILD": os.path.abspath(BUILD), "INTEROP_CACHE": str(tmp_path)}
    r = subprocess.run([os.path.join(INTEROP, client)], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=300)
    assert r.returncode == 0, r.stdout[-6000:]
