#!/usr/bin/python3
"""exchanges.py HOST PORT plain|extended - sends ZooKeeper requests by hand and prints what comes back, decoded to the last byte.

The stored transcripts are what Apache ZooKeeper 3.9.5 (Maven Central) answered; tests/system/test_zookeeper.py compares
moldau-quorum's answers with them. Not compared, because it must differ: session ids, passwords, times; zxids are printed
relative to the first one, lists of children and of ephemerals sorted.

plain     a fresh server, tickTime 2000, maxSessionTimeout 120000, nothing else set
extended  zookeeper.extendedTypesEnabled=true, zookeeper.enforceQuota=true, znode.container.checkIntervalMs=500,
          zookeeper.DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU= (super:test),
          authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider, and the JAAS section
          Server { DigestLoginModule required user_bob="secret"; };
"""
import base64
import hashlib
import socket
import struct
import sys
import time

OPEN = [(31, "world", "anyone")]
CREATE, DELETE, EXISTS, GET, SET, GETACL, SETACL, CHILDREN, SYNC, PING, CHILDREN2, CHECK, MULTI = 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14
CREATE2, RECONFIG, CHECKW, REMOVEW, CONTAINER, TTL, MULTIREAD, AUTH, SETW, SASL, EPHEMERALS, COUNT, SETW2, ADDW, WHO = \
    15, 16, 17, 18, 19, 21, 22, 100, 101, 102, 103, 104, 105, 106, 107
CLOSE = -11


def i4(v):
    return struct.pack(">i", v)


def i8(v):
    return struct.pack(">q", v)


def b1(v):
    return struct.pack(">?", v)


def buf(b):
    return i4(-1) if b is None else i4(len(b)) + b


def s4(s):
    return buf(s.encode("utf-8", "surrogatepass") if s is not None else None)


def vec(items, one):
    return i4(-1) if items is None else i4(len(items)) + b"".join(map(one, items))


def acl(v):
    return vec(v, lambda a: i4(a[0]) + s4(a[1]) + s4(a[2]))


def create(path, data=b"", rights=OPEN, flags=0):
    return s4(path) + buf(data) + acl(rights) + i4(flags)


def head(op):
    return i4(op) + b1(False) + i4(-1)


END = i4(-1) + b1(True) + i4(-1)


class Reader:
    def __init__(self, b):
        self.b, self.at = b, 0

    def take(self, n):
        v = self.b[self.at:self.at + n]
        assert len(v) == n, "answer ends early: " + self.b.hex()
        self.at += n
        return v

    def i4(self):
        return struct.unpack(">i", self.take(4))[0]

    def i8(self):
        return struct.unpack(">q", self.take(8))[0]

    def buf(self):
        n = self.i4()
        return None if n < 0 else self.take(n)

    def s4(self):
        b = self.buf()
        return None if b is None else b.decode("utf-8", "replace")


