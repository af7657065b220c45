"""Groups and committed offsets (traps 64-76)."""
import struct

ANY = "kafka-diff"


def subscription(*topics):
    """ConsumerProtocolSubscription v0."""
    return struct.pack(">hi", 0, len(topics)) + b"".join(
        struct.pack(">h", len(t)) + t.encode() for t in topics) + struct.pack(">i", -1)


def run(d):
    d.until("FindCoordinator", 0, {"key": "g"}, lambda r: r["errorCode"] == 0)
    find(d)
    joins(d)
    life(d)
    pair(d)
    static(d)
    heartbeats(d)
    commits(d)
    fetches(d)
    topic_gone(d)
    describes(d)
    deletes(d)


def find(d):
    for v in d.versions("FindCoordinator"):
        ask = lambda case, **body: d.ask(case, "FindCoordinator", v, body)	# noqa: E731
        if v < 4:
            ask("group", key="g")
            ask("empty group", key="")
            for kind in (2, 3, -1) if v >= 1 else ():
                ask(f"key type {kind} (trap 77)", key="g", keyType=kind)
        else:
            ask("group", coordinatorKeys=["g"])
            ask("two groups", coordinatorKeys=["g", "h"])
            ask("the same twice", coordinatorKeys=["g", "g"])
            ask("no keys (trap 77)", coordinatorKeys=[])
            ask("empty group", coordinatorKeys=[""])
            ask("empty and not", coordinatorKeys=["", "g"])
            for kind in (2, 3, -1):
                ask(f"key type {kind} (trap 77)", coordinatorKeys=["g"], keyType=kind)


class Group:
    """Requests of one group at fixed versions of the five membership APIs."""

    def __init__(self, d, version, name=None):
        self.d, self.v, self.name = d, version, d.unique("g") if name is None else name

    def version(self, api):
        return min(self.v, d_max(self.d, api))

    def join_body(self, member="", protocols=(("range", b"m"),), **more):
        return {"groupId": self.name, "sessionTimeoutMs": 10000, "rebalanceTimeoutMs": 10000, "memberId": member,
                "protocolType": "consumer", "protocols": [{"name": n, "metadata": m} for n, m in protocols], **more}

    def join(self, case, member="", conn=None, **more):
        return self.d.ask(case, "JoinGroup", self.version("JoinGroup"), self.join_body(member, **more), conn)

    def enter(self, **more):
        """Joins as a new member, in the one or two steps of the version (trap 64); the last answer."""
        r = self.join("first join (trap 64)", **more)
        if self.v >= 4 and "groupInstanceId" not in more:
            r = self.join("join with the id (trap 64)", r["memberId"], **more)
        return r

    def sync(self, case, generation, member, assignments=(), conn=None, **more):
        return self.d.ask(case, "SyncGroup", self.version("SyncGroup"), {
            "groupId": self.name, "generationId": generation, "memberId": member, "protocolType": "consumer",
            "protocolName": "range", "assignments": [{"memberId": m, "assignment": a} for m, a in assignments], **more}, conn)

    def beat(self, case, generation, member, **more):
        return self.d.ask(case, "Heartbeat", self.version("Heartbeat"), {
            "groupId": self.name, "generationId": generation, "memberId": member, **more})

    def leave(self, case, *members, **more):
        v = self.version("LeaveGroup")
        body = {"groupId": self.name}
        if v < 3:
            body["memberId"] = members[0]["memberId"] if members else ""
        else:
            body["members"] = list(members)
        return self.d.ask(case, "LeaveGroup", v, {**body, **more})


def d_max(d, api):
    return d.versions(api)[-1]


