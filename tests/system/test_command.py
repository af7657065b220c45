"""The moldau command as a user meets it: what it says to slips, and what it prints."""
import json
import os
import select
import subprocess
import time

import pytest

from cluster import BUILD, Cluster, free_port

MOLDAU = os.path.join(BUILD, "moldau")
TOOLS = os.path.join(os.path.dirname(__file__), "..", "..", "tools")


def moldau(*args, **how):
    return subprocess.run([MOLDAU, *args], capture_output=True, text=True, timeout=60, **how)


@pytest.fixture(scope="module")
def cluster():
    c = Cluster()
    c.start()
    yield c
    c.finish()


@pytest.mark.parametrize("args, said", [
    ("topcis list", 'did you mean "topics"'), ("topics lst", 'did you mean "list"'), ("groups descrbe g", 'did you mean "describe"'),
    ("quorum stauts", 'did you mean "status"'), ("log dmp x", 'did you mean "dump"'), ("topics", "topics add-partitions TOPIC"),
    ("topics list hello", 'unexpected argument "hello"'), ("topics create", "an argument is missing"),
    ("quorum remove", "usage: moldau quorum remove ID"), ("quorum remove one", "is a number"), ("quorum get a", "begins with /"),
    ("quorum set /a", "usage: moldau quorum set PATH VALUE"), ("version x", 'unexpected argument "x"'),
    ("topics list --bootstrap 127.0.0.1:abc", "a port from 1 to 65535"), ("topics list --bootstrap :9092", "is HOST:PORT"),
    ("topics list --bootstrap [::1]:0", "a port from 1 to 65535"), ("topics list --ouptut json", "did you mean --output"),
    ("quorum get / --quorum foo", "HOST:PORT"), ("dev extra", "takes no arguments"), ("dev --set nonsense", "NAME=VALUE"), ("dev --set log.retention.hour=1", "log.retention.hours"),
    ("dev --set num.partitions=x", "num.partitions"), ("dev --workers 99", "from 1 to 48"),
])
def test_a_slip_is_explained_and_nothing_is_done(args, said, tmp_path):
    r = moldau(*args.split(), cwd=tmp_path)
    assert r.returncode == 2 and said in r.stderr and r.stdout == "", r.stderr
    assert os.listdir(tmp_path) == []


def test_nobody_there_is_said_at_once():
    began = time.monotonic()
    for args in (["topics", "list", "--bootstrap"], ["quorum", "get", "/", "--quorum"], ["quorum", "remove", "1", "--quorum"]):
        r = moldau(*args, f"127.0.0.1:{free_port()}")
        assert r.returncode == 3 and r.stderr, r
    assert time.monotonic() - began < 10


def test_topics(cluster):
    r = cluster.moldau("topics", "create", "cmd-a", "--partitions", "2", "--config", "retention.ms=1234567")
    assert r.stdout == "created cmd-a (2 partitions)\n"
    assert cluster.moldau("topics", "create", "cmd-a", "--if-not-exists").stdout == "cmd-a is there already\n"
    r = cluster.moldau("topics", "create", "cmd-a", "--if-not-exists", "--output", "json")
    assert json.loads(r.stdout) == {"exists": "cmd-a"}
    text = cluster.moldau("topics", "describe", "cmd-a").stdout
    assert "retention.ms" in text and "1234567" in text
    d = json.loads(cluster.moldau("topics", "describe", "cmd-a", "--output", "json").stdout)[0]
    assert d["configs"] == {"retention.ms": "1234567"} and len(d["partitions"]) == 2
    r = moldau("topics", "describe", "nope", "--bootstrap", cluster.bootstrap)
    assert r.returncode == 1 and r.stdout == "" and "UNKNOWN_TOPIC" in r.stderr
    r = moldau("topics", "describe", "nope", "cmd-a", "--bootstrap", cluster.bootstrap)
    assert r.returncode == 1 and "cmd-a" in r.stdout
    r = moldau("groups", "describe", "nope", "--bootstrap", cluster.bootstrap)
    assert r.returncode == 1 and r.stdout == "" and "nope" in r.stderr


