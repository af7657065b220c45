"""The processes of a broker: who dies, who stays, what others see of it, and what refuses to start."""
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

import pytest

from cluster import BUILD, Cluster, free_port, wait_for
from procs import ApiConn, Pair, log_ms, metadata, now_ms


@pytest.fixture()
def pair():
    p = Pair()
    yield p
    p.finish()


# ---- the session hangs on the broker, not on one process of it ----

def test_a_killed_agent_keeps_session_and_registration(pair):
    pair.start()
    before = pair.q("get", "/brokers/ids/1")
    assert "czxid=" in before
    for _ in range(3):
        old = pair.pids("agent")
        os.kill(old[0], signal.SIGKILL)
        wait_for("a new agent", lambda: pair.pids("agent") not in ([], old))
        wait_for("it serves", lambda: pair.log().count('role=agent-0 msg="ready"') >= 1 and metadata(pair.port))
        assert pair.q("get", "/brokers/ids/1") == before, "registered anew, or by another session"
    time.sleep(0.3)		# longer than the quorum needs to see a closed connection (next test)
    assert pair.q("get", "/brokers/ids/1") == before
    assert "session ended" not in open(f"{pair.dir}/quorum.log").read()


def test_kill_9_of_the_whole_broker_ends_its_session_at_once(pair):
    pair.start()
    wait_for("watched", lambda: "czxid=" in pair.q("get", "/brokers/ids/1"))
    agent = pair.pids("agent")
    os.kill(agent[0], signal.SIGKILL)		# the supervisor alone holds the connection, then the new agent's too
    wait_for("a new agent", lambda: pair.pids("agent") not in ([], agent))
    wait_for("it serves", lambda: pair.log().count('role=agent-0 msg="ready"') >= 2)
    killed = now_ms()
    pair.kill_broker()
    dead = now_ms()

    def ended():
        with open(f"{pair.dir}/quorum.log") as f:
            return [x for x in f if "session ended: its processes are gone" in x]
    lines = wait_for("the session's end", ended, 8)
    after = log_ms(lines[0]) - dead
    print(f"session ended {after:.0f} ms after the last process died ({dead - killed:.0f} ms of killing)")
    assert after < 100, lines
    assert pair.q("get", "/brokers/ids/1") == "E_NOENT"


# ---- a stuck worker ----

def test_a_stuck_worker_is_killed_replaced_and_the_quorum_sees_it():
    pair = Pair("process.hang.timeout.ms=1000")
    try:
        pair.start()
        node = wait_for("worker 1 in the quorum", lambda: (lambda x: "czxid=" in x and x)(pair.q("get", "/brokers/1/workers/1")))
        other = wait_for("worker 0 in the quorum", lambda: (lambda x: "czxid=" in x and x)(pair.q("get", "/brokers/1/workers/0")))
        victim = [p for p in pair.pids("worker") if "--index\x001\x00" in open(f"/proc/{p}/cmdline").read()][0]
        start = time.monotonic()
        os.kill(victim, signal.SIGSTOP)
        wait_for("a new worker", lambda: victim not in pair.pids("worker") and len(pair.pids("worker")) == 2, 20)
        print(f"stuck worker replaced after {time.monotonic() - start:.2f} s")
        wait_for("the quorum sees the new one", lambda: (lambda x: "czxid=" in x and x != node)(pair.q("get", "/brokers/1/workers/1")))
        assert pair.q("get", "/brokers/1/workers/0") == other
        m = pair.metrics()
        assert m['moldau_process_restarts_total{role="worker"}'] == 1
        assert m["moldau_process_hangs_total"] == 1
    finally:
        pair.finish()


# ---- one worker dies ----

