"""DescribeConfigs, AlterConfigs, IncrementalAlterConfigs (traps 98, 99)."""
TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3


def run(d):
    describe(d)
    alter(d)
    incremental(d)


def describe(d):
    t = d.topic(configs={"retention.ms": "77000", "cleanup.policy": "compact,delete"})
    for v in d.versions("DescribeConfigs"):
        def ask(case, *resources, **more):
            d.ask(case, "DescribeConfigs", v, {"resources": [
                {"resourceType": k, "resourceName": n, "configurationKeys": keys} for k, n, keys in resources], **more})
        ask("none")
        ask("a topic, all keys", (TOPIC, t, None))
        ask("a topic, all keys and synonyms", (TOPIC, t, None), includeSynonyms=True)
        ask("one key", (TOPIC, t, ["retention.ms"]), includeSynonyms=True)
        ask("one key with documentation", (TOPIC, t, ["retention.ms"]), includeDocumentation=True)
        ask("unknown key", (TOPIC, t, ["no.such"]))
        ask("unknown key beside a known one", (TOPIC, t, ["no.such", "retention.ms"]))
        ask("key twice", (TOPIC, t, ["retention.ms", "retention.ms"]))
        ask("no keys", (TOPIC, t, []))
        ask("unknown topic", (TOPIC, "not-there", None))
        ask("invalid topic", (TOPIC, "a b", None))
        ask("empty topic", (TOPIC, "", None))
        ask("same topic twice", (TOPIC, t, ["retention.ms"]), (TOPIC, t, ["segment.ms"]))
        ask("this broker", (BROKER, "1", ["num.partitions", "min.insync.replicas", "log.retention.hours", "node.id"]),
            includeSynonyms=True)
        ask("all brokers' defaults", (BROKER, "", None), includeSynonyms=True)
        ask("another broker", (BROKER, "2", None))
        ask("broker not a number", (BROKER, "one", None))
        ask("unknown type", (99, "x", None))
        ask("type 0", (0, "x", None))
        ask("type any", (1, "x", None))
        ask("a client metrics resource", (METRICS, "none-such", None))
        ask("an empty client metrics resource", (METRICS, "", None))
        ask("a group", (GROUP, "g", ["consumer.session.timeout.ms"]), includeSynonyms=True)
        ask("an empty group", (GROUP, "", None))
        ask("a good one and a bad one", (TOPIC, t, ["retention.ms"]), (TOPIC, "not-there", None), (BROKER, "2", None))
        ask("a logger of another broker", (LOGGER, "5", None))
        ask("a logger, empty name", (LOGGER, "", None))


def alter(d):
    for v in d.versions("AlterConfigs"):
        t = d.topic()

        def ask(case, *resources, **more):
            d.ask(case, "AlterConfigs", v, {"resources": [
                {"resourceType": k, "resourceName": n, "configs": [{"name": a, "value": b} for a, b in c]}
                for k, n, c in resources], **more})

        def seen(case):
            d.ask(case, "DescribeConfigs", 4, {"resources": [{"resourceType": TOPIC, "resourceName": t,
                  "configurationKeys": ["retention.ms", "segment.ms", "cleanup.policy"]}]})
        ask("none")
        ask("one", (TOPIC, t, [("retention.ms", "9000")]))
        seen("after alter")
        ask("replaces the set (trap 99)", (TOPIC, t, [("segment.ms", "8000")]))
        seen("after replace (trap 99)")
        ask("validate only", (TOPIC, t, [("segment.ms", "1234")]), validateOnly=True)
        seen("after validate only")
        ask("unknown key", (TOPIC, t, [("no.such", "1")]))
        ask("bad value", (TOPIC, t, [("retention.ms", "soon")]))
        ask("null value", (TOPIC, t, [("retention.ms", None)]))
        ask("key twice", (TOPIC, t, [("retention.ms", "1"), ("retention.ms", "2")]))
        ask("unknown topic", (TOPIC, "not-there", [("retention.ms", "1")]))
        ask("invalid topic", (TOPIC, "a b", [("retention.ms", "1")]))
        ask("empty topic", (TOPIC, "", [("retention.ms", "1")]))
        ask("good and bad", (TOPIC, t, [("retention.ms", "4000")]), (TOPIC, "not-there", [("retention.ms", "1")]))
        seen("after good and bad")
        ask("nothing: all back to defaults", (TOPIC, t, []))
        seen("after nothing")
        ask("unknown type", (99, "x", [("a", "b")]))
        ask("type 0", (0, "x", [("a", "b")]))
        ask("another broker", (BROKER, "2", [("log.retention.ms", "1000000")]))
        ask("broker not a number", (BROKER, "one", [("log.retention.ms", "1000000")]))
        ask("read-only broker setting", (BROKER, "1", [("num.partitions", "2")]))
        ask("broker setting, validate only", (BROKER, "1", [("log.retention.ms", "1000000")]), validateOnly=True)


