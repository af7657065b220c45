"""The two brokers under comparison, and Kafka's jars: fetched once into a folder under the build directory."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "system"))
import cluster as moldau_cluster  # noqa: E402

KAFKA = "4.4.0"
# The same on both sides, so that only behaviour can differ.
SETTINGS = {
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "100",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "log.segment.bytes": "1048576",
    "log.retention.ms": "-1",		# record timestamps are constants, old ones
}


class Skip(Exception):
    """The comparison cannot run here; the text says why."""


def jars(build, cache, seconds):
    """Class path of Apache Kafka and of Codec.java; downloads and compiles what is not there yet."""
    for tool in ("java", "javac"):
        if not shutil.which(tool):
            raise Skip(f"no {tool} (Debian: openjdk-17-jdk-headless)")
    top = os.path.join(os.path.abspath(cache or os.path.join(build, "interop-cache")), "kafka-broker")
    libs, done = os.path.join(top, "libs-" + KAFKA), os.path.join(top, "complete-" + KAFKA)
    os.makedirs(top, exist_ok=True)
    if not os.path.exists(done):
        if not shutil.which("mvn"):
            raise Skip("no mvn (Debian: maven) to fetch Apache Kafka")
        try:
            r = subprocess.run(["mvn", "-B", "-q", "-f", os.path.join(HERE, "pom.xml"), "-Dkafka.version=" + KAFKA,
                                "dependency:copy-dependencies", "-DoutputDirectory=" + libs], timeout=seconds,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        except subprocess.TimeoutExpired:
            raise Skip(f"Apache Kafka {KAFKA} did not come from Maven within {seconds} s")
        if r.returncode != 0:
            raise Skip(f"Apache Kafka {KAFKA} cannot be had from Maven: " + last_line(r.stdout))
        open(done, "w").close()
    source, classes = os.path.join(HERE, "Codec.java"), os.path.join(top, "classes")
    target = os.path.join(classes, "Codec.class")
    if not os.path.exists(target) or os.path.getmtime(target) < os.path.getmtime(source):
        subprocess.run(["javac", "-nowarn", "-Xlint:none", "-cp", libs + "/*", "-d", classes, source], check=True,
                       stderr=subprocess.DEVNULL)
        os.utime(target)
    return classes + ":" + libs + "/*"


def last_line(text):
    lines = [s for s in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines() if s.strip()]
    return lines[-1] if lines else ""


def java(class_path, *args, heap="256m"):
    return ["java", "-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", class_path, *args]


class Kafka:
    """One node of Apache Kafka, broker and controller, in a folder of its own."""

    def __init__(self, class_path):
        self.dir = tempfile.mkdtemp(prefix="kafka-diff-")
        self.port, controller = moldau_cluster.free_port(), moldau_cluster.free_port()
        self.class_path = class_path
        self.conf = os.path.join(self.dir, "server.properties")
        lines = {
            "process.roles": "broker,controller", "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": os.path.join(self.dir, "data"),
            "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1", "share.coordinator.state.topic.min.isr": "1",
            **SETTINGS}
        with open(self.conf, "w") as f:
            f.writelines(f"{k}={v}\n" for k, v in lines.items())
        self.log = open(os.path.join(self.dir, "log"), "ab")
        self.proc = None

    def begin(self):
        subprocess.run(java(self.class_path, "kafka.tools.StorageTool", "format", "-t", "bW9sZGF1LWthZmthLWRpZg",
                            "-c", self.conf), check=True, stdout=self.log, stderr=self.log)
        self.proc = subprocess.Popen(java(self.class_path, "kafka.Kafka", self.conf, heap="512m"),
                                     stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)

    def tail(self, n=40):
        with open(os.path.join(self.dir, "log"), errors="replace") as f:
            return "".join(f.readlines()[-n:])

    def finish(self):
        if self.proc:
            self.proc.send_signal(signal.SIGKILL)	# nothing of it is kept
            self.proc.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def moldau(build):
    moldau_cluster.BUILD = os.path.abspath(build)
    c = moldau_cluster.Cluster(*[a for k, v in SETTINGS.items() for a in ("--set", f"{k}={v}")])
    return c.start(60)


def wait_open(port, alive, seconds):
    import socket
    end = time.monotonic() + seconds
    while time.monotonic() < end and alive():
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.1)
    return False