def test_connections_of_others_go_on_when_a_worker_is_killed(pair):
    pair.start()
    conns = [ApiConn(pair.port) for _ in range(12)]
    assert all(c.alive() for c in conns)
    workers = pair.pids("worker")
    by = {w: [c for c in conns if c.served_by(workers) == w] for w in workers}
    assert sum(len(v) for v in by.values()) == 12 and all(by.values()), {w: len(v) for w, v in by.items()}
    os.kill(workers[0], signal.SIGKILL)
    wait_for("it is replaced", lambda: len(pair.pids("worker")) == 2 and workers[0] not in pair.pids("worker"))
    assert all(c.alive() for c in by[workers[1]]), "a connection of a living worker died"
    assert not any(c.alive() for c in by[workers[0]])
    new = [ApiConn(pair.port) for _ in range(12)]
    assert all(c.alive() for c in new)
    for c in conns + new:
        c.close()


def test_a_killed_worker_is_replaced_in_milliseconds():
    pair = Pair(workers=8)
    try:
        replace_workers(pair)
    finally:
        pair.finish()


def replace_workers(pair):
    pair.start()
    wait_for("all serve", lambda: 'msg="serving"' in pair.log())
    took = []
    for pid in pair.pids("worker") * 2:
        if pid not in pair.pids("worker"):
            pid = pair.pids("worker")[-1]
        seen = pair.log().count('role=worker-')
        at = now_ms()
        os.kill(pid, signal.SIGKILL)

        def again():
            lines = [x for x in pair.log().splitlines() if "role=worker-" in x and 'msg="ready"' in x]
            return lines[-1] if pair.log().count("role=worker-") > seen else None
        took.append(log_ms(wait_for("the new worker serves", again)) - at)
    print(f"worker replaced: p50 {statistics.median(took):.1f} ms, max {max(took):.1f} ms of {len(took)}")
    assert statistics.median(took) < 100, took		# target 5 ms on a quiet machine
    assert pair.metrics()['moldau_process_restarts_total{role="worker"}'] == len(took)


# ---- the whole broker dies ----

def test_restart_after_kill_9_attaches_without_scanning_logs(pair):
    pair.start()
    pair.moldau("topics", "create", "many", "--partitions", "1000")
    producer = pytest.importorskip("confluent_kafka").Producer({"bootstrap.servers": f"127.0.0.1:{pair.port}",
                                                                         "acks": 1})
    for i in range(2000):
        producer.produce("many", b"x" * 100, partition=i % 1000)
    assert producer.flush(60) == 0
    pair.kill_broker()
    start = time.monotonic()
    pair.start_broker(wait=False)
    while not metadata(pair.port):
        assert time.monotonic() - start < 30, pair.log()[-2000:]
    first = (time.monotonic() - start) * 1000
    line = wait_for("its report", lambda: [x for x in pair.log(True).splitlines() if 'msg="logs are open"' in x])[0]
    print(f"1,000 partitions after kill -9: first Metadata answer {first:.0f} ms; {line.split('detail=')[1]}")
    f = dict(x.split("=") for x in re.search('detail="([^"]*)"', line).group(1).split())
    assert int(f["partitions"]) >= 1000
    assert f["recovered"] == f["scanned_segments"] == f["scanned_bytes"] == "0", line
    wait_for("all are served", lambda: pair.metrics()["kafka_server_replicamanager_partitioncount"] >= 1000)
    m = pair.metrics()
    assert m["moldau_recovery_scanned_bytes_total"] == 0 or m["moldau_partition_recovered_total"] >= 1000
    assert m['moldau_process_restarts_total{role="supervisor"}'] == 1


def test_first_answer_after_start(pair):
    pair.start_quorum()
    wait_for("the quorum", lambda: pair.q("get", "/").startswith("/"))
    start = time.monotonic()
    pair.start_broker(wait=False)
    while not metadata(pair.port):
        assert time.monotonic() - start < 30, pair.log()
    print(f"first Metadata answer {(time.monotonic() - start) * 1000:.0f} ms after the start of a new broker")


