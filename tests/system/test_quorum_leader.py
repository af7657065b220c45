"""A broker on a quorum of three: its leader is killed and frozen under produce load. Clients see no error, and new
topics can be created again within a second (median of the rounds; a busy machine may be late once)."""
import json
import os
import signal
import statistics
import subprocess
import threading
import time

import pytest

from cluster import BUILD, Cluster, children, wait_for

ROUNDS = 3


class Load:
    """A producer with acks=all that goes on until stop(); every delivery is checked."""

    def __init__(self, ck, cluster, topic):
        self.sent = self.acked = 0
        self.errors, self.on = [], True
        self.p = ck.Producer({"bootstrap.servers": cluster.bootstrap, "acks": "all", "linger.ms": 2,
                              "message.timeout.ms": 30000, "retries": 0,
                              "error_cb": lambda e: self.errors.append(str(e))})
        self.topic = topic
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def done(self, err, _):
        if err:
            self.errors.append(str(err))
        self.acked += 1

    def run(self):
        while self.on:
            for _ in range(10):
                self.p.produce(self.topic, b"x" * 100, on_delivery=self.done)
                self.sent += 1
            self.p.poll(0.005)

    def stop(self):
        self.on = False
        self.thread.join()
        assert self.p.flush(60) == 0


def quorum_addresses(cluster):
    with open(os.path.join(cluster.dir, "data/quorum.port")) as f:
        ports = f.read().split()
    return [f"127.0.0.1:{p}" for p in ports[:3]]


def leader_pid(cluster):
    """The leader's process: the node of the quorum that listens where a leader answers."""
    at = quorum_addresses(cluster)
    r = subprocess.run([os.path.join(BUILD, "moldau"), "quorum", "status", "--output", "json", "--timeout", "2",
                        "--quorum", ",".join(at)], capture_output=True, text=True, timeout=30)
    for s in json.loads(r.stdout):
        if s.get("state") == "leader":
            for pid, cmd in children(cluster.proc.pid).items():
                if "--listen " + s["address"] + " " in cmd + " ":
                    return pid
    return None


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_leader_is_lost_under_load(fault):
    ck = pytest.importorskip("confluent_kafka")
    cluster = Cluster("--quorum", "3").start()
    cluster.moldau("topics", "create", "load", "--partitions", "2")
    load = Load(ck, cluster, "load")
    seconds = []
    for i in range(ROUNDS):
        pid = wait_for("the quorum has a leader", lambda: leader_pid(cluster))
        before = load.acked
        if fault == "kill":
            os.kill(pid, signal.SIGKILL)
            cluster.kills["quorum"] = cluster.kills.get("quorum", 0) + 1
        else:
            os.kill(pid, signal.SIGSTOP)
        t = time.monotonic()
        cluster.moldau("topics", "create", f"{fault}-{i}")
        seconds.append(time.monotonic() - t)
        wait_for("the load goes on", lambda: load.acked > before)
        if fault == "freeze":
            os.kill(pid, signal.SIGCONT)
        wait_for("three nodes are up", lambda: len(cluster.roles().get("quorum", [])) == 3)
        wait_for("another leader", lambda: leader_pid(cluster) not in (None, pid))
    load.stop()
    print(f"{fault}: topics could be created again after", " ".join(f"{s * 1000:.0f}" for s in seconds), "ms")
    assert not load.errors and load.acked == load.sent > 0
    assert statistics.median(seconds) < 1.0 and max(seconds) < 4.0, seconds
    cluster.finish()
