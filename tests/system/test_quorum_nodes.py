"""Three and more real moldau-quorum processes: founding, fail-over, freeze, catching up, members, lost and damaged disks."""
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import time

from cluster import wait_for
from quorums import QTOOL, Load, Quorum, pack

ADD, REMOVE, TRANSFER, SNAPSHOT = 1, 2, 3, 4


def peers(pid):
    """Where the process's TCP connections go that are established."""
    out = subprocess.run(["ss", "-tnpH", "state", "established"], capture_output=True, text=True).stdout
    return {line.split()[3] for line in out.splitlines() if f"pid={pid}," in line}


def test_fail_over_loses_nothing_and_keeps_connections():
    q = Quorum(3)
    assert q.leader().q("create", "/load", "x").startswith("ok")
    acked, gaps = set(), []
    for _ in range(3):
        lead = q.leader()
        load = Load(q.followers()[0], "/load", 1000000)
        wait_for("a hundred writes", lambda: len(load.acked) > 100)
        t = time.monotonic()
        lead.kill()
        wait_for("writes go on", lambda: load.after(t + 0.02) and load.acked[-1][0] > t + 0.05)
        gap = max(b[0] - a[0] for a, b in zip(load.acked, load.acked[1:]) if b[0] > t)
        gaps.append(gap)
        wait_for("a hundred more", lambda: len([1 for x, _ in load.acked if x > t + 0.05]) > 100)
        load.stop()
        assert not load.errors, load.errors          # the same connection, no write failed
        acked |= {name for _, name in load.acked}
        lead.start()
        q.settled([1, 2, 3])
    got = {line.split()[0] for line in q.same("/load").splitlines()}
    assert len(acked) > 600 and acked <= got
    print("fail-over after kill -9, longest gap between acknowledgements, ms:", [round(g * 1000) for g in gaps])
    assert min(gaps) < 1.0
    assert sum(x.kills for x in q.nodes.values()) == 3
    assert sum(x.metric("forwarded_proposals_total") for x in q.nodes.values()) > 100
    q.finish()


def test_a_frozen_leader_is_replaced_and_comes_back_as_a_follower():
    q = Quorum(3)
    lead = q.leader()
    assert lead.q("create", "/load", "x").startswith("ok")
    load = Load(q.followers()[0], "/load", 1000000)
    wait_for("a hundred writes", lambda: len(load.acked) > 100)
    t = time.monotonic()
    os.kill(lead.proc.pid, signal.SIGSTOP)
    rest = [x for x in q.nodes.values() if x is not lead]
    new = q.leader(among=rest)
    wait_for("writes go on", lambda: load.acked[-1][0] > t + 0.3)
    print("frozen leader, longest gap, ms:",
          round(max(b[0] - a[0] for a, b in zip(load.acked, load.acked[1:]) if b[0] > t) * 1000))
    os.kill(lead.proc.pid, signal.SIGCONT)
    wait_for("the old leader follows", lambda: lead.status()["leader"] == new.number)
    assert lead.status()["state"] == "follower"
    load.stop()
    assert not load.errors
    got = {line.split()[0] for line in q.same("/load").splitlines()}
    assert {name for _, name in load.acked} <= got
    q.finish()