def test_a_table_of_another_size_is_made_anew_from_the_logs(pair):
    ck = pytest.importorskip("confluent_kafka")
    pair.start("partitions.max=1024", "producers.max=1024")
    pair.moldau("topics", "create", "t", "--partitions", "3")
    producer = ck.Producer({"bootstrap.servers": f"127.0.0.1:{pair.port}", "enable.idempotence": True})
    for i in range(300):
        producer.produce("t", str(i), partition=i % 3)
    assert producer.flush(60) == 0
    for more in (["partitions.max=64", "producers.max=1024"], ["partitions.max=200000", "producers.max=2000000"]):
        pair.kill_broker()
        pair.start_broker(*more)
        assert "partitions.max or producers.max changed" in pair.log(True)
        c = ck.Consumer({"bootstrap.servers": f"127.0.0.1:{pair.port}", "group.id": "g"})

        def ends():
            try:
                return [c.get_watermark_offsets(ck.TopicPartition("t", p), 10) for p in range(3)]
            except ck.KafkaException:	# not led yet
                return None
        assert wait_for("all are led", ends) == [(0, 100)] * 3
        c.close()
    # More partitions than the table has room for: said, and the rest is served.
    pair.kill_broker()
    pair.start_broker("partitions.max=16")
    pair.moldau("topics", "create", "u", "--partitions", "20")
    wait_for("it says so", lambda: "no room for a partition in the table" in pair.log(True))
    assert metadata(pair.port)


# ---- kills of every role, as /metrics counts them ----

def test_restarts_in_metrics_equal_the_kills():
    port = free_port()
    c = Cluster("--set", f"metrics.listeners=127.0.0.1:{port}").start()
    try:
        pair = Pair()
        pair.metrics_port = port
        shutil.rmtree(pair.dir), shutil.rmtree(pair.run_dir)
        for role in ("worker", "agent", "supervisor", "quorum", "storage", "groups", "worker", "supervisor", "quorum", "agent"):
            pid = c.kill9(role)
            wait_for(role + " is replaced", lambda: pid not in sum(c.roles().values(), []) and set(c.roles()) >= {
                "quorum", "supervisor", "agent", "storage", "groups", "worker"})
            wait_for("clients are served", lambda: metadata(c.port))
            wait_for("all are up", lambda: len(c.roles()["worker"]) == 2)

        def counted():
            try:
                m = pair.metrics()
            except OSError:
                return None
            got = {r: m.get('moldau_process_restarts_total{role="%s"}' % r) for r in c.kills}
            return got if got == c.kills else None
        assert wait_for(f"restarts equal {c.kills}", counted)
    finally:
        c.finish()


# ---- what refuses to start, at once and with a reason ----

def refused(pair, *more, status, words, command=None):
    r = subprocess.run(command or pair.command(*more), capture_output=True, text=True, timeout=60)
    for w in [*words]:
        assert w in r.stderr, r.stderr
    assert r.returncode == status, (r.returncode, r.stderr)
    said = [x.split(" ", 1)[1] for x in r.stderr.splitlines() if " error " in x]
    assert len(said) == len(set(said)), "said over and over:\n" + r.stderr


def test_foreign_and_newer_folders_are_refused(pair):
    pair.start()
    pair.end(pair.broker)
    path = f"{pair.dir}/broker/meta.properties"
    good = open(path).read()
    for change, words in (
            (lambda t: re.sub("node.id=1", "node.id=7", t), ["belongs to another broker", "folder: 7", "broker: 1"]),
            (lambda t: re.sub("version=1", "version=2", t), ["a newer release wrote the log folder"]),
            (lambda t: re.sub("cluster.id=.*", "cluster.id=AAAAAAAAAAAAAAAAAAAAAA", t), ["another cluster", "AAAAAAAAAAAAAAAAAAAAAA"]),
            (lambda t: "rubbish\n", ["makes no sense"])):
        open(path, "w").write(change(good))
        refused(pair, status=3, words=words)
        assert open(path).read() == change(good), "a refused folder was written to"
    open(path, "w").write(good)
    refused(pair, "cluster.id=BBBBBBBBBBBBBBBBBBBBBB", status=3, words=["cluster.id of the folder", "broker: BBBBBB"])
    # The quorum of another cluster at the known address.
    pair.end(pair.quorum)
    pair.start_quorum("other")
    refused(pair, status=3, words=["the quorum is another cluster's", "quorum.bootstrap"])
    pair.end(pair.quorum)
    pair.start_quorum()
    pair.start_broker()


