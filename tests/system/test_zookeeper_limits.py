"""What one ZooKeeper client may cost the others: time of the loop, memory, descriptors. Each was an attack that worked."""
import os
import resource
import socket
import struct
import threading
import time

import pytest

from cluster import free_port, wait_for
from test_zookeeper import Server, exchanges as x
from zkwire import Wire

CREATE, SET, CHILDREN, CHECK, MULTI, MULTI_READ, AUTH, ADD_WATCH, EXISTS, PING = 1, 5, 8, 13, 14, 22, 100, 106, 3, 11
GET, SET_WATCHES = 4, 101
OPEN = x.i4(1) + x.i4(31) + x.s4("world") + x.s4("anyone")
PATIENCE_S = 1.2                        # beyond it followers elect another leader; under a sanitizer everything is slower


def acl(n):
    """n rights of others before one that everybody has."""
    return x.i4(n) + b"".join(x.i4(31) + x.s4("digest") + x.s4(f"v{i}:xxxxx") for i in range(n - 1)) + OPEN[4:]


def create(path, rights=OPEN):
    return x.s4(path) + x.buf(b"") + rights + x.i4(0)


def multi(ops):
    return b"".join(struct.pack(">i?i", op, False, -1) + body for op, body in ops) + struct.pack(">i?i", -1, True, -1)


class Client(Wire):
    def __init__(self, server):
        super().__init__("127.0.0.1", server.port, 0, bytes(16), 30000, answer=120)

    def send(self, op, body, xid=1):
        self.s.sendall(x.buf(x.i4(xid) + x.i4(op) + body))

    def ask(self, op, body, xid=1):
        """The code of the answer; None: the connection was closed."""
        self.send(op, body, xid)
        f = self.frame()
        return None if f is None else struct.unpack_from(">i", f, 12)[0]


class Honest(threading.Thread):
    """Pings all the time; longest: the one that took longest."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.c, self.longest, self.going = Client(server), 0, True
        self.start()

    def run(self):
        while self.going:
            t = time.monotonic()
            assert self.c.ask(PING, b"", -2) == 0
            self.longest = max(self.longest, time.monotonic() - t)
            time.sleep(.005)

    def stop(self):
        self.going = False
        self.join()
        return self.longest


@pytest.fixture
def server():
    s = Server("--zookeeper-words", "*", "--metrics", f"127.0.0.1:{free_port()}")
    yield s
    s.finish()


def test_no_request_holds_the_loop(server):
    c = Client(server)
    c.ask(CREATE, create("/a"))
    for i in range(0, 20000, 1000):
        assert c.ask(MULTI, multi([(CREATE, create(f"/a/{i + j}")) for j in range(1000)])) == 0
    assert c.ask(CREATE, create("/guarded", acl(1024))) == 0
    honest = Honest(server)
    # An answer that is too long is not made to its end.
    assert Client(server).ask(MULTI_READ, multi([(CHILDREN, x.s4("/a") + b"\0")] * 10000)) is None
    # Many requests that each take a while leave time for the others.
    c = Client(server)
    c.s.sendall(x.buf(x.i4(1) + x.i4(CHILDREN) + x.s4("/a") + b"\0") * 400)
    for _ in range(400):
        assert c.frame() is not None
    # Rights are judged once a list, not once an op.
    assert c.ask(MULTI, multi([(CHECK, x.s4("/guarded") + x.i4(-1))] * 30000)) == 0
    assert honest.stop() < PATIENCE_S


def test_ids_of_a_connection_are_limited(server):
    c = Client(server)
    codes = [c.ask(AUTH, x.i4(0) + x.s4("digest") + x.buf(b"u%d:p" % i), -4) for i in range(32)]
    assert codes == [0] * 31 + [-115]    # its address is the first one


def test_what_nobody_reads_is_limited(server):
    def watches():
        return int(server.word("wchs").split("Total watches:")[1])
    c = Client(server)
    assert c.ask(EXISTS, x.s4("/" + "x" * 5000) + b"\1") == -101
    assert watches() == 0                # nothing can be made there
    c.ask(CREATE, create("/a"))
    assert c.ask(ADD_WATCH, x.s4("/") + x.i4(1)) == 0
    other, sets = Client(server), multi([(SET, x.s4("/a") + x.buf(b"") + x.i4(-1))] * 20000)
    for _ in range(36):
        assert other.ask(MULTI, sets) == 0
    wait_for("the client that reads no events to be cut off", lambda: watches() == 0)


def memory_mb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:")) / 1024


def test_answers_that_nobody_reads_are_not_made(server):
    """Also not those that have waited behind a write or a sync."""
    c, other = Client(server), Client(server)
    size = 900000
    assert c.ask(CREATE, x.s4("/big") + x.buf(bytes(size)) + OPEN + x.i4(0)) == c.ask(CREATE, create("/a")) == 0
    before, reads = memory_mb(server.proc.pid), 300
    get = x.buf(x.i4(2) + x.i4(GET) + x.s4("/big") + b"\0")
    c.s.sendall(x.buf(x.i4(1) + x.i4(SET) + x.s4("/a") + x.buf(b"") + x.i4(-1)) + get * reads)
    for _ in range(20):                 # those that can be made are made by then
        assert other.ask(EXISTS, x.s4("/big") + b"\0") == 0
    most = memory_mb(server.proc.pid) - before
    assert most < 60, f"{most} MB"
    codes = [struct.unpack_from(">i", c.frame(), 12)[0] for _ in range(1 + reads)]
    assert codes == [0] * (1 + reads)   # nothing is lost by the wait


def test_watches_of_many_are_limited_together(server):
    """Sixteen connections, each below its own bound."""
    def watched():
        return int(server.word("wchs").split("Total watches:")[1])
    crowd = [Client(server) for _ in range(16)]
    n = 0
    for k, c in enumerate(crowd):
        for i in range(14):             # 1.8 MB each time, with what a watch takes
            body = b"".join(x.s4(f"/{k}-{i}-{j:05}-" + "x" * 60) for j in range(11000))
            c.send(SET_WATCHES, x.i8(2 ** 62) + x.i4(0) + x.i4(11000) + body + x.i4(0), -8)
            if c.frame() is None:
                break
            n += 11000
    assert memory_mb(server.proc.pid) < 450 and n < 16 * 14 * 11000 and watched() > 0
    assert Client(server).ask(EXISTS, x.s4("/") + b"\1") == 0


def test_connections_to_the_pages_do_not_eat_the_processor(server):
    """Without a descriptor left, who waits at /metrics is turned away: no line a try in the log, no loop."""
    port = int(server.more[-1].split(":")[1])
    pid, before = server.proc.pid, os.path.getsize(server.dir + "/log")
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (40, limits[1]))

    def cpu():
        with open(f"/proc/{pid}/stat") as f:
            return sum(map(int, f.read().split()[13:15])) / os.sysconf("SC_CLK_TCK")
    crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
    wait_for("all descriptors to be taken", lambda: len(os.listdir(f"/proc/{pid}/fd")) >= 40)
    from_s = cpu()
    time.sleep(0.5)
    assert cpu() - from_s < 0.25
    assert os.path.getsize(server.dir + "/log") - before < 10000
    for s in crowd:
        s.close()
    wait_for("the server to be reached again", lambda: "Mode: " in server.word("srvr"))
