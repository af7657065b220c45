"""moldau-quorum as a ZooKeeper: the exchanges of a real 3.9.5, byte by byte; kazoo's recipes; words; what is the system's."""
import io
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import pytest

from cluster import BUILD, free_port, wait_for
import zkwire

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "../golden/zk")
sys.path.insert(0, GOLDEN)
import exchanges  # noqa: E402

kazoo_client = pytest.importorskip("kazoo.client")
KazooClient = kazoo_client.KazooClient
from kazoo import exceptions  # noqa: E402
from kazoo.recipe.watchers import ChildrenWatch, DataWatch  # noqa: E402
from kazoo.security import ACL, Id, make_digest_acl  # noqa: E402

QTOOL = os.path.join(BUILD, "tests/system/qtool")


class Server:
    def __init__(self, *more):
        self.dir = tempfile.mkdtemp(prefix="moldau-zk-")
        self.port, self.native, self.more = free_port(), free_port(), more
        self.hosts = f"127.0.0.1:{self.port}"
        self.clients = []
        self.start()

    def start(self):
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.proc = subprocess.Popen(
                [os.path.join(BUILD, "moldau-quorum"), "--data-dir", self.dir + "/data", "--listen", f"127.0.0.1:{self.native}",
                 "--zookeeper-listen", self.hosts, *self.more], stderr=log)
        wait_for("the quorum to serve", lambda: "Mode: " in self.word("srvr"))

    def word(self, word):
        return zkwire.word("127.0.0.1", self.port, word)

    def client(self, **kw):
        c = KazooClient(self.hosts, timeout=kw.pop("timeout", 10), **kw)
        c.start(30)
        self.clients.append(c)
        return c

    def q(self, *args):
        r = subprocess.run([QTOOL, f"127.0.0.1:{self.native}", *map(str, args)], capture_output=True, text=True, timeout=30)
        return r.stdout.strip()

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def finish(self):
        for c in self.clients:
            c.stop()
            c.close()
        self.proc.terminate()
        assert self.proc.wait(20) == 0
        with open(os.path.join(self.dir, "log"), errors="replace") as f:
            text = f.read()
        for bad in ("AddressSanitizer", "runtime error:", "must:"):
            assert bad not in text, text[-4000:]
        shutil.rmtree(self.dir)


@pytest.fixture
def server(request):
    s = Server(*getattr(request, "param", ("--zookeeper-words", "*")))
    yield s
    s.finish()


@pytest.mark.parametrize("which", ["plain", "extended"])
def test_exchanges_of_zookeeper_3_9_5(which):
    with tempfile.NamedTemporaryFile("w") as users:
        users.write("bob=secret\n")
        users.flush()
        more = () if which == "plain" else (
            "--zookeeper-extended-types", "true", "--zookeeper-enforce-quota", "true", "--zookeeper-reap-ms", "500",
            "--zookeeper-super-digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU=", "--zookeeper-users", users.name)
        s = Server("--zookeeper-session-ms-max", "120000", *more)
        out = io.StringIO()
        exchanges.main("127.0.0.1", s.port, which, out)
        with open(os.path.join(GOLDEN, which + ".txt")) as f:
            want = f.read().splitlines()
        got = out.getvalue().splitlines()
        for i, (w, g) in enumerate(zip(want, got)):
            assert w == g, f"line {i + 1}, after {want[max(0, i - 3):i]}"
        assert len(want) == len(got) and len(want) > 200
        s.finish()


def test_the_comparison_can_fail():
    s = Server("--zookeeper-session-ms-max", "120000", "--zookeeper-extended-types", "true")
    out = io.StringIO()
    exchanges.main("127.0.0.1", s.port, "plain", out)
    with open(os.path.join(GOLDEN, "plain.txt")) as f:
        assert f.read() != out.getvalue(), "TTL nodes were on and nobody noticed"
    s.finish()