def test_busy_ports_and_folders_are_refused(pair):
    pair.start_quorum()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        busy = s.getsockname()[1]
        refused(pair, f"listeners=PLAINTEXT://127.0.0.1:{busy}", status=1, words=["in use by another program", str(busy)])
        refused(pair, f"metrics.listeners=127.0.0.1:{busy}", status=1, words=["in use by another program", "metrics.listeners"])
        refused(pair, "listeners=PLAINTEXT://192.0.2.1:9092", status=1, words=["cannot listen on 192.0.2.1"])
    assert os.listdir(pair.run_dir) == [] if os.path.isdir(pair.run_dir) else True
    pair.start_broker()
    with tempfile.TemporaryDirectory() as other:
        free = f"listeners=PLAINTEXT://127.0.0.1:{free_port()}"
        metrics = f"metrics.listeners=127.0.0.1:{free_port()}"
        refused(pair, free, metrics, f"run.dir={other}", status=1, words=["another broker uses this folder", "log.dirs"])
        refused(pair, free, metrics, f"log.dirs={other}", status=1, words=["another broker uses this folder", "run.dir"])
    assert metadata(pair.port), "the running one was disturbed"


def test_a_second_broker_with_the_same_id_is_refused(pair):
    """Kafka's DUPLICATE_BROKER_REGISTRATION: it may not take over what a broker that lives is the leader of."""
    pair.start()
    with tempfile.TemporaryDirectory() as other:
        refused(pair, f"listeners=PLAINTEXT://127.0.0.1:{free_port()}", f"metrics.listeners=127.0.0.1:{free_port()}",
                f"run.dir={other}/run", f"log.dirs={other}/log", "broker.session.timeout.ms=1000", status=3,
                words=["another broker has this node.id and is alive", f"registered=127.0.0.1:{pair.port}"])
    assert metadata(pair.port), "the running one was disturbed"


def test_wrong_settings_and_missing_rights_are_refused(pair):
    refused(pair, "log.retention.hour=3", status=2, words=["unknown setting log.retention.hour", "did you mean log.retention.hours?"])
    refused(pair, "workers=many", status=2, words=["workers"])
    refused(pair, f"log.dirs={pair.dir}/a,{pair.dir}/b", status=2, words=["log.dirs names more than one folder", "cannot be spread"])
    open(f"{pair.dir}/plain", "w").close()
    refused(pair, f"log.dirs={pair.dir}/plain/x", status=1, words=["cannot use the log directory"])
    if os.getuid() == 0:
        os.chmod(pair.dir, 0o755)
        os.mkdir(f"{pair.dir}/broker", 0o700)
        os.chmod(pair.run_dir, 0o777)
        nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        refused(pair, status=1, words=["cannot write to a folder", "Permission denied"], command=nobody + pair.command())


# ---- signals: settings, logs, the init system ----

def write_conf(pair, **more):
    path = f"{pair.dir}/broker.conf"
    with open(path, "w") as f:
        f.write("# a comment\n")
        for k, v in {**pair.settings(), **{k.replace("_", "."): v for k, v in more.items()}}.items():
            f.write(f"{k} = {v}\n")
    return [os.path.join(BUILD, "moldau-broker"), "-c", path]


def topic_setting(pair, topic, name):
    admin = pytest.importorskip("confluent_kafka.admin")
    a = admin.AdminClient({"bootstrap.servers": f"127.0.0.1:{pair.port}"})
    r = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, topic)
    return a.describe_configs([r])[r].result(20)[name].value