class Run:
    """One run against one server."""

    def __init__(self, host, port, out):
        self.address, self.out, self.base = (host, port), out, None

    def say(self, *words):
        print(*words, file=self.out)

    def zxid(self, z):
        if z in (-1, 0) or self.base is None:
            return str(z)
        return "%+d" % (z - self.base)

    def stat(self, r):
        cz, mz, ct, mt = r.i8(), r.i8(), r.i8(), r.i8()
        v, cv, av, owner, n, kids, pz = r.i4(), r.i4(), r.i4(), r.i8(), r.i4(), r.i4(), r.i8()
        assert (ct == 0) == (cz == 0) and (mt == 0) == (mz == 0) and ct <= mt
        return "stat(c=%s m=%s v=%d cv=%d av=%d owner=%s len=%d kids=%d p=%s)" % (
            self.zxid(cz), self.zxid(mz), v, cv, av, "yes" if owner > 0 else owner, n, kids, self.zxid(pz))

    def body(self, op, r):
        if op in (CREATE, SYNC):
            return repr(r.s4())
        if op in (CREATE2, CONTAINER, TTL):
            return repr(r.s4()) + " " + self.stat(r)
        if op in (EXISTS, SET, SETACL):
            return self.stat(r)
        if op in (GET, RECONFIG):
            return repr(r.buf()) + " " + self.stat(r)
        if op == GETACL:
            return repr([(r.i4(), r.s4(), r.s4()) for _ in range(r.i4())]) + " " + self.stat(r)
        if op in (CHILDREN, EPHEMERALS):
            return repr(sorted(r.s4() for _ in range(r.i4())))
        if op == CHILDREN2:
            return repr(sorted(r.s4() for _ in range(r.i4()))) + " " + self.stat(r)
        if op in (MULTI, MULTIREAD):
            return self.results(r)
        if op in (COUNT, ADDW):
            return str(r.i4())
        if op == WHO:
            return repr(sorted((r.s4(), r.s4()) for _ in range(r.i4())))
        if op == SASL:
            t = r.buf()
            return "token" + (" none" if t is None else " with rspauth" if b"rspauth=" in t else " with nonce" if b"nonce=" in t else repr(t))
        return ""

    def results(self, r):
        out = []
        while True:
            op, done, err = r.i4(), r.take(1)[0], r.i4()
            if done:
                assert (op, err) == (-1, -1)
                return "[" + "; ".join(out) + "]"
            if op == -1:
                assert err == r.i4()
                out.append("err %d" % err)
            else:
                out.append("%d:%d %s" % (op, err, self.body(op, r)))


class Conn:
    def __init__(self, run, name, timeout=40000, sid=0, pw=bytes(16), zxid=0, ro=b"\0"):
        self.run, self.name, self.xid = run, name, 0
        self.k = socket.create_connection(run.address, 5)
        self.k.settimeout(3)
        req = i4(0) + i8(zxid) + i4(timeout) + i8(sid) + buf(pw) + ro
        self.k.sendall(i4(len(req)) + req)
        b = self.frame()
        self.sid = 0
        if b is None:
            run.say(name, "connect: closed")
            return
        proto, to, self.sid = struct.unpack(">iiq", b[:16])
        assert b[16:20] == i4(16)
        self.pw = b[20:36]
        run.say(name, "connect: protocol", proto, "timeout", to, "session", bool(self.sid), "password", any(self.pw),
                "read-only", b[36:].hex())

    def frame(self):
        def exactly(n):
            b = b""
            while len(b) < n:
                d = self.k.recv(n - len(b))
                if not d:
                    return None
                b += d
            return b
        try:
            h = exactly(4)
            return None if h is None else exactly(struct.unpack(">i", h)[0])
        except ConnectionResetError:
            return None

    def answers(self, op, n=1):
        for _ in range(n):
            b = self.frame()
            if b is None:
                self.run.say("   closed")
                return
            r = Reader(b)
            xid, zxid, err = r.i4(), r.i8(), r.i4()
            if self.run.base is None and zxid > 0:
                self.run.base = zxid
            if xid == -1:
                text = "event type %d state %d %r" % (r.i4(), r.i4(), r.s4())
            else:
                text = self.run.body(op, r) if err == 0 or r.at < len(b) else ""
            assert r.at == len(b), "bytes behind the answer: " + b.hex()
            self.run.say("   xid %s zxid %s err %d %s" % (xid if xid < 0 else "next" if xid == self.xid else xid, self.run.zxid(zxid), err, text))

    def send(self, op, body=b"", xid=None):
        if xid is None:
            self.xid += 1
            xid = self.xid
        self.k.sendall(i4(8 + len(body)) + i4(xid) + i4(op) + body)

    def do(self, what, op, body=b"", n=1, xid=None):
        self.run.say(self.name, what)
        self.send(op, body, xid)
        self.answers(op, n)

    def auth(self, scheme, token, n=1):
        self.do("auth %s" % scheme, AUTH, i4(0) + s4(scheme) + buf(token), xid=-4, n=n)

    def wait_event(self, what):
        self.run.say(self.name, what)
        self.answers(0)

    def close(self):
        self.k.close()


def digest(user_and_password):
    return user_and_password.split(":")[0] + ":" + base64.b64encode(hashlib.sha1(user_and_password.encode()).digest()).decode()