def test_a_node_that_was_frozen_ends_no_session_that_has_moved():
    """It sees the old liveness connection closed when it goes on (serve.h V6)."""
    q = Quorum(3)
    a, b = q.followers()
    lead = q.leader()
    p = subprocess.Popen([QTOOL, ",".join([a.address, b.address, lead.address]), "keep", "/e", "20"],
                         stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline().strip() == "held"
    def served():
        return len(peers(p.pid) & {x.address for x in (b, lead)}) > 0 and a.address not in peers(p.pid)
    wait_for("its connections are made", lambda: a.address in peers(p.pid))
    os.kill(a.proc.pid, signal.SIGSTOP)
    wait_for("it has left the frozen node", served)
    os.kill(a.proc.pid, signal.SIGCONT)
    q.settled([1, 2, 3])
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        assert lead.q("get", "/e").startswith("/e"), a.text()
    p.kill()
    p.wait()
    t = time.monotonic()
    wait_for("the ephemeral to go", lambda: lead.q("get", "/e") == "E_NOENT", 5)
    assert time.monotonic() - t < 0.5                # where it has moved to sees it closed
    q.finish()


def test_a_clean_stop_hands_over_first():
    q = Quorum(3)
    lead = q.leader()
    lead.q("create", "/load", "x")
    load = Load(q.followers()[0], "/load", 1000000)
    wait_for("a hundred writes", lambda: len(load.acked) > 100)
    t = time.monotonic()
    lead.stop()
    wait_for("writes go on", lambda: load.acked[-1][0] > t + 0.3)
    gap = max(b[0] - a[0] for a, b in zip(load.acked, load.acked[1:]) if b[0] > t)
    print("planned stop, longest gap, ms:", round(gap * 1000))
    load.stop()
    assert not load.errors
    err, words = q.followers()[0].admin(TRANSFER, q.followers()[0].number)
    assert (err, words) == (0, None)
    lead.start()
    q.settled([1, 2, 3])
    q.finish()


def test_who_was_away_gets_the_log_or_an_image():
    q = Quorum(3, "--snapshot-log-bytes", "60000")
    q.leader().q("create", "/load", "x")
    away = q.followers()[0]
    away.kill()
    load = Load(q.leader(), "/load", 3000)
    wait_for("all written", lambda: len(load.acked) == 3000, 120)
    wait_for("log before the snapshots is gone", lambda: q.leader().metric("snapshots_total") >= 2)
    away.start()
    q.settled([1, 2, 3])
    assert len(q.same("/load").splitlines()) == 3001
    assert away.metric("images_received_total") >= 1
    assert "an image from the leader replaced the log" in away.text()
    away.kill()                                      # what it took is on its disk
    away.start()
    assert len(q.same("/load").splitlines()) == 3001
    q.finish()


def test_members_come_and_go_and_a_lost_disk_comes_back_as_a_new_voter():
    q = Quorum(1)
    one = q.nodes[1]
    one.q("create", "/load", "x")
    load = Load(one, "/load", 500)
    wait_for("all written", lambda: len(load.acked) == 500)
    q.add(2, "--join", one.peer_address)
    q.settled([1, 2])
    q.add(3, "--join", one.peer_address)
    q.settled([1, 2, 3])
    assert len(q.same("/load").splitlines()) == 501
    q.add(4, "--join", q.nodes[2].peer_address)
    q.add(5, "--join", q.nodes[3].peer_address)
    q.settled([1, 2, 3, 4, 5])
    assert one.admin(REMOVE, 9)[0] != 0
    for gone in (4, 5):
        assert q.nodes[1].admin(REMOVE, gone) == (0, None)
    q.settled([1, 2, 3])
    for gone in (4, 5):
        q.nodes.pop(gone).stop()
    lost = q.followers()[0]
    old = lost.disk_id()
    lost.kill()
    shutil.rmtree(lost.dir)
    lost.start()
    q.settled([1, 2, 3])
    assert lost.disk_id() != old
    assert len(q.same("/load").splitlines()) == 501
    lead = q.leader()
    assert lead.admin(REMOVE, lead.number) == (0, None)        # it hands over and leaves
    left = [n for n in (1, 2, 3) if n != lead.number]
    q.settled(left)
    q.nodes.pop(lead.number).stop()
    assert len(q.same("/load").splitlines()) == 501
    assert q.leader().q("create", "/more", "x").startswith("ok")
    q.finish()


def test_an_observer_removed_while_it_was_down_stays_out():
    q = Quorum(1)
    one = q.nodes[1]
    one.q("create", "/a", "x")
    two = q.add(2, "--join", one.peer_address, "--observer", "true")

    def members():
        return {n: "learner" in flags for n, flags in one.status()["members"]}
    wait_for("it takes part", lambda: members() == {1: False, 2: True} and q.same("/"))
    assert two.status()["state"] == "learner"
    two.kill()
    assert one.admin(REMOVE, 2) == (0, None)
    two.start()                                      # its folder says that it is a member
    wait_for("it asks", lambda: "a node that was removed asks to join" in one.text())
    assert members() == {1: False}
    assert one.admin(ADD, 2, two.peer_address, True) == (0, None)
    wait_for("it takes part again", lambda: members() == {1: False, 2: True} and two.status()["state"] == "learner")
    assert one.text().count("a node that was removed asks to join") == 1
    q.finish()


def test_a_damaged_log_is_fetched_again_from_the_others():
    q = Quorum(3)
    q.leader().q("create", "/load", "x")
    load = Load(q.leader(), "/load", 300)
    wait_for("all written", lambda: len(load.acked) == 300)
    hurt = q.followers()[0]
    q.same("/load")
    hurt.kill()
    path = min(os.path.join(hurt.dir, n) for n in os.listdir(hurt.dir) if n.startswith("log-"))
    with open(path, "r+b") as f:
        f.seek(3000)
        f.write(b"\xff" * 8)
    hurt.start()
    wait_for("it says so", lambda: "the log is damaged" in hurt.text())
    assert len(q.same("/load").splitlines()) == 301
    assert any(n.startswith("damaged-log-") for n in os.listdir(hurt.dir))
    other = [x for x in q.followers() if x is not hurt][:1] + [q.leader()]
    for x in other:                                  # it votes again: it and one other are enough
        x.kill()
        wait_for("a leader of two", lambda: any(y.status()["state"] == "leader" for y in q.alive()))
        x.start()
        q.settled([1, 2, 3])
    q.finish()


def test_wrong_settings_are_told():
    q = Quorum(3)
    x = q.nodes[3]
    x.kill()
    options = x.options
    x.options = options + ["--cluster-id", "AAAAAAAAAAAAAAAAAAAAAA"]
    x.start()
    assert x.proc.wait(20) == 1 and "not to node 3 of cluster AAAAAAAAAAAAAAAAAAAAAA" in x.text()
    x.starts -= 1
    x.options = options
    x.start()
    q.settled([1, 2, 3])
    stranger = q.add(4, "--join", q.nodes[1].peer_address, "--cluster-id", "AAAAAAAAAAAAAAAAAAAAAA")
    wait_for("the stranger is refused", lambda: "belongs to cluster" in stranger.text())
    q.nodes.pop(4).stop()
    q.settled([1, 2, 3])
    q.finish()


def test_strangers_on_the_peer_port_change_nothing():
    q = Quorum(3)
    q.leader().q("create", "/keep", "x")
    terms = {x.number: x.status()["term"] for x in q.alive()}
    r = random.Random(5)
    hello = [1, "AAAAAAAAAAAAAAAAAAAAAA", 77, 12345, "127.0.0.1:1", False, 0]
    refused = 0
    for _ in range(300):
        frames = [bytes([r.randrange(16)]) + r.randbytes(r.randrange(90)) for _ in range(r.randrange(1, 5))]
        if r.random() < .5:
            h = list(hello)
            if r.random() < .5:
                h[r.randrange(len(h))] = r.choice([0, -1, None, "x" * 300, True, 2**62])
            frames.insert(0, b"\x01" + pack(h))
        data = b"".join(struct.pack(">I", len(f)) + f for f in frames)
        if r.random() < .1:
            data = struct.pack(">I", 2**31 - 1) + data
        with socket.create_connection(("127.0.0.1", r.choice(list(q.nodes.values())).peer), timeout=10) as c:
            try:
                c.sendall(data)
                while c.recv(65536):
                    pass
                refused += 1
            except ConnectionError:
                refused += 1
            except socket.timeout:
                pass
    assert refused > 290
    assert {x.number: x.status()["term"] for x in q.alive()} == terms
    assert q.leader().q("create", "/more", "x").startswith("ok")
    q.finish()