def joins(d):
    for v in d.versions("JoinGroup"):
        g = Group(d, v)
        g.join("unknown member of an unknown group (trap 64)", "who")
        g.join("session timeout too short (trap 65)", sessionTimeoutMs=50)
        g.join("session timeout too long (trap 65)", sessionTimeoutMs=1800001)
        g.join("session timeout -1", sessionTimeoutMs=-1)
        g.join("no protocols (trap 65)", protocols=())
        g.join("empty protocol type (trap 65)", protocolType="")
        Group(d, v, "").join("empty group id (trap 65)")
        first = g.enter()
        g.join("unknown member of a known group", "who")
        g.join("another protocol type (trap 65)", protocolType="connect")
        g.join("no common protocol (trap 65)", protocols=(("sticky", b"s"),))
        g.join("known member, no common protocol", first["memberId"], protocols=(("sticky", b"s"),))
        g.join("known member, another type", first["memberId"], protocolType="connect")
        again = g.join("leader again before sync (trap 67)", first["memberId"])
        g.join("two protocols", again["memberId"], protocols=(("range", b"m"), ("sticky", b"s")))
        if v >= 5:
            Group(d, v).join("empty instance id", groupInstanceId="")
            Group(d, v).join("instance id with a bad character", groupInstanceId="a b")
            Group(d, v).join("long instance id", groupInstanceId="i" * 250)
        if v >= 8:
            g.join("reason", first["memberId"], reason="because")


def life(d):
    for v in d.versions("JoinGroup"):
        g = Group(d, v)
        r = g.enter()
        m = r["memberId"]
        g.beat("before sync (trap 69)", 1, m)
        g.sync("wrong generation (trap 68)", 7, m)
        g.sync("unknown member (trap 68)", 1, "who")
        if v >= 5:
            g.sync("wrong protocol name (trap 68)", 1, m, protocolName="sticky")
            g.sync("wrong protocol type (trap 68)", 1, m, protocolType="connect")
            g.sync("null protocol", 1, m, protocolName=None, protocolType=None)
        g.sync("leader (trap 68)", 1, m, [(m, b"assigned")])
        g.sync("again in Stable", 1, m)
        g.sync("again with another assignment", 1, m, [(m, b"other")])
        g.beat("stable", 1, m)
        g.beat("wrong generation (trap 69)", 3, m)
        g.beat("generation -1", -1, m)
        g.beat("unknown member (trap 69)", 1, "who")
        g.beat("empty member", 1, "")
        g.join("leader again in Stable rebalances (trap 67)", m)
        g.beat("after the rebalance, old generation", 1, m)
        g.sync("second generation", 2, m, [(m, b"second")])
        g.leave("unknown member (trap 71)", {"memberId": "who"})
        g.leave("leaves", {"memberId": m})
        g.leave("leaves again", {"memberId": m})
        g.beat("after it left", 2, m)
        g.sync("after it left", 2, m)
        if v >= 3:
            g.leave("nobody")
        Group(d, v, "never-was").leave("unknown group", {"memberId": "who"})
        Group(d, v, "").leave("empty group", {"memberId": "who"})
        Group(d, v, "never-was").beat("unknown group", 1, "who")
        Group(d, v, "").beat("empty group", 1, "who")
        Group(d, v, "never-was").sync("unknown group", 1, "who")
        Group(d, v, "").sync("empty group", 1, "who")
        g.enter()


def pair(d):
    """Two members, so that one waits for the other (traps 66-69)."""
    for v in (0, 3, 5, 9):
        g = Group(d, v)
        one, two = d.connect(), d.connect()
        a = g.enter()["memberId"]
        g.sync("first alone", 1, a, [(a, b"all")])
        if v >= 4:
            b = g.join("second, gets its id (trap 64)", conn=two)["memberId"]
        else:
            b = ""
        h2 = d.send("JoinGroup", v, g.join_body(b, (("range", b"two"), ("sticky", b"s"))), two)
        until_rebalance(d, g, 1, a)
        g.sync("sync while it rebalances (trap 68)", 1, a)
        h1 = d.send("JoinGroup", v, g.join_body(a), one)
        d.read("leader, two members (trap 67)", h1)
        b = d.read("follower, two members (trap 67)", h2)["memberId"]
        g.beat("while it completes (trap 69)", 2, a)
        hb = d.send("SyncGroup", g.version("SyncGroup"), {"groupId": g.name, "generationId": 2, "memberId": b,
                    "protocolType": "consumer", "protocolName": "range", "assignments": []}, two)
        g.sync("leader with two", 2, a, [(a, b"for a"), (b, b"for b")], one)
        d.read("follower waits for the leader (trap 68)", hb)
        g.join("follower again in Stable: same generation (trap 67)", b, two, protocols=(("range", b"two"), ("sticky", b"s")))
        g.sync("follower again", 2, b)
        describe(d, g.name, "two members")
        g.leave("follower leaves", {"memberId": b})
        g.beat("after a leave: rebalance (trap 69)", 2, a)
        g.join("third generation", a)
        g.sync("not in the assignment: empty (trap 68)", 3, a, [("who", b"x")])
        g.leave("leader leaves", {"memberId": a})
        describe(d, g.name, "empty again")
        for c in one + two:
            c.close()