def creates(c):
    g = "/g"
    c.do("create root", CREATE, create(g, b"r"))
    c.do("create: exists", CREATE, create(g))
    c.do("create: no parent", CREATE, create(g + "/x/y"))
    for p in ("", "g", "/g/", "//g", "/g//y", "/g/.", "/g/..", "/g/./x", "/g/a\x01b", "/g/a\x7fb", "/g/a\x9fb", "/g/a\ue000b", "/g/a\ufff1b",
              "/g/...", "/g/.a", "/g/\u00e9", "/g/\U0001f600", "/", "/g/x\0y"):
        c.do("create path %s" % ascii(p), CREATE, create(p))
    c.do("create: no rights", CREATE, create(g + "/acl", rights=[]))
    c.do("create: null rights", CREATE, create(g + "/acl", rights=None))
    c.do("create: null data", CREATE, create(g + "/null", None))
    c.do("get null data", GET, s4(g + "/null") + b1(False))
    c.do("create sequence", CREATE, create(g + "/s-", flags=2))
    c.do("create sequence with an empty name", CREATE, create(g + "/", flags=2))
    c.do("create sequence: no parent", CREATE, create("/nope/s-", flags=2))
    c.do("create ephemeral", CREATE, create(g + "/e", flags=1))
    c.do("create under ephemeral", CREATE, create(g + "/e/x"))
    c.do("create ephemeral sequence", CREATE, create(g + "/es-", flags=3))
    c.do("create2", CREATE2, create(g + "/c2", b"two"))
    c.do("create2 ephemeral", CREATE2, create(g + "/c2e", b"two", flags=1))
    c.do("create with the flag of a container", CREATE, create(g + "/notcont", flags=4))
    c.do("createContainer", CONTAINER, create(g + "/cont", flags=4))
    c.do("createContainer without its flag", CONTAINER, create(g + "/cont2", flags=0))
    c.do("createTTL", TTL, create(g + "/ttl", flags=5) + i8(100000))
    c.do("createTTL sequence", TTL, create(g + "/ttls-", flags=6) + i8(100000))
    c.do("createTTL 0", TTL, create(g + "/ttl0", flags=5) + i8(0))
    c.do("createTTL too long", TTL, create(g + "/ttlx", flags=5) + i8(1 << 40))
    c.do("createTTL with other flags", TTL, create(g + "/ttlp", flags=0) + i8(7))
    c.do("create with the flag of a TTL", CREATE, create(g + "/ttlc", flags=5))
    for f in (7, 77, -1):
        c.do("create flags %d" % f, CREATE, create(g + "/bf", flags=f))
    c.do("create: cut off", CREATE, s4(g + "/cut") + i4(5) + b"abc")
    c.do("create: null path", CREATE, create(None))


def reads(c):
    g = "/g"
    c.do("exists", EXISTS, s4(g) + b1(False))
    c.do("exists: missing", EXISTS, s4(g + "/nope") + b1(False))
    c.do("exists: null path", EXISTS, s4(None) + b1(False))
    c.do("exists: a zero in the path", EXISTS, s4("/g\0") + b1(False))
    c.do("get of the root by its empty name", GET, s4("") + b1(False))
    c.do("get of the root", EXISTS, s4("/") + b1(False))
    c.do("get: missing", GET, s4(g + "/nope") + b1(False))
    c.do("get: cut off", GET, i4(7) + b"/g")
    c.do("get /zookeeper/config", GET, s4("/zookeeper/config") + b1(False))
    c.do("getACL /zookeeper/config", GETACL, s4("/zookeeper/config"))
    c.do("children of /zookeeper", CHILDREN2, s4("/zookeeper") + b1(False))
    c.do("children", CHILDREN, s4(g) + b1(False))
    c.do("children2", CHILDREN2, s4(g) + b1(False))
    c.do("children: missing", CHILDREN, s4(g + "/nope") + b1(True))
    c.do("getACL", GETACL, s4(g))
    c.do("getACL: missing", GETACL, s4(g + "/nope"))
    c.do("getEphemerals", EPHEMERALS, s4(g))
    c.do("getEphemerals of all", EPHEMERALS, s4(" "))
    c.do("getEphemerals of another prefix", EPHEMERALS, s4("/other"))
    c.do("getAllChildrenNumber", COUNT, s4(g))
    c.do("getAllChildrenNumber of the root", COUNT, s4("/"))
    c.do("getAllChildrenNumber: missing", COUNT, s4(g + "/nope"))
    c.do("sync", SYNC, s4(g))
    c.do("sync of anything", SYNC, s4("what"))
    c.do("whoAmI", WHO)
    c.do("ping", PING, xid=-2)
    items = head(GET) + s4(g) + b1(False) + head(CHILDREN) + s4(g + "/null") + b1(False) + head(GET) + s4(g + "/nope") + b1(False)
    c.do("multiRead", MULTIREAD, items + END)
    c.do("multiRead empty", MULTIREAD, END)
    c.do("multiRead with a write", MULTIREAD, head(DELETE) + s4(g) + i4(-1) + END)