def test_kazoo_reads_and_writes(server):
    z = server.client()
    assert z.create("/a/b/c", b"x" * 1000, makepath=True) == "/a/b/c"
    assert z.get("/a/b/c")[0] == b"x" * 1000
    assert z.set("/a/b/c", b"").version == 1
    with pytest.raises(exceptions.BadVersionError):
        z.set("/a/b/c", b"", version=7)
    assert z.exists("/nope") is None
    names = [z.create("/a/s-", sequence=True) for _ in range(3)]
    assert names == ["/a/s-%010d" % i for i in (1, 2, 3)]
    t = z.transaction()
    t.create("/t")
    t.check("/a", 0)
    t.delete("/a/b/c")
    assert t.commit() == ["/t", True, True]
    z.delete("/a", recursive=True)
    assert sorted(z.get_children("/")) == ["t", "zookeeper"]


def test_kazoo_recipes(server):
    a, b = server.client(), server.client()
    lock_a, lock_b = a.Lock("/lock", "a"), b.Lock("/lock", "b")
    order = []
    assert lock_a.acquire(timeout=10)

    def second():
        with lock_b:
            order.append("b")
    t = threading.Thread(target=second)
    t.start()
    wait_for("b to wait", lambda: lock_a.contenders() == ["a", "b"])
    order.append("a")
    lock_a.release()
    t.join(20)
    assert order == ["a", "b"]

    leader = []
    ea, eb = a.Election("/election", "a"), b.Election("/election", "b")
    ready = threading.Event()
    ta = threading.Thread(target=lambda: ea.run(lambda: (leader.append("a"), ready.wait(20))))
    ta.start()
    wait_for("a to lead", lambda: leader == ["a"])
    tb = threading.Thread(target=lambda: eb.run(lambda: leader.append("b")))
    tb.start()
    wait_for("b to stand", lambda: eb.contenders() == ["a", "b"])
    ready.set()
    ta.join(20)
    tb.join(20)
    assert leader == ["a", "b"]

    counter_a, counter_b = a.Counter("/counter"), b.Counter("/counter")
    ts = [threading.Thread(target=lambda c=c: [c.__add__(1) for _ in range(20)]) for c in (counter_a, counter_b)]
    [t.start() for t in ts]
    [t.join(60) for t in ts]
    assert a.Counter("/counter").value == 40

    q = a.Queue("/queue")
    for i in range(3):
        q.put(b"%d" % i)
    assert [b.Queue("/queue").get() for _ in range(3)] == [b"0", b"1", b"2"]

    bar = a.DoubleBarrier("/barrier", 2)
    other = b.DoubleBarrier("/barrier", 2)
    t = threading.Thread(target=other.enter)
    t.start()
    bar.enter()
    t.join(20)
    assert not t.is_alive()


def test_watches_over_a_restart_of_the_server(server):
    z = server.client()
    z.create("/w", b"0")
    seen, kids = [], []
    DataWatch(z, "/w", lambda data, stat: seen.append(data))
    ChildrenWatch(z, "/w", lambda c: kids.append(sorted(c)))
    z.set("/w", b"1")
    wait_for("the first change", lambda: seen == [b"0", b"1"])
    session = z.client_id[0]
    server.kill()
    server.start()
    wait_for("the client to be back", lambda: z.connected)
    z.retry(z.set, "/w", b"2")
    z.retry(z.create, "/w/c")
    wait_for("changes after the restart", lambda: seen[-1] == b"2" and kids[-1] == ["c"])
    assert seen == [b"0", b"1", b"2"] and kids == [[], ["c"]]
    assert z.client_id[0] == session


def test_ephemerals_end_with_their_session_and_not_with_its_connection(server):
    a, b = server.client(), server.client(timeout=4)
    b.create("/e", ephemeral=True)
    b._connection._socket.shutdown(socket.SHUT_RDWR)
    wait_for("b to be back", lambda: b.retry(b.exists, "/e"))
    gone = threading.Event()
    assert a.exists("/e", watch=lambda e: gone.set())
    start = time.monotonic()
    b.stop()
    assert gone.wait(10) and time.monotonic() - start < 4, "closed: at once"
    x = exchanges
    c = x.Conn(x.Run("127.0.0.1", server.port, io.StringIO()), "c", timeout=4000)
    c.do("create", x.CREATE, x.create("/e", flags=1))
    start = time.monotonic()
    gone = threading.Event()
    assert a.exists("/e", watch=lambda e: gone.set())
    c.close()
    assert gone.wait(30)
    assert time.monotonic() - start >= 3.9, "the session ended before its time"


