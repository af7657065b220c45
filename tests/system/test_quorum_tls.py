"""A quorum off the loopback's trust: mutual TLS between nodes, brokers and tools, and what is refused."""
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import pytest

from cluster import BUILD, wait_for
from procs import Pair
from quorums import Load, Node, Quorum

MOLDAU = os.path.join(BUILD, "moldau")


class Authority:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="moldau-ca-")
        self.ca = f"{self.dir}/ca.pem"

    def make(self, kind, name, *hosts):
        r = subprocess.run([MOLDAU, "quorum", "certs", self.dir, kind, name, *hosts], capture_output=True, text=True)
        assert r.returncode == 0, r.stderr
        return self.files(name)

    def files(self, name):
        return f"{self.dir}/{name}.pem", f"{self.dir}/{name}.key", self.ca

    def node(self, name):
        return self.make("node", name, "127.0.0.1", "localhost")

    def options(self, name):
        return [x for o, f in zip(("--tls-certificate", "--tls-key", "--tls-ca"), self.files(name)) for x in (o, f)]

    def expired(self, name):
        """A node's certificate that ended, by openssl(1)."""
        pem, key, ca = self.node(name)
        subprocess.run(f"openssl req -new -key {key} -subj /CN={name}/OU=moldau-quorum -addext subjectAltName=IP:127.0.0.1 | openssl x509 "
                       f"-req -days 0 -CA {ca} -CAkey {self.dir}/ca.key -CAcreateserial -copy_extensions copy -out {pem}", shell=True,
                       check=True, capture_output=True)
        return name


@pytest.fixture()
def authority():
    a = Authority()
    yield a
    shutil.rmtree(a.dir)


def secured(authority, n=3, *options):
    """A quorum whose nodes have certificates 1, 2, 3, and clients that have `operator`."""
    authority.make("client", "operator")
    return Quorum(n, *options, prepare=lambda x: secure(x, authority, authority.node(str(x.number))))


def secure(node, authority, files):
    node.options += [x for o, f in zip(("--tls-certificate", "--tls-key", "--tls-ca"), files) for x in (o, f)]
    node.tls(*authority.files("operator"))


def moldau(q, certificate, *args):
    r = subprocess.run([MOLDAU, "quorum", *args, "--quorum", ",".join(x.address for x in q.alive()), "--timeout", "5"],
                       capture_output=True, text=True, env={**os.environ, **environ(certificate)})
    return r.returncode, r.stdout + r.stderr


def environ(files):
    return dict(zip(("MOLDAU_TLS_CERTIFICATE", "MOLDAU_TLS_KEY", "MOLDAU_TLS_CA"), files)) if files else {}


def test_three_nodes_with_mutual_tls(authority):
    q = secured(authority)
    operator = authority.files("operator")
    assert q.leader().q("create", "/load", "x").startswith("ok")
    load = Load(q.followers()[0], "/load", 1000000)
    wait_for("a hundred writes", lambda: len(load.acked) > 100)
    t = time.monotonic()
    lead = q.leader()
    lead.kill()
    wait_for("writes go on", lambda: load.after(t + 0.02) and load.acked[-1][0] > t + 0.05)
    lead.start()
    q.settled([1, 2, 3])
    load.stop()
    assert not load.errors
    print("fail-over over TLS, longest gap, ms:", round(max(b[0] - a[0] for a, b in zip(load.acked, load.acked[1:]) if b[0] > t) * 1000))

    st, out = moldau(q, operator, "status", "--output", "json")
    assert st == 0 and len(json.loads(out)) == 3, out
    st, out = moldau(q, operator, "transfer")
    assert st == 0, out
    assert q.leader().q("create", "/users", "x").startswith("ok") and q.leader().q("create", "/users/alice", "key").startswith("ok")
    assert moldau(q, operator, "get", "/users/alice")[1] == "key\n"

    # a reader reads, and no more
    reader = authority.make("reader", "someone")
    assert moldau(q, reader, "status")[0] == 0
    assert moldau(q, reader, "get", "/load") == (0, "x\n")
    for words in (["set", "/load", "y"], ["delete", "/load"], ["set", "/new", "y", "--create"], ["remove", "3"], ["transfer"], ["snapshot"],
                  ["get", "/users/alice"], ["get", "/users"]):
        st, out = moldau(q, reader, *words)
        assert st == 1 and ("permission denied" in out or "does not name this certificate" in out), (words, out)
    assert "/users" not in moldau(q, reader, "ls", "/")[1] and "/users" in moldau(q, operator, "ls", "/")[1]
    assert 'msg="a client may only read' in q.nodes[1].text() and "CN=someone" in "".join(x.text() for x in q.nodes.values())
    q.finish()


def refused(node, words, seconds=20):
    wait_for(words, lambda: re.search(words, node.text()), seconds)


