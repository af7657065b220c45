"""Several moldau-quorum processes on loopback, for system tests: start, kill, freeze, status, members, and what every
test ends with."""
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import urllib.request

from cluster import BUILD, free_port, wait_for

QUORUM = os.path.join(BUILD, "moldau-quorum")
QTOOL = os.path.join(BUILD, "tests/system/qtool")


def pack(x):
    """msgpack of what our own frames need."""
    if x is None:
        return b"\xc0"
    if isinstance(x, bool):
        return b"\xc3" if x else b"\xc2"
    if isinstance(x, int):
        return bytes([x]) if 0 <= x < 128 else b"\xd3" + struct.pack(">q", x)
    if isinstance(x, str):
        return b"\xda" + struct.pack(">H", len(x)) + x.encode()
    return bytes([0x90 | len(x)]) + b"".join(map(pack, x))


def unpack(p):
    def one(i):
        t = p[i]
        if t < 128:
            return t, i + 1
        if t >= 0xe0:
            return t - 256, i + 1
        if t == 0xc0:
            return None, i + 1
        if t in (0xc2, 0xc3):
            return t == 0xc3, i + 1
        if 0xa0 <= t < 0xc0:
            return p[i + 1:i + 1 + t - 0xa0].decode(), i + 1 + t - 0xa0
        if t == 0xda:
            n = struct.unpack(">H", p[i + 1:i + 3])[0]
            return p[i + 3:i + 3 + n].decode(), i + 3 + n
        if t in (0xd1, 0xd2, 0xd3):
            n = {0xd1: 2, 0xd2: 4, 0xd3: 8}[t]
            return int.from_bytes(p[i + 1:i + 1 + n], "big", signed=True), i + 1 + n
        n, i = (t - 0x90, i + 1) if 0x90 <= t < 0xa0 else (struct.unpack(">I", p[i + 1:i + 5])[0], i + 5)
        v = []
        for _ in range(n):
            x, i = one(i)
            v.append(x)
        return v, i
    return one(0)[0]


class Node:
    def __init__(self, root, number):
        self.number = number
        self.dir = os.path.join(root, f"n{number}")
        self.log = os.path.join(root, f"log{number}")
        self.port, self.peer, self.metrics = free_port(), free_port(), free_port()
        self.address, self.peer_address = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.peer}"
        self.proc, self.kills, self.starts = None, 0, 0
        self.options = []
        self.secure, self.env = None, None           # see tls()

    def tls(self, certificate, key, ca):
        """Asks over TLS from now on."""
        self.secure = ssl.create_default_context(cafile=ca)
        self.secure.load_cert_chain(certificate, key)
        self.env = {**os.environ, "MOLDAU_TLS_CERTIFICATE": certificate, "MOLDAU_TLS_KEY": key, "MOLDAU_TLS_CA": ca}

    def connect(self, seconds):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        return self.secure.wrap_socket(s, server_hostname="127.0.0.1") if self.secure else s

    def start(self):
        self.proc = subprocess.Popen([QUORUM, "--node-id", str(self.number), "--data-dir", self.dir, "--listen",
                                      self.address, "--peer-listen", self.peer_address, "--metrics",
                                      f"127.0.0.1:{self.metrics}", *self.options], stderr=open(self.log, "ab"))
        self.starts += 1

    def kill(self):
        self.proc.kill()
        self.proc.wait()
        self.kills += 1

    def stop(self):
        self.proc.terminate()
        assert self.proc.wait(20) == 0, self.text()[-2000:]

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def ask(self, *frame, seconds=30):
        with self.connect(seconds) as s:
            body = pack(list(frame))
            s.sendall(struct.pack(">I", len(body)) + body)
            data = b""
            while len(data) < 4 or len(data) < 4 + struct.unpack(">I", data[:4])[0]:
                got = s.recv(65536)
                assert got, "the node closed the connection"
                data += got
            return unpack(data[4:])

    def status(self):
        v = self.ask(8, 1)
        names = ("voter", "learner", "leaving", "self", "leader", "connected")
        return {"state": ["follower", "candidate", "leader", "learner", "outside"][v[4]],
                "leader": None if v[5] < 0 else v[5], "term": v[6], "commit": v[7], "applied": v[8], "last": v[9],
                "changing": v[15], "members": [(m[0], {n for n, on in zip(names, m[2:8]) if on}) for m in v[16]]}

    def admin(self, kind, node=-1, address="", observer=False):
        """(0, None) or (error, words)."""
        v = self.ask(9, 1, kind, node, address, observer, seconds=90)
        return v[2], v[3]

    def disk_id(self):
        with open(os.path.join(self.dir, "meta")) as f:
            return re.search(r"disk.id=(\w+)", f.read()).group(1)

    def q(self, *args):
        r = subprocess.run([QTOOL, self.address, *map(str, args)], capture_output=True, text=True, timeout=60, env=self.env)
        return r.stdout.strip()

    def metric(self, name):
        t = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=20).read().decode()
        return int(re.search(rf"^moldau_quorum_{name} (\d+)$", t, re.M).group(1))