def test_reload_takes_what_is_good_and_keeps_the_old_for_the_rest(pair):
    pair.start_quorum()
    pair.start_broker(command=write_conf(pair))
    pair.moldau("topics", "create", "t")
    pids = pair.pids()
    assert topic_setting(pair, "t", "max.message.bytes") == "1048588"

    write_conf(pair, message_max_bytes="777777", workers="3", log_level="debug")
    pair.broker.send_signal(signal.SIGHUP)
    wait_for("it is taken", lambda: "the settings were read again" in pair.log())
    assert 'msg="a setting changes" detail="message.max.bytes"' in pair.log()
    assert 'keeps its old value until the broker is restarted" detail="workers"' in pair.log()
    wait_for("it is in force", lambda: topic_setting(pair, "t", "max.message.bytes") == "777777")

    # An edited file that is wrong: said with name and line; nobody sees it, not even a new process.
    write_conf(pair, message_max_bytes="999999", log_retention_hour="1")
    pair.broker.send_signal(signal.SIGHUP)
    wait_for("it is refused", lambda: "the new settings are refused; the old ones stay" in pair.log())
    assert re.search(r"broker.conf:\d+: unknown setting log.retention.hour; did you mean log.retention.hours\?", pair.log())
    assert pair.pids() == pids, "a reload replaced a process"
    os.kill(pair.pids("agent")[0], signal.SIGKILL)
    wait_for("a new agent", lambda: set(pair.pids("agent")) - set(pids))
    wait_for("it serves", lambda: pair.log().count('role=agent-0 msg="ready"') >= 2)
    assert topic_setting(pair, "t", "max.message.bytes") == "777777"
    assert len(pair.pids("worker")) == 2
    for _ in range(20):		# signals in any state kill nobody
        pair.broker.send_signal(signal.SIGHUP)
        pair.broker.send_signal(signal.SIGUSR1)
        os.kill(pair.pids("worker")[0], signal.SIGHUP)
    write_conf(pair)
    wait_for("nobody is checking", lambda: len(pair.pids()) == len(pids))
    pair.broker.send_signal(signal.SIGHUP)
    wait_for("back to the default", lambda: topic_setting(pair, "t", "max.message.bytes") == "1048588")
    assert pair.metrics()['moldau_process_restarts_total{role="worker"}'] == 0


def test_log_file_is_made_anew_after_rotation(pair):
    log = f"{pair.dir}/moldau.log"
    pair.start_quorum()
    pair.start_broker(f"log.output={log}", f"pid.file={pair.dir}/pid")
    wait_for("serving", lambda: 'msg="serving"' in open(log).read())
    assert int(open(f"{pair.dir}/pid").read()) == pair.broker.pid
    os.rename(log, log + ".1")
    pair.broker.send_signal(signal.SIGUSR1)
    wait_for("a new file", lambda: os.path.exists(log))
    victim = pair.pids("worker")[0]
    os.kill(victim, signal.SIGKILL)
    wait_for("lines of supervisor and worker in it", lambda: "a process ended" in open(log).read() and
             "role=worker-" in open(log).read())
    wait_for("children write there too", lambda: all(os.readlink(f"/proc/{p}/fd/2") == log for p in pair.pids()))
    pair.end(pair.broker)
    assert "everything is on the disk" in open(log).read()
    assert "a process ended" not in open(log + ".1").read()
    assert not os.path.exists(f"{pair.dir}/pid")


def test_syslog_gets_the_lines_with_their_severity(pair):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(f"{pair.dir}/syslog")
        s.settimeout(10)
        pair.start_quorum()
        pair.start_broker(f"log.output=syslog:{pair.dir}/syslog")
        got = []
        while not any('msg="serving"' in x for x in got):
            got.append(s.recv(4096).decode())
        assert all(re.match(r"<30>\w{3} [ \d]\d \d\d:\d\d:\d\d moldau\[\d+\]: info role=\S+ msg=", x) for x in got), got
        os.kill(pair.pids("worker")[0], signal.SIGKILL)
        while not any(x.startswith("<28>") and "a process ended" in x for x in got):
            got.append(s.recv(4096).decode())


