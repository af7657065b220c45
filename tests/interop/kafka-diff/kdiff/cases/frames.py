"""Frames, headers, ApiVersions (traps 1-6, 8, 9, 12, 17)."""
import struct

from ..wire import simple


def header(key, version, correlation=5, client=b"x", flexible=False):
    h = struct.pack(">hhi", key, version, correlation)
    h += struct.pack(">h", -1) if client is None else struct.pack(">h", len(client)) + client
    return h + (b"\0" if flexible else b"")


def sized(frame):
    return struct.pack(">i", len(frame)) + frame


def run(d):
    api_versions(d)
    refused(d)
    headers(d)
    everywhere(d)


def api_versions(d):
    good = {"clientSoftwareName": "kafka-diff", "clientSoftwareVersion": "1.0"}
    cluster = d.ask("cluster id", "DescribeCluster", 2, {})
    for v in d.versions("ApiVersions"):
        d.ask("all", "ApiVersions", v, good)
        d.ask("again on the same connection", "ApiVersions", v, good)
        for text in ("", "-x", "x-", "a b", "a" * 300, "Caf\u00e9", "x.y-z", "a_b", "1"):
            if v >= 3:
                d.ask(f"software name {text[:10]!r}", "ApiVersions", v, {**good, "clientSoftwareName": text})
        if v >= 3:
            d.ask("software version bad", "ApiVersions", v, {**good, "clientSoftwareVersion": "1..0 "})
            d.ask("software version empty", "ApiVersions", v, {**good, "clientSoftwareVersion": ""})
            d.ask("unknown tag", "ApiVersions", v, {**good, "_tags": {"77": "010203"}})
        if v >= 5:
            for case, more in {
                "cluster id and node id": {"clusterId": cluster["clusterId"], "nodeId": 1},
                "wrong node id": {"clusterId": cluster["clusterId"], "nodeId": 2},
                "wrong cluster id": {"clusterId": "AAAAAAAAAAAAAAAAAAAAAA", "nodeId": 1},
                "only cluster id": {"clusterId": cluster["clusterId"]},
                "only node id": {"nodeId": 1},
                "node id -2": {"clusterId": cluster["clusterId"], "nodeId": -2},
                "empty cluster id": {"clusterId": "", "nodeId": 1},
            }.items():
                d.ask(case, "ApiVersions", v, {**good, **more})
            d.ask("usable after a mismatch", "ApiVersions", v, good)
    for v in (6, 7, 100, 32767):
        d.raw(f"ApiVersions v{v} (trap 1)", [sized(header(18, v, flexible=True) + b"\x02x\x021\0")])
        d.raw(f"ApiVersions v{v} empty body (trap 1)", [sized(header(18, v, flexible=True))])
    d.raw("ApiVersions too new, then a request on the same connection",
          [sized(header(18, 9, 1, flexible=True)), sized(header(18, 0, 2))], read=2, shape=("ApiVersions", 0))
    d.raw("ApiVersions v-1", [sized(header(18, -1))])
    d.raw("ApiVersions v3 without body", [sized(header(18, 3))])


def everywhere(d):
    """The same three requests to every API and version: nothing behind the header, half a body, only defaults."""
    d.until("FindCoordinator", 0, {"key": "g"}, lambda r: r["errorCode"] == 0)
    served = {row["apiKey"] for row in d.ask("", "ApiVersions", 0, {}, quiet=True).side[1]["apiKeys"]}
    for api, (key, _, _) in sorted(d.codec.apis.items(), key=lambda x: x[1]):
        for v in d.versions(api) if key in served else ():
            whole = d.codec.encode(key, v, 7, {})
            body = len(d.codec.encode(key, v, 7, {"_header": {"clientId": ""}})) - 10
            if len(whole) > len(header(key, v)):
                d.raw(f"{api} v{v}: header only", [sized(header(key, v))], shape=(api, v))
            if body > 2:
                d.raw(f"{api} v{v}: a byte is missing", [sized(whole[:-1])], shape=(api, v))
            if api == "ListGroups":
                continue		# its groups are other suites'
            fields = {"acks": 1} if api == "Produce" else {}	# else there would be no answer
            tags = {"_tags": {"99": "0102"}, "_header": {"_tags": {"98": "03"}}}
            d.ask("defaults", api, v, fields)
            if d.codec.flexible(key, v):
                d.ask("defaults and unknown tags (trap 17)", api, v, {**fields, **tags})


