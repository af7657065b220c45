#!/usr/bin/python3
"""Golden batches from librdkafka (python3-confluent-kafka): a server that speaks just enough Kafka
catches what the producer sends. Usage: librdkafka.py DIR

Records are those of tests/unit/test_codec.c, expect()."""
import socket, struct, sys, threading
from confluent_kafka import Producer

T0 = 1700000000000
caught = []


def string(s):
    return struct.pack(">h", len(s)) + s.encode()


def api_versions(limit):
    apis = {0: (0, limit), 1: (0, 10 if limit >= 7 else 4 if limit >= 3 else 2), 3: (0, 1), 10: (0, 0), 18: (0, 0)}
    return struct.pack(">hi", 0, len(apis)) + b"".join(struct.pack(">hhh", k, *v) for k, v in apis.items())


def metadata(version, port):
    broker = struct.pack(">i", 1) + string("127.0.0.1") + struct.pack(">i", port)
    out = struct.pack(">i", 1) + broker + (struct.pack(">h", -1) if version >= 1 else b"")
    out += struct.pack(">i", 1) if version >= 1 else b""
    part = struct.pack(">hii", 0, 0, 1) + struct.pack(">ii", 1, 1) * 2
    out += struct.pack(">i", 1) + struct.pack(">h", 0) + string("t")
    out += (b"\0" if version >= 1 else b"") + struct.pack(">i", 1) + part
    return out


def produce(version, body):
    at = 0
    if version >= 3:
        n, = struct.unpack_from(">h", body, 0)
        at = 2 + max(n, 0)
    at += 6 + 4                                 # acks, timeout, one topic
    n, = struct.unpack_from(">h", body, at)
    at += 2 + n + 4 + 4                         # name, one partition, its index
    n, = struct.unpack_from(">i", body, at)
    caught.append(body[at + 4:at + 4 + n])
    part = struct.pack(">ihq", 0, 0, 0) + (struct.pack(">q", -1) if version >= 2 else b"")
    part += struct.pack(">q", 0) if version >= 5 else b""
    return struct.pack(">i", 1) + string("t") + struct.pack(">i", 1) + part + (struct.pack(">i", 0) if version >= 1 else b"")


def serve(conn, port, limit):
    buf = b""
    while True:
        data = conn.recv(65536)
        if not data:
            return
        buf += data
        while len(buf) >= 4 and len(buf) >= 4 + struct.unpack(">i", buf[:4])[0]:
            n, = struct.unpack(">i", buf[:4])
            frame, buf = buf[4:4 + n], buf[4 + n:]
            key, version, corr, cl = struct.unpack_from(">hhih", frame)
            body = frame[10 + max(cl, 0):]
            if key == 18:
                answer = api_versions(limit) if version == 0 else struct.pack(">h", 35) + api_versions(limit)[2:]
            elif key == 3:
                answer = metadata(version, port)
            else:
                answer = produce(version, body)
            conn.sendall(struct.pack(">ii", 4 + len(answer), corr) + answer)


def run(path, codec, limit, extra):
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(8)
    port = s.getsockname()[1]

    def accept():
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(c, port, limit), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    conf = {"bootstrap.servers": "127.0.0.1:%d" % port, "compression.type": codec, "linger.ms": 1000}
    conf.update(extra)
    p = Producer(conf)
    del caught[:]
    for i in range(100):
        h = []
        if limit >= 3 and i % 3 == 0:
            h.append(("h", b"%d" % i))
        if limit >= 3 and i % 6 == 0:
            h.append(("n", None))
        p.produce("t", key=None if i % 10 == 0 else "key-%04d" % i,
                  value=None if i % 11 == 5 else "value-%d-" % i + "abc" * (i % 50),
                  partition=0, timestamp=T0 + i * 37 % 100, headers=h)
    p.flush(20)
    s.close()
    assert len(caught) == 1, (codec, limit, len(caught))
    with open(path, "wb") as f:
        f.write(caught[0])


for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
    run("%s/rdkafka-v2-%s.bin" % (sys.argv[1], codec), codec, 7, {})
    if codec != "zstd":
        run("%s/rdkafka-v1-%s.bin" % (sys.argv[1], codec), codec, 2, {})
        run("%s/rdkafka-v0-%s.bin" % (sys.argv[1], codec), codec, 1,
            {"api.version.request": "false", "broker.version.fallback": "0.9.0"})
