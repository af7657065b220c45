"""The comparison: sends one request to both brokers, makes what must differ alike, reports what differs."""
import json
import re
import time

from .explained import EXPLAINED
from .wire import Conn, simple

KEYS = ("name", "topic", "topicName", "topicId", "partitionIndex", "partition", "partitionId", "groupId", "group",
        "errorKey", "key", "memberId", "groupInstanceId", "resourceName", "apiKey", "brokerId", "nodeId", "configName")
IDS = {		# field -> kind: values are numbered in the order in which they appear
    "topicId": "topic-id", "clusterId": "cluster-id", "memberId": "member", "leader": "member", "producerId": "producer",
    "sessionId": "session", "port": "port", "topicIds": "topic-id", "brokerEpoch": "broker-epoch",
}
READS = ("Metadata", "DescribeConfigs", "DescribeTopicPartitions")	# answered from what Kafka's broker has applied
TIMES = ("logAppendTimeMs", "timestamp", "maxTimestamp")


class Both:
    """A value that may differ between the two brokers; indexing gives the Both of the parts."""

    def __init__(self, kafka, moldau):
        self.side = (kafka, moldau)

    def __getitem__(self, k):
        return Both(*(v[k] if v is not None and (isinstance(v, dict) and k in v or isinstance(v, list) and k < len(v))
                      else None for v in self.side))

    def map(self, f):
        return Both(*(f(v) for v in self.side))


def resolve(v, side):
    if isinstance(v, Both):
        return resolve(v.side[side], side)
    if isinstance(v, bytes):
        return v.hex()
    if isinstance(v, dict):
        return {k: resolve(e, side) for k, e in v.items()}
    if isinstance(v, (list, tuple)):
        return [resolve(e, side) for e in v]
    return v


class Id:
    """A value that each broker chooses: equal where it stands in the same places on both sides."""

    def __init__(self, kind, value):
        self.kind, self.value = kind, value


class Pairs:
    """Which id of Kafka is which id of Moldau: the first place where both stand pairs them under one name."""

    def __init__(self):
        self.of = ({}, {})

    def name(self, side, kind, value):
        if value in (None, "", -1, 0, "AAAAAAAAAAAAAAAAAAAAAA"):
            return value
        return self.of[side].get((kind, value)) or Id(kind, value)

    def pair(self, a, b):
        known = self.of[0].get((a.kind, a.value)), self.of[1].get((b.kind, b.value))
        if known != (None, None):
            return known[0] == known[1]
        self.of[0][(a.kind, a.value)] = self.of[1][(b.kind, b.value)] = f"<{a.kind} {len(self.of[0]) + 1}>"
        return True

    def in_text(self, side, text):
        for (_, value), name in self.of[side].items():
            if isinstance(value, str) and len(value) > 8:
                text = text.replace(value, name)
        return text


def normal(v, pairs, side, field="", api=""):
    if isinstance(v, dict):
        d = {k: normal(e, pairs, side, k, api) for k, e in v.items()}
        if "throttleTimeMs" in d:
            d["throttleTimeMs"] = 0
        if "finalizedFeaturesEpoch" in d:
            d["finalizedFeaturesEpoch"] = min(d["finalizedFeaturesEpoch"], 0)
        return d
    if isinstance(v, list):
        all = [normal(e, pairs, side, field, api) for e in v]
        if all and isinstance(all[0], dict):
            all.sort(key=lambda d: ["" if isinstance(d.get(k), Id) else str(d.get(k)) for k in KEYS])
        return all
    if field in IDS and not (field == "leader" and api != "JoinGroup"):
        return pairs.name(side, IDS[field], v)
    if field in TIMES and isinstance(v, int) and abs(v - time.time() * 1000) < 3600e3:
        return "<now>"
    if isinstance(v, str) and "essage" in field:
        return pairs.in_text(side, v)
    return v


def all_hex(v):
    return isinstance(v, str) and re.fullmatch("[0-9a-f]*", v)


def plain(v):
    return json.dumps(v, default=lambda o: f"<new {o.kind}>")


