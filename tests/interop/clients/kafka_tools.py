"""Apache Kafka's own command line tools: kafka_tools.py BOOTSTRAP; CLASSPATH and VERSION in the environment."""
import atexit
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from steps import CODECS, Skip, finish, same, step, topic_name, until, version

boot = sys.argv[1]
topic = topic_name("tools")
group = "g-" + topic
lines = []
JAVA = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", os.environ["CLASSPATH"]]
TOOLS = "org.apache.kafka.tools."
work = tempfile.mkdtemp(prefix="moldau-tools-")
atexit.register(shutil.rmtree, work, True)


def start(name, *args, **kw):
    return subprocess.Popen([*JAVA, TOOLS + name, *args], text=True, **kw)


def tool(name, *args, stdin=None, status=0):
    """Runs a tool against the cluster; its output, the error output behind it."""
    r = subprocess.run([*JAVA, TOOLS + name, "--bootstrap-server", boot, *args], input=stdin, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    assert r.returncode == status, (name, args, r.returncode, r.stdout[-2000:], r.stderr[-2000:])
    return r.stdout + r.stderr


def has(text, *patterns):
    for p in patterns:
        assert re.search(p, text, re.M), f"no {p!r} in:\n{text[-3000:]}"


version(os.environ["VERSION"])


@step("create")             # kafka-topics
def _():
    has(tool("TopicCommand", "--create", "--topic", topic, "--partitions", "2", "--config", "retention.ms=3600000"),
        f"Created topic {topic}")
    has(tool("TopicCommand", "--create", "--topic", topic, status=1), "already exists")
    same(tool("TopicCommand", "--create", "--topic", topic, "--if-not-exists"), "")
    has(tool("TopicCommand", "--list"), f"^{topic}$")


@step("describe")
def _():
    out = tool("TopicCommand", "--describe", "--topic", topic)
    has(out, r"TopicId: \S{22}\s", "PartitionCount: 2", "ReplicationFactor: 1", "retention.ms=3600000",
        r"Partition: 0\s+Leader: 1\s+Replicas: 1\s+Isr: 1\s+Elr:\s+LastKnownElr:")
    same(tool("TopicCommand", "--describe", "--unavailable-partitions"), "")


@step("partitions")
def _():
    tool("TopicCommand", "--alter", "--topic", topic, "--partitions", "4")
    until("four partitions", lambda: "PartitionCount: 4" in tool("TopicCommand", "--describe", "--topic", topic))
    has(tool("TopicCommand", "--alter", "--topic", topic, "--partitions", "3", status=1), "3 would not be an increase")


@step("configs")            # kafka-configs
def _():
    entity = ["--entity-type", "topics", "--entity-name", topic]
    has(tool("ConfigCommand", *entity, "--alter", "--add-config",
             "retention.ms=7200000,cleanup.policy=[compact,delete]"), "Completed updating config")
    has(tool("ConfigCommand", *entity, "--describe"), "retention.ms=7200000 .*DYNAMIC_TOPIC_CONFIG",
        "cleanup.policy=compact,delete")
    has(tool("ConfigCommand", *entity, "--alter", "--delete-config", "retention.ms,cleanup.policy"), "Completed")
    assert "retention.ms" not in tool("ConfigCommand", *entity, "--describe")
    has(tool("ConfigCommand", *entity, "--describe", "--all"), "^  retention.ms=604800000 sensitive=false")
    has(tool("ConfigCommand", *entity, "--alter", "--add-config", "retention.ms=never", status=1),
        "InvalidConfigurationException")
    broker = ["--entity-type", "brokers"]
    has(tool("ConfigCommand", *broker, "--entity-name", "1", "--describe", "--all"), "log.dirs=.*STATIC_BROKER_CONFIG")
    tool("ConfigCommand", *broker, "--entity-default", "--alter", "--add-config", "log.retention.ms=86400000")
    has(tool("ConfigCommand", *broker, "--entity-default", "--describe"), "log.retention.ms=86400000")
    tool("ConfigCommand", *broker, "--entity-default", "--alter", "--delete-config", "log.retention.ms")


for codec in CODECS:
    @step("produce-" + codec)       # kafka-console-producer
    def _():
        new = [f"{codec}-{i}" for i in range(100)]
        tool("ConsoleProducer", "--topic", topic, "--compression-codec", codec, "--reader-property", "parse.key=true",
             "--reader-property", "key.separator=:", stdin="".join(f"k{i % 7}:{x}\n" for i, x in enumerate(new)))
        lines.extend(new)


@step("nulls-headers")
def _():
    tool("ConsoleProducer", "--topic", topic, "--reader-property", "parse.headers=true", "--reader-property",
         "parse.key=true", "--reader-property", "null.marker=NULL", stdin="h1:v1,h2:v2\tk\tNULL\nh:x\tNULL\tvalue\n")
    out = tool("consumer.ConsoleConsumer", "--topic", topic, "--from-beginning", "--max-messages", str(len(lines) + 2),
               "--formatter-property", "print.headers=true", "--formatter-property", "print.key=true")
    has(out, "^h1:v1,h2:v2\tk\tnull$", "^h:x\tnull\tvalue$")
    lines.extend(["null", "value"])


@step("consume")            # kafka-console-consumer
def _():
    out = tool("consumer.ConsoleConsumer", "--topic", topic, "--from-beginning", "--max-messages", str(len(lines)))
    same(sorted(out.splitlines()[:len(lines)]), sorted(lines))


@step("offsets")            # kafka-get-offsets
def _():
    def offsets(*args):
        return [int(x.split(":")[2] or -1) for x in tool("GetOffsetShell", "--topic", topic, *args).split()]
    same(sum(offsets()), len(lines))
    same(offsets("--time", "earliest"), [0] * 4)
    same(sum(offsets("--time", "1000000000000")), 0)
    assert all(x >= 0 for x in offsets("--time", "max-timestamp"))
    same(offsets("--time", "earliest-local"), [0] * 4)
    same(offsets("--time", "latest-tiered"), [])
    has(tool("GetOffsetShell", "--topic", "__consumer.*", "--exclude-internal-topics", status=1), "Could not match")


@step("group")              # kafka-consumer-groups, kafka-groups
def _():
    out = [open(os.path.join(work, f"member{i}"), "w+") for i in range(2)]
    conf = ["--command-property", "heartbeat.interval.ms=300", "--command-property", "session.timeout.ms=6000",
            "--command-property", "auto.offset.reset=earliest"]

    def member(i):
        return start("consumer.ConsoleConsumer", "--bootstrap-server", boot, "--topic", topic, "--group", group, *conf,
                     stdout=out[i], stderr=subprocess.DEVNULL)

    def members():
        text = tool("consumer.group.ConsumerGroupCommand", "--describe", "--group", group, "--members", "--verbose")
        rows = [x.split() for x in text.splitlines() if x.startswith(group)]
        return sorted(int(x[4]) for x in rows)

    def got():
        return sum(len(open(f.name).read().splitlines()) for f in out)
    a = member(0)
    atexit.register(a.kill)
    until("all for one", lambda: members() == [4])
    b = member(1)
    atexit.register(b.kill)
    until("two each", lambda: members() == [2, 2])
    until("every record", lambda: got() >= len(lines))
    has(tool("consumer.group.ConsumerGroupCommand", "--describe", "--group", group, "--state"),
        rf"{group}\s+127.0.0.1:\d+\s+\(1\)\s+range\s+Stable\s+2")
    has(tool("consumer.group.ConsumerGroupCommand", "--list", "--state"), rf"{group}\s+Stable")
    has(tool("consumer.group.ConsumerGroupCommand", "--delete", "--group", group), "GroupNotEmptyException")
    b.terminate()
    b.wait(30)
    until("the rest goes to the one that is left", lambda: members() == [4])
    a.terminate()
    a.wait(30)
    same(got(), len(lines))
    text = tool("consumer.group.ConsumerGroupCommand", "--describe", "--group", group)
    rows = [x.split() for x in text.splitlines() if x.startswith(group)]
    same((len(rows), sum(int(x[3]) for x in rows), sum(int(x[5]) for x in rows)), (4, len(lines), 0))
    has(tool("GroupsCommand", "--list"), rf"{group}\s+Classic\s+consumer")


@step("reset-offsets")
def _():
    reset = ["consumer.group.ConsumerGroupCommand", "--group", group, "--topic", topic, "--reset-offsets", "--execute"]
    has(tool(*reset, "--to-earliest"), rf"{group}\s+{topic}\s+0\s+0")
    tool(*reset, "--shift-by", "2")
    tool(*reset, "--to-datetime", "2100-01-01T00:00:00.000")
    text = tool("consumer.group.ConsumerGroupCommand", "--describe", "--group", group)
    same({x.split()[5] for x in text.splitlines() if x.startswith(group)}, {"0"})
    has(tool("consumer.group.ConsumerGroupCommand", "--group", group, "--delete-offsets", "--topic", topic + ":0"),
        rf"{topic}\s+0\s+Successful")


@step("verifiable")         # kafka-verifiable-producer, kafka-verifiable-consumer
def _():
    t = topic + "-v"
    tool("TopicCommand", "--create", "--topic", t, "--partitions", "2")
    out = tool("VerifiableProducer", "--topic", t, "--max-messages", "2000", "--acks", "-1")
    has(out, '"sent":2000,"acked":2000')
    out = tool("VerifiableConsumer", "--topic", t, "--group-id", "v-" + group, "--max-messages", "2000",
               "--reset-policy", "earliest", "--verbose")
    seen = [json.loads(x) for x in out.splitlines() if x.startswith("{")]
    values = sorted(int(x["value"]) for x in seen if x["name"] == "record_data")
    same(values, list(range(2000)))
    commits = [x for x in seen if x["name"] == "offsets_committed"]
    assert commits and all(x["success"] for x in commits), commits[-1:]
    tool("TopicCommand", "--delete", "--topic", t)


@step("perf-test")          # kafka-producer-perf-test, kafka-consumer-perf-test
def _():
    t = topic + "-p"
    tool("TopicCommand", "--create", "--topic", t, "--partitions", "2")
    has(tool("ProducerPerformance", "--topic", t, "--num-records", "50000", "--record-size", "200", "--throughput",
             "-1", "--command-property", "compression.type=lz4"), "50000 records sent")
    has(tool("ConsumerPerformance", "--topic", t, "--num-records", "50000"), r",\s*50000,")
    tool("TopicCommand", "--delete", "--topic", t)


@step("producers")          # kafka-transactions describe-producers
def _():
    out = tool("TransactionsCommand", "describe-producers", "--topic", topic, "--partition", "0")
    has(out, r"^ProducerId\s+ProducerEpoch", r"^\d+\s+0\s+-1\s+\d+\s+\d+\s+None")


@step("delete-records")     # kafka-delete-records
def _():
    path = os.path.join(work, "offsets.json")
    with open(path, "w") as f:
        json.dump({"version": 1, "partitions": [{"topic": topic, "partition": p, "offset": -1} for p in range(4)]}, f)
    out = tool("DeleteRecordsCommand", "--offset-json-file", path)
    same(sum(int(x) for x in re.findall(r"low_watermark: (\d+)", out)), len(lines))


@step("cluster")            # kafka-cluster, kafka-features, kafka-client-metrics
def _():
    same(tool("ClientMetricsCommand", "--list").strip(), "")
    r = subprocess.run([*JAVA, TOOLS + "ClusterTool", "cluster-id", "--bootstrap-server", boot], capture_output=True,
                       text=True, timeout=60)
    has(r.stdout, r"Cluster ID: \S{22}$")
    r = subprocess.run([*JAVA, TOOLS + "FeatureCommand", "--bootstrap-server", boot, "describe"], capture_output=True,
                       text=True, timeout=60)
    has(r.stdout, "metadata.version")


def dump(path, *args):
    r = subprocess.run([*JAVA, TOOLS + "DumpLogSegments", "--files", path, "--print-data-log", *args],
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 0 and "isvalid: false" not in r.stdout, r.stdout[-2000:]
    same(r.stderr.strip(), "")
    return r.stdout


@step("dump-log")           # kafka-dump-log on the broker's files
def _():
    data = os.environ.get("MOLDAU_DATA")
    if not data:
        raise Skip("the files of the cluster are not here")
    out = "".join(dump(path, "--deep-iteration") for path in
                  glob.glob(f"{data}/**/{topic}-[0-3]/*.log", recursive=True))
    has(out, "Log starting offset: 0", *("compresscodec: " + c for c in CODECS))
    same(sorted(re.findall(r"payload: (\S+)", out)), sorted(x for x in lines if x != "null"))
    text = "".join(dump(path, "--offsets-decoder") for path in
                   glob.glob(f"{data}/**/__consumer_offsets-*/*.log", recursive=True) if os.path.getsize(path))
    has(text, rf'"group":"{group}"', rf'"topic":"{topic}"', '"protocolType":"consumer"', '"assignment":')


@step("delete-group")
def _():
    has(tool("consumer.group.ConsumerGroupCommand", "--delete", "--group", group), "successful")
    assert group not in tool("consumer.group.ConsumerGroupCommand", "--list").split()


@step("delete")
def _():
    tool("TopicCommand", "--delete", "--topic", topic)
    until("the topic is gone", lambda: topic not in tool("TopicCommand", "--list").split())
    has(tool("TopicCommand", "--delete", "--topic", topic, status=1), "does not exist")


finish()
