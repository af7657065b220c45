"""A ZooKeeper moves in: its data folder is imported, and what it says of every node after a restart is compared.

ZOOKEEPER_VERSION=3.9.5 takes that one from Maven Central; otherwise Debian's is used.
"""
import gzip
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

import pytest

from cluster import BUILD, free_port, wait_for
from quorums import Node
import zkwire

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../golden/zk"), os.path.join(HERE, "../interop")]
from exchanges import (AUTH, CHILDREN2, CLOSE, CONTAINER, CREATE, CREATE2, DELETE, END, GET, GETACL, MULTI, OPEN,  # noqa: E402
                       SET, SETACL, TTL, Reader, acl, buf, create, digest, head, i4, i8, s4)

QUORUM = os.path.join(BUILD, "moldau-quorum")
SUPER = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="          # super:test
BOB = (15, "digest", digest("bob:secret"))
KINDS = {CREATE: (0, 1, 2, 3), CREATE2: (0, 2), CONTAINER: (4,), TTL: (5, 6)}
BEYOND = b"\0" * 64


def jars():
    version = os.environ.get("ZOOKEEPER_VERSION")
    if version:
        from interop import classpath
        return classpath("zookeeper", version)
    return zkwire.debian_jars()


JARS = jars()
pytestmark = pytest.mark.skipif(zkwire.missing(JARS) is not None, reason=str(zkwire.missing(JARS)))


class Link(zkwire.Wire):
    """Requests in a row; answers come in their order."""

    def __init__(self, port, session=0, password=bytes(16), seen=0, timeout=100000):
        super().__init__("127.0.0.1", port, session, password, timeout, seen)
        self.xid = 0

    def send(self, *requests):
        out = b""
        for op, body in requests:
            self.xid += 1
            out += i4(8 + len(body)) + i4(self.xid) + i4(op) + body
        self.s.sendall(out)

    def answer(self):
        """(error, zxid, reader of the rest)"""
        f = self.frame()
        assert f is not None, "the server closed the connection"
        xid, zxid, err = struct.unpack_from(">iqi", f)
        return err, zxid, Reader(f[16:])

    def ask(self, op, body=b""):
        self.send((op, body))
        return self.answer()

    def authenticate(self, scheme, what):
        assert self.ask(AUTH, i4(0) + s4(scheme) + buf(what))[0] == 0


class Theirs:
    """A ZooKeeper on a folder."""

    def __init__(self, folder, *lines):
        self.folder, self.port = folder, free_port()
        os.makedirs(folder, exist_ok=True)
        command = zkwire.zookeeper(JARS, folder + ".cfg", [f"dataDir={folder}", f"clientPort={self.port}",
                                                           "maxSessionTimeout=200000", *lines],
                                   ["zookeeper.forceSync=no", "zookeeper.extendedTypesEnabled=true",
                                    "zookeeper.preAllocSize=1000", "znode.container.checkIntervalMs=100000000",
                                    "zookeeper.DigestAuthenticationProvider.superDigest=" + SUPER, *PROPERTIES])
        self.log = open(folder + ".log", "ab")
        self.proc = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        wait_for("the ZooKeeper to serve", lambda: "Mode: " in zkwire.word("127.0.0.1", self.port, "srvr"), 60)

    def kill(self):
        self.proc.send_signal(signal.SIGKILL)
        self.proc.wait()
        self.log.close()


PROPERTIES = []