def test_rights(server):
    z, other = server.client(auth_data=[("digest", "bob:pw")]), server.client()
    z.create("/mine", b"", acl=[make_digest_acl("bob", "pw", all=True)])
    with pytest.raises(exceptions.NoAuthError):
        other.get("/mine")
    assert z.get("/mine")


def test_what_the_system_made_is_read_only(server):
    z = server.client()
    assert server.q("create", "/topics", "t").startswith("ok")
    assert server.q("create", "/topics/a", "t").startswith("ok")
    assert z.get("/topics/a")[0] == b"t"
    seen = []
    z.get("/topics/a", watch=seen.append)
    for call in (lambda: z.set("/topics/a", b"x"), lambda: z.delete("/topics/a"), lambda: z.create("/topics/b"),
                 lambda: z.set_acls("/topics/a", [make_digest_acl("x", "y", all=True)]), lambda: z.delete("/topics"),
                 lambda: z.create("/brokers"), lambda: z.create("/users")):
        with pytest.raises(exceptions.NoAuthError):
            call()
    server.q("set", "/topics/a", "u")
    wait_for("the event of a native write", lambda: seen and z.get("/topics/a")[0] == b"u")
    assert server.q("create", "/users", "u").startswith("ok")
    assert server.q("create", "/users/eve", "key").startswith("ok")
    for call in (lambda: z.get("/users/eve"), lambda: z.get_children("/users"), lambda: z.get_acls("/users/eve"), lambda: z.exists("/users/eve")):
        with pytest.raises(exceptions.NoAuthError):
            call()
    assert server.q("create", "/brokers", "b").startswith("ok"), "a client's name does not stand in the system's way"


@pytest.mark.parametrize("server", [("--zookeeper-nodes-max", "10", "--zookeeper-bytes-max", "100000")], indirect=True)
def test_clients_stay_within_their_share(server):
    """By hand: kazoo does not know ZooKeeper's code -125 and loses its thread over it."""
    out = io.StringIO()
    x = exchanges
    c = x.Conn(x.Run("127.0.0.1", server.port, out), "c")
    for i in range(12):
        c.do("create", x.CREATE, x.create("/n%d" % i))
    assert out.getvalue().count("err 0") == 6 and out.getvalue().count("err -125") == 6, "root and /zookeeper's three count too"
    c.do("delete", x.DELETE, x.s4("/n0") + x.i4(-1))
    c.do("room again", x.CREATE, x.create("/m"))
    c.do("too many bytes", x.SET, x.s4("/m") + x.buf(b"x" * 100001) + x.i4(-1))
    assert [line.split("err ")[1].split()[0] for line in out.getvalue().splitlines()[-5::2]] == ["0", "0", "-125"]
    assert server.q("create", "/topics", "t").startswith("ok"), "the system has its own"


@pytest.mark.parametrize("server", [("--zookeeper-connections-max", "3", "--zookeeper-words", "*")], indirect=True)
def test_connections_of_one_host_are_limited(server):
    keep = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
    extra = socket.create_connection(("127.0.0.1", server.port))
    extra.settimeout(10)
    assert extra.recv(1) == b""
    [k.close() for k in keep]
    wait_for("room again", lambda: server.word("ruok") == "imok")