def until_rebalance(d, g, generation, member):
    d.until("Heartbeat", 0, {"groupId": g.name, "generationId": generation, "memberId": member},
            lambda r: r["errorCode"] == 27, what="rebalance")


def static(d):
    for v in d.versions("JoinGroup", 5):
        g = Group(d, v)
        first = g.enter(groupInstanceId="i1")
        m = first["memberId"]
        g.sync("static", 1, m, [(m, b"mine")], groupInstanceId="i1")
        g.beat("static", 1, m, groupInstanceId="i1")
        g.beat("another instance (trap 69)", 1, m, groupInstanceId="i2")
        g.beat("wrong member of an instance (trap 69)", 1, "who", groupInstanceId="i1")
        g.join("wrong member of an instance (trap 70)", "who", groupInstanceId="i1")
        g.join("known member, unknown instance", m, groupInstanceId="i9")
        again = g.join("the same instance anew: same generation, new id (trap 70)", groupInstanceId="i1")
        n = again["memberId"]
        g.beat("the old id is fenced (trap 70)", 1, m, groupInstanceId="i1")
        g.sync("the old id is fenced (trap 70)", 1, m, groupInstanceId="i1")
        g.beat("the new id", 1, n, groupInstanceId="i1")
        g.sync("the new id gets the assignment (trap 70)", 1, n, groupInstanceId="i1")
        g.join("other protocols: rebalance (trap 70)", groupInstanceId="i1", protocols=(("range", b"x"), ("sticky", b"y")))
        describe(d, g.name, "static member")
        g.leave("wrong member of an instance (trap 71)", {"memberId": "who", "groupInstanceId": "i1"})
        g.leave("unknown instance (trap 71)", {"memberId": "", "groupInstanceId": "i7"})
        g.leave("by instance only (trap 70)", {"memberId": "", "groupInstanceId": "i1"})
        g.leave("two, both unknown", {"memberId": "", "groupInstanceId": "i1"}, {"memberId": "who"})


def heartbeats(d):
    for v in d.versions("Heartbeat"):
        g = Group(d, v)
        m = g.enter()["memberId"]
        g.sync("joined", 1, m, [(m, b"a")])
        g.beat("stable", 1, m)
        g.beat("generation 0", 0, m)
        g.beat("generation 2", 2, m)