def test_who_is_refused(authority):
    q = secured(authority)
    one = q.nodes[1]
    others = Authority()
    try:
        # clients: no TLS, no certificate, another authority, an expired one
        assert moldau(q, None, "status")[0] == 3
        refused(one, "a TLS connection was refused.*from=127.0.0.1.*it does not speak TLS")
        bare = ssl.create_default_context(cafile=authority.ca)
        with pytest.raises((ssl.SSLError, ConnectionError)), socket.create_connection(("127.0.0.1", one.port), 10) as s, \
                bare.wrap_socket(s, server_hostname="127.0.0.1") as t:
            t.sendall(b"\0\0\0\1\x90")
            assert t.recv(1) == b"never"
        refused(one, "peer did not return a certificate")
        foreign = others.make("client", "operator")
        assert moldau(q, (*foreign[:2], authority.ca), "status")[0] == 3
        refused(one, "unable to get local issuer certificate|self-signed certificate in certificate chain")
        assert moldau(q, (*authority.files("operator")[:2], others.ca), "status")[0] == 3      # the client believes no node
        refused(one, "the other side says: .*unknown ca")
        authority.expired("old")
        st, out = moldau(q, authority.files("old"), "status")
        assert st == 3 and "certificate expired" in out, out
        refused(one, "certificate has expired")

        # nodes: each is refused, says why, and the quorum says who
        for i, (files, theirs, ours) in enumerate([
                (None, "a peer cannot be reached.*perhaps it wants TLS", "it does not speak TLS"),
                ((*others.node("4")[:2], authority.ca), "the other side says", "unable to get local issuer|self-signed certificate"),
                (authority.files("old"), "the other side says: .*expired", "certificate has expired"),
                (authority.make("node", "elsewhere", "elsewhere.example"), "the other side says: .*certificate", "mismatch"),
                (authority.make("client", "broker"), "peer-subjects does not name its certificate", "a peer was refused.*broker"),
        ]):
            x = q.nodes[10 + i] = Node(q.dir, 10 + i)
            x.options = ["--join", one.peer_address]
            if files:
                secure(x, authority, files)
            x.start()
            refused(x, theirs)
            refused(one, ours)
            if i == 3:                               # it is a node; but nobody can reach it, so it never votes
                wait_for("node 13 to be a learner", lambda: "learner" in {f for n, m in one.status()["members"] if n == 13 for f in m})
            x.kill()
            if i == 3:
                assert one.admin(2, 13) == (0, None)
            assert len(one.status()["members"]) == 3
        assert all(len(x.status()["members"]) == 3 for x in (q.nodes[1], q.nodes[2], q.nodes[3]))
    finally:
        shutil.rmtree(others.dir)
    q.finish()


def test_a_plain_quorum_tells_those_who_want_tls(authority):
    q = Quorum(1)
    r = subprocess.run([MOLDAU, "quorum", "certs", authority.dir, "client", "operator", "--output", "json"],
                       capture_output=True, text=True)
    assert r.returncode == 0 and json.loads(r.stdout)["certificate"] == authority.files("operator")[0], r
    st, out = moldau(q, authority.files("operator"), "status")
    assert st == 3 and "closed the connection during the handshake" in out, out
    refused(q.nodes[1], "a client wants TLS, and this node has no certificate")
    x = q.add(2, "--join", q.nodes[1].peer_address, *authority_options(authority, "2"))
    refused(q.nodes[1], "a peer wants TLS, and this node has no certificate")
    x.stop()
    q.finish()


def authority_options(authority, name):
    authority.node(name)
    return authority.options(name)


def test_off_the_loopback_only_with_tls_or_on_purpose(authority):
    def check(*args):
        r = subprocess.run([os.path.join(BUILD, "moldau-quorum"), "-n", "--data-dir", "/nowhere", "--node-id", "1", *args], capture_output=True,
                           text=True)
        return r.returncode, r.stderr.splitlines()[0] if r.stderr else ""
    tls = authority_options(authority, "1")
    for address in ("0.0.0.0:2191", "[::]:2191", "192.0.2.1:2191", "no.such.host.invalid:2191"):
        for args in (["--listen", address], ["--listen", "127.0.0.1:1", "--peer-listen", address],
                     ["--listen", "127.0.0.1:1", "--voters", f"1@127.0.0.1:2,2@{address}"],
                     ["--listen", "127.0.0.1:1", "--peer-listen", "127.0.0.1:2", "--join", address]):
            st, said = check(*args)
            assert st == 2 and address in said and "allow-plaintext" in said and "moldau quorum certs" in said, (args, said)
            assert check(*args, "--allow-plaintext", "true")[0] == 0
            assert check(*args, *tls)[0] == 0
    for address in ("127.0.0.1:2191", "127.1.2.3:2191", "localhost:2191", "[::1]:2191"):
        assert check("--listen", address)[0] == 0, address
    for broken, words in ((tls[:4], "go together"), ([*tls[:3], authority.ca, *tls[4:]], "the key"), ([tls[0], "/nowhere", *tls[2:]], "the certificate"),
                          ([*tls[:5], "/dev/null"], "authorities")):
        st, said = check("--listen", "0.0.0.0:1", *broken)
        assert st == 2 and words in said, said
    assert "wants true or false" in check("--listen", "127.0.0.1:1", "--allow-plaintext", "yes")[1]