class Random:
    """Requests of several sessions: the same tree is fought over, and it is written while snapshots are taken."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def path(self):
        return "".join(f"/{self.r.choice('abcdef')}" for _ in range(self.r.choice((1, 1, 2, 2, 3))))

    def data(self):
        return self.r.choice((None, b"", b"x", self.r.randbytes(self.r.randrange(200))))

    def rights(self):
        return self.r.choice((OPEN, OPEN, OPEN, [(31, "world", "anyone"), BOB], [BOB, (1, "world", "anyone")],
                              [(31, "ip", "127.0.0.1")]))

    def change(self):
        r = self.r
        k = r.randrange(10)
        if k < 5:
            op = r.choice((CREATE, CREATE, CREATE2, CONTAINER, TTL))
            flags = r.choice(KINDS[op])
            body = create(self.path() + r.choice(("", "ü", "-")), self.data(), self.rights(), flags)
            return op, body + (i8(10 ** 9) if op == TTL else b"")
        if k < 8:
            return DELETE, s4(self.path()) + i4(-1)
        return SET, s4(self.path()) + buf(self.data()) + i4(-1)

    def request(self):
        k = self.r.randrange(20)
        if k == 0:
            return SETACL, s4(self.path()) + acl(self.rights()) + i4(-1)
        if k < 4:
            parts = [self.change() for _ in range(self.r.randrange(1, 5))]
            return MULTI, b"".join(head(op) + body for op, body in parts) + END
        return self.change()


def load(port, seed, count, depth=100):
    """Sessions that stay, one that ends by itself among them; what the answers said no longer matters."""
    rnd = Random(seed)
    links = [Link(port) for _ in range(3)]
    for x in links:
        x.authenticate("digest", b"bob:secret")
    boss = Link(port)
    boss.authenticate("digest", b"super:test")
    for path, limits in (("/a", b"count=-1,bytes=-1"), ("/b/c", b"count=1000,bytes=100000")):
        q = "/zookeeper/quota"
        for part in path[1:].split("/"):
            q += "/" + part
            boss.ask(CREATE, create(q))
        boss.ask(CREATE, create(path))
        boss.ask(CREATE, create(q + "/zookeeper_limits", limits))
        boss.ask(CREATE, create(q + "/zookeeper_stats", b"count=0,bytes=0"))
    good = 0
    for at in range(0, count, depth * len(links)):
        for x in links:
            x.send(*(rnd.request() for _ in range(depth)))
        for x in links:
            for _ in range(depth):
                good += x.answer()[0] == 0
        if at // (depth * len(links)) % 4 == 2:
            assert links[0].ask(CLOSE)[0] == 0
            links[0].close()
            links[0] = Link(port)
            links[0].authenticate("digest", b"bob:secret")
    assert good > count // 5, good
    last = boss.ask(CREATE, create("/last"))[1]
    return links, last


def dump(port):
    """Every node's value, rights and Stat, but what a start of an ensemble writes."""
    x = Link(port)
    x.authenticate("digest", b"super:test")
    tree, todo = {}, ["/"]
    while todo:
        path = todo.pop()
        x.send((GET, s4(path) + b"\0"), (GETACL, s4(path)), (CHILDREN2, s4(path) + b"\0"))
        err, _, r = x.answer()
        assert err == 0, (path, err)
        value, stat = r.buf(), r.take(68)
        err, _, r = x.answer()
        assert err == 0, (path, err)
        rights = [(r.i4(), r.s4(), r.s4()) for _ in range(r.i4())]
        err, _, r = x.answer()
        names = [r.s4() for _ in range(r.i4())]
        tree[path] = (value, struct.unpack(">qqqqiiiqiiq", stat), rights)
        todo += [(path if path != "/" else "") + "/" + n for n in names]
    assert x.ask(CLOSE)[0] == 0
    x.close()
    return tree


def differences(a, b):
    return [(p, a.get(p), b.get(p)) for p in sorted(a.keys() | b.keys()) if a.get(p) != b.get(p)]


def do_import(folder, data, *more, node=0):
    return subprocess.run([QUORUM, "--node-id", str(node), "--data-dir", data, "--listen", f"127.0.0.1:{free_port()}",
                           "--import-zookeeper", folder, *more], capture_output=True, text=True, timeout=60)


class Ours(Node):
    def __init__(self, root, number, voters=None):
        super().__init__(root, number)
        self.zk = free_port()
        self.options = ["--zookeeper-listen", f"127.0.0.1:{self.zk}", "--zookeeper-super-digest", SUPER, "--zookeeper-words", "*",
                        "--zookeeper-reap-ms", "100000000", "--zookeeper-session-ms-max", "200000",
                        "--zookeeper-extended-types", "true"]

    def serves(self):
        wait_for("the node to serve", lambda: "Mode: " in zkwire.word("127.0.0.1", self.zk, "srvr"), 30)

    def finish(self):
        self.stop()
        for bad in ("AddressSanitizer", "runtime error:", "must:"):
            assert bad not in self.text(), self.text()[-3000:]