def writes(c):
    g = "/g"
    c.do("set", SET, s4(g) + buf(b"new") + i4(-1))
    c.do("set: wrong version", SET, s4(g) + buf(b"new") + i4(77))
    c.do("set: right version", SET, s4(g) + buf(None) + i4(1))
    c.do("set: missing", SET, s4(g + "/nope") + buf(b"") + i4(-1))
    c.do("set: bad path", SET, s4("/g/") + buf(b"") + i4(-1))
    c.do("set: null path", SET, s4(None) + buf(b"") + i4(-1))
    c.do("set /zookeeper/config", SET, s4("/zookeeper/config") + buf(b"") + i4(-1))
    c.do("set /zookeeper/quota", SET, s4("/zookeeper/quota") + buf(b"q") + i4(-1))
    c.do("create /w", CREATE, create(g + "/w"))
    c.do("delete: not empty", DELETE, s4(g) + i4(-1))
    c.do("delete: wrong version", DELETE, s4(g + "/w") + i4(9))
    c.do("delete", DELETE, s4(g + "/w") + i4(0))
    c.do("delete: missing", DELETE, s4(g + "/w") + i4(-1))
    c.do("delete: no parent", DELETE, s4(g + "/w/x") + i4(-1))
    for p in ("/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "", "g", None):
        c.do("delete %r" % p, DELETE, s4(p) + i4(-1))
    c.do("setACL", SETACL, s4(g) + acl(OPEN) + i4(-1))
    c.do("setACL: wrong version", SETACL, s4(g) + acl(OPEN) + i4(7))
    c.do("setACL: right version", SETACL, s4(g) + acl(OPEN) + i4(1))
    c.do("setACL: missing", SETACL, s4(g + "/nope") + acl(OPEN) + i4(-1))
    c.do("setACL: bad path", SETACL, s4("g") + acl(OPEN) + i4(-1))
    c.do("setACL: no rights", SETACL, s4(g) + acl([]) + i4(-1))
    c.do("reconfig", RECONFIG, s4(None) * 3 + i8(-1))


def multis(c):
    g = "/g"
    one = head(CREATE) + create(g + "/m1") + head(SET) + s4(g + "/m1") + buf(b"x") + i4(0) + head(CHECK) + s4(g + "/m1") + i4(1) + \
        head(DELETE) + s4(g + "/m1") + i4(-1) + END
    c.do("multi: create, set, check, delete", MULTI, one)
    c.do("multi: creates", MULTI, head(CREATE2) + create(g + "/m2") + head(CONTAINER) + create(g + "/m3", flags=4) + head(CREATE) +
         create(g + "/ms-", flags=2) + head(CREATE) + create(g + "/ms-", flags=3) + END)
    c.do("multi: fails in the middle", MULTI, head(CREATE) + create(g + "/m4") + head(DELETE) + s4(g + "/nope") + i4(-1) + head(CREATE) +
         create(g + "/m5") + END)
    c.do("multi: fails by a check", MULTI, head(CHECK) + s4(g) + i4(99) + head(CREATE) + create(g + "/m5") + END)
    c.do("multi: fails by rights", MULTI, head(CREATE) + create(g + "/m5", rights=[(31, "nosuch", "x")]) + END)
    c.do("multi: child before its parent", MULTI, head(CREATE) + create(g + "/p/c") + head(CREATE) + create(g + "/p") + END)
    c.do("multi: parent before its child", MULTI, head(CREATE) + create(g + "/p") + head(CREATE) + create(g + "/p/c") + END)
    c.do("multi: delete both", MULTI, head(DELETE) + s4(g + "/p/c") + i4(-1) + head(DELETE) + s4(g + "/p") + i4(-1) + END)
    c.do("multi: same node twice", MULTI, head(SET) + s4(g) + buf(b"1") + i4(-1) + head(SET) + s4(g) + buf(b"2") + i4(-1) + END)
    c.do("multi: empty", MULTI, END)
    c.do("multi: bad flags", MULTI, head(CREATE) + create(g + "/m5", flags=77) + END)
    c.do("multi: a read", MULTI, head(GET) + s4(g) + b1(False) + END)
    c.do("multi: an unknown kind", MULTI, head(SYNC) + s4(g) + END)
    c.do("multi: cut off", MULTI, head(CREATE) + s4(g))
    c.do("multi: TTL", MULTI, head(TTL) + create(g + "/mt", flags=5) + i8(100000) + END)
    c.do("what is there", CHILDREN, s4(g) + b1(False))


def watches(c, d):
    g = "/w"
    c.do("create", CREATE, create(g))
    c.do("exists of what is to come, watched", EXISTS, s4(g + "/a") + b1(True))
    c.do("children watched", CHILDREN, s4(g) + b1(True))
    c.do("create: two events, then the answer", CREATE, create(g + "/a"), n=3)
    c.do("create again: none", CREATE, create(g + "/b"))
    c.do("get watched", GET, s4(g + "/a") + b1(True))
    c.do("get watched twice", GET, s4(g + "/a") + b1(True))
    c.do("set: one event", SET, s4(g + "/a") + buf(b"1") + i4(-1), n=2)
    c.do("get and children watched", GET, s4(g + "/a") + b1(True))
    c.do("children watched", CHILDREN2, s4(g + "/a") + b1(True))
    c.do("children of the parent watched", CHILDREN, s4(g) + b1(True))
    c.do("delete: one of the node, one of the parent", DELETE, s4(g + "/a") + i4(-1), n=3)
    c.do("addWatch persistent", ADDW, s4(g + "/p") + i4(0))
    c.do("addWatch recursive", ADDW, s4(g) + i4(1))
    c.do("addWatch of an unknown mode", ADDW, s4(g) + i4(2))
    c.do("create: both, one event", CREATE, create(g + "/p"), n=2)
    c.do("create below", CREATE, create(g + "/p/q"), n=3)
    c.do("set", SET, s4(g + "/p/q") + buf(b"1") + i4(-1), n=2)
    c.do("delete below", DELETE, s4(g + "/p/q") + i4(-1), n=3)
    c.do("delete", DELETE, s4(g + "/p") + i4(-1), n=2)
    c.do("multi of three", MULTI, head(CREATE) + create(g + "/p") + head(SET) + s4(g + "/p") + buf(b"2") + i4(-1) + head(DELETE) +
         s4(g + "/p") + i4(-1) + END, n=4)
    for t in (1, 2, 3, 4, 5, 6):
        c.do("checkWatches %d" % t, CHECKW, s4(g) + i4(t))
        c.do("checkWatches %d on p" % t, CHECKW, s4(g + "/p") + i4(t))
    c.do("removeWatches: none of the kind", REMOVEW, s4(g) + i4(2))
    c.do("removeWatches recursive", REMOVEW, s4(g) + i4(5))
    c.do("removeWatches recursive again", REMOVEW, s4(g) + i4(5))
    c.do("removeWatches persistent", REMOVEW, s4(g + "/p") + i4(4))
    c.do("removeWatches any: none left", REMOVEW, s4(g + "/p") + i4(3))
    d.do("setWatches", SETW, i8(0) + vec([g, g + "/none"], s4) + vec([g, g + "/none"], s4) + vec([g, g + "/none"], s4), n=6, xid=-8)
    d.do("create what was watched", CREATE, create(g + "/none"), n=2)
    d.do("setWatches2 from now on", SETW2, i8(1 << 60) + vec([g], s4) + vec([], s4) + vec([g], s4) + vec([g + "/z"], s4) + vec([g + "/y"], s4),
         xid=-8)
    c.do("set by another", SET, s4(g) + buf(b"9") + i4(-1))
    d.wait_event("hears of it")
    c.do("create by another", CREATE, create(g + "/y"))
    d.wait_event("hears of it by the child watch or the recursive one")
    d.wait_event("and by the other")
    c.do("children of a node that nobody may read", CREATE, create(g + "/sec", rights=[(8, "world", "anyone")]))
    c.do("exists is not allowed, so it arms nothing", EXISTS, s4(g + "/sec") + b1(True))
    c.do("delete it", DELETE, s4(g + "/sec") + i4(-1))
    c.do("exists of what will be secret", EXISTS, s4(g + "/sec") + b1(True))
    c.do("create it: no event, who may not read is not told", CREATE, create(g + "/sec", rights=[(8, "world", "anyone")]))


def rights(c, d):
    g = "/r"
    c.do("create", CREATE, create(g))
    for v in ([(31, "world", "nobody")], [(31, "nosuch", "x")], [(31, None, "x")], [(31, "digest", "noparts")], [(31, "digest", "a:b:c")],
              [(31, "ip", "nonsense")], [(31, "ip", "10.0.0.0/33")], [(31, "ip", "10.0.0.0/8")], [(31, "ip", "::1/64")], [(31, "ip", "1:2::3::4")],
              [(31, "sasl", "x")], [(31, "x509", "CN=x")], [(31, "auth", "")], [(31, "super", "x")], [(0, "world", "anyone")]):
        c.do("create rights %s" % v, CREATE, create(g + "/v-", rights=v, flags=2))
    c.auth("digest", b"bob:pw")
    c.auth("digest", b"bob:pw")
    c.auth("ip", b"")
    c.do("whoAmI", WHO)
    c.do("create for auth", CREATE, create(g + "/priv", b"p", [(31, "auth", "")]))
    c.do("getACL", GETACL, s4(g + "/priv"))
    d.do("get by another", GET, s4(g + "/priv") + b1(False))
    d.do("exists by another", EXISTS, s4(g + "/priv") + b1(False))
    d.do("children by another", CHILDREN, s4(g + "/priv") + b1(False))
    d.do("getACL by another", GETACL, s4(g + "/priv"))
    d.do("set by another", SET, s4(g + "/priv") + buf(b"") + i4(-1))
    d.do("setACL by another", SETACL, s4(g + "/priv") + acl(OPEN) + i4(-1))
    d.do("create below by another", CREATE, create(g + "/priv/x"))
    d.do("delete by another: the parent's rights count", MULTI, head(CHECK) + s4(g + "/priv") + i4(0) + END)
    d.do("getAllChildrenNumber by another", COUNT, s4(g + "/priv"))
    c.do("readable by all", SETACL, s4(g + "/priv") + acl([(31, "digest", digest("bob:pw")), (1, "world", "anyone")]) + i4(-1))
    d.do("getACL by another: masked", GETACL, s4(g + "/priv"))
    c.do("twice the same right", SETACL, s4(g + "/priv") + acl([(31, "auth", "x"), (31, "auth", "x"), (1, "world", "anyone")]) + i4(-1))
    c.do("getACL", GETACL, s4(g + "/priv"))
    c.do("for one address", CREATE, create(g + "/ip", b"", [(1, "ip", "127.0.0.0/8"), (16, "ip", "127.0.0.1")]))
    d.do("get", GET, s4(g + "/ip") + b1(False))
    d.do("set", SET, s4(g + "/ip") + buf(b"") + i4(-1))
    d.do("getACL", GETACL, s4(g + "/ip"))
    d.do("delete what another owns", DELETE, s4(g + "/priv") + i4(-1))
    c.do("check without READ", CREATE, create(g + "/blind", b"", [(6, "world", "anyone")]))
    c.do("multi", MULTI, head(CHECK) + s4(g + "/blind") + i4(0) + END)
    c.do("rights of the order of checks: no parent first", CREATE, create("/nope/x", rights=[(31, "nosuch", "x")]))
    c.do("rights of the order of checks: CREATE before the path", CREATE, create(g + "/priv//x"))


def sessions(run, c, d):
    d.do("closeSession", CLOSE, n=2)
    e = Conn(run, "e")
    e.do("ephemeral", CREATE, create("/g/gone", flags=1))
    e.close()
    f = Conn(run, "f re-attach", sid=e.sid, pw=e.pw)
    f.do("getEphemerals", EPHEMERALS, s4("/"))
    f.do("children watched by c is armed", EXISTS, s4("/g/gone") + b1(False))
    c.do("watch it", EXISTS, s4("/g/gone") + b1(True))
    f.do("closeSession", CLOSE, n=2)
    c.wait_event("its ephemeral is gone")
    Conn(run, "expired", sid=e.sid, pw=e.pw)
    Conn(run, "wrong password", sid=c.sid, pw=b"\1" * 16)
    Conn(run, "short password", sid=c.sid, pw=b"\1" * 3)
    Conn(run, "zxid ahead", zxid=1 << 60)
    Conn(run, "old client without read-only", ro=b"")
    Conn(run, "timeout 1", timeout=1)
    Conn(run, "timeout huge", timeout=10 ** 8)
    Conn(run, "read-only client", ro=b"\1")
    h = Conn(run, "h")
    h.do("check at the top", CHECK, s4("/g") + i4(-1), n=2)
    h = Conn(run, "h")
    h.do("an unknown request", 999, n=2)
    h = Conn(run, "h")
    h.auth("nosuch", b"x", n=2)
    h = Conn(run, "h")
    h.auth("world", b"x", n=2)
    h = Conn(run, "h")
    h.auth("sasl", b"x", n=2)
    h = Conn(run, "h")
    h.k.sendall(i4(0x7fffffff))
    h.answers(0)
    h = Conn(run, "h")
    h.k.sendall(i4(-5))
    h.answers(0)
    # many requests in one packet: answers in order, each read sees the writes before it
    h = Conn(run, "h")
    for i in range(3):
        h.send(CREATE, create("/g/pipe%d" % i))
        h.send(EXISTS, s4("/g/pipe%d" % i) + b1(False))
        h.send(DELETE, s4("/g/pipe%d" % i) + i4(-1))
        h.send(EXISTS, s4("/g/pipe%d" % i) + b1(False))
    for i in range(3):
        for op in (CREATE, EXISTS, DELETE, EXISTS):
            h.answers(op)


def sasl_answer(challenge, user, password, realm="zk-sasl-md5"):
    fields = dict(x.split("=", 1) for x in challenge.decode().split(","))
    nonce, cnonce, uri = fields["nonce"].strip('"'), "abcdef", "zookeeper/zk-sasl-md5"

    def h(b):
        return hashlib.md5(b).digest()
    a1 = h(("%s:%s:%s" % (user, realm, password)).encode()) + (":%s:%s" % (nonce, cnonce)).encode()
    a2 = ("AUTHENTICATE:" + uri).encode()
    resp = h(("%s:%s:00000001:%s:auth:%s" % (h(a1).hex(), nonce, cnonce, h(a2).hex())).encode()).hex()
    return ('charset=utf-8,username="%s",realm="%s",nonce="%s",nc=00000001,cnonce="%s",digest-uri="%s",maxbuf=65536,response=%s,qop=auth,authzid="%s"'
            % (user, realm, nonce, cnonce, uri, resp, user)).replace(',authzid="%s"' % user, "").encode()


def sasl(run, name, user, password):
    c = Conn(run, name)
    c.run.say(name, "sasl: first step")
    c.send(SASL, buf(b""))
    b = c.frame()
    r = Reader(b)
    run.say("   zxid", r.take(12)[4:].hex(), "err", r.i4())
    token = r.buf()
    run.say("   asks for realm", b'realm="zk-sasl-md5"' in token, "algorithm", b"algorithm=md5-sess" in token, "charset", b"charset=utf-8" in token)
    c.do("sasl: second step", SASL, buf(sasl_answer(token, user, password)), n=1)
    return c


def plain(run):
    c, d = Conn(run, "c"), Conn(run, "d")
    creates(c)
    reads(c)
    writes(c)
    multis(c)
    watches(c, d)
    rights(c, d)
    sessions(run, c, d)


def extended(run):
    c, d = Conn(run, "c"), Conn(run, "d")
    creates(c)
    multis(c)
    # quotas
    q = "/zookeeper/quota/q"
    c.do("create", CREATE, create("/q", b"12345"))
    c.do("quota", CREATE, create(q))
    c.do("limits", CREATE, create(q + "/zookeeper_limits", b"count=-1,bytes=-1=;byteHardLimit=20;countHardLimit=3"))
    c.do("stats", CREATE, create(q + "/zookeeper_stats", b"count=1,bytes=5"))
    c.do("stats are counted", GET, s4(q + "/zookeeper_stats") + b1(False))
    c.do("create below", CREATE, create("/q/a", b"123"))
    c.do("stats", GET, s4(q + "/zookeeper_stats") + b1(False))
    c.do("create: too many bytes", CREATE, create("/q/b", b"x" * 13))
    c.do("create: just enough", CREATE, create("/q/b", b"x" * 12))
    c.do("create: too many nodes", CREATE, create("/q/c", None))
    c.do("set: too many bytes", SET, s4("/q/a") + buf(b"1234") + i4(-1))
    c.do("set: wrong version and too many bytes", SET, s4("/q/a") + buf(b"1234") + i4(99))
    c.do("set: fewer bytes", SET, s4("/q/a") + buf(b"1") + i4(-1))
    c.do("delete", DELETE, s4("/q/b") + i4(-1))
    c.do("stats", GET, s4(q + "/zookeeper_stats") + b1(False))
    c.do("soft limits only", SET, s4(q + "/zookeeper_limits") + buf(b"count=1,bytes=1") + i4(-1))
    c.do("create beyond them", CREATE, create("/q/b", b"x" * 100))
    c.do("stats", GET, s4(q + "/zookeeper_stats") + b1(False))
    # super
    c.do("create", CREATE, create("/s", b"", [(1, "world", "anyone")]))
    c.do("set is not allowed", SET, s4("/s") + buf(b"") + i4(-1))
    c.auth("digest", b"super:test")
    c.do("whoAmI", WHO)
    c.do("set is", SET, s4("/s") + buf(b"") + i4(-1))
    # containers and TTL nodes
    d.do("container", CONTAINER, create("/box", flags=4))
    d.do("child", CREATE, create("/box/x"))
    d.do("watch it", EXISTS, s4("/box") + b1(True))
    d.do("delete child", DELETE, s4("/box/x") + i4(-1))
    d.wait_event("the container goes by itself")
    d.do("TTL", TTL, create("/soon", flags=5) + i8(300))
    d.do("watch it", EXISTS, s4("/soon") + b1(True))
    d.wait_event("the TTL node goes by itself")
    # SASL
    e = sasl(run, "e", "bob", "secret")
    e.do("whoAmI", WHO)
    e.do("create for sasl", CREATE, create("/sasl", b"", [(31, "sasl", "bob")]))
    d.do("get by another", GET, s4("/sasl") + b1(False))
    e.do("get", GET, s4("/sasl") + b1(False))
    f = sasl(run, "f", "bob", "wrong")
    f.answers(0)
    f = sasl(run, "f", "eve", "secret")
    f.answers(0)


def wait_until_served(host, port):
    for _ in range(200):
        try:
            if Conn(Run(host, port, open("/dev/null", "w")), "probe").sid:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit("nobody serves ZooKeeper at %s:%d" % (host, port))


def main(host, port, which, out=sys.stdout):
    wait_until_served(host, port)
    {"plain": plain, "extended": extended}[which](Run(host, port, out))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