def test_the_init_system_is_told(pair):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(f"{pair.dir}/notify")
        s.settimeout(20)
        pair.start_quorum()
        pair.start_broker(env=dict(os.environ, NOTIFY_SOCKET=f"{pair.dir}/notify", WATCHDOG_USEC="300000"))
        seen = []

        def until(*words):
            del seen[:]
            while not all(any(w in x for x in seen) for w in words):
                seen.append(s.recv(4096).decode())
        until("READY=1", "WATCHDOG=1")
        assert metadata(pair.port)
        pair.broker.send_signal(signal.SIGHUP)
        until("RELOADING=1\nMONOTONIC_USEC=", "READY=1")
        pair.broker.terminate()
        until("STOPPING=1")
        assert pair.broker.wait(60) == 0


# ---- the shared table cannot be trusted any more ----

def write_records(pair, topic, partitions, n):
    producer = pytest.importorskip("confluent_kafka").Producer({"bootstrap.servers": f"127.0.0.1:{pair.port}"})
    failed = []
    for i in range(n):
        producer.produce(topic, str(i), partition=i % partitions, on_delivery=lambda e, m: e and failed.append(e))
    assert producer.flush(60) == 0 and not failed


def ends(pair, topic, partitions):
    ck = pytest.importorskip("confluent_kafka")
    c = ck.Consumer({"bootstrap.servers": f"127.0.0.1:{pair.port}", "group.id": "g"})
    try:
        return [c.get_watermark_offsets(ck.TopicPartition(topic, p), 10)[1] for p in range(partitions)]
    except ck.KafkaException:		# not led yet
        return None
    finally:
        c.close()


def table_is_made_anew(pair, before):
    wait_for("the table is made anew", lambda: pair.log().count("the partition table is made anew") > before, 20)
    wait_for("clients are served", lambda: metadata(pair.port))


@pytest.mark.parametrize("what", ["header", "records", "header-then-agent"])
def test_a_damaged_table_is_made_anew_and_nothing_is_lost(pair, what):
    pair.start()
    pair.moldau("topics", "create", "t", "--partitions", "40")
    write_records(pair, "t", 40, 400)
    pids = pair.pids()
    with open(f"{pair.run_dir}/table", "r+b") as f:
        head = f.read(16)
        if what == "records":
            names, record = find_records(f), 1024
            for i in range(40):
                f.seek(names + i * record + 256)	# both state slots
                f.write(b"\xff" * 256)
        else:
            f.seek(0)
            f.write(b"\0" * 16)
    if what == "header-then-agent":	# it must not make a new table beside the one that the others use
        os.kill(pair.pids("agent")[0], signal.SIGKILL)
    if what == "records":		# seen by whoever appends
        try:
            write_records_in_any_way(pair, "t", 40)
        except Exception:
            pass
    table_is_made_anew(pair, 0)
    wait_for("all is there", lambda: (lambda e: e and all(x >= 10 for x in e))(ends(pair, "t", 40)), 30)
    write_records(pair, "t", 40, 40)
    m = pair.metrics()
    assert m["moldau_partition_table_resets_total"] == 1
    assert m['moldau_process_restarts_total{role="worker"}'] == 0
    assert not set(pids) & set(pair.pids()), "a process of the old table lives on"
    assert head and pair.log().count("cannot be trusted any more") >= 1
    # The next kill of the whole broker attaches the new table as it is.
    pair.kill_broker()
    pair.start_broker()
    wait_for("logs are open", lambda: 'msg="logs are open"' in pair.log(True))
    assert "recovered=0 scanned_segments=0" in pair.log(True), pair.log(True)