@pytest.fixture
def folder():
    d = tempfile.mkdtemp(prefix="moldau-import-")
    yield d
    shutil.rmtree(d, ignore_errors=True)


@pytest.fixture(scope="module")
def killed():
    """The folder of a ZooKeeper that was killed under load, what it says after a restart, and its sessions."""
    d = tempfile.mkdtemp(prefix="moldau-import-")
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    print("seed", seed)
    z = Theirs(d + "/zk", "snapCount=400")
    links, last = load(z.port, seed, int(os.environ.get("REQUESTS", 6000)))
    z.kill()
    shutil.copytree(d + "/zk", d + "/again")
    z = Theirs(d + "/again")
    tree = dump(z.port)
    z.kill()
    yield d + "/zk", tree, [(x.session, x.password) for x in links], last
    shutil.rmtree(d, ignore_errors=True)


def said(r, what):
    assert r.returncode == 0, r.stderr
    assert what in r.stdout, r.stdout


def test_every_node_is_as_the_zookeeper_says(killed, folder):
    zk, tree, sessions, last = killed
    tree = dict(tree)
    assert len(tree) > 50 and len(os.listdir(zk + "/version-2")) > 6, (len(tree), os.listdir(zk + "/version-2"))
    nodes = {i: Ours(folder, i) for i in (1, 2, 3)}
    voters = ",".join(f"{i}@{x.peer_address}" for i, x in nodes.items())
    said(do_import(zk, nodes[1].dir, "-n"), "can be imported")
    assert not os.path.exists(nodes[1].dir)
    said(do_import(zk, nodes[1].dir, "--peer-listen", nodes[1].peer_address, "--voters", voters, node=1),
         "ZooKeeper's own: the same")
    for x in nodes.values():
        x.options += ["--voters", voters]
        x.start()
    for x in nodes.values():
        x.serves()
    wait_for("three voters", lambda: sum("voter" in f for _, f in nodes[1].status()["members"]) == 3 and
             not nodes[1].status()["changing"], 30)
    for x in nodes.values():
        assert differences(tree, dump(x.zk)) == []

    # a client that moves with its session, and the next numbers of its sequences
    for session, password in sessions:
        x = Link(nodes[2].zk, session, password, seen=last)
        assert x.session == session and x.timeout == 100000
        x.authenticate("digest", b"super:test")
        for path in ["/"] + [p for p, (_, st, _) in tree.items() if st[7] == 0 and st[5] > 0 and "zookeeper" not in p]:
            want = "%s/s-%010d" % (path if path != "/" else "", (tree[path][1][5] + tree[path][1][9]) // 2)
            err, zxid, r = x.ask(CREATE, create(("" if path == "/" else path) + "/s-", flags=2))
            assert (err, r.s4()) == (0, want) and zxid > last
            assert x.ask(DELETE, s4(want) + i4(-1))[0] == 0
            v, st, a = tree[path]
            tree[path] = (v, st[:5] + (st[5] + 2,) + st[6:], a)
    owned = [p for p, (_, st, _) in tree.items() if st[7] == sessions[1][0]]
    assert owned, "no ephemerals to be gone with their session"
    assert x.ask(CLOSE)[0] == 0 and x.session == sessions[2][0]
    y = Link(nodes[3].zk, *sessions[1])
    assert y.ask(CLOSE)[0] == 0
    left = dump(nodes[1].zk)
    gone = {s for s, _ in sessions[1:]}
    assert set(tree) - set(left) == {p for p, (_, st, _) in tree.items() if st[7] in gone}
    z = Link(nodes[3].zk, sessions[0][0], b"\1" * 16)
    assert z.session == 0, "a wrong password"
    nodes[1].kill()
    nodes[1].start()
    nodes[1].serves()
    wait_for("the node to have all", lambda: dump(nodes[1].zk) == left, 20)
    for x in nodes.values():
        x.finish()


def newest(zk, prefix, skip=0):
    v = sorted((n for n in os.listdir(zk + "/version-2") if n.startswith(prefix)), key=lambda n: int(n.split(".")[1], 16))
    return os.path.join(zk, "version-2", v[-1 - skip])


@pytest.fixture
def copy(killed, folder):
    shutil.copytree(killed[0], folder + "/zk")
    return folder + "/zk"


def served(data, tree):
    """What a node on the folder says; the same as the tree."""
    x = Ours(os.path.dirname(data), 0)
    x.dir = data
    x.start()
    x.serves()
    assert differences(tree, dump(x.zk)) == []
    x.finish()


def test_files_that_are_not_whole(killed, copy, folder):
    tree = killed[1]
    # the newest snapshot is cut off, the one before it has a wrong byte: an older one and more of the log
    with open(newest(copy, "snapshot"), "r+b") as f:
        f.truncate(os.path.getsize(f.name) - 20)
    with open(newest(copy, "snapshot", 1), "r+b") as f:
        f.seek(os.path.getsize(f.name) // 2)
        b = f.read(1)
        f.seek(-1, 1)
        f.write(bytes([b[0] ^ 1]))
    r = do_import(copy, folder + "/a")
    said(r, "ZooKeeper's own: the same")
    assert r.stderr.count("is passed over") == 2, r.stderr
    served(folder + "/a", tree)
    # compressed, beside a log folder of its own
    os.makedirs(folder + "/logs/version-2")
    for n in os.listdir(copy + "/version-2"):
        if n.startswith("log"):
            os.rename(f"{copy}/version-2/{n}", f"{folder}/logs/version-2/{n}")
    name = newest(copy, "snapshot", 2)
    with open(name, "rb") as f, gzip.open(name + ".gz", "wb") as g:
        g.write(f.read())
    os.unlink(name)
    r = do_import(copy, folder + "/b")
    assert r.returncode == 1 and "dataLogDir" in r.stderr and not os.path.exists(folder + "/b"), r.stderr
    said(do_import(copy, folder + "/b", "--import-zookeeper-logs", folder + "/logs"), "ZooKeeper's own: the same")
    served(folder + "/b", tree)
    # alone: not one that was written under load, unless nothing came in between
    r = do_import(name + ".gz", folder + "/c")
    assert "0 transactions of 0 logs" in r.stdout or "newer than the last transaction" in r.stderr, r
    r = do_import(newest(killed[0][:-2] + "again", "snapshot"), folder + "/d")
    said(r, "0 transactions of 0 logs")
    said(r, "ZooKeeper's own: the same")
    served(folder + "/d", tree)


def snappy(data):
    """As SnappyOutputStream frames it, of literals alone."""
    out = b"\x82SNAPPY\0" + i4(1) + i4(1)
    for at in range(0, len(data), 32768):
        block = data[at:at + 32768]
        size, n = b"", len(block)
        while n > 127:
            size, n = size + bytes([n & 127 | 128]), n >> 7
        packed = size + bytes([n, 61 << 2]) + struct.pack("<H", len(block) - 1) + block
        out += i4(len(packed)) + packed
    return out


def test_compressed_snapshots(killed, copy, folder):
    name = newest(copy, "snapshot")
    with open(name, "rb") as f:
        data = f.read()
    os.unlink(name)
    for ending, packed in (("gz", gzip.compress(data)), ("snappy", snappy(data))):
        with open(f"{name}.{ending}", "wb") as f:
            f.write(packed)
        r = do_import(copy, folder + "/" + ending)
        said(r, "ZooKeeper's own: the same")
        assert os.path.basename(name) + "." + ending in r.stderr, r.stderr
        served(folder + "/" + ending, killed[1])
        with open(f"{name}.{ending}", "wb") as f:        # cut off: an older one is taken
            f.write(packed[:-40])
        r = do_import(copy, folder + "/older-" + ending)
        said(r, "ZooKeeper's own: the same")
        assert "passed over" in r.stderr, r.stderr
        os.unlink(f"{name}.{ending}")


def test_an_ensemble_moves(killed, folder):
    """Each server has a zoo.cfg and its ZooKeeper's files; one is imported, and the others take the tree from it."""
    ports = {i: (free_port(), free_port()) for i in (1, 2, 3)}
    procs, logs = {}, {}

    def start(i, *more):
        logs[i] = open(f"{folder}/log{i}", "ab")
        procs[i] = subprocess.Popen([QUORUM, "--zookeeper-config", f"{folder}/zoo{i}.cfg", "--zookeeper-super-digest", SUPER,
                                     "--zookeeper-session-ms-max", "200000", *more], stderr=logs[i])

    for i, (port, _) in ports.items():
        d = f"{folder}/data{i}"
        shutil.copytree(killed[0], d)
        os.makedirs(f"{folder}/log-of-{i}/version-2")
        for n in os.listdir(d + "/version-2"):
            if n.startswith("log"):
                os.rename(f"{d}/version-2/{n}", f"{folder}/log-of-{i}/version-2/{n}")
        with open(d + "/myid", "w") as f:
            f.write(f"{i}\n")
        with open(f"{folder}/zoo{i}.cfg", "w") as f:
            f.write(f"dataDir={d}\ndataLogDir={folder}/log-of-{i}\nclientPort={port}\nadmin.enableServer=false\n"
                    "4lw.commands.whitelist=*\nclientPortAddress=127.0.0.1\n" +
                    "".join(f"server.{k}=127.0.0.1:{p}:{p + 1 if p < 65535 else 1}\n" for k, (_, p) in ports.items()))
    for i in ports:
        start(i)
    assert procs[1].wait(20) == 3, "it began a new quorum beside the ZooKeeper's data"
    for i in (2, 3):
        assert procs[i].poll() is None
    r = subprocess.run([QUORUM, "--zookeeper-config", f"{folder}/zoo1.cfg", "--import-zookeeper", f"{folder}/data1"],
                       capture_output=True, text=True, timeout=30)
    said(r, "ZooKeeper's own: the same")
    start(1)
    for i, (port, _) in ports.items():
        wait_for(f"node {i} to serve", lambda: "Mode: " in zkwire.word("127.0.0.1", port, "srvr"), 30)
        got = dump(port)
        config = got["/zookeeper/config"][0]
        assert b"server.1=127.0.0.1" in config and b"server.3=127.0.0.1" in config, config
        got["/zookeeper/config"] = killed[1]["/zookeeper/config"]
        assert differences(killed[1], got) == []
    for i, p in procs.items():
        p.send_signal(signal.SIGTERM)
        assert p.wait(20) == 0
        logs[i].close()
        with open(f"{folder}/log{i}", errors="replace") as f:
            assert "AddressSanitizer" not in f.read()


def whole_records(data):
    at, v = 16, []
    while True:
        n = struct.unpack_from(">i", data, at + 8)[0] if at + 12 < len(data) else 0
        if n == 0:
            return v
        v.append((at, 13 + n))
        at += 13 + n


def test_logs_that_are_not_whole(copy, folder):
    while True:
        name = newest(copy, "log")
        with open(name, "rb") as f:
            data = f.read()
        records = whole_records(data)
        if len(records) > 10:
            break
        os.unlink(name)                 # it was just begun: it and the snapshot of that moment are taken away
        os.unlink(newest(copy, "snapshot"))

    def put(b):
        with open(name, "wb") as f:
            f.write(b)

    def refused(what):
        r = do_import(copy, folder + "/data")
        assert r.returncode == 1 and what in r.stderr and os.path.basename(name) in r.stderr, r.stderr
        assert not os.path.exists(folder + "/data")

    at, n = records[-1]
    # cut off in its last transaction, with and without zeros behind: the end, as ZooKeeper's
    for i, cut in enumerate((data[:at + 5], data[:at + n - 1], data[:at + n - 1] + BEYOND, data[:at + 30] + b"\0" * 5000)):
        put(cut)
        said(do_import(copy, f"{folder}/cut{i}"), "last zxid")
    at, n = records[len(records) // 2]
    put(data[:at + 40] + bytes([data[at + 40] ^ 4]) + data[at + 41:])
    refused(f"wrong checksum at byte {at}")
    put(data[:at + n - 1] + b"\0" + data[at + n:])
    refused(f"whole ones behind it at byte {at}")
    put(data[:at + 12] + b"\0" * (n - 12) + data[at + n:])
    refused(f"whole ones behind it at byte {at}")
    put(b"nonsense" + data[8:])
    refused("ZKLG")
    put(data)
    for n in os.listdir(copy + "/version-2"):
        if n.startswith("snapshot"):
            os.unlink(f"{copy}/version-2/{n}")
    r = do_import(copy, folder + "/data")
    assert r.returncode == 1 and "there is no snapshot" in r.stderr, r.stderr


def test_a_log_is_missing(copy, folder):
    for i in range(3):
        with open(newest(copy, "snapshot", i), "r+b") as f:
            f.truncate(100)
    os.unlink(newest(copy, "log", 1))
    r = do_import(copy, folder + "/data")
    assert r.returncode == 1 and "those between are missing" in r.stderr, r.stderr
    assert not os.path.exists(folder + "/data")


def test_what_is_refused(killed, copy, folder):
    z = Theirs(copy)
    x = Link(z.port)
    for path in ("/topics", "/big"):
        assert x.ask(CREATE, create(path))[0] == 0
    z.kill()
    r = do_import(copy, folder + "/a")
    assert r.returncode == 1 and "/topics: this name belongs to the brokers" in r.stderr, r.stderr
    cfg = folder + "/zoo.cfg"
    with open(cfg, "w") as f:
        f.write(f"dataDir={copy}\nclientPort={free_port()}\nadmin.enableServer=false\n")
    # beside a zoo.cfg: neither overlooked nor taken over unasked
    r = subprocess.run([QUORUM, "--zookeeper-config", cfg], capture_output=True, text=True, timeout=30)
    assert r.returncode == 3 and "holds a ZooKeeper's data" in r.stderr and f"--import-zookeeper {copy}" in r.stderr, r.stderr
    r = subprocess.run([QUORUM, "--zookeeper-config", cfg, "--import-zookeeper", copy, "--zookeeper-nodes-max", "5"],
                       capture_output=True, text=True, timeout=30)
    assert r.returncode == 1 and "zookeeper-nodes-max=5" in r.stderr, r.stderr
    r = subprocess.run([QUORUM, "--zookeeper-config", cfg, "--import-zookeeper", copy], capture_output=True, text=True, timeout=30)
    said(r, "the same")
    assert sorted(os.listdir(copy + "/moldau")) == ["meta", "snap-00000000000000000001", "vote"]
    r = subprocess.run([QUORUM, "--zookeeper-config", cfg, "--import-zookeeper", copy], capture_output=True, text=True, timeout=30)
    assert r.returncode == 1 and "holds a node already" in r.stderr, r.stderr
    # one that did not come to its end
    open(copy + "/moldau/importing", "w").close()
    r = subprocess.run([QUORUM, "--zookeeper-config", cfg], capture_output=True, text=True, timeout=30)
    assert r.returncode == 1 and "did not come to its end" in r.stderr, r.stderr


def test_the_comparison_can_fail(killed):
    tree = killed[1]
    path = max(tree)
    v, st, a = tree[path]
    for other in ((b"other", st, a), (v, st[:10] + (st[10] + 1,), a), (v, st, a + [(1, "world", "anyone")])):
        assert differences(tree, {**tree, path: other})
    assert differences(tree, {p: x for p, x in tree.items() if p != path})


def make_golden(to):
    """tests/golden/zk/import: the files of a ZooKeeper that was killed, and in `tree` what it said after a restart."""
    shutil.rmtree(to, ignore_errors=True)
    d = tempfile.mkdtemp(prefix="moldau-import-")
    z = Theirs(d + "/zk", "snapCount=100")
    load(z.port, 1, 600, 40)
    z.kill()
    os.makedirs(to)
    names = sorted(os.listdir(d + "/zk/version-2"))
    snaps = sorted((n for n in names if n.startswith("snapshot")), key=lambda n: int(n.split(".")[1], 16))
    for n in snaps[:1] + snaps[-2:] + [n for n in names if n.startswith("log")]:
        with open(f"{d}/zk/version-2/{n}", "rb") as f, open(f"{to}/{n}", "wb") as g:
            data = f.read()
            g.write(data.rstrip(b"\0") + BEYOND if n.startswith("log") else data)
    z = Theirs(d + "/zk")
    with open(to + "/tree", "w") as g:
        for path, (value, stat, rights) in sorted(dump(z.port).items()):
            g.write(" ".join([path, "null" if value is None else "=" + value.hex(), *map(str, stat),
                              acl(rights).hex()]) + "\n")
    z.kill()
    shutil.rmtree(d)


if __name__ == "__main__":
    make_golden(sys.argv[1])