def test_words(server):
    z = server.client()
    z.create("/e", ephemeral=True)
    z.exists("/e", watch=lambda e: None)

    def names(text, sep):
        return [line.split(sep)[0] for line in text.splitlines()]
    want = {}
    with open(os.path.join(GOLDEN, "words.txt")) as f:
        for line in f:
            if line.startswith("== "):
                word = line.split()[1]
                want[word] = []
            elif not line.startswith("#"):
                want[word].append(line.rstrip("\n"))
    assert server.word("ruok") == "imok" and server.word("isro") == "rw" and server.word("xxxx") == ""
    for word, sep in (("conf", "="), ("envi", "="), ("srvr", ":"), ("dirs", ":")):
        assert names(server.word(word), sep) == [w.split(sep)[0] for w in want[word] if w], word
    assert names(server.word("mntr"), "\t") == [w.split("\t")[0] for w in want["mntr"] if w]
    values = dict(line.split("\t") for line in server.word("mntr").splitlines())
    assert values["zk_server_state"] == "standalone" and values["zk_ephemerals_count"] == "1" and values["zk_watch_count"] == "1"
    assert int(values["zk_znode_count"]) == 6 and int(values["zk_packets_received"]) > 3
    sid = "0x%x" % z.client_id[0]
    assert sid in server.word("dump") and "\t/e\n" in server.word("dump")
    assert "sid=" + sid in server.word("cons")
    assert server.word("wchs") == "1 connections watching 1 paths\nTotal watches:1\n"
    assert server.word("wchc") == sid + "\n\t/e\n\n" and server.word("wchp") == "/e\n\t" + sid + "\n\n"
    assert "Mode: standalone\n" in server.word("stat") and "Clients:\n" in server.word("stat")
    assert server.word("crst") == "Connection stats reset.\n" and server.word("srst") == "Server stats reset.\n"
    assert z.server_version()[:2] == (3, 9)


@pytest.mark.parametrize("server", [()], indirect=True)
def test_words_that_are_not_allowed(server):
    assert server.word("mntr") == "mntr is not executed because it is not in the whitelist.\n"
    assert "Mode: standalone" in server.word("srvr")


def test_zoo_cfg():
    with tempfile.TemporaryDirectory() as d:
        cfg = os.path.join(d, "zoo.cfg")
        port = free_port()
        with open(cfg, "w") as f:
            f.write(f"# a ZooKeeper's\ntickTime=1000\ninitLimit=10\nsyncLimit=5\ndataDir={d}\nclientPort={port}\n"
                    "clientPortAddress=127.0.0.1\n4lw.commands.whitelist=*\n")
        p = subprocess.Popen([os.path.join(BUILD, "moldau-quorum"), "--zookeeper-config", cfg], stderr=subprocess.PIPE)
        z = KazooClient(f"127.0.0.1:{port}", timeout=3)
        z.start(30)
        assert z.create("/brokers") == "/brokers", "nothing is reserved where no broker can come"
        assert "tickTime=1000\n" in z.command(b"conf")
        z.stop()
        z.close()
        p.terminate()
        assert p.wait(20) == 0
        assert os.path.isdir(d + "/moldau")
        with open(cfg, "a") as f:
            f.write("group.1=1:2:3\n")
        r = subprocess.run([os.path.join(BUILD, "moldau-quorum"), "-n", "--zookeeper-config", cfg], capture_output=True, text=True)
        assert r.returncode == 2 and "group.1 has no meaning here" in r.stderr and ":9:" in r.stderr