def test_a_broker_over_tls_and_new_certificates_without_a_restart(authority):
    q = secured(authority)
    operator = authority.files("operator")
    cert = authority.make("client", "broker-1")
    sets = [f"quorum.bootstrap={','.join(x.address for x in q.nodes.values())}"]
    sets += [f"quorum.tls.{n}={f}" for n, f in zip(("certificate", "key", "ca"), cert)]
    pair = Pair(*sets)
    pair.start_broker()
    pair.moldau("topics", "create", "first")
    pids = {x.number: x.proc.pid for x in q.nodes.values()}

    def sessions():
        return json.loads(moldau(q, operator, "ls", "/brokers/ids", "--output", "json")[1])

    before = sessions()
    assert len(before) == 1
    agent = pair.pids("agent")[0]
    os.kill(agent, signal.SIGKILL)                   # its liveness connection is held by the supervisor, TLS or not
    wait_for("another agent", lambda: set(pair.pids("agent")) - {agent})
    pair.moldau("topics", "create", "second")
    assert [b["owner"] for b in sessions()] == [b["owner"] for b in before]

    # a new authority beside the old one, new certificates of it, then it alone
    other = Authority()
    try:
        old_ca = open(authority.ca).read()
        for name in ("1", "2", "3"):
            other.node(name)
        new_operator, new_broker = other.make("client", "operator"), other.make("client", "broker-1")

        def shown(x):
            c = ssl.create_default_context()
            c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
            with socket.create_connection(("127.0.0.1", x.port), 10) as s, c.wrap_socket(s) as t:
                return ssl.DER_cert_to_PEM_cert(t.getpeercert(True))

        def replace(path, text):
            with open(path + ".x", "w") as f:
                f.write(text)
            os.rename(path + ".x", path)

        def hup():
            for x in q.nodes.values():
                n = x.text().count("the certificate was read again")
                x.proc.send_signal(signal.SIGHUP)
                wait_for("read again", lambda: x.text().count("the certificate was read again") > n)
            n = pair.log().count("the certificate was read again")
            pair.broker.send_signal(signal.SIGHUP)
            wait_for("read by the agent", lambda: pair.log().count("the certificate was read again") > n)

        replace(authority.ca, old_ca + open(other.ca).read())
        hup()
        for name in ("1", "2", "3", "broker-1"):
            for end in ("pem", "key"):
                replace(f"{authority.dir}/{name}.{end}", open(f"{other.dir}/{name}.{end}").read())
        hup()
        for x in q.nodes.values():
            assert shown(x) == open(f"{other.dir}/{x.number}.pem").read()
        replace(authority.ca, open(other.ca).read())
        hup()
        # connections from before live on; those made from now on go by the new files
        pair.moldau("topics", "create", "third")
        assert moldau(q, operator, "status")[0] == 3
        assert moldau(q, new_operator, "status")[0] == 0
        for x in q.nodes.values():
            x.tls(*new_operator)
        lead = q.leader()
        lead.kill()
        lead.start()
        pids[lead.number] = lead.proc.pid
        q.settled([1, 2, 3])
        pair.moldau("topics", "create", "fourth")
        agent = pair.pids("agent")[0]
        os.kill(agent, signal.SIGKILL)
        wait_for("another agent", lambda: set(pair.pids("agent")) - {agent})
        # Two faults at once: where its liveness connection was not made again since the leader was killed, the session
        # ends with the agent, and the broker registers anew; until then no replica has a place.
        wait_for("topics can be created", lambda: subprocess.run(
            [MOLDAU, "topics", "create", "fifth", "--bootstrap", f"127.0.0.1:{pair.port}"], capture_output=True).returncode == 0)
        assert {x.number: x.proc.pid for x in q.nodes.values()} == pids

        # a file that is of no use changes nothing
        replace(f"{authority.dir}/1.pem", "rubbish")
        q.nodes[1].proc.send_signal(signal.SIGHUP)
        wait_for("said so", lambda: "the certificate stays as it was" in q.nodes[1].text())
        assert moldau(q, new_operator, "status")[0] == 0
        metric = q.nodes[2].metric("certificate_expires_seconds")
        assert 800 * 86400 < metric - time.time() < 826 * 86400
        replace(f"{authority.dir}/1.pem", open(f"{other.dir}/1.pem").read())

        # the whole broker at once: its session ends without a timeout
        t = time.monotonic()
        pair.kill_broker()
        wait_for("the registration is gone", lambda: not json.loads(moldau(q, new_operator, "ls", "/brokers/ids", "--output", "json")[1]), 5)
        print("registration gone after", round((time.monotonic() - t) * 1000), "ms")
    finally:
        shutil.rmtree(other.dir)
    pair.broker = None
    pair.finish()
    q.finish()