def find_records(f):
    """Offset of the record area: the first page-aligned place behind the header with the table's magic."""
    f.seek(0)
    magic = f.read(4)
    at = 4096
    f.seek(0, 2)
    end = f.tell()
    while at < end:
        f.seek(at)
        hole = os.lseek(f.fileno(), at, os.SEEK_DATA)
        at = max(at, hole // 4096 * 4096)
        f.seek(at)
        page = f.read(4096)
        if magic in page[:1024]:
            return at
        at += 4096
    raise AssertionError("no records")


def write_records_in_any_way(pair, topic, partitions):
    producer = pytest.importorskip("confluent_kafka").Producer({"bootstrap.servers": f"127.0.0.1:{pair.port}",
                                                                 "message.timeout.ms": 3000})
    for p in range(partitions):
        producer.produce(topic, b"x", partition=p)
    producer.flush(5)


def not_tmpfs():
    for d in (os.path.expanduser("~"), "/var/tmp", "/tmp"):
        if os.access(d, os.W_OK) and subprocess.run(["stat", "-f", "-c", "%T", d], capture_output=True,
                                                    text=True).stdout.strip() != "tmpfs":
            return d
    return None


def test_without_a_tmpfs_the_table_is_kept_by_the_supervisor():
    base = not_tmpfs()
    if not base:
        pytest.skip("every folder here is on a tmpfs")
    pair = Pair()
    shutil.rmtree(pair.run_dir)
    pair.run_dir = tempfile.mkdtemp(prefix="m-", dir=base)
    try:
        pair.start()
        assert "run.dir is not on a tmpfs" in pair.log()
        assert not os.path.exists(f"{pair.run_dir}/table")
        pair.moldau("topics", "create", "t", "--partitions", "4")
        write_records(pair, "t", 4, 100)
        for role in ("worker", "storage", "agent", "groups"):
            victim = pair.pids(role)[0]
            os.kill(victim, signal.SIGKILL)
            wait_for(role + " is replaced", lambda: victim not in pair.pids() and pair.pids(role))
        wait_for("clients are served", lambda: metadata(pair.port))
        write_records(pair, "t", 4, 100)
        assert "the partition table is made anew" not in pair.log()
        pair.kill_broker()
        pair.start_broker()
        wait_for("all is there", lambda: ends(pair, "t", 4) == [50] * 4)
        assert pair.metrics()['moldau_process_restarts_total{role="supervisor"}'] == 1
    finally:
        pair.finish()


# ---- a new release takes over ----

def test_upgrade_replaces_every_process_and_clients_go_on(pair):
    ck = pytest.importorskip("confluent_kafka")
    os.mkdir(f"{pair.dir}/bin")
    program = f"{pair.dir}/bin/moldau-broker"

    def install(what=None):
        if what is None:
            shutil.copy(os.path.join(BUILD, "moldau-broker"), program + ".new")
        else:
            with open(program + ".new", "w") as f:
                f.write(what)
        os.chmod(program + ".new", 0o755)
        os.rename(program + ".new", program)
        return os.stat(program).st_ino

    def inode(pid):
        return os.stat(f"/proc/{pid}/exe").st_ino

    old = install()
    pair.start_quorum()
    pair.start_broker(command=[program, *pair.command()[1:]])
    pair.moldau("topics", "create", "t", "--partitions", "4")
    wait_for("registered", lambda: "czxid=" in pair.q("get", "/brokers/ids/1"))
    session = pair.q("get", "/brokers/ids/1")
    before = pair.pids()
    assert all(inode(p) == old for p in before)

    # What does not run, or has another layout, is refused and disturbs nobody.
    for bad, words in (("#!/bin/sh\nexit 1\n", "the new release is refused"),
                       ("#!/bin/sh\nexit 5\n", "another layout of shared memory"), ("\x7fELF rubbish", "is refused")):
        install(bad)
        pair.broker.send_signal(signal.SIGUSR2)
        wait_for(words, lambda: words in pair.log())
    wait_for("no checker", lambda: pair.pids() == before)

    new = install()
    failed, acked = [], set()
    p = ck.Producer({"bootstrap.servers": f"127.0.0.1:{pair.port}", "enable.idempotence": True, "linger.ms": 2,
                     "reconnect.backoff.max.ms": 100})
    conns = [ApiConn(pair.port) for _ in range(6)]
    assert all(c.alive() for c in conns)
    workers = pair.pids("worker")
    by = {c: c.served_by(workers) for c in conns}
    pair.broker.send_signal(signal.SIGUSR2)
    n, done = 0, False
    end = time.monotonic() + 60
    while not done:
        assert time.monotonic() < end, pair.log()[-3000:]
        for _ in range(10):
            p.produce("t", str(n), partition=n % 4,
                      on_delivery=lambda e, m: failed.append(e) if e else acked.add(int(m.value())))
            n += 1
        p.poll(0.005)
        done = "every process was replaced" in pair.log()
        living = [c for c in conns if os.path.exists(f"/proc/{by[c]}") and by[c] in pair.pids()]
        answered = [c.alive() for c in living]
        for c, ok in zip(living, answered):	# may have ended while we asked
            assert ok or wait_for("its worker is ending", lambda: by[c] not in pair.pids(), 25)
    assert p.flush(60) == 0 and not failed and len(acked) == n
    assert pair.broker.poll() is None and inode(pair.broker.pid) == new
    assert not set(before) & set(pair.pids()) and len(pair.pids()) == len(before)
    assert all(inode(x) == new for x in pair.pids())
    assert pair.q("get", "/brokers/ids/1") == session, "the session did not survive"
    assert sum(ends(pair, "t", 4)) == n
    m = pair.metrics()
    assert all(m['moldau_process_restarts_total{role="%s"}' % r] == 0 for r in ("worker", "agent", "storage", "groups", "supervisor"))
    assert "recovered=0 scanned_segments=0" in pair.log(True).split("the new release takes over")[-1]
    # Once more, and a plain stop is still clean.
    pair.broker.send_signal(signal.SIGUSR2)
    wait_for("again", lambda: pair.log().count("every process was replaced") == 2, 60)
    pair.end(pair.broker)
    assert "everything is on the disk" in pair.log()
    assert os.listdir(pair.run_dir) == [] if os.path.isdir(pair.run_dir) else True


# ---- rights ----

def status_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(x.rstrip("\n").split(":\t", 1) for x in f if ":\t" in x)


def test_children_give_up_what_they_do_not_need(pair):
    pair.start()
    if "no filter of system calls" in pair.log():
        pytest.skip("no filter of system calls in this kernel or build")
    dac_override_fowner = 1 << 1 | 1 << 3
    for pid in pair.pids():
        st = status_of(pid)
        assert st["NoNewPrivs"] == "1", st
        assert st["Seccomp"] in ("2", "0") and int(st["CapEff"], 16) & ~dac_override_fowner == 0, st
    filtered = [status_of(pid)["Seccomp"] for pid in pair.pids()]
    if set(filtered) == {"0"}:
        pytest.skip("this build has no filter (sanitizers)")
    assert set(filtered) == {"2"}
    listeners = {role: [os.readlink(f"/proc/{pair.pids(role)[0]}/fd/{fd}") for fd in
                        os.listdir(f"/proc/{pair.pids(role)[0]}/fd")] for role in ("storage", "groups", "agent")}
    inode = None
    with open("/proc/net/tcp") as f:
        for x in (y.split() for y in f.readlines()[1:]):
            if int(x[1].split(":")[1], 16) == pair.port and x[3] == "0A":
                inode = x[9]
    assert inode and all(f"socket:[{inode}]" not in v for v in listeners.values()), "has the clients' listener"
    # A violation: seen as the signal that ended the process, counted, and the process is replaced.
    victim = pair.pids("worker")[0]
    os.kill(victim, signal.SIGSYS)
    wait_for("it is replaced", lambda: victim not in pair.pids() and len(pair.pids("worker")) == 2)
    assert pair.metrics()["moldau_process_violations_total"] == 1
    assert "a forbidden system call was tried" in pair.log()