def refused(d):
    apis = sorted(d.codec.apis.values())
    for key, lo, hi in apis:
        if lo > hi:
            d.raw(f"reserved key {key} (trap 6)", [sized(header(key, 0))])
            continue
        if key == 18:
            continue
        d.raw(f"key {key} v{hi + 1} above the range (trap 6)", [sized(header(key, hi + 1) + b"\0" * 40)])
        if lo > 0:
            d.raw(f"key {key} v{lo - 1} below the range (trap 6, 8)", [sized(header(key, lo - 1) + b"\0" * 40)])
    for key in (-1, 95, 1000, 32767):
        d.raw(f"unknown key {key} (trap 6)", [sized(header(key, 0) + b"\0" * 8)])
    for name in ("Vote", "BrokerHeartbeat", "FetchSnapshot", "AlterPartition", "BrokerRegistration", "Envelope"):
        d.raw(f"{name} is for controllers (trap 6)", [sized(header(d.codec.apis[name][0], d.codec.apis[name][2], flexible=True) + b"\0" * 30)])


def headers(d):
    cut = {"half a header": b"\0\3\0", "no client id": struct.pack(">hhi", 3, 1, 5),
           "client id longer than the frame": struct.pack(">hhih", 3, 1, 5, 900) + b"abc",
           "client id -2": struct.pack(">hhih", 3, 1, 5, -2),
           "no body": header(3, 1),
           "body cut": header(3, 1) + struct.pack(">i", 1) + b"\0",
           "array count above what is left": header(3, 1) + struct.pack(">i", 1 << 30),
           "array count -2": header(3, 1) + struct.pack(">i", -2),
           "string of length -1 where null is not allowed": header(3, 1) + struct.pack(">ih", 1, -1),
           "flexible header without tags": header(3, 9),
           "flexible, count above what is left": header(3, 9, flexible=True) + b"\xff\xff\xff\xff\x07",
           "uvarint of 6 bytes": header(3, 9, flexible=True) + b"\xff\xff\xff\xff\xff\xff\x01",
           "tag size above what is left": header(3, 9) + b"\x01\x05\x7f",
           "tags out of order": header(3, 9) + b"\x02\x05\0\x04\0" + b"\x01\0\0\0\0",
           "same tag twice": header(3, 9) + b"\x02\x05\0\x05\0" + b"\x01\0\0\0\0",
           "bad UTF-8 in a topic name": header(3, 1) + struct.pack(">ih", 1, 2) + b"\xff\xfe"}
    for case, frame in cut.items():
        d.raw(case, [sized(frame)], shape=("Metadata", struct.unpack(">h", frame[2:4])[0]) if len(frame) > 3 else None)
    d.raw("frame of 0 bytes", [struct.pack(">i", 0)])
    d.raw("frame of -1 bytes (trap 9)", [struct.pack(">i", -1)])
    d.raw("frame above socket.request.max.bytes (trap 9)", [struct.pack(">i", 104857601) + b"\0" * 64])
    d.raw("HTTP instead of Kafka", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"])
    d.raw("null client id (trap 3)", [sized(header(18, 0, client=None))], shape=("ApiVersions", 0))
    d.raw("empty client id (trap 3)", [sized(header(18, 0, client=b""))], shape=("ApiVersions", 0))
    d.raw("long client id", [sized(header(18, 0, client=b"c" * 2000))], shape=("ApiVersions", 0))
    d.raw("bytes behind the message", [sized(header(3, 1) + struct.pack(">i", 0) + b"xyz")], shape=("Metadata", 1))
    d.raw("unknown header tags (trap 17)", [sized(header(3, 9) + b"\x02\x05\x01a\x09\0" + b"\x01\0\0\0\0")],
          shape=("Metadata", 9))
    d.raw("negative correlation id", [sized(header(3, 0, -7) + struct.pack(">i", 1) + struct.pack(">h", 4) + b"gone")],
          shape=("Metadata", 0))
    d.until("Metadata", 4, {"topics": [{"name": "gone"}], "allowAutoTopicCreation": False},
            lambda r: r["topics"][0]["errorCode"] == 0, what="topic gone")
    d.raw("pipelined requests are answered in order (trap 7)",
          [b"".join(sized(header(18, i % 3, 100 + i)) for i in range(3) for _ in range(1))] , read=1, shape=("ApiVersions", 0))
    d.raw("a frame in pieces", [sized(header(18, 0))[:3], sized(header(18, 0))[3:9], sized(header(18, 0))[9:]],
          shape=("ApiVersions", 0))
    acks0(d)


def acks0(d):
    name = d.topic()

    def produce(topic, acks, correlation, partition=0):
        frame = d.codec.encode(0, 9, correlation, {"acks": acks, "timeoutMs": 1000, "topicData": [{"name": topic,
                               "partitionData": [{"index": partition, "records": simple().hex()}]}]})
        return sized(frame)
    probe = sized(header(18, 0, 9))
    d.raw("acks=0 has no answer (trap 12)", [produce(name, 0, 1), probe], shape=("ApiVersions", 0))
    d.raw("acks=0 with an error closes (trap 12)", [produce("not-there-acks0", 0, 1)])
    d.raw("acks=0 to a bad partition closes (trap 12)", [produce(name, 0, 1, 7)])
    for n, topic in enumerate(("with space", "..")):
        d.raw(f"acks=0 invalid topic {n} closes (trap 12)", [produce(topic, 0, 1)])
