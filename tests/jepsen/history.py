"""What clients saw of a quorum, and whether it can have been one tree.

Keys are nodes that only these clients write. Every value is written once. A write that was answered tells its version and
zxid, a read (sync and getData, so that it must be as fresh as any answer before it) tells value, version and zxid: versions
order the writes of a key, so a history is linearizable exactly when these hold:

  H1  a version of a key has one value and one zxid; later versions have later zxids
  H2  a value that was read was written, before the read ended, and is the one of that version
  H3  no key is ever gone; who begins after an answer sees its version or a later one; its write gets a later one
  H4  a conditional write that was answered well follows the version that it named at once; one that was refused had a
      moment at which that was not the version
  H5  two keys written in one multi have one zxid, and who reads both at once sees both or neither
  H6  a session sees its own ephemeral node as long as it lives; nobody sees it once all have ended
"""
import bisect
import collections
import threading


class Op:
    __slots__ = ("kind", "client", "begin", "end", "key", "value", "version", "zxid", "want", "done", "other", "note")

    def __init__(self, kind, client, begin, key=None, value=None, want=None):
        self.kind, self.client, self.begin, self.key, self.value, self.want = kind, client, begin, key, value, want
        self.end = None                 # None: never answered
        self.done = None                # True, False: refused, None: unknown
        self.version = self.zxid = self.other = self.note = None

    def __repr__(self):
        return (f"{self.kind} of {self.key} by client {self.client} [{self.begin:.6f}, "
                f"{'-' if self.end is None else format(self.end, '.6f')}] value {self.value} version {self.version} "
                f"zxid {self.zxid} {'' if self.want is None else f'wanted version {self.want} '}"
                f"{ {True: 'done', False: 'refused', None: 'unknown'}[self.done]}")


class History:
    def __init__(self):
        self.lock = threading.Lock()
        self.ops = []

    def add(self, op):
        with self.lock:
            self.ops.append(op)


def check(ops):
    """What is wrong, as lines that begin with the number of the rule; empty: nothing."""
    wrong = []
    keys = collections.defaultdict(list)
    for op in ops:
        if op.key is not None:
            keys[op.key].append(op)
    tables = {key: check_key(key, of, wrong) for key, of in keys.items()}
    check_pairs([op for op in ops if op.kind == "read two"], tables, wrong)
    for op in ops:
        if op.kind in ("own ephemeral", "ephemerals at the end") and op.done is False:
            wrong.append(f"H6 {op.kind}: client {op.client}: {op.note}")
    return wrong


def check_key(key, ops, wrong):
    """{version: (value, zxid)} of the key."""
    written = {op.value: op for op in ops if op.kind in ("write", "compare") and op.value is not None}
    table = {}
    for op in ops:
        if op.kind == "read" and op.done is False:
            wrong.append(f"H3 {key}: {op.note}: {op}")
        if op.done is not True or op.version is None:
            continue
        seen = table.setdefault(op.version, (op.value, op.zxid))
        if seen != (op.value, op.zxid):
            wrong.append(f"H1 {key}: version {op.version} is {seen} and {(op.value, op.zxid)}: {op}")
        if op.kind == "read" and op.value != "first":
            w = written.get(op.value)
            if w is None or w.begin > op.end:
                wrong.append(f"H2 {key}: nobody wrote what is read: {op}")
            elif w.done is False:
                wrong.append(f"H2 {key}: what was refused is read: {op}; {w}")
        if op.kind == "compare" and op.version != op.want + 1:
            wrong.append(f"H4 {key}: it followed another version: {op}")
    order = sorted(table)
    for a, b in zip(order, order[1:]):
        if table[a][1] >= table[b][1]:
            wrong.append(f"H1 {key}: version {a} has zxid {table[a][1]}, version {b} {table[b][1]}")
    check_time(key, [op for op in ops if op.done is True and op.version is not None], wrong)
    check_refused(key, ops, wrong)
    return table


def check_time(key, done, wrong):
    """H3: by the ends of the answers before."""
    ends = sorted(done, key=lambda op: op.end)
    times, most, best = [], [], None
    for op in ends:
        if best is None or op.version > best.version:
            best = op
        times.append(op.end)
        most.append(best)
    for op in done:
        i = bisect.bisect_left(times, op.begin) - 1
        if i < 0:
            continue
        before = most[i]
        if op.version < before.version or (op.kind != "read" and op.version == before.version):
            wrong.append(f"H3 {key}: {op}\n    after {before}")


def check_refused(key, ops, wrong):
    writes = {op.version: op for op in ops if op.kind in ("write", "compare") and op.done is True}
    for op in ops:
        if op.kind != "compare" or op.done is not False:
            continue
        made, after = writes.get(op.want), writes.get(op.want + 1)
        if made and made.end < op.begin and after and after.begin > op.end:
            wrong.append(f"H4 {key}: refused, though that was the version all the time: {op}; {made}; {after}")


def check_pairs(reads, tables, wrong):
    for op in reads:
        if op.done is not True:
            continue
        snapshot = max(zxid for _, _, _, zxid in op.other)
        for key, value, version, zxid in op.other:
            later = tables.get(key, {}).get(version + 1)
            if later and later[1] <= snapshot:
                wrong.append(f"H5 {key}: version {version} beside zxid {snapshot}, but zxid {later[1]} had changed it: {op.other}")


def planted(ops):
    """A copy of the history for each rule, with a mistake that only this rule can find: (rule, ops)."""
    import copy

    def fresh():
        return [copy.copy(op) for op in ops]
    for rule in ("H1", "H2", "H3", "H4", "H5", "H6"):
        v = fresh()
        reads = [op for op in v if op.kind == "read" and op.done and op.value != "first"]
        if rule == "H1":
            reads[len(reads) // 2].zxid += 1
        elif rule == "H2":
            reads[len(reads) // 2].value = "never written"
        elif rule == "H3":
            a, b = next((a, b) for a, b in zip(reads, reads[1:]) if a.key == b.key and a.end < b.begin and a.version < b.version)
            b.value, b.version, b.zxid, a.value, a.version, a.zxid = a.value, a.version, a.zxid, b.value, b.version, b.zxid
        elif rule == "H4":
            op = next(op for op in v if op.kind == "compare" and op.done)
            op.want -= 1
        elif rule == "H5":
            before = {(op.key, op.version): op for op in v if op.done and op.version is not None}
            op, old = next((op, before[op.other[0][0], op.other[0][2] - 1]) for op in v if op.kind == "read two" and op.done
                           and op.other[0][3] == op.other[1][3] and (op.other[0][0], op.other[0][2] - 1) in before
                           and (op.other[0][0], op.other[0][2]) in before)
            op.other = [(old.key, old.value, old.version, old.zxid), op.other[1]]
        else:
            v.append(Op("own ephemeral", 0, 0))
            v[-1].done, v[-1].note = False, "planted"
        yield rule, v
