"""Processes of moldau-broker for tests: a quorum and a broker started one by one, raw Kafka requests, log lines."""
import datetime
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.request

from cluster import BUILD, children, free_port, wait_for

QTOOL = os.path.join(BUILD, "tests/system/qtool")


def role_of(cmd):
    m = re.search(r"--role (\w+)", cmd)
    return m.group(1) if m else "supervisor"


def log_ms(line):
    """The time of a log line, in milliseconds."""
    t = datetime.datetime.strptime(line.split(" ", 1)[0], "%Y-%m-%dT%H:%M:%S.%fZ")
    return t.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000


def metadata(port, seconds=1.0):
    """One Metadata request (version 1, no topics): True when the answer names a broker."""
    body = struct.pack(">hhih6si", 3, 1, 7, 6, b"moldau", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), seconds) as s:
            s.settimeout(seconds)
            s.sendall(struct.pack(">i", len(body)) + body)
            head = s.recv(12)
            return len(head) == 12 and struct.unpack(">iii", head)[2] > 0
    except OSError:
        return False


class ApiConn:
    """A client connection that asks for ApiVersions now and then."""

    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), 10)
        self.s.settimeout(10)
        self.n = 0

    def ask(self):
        self.n += 1
        body = struct.pack(">hhih4s", 18, 0, self.n, 4, b"conn")
        self.s.sendall(struct.pack(">i", len(body)) + body)
        got = b""
        while len(got) < 4 or len(got) < 4 + struct.unpack(">i", got[:4])[0]:
            more = self.s.recv(65536)
            if not more:
                raise ConnectionError("closed")
            got += more
        return struct.unpack(">i", got[4:8])[0] == self.n

    def alive(self):
        try:
            return self.ask()
        except OSError:
            return False

    def served_by(self, pids):
        """Which of the processes has the other end, by the inode of its socket."""
        mine, theirs = self.s.getsockname()[1], self.s.getpeername()[1]
        inode = None
        with open("/proc/net/tcp") as f:
            for line in f.readlines()[1:]:
                x = line.split()
                if int(x[1].split(":")[1], 16) == theirs and int(x[2].split(":")[1], 16) == mine:
                    inode = x[9]
        for pid in pids:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                try:
                    if os.readlink(f"/proc/{pid}/fd/{fd}") == f"socket:[{inode}]":
                        return pid
                except OSError:
                    pass
        return None

    def close(self):
        self.s.close()


class Pair:
    """A quorum and a broker without `moldau dev`: nobody starts them again."""

    def __init__(self, *sets, workers=2):
        self.dir = tempfile.mkdtemp(prefix="moldau-proc-")
        self.run_dir = tempfile.mkdtemp(prefix="moldau-proc-", dir="/dev/shm")
        self.port, self.quorum_port, self.metrics_port = free_port(), free_port(), free_port()
        self.sets = list(sets)
        self.workers = workers
        self.broker = self.quorum = None

    def start_quorum(self, name="quorum"):
        self.quorum = subprocess.Popen(
            [os.path.join(BUILD, "moldau-quorum"), "--node-id", "1", "--data-dir", f"{self.dir}/{name}", "--listen",
             f"127.0.0.1:{self.quorum_port}"], stderr=open(f"{self.dir}/{name}.log", "ab"))
        return self

    def settings(self, *more):
        args = {"node.id": "1", "listeners": f"PLAINTEXT://127.0.0.1:{self.port}", "log.dirs": f"{self.dir}/broker",
                "run.dir": self.run_dir, "quorum.bootstrap": f"127.0.0.1:{self.quorum_port}",
                "workers": str(self.workers), "metrics.listeners": f"127.0.0.1:{self.metrics_port}",
                "offsets.topic.replication.factor": "1"}
        args.update(x.split("=", 1) for x in [*self.sets, *more])
        return args

    def command(self, *more):
        out = [os.path.join(BUILD, "moldau-broker")]
        for k, v in self.settings(*more).items():
            out += ["--set", f"{k}={v}"]
        return out

    def start_broker(self, *more, wait=True, command=None, **popen):
        self.log_from = os.path.getsize(f"{self.dir}/broker.log") if os.path.exists(f"{self.dir}/broker.log") else 0
        self.broker = subprocess.Popen(command or self.command(*more), stderr=open(f"{self.dir}/broker.log", "ab"),
                                       **popen)
        if wait:
            wait_for("the broker answers", lambda: metadata(self.port) or self.broker.poll() is not None, 60)
            assert self.broker.poll() is None, self.log()
        return self

    def start(self, *more):
        return self.start_quorum().start_broker(*more)

    def log(self, since_start=False):
        with open(f"{self.dir}/broker.log", errors="replace") as f:
            f.seek(self.log_from if since_start else 0)
            return f.read()

    def pids(self, role=None):
        out = {p: role_of(c) for p, c in children(self.broker.pid).items()}
        return sorted(p for p, r in out.items() if role is None or r == role)

    def kill_broker(self):
        """kill -9 of every process of it, the supervisor first: nobody is there to replace the others."""
        os.kill(self.broker.pid, signal.SIGSTOP)
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        self.broker.kill()
        self.broker.wait()

    def q(self, *args):
        r = subprocess.run([QTOOL, f"127.0.0.1:{self.quorum_port}", *map(str, args)], capture_output=True, text=True, errors="replace",
                           timeout=30)
        return r.stdout.strip()

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as r:
            text = r.read().decode()
        return {k: float(v) for k, v in (x.rsplit(" ", 1) for x in text.splitlines() if x and x[0] != "#")}

    def moldau(self, *args):
        r = subprocess.run([os.path.join(BUILD, "moldau"), *args, "--bootstrap", f"127.0.0.1:{self.port}"],
                           capture_output=True, text=True, timeout=120)
        assert r.returncode == 0, (args, r.stdout, r.stderr, self.log()[-3000:])
        return r.stdout

    def end(self, p):
        if p and p.poll() is None:
            p.terminate()
            assert p.wait(60) == 0, self.log()[-3000:]

    def finish(self):
        try:
            self.end(self.broker)
            self.end(self.quorum)
            text = self.log() if self.broker else ""
            for bad in ("AddressSanitizer", "runtime error:", "must:", "ThreadSanitizer"):
                assert bad not in text, text[-3000:]
            for root, _, files in os.walk(self.dir):
                for f in files:
                    assert not re.fullmatch(r"core(\.\d+)?", f), os.path.join(root, f)
        finally:
            for p in (self.broker, self.quorum):
                if p and p.poll() is None:
                    p.kill()
                    p.wait()
            shutil.rmtree(self.dir, ignore_errors=True)
            shutil.rmtree(self.run_dir, ignore_errors=True)


def now_ms():
    return time.time() * 1000
