"""Frames, connections, the codec process, and record batches that are wrong on purpose."""
import json
import socket
import struct
import subprocess

from . import brokers

CRC = []
for _n in range(256):
    for _ in range(8):
        _n = _n >> 1 ^ (0x82F63B78 if _n & 1 else 0)
    CRC.append(_n)


def crc32c(data):
    c = 0xFFFFFFFF
    for b in data:
        c = CRC[(c ^ b) & 255] ^ c >> 8
    return c ^ 0xFFFFFFFF


class Codec:
    """Kafka's own message classes, in a JVM of their own (Codec.java)."""

    def __init__(self, class_path):
        self.p = subprocess.Popen(brokers.java(class_path, "Codec"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)
        self.apis = {name: (key, lo, hi) for key, name, lo, hi in json.loads(self.call("apis"))}

    def call(self, *words):
        self.p.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        status, _, text = line.rstrip("\n").partition(" ")
        if status != "ok":
            raise ValueError(f"{text} of {' '.join(str(w) for w in words)[:500]}")
        return text

    def encode(self, key, version, correlation, body):
        return bytes.fromhex(self.call("enc", key, version, correlation, json.dumps(body)))

    def flexible(self, key, version):
        """Has this version tags?"""
        try:
            return bool(self.encode(key, version, 0, {"_tags": {"99": ""}}))
        except ValueError:
            return False

    def decode(self, key, version, frame):
        return json.loads(self.call("dec", key, version, frame.hex()))

    def batch(self, records, **fields):
        return bytes.fromhex(self.call("batch", json.dumps({"records": records, **fields})))

    def batches(self, text):
        """What a fetch returned, decoded: [{header fields, records: [...]}]; the last may be cut."""
        return json.loads(self.call("batches", text or "00"))

    def finish(self):
        self.p.stdin.close()
        self.p.wait()


class Conn:
    def __init__(self, port, seconds=20):
        self.s = socket.create_connection(("127.0.0.1", port), seconds)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.closed = False

    def send(self, frame):
        self.send_raw(struct.pack(">i", len(frame)) + frame)

    def send_raw(self, data):
        try:
            self.s.sendall(data)
        except OSError:
            self.closed = True

    def read(self, n):
        data = b""
        while len(data) < n:
            try:
                got = self.s.recv(n - len(data))
            except socket.timeout:
                raise TimeoutError("no answer")
            except OSError:
                got = b""
            if not got:
                self.closed = True
                return None
            data += got
        return data

    def frame(self):
        """The next answer; None: the broker closed the connection."""
        size = self.read(4)
        return size and self.read(struct.unpack(">i", size)[0])

    def close(self):
        self.s.close()


# ---- record batches, field by field (format: KIP-98) ------------------------------------------------

def varint(n):
    n = n << 1 ^ n >> 63 if n >= 0 else (-n - 1) << 1 | 1
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def record(offset_delta, value, key=None, ts_delta=0, attributes=0, headers=(), pad=b"", length=0):
    body = bytes([attributes]) + varint(ts_delta) + varint(offset_delta)
    for part in (key, value):
        body += varint(-1) if part is None else varint(len(part)) + part
    body += varint(len(headers))
    for k, v in headers:
        body += varint(len(k)) + k + (varint(-1) if v is None else varint(len(v)) + v)
    body += pad
    return varint(len(body) + length) + body


def batch(records, base=0, epoch=-1, magic=2, attributes=0, last=None, ts=1700000000000, max_ts=None, pid=-1, pepoch=-1,
          seq=-1, count=None, size=0, crc=None):
    """A batch of records (bytes of record()); every field can be made wrong."""
    body = struct.pack(">hiqqqhii", attributes, len(records) - 1 if last is None else last, ts,
                       ts if max_ts is None else max_ts, pid, pepoch, seq, len(records) if count is None else count)
    body += b"".join(records)
    rest = struct.pack(">ibI", epoch, magic, crc32c(body) if crc is None else crc) + body
    return struct.pack(">qi", base, len(rest) + size) + rest


def simple(n=1, start=0, **fields):
    """A batch of n records "v0", "v1", ..."""
    return batch([record(i, b"v%d" % (start + i), b"k%d" % (start + i)) for i in range(n)], **fields)


def old_message(value, magic, key=None, ts=1700000000000):
    """One message of format 0 or 1 in a message set."""
    import zlib
    body = struct.pack(">bb", magic, 0) + (struct.pack(">q", ts) if magic else b"")
    for part in (key, value):
        body += struct.pack(">i", -1) if part is None else struct.pack(">i", len(part)) + part
    return struct.pack(">qiI", 0, len(body) + 4, zlib.crc32(body)) + body