@pytest.fixture(scope="module")
def certificates():
    """{name: path} of an authority, a server and a client, made by openssl(1)."""
    with tempfile.TemporaryDirectory() as d:
        def openssl(*args):
            subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=d)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca")
        for who in ("server", "client"):
            openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", who + ".key", "-out", who + ".csr", "-subj", "/O=Moldau/CN=" + who)
            openssl("x509", "-req", "-in", who + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", who + ".pem", "-days", "2")
        yield {n: os.path.join(d, n) for n in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")}


def test_tls_and_certificates_as_ids(certificates):
    port = free_port()
    s = Server("--zookeeper-tls-listen", f"127.0.0.1:{port}", "--zookeeper-tls-certificate", certificates["server.pem"],
               "--zookeeper-tls-key", certificates["server.key"], "--zookeeper-tls-ca", certificates["ca.pem"])
    z = KazooClient(f"127.0.0.1:{port}", use_ssl=True, certfile=certificates["client.pem"], keyfile=certificates["client.key"],
                    ca=certificates["ca.pem"], verify_certs=False)
    z.start(30)
    big = os.urandom(900000)
    z.create("/big", big)
    assert z.get("/big")[0] == big
    for _ in range(20):
        assert len(z.get_async("/big").get()[0]) == len(big)
    z.create("/mine", acl=[ACL(31, Id("auth", ""))])
    assert z.get_acls("/mine")[0][0].id == Id("x509", "CN=client,O=Moldau")
    other = s.client()
    with pytest.raises(exceptions.NoAuthError):
        other.get("/mine")
    without = KazooClient(f"127.0.0.1:{port}", use_ssl=True, verify_certs=False)
    with pytest.raises(Exception):
        without.start(2)
    without.close()
    plain = socket.create_connection(("127.0.0.1", port))
    plain.sendall(b"\x00\x00\x00\x2d" + bytes(45))
    plain.settimeout(10)
    try:
        assert plain.recv(4096)[:1] in (b"", b"\x15"), "an alert, not an answer"
    except ConnectionResetError:
        pass
    z.stop()
    z.close()
    s.finish()


def test_admin_commands():
    port = free_port()
    s = Server("--zookeeper-admin", f"127.0.0.1:{port}", "--zookeeper-words", "*")
    z = s.client()
    z.create("/e\"x", ephemeral=True)
    z.exists("/e\"x", watch=lambda e: None)

    def get(name):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/commands/{name}", timeout=10) as r:
            return json.load(r)
    sid = str(z.client_id[0])
    assert get("ruok") == {"command": "ruok", "error": None}
    assert get("dump")["session_id_to_ephemeral_paths"] == {sid: ["/e\"x"]}
    assert get("watches")["session_id_to_watched_paths"] == {sid: ["/e\"x"]}
    assert get("wchp")["path_to_session_ids"] == {"/e\"x": [z.client_id[0]]}
    assert get("wchs") == {"num_connections": 1, "num_paths": 1, "num_total_watches": 1, "command": "watch_summary", "error": None}
    assert get("monitor")["ephemerals_count"] == 1 and get("mntr")["server_state"] == "standalone"
    assert get("conf")["tick_time"] == 2000 and get("isro")["read_only"] is False
    assert get("stats")["connections"][0]["session_id"] == z.client_id[0] and get("srvr")["node_count"] == 6
    for name in ("crst", "srst", "dirs", "envi", "gtmk", "hash", "leader", "observers", "voting_view", "zabstate"):
        assert get(name)["error"] is None, name
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/commands", timeout=10) as r:
        assert b"/commands/ruok" in r.read()
    for bad in ("commands/nosuch", "other"):
        with pytest.raises(urllib.error.HTTPError) as e:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/{bad}", timeout=10)
        assert e.value.code == 404
    s.finish()


def test_hostile_bytes_change_nothing_for_others(server):
    """Mutated requests of every kind; the process lives on and another client is served."""
    r = random.Random(1)
    x = exchanges
    with open(os.path.join(HERE, "../golden/wire/zookeeper.txt")) as f:
        bodies = [bytes.fromhex(line.split()[2]) for line in f]
    keep = server.client()
    keep.create("/keep", b"me")
    hello = x.i4(0) + x.i8(0) + x.i4(4000) + x.i8(0) + x.buf(bytes(16)) + b"\0"
    ops = list(range(0, 24)) + list(range(100, 108)) + [-11, 999]
    for _ in range(300):
        c = socket.create_connection(("127.0.0.1", server.port))
        c.settimeout(1)
        out = b"" if r.random() < .1 else x.buf(hello)
        for _ in range(r.randint(1, 12)):
            body = bytearray(r.choice(bodies) + (r.choice(bodies) + x.END if r.random() < .2 else b""))
            for _ in range(r.randint(0, 3)):
                if body:
                    body[r.randrange(len(body))] = r.choice([0, 255, 127, 128, r.randrange(256)])
            frame = x.i4(r.randint(-9, 9)) + x.i4(r.choice(ops)) + bytes(body[:r.randint(0, len(body))] if r.random() < .3 else body)
            out += x.buf(frame) if r.random() < .95 else x.i4(r.choice([0, 1, 7, -5, 1 << 20, 1 << 30])) + frame
        try:
            c.sendall(out)
            if r.random() < .3:
                c.recv(4096)
        except OSError:
            pass
        c.close()
    assert server.proc.poll() is None
    assert keep.get("/keep")[0] == b"me"
