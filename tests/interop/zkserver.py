"""A moldau-quorum with a ZooKeeper port for the scripts of ZooKeeper clients; see interop.py for what a script prints."""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "system"))
from cluster import BUILD, free_port, wait_for  # noqa: E402
import zkwire  # noqa: E402


class ZkServer:
    def __init__(self, *options):
        self.options = options

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="moldau-zk-interop-")
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log = open(os.path.join(self.dir, "log"), "ab")
        self.proc = subprocess.Popen(
            [os.path.join(BUILD, "moldau-quorum"), "--data-dir", self.dir + "/data", "--listen", f"127.0.0.1:{free_port()}",
             "--zookeeper-listen", self.address, "--zookeeper-words", "*", *self.options], stderr=self.log)
        wait_for("moldau-quorum to serve", lambda: "Mode: " in zkwire.word("127.0.0.1", self.port, "srvr"))
        return self

    def __exit__(self, *_):
        self.proc.terminate()
        status = self.proc.wait(20)
        self.log.close()
        if status:
            print(f"not ok server: it ended with {status}")
            with open(os.path.join(self.dir, "log"), errors="replace") as f:
                print(f.read()[-3000:])
        shutil.rmtree(self.dir)


failed = []


def step(name, ok, why=""):
    if ok:
        print("ok " + name, flush=True)
    else:
        failed.append(name)
        print(f"not ok {name}: {why}", flush=True)


def tool(path, package):
    found = shutil.which(path)
    if not found:
        print(f"no {path} on this machine (Debian package {package})")
        sys.exit(77)
    return found