def test_records(cluster):
    cluster.moldau("topics", "create", "cmd-r", "--partitions", "1")
    r = cluster.moldau("produce", "cmd-r", "--key-separator", ":", stdin="k:first\nno \"key\"\n")
    assert "sent 2 records in 1 batch\n" in r.stderr
    assert "sent 1 record in 1 batch\n" in cluster.moldau("produce", "cmd-r", stdin="third\n").stderr
    lines = cluster.moldau("consume", "cmd-r", "--from-beginning", "--count", "3", "--output", "json").stdout.splitlines()
    assert [(x["key"], x["value"]) for x in map(json.loads, lines)] == [("k", "first"), (None, 'no "key"'), (None, "third")]
    r = moldau("consume", "cmd-r", "--partition", "0", "--offset", "77", "--bootstrap", cluster.bootstrap)
    assert r.returncode == 1 and "no offset 77" in r.stderr and "0 to 2" in r.stderr
    path = os.path.join(cluster.dir, "data", "broker", "cmd-r-0")
    log = [os.path.join(path, f) for f in os.listdir(path) if f.endswith(".log")]
    text = moldau("log", "dump", "--records", *log).stdout
    assert 'key: "k" value: "first"' in text and r'key: null value: "no \"key\""' in text
    rows = [json.loads(x) for x in moldau("log", "dump", "--records", "--output", "json", *log).stdout.splitlines()]
    assert [x["value"] for x in rows if "value" in x] == ["first", 'no "key"', "third"]


def test_a_consumer_whose_reader_is_gone_ends(cluster):
    cluster.moldau("topics", "create", "cmd-h", "--partitions", "1")
    cluster.moldau("produce", "cmd-h", stdin="one\n")
    p = subprocess.Popen([MOLDAU, "consume", "cmd-h", "--from-beginning", "--bootstrap", cluster.bootstrap], stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"one\n"
    p.stdout.close()
    assert p.wait(10) == 0


def complete(cluster, *words):
    at = " ".join(f"'{w}'" for w in words)
    script = f"""shopt -s progcomp; compopt() {{ echo FILES; }}; source {TOOLS}/moldau.bash
        COMP_WORDS=(moldau {at}); COMP_CWORD={len(words)}; _moldau; printf '%s\\n' "${{COMPREPLY[@]}}" """
    env = {**os.environ, "PATH": BUILD + ":" + os.environ["PATH"], "MOLDAU_BOOTSTRAP": cluster.bootstrap}
    r = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, timeout=60)
    assert r.stderr == "", r.stderr
    return r.stdout.split()


def test_completion(cluster):
    cluster.moldau("topics", "create", "cmd-c", "--partitions", "1")
    assert complete(cluster, "to") == ["topics"]
    assert complete(cluster, "topics", "de") == ["describe", "delete"]
    assert complete(cluster, "topics", "create", "--par") == ["--partitions"]
    assert "cmd-c" in complete(cluster, "topics", "describe", "cmd")
    assert complete(cluster, "consume", "cmd-c") == ["cmd-c"]
    assert complete(cluster, "topics", "list", "--output", "j") == ["json"]
    assert complete(cluster, "dev", "--zoo") == ["--zookeeper-port"]
    assert complete(cluster, "log", "") == ["dump"]
    assert complete(cluster, "log", "dump", "x") == ["FILES"]
    other = f"127.0.0.1:{free_port()}"          # nobody is there: nothing of the default cluster is offered
    assert complete(cluster, "topics", "delete", "--bootstrap", other, "cmd") == []


def test_completion_does_not_run_what_a_name_says(cluster, tmp_path):
    """Any client may make a group of any name."""
    import kafka
    cluster.moldau("topics", "create", "cmd-g", "--partitions", "1")
    trap = f"$(touch {tmp_path}/run)"
    c = kafka.KafkaConsumer(bootstrap_servers=cluster.bootstrap, group_id=trap, enable_auto_commit=False)
    c.assign([kafka.TopicPartition("cmd-g", 0)])
    c.commit({kafka.TopicPartition("cmd-g", 0): kafka.OffsetAndMetadata(0, "")})
    c.close()
    assert complete(cluster, "groups", "describe", "")
    assert os.listdir(tmp_path) == []


def test_a_folder_in_a_folder_is_made():
    c = Cluster(folder="a/b/data")
    c.start()
    c.finish()


def test_the_port_of_the_quorum_is_not_one_that_the_user_gave(tmp_path):
    for args in (["--zookeeper-port", "9093"], ["--quorum", "3", "--zookeeper-port", "9092"]):
        p = subprocess.Popen([MOLDAU, "dev", "--no-broker", "--dir", str(tmp_path / str(len(args))), *args], stdout=subprocess.PIPE)
        assert select.select([p.stdout], [], [], 30)[0], "not ready"
        assert p.stdout.readline().startswith(b"ready ")
        p.terminate()
        assert p.wait(30) == 0
