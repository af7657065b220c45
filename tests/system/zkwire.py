"""What all that speaks to a ZooKeeper port shares: four-letter words, a bare connection, and Debian's ZooKeeper itself."""
import os
import shutil
import socket
import struct

JARS = "/usr/share/java"
NETTY = ("buffer", "codec", "common", "handler", "resolver", "transport", "transport-native-unix-common",
         "transport-native-epoll")


def word(host, port, text, seconds=5):
    """The answer to a four-letter word; "" when there is none."""
    try:
        with socket.create_connection((host, port), seconds) as s:
            s.settimeout(seconds)
            s.sendall(text.encode())
            data = b""
            while got := s.recv(65536):
                data += got
            return data.decode()
    except OSError:
        return ""


class Wire:
    """A connection: the handshake, then frames. session 0 opens a session; after it session 0 tells that there is none."""

    def __init__(self, host, port, session, password, timeout_ms, seen=0, dial=10, answer=20):
        self.s = socket.create_connection((host, port), dial)
        self.s.settimeout(answer)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data, self.closed = b"", False
        body = struct.pack(">iqiqi", 0, seen, timeout_ms, session, len(password)) + password + b"\0"
        self.s.sendall(struct.pack(">i", len(body)) + body)
        f = self.frame()
        if f is None:
            raise ConnectionError("closed in the handshake")
        _, self.timeout, self.session, n = struct.unpack_from(">iiqi", f)
        self.password = f[20:20 + n]

    def frame(self):
        """None: the server closed the connection."""
        while not self.closed:
            if len(self.data) >= 4:
                n = struct.unpack_from(">i", self.data)[0]
                if len(self.data) >= 4 + n:
                    f, self.data = self.data[4:4 + n], self.data[4 + n:]
                    return f
            try:
                got = self.s.recv(262144)
            except ConnectionResetError:
                got = b""
            self.closed = not got
            self.data += got
        return None

    def close(self):
        self.s.close()
        self.closed = True


def debian_jars():
    """Debian's netty-all.jar is empty, so its parts are named."""
    return ":".join([f"{JARS}/zookeeper.jar", f"{JARS}/slf4j-nop.jar", *(f"{JARS}/netty-{m}.jar" for m in NETTY)])


def missing(jars):
    """Why no ZooKeeper can be started, or None."""
    if not os.path.exists(jars.split(":")[0]):
        return "there is no ZooKeeper (Debian package zookeeper)"
    return None if shutil.which("java") else "there is no java (Debian package default-jre-headless)"


def zookeeper(jars, config, lines, properties=()):
    """Writes the settings to the file; the command that runs a ZooKeeper with them."""
    with open(config, "w") as f:
        f.write("tickTime=2000\nmaxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n" +
                "".join(line + "\n" for line in lines))
    return ["java", "-Xmx1000m", "-cp", jars, "-Dzookeeper.admin.enableServer=false", *("-D" + p for p in properties),
            "org.apache.zookeeper.server.quorum.QuorumPeerMain", config]