def commits(d):
    t = d.topic(2)
    ident = d.id_of(t)
    for v in d.versions("OffsetCommit"):
        def entry(name, parts):
            e = {"partitions": [{"partitionIndex": p, "committedOffset": o, "committedMetadata": m} for p, o, m in parts]}
            return {"topicId": ident if name == t else name, **e} if v >= 10 else {"name": name, **e}

        def ask(case, group, generation=-1, member="", *, topic=t, parts=((0, 5, "m"),), **more):
            return d.ask(case, "OffsetCommit", v, {"groupId": group, "generationIdOrMemberEpoch": generation, "memberId": member,
                                                   "topics": [entry(topic, parts)], **more})
        simple = d.unique("simple")
        ask("simple group (trap 72)", simple)
        ask("again", simple, parts=((0, 6, ""), (1, 7, None)))
        ask("offset -1", simple, parts=((0, -1, ""),))
        ask("offset -5", simple, parts=((0, -5, ""),))
        ask("offset beyond the log", simple, parts=((0, 1 << 50, ""),))
        ask("metadata of 4096", simple, parts=((0, 1, "m" * 4096),))
        ask("metadata too long (trap 72)", simple, parts=((0, 1, "m" * 4097), (1, 1, "ok")))
        ask("unknown partition (trap 72)", simple, parts=((9, 1, ""), (0, 2, "")))
        ask("partition -1", simple, parts=((-1, 1, ""),))
        ask("partition twice", simple, parts=((0, 1, ""), (0, 2, "")))
        ask("no partitions", simple, parts=())
        d.ask("nothing", "OffsetCommit", v, {"groupId": simple, "topics": []})
        ask("unknown topic (trap 72)", simple, topic="not-there" if v < 10 else "u" * 21 + "g")
        if v < 10:
            ask("invalid topic", simple, topic="a b")
            ask("empty topic", simple, topic="")
        else:
            ask("zero topic id", simple, topic="AAAAAAAAAAAAAAAAAAAAAA")
        d.ask("good and unknown topic", "OffsetCommit", v, {"groupId": simple, "topics": [
            entry(t, [(0, 3, "")]), entry("not-there" if v < 10 else "u" * 21 + "g", [(0, 1, "")])]})
        ask("empty group", "")
        ask("unknown group with a generation (trap 72)", d.unique("none"), 4, "who")
        ask("unknown group, member without generation", d.unique("none"), -1, "who")
        ask("simple group with a generation", simple, 0, "who")
        ask("simple group, generation 0 no member", simple, 0, "")
        if v >= 6:
            pass
        if 2 <= v <= 4:
            ask("retention (trap 74)", simple, retentionTimeMs=1000000)
        g = Group(d, 3)
        m = g.enter()["memberId"]
        ask("while it completes the rebalance (trap 72)", g.name, 1, m)
        g.sync("joined", 1, m, [(m, b"a")])
        ask("member", g.name, 1, m)
        ask("wrong generation (trap 72)", g.name, 5, m)
        ask("generation -1 with members (trap 72)", g.name)
        ask("generation -1 as a member", g.name, -1, m)
        ask("unknown member", g.name, 1, "who")
        if v >= 7:
            ask("instance that is none", g.name, 1, m, groupInstanceId="i1")
            s = Group(d, 5)
            sm = s.enter(groupInstanceId="i1")["memberId"]
            s.sync("static", 1, sm, [(sm, b"a")], groupInstanceId="i1")
            ask("static member", s.name, 1, sm, groupInstanceId="i1")
            ask("wrong member of an instance (trap 70)", s.name, 1, "who", groupInstanceId="i1")
        g.leave("left", {"memberId": m})
        ask("empty group of a protocol, no generation", g.name)
        ask("empty group, old member", g.name, 1, m)


def topic_gone(d):
    """Trap 80: a deleted topic takes its committed offsets along."""
    t, group = d.topic(), d.unique("gone")
    body = {"groupId": group, "topics": [{"name": t, "partitionIndexes": [0]}]}
    d.ask("before the delete (trap 80)", "OffsetCommit", 8, {"groupId": group, "generationIdOrMemberEpoch": -1, "topics": [
        {"name": t, "partitions": [{"partitionIndex": 0, "committedOffset": 5}]}]})
    d.ask("before the delete (trap 80)", "OffsetFetch", 7, body)
    d.ask("", "DeleteTopics", 5, {"topicNames": [t], "timeoutMs": 10000}, quiet=True)
    d.until("OffsetFetch", 7, body, lambda r: r["topics"][0]["partitions"][0]["committedOffset"] == -1, what="offset gone")
    d.ask("after the delete (trap 80)", "OffsetFetch", 7, body)
    d.ask("all after the delete (trap 80)", "OffsetFetch", 7, {"groupId": group, "topics": None})


