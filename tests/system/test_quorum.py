"""moldau-quorum alone: kill -9 under load, torn tail, foreign folder, feed, sessions and their ends."""
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.request

import pytest

from cluster import BUILD, free_port, wait_for

QUORUM = os.path.join(BUILD, "moldau-quorum")
QTOOL = os.path.join(BUILD, "tests/system/qtool")


class Quorum:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="moldau-quorum-")
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"

    def start(self, *more):
        self.err = open(os.path.join(self.dir, "log"), "ab")
        self.proc = subprocess.Popen([QUORUM, "--node-id", "1", "--data-dir", self.dir + "/data", "--listen",
                                      self.address, *more], stderr=self.err)
        return self

    def text(self):
        with open(os.path.join(self.dir, "log")) as f:
            return f.read()

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def q(self, *args):
        r = subprocess.run([QTOOL, self.address, *map(str, args)], capture_output=True, text=True, timeout=30)
        return r.stdout.strip()


@pytest.fixture
def quorum():
    q = Quorum().start()
    yield q
    if q.proc.poll() is None:
        q.proc.terminate()
        assert q.proc.wait(10) == 0
    shutil.rmtree(q.dir)


def test_nothing_acknowledged_is_lost_by_kill_9(quorum):
    quorum.q("create", "/load", "x")
    acked = set()
    for round_ in range(6):
        p = subprocess.Popen([QTOOL, quorum.address, "load", "/load", "100000"], stdout=subprocess.PIPE, text=True)
        time.sleep(0.15)
        quorum.kill()
        quorum.start("--snapshot-log-bytes", "100000")
        acked |= {line.split()[1] for line in p.communicate(timeout=30)[0].splitlines() if line.count("/") == 2}
    got = {line.split()[0] for line in quorum.q("ls", "/load").splitlines()}
    assert len(acked) > 500
    assert acked <= got
    assert "snap-" in " ".join(os.listdir(quorum.dir + "/data"))


def test_torn_tail_is_cut_and_damage_before_it_refused(quorum):
    for i in range(20):
        quorum.q("create", f"/n{i}", "x" * 50)
    quorum.kill()
    path = max(os.path.join(quorum.dir, "data", n) for n in os.listdir(quorum.dir + "/data") if n.startswith("log-"))
    with open(path, "ab") as f:
        f.write(b"\x01\x02\x03" * 20)
    quorum.start()
    assert "= x" in quorum.q("get", "/n19")
    assert "torn_bytes=60" in quorum.text()
    quorum.kill()
    with open(path, "r+b") as f:
        f.seek(500)
        f.write(b"\xff\xff\xff")
    quorum.start()
    assert quorum.proc.wait(10) == 1
    assert "it was acknowledged" in quorum.text()


def test_a_log_cut_below_its_snapshot_and_a_wrong_disk_are_refused(quorum):
    """The rest of the log would be lost silently; with another disk.id nobody would ever lead, silently too."""
    quorum.kill()
    quorum.start("--snapshot-log-bytes", "4000")
    for i in range(60):
        quorum.q("create", f"/n{i}", "x" * 200)
    data = quorum.dir + "/data"
    wait_for("a snapshot", lambda: any(n.startswith("snap-") for n in os.listdir(data)))
    quorum.kill()
    meta, log = data + "/meta", max(os.path.join(data, n) for n in os.listdir(data) if n.startswith("log-"))
    with open(meta) as f:
        good = f.read()
    own = re.search(r"disk.id=(\w+)", good).group(1)
    with open(meta, "w") as f:
        f.write(good.replace(own, "00000000deadbeef"))
    quorum.start()
    assert quorum.proc.wait(10) == 1
    assert f"the only member of the log is {own}" in quorum.text()
    with open(meta, "w") as f:
        f.write(good)
    with open(log, "rb+") as f:
        f.truncate(1500)
    quorum.start()
    assert quorum.proc.wait(10) == 1
    assert "what was acknowledged after it is lost" in quorum.text()


def test_foreign_folder_is_refused_naming_both(quorum):
    quorum.q("create", "/a", "x")
    quorum.kill()
    quorum.start("--cluster-id", "AAAAAAAAAAAAAAAAAAAAAA")
    assert quorum.proc.wait(10) == 1
    assert "not to node 1 of cluster AAAAAAAAAAAAAAAAAAAAAA" in quorum.text()


