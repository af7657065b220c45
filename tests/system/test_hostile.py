"""Hostile requests over the network: every API key, frames by Kafka's own classes cut, mutated and with wrong lengths.

No process may die, none may grow beyond its bound (docs/testing.md), and an honest client is served afterwards. What
hostile clients cost an honest one beside them is measured by tests/torture/hostile.
MOLDAU_HOSTILE=N: N times as many frames."""
import os
import random
import select
import socket
import struct
import time

import pytest

from cluster import Cluster

BATCHES = os.path.join(os.path.dirname(__file__), "..", "golden", "batches")
GOLDEN = os.path.join(os.path.dirname(__file__), "..", "golden", "wire", "vectors.txt")
TIMES = int(os.environ.get("MOLDAU_HOSTILE", "1"))
MEMORY_MIB = 288                    # private memory of a process: docs/testing.md

# key: (name, first version served, last, first flexible one), as Apache Kafka 4.4 documents them.
SERVED = {
    0: ("Produce", 3, 13, 9), 1: ("Fetch", 4, 18, 12), 2: ("ListOffsets", 1, 11, 6), 3: ("Metadata", 0, 13, 9),
    8: ("OffsetCommit", 2, 10, 8), 9: ("OffsetFetch", 1, 10, 6), 10: ("FindCoordinator", 0, 6, 3),
    11: ("JoinGroup", 0, 9, 6), 12: ("Heartbeat", 0, 4, 4), 13: ("LeaveGroup", 0, 5, 4), 14: ("SyncGroup", 0, 5, 4),
    15: ("DescribeGroups", 0, 6, 5), 16: ("ListGroups", 0, 5, 3), 18: ("ApiVersions", 0, 5, 3),
    19: ("CreateTopics", 2, 7, 5), 20: ("DeleteTopics", 1, 6, 4), 21: ("DeleteRecords", 0, 2, 2),
    22: ("InitProducerId", 0, 5, 2), 23: ("OffsetForLeaderEpoch", 2, 4, 4), 32: ("DescribeConfigs", 1, 4, 4),
    33: ("AlterConfigs", 0, 2, 2), 37: ("CreatePartitions", 0, 3, 2), 42: ("DeleteGroups", 0, 3, 2),
    44: ("IncrementalAlterConfigs", 0, 1, 1), 47: ("OffsetDelete", 0, 0, 99), 60: ("DescribeCluster", 0, 2, 0),
}
EMPTY_BODY = {(18, 0), (18, 1), (18, 2), (16, 0), (16, 1), (16, 2)}     # requests without a field


@pytest.fixture(scope="module")
def cluster():
    c = Cluster("--set", "group.initial.rebalance.delay.ms=0", "--set", "auto.create.topics.enable=false").start()
    yield c
    c.finish()


def frame(key, version, body=b"", flexible=False, correlation=7):
    head = struct.pack(">hhih", key, version, correlation, 3) + b"bad" + (b"\0" if flexible else b"")
    return struct.pack(">i", len(head) + len(body)) + head + body


def connect(cluster):
    s = socket.create_connection(("127.0.0.1", cluster.port), timeout=10)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def receive(s, n):
    got = b""
    while len(got) < n:
        more = s.recv(n - len(got))
        if not more:
            return None
        got += more
    return got


def outcome(cluster, data):
    """"close", or the answer without its length word."""
    with connect(cluster) as s:
        s.sendall(data)
        try:
            head = receive(s, 4)
            return "close" if head is None else receive(s, struct.unpack(">i", head)[0])
        except ConnectionResetError:
            return "close"


def advertised(cluster):
    """{key: (min, max)} of an ApiVersions 0 answer."""
    a = outcome(cluster, frame(18, 0))
    n = struct.unpack(">i", a[6:10])[0]
    return {k: (lo, hi) for k, lo, hi in struct.iter_unpack(">hhh", a[10:10 + 6 * n])}


def private_mib(pid):
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
    return 0


def same_and_small(cluster, before):
    after = cluster.roles()
    assert after == before, "a process died"
    for role in ("worker", "groups", "agent", "storage"):
        for pid in after[role]:
            assert private_mib(pid) < MEMORY_MIB, (role, private_mib(pid))
    versions = outcome(cluster, frame(18, 0))
    assert versions[4:6] == b"\0\0"


