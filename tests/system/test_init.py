"""What an init system does with the daemons: the SysV scripts are run, the systemd units are checked."""
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from cluster import BUILD, free_port, wait_for
from procs import metadata

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(HERE, "..", "..", "init")
INIT = os.path.join(BUILD, "init")


class Sysv:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="moldau-init-")
        self.run = tempfile.mkdtemp(prefix="moldau-init-", dir="/dev/shm")
        self.port, self.quorum_port = free_port(), free_port()
        self.me = pwd.getpwuid(os.getuid()).pw_name
        for d, conf in (("broker", f"node.id=1\nquorum.bootstrap=127.0.0.1:{self.quorum_port}\n"
                                   f"listeners=PLAINTEXT://127.0.0.1:{self.port}\nworkers=2\nrun.dir={self.run}/broker\n"
                                   f"log.dirs={self.dir}/broker\n"),
                        ("quorum", f"node.id=1\ndata.dir={self.dir}/quorum\nlisten=127.0.0.1:{self.quorum_port}\n")):
            with open(f"{self.dir}/{d}.conf", "w") as f:
                f.write(conf)
            with open(f"{self.dir}/{d}.default", "w") as f:
                f.write(f"DAEMON={os.path.abspath(BUILD)}/moldau-{d}\nCONF={self.dir}/{d}.conf\nRUNDIR={self.run}\n"
                        f"DAEMON_USER={self.me}\nLOG={self.dir}/log/moldau-{d}.log\nSTART_SECONDS=60\nSTOP_SECONDS=60\n")

    def do(self, which, verb):
        r = subprocess.run(["sh", f"{INIT}/moldau-{which}.init", verb], capture_output=True, text=True, timeout=150,
                           env=dict(os.environ, DEFAULTS=f"{self.dir}/{which}.default"))
        return r.returncode, r.stdout + r.stderr

    def pid(self, which):
        try:
            with open(f"{self.run}/moldau-{which}.pid") as f:
                return int(f.read())
        except (OSError, ValueError):
            return None

    def log(self, which):
        with open(f"{self.dir}/log/moldau-{which}.log", errors="replace") as f:
            return f.read()

    def set(self, line):
        with open(f"{self.dir}/broker.conf", "a") as f:
            f.write(line + "\n")

    def close(self):
        for which in ("broker", "quorum"):
            self.do(which, "stop")
        shutil.rmtree(self.dir)
        shutil.rmtree(self.run)


@pytest.fixture()
def sysv():
    if not shutil.which("start-stop-daemon"):
        pytest.skip("no start-stop-daemon here")
    s = Sysv()
    yield s
    s.close()