def incremental(d):
    for v in d.versions("IncrementalAlterConfigs"):
        t = d.topic()

        def ask(case, *resources, **more):
            d.ask(case, "IncrementalAlterConfigs", v, {"resources": [
                {"resourceType": k, "resourceName": n,
                 "configs": [{"name": a, "configOperation": op, "value": b} for a, op, b in c]}
                for k, n, c in resources], **more})

        def seen(case, *keys):
            d.ask(case, "DescribeConfigs", 4, {"includeSynonyms": True, "resources": [
                {"resourceType": TOPIC, "resourceName": t, "configurationKeys": list(keys)}]})
        ask("none")
        ask("set", (TOPIC, t, [("retention.ms", SET, "9000"), ("cleanup.policy", SET, "delete")]))
        seen("after set", "retention.ms", "cleanup.policy")
        ask("append to a list (trap 99)", (TOPIC, t, [("cleanup.policy", APPEND, "compact")]))
        seen("after append (trap 99)", "cleanup.policy")
        ask("append what is there (trap 99)", (TOPIC, t, [("cleanup.policy", APPEND, "compact")]))
        seen("after append of the same (trap 99)", "cleanup.policy")
        ask("subtract (trap 99)", (TOPIC, t, [("cleanup.policy", SUBTRACT, "delete")]))
        seen("after subtract (trap 99)", "cleanup.policy")
        ask("subtract what is not there (trap 99)", (TOPIC, t, [("cleanup.policy", SUBTRACT, "delete")]))
        ask("subtract the last (trap 99)", (TOPIC, t, [("cleanup.policy", SUBTRACT, "compact")]))
        seen("after subtract of the last (trap 99)", "cleanup.policy")
        ask("append to a number (trap 99)", (TOPIC, t, [("retention.ms", APPEND, "1")]))
        ask("subtract from a number (trap 99)", (TOPIC, t, [("retention.ms", SUBTRACT, "1")]))
        ask("append a bad element", (TOPIC, t, [("cleanup.policy", APPEND, "maybe")]))
        ask("append two", (TOPIC, t, [("cleanup.policy", APPEND, "delete,compact")]))
        seen("after append of two", "cleanup.policy")
        ask("delete", (TOPIC, t, [("retention.ms", DELETE, None)]))
        ask("delete what is not set", (TOPIC, t, [("segment.ms", DELETE, None)]))
        ask("delete an unknown key", (TOPIC, t, [("no.such", DELETE, None)]))
        seen("after delete", "retention.ms", "segment.ms")
        ask("operation 9", (TOPIC, t, [("retention.ms", 9, "1")]))
        ask("operation -1", (TOPIC, t, [("retention.ms", -1, "1")]))
        ask("set null", (TOPIC, t, [("retention.ms", SET, None)]))
        ask("append null", (TOPIC, t, [("cleanup.policy", APPEND, None)]))
        ask("bad value", (TOPIC, t, [("retention.ms", SET, "soon")]))
        ask("unknown key", (TOPIC, t, [("no.such", SET, "1")]))
        ask("key twice", (TOPIC, t, [("retention.ms", SET, "1"), ("retention.ms", SET, "2")]))
        ask("resource twice", (TOPIC, t, [("retention.ms", SET, "1")]), (TOPIC, t, [("segment.ms", SET, "2")]))
        ask("nothing to do", (TOPIC, t, []))
        ask("validate only", (TOPIC, t, [("segment.ms", SET, "4321")]), validateOnly=True)
        seen("after validate only", "segment.ms")
        ask("validate only, bad", (TOPIC, t, [("segment.ms", SET, "0")]), validateOnly=True)
        ask("unknown topic", (TOPIC, "not-there", [("retention.ms", SET, "1")]))
        ask("invalid topic", (TOPIC, "a b", [("retention.ms", SET, "1")]))
        ask("good and bad", (TOPIC, t, [("segment.ms", SET, "7000")]), (TOPIC, "not-there", [("retention.ms", SET, "1")]))
        seen("after good and bad", "segment.ms")
        ask("unknown type", (99, "x", [("a", SET, "b")]))
        ask("another broker", (BROKER, "2", [("log.retention.ms", SET, "1000000")]))
        ask("broker not a number", (BROKER, "one", [("log.retention.ms", SET, "1000000")]))
        ask("read-only broker setting", (BROKER, "1", [("num.partitions", SET, "2")]))
        ask("unknown broker setting, validate only", (BROKER, "1", [("no.such", SET, "2")]), validateOnly=True)
        ask("broker setting, bad value", (BROKER, "1", [("log.retention.ms", SET, "soon")]))
        ask("broker setting, validate only", (BROKER, "1", [("log.retention.ms", SET, "1000000")]), validateOnly=True)
        ask("back to the default", (TOPIC, t, [("segment.ms", DELETE, None)]))
        ask("default of all brokers", (BROKER, "", [("log.roll.ms", SET, "77000000")]))
        settled(d, t, "77000000")
        seen("after a default of all brokers", "segment.ms")
        ask("default of all brokers, delete", (BROKER, "", [("log.roll.ms", DELETE, None)]))
        settled(d, t, "604800000")
        seen("after the delete of a default of all brokers", "segment.ms")
        ask("per-broker setting for all brokers", (BROKER, "", [("listeners", SET, "PLAINTEXT://:1")]))


def settled(d, topic, value):
    """Until both brokers have applied a default: Kafka's do so some time after the answer."""
    d.until("DescribeConfigs", 4, {"resources": [{"resourceType": TOPIC, "resourceName": topic,
            "configurationKeys": ["segment.ms"]}]}, lambda r: r["results"][0]["configs"][0]["value"] == value, what="default")