def golden():
    """[(key, version, flexible, body)] of the requests that are served, written by Kafka's own classes."""
    by_name = {name + "Request": key for key, (name, *_rest) in SERVED.items()}
    out = []
    with open(GOLDEN) as f:
        for line in f:
            name, version, data = line.split(" ", 3)[:3]
            key = by_name.get(name)
            if key is not None and SERVED[key][1] <= int(version) <= SERVED[key][2]:
                body = b"" if data == "-" else bytes.fromhex(data)
                out.append((key, int(version), int(version) >= SERVED[key][3], body))
    return out


def test_every_key_and_version(cluster):
    """The table of expected outcomes, each request without a body: an answer only where that is a whole request,
    error 35 for an ApiVersions that is too new, else the connection is closed."""
    before = cluster.roles()
    offered = advertised(cluster)
    for key, (name, lo, hi, _) in SERVED.items():
        assert key in offered and offered[key][1] == hi and offered[key][0] <= lo, (name, offered.get(key))
    bad = []
    for key in [*range(-2, 100), 255, 1000, 32767, -32768]:
        lo, hi = SERVED[key][1:3] if key in SERVED else offered.get(key, (0, -1))
        for version in {-32768, -1, *range(0, 16), lo, hi, hi + 1, 127, 32767}:
            served = lo <= version <= hi
            flexible = served and version >= (SERVED[key][3] if key in SERVED else 0)
            got = outcome(cluster, frame(key, version, flexible=flexible))
            if key == 18 and not served:
                ok = got != "close" and got[:6] == struct.pack(">ih", 7, 35)
            elif served and (key, version) in EMPTY_BODY:
                ok = got != "close" and got[:4] == struct.pack(">i", 7)
            elif served and key not in SERVED:
                ok = True               # newer than this table; its own tests look at it
            else:
                ok = got == "close"
            if not ok:
                bad.append((key, version, got if got == "close" else got[:20]))
    assert not bad, bad[:10]
    same_and_small(cluster, before)


class Firing:
    """Sends frames over a few connections that are made again when closed; answers are read and thrown away."""

    def __init__(self, cluster, n=64):
        self.cluster = cluster
        self.socks = [connect(cluster) for _ in range(n)]
        self.at = 0
        for s in self.socks:
            s.setblocking(False)

    def renew(self, i):
        self.socks[i].close()
        self.socks[i] = connect(self.cluster)
        self.socks[i].setblocking(False)

    def drain(self):
        readable, _, _ = select.select(self.socks, [], [], 0)
        for s in readable:
            try:
                if s.recv(1 << 20):
                    continue
            except BlockingIOError:
                continue
            except OSError:
                pass
            self.renew(self.socks.index(s))

    def fire(self, data):
        self.at = (self.at + 1) % len(self.socks)
        s = self.socks[self.at]
        try:
            if s.send(data) != len(data):
                self.renew(self.at)
        except OSError:                 # full, or closed meanwhile
            self.renew(self.at)
        if self.at == 0:
            self.drain()

    def end(self):
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            self.drain()
            time.sleep(0.02)
        for s in self.socks:
            s.close()


def test_golden_requests_as_they_are(cluster):
    """Whatever Kafka's classes can write is answered, parked or refused by a closed connection."""
    before = cluster.roles()
    answered = 0
    for key, version, flexible, body in golden():
        with connect(cluster) as s:
            s.sendall(frame(key, version, body, flexible))
            s.settimeout(0.2)
            try:
                head = receive(s, 4)
                if head is not None:
                    answer = receive(s, struct.unpack(">i", head)[0])
                    assert answer[:4] == struct.pack(">i", 7), (key, version)
                    answered += 1
            except (TimeoutError, ConnectionResetError):
                pass
    assert answered > 100
    same_and_small(cluster, before)


def mutate(rng, data):
    b = bytearray(data)
    what = rng.randrange(5)
    if what == 0:                       # a few wrong bytes behind the length word
        for _ in range(rng.randrange(1, 5)):
            b[rng.randrange(4, len(b))] = rng.randrange(256)
    elif what == 1:                     # cut short, and said so
        b = b[:rng.randrange(12, len(b))]
        struct.pack_into(">i", b, 0, len(b) - 4)
    elif what == 2:                     # more behind the end
        b += rng.randbytes(rng.randrange(1, 3000))
        struct.pack_into(">i", b, 0, len(b) - 4)
    elif what == 3:                     # a piece twice
        at = rng.randrange(12, len(b))
        b[at:at] = b[at:at + rng.randrange(1, 64)]
        struct.pack_into(">i", b, 0, len(b) - 4)
    else:                               # a wrong length word
        struct.pack_into(">i", b, 0, rng.choice([0, 1, 7, 10, -1, -2147483648, 2147483647, len(b), len(b) - 5]))
    return bytes(b)