def test_feed_resumes_and_follows_over_a_restart(quorum):
    quorum.q("create", "/t", "x")
    zxid = int(quorum.q("create", "/t/a", "x").split("zxid=")[1].split()[0])
    quorum.q("create", "/other", "x")
    w = subprocess.Popen([QTOOL, quorum.address, "watch", "/t", str(zxid - 1), "3"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    quorum.q("set", "/t/a", "y")
    quorum.kill()
    quorum.start()
    quorum.q("create", "/t/b", "x")
    lines = w.communicate(timeout=30)[0].splitlines()
    assert lines[0] == f"{zxid} changed /t/a"
    assert [x.split()[1:] for x in lines[1:]] == [["changed", "/t/a"], ["changed", "/t/b"]]


def test_session_ends_by_timeout_and_its_ephemeral_goes(quorum):
    p = subprocess.Popen([QTOOL, quorum.address, "hold", "/e", "20"], stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline().strip() == "held"
    os.kill(p.pid, signal.SIGKILL)
    p.wait()
    start = time.monotonic()
    assert quorum.q("get", "/e").startswith("/e")
    wait_for("the ephemeral to go", lambda: quorum.q("get", "/e") == "E_NOENT", 5)
    assert time.monotonic() - start > 1.0


def test_session_ends_at_once_when_the_last_holder_of_its_liveness_connection_dies(quorum):
    assert quorum.q("get", "/")
    live = socket.create_connection(("127.0.0.1", quorum.port))
    p = subprocess.Popen([QTOOL, quorum.address, "hold", "/e", "20"], stdout=subprocess.PIPE, text=True,
                         pass_fds=[live.fileno()], env=dict(os.environ, QTOOL_LIVENESS_FD=str(live.fileno())))
    assert p.stdout.readline().strip() == "held"
    p.kill()
    p.wait()
    time.sleep(0.1)
    assert quorum.q("get", "/e").startswith("/e"), "another process still holds it"
    live.close()
    start = time.monotonic()
    wait_for("the ephemeral to go", lambda: quorum.q("get", "/e") == "E_NOENT", 5)
    assert time.monotonic() - start < 0.5


def test_hostile_frames_change_nothing_for_others(quorum):
    r = random.Random(1)

    def num(v):
        return bytes([v]) if 0 <= v < 128 else b"\xd3" + struct.pack(">q", v)

    def text(x):
        return bytes([0xa0 | len(x)]) + x

    def op():
        return (b"\x95" + num(r.randint(0, 5)) + num(r.randint(0, 4)) +
                text(r.choice([b"/", b"/a", b"/a/b", b"x", b"/a/"])) + b"\xc4\x01v" + num(r.choice([0, 1, 2])))

    def request():
        ops = [op() for _ in range(r.randint(0, 5))]
        return r.choice([
            b"\x98\x01\x01\x01\xc0" + text(b"hostile") + b"\x00\xc4\x10" + bytes(16) + b"\xd1\x13\x88",
            b"\x92\x02\x02", b"\x93\x03\x02" + bytes([0x90 | len(ops)]) + b"".join(ops),
            b"\x94\x04\x02" + text(b"/a") + b"\xc3", b"\x94\x05\x02\x91" + text(b"/") + num(r.choice([0, 3])),
            b"\x92\x06\x02", b"\x94\x07\x02\x05\xc4\x10" + bytes(16)])

    def mutate(x):
        x = bytearray(x)
        for _ in range(r.randint(0, 3)):
            x[r.randrange(len(x))] = r.choice([0, 255, 0xdd, 0xc6, 0x7f, r.randrange(256)])
        return bytes(x)

    assert quorum.q("create", "/keep", "me").startswith("ok")
    for _ in range(300):
        c = socket.create_connection(("127.0.0.1", quorum.port))
        c.settimeout(1)
        frames = [request() for _ in range(r.randint(1, 8))]
        try:
            c.sendall(b"".join(struct.pack(">I", len(f)) + f
                               for f in (mutate(f) if r.random() < .4 else f for f in frames)))
            if r.random() < .2:
                c.recv(4096)
        except OSError:
            pass
        c.close()
    assert quorum.proc.poll() is None
    assert quorum.q("get", "/keep").startswith("/keep = me (version 0) ")


def test_metrics(quorum):
    quorum.kill()
    port = free_port()
    quorum.start("--metrics", f"127.0.0.1:{port}")
    quorum.q("create", "/m", "x")
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    assert "moldau_quorum_leader 1\n" in text and "moldau_quorum_nodes 2\n" in text


def test_settings_are_checked():
    with tempfile.NamedTemporaryFile("w") as f:
        f.write("node.id=1\ndata.dir=/tmp/x\nlisten=127.0.0.1:1\n")
        f.flush()
        assert subprocess.run([QUORUM, "-n", "-c", f.name], capture_output=True).returncode == 0
        f.write("what=1\n")
        f.flush()
        r = subprocess.run([QUORUM, "-n", "-c", f.name], capture_output=True, text=True)
        assert r.returncode == 2 and ":4: unknown setting what" in r.stderr