class Load(threading.Thread):
    """Creates under a path through one node, 64 in flight; when each was acknowledged."""

    def __init__(self, node, path, count):
        super().__init__(daemon=True)
        self.proc = subprocess.Popen([QTOOL, node.address, "load", path, str(count)], stdout=subprocess.PIPE, text=True,
                                     env=node.env)
        self.acked, self.errors = [], []
        self.start()

    def run(self):
        for line in self.proc.stdout:
            f = line.split()
            if len(f) == 2:
                self.acked.append((time.monotonic(), f[1]))
            else:
                self.errors.append(line.strip())

    def after(self, t):
        return next((x for x, _ in list(self.acked) if x > t), None)

    def stop(self):
        self.proc.kill()
        self.proc.wait()
        self.join()


class Quorum:
    def __init__(self, n=3, *options, prepare=None):
        self.dir = tempfile.mkdtemp(prefix="moldau-quorums-")
        self.nodes = {i: Node(self.dir, i) for i in range(1, n + 1)}
        voters = ",".join(f"{i}@{x.peer_address}" for i, x in self.nodes.items())
        for x in self.nodes.values():
            x.options = (["--voters", voters] if n > 1 else []) + list(options)
            if prepare:
                prepare(x)
            x.start()
        self.leader()

    def alive(self):
        return [x for x in self.nodes.values() if x.alive()]

    def leader(self, seconds=30, among=None):
        """The node that leads and that a majority of those alive follow."""
        def check():
            for x in among or self.alive():
                try:
                    if x.status()["state"] == "leader":
                        return x
                except (OSError, AssertionError):
                    pass
            return None
        return wait_for("a leader", check, seconds)

    def followers(self):
        lead = self.leader()
        return [x for x in self.alive() if x is not lead]

    def add(self, number, *options):
        x = self.nodes[number] = Node(self.dir, number)
        x.options = list(options)
        x.start()
        return x

    def settled(self, numbers, seconds=60):
        """Waits until exactly these are voters, in the eyes of each of them."""
        def check():
            try:
                for i in numbers:
                    st = self.nodes[i].status()
                    voters = sorted(n for n, f in st["members"] if "voter" in f)
                    if st["changing"] or voters != sorted(numbers) or len(st["members"]) != len(numbers):
                        return False
                return True
            except (OSError, AssertionError):
                return False
        wait_for(f"voters {numbers}", check, seconds)

    def same(self, path, seconds=60):
        """All nodes that are alive list the same children."""
        def check():
            v = [x.q("ls", path) for x in self.alive()]
            return v[0] if v and all(a == v[0] for a in v) else None
        return wait_for("the same content everywhere", check, seconds)

    def finish(self):
        for x in self.alive():
            x.stop()
        for x in self.nodes.values():
            for bad in ("AddressSanitizer", "runtime error:", "must:", "assert", "msg=\"a leader contradicts"):
                assert bad not in x.text(), x.text()[-3000:]
            assert x.text().count('msg="started"') == x.starts, (x.number, x.starts, x.text()[-3000:])
        for root, _, files in os.walk(self.dir):
            for f in files:
                assert not re.fullmatch(r"core(\.\d+)?", f), os.path.join(root, f)
        shutil.rmtree(self.dir, ignore_errors=True)