def differences(a, b, pairs, path=""):
    if isinstance(a, dict) and isinstance(b, dict):
        for k in list(a) + [k for k in b if k not in a]:
            yield from differences(a.get(k, "<no field>"), b.get(k, "<no field>"), pairs, f"{path}.{k}" if path else k)
    elif isinstance(a, list) and isinstance(b, list):
        label = {}
        for side, all in enumerate((a, b)):
            for n, e in enumerate(all):
                key = str(n)
                if isinstance(e, dict):
                    key = next((f"{e[k]}" for k in KEYS if e.get(k) not in (None, "") and not isinstance(e[k], Id)), key)
                while (key, side) in label:
                    key += "'"
                label[(key, side)] = e
        for key in dict.fromkeys(k for k, _ in label):
            yield from differences(label.get((key, 0), "<none>"), label.get((key, 1), "<none>"), pairs, f"{path}[{key}]")
    elif isinstance(a, Id) and isinstance(b, Id):
        if not pairs.pair(a, b):
            yield path, a, b
    elif a != b or type(a) != type(b):
        yield path, a, b


class Differ:
    def __init__(self, codec, ports, only=None, verbose=False, log=print):
        self.codec, self.ports, self.only, self.verbose, self.log = codec, ports, only, verbose, log
        self.pairs = Pairs()
        self.waited = {}			# (api, side) -> seconds
        self.main = self.connect()
        self.correlation = 0
        self.passed = self.failed = self.sent = 0
        self.covered = {}		# api name -> versions
        self.explained = {}		# rule -> count
        self.serial = 0
        self.patience = 30		# seconds, of settle()

    # -- connections
    def connect(self):
        return [Conn(p) for p in self.ports]

    def versions(self, api, lo=0, hi=99):
        key, first, last = self.codec.apis[api]
        if api == "InitProducerId":
            last = 5		# 6 is not stable in 4.4
        return range(max(first, lo), min(last, hi) + 1)

    def unique(self, text="t"):
        self.serial += 1
        return f"{text}-{self.serial}"

    def serves(self, api):
        """Does Moldau advertise it?"""
        key = self.codec.apis[api][0]
        r = self.ask("", "ApiVersions", 0, {}, quiet=True).side[1]
        return any(row["apiKey"] == key for row in r["apiKeys"])

    # -- one request
    def send(self, api, version, body, conn=None):
        """Sends without waiting; read() takes the answers in the same order."""
        if conn is None:
            if self.main[0].closed or self.main[1].closed:
                self.main = self.connect()
            conn = self.main
        key = self.codec.apis[api][0]
        self.correlation += 1
        for side in (0, 1):
            conn[side].send(self.codec.encode(key, version, self.correlation, resolve(body, side)))
        self.covered.setdefault(api, set()).add(version)
        self.sent += 1
        return (api, version, body, conn, self.correlation)

    def read(self, case, handle, quiet=False):
        api, version, body, conn, correlation = handle
        answers = []
        for side in (0, 1):
            start = time.monotonic()
            answers.append(self.answer(conn[side], api, version))
            took = time.monotonic() - start
            self.waited[api, side] = self.waited.get((api, side), 0) + took
            if took > 1 and self.verbose:
                self.log(f"slow: {took:.1f} s for {('Kafka', 'Moldau')[side]} {api} v{version}: {case}")
        self.compare(case, api, version, body, answers, quiet)
        return Both(*(a["body"] if isinstance(a, dict) else None for a in answers))

    def answer(self, conn, api, version):
        try:
            frame = conn.frame()
        except TimeoutError:
            conn.close()
            conn.closed = True
            return "no answer within the time"
        if frame is None:
            return "connection closed"
        try:
            return self.codec.decode(self.codec.apis[api][0], version, frame)
        except ValueError as e:
            return f"not to be decoded: {e}"

    def ask(self, case, api, version, body, conn=None, quiet=False):
        if self.only and self.only not in f"{api} {case}" and not quiet:
            quiet = True
        return self.read(case, self.send(api, version, body, conn), quiet)

    def compare(self, case, api, version, body, answers, quiet):
        found = self.unexplained(case, api, version, answers)
        if found and api in READS and not quiet:
            found = self.settle(case, api, version, body, answers, found)
        if not quiet:
            self.result(f"{api} v{version}: {case}", found, body)

    def settle(self, case, api, version, body, answers, found):
        """Kafka applies a change some time after it answered it (trap 27): it alone is asked again, until it says
        what Moldau said at once."""
        end = time.monotonic() + min(5, self.patience)
        key, start = self.codec.apis[api][0], time.monotonic()
        conn = Conn(self.ports[0])
        while found and time.monotonic() < end:
            time.sleep(0.05)
            self.correlation += 1
            conn.send(self.codec.encode(key, version, self.correlation, resolve(body, 0)))
            answers[0] = self.answer(conn, api, version)
            if isinstance(answers[0], dict) and isinstance(answers[1], dict):
                answers[0]["header"] = answers[1]["header"]
            found = self.unexplained(case, api, version, answers)
        conn.close()
        self.patience -= time.monotonic() - start
        return found

    def unexplained(self, case, api, version, answers):
        a, b = ({"answer": x} if isinstance(x, str) else normal(x, self.pairs, n, api=api) for n, x in enumerate(answers))
        found = []
        for path, x, y in self.in_records(differences(a, b, self.pairs)):
            path = path.removeprefix("body.")
            rule = next((r for r in EXPLAINED if r.matches(case, api, version, path, x, y)), None)
            if rule:
                self.explained[rule.name] = self.explained.get(rule.name, 0) + 1
            else:
                found.append((path, x, y))
        return found

    def in_records(self, all):
        """Records whose bytes differ are compared batch by batch, record by record."""
        for path, x, y in all:
            if path.endswith(".records") and all_hex(x) and all_hex(y):
                found = list(differences(self.codec.batches(x), self.codec.batches(y), self.pairs, path))
                yield from found or [(path + ".bytes", x, y)]
            else:
                yield path, x, y

    def result(self, title, found, body=None):
        if not found:
            self.passed += 1
            if self.verbose:
                self.log(f"ok   {title}")
            return
        self.failed += 1
        self.log(f"DIFF {title}")
        if body is not None:
            self.log(f"     request {json.dumps(resolve(body, 0))[:300]}")
        for path, x, y in found[:12]:
            self.log(f"     {path}: Kafka {plain(x)[:300]} | Moldau {plain(y)[:300]}")
        if len(found) > 12:
            self.log(f"     and {len(found) - 12} fields more")

    def raw(self, case, frames, read=1, after=None, shape=None):
        """Bytes on a new connection; compares the bytes that come back, or the close. shape: (api, version) to decode."""
        if self.only and self.only not in f"raw {case}":
            return
        got = []
        for port in self.ports:
            c = Conn(port)
            for f in frames:
                c.send_raw(f)
            answers = []
            for _ in range(read):
                if shape:
                    x = self.answer(c, *shape)
                else:
                    try:
                        x = c.frame()
                        x = "connection closed" if x is None else x.hex()
                    except TimeoutError:
                        x = "no answer within the time"
                answers.append(x)
            c.close()
            got.append(answers)
        self.sent += 1
        found = []
        for a, b in zip(*got):
            found += self.unexplained(case, shape[0] if shape else "raw", shape[1] if shape else 0, (a, b))
        self.result(f"raw: {case}", found)

    # -- helpers, not compared
    def until(self, api, version, body, good, seconds=20, what=""):
        """Asks until good(answer) holds on both sides; the answers."""
        end = time.monotonic() + seconds
        while True:
            r = self.ask("", api, version, body, quiet=True)
            if all(v is not None and good(v) for v in r.side):
                return r
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {what or api}: {json.dumps(r.side)[:500]}")
            time.sleep(0.02)

    def topic(self, partitions=1, configs=None, name=None, count=0):
        """A new topic on both sides, led and with as many records as count says in partition 0; its name."""
        name = name or self.unique()
        r = self.ask("", "CreateTopics", 7, {"topics": [{"name": name, "numPartitions": partitions, "replicationFactor": 1,
                     "configs": [{"name": k, "value": v} for k, v in (configs or {}).items()]}], "timeoutMs": 10000}, quiet=True)
        for v in r.side:
            assert v and v["topics"][0]["errorCode"] == 0, r.side
        self.until("ListOffsets", 7, {"topics": [{"name": name, "partitions": [
            {"partitionIndex": i, "timestamp": -1} for i in range(partitions)]}]},
            lambda v: all(p["errorCode"] == 0 for p in v["topics"][0]["partitions"]), what="led " + name)
        if count:
            self.fill(name, count)
        return name

    def fill(self, name, n, partition=0, start=0, **fields):
        r = self.ask("", "Produce", 9, {"acks": -1, "timeoutMs": 10000, "topicData": [{"name": name, "partitionData": [
            {"index": partition, "records": simple(n, start, **fields)}]}]}, quiet=True)
        for v in r.side:
            assert v and v["responses"][0]["partitionResponses"][0]["errorCode"] == 0, r.side

    def id_of(self, name):
        r = self.ask("", "Metadata", 12, {"topics": [{"name": name}]}, quiet=True)
        return r["topics"][0]["topicId"]