def test_sysv_scripts(sysv):
    for which in ("quorum", "broker"):
        assert sysv.do(which, "status")[0] == 3
        rc, out = sysv.do(which, "start")
        assert rc == 0 and "serves" in out, out
        assert sysv.do(which, "status")[0] == 0
        rc, out = sysv.do(which, "start")
        assert rc == 0 and "runs already" in out
    assert metadata(sysv.port), "start returned before clients were served"

    for which in ("broker", "quorum"):		# killed: started again, as systemd does
        old = sysv.pid(which)
        os.kill(old, signal.SIGKILL)
        wait_for(which + " is started again", lambda: sysv.pid(which) not in (None, old) and
                 sysv.do(which, "status")[0] == 0, 60)
    wait_for("clients are served", lambda: metadata(sysv.port))

    pid = sysv.pid("broker")
    sysv.set("log.retention.hours=1")
    assert sysv.do("broker", "reload")[0] == 0
    wait_for("it was reloaded", lambda: "the settings were read again" in sysv.log("broker"))
    os.rename(f"{sysv.dir}/log/moldau-broker.log", f"{sysv.dir}/log/moldau-broker.log.1")
    os.kill(pid, signal.SIGUSR1)
    wait_for("a new log", lambda: os.path.exists(f"{sysv.dir}/log/moldau-broker.log"))
    os.rename(f"{sysv.dir}/log/moldau-quorum.log", f"{sysv.dir}/log/moldau-quorum.log.1")
    os.kill(sysv.pid("quorum"), signal.SIGUSR1)
    wait_for("a new log", lambda: os.path.exists(f"{sysv.dir}/log/moldau-quorum.log"))

    sysv.set("log.retention.hour=1")		# a wrong file stops nothing
    for verb in ("reload", "restart", "try-restart"):
        rc, out = sysv.do("broker", verb)
        assert rc == 6 and "the settings" in out and "did you mean log.retention.hours?" in out, (verb, rc, out)
    assert sysv.pid("broker") == pid and metadata(sysv.port)
    with open(f"{sysv.dir}/broker.conf") as f:
        text = f.read().replace("log.retention.hour=1\n", "")
    with open(f"{sysv.dir}/broker.conf", "w") as f:
        f.write(text)
    rc, out = sysv.do("broker", "restart")
    assert rc == 0 and sysv.pid("broker") != pid, out
    assert "everything is on the disk" in sysv.log("broker")

    assert sysv.do("broker", "stop")[0] == 0
    assert sysv.do("broker", "status")[0] == 3 and not metadata(sysv.port)
    assert sysv.do("broker", "stop")[0] == 0, "stop of what is stopped is fine"
    assert sysv.do("broker", "try-restart")[0] == 0 and sysv.do("broker", "status")[0] == 3
    assert sysv.do("broker", "reload")[0] == 7
    with socket.socket() as s:			# cannot start: start says so at once
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", sysv.port))
        s.listen()
        start = time.monotonic()
        rc, out = sysv.do("broker", "start")
        assert rc == 1 and "could not be started" in out and "in use by another program" in out, out
        assert time.monotonic() - start < 30
    assert sysv.do("broker", "status")[0] == 3
    assert sysv.do("broker", "dance")[0] == 2
    assert sysv.do("quorum", "stop")[0] == 0


@pytest.fixture()
def units(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here: the units were not verified")
    for name in ("moldau-broker.service", "moldau-quorum.service"):
        with open(f"{INIT}/{name}") as f:
            text = f.read()
        text = re.sub(r"(?m)(?<==)\S*/sbin/", os.path.abspath(BUILD) + "/", text)	# where the programs are here
        (tmp_path / name).write_text(text)
    shutil.copy(f"{SOURCE}/moldau.target", tmp_path)
    return tmp_path


def test_systemd_units(units):
    files = [str(units / n) for n in ("moldau-broker.service", "moldau-quorum.service", "moldau.target")]
    r = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *files], capture_output=True,
                       text=True, timeout=60)
    ours = [x for x in (r.stdout + r.stderr).splitlines() if "moldau" in x and "User" not in x]
    assert r.returncode == 0 and not ours, r.stdout + r.stderr
    for f in files[:2]:
        r = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", f],
                           capture_output=True, text=True, timeout=60)
        last = [x for x in r.stdout.splitlines() if "Overall exposure level" in x]
        print(os.path.basename(f), *last)
        assert r.returncode == 0, r.stdout[-1500:] + r.stderr


def test_systemd_unit_says_what_the_daemon_needs():
    text = open(f"{INIT}/moldau-broker.service").read()
    for line in ("Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "KillMode=mixed", "RuntimeDirectoryPreserve=yes",
                 "Restart=on-failure", "RestartPreventExitStatus=2 3", "Wants=network-online.target"):
        assert line in text.splitlines(), line


def test_logrotate_file():
    if not shutil.which("logrotate"):
        pytest.skip("no logrotate here")
    r = subprocess.run(["logrotate", "--debug", "--state", "/dev/null", os.path.join(SOURCE, "moldau.logrotate")],
                       capture_output=True, text=True, timeout=30)
    bad = [x for x in r.stderr.splitlines() if x.startswith("error:") and "unknown user" not in x and "unknown group" not in x]
    assert not bad, r.stderr
