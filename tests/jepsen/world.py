"""Hosts of a quorum as network namespaces on a bridge, each with a disk of its own: a file of ext4 on a loop device, whose
power can be cut. And what can happen to them. Needs root, iproute2, nftables, e2fsprogs."""
import ctypes
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "system"))
from cluster import BUILD, wait_for  # noqa: E402

SHUTDOWN = 0x8004587d                   # _IOR('X', 125, __u32): EXT4_IOC_SHUTDOWN
NO_LOG_FLUSH = 2
DISK_MB = 96
LOG_BYTES = 4 << 20                     # then a snapshot: disks stay far from full, and images are sent
NATIVE, PEER, ZOOKEEPER, METRICS = 9093, 9094, 2181, 9095


def sh(*cmd, ok=True):
    r = subprocess.run(cmd, capture_output=True, text=True)
    if ok and r.returncode:
        raise RuntimeError(f"{' '.join(cmd)}: {r.stderr.strip()}")
    return r.stdout


def missing():
    """Why the test cannot run here, or None."""
    if os.geteuid() != 0:
        return "it needs root"
    for program, package in (("ip", "iproute2"), ("nft", "nftables"), ("mkfs.ext4", "e2fsprogs"), ("losetup", "mount")):
        if not shutil.which(program):
            return f"there is no {program} (package {package})"
    world = World(1)                        # one host is made and its power cut: all that the test needs
    try:
        world.make()
        if not world.hosts[0].cut_power():
            return "a file system on a loop device cannot be shut down here"
    except (RuntimeError, OSError) as e:
        return str(e)
    finally:
        world.remove()
    return None


class Host:
    def __init__(self, world, number):
        self.world, self.number = world, number
        self.ns = f"{world.name}-{number}"
        self.ip = f"10.99.0.{number}"
        self.folder = os.path.join(world.dir, str(number))
        self.image = self.folder + ".img"
        self.log = self.folder + ".log"
        self.proc, self.options = None, []
        self.kills = 0

    def make(self):
        w = self.world
        sh("ip", "netns", "add", self.ns)
        sh("ip", "-n", w.hub, "link", "add", f"v{self.number}", "type", "veth", "peer", "name", "eth0", "netns", self.ns)
        sh("ip", "-n", w.hub, "link", "set", f"v{self.number}", "master", "hub0", "up")
        sh("ip", "-n", self.ns, "link", "set", "lo", "up")
        sh("ip", "-n", self.ns, "addr", "add", f"{self.ip}/24", "dev", "eth0")
        sh("ip", "-n", self.ns, "link", "set", "eth0", "up")
        self.nft("add table inet f; add chain inet f in { type filter hook input priority 0; }")
        self.new_disk()

    def nft(self, text):
        sh("nsenter", f"--net=/run/netns/{self.ns}", "nft", text)

    # ---- the disk ----

    def new_disk(self):
        with open(self.image, "wb") as f:
            f.truncate(DISK_MB << 20)
        sh("mkfs.ext4", "-q", "-F", self.image)
        self.mount()

    def mount(self):
        os.makedirs(self.folder, exist_ok=True)
        self.loop = sh("losetup", "--show", "-f", self.image).strip()
        sh("mount", self.loop, self.folder)

    def unmount(self):
        if os.path.ismount(self.folder):
            sh("umount", self.folder)
            sh("losetup", "-d", self.loop)
            wait_for("the loop device to go", lambda: self.image not in sh("losetup", "-a"))

    def cut_power(self, restart=True):
        """What was not synced is gone; the process dies with it. restart: the disk is there again."""
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)
        try:
            with open(self.folder + "/after", "wb") as f:
                f.write(b"x")
            bitten = False
        except OSError:
            bitten = True
        self.kill()
        if restart:
            self.remount()
        return bitten

    def remount(self):
        self.unmount()
        self.mount()

    def lose_disk(self):
        self.kill()
        self.unmount()
        self.new_disk()

    # ---- the process ----

    def start(self):
        env = {**os.environ, **({"MOLDAU_MUTANT": self.world.mutant} if self.world.mutant else {})}
        self.proc = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.ns}", self.world.program, "--node-id", str(self.number), "--data-dir", self.folder + "/data",
             "--listen", f"{self.ip}:{NATIVE}", "--peer-listen", f"{self.ip}:{PEER}", "--allow-plaintext", "true",
             "--zookeeper-listen", f"{self.ip}:{ZOOKEEPER}", "--zookeeper-words", "*", "--zookeeper-connections-max", "0",
             "--zookeeper-tick-ms", "500", "--snapshot-log-bytes", str(LOG_BYTES), *self.options], stderr=open(self.log, "ab"), env=env)

    def kill(self):
        if self.alive():
            self.proc.send_signal(signal.SIGCONT)
            self.proc.kill()
            self.proc.wait()
            self.kills += 1

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def state(self):
        with open(f"/proc/{self.proc.pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0]

    # ---- the network ----

    def drop(self, other):
        """Nothing of the other host arrives here."""
        self.nft(f"add rule inet f in ip saddr {other.ip} counter drop")

    def heal(self):
        """How many packets were dropped here."""
        text = sh("nsenter", f"--net=/run/netns/{self.ns}", "nft", "list", "chain", "inet", "f", "in")
        self.nft("flush chain inet f in")
        return sum(int(line.split("packets ")[1].split()[0]) for line in text.splitlines() if "packets" in line)

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def remove(self):
        self.kill()
        try:
            self.unmount()
        except (RuntimeError, AssertionError):
            sh("umount", "-l", self.folder, ok=False)
        sh("ip", "netns", "del", self.ns, ok=False)


class World:
    def __init__(self, n, mutant=None):
        self.name = f"mj{os.getpid()}"
        self.hub = self.name + "-hub"
        self.mutant = mutant
        self.program = os.path.join(BUILD, "tests/jepsen/moldau-quorum-mutant" if mutant else "moldau-quorum")
        self.dir = tempfile.mkdtemp(prefix="moldau-jepsen-", dir="/var/tmp")
        self.hosts = [Host(self, i + 1) for i in range(n)]

    def make(self):
        sh("ip", "netns", "add", self.hub)
        sh("ip", "-n", self.hub, "link", "add", "hub0", "type", "bridge")
        sh("ip", "-n", self.hub, "link", "set", "hub0", "up")
        sh("ip", "-n", self.hub, "addr", "add", "10.99.0.254/24", "dev", "hub0")      # the clients' host
        for h in self.hosts:
            h.make()

    def enter(self):
        """This process, and its threads from now on, are on the clients' host."""
        libc = ctypes.CDLL(None, use_errno=True)
        fd = os.open(f"/run/netns/{self.hub}", os.O_RDONLY)
        if libc.setns(fd, 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)

    def moldau(self, *args, seconds=30):
        r = subprocess.run([os.path.join(BUILD, "moldau"), "quorum", *args, "--timeout", str(seconds), "--quorum",
                            ",".join(f"{h.ip}:{NATIVE}" for h in self.hosts)], capture_output=True, text=True,
                           timeout=seconds + 30)
        return r.returncode, r.stdout + r.stderr

    def remove(self):
        for h in self.hosts:
            h.remove()
        sh("ip", "netns", "del", self.hub, ok=False)
        shutil.rmtree(self.dir, ignore_errors=True)
