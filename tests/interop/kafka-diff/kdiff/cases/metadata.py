"""Metadata, DescribeCluster (traps 18-24)."""


def run(d):
    d.until("FindCoordinator", 0, {"key": "g"}, lambda r: r["errorCode"] == 0)
    t = d.topic(3)
    t2 = d.topic(1)
    ident, no_id = d.id_of(t), "AAAAAAAAAAAAAAAAAAAAAA"
    unknown_id = "u" * 21 + "g"
    names = lambda *all: [{"name": n} for n in all]		# noqa: E731
    for v in d.versions("Metadata"):
        ask = lambda case, body: d.ask(case, "Metadata", v, body)	# noqa: E731
        if v >= 1:
            ask("no topics (trap 18)", {"topics": []})
            ask("null topics are all (trap 18)", {"topics": None})
        else:
            ask("no topics are all (trap 18)", {"topics": []})
        ask("one", {"topics": names(t), "allowAutoTopicCreation": False})
        ask("two", {"topics": names(t, t2), "allowAutoTopicCreation": False})
        ask("the same twice", {"topics": names(t, t), "allowAutoTopicCreation": False})
        ask("an internal topic (trap 26)", {"topics": names("__consumer_offsets"), "allowAutoTopicCreation": False})
        if v >= 4:
            ask("unknown", {"topics": names("not-there"), "allowAutoTopicCreation": False})
            ask("unknown beside known", {"topics": names("not-there", t), "allowAutoTopicCreation": False})
        for bad in ("with space", "", ".", "..", "a" * 250, "sl/ash", "caf\u00e9"):
            if v >= 4:
                ask(f"invalid name {bad[:12]!r} (trap 24)", {"topics": names(bad), "allowAutoTopicCreation": False})
            ask(f"invalid name {bad[:12]!r} with auto creation (trap 24)", {"topics": names(bad)})
        if v >= 4:
            ask("249 characters", {"topics": names("a" * 249), "allowAutoTopicCreation": False})
        if 8 <= v <= 10:
            ask("authorized operations", {"topics": names(t), "includeClusterAuthorizedOperations": True,
                                          "includeTopicAuthorizedOperations": True})
        if v >= 8:
            ask("authorized operations of topics", {"topics": names(t, t2), "includeTopicAuthorizedOperations": True})
            ask("authorized operations of an unknown topic", {"topics": names("not-there"), "allowAutoTopicCreation": False,
                                                              "includeTopicAuthorizedOperations": True})
        if v >= 10:
            ask("by id (trap 23)", {"topics": [{"topicId": ident, "name": None}]})
            ask("by id and name (trap 23)", {"topics": [{"topicId": ident, "name": t}]})
            ask("unknown id (trap 23)", {"topics": [{"topicId": unknown_id, "name": None}]})
            ask("unknown id with a name (trap 23)", {"topics": [{"topicId": unknown_id, "name": t}]})
            ask("null name, zero id (trap 23)", {"topics": [{"topicId": no_id, "name": None}]})
            ask("authorized operations of an unknown id", {"topics": [{"topicId": unknown_id, "name": None}],
                                                           "includeTopicAuthorizedOperations": True})
            ask("one by id, one by name (trap 23)", {"topics": [{"topicId": ident, "name": None}, {"name": t2}]})
            ask("the same id twice", {"topics": [{"topicId": ident, "name": None}] * 2})
            ask("known and unknown ids", {"topics": [{"topicId": ident, "name": None}, {"topicId": unknown_id, "name": None}]})
        if v >= 9:
            ask("unknown tags (trap 17)", {"topics": [{"name": t, "_tags": {"5": "ff"}}], "_tags": {"9": ""}})
    auto_create(d)
    cluster(d)
    deleted(d)


def auto_create(d):
    for v in d.versions("Metadata"):
        name = d.unique("auto")
        d.ask("auto creation (trap 21)", "Metadata", v, {"topics": [{"name": name}], "allowAutoTopicCreation": True})
        d.until("Metadata", v, {"topics": [{"name": name}], "allowAutoTopicCreation": False},
                lambda r: r["topics"][0]["errorCode"] == 0 and r["topics"][0]["partitions"][0]["errorCode"] == 0, what=name)
        d.ask("after auto creation (trap 21)", "Metadata", v, {"topics": [{"name": name}]})
    pair = d.unique("auto") + ".x"
    d.topic(name=pair)
    d.ask("auto creation that collides (trap 24)", "Metadata", 9, {"topics": [{"name": pair.replace(".", "_")}]})
    d.ask("and is not created (trap 24)", "Metadata", 9, {"topics": [{"name": pair.replace(".", "_")}],
                                                          "allowAutoTopicCreation": False})


def cluster(d):
    for v in d.versions("DescribeCluster"):
        d.ask("plain", "DescribeCluster", v, {})
        d.ask("authorized operations", "DescribeCluster", v, {"includeClusterAuthorizedOperations": True})
        if v >= 1:
            for kind in (1, 2, 3, 0, -1):
                d.ask(f"endpoint type {kind}", "DescribeCluster", v, {"endpointType": kind})
        if v >= 2:
            d.ask("fenced brokers", "DescribeCluster", v, {"includeFencedBrokers": True})


def deleted(d):
    """The same name again has another id; the old one is not known any more (trap 28)."""
    name = d.topic()
    old = d.id_of(name)
    d.ask("delete", "DeleteTopics", 5, {"topicNames": [name], "timeoutMs": 10000})
    d.until("Metadata", 12, {"topics": [{"name": name}], "allowAutoTopicCreation": False},
            lambda r: r["topics"][0]["errorCode"] == 3, what="deleted")
    d.topic(name=name)
    for v in (12, 13):
        d.ask("old id of a topic made anew (trap 28)", "Metadata", v, {"topics": [{"topicId": old, "name": None}]})
    for v in d.versions("Fetch", 13):
        d.ask("old id of a topic made anew (trap 28)", "Fetch", v, {"maxWaitMs": 0, "topics": [{"topicId": old, "partitions": [
            {"partition": 0, "partitionMaxBytes": 1000}]}]})
