"""moldau quorum against three nodes: status, members, the tree; what it answers when nobody is there."""
import json
import os
import shutil
import subprocess
import tempfile

import pytest

from cluster import BUILD, free_port, wait_for

MOLDAU = os.path.join(BUILD, "moldau")
QUORUM = os.path.join(BUILD, "moldau-quorum")


class Nodes:
    def __init__(self, n):
        self.dir = tempfile.mkdtemp(prefix="moldau-quorum-")
        self.native = [f"127.0.0.1:{free_port()}" for _ in range(n + 1)]
        self.peer = [f"127.0.0.1:{free_port()}" for _ in range(n + 1)]
        self.procs = {}
        self.n = n

    def start(self, i, *more):
        err = open(os.path.join(self.dir, f"log{i}"), "ab")
        self.procs[i] = subprocess.Popen([QUORUM, "--node-id", str(i), "--data-dir", f"{self.dir}/{i}", "--listen",
                                          self.native[i - 1], "--peer-listen", self.peer[i - 1], *more], stderr=err)

    def start_all(self):
        voters = ",".join(f"{i}@{self.peer[i - 1]}" for i in range(1, self.n + 1))
        for i in range(1, self.n + 1):
            self.start(i, "--voters", voters)

    def run(self, *args, nodes=None, timeout=30):
        at = ",".join(self.native[i - 1] for i in (nodes or sorted(self.procs)))
        return subprocess.run([MOLDAU, "quorum", *map(str, args), "--quorum", at, "--timeout", str(timeout)],
                              capture_output=True, text=True, timeout=timeout + 30)

    def json(self, *args, **how):
        r = self.run(*args, "--output", "json", **how)
        return json.loads(r.stdout)

    def leader(self):
        for s in self.json("status"):
            if s.get("state") == "leader":
                return s
        return None


@pytest.fixture
def nodes():
    q = Nodes(3)
    q.start_all()
    wait_for("no leader", lambda: q.leader(), 30)
    yield q
    for p in q.procs.values():
        assert p.poll() is None, "a node died"
        p.terminate()
    for p in q.procs.values():
        assert p.wait(20) == 0
    shutil.rmtree(q.dir)


def test_tree(nodes):
    assert nodes.run("set", "/a", "hello", "--create").stdout == "/a has version 0\n"
    for i in (1, 2, 3):		# every node answers, and reads are linearizable on each
        assert nodes.run("get", "/a", nodes=[i]).stdout == "hello\n"
    assert nodes.run("set", "/a", "world", "--version", 0, nodes=[2]).returncode == 0
    r = nodes.run("set", "/a", "again", "--version", 0)
    assert r.returncode == 1 and "version" in r.stderr
    assert nodes.run("set", "/a/b", "x", "--create").returncode == 0
    assert nodes.json("get", "/a")["value"] == "world" and nodes.json("get", "/a")["version"] == 1
    assert [x["path"] for x in nodes.json("ls", "/a")] == ["/a/b"]
    assert nodes.run("delete", "/a").returncode == 1
    watch = subprocess.Popen([MOLDAU, "quorum", "watch", "/a", "--count", "1", "--output", "json", "--quorum",
                              nodes.native[2]], stdout=subprocess.PIPE, text=True)
    first = [json.loads(watch.stdout.readline()) for _ in range(2)]
    assert [(x["event"], x["path"]) for x in first] == [("is", "/a"), ("is", "/a/b")]
    assert nodes.run("delete", "/a/b").returncode == 0
    change = json.loads(watch.stdout.readline())
    assert (change["event"], change["path"]) == ("deleted", "/a/b") and watch.wait(20) == 0
    r = nodes.run("get", "/nope")
    assert r.returncode == 1 and "/nope" in r.stderr
    assert nodes.run("get", "nope").returncode == 2
    # each of these runs ended its session
    wait_for("sessions are left", lambda: nodes.leader()["sessions"] == 0, 10)


def test_members(nodes):
    before = nodes.leader()
    assert [m["role"] for m in before["members"]].count("voter") == 2
    assert nodes.run("transfer").returncode == 0
    wait_for("the same leader", lambda: (nodes.leader() or before)["leader"] != before["leader"], 20)
    assert nodes.run("snapshot").returncode == 0
    r = nodes.run("remove", 9)
    assert r.returncode == 1 and "no member" in r.stderr
    nodes.start(4, "--join", ",".join(nodes.peer[:3]))
    wait_for("node 4 does not vote", lambda: [m["role"] for m in (nodes.leader() or before)["members"]].count("voter") == 3, 30)
    leader = nodes.leader()["leader"]
    follower = next(m["node"] for m in before["members"] if m["node"] != leader)
    ask = next(i for i in (1, 2, 3) if i != follower)
    assert nodes.run("remove", follower, nodes=[ask]).returncode == 0
    wait_for("still a member", lambda: follower not in [m["node"] for m in nodes.leader()["members"]], 20)


def test_nobody_there():
    q = Nodes(1)
    r = q.run("status", nodes=[1], timeout=5)
    assert r.returncode == 3 and "no node of the quorum answers" in r.stderr
    r = q.run("get", "/a", nodes=[1], timeout=1)
    assert r.returncode == 3 and "no node of the quorum answers" in r.stderr
    r = q.run("frobnicate", nodes=[1])
    assert r.returncode == 2
    shutil.rmtree(q.dir)
