#!/usr/bin/python3
"""words.py HOST PORT - asks a ZooKeeper all four-letter words and prints the answers; only names and their order are compared."""
import socket
import sys

for w in "conf cons crst dirs dump envi gtmk isro mntr ruok srst srvr stat wchc wchp wchs".split():
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as s:
        s.sendall(w.encode())
        out = b""
        while True:
            d = s.recv(65536)
            if not d:
                break
            out += d
    print("==", w)
    for line in out.decode().splitlines():
        if line.startswith("java.lib"):            # where Java looks for native libraries: not answered here
            continue
        for sep in ("=", "\t", ": "):
            if sep in line and w in ("conf", "envi", "mntr", "srvr", "dirs"):
                line = line.split(sep)[0] + sep.rstrip(" ") + "..."
                break
        if w not in ("cons", "dump", "stat"):      # these name connections of the recording
            print(line)