def fetches(d):
    t = d.topic(3)
    ident = d.id_of(t)
    group, none = d.unique("of"), d.unique("none")
    d.ask("to be fetched", "OffsetCommit", 8, {"groupId": group, "generationIdOrMemberEpoch": -1, "topics": [{"name": t, "partitions": [
        {"partitionIndex": 0, "committedOffset": 5, "committedMetadata": "meta", "committedLeaderEpoch": 0},
        {"partitionIndex": 1, "committedOffset": 6, "committedMetadata": None}]}]})
    for v in d.versions("OffsetFetch"):
        def entry(name, parts):
            e = {"partitionIndexes": list(parts)}
            return {"topicId": ident if name == t else "u" * 21 + "g", **e} if v >= 10 else {"name": name, **e}

        def ask(case, group, topics, **more):
            """topics: None or [(name, partitions)]."""
            entries = None if topics is None else [entry(*x) for x in topics]
            if v < 8:
                body = {"groupId": group, "topics": entries}
            else:
                body = {"groups": [{"groupId": group, "topics": entries, **{k: more.pop(k) for k in ("memberId", "memberEpoch")
                                                                            if k in more}}]}
            return d.ask(case, "OffsetFetch", v, {**body, **more})
        ask("committed (trap 73)", group, [(t, (0, 1))])
        ask("committed and not (trap 73)", group, [(t, (0, 2, 9))])
        ask("partition -1", group, [(t, (-1,))])
        ask("partition twice", group, [(t, (0, 0))])
        ask("unknown topic (trap 73)", group, [("not-there", (0,))])
        ask("known and unknown topic", group, [(t, (0,)), ("not-there", (0,))])
        ask("unknown group (trap 73)", none, [(t, (0,))])
        ask("empty group", "", [(t, (0,))])
        ask("no topics", group, [])
        ask("no partitions", group, [(t, ())])
        if v >= 2:
            ask("all (trap 73)", group, None)
            ask("all of an unknown group (trap 73)", none, None)
        if v >= 7:
            ask("stable (trap 73)", group, [(t, (0,))], requireStable=True)
        if v >= 8:
            d.ask("three groups (trap 73)", "OffsetFetch", v, {"groups": [
                {"groupId": group, "topics": [entry(t, (0,))]}, {"groupId": none, "topics": None},
                {"groupId": "", "topics": None}]})
            d.ask("the same group twice", "OffsetFetch", v, {"groups": [
                {"groupId": group, "topics": [entry(t, (0,))]}, {"groupId": group, "topics": None}]})
            d.ask("no groups", "OffsetFetch", v, {"groups": []})
        if v >= 9:
            ask("with a member id (trap 73)", group, [(t, (0,))], memberId="who", memberEpoch=1)
            ask("unknown group with a member id (trap 73)", none, [(t, (0,))], memberId="who", memberEpoch=1)
        if v >= 10:
            d.ask("zero topic id", "OffsetFetch", v, {"groups": [{"groupId": group, "topics": [
                {"topicId": "AAAAAAAAAAAAAAAAAAAAAA", "partitionIndexes": [0]}]}]})
            d.ask("unknown topic id", "OffsetFetch", v, {"groups": [{"groupId": group, "topics": [
                {"topicId": "u" * 21 + "g", "partitionIndexes": [0, 1]}]}]})


def describe(d, name, case):
    d.ask(case, "DescribeGroups", 5, {"groups": [name]})


