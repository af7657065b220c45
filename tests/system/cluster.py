"""A cluster under `moldau dev` for tests: start, processes by role, stop, and the checks every system test ends with."""
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

BUILD = os.environ.get("MOLDAU_BUILD", "build")


given = set()


def free_port():
    """A port that nobody has: below those that the kernel gives to connections, which could take it meanwhile."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in given:
            given.add(port)
            return port


def children(pid):
    """All living descendants of pid: {pid: command line}."""
    parent, cmd = {}, {}
    for d in os.listdir("/proc"):
        if not d.isdigit():
            continue
        try:
            with open(f"/proc/{d}/stat") as f:
                st = f.read()
            with open(f"/proc/{d}/cmdline", "rb") as f:
                cmd[int(d)] = f.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        rest = st[st.rindex(")") + 2:].split()
        if rest[0] != "Z":
            parent[int(d)] = int(rest[1])
    found, todo = {}, [pid]
    while todo:
        p = todo.pop()
        for c, pp in parent.items():
            if pp == p and c not in found:
                found[c] = cmd.get(c, "")
                todo.append(c)
    return found


def wait_for(what, check, seconds=30.0):
    """Polls check() until it is true; the value."""
    end = time.monotonic() + seconds
    while True:
        v = check()
        if v:
            return v
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Cluster:
    def __init__(self, *args, workers=2, folder="data"):
        self.dir = tempfile.mkdtemp(prefix="moldau-test-")
        self.port = free_port()
        self.args = list(args)
        self.data = os.path.join(self.dir, folder)
        self.workers = workers
        self.kills = {}
        self.proc = None

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.port}"

    def start(self, seconds=30.0):
        self.log = open(os.path.join(self.dir, "log"), "ab")
        self.proc = subprocess.Popen(
            [os.path.join(BUILD, "moldau"), "dev", "--dir", self.data,
             "--port", str(self.port), "--workers", str(self.workers)] + self.args,
            stdout=subprocess.PIPE, stderr=self.log)
        end = time.monotonic() + seconds
        line = b""
        while b"ready 127.0.0.1:%d\n" % self.port not in line:
            left = end - time.monotonic()
            assert left > 0 and self.proc.poll() is None, "not ready:\n" + self.tail()
            if select.select([self.proc.stdout], [], [], left)[0]:
                got = os.read(self.proc.stdout.fileno(), 4096)
                assert got, "moldau dev ended:\n" + self.tail()
                line += got
        return self

    def tail(self, n=40):
        with open(os.path.join(self.dir, "log"), errors="replace") as f:
            return "".join(f.readlines()[-n:])

    def roles(self):
        """{role: [pid]} of the living processes; supervisor and quorum among them."""
        out = {}
        for pid, cmd in children(self.proc.pid).items():
            m = re.search(r"--role (\w+)", cmd)
            role = m.group(1) if m else "quorum" if "moldau-quorum" in cmd else "supervisor" if "moldau-broker" in cmd else "?"
            out.setdefault(role, []).append(pid)
        return out

    def kill9(self, role, index=0):
        pid = sorted(self.roles()[role])[index]
        os.kill(pid, signal.SIGKILL)
        self.kills[role] = self.kills.get(role, 0) + 1
        return pid

    def restarts(self):
        """How often the supervisors replaced a process, by role, as they logged it."""
        out = {}
        with open(os.path.join(self.dir, "log"), errors="replace") as f:
            for line in f:
                m = re.search(r'msg="a process ended and is replaced" detail="(\w+)-', line)
                if m:
                    out[m.group(1)] = out.get(m.group(1), 0) + 1
        return out

    def moldau(self, *args, stdin=None, check=True):
        r = subprocess.run([os.path.join(BUILD, "moldau"), *args, "--bootstrap", self.bootstrap], input=stdin,
                           capture_output=True, text=True, timeout=60)
        assert not check or r.returncode == 0, (args, r.stdout, r.stderr, self.tail())
        return r

    def stop(self):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                status = self.proc.wait(40)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                raise AssertionError("TERM did not end the cluster:\n" + self.tail())
            assert status == 0, f"status {status}:\n" + self.tail()

    def finish(self):
        """The end of every system test: clean stop, restarts equal kills, no core, no sanitizer report."""
        self.stop()
        with open(os.path.join(self.dir, "log"), errors="replace") as f:
            text = f.read()
        for bad in ("AddressSanitizer", "runtime error:", "must:", "ThreadSanitizer"):
            assert bad not in text, self.tail(80)
        got = self.restarts()
        for role in ("worker", "agent", "groups", "storage", "supervisor", "quorum"):
            assert got.get(role, 0) == self.kills.get(role, 0), (role, got, self.kills, self.tail(80))
        for root, _, files in os.walk(self.dir):
            for f in files:
                assert not re.fullmatch(r"core(\.\d+)?", f), os.path.join(root, f)
        shutil.rmtree(self.dir, ignore_errors=True)


def run(*cmd, stdin=None, seconds=60):
    r = subprocess.run(cmd, input=stdin, capture_output=True, text=True, timeout=seconds)
    assert r.returncode == 0, (cmd, r.stdout[-2000:], r.stderr[-2000:])
    return r.stdout