def test_mutated_frames(cluster):
    before = cluster.roles()
    rng = random.Random(20)
    seeds = [frame(k, v, body, flex) for k, v, flex, body in golden()]
    f = Firing(cluster)
    for _ in range(20000 * TIMES):
        f.fire(mutate(rng, rng.choice(seeds)))
    f.end()
    same_and_small(cluster, before)


def crc32c(data):
    if not hasattr(crc32c, "table"):
        crc32c.table = []
        for c in range(256):
            for _ in range(8):
                c = c >> 1 ^ (0x82f63b78 if c & 1 else 0)
            crc32c.table.append(c)
    c = 0xffffffff
    for b in data:
        c = crc32c.table[(c ^ b) & 255] ^ c >> 8
    return c ^ 0xffffffff


def test_mutated_batches(cluster):
    """Batches by Java and librdkafka in every codec, damaged behind a checksum that fits: records, counts, codecs."""
    cluster.moldau("topics", "create", "batches", "--partitions", "4")
    before = cluster.roles()
    rng = random.Random(22)
    seeds = []
    for name in sorted(os.listdir(BATCHES)):
        if name.endswith(".bin") and "-v2-" in name:
            with open(os.path.join(BATCHES, name), "rb") as f:
                data = f.read()
            seeds.append(data[:12 + struct.unpack(">i", data[8:12])[0]])
    assert len(seeds) > 8
    f = Firing(cluster)
    for _ in range(3000 * TIMES):
        b = bytearray(rng.choice(seeds))
        struct.pack_into(">q", b, 0, 0)
        for _ in range(rng.randrange(0, 4)):
            b[rng.randrange(21, len(b))] = rng.randrange(256)
        if rng.randrange(5) == 0:
            b = b[:rng.randrange(61, len(b) + 1)]
        if rng.randrange(8) != 0:
            struct.pack_into(">i", b, 8, len(b) - 12)
        struct.pack_into(">I", b, 17, crc32c(b[21:]))
        body = struct.pack(">hhiih7sii", -1, -1, 1000, 1, 7, b"batches", 1, rng.randrange(4))
        f.fire(frame(0, 7, body + struct.pack(">i", len(b)) + bytes(b)))
    f.end()
    same_and_small(cluster, before)
    # Whatever was taken can be read, its checksums are right.
    r = cluster.moldau("consume", "batches", "--from-beginning", "--count", "20")
    assert r.stdout.count("\n") >= 20


def test_wrong_lengths_everywhere(cluster):
    """At each place of a body where an array or string length could stand: much more than there is."""
    before = cluster.roles()
    rng = random.Random(21)
    places = [(k, v, flex, body, at) for k, v, flex, body in golden() for at in range(len(body))]
    rng.shuffle(places)
    f = Firing(cluster)
    for key, version, flexible, body, at in places[:20000 * TIMES]:
        b = bytearray(body)
        lie = rng.choice([0x7fffffff, 0x7ffffff, 0x10000, 0xfffffffe])
        if flexible:
            b[at:at + 1] = bytes([lie & 0x7f | 0x80, lie >> 7 & 0x7f | 0x80, lie >> 14 & 0x7f | 0x80,
                                  lie >> 21 & 0x7f | 0x80, lie >> 28 & 0x0f])
        elif rng.randrange(2):
            b[at:at + 4] = struct.pack(">I", lie)
        else:
            b[at:at + 2] = b"\x7f\xff"
        f.fire(frame(key, version, bytes(b), flexible))
    f.end()
    same_and_small(cluster, before)


def test_honest_client_afterwards(cluster):
    name = "after-all"
    cluster.moldau("topics", "create", name)
    cluster.moldau("produce", name, stdin="one\ntwo\n")
    r = cluster.moldau("consume", name, "--from-beginning", "--count", "2")
    assert r.stdout.split() == ["one", "two"]