def describes(d):
    g = Group(d, 3)
    m = g.enter()["memberId"]
    g.sync("for describe", 1, m, [(m, b"a")])
    half = Group(d, 3)
    half.enter()
    for v in d.versions("DescribeGroups"):
        ask = lambda case, *groups, **more: d.ask(case, "DescribeGroups", v, {"groups": list(groups), **more})	# noqa: E731
        ask("stable (trap 76)", g.name)
        ask("completing (trap 76)", half.name)
        ask("unknown (trap 76)", "never-was")
        ask("empty id", "")
        ask("two", g.name, "never-was")
        ask("the same twice", g.name, g.name)
        ask("none")
        if v >= 3:
            ask("authorized operations", g.name, includeAuthorizedOperations=True)
            ask("authorized operations of an unknown group", "never-was", includeAuthorizedOperations=True)
    for v in d.versions("ListGroups"):
        ask = lambda case, **more: d.ask(case, "ListGroups", v, more)	# noqa: E731
        ask("all (trap 76)")
        if v >= 4:
            for states in (["Stable"], ["stable"], ["Empty", "CompletingRebalance"], ["PreparingRebalance"], ["Dead"],
                           ["NoSuch"], ["Assigning"], [""]):
                ask(f"states {states} (trap 76)", statesFilter=states)
        if v >= 5:
            for types in (["classic"], ["Classic"], ["consumer"], ["classic", "consumer"], ["NoSuch"], ["share"], [""]):
                ask(f"types {types} (trap 76)", typesFilter=types)
            ask("state and type", statesFilter=["Stable"], typesFilter=["classic"])
    g.leave("described", {"memberId": m})


def deletes(d):
    t = d.topic(2)
    for v in d.versions("DeleteGroups"):
        ask = lambda case, *names: d.ask(case, "DeleteGroups", v, {"groupsNames": list(names)})	# noqa: E731
        g = Group(d, 3)
        m = g.enter()["memberId"]
        ask("with a member (trap 75)", g.name)
        ask("unknown (trap 75)", "never-was")
        ask("empty id (trap 75)", "")
        ask("none")
        g.leave("leaves", {"memberId": m})
        simple = d.unique("del")
        d.ask("", "OffsetCommit", 8, {"groupId": simple, "generationIdOrMemberEpoch": -1, "topics": [{"name": t, "partitions": [
            {"partitionIndex": 0, "committedOffset": 5}]}]}, quiet=True)
        ask("two and an unknown one", g.name, simple, "never-was")
        ask("again", g.name)
        ask("the same twice", "never-was", "never-was")
        d.ask("after the delete", "OffsetFetch", 7, {"groupId": simple, "topics": [{"name": t, "partitionIndexes": [0]}]})
        d.ask("after the delete", "DescribeGroups", 5, {"groups": [g.name, simple]})
    offset_delete(d, t)


def offset_delete(d, t):
    if not d.serves("OffsetDelete"):
        return

    def ask(case, group, topics):
        d.ask(case, "OffsetDelete", 0, {"groupId": group, "topics": [
            {"name": n, "partitions": [{"partitionIndex": p} for p in parts]} for n, parts in topics]})
    ask("unknown group (trap 75)", "never-was", [(t, [0])])
    ask("empty group id", "", [(t, [0])])
    other = d.topic(2)
    g = Group(d, 3)
    m = g.enter(protocols=(("range", subscription(t)),))["memberId"]
    g.sync("subscribed", 1, m, [(m, b"")])
    for n in (t, other):
        d.ask("of a member", "OffsetCommit", 8, {"groupId": g.name, "generationIdOrMemberEpoch": 1, "memberId": m, "topics": [
            {"name": n, "partitions": [{"partitionIndex": p, "committedOffset": 5} for p in (0, 1)]}]})
    ask("subscribed topic (trap 75)", g.name, [(t, [0])])
    ask("topic that nobody subscribes (trap 75)", g.name, [(other, [0])])
    ask("both (trap 75)", g.name, [(t, [0]), (other, [1])])
    ask("unknown topic", g.name, [("not-there", [0])])
    ask("unknown partition", g.name, [(other, [9])])
    ask("nothing", g.name, [])
    d.ask("what is left", "OffsetFetch", 7, {"groupId": g.name, "topics": None})
    g.leave("leaves", {"memberId": m})
    ask("empty group (trap 75)", g.name, [(t, [0])])
    c = Group(d, 3)
    n = c.enter(protocolType="connect")["memberId"]
    ask("group of another protocol with members (trap 75)", c.name, [(t, [0])])
    c.leave("leaves", {"memberId": n})
