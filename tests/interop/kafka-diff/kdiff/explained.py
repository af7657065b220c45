"""The differences that stay, each with its reason. docs/kafka-differences.md is checked against this list."""
import re


class Rule:
    """name, why, and matches(case, api, version, path, kafka, moldau) for one differing field."""

    def __init__(self, name, reason, matches):
        self.name, self.reason, self.matches = name, reason, matches


STRICT = ("bytes behind the batch", "batch: unused attribute bits", "batch: delete horizon bit", "records: offset deltas 0,0",
          "records: offset deltas 1,0", "records: offset deltas 0,2", "records: offset delta 1 alone",
          "batch: length too small", "batch: producer id without epoch")


def table():
    """The part of docs/kafka-differences.md that this list is the source of."""
    return "".join(f"| `{r.name}` | {r.reason} |\n" for r in EXPLAINED)


def internal_error(case, api, version, path, kafka, moldau):
    internal_error.of = getattr(internal_error, "of", set())
    where = (case, api, version)
    if path.endswith("rrorCode") and kafka == -1:
        internal_error.of.add(where)
    return where in internal_error.of


EXPLAINED = [
    Rule("apis-not-served", "APIs that Moldau does not serve yet are not advertised, so that no client tries them",
         lambda case, api, version, path, k, m: m == "<none>" and re.search(r"apiKeys\[\d+\]$", path)),
    Rule("features-not-served", "A feature is listed only where its protocol is served: transactions, KIP-848, share "
         "and streams groups, ELR and KRaft are not yet",
         lambda case, api, version, path, k, m: m == "<none>" and re.match(r"(supported|finalized)Features\[", path)),
    Rule("null-is-minus-one", "Kafka reads every negative array count as null; Moldau closes the connection on any but -1",
         lambda case, api, version, path, k, m: case == "array count -2"),
    Rule("metadata-mixed-ids", "Kafka drops the topics asked by name when one is asked by id; Moldau answers both",
         lambda case, api, version, path, k, m: api == "Metadata" and k == "<none>" and "one by id, one by name" in case),
    Rule("metadata-null-name-zero-id", "Kafka fails with UNKNOWN_SERVER_ERROR inside; Moldau says UNKNOWN_TOPIC_ID",
         lambda case, api, version, path, k, m: api == "Metadata" and case.startswith("null name, zero id")),
    Rule("own-settings", "Settings that only Moldau has are listed beside Kafka's",
         lambda case, api, version, path, k, m: k == "<none>" and path.endswith("configs[durability]")),
    Rule("no-loggers", "Moldau has no loggers whose level could be set, so none is listed",
         # without types all are listed, and the broker's logger has the broker's name: 1
         lambda case, api, version, path, k, m: api == "ListConfigResources" and (case == "types [8]" and m == "<none>" or
                                                case.startswith("defaults") and path.startswith("configResources[1"))),
    Rule("elr-default", "Eligible leader replicas make Kafka store min.insync.replicas=1 as a default of the cluster; "
         "without that feature it is a plain default",
         lambda case, api, version, path, k, m: "configs[min.insync.replicas]" in path),
    Rule("collision-in-one-request", "Kafka creates two topics that differ only in . and _ if both come in one request; "
         "Moldau refuses the second as if it came later",
         lambda case, api, version, path, k, m: case.startswith("two that collide")),
    Rule("timeout-zero", "With a timeout of 0 or less Kafka says REQUEST_TIMED_OUT and makes the change all the same; "
         "Moldau waits for it and says what became of it",
         lambda case, api, version, path, k, m: case in ("timeout 0", "timeout -1")),
    Rule("unknown-server-error", "Kafka runs into an exception of its own (UNKNOWN_SERVER_ERROR) on requests that are "
         "merely odd; Moldau answers what it can answer, or the error that fits", internal_error),
    Rule("reason-given", "Moldau says why in errorMessage where Kafka leaves it empty",
         lambda case, api, version, path, k, m: path.endswith("rrorMessage") and k in (None, "") and isinstance(m, str)),
    Rule("produce-texts", "The texts about refused records are Moldau's own; codes and indexes of records are Kafka's",
         lambda case, api, version, path, k, m: api == "Produce" and path.endswith("rrorMessage") and k and m),
    Rule("topic-name-text", "DescribeProducers says in one sentence what a topic's name must be; Kafka names what is wrong",
         lambda case, api, version, path, k, m: api == "DescribeProducers" and case == "invalid topic"
         and path.endswith("rrorMessage") and k and m),
    Rule("answer-shape", "Where a request names a topic twice or without partitions, Kafka gathers or drops topics; "
         "Moldau answers in the shape of the request",
         lambda case, api, version, path, k, m: case in ("topic twice", "no partitions")
         and api in ("Produce", "ListOffsets", "OffsetCommit", "DeleteRecords")),
    Rule("partition-twice", "A partition named twice in one Produce, Fetch or DeleteRecords: Kafka silently drops all "
         "but the last; Moldau serves each",
         lambda case, api, version, path, k, m: case == "partition twice" and api in ("Produce", "Fetch", "DeleteRecords")),
    Rule("whole-batches", "Kafka fills a fetch up to the byte limit and cuts the last batch; Moldau sends whole batches only",
         lambda case, api, version, path, k, m: api == "Fetch" and case in (
             "partition limit of one batch and a half (trap 47)", "min bytes above max bytes (trap 49)",
             "second partition over the limit (trap 47)") and ".records" in path),
    Rule("strict-batches", "Kafka stores batches with unused attribute bits, with wrong offset deltas, with a producer id but "
         "no epoch, or with bytes behind them; Moldau refuses them with INVALID_RECORD, since consumers may stumble over them",
         lambda case, api, version, path, k, m: api == "Produce" and case in STRICT),
    Rule("compressed-bytes", "Records that the broker itself compresses are the same records in other bytes",
         lambda case, api, version, path, k, m: api == "Fetch" and path.endswith(".records.bytes") and "compression.type" in case),
    Rule("generic-text", "Where Kafka has only its general sentence about malformed requests, Moldau says what was wrong",
         lambda case, api, version, path, k, m: str(k).startswith("This most likely occurs because of a request being")),
    Rule("cordoned-text", "Kafka's text about too few brokers speaks of cordoned log directories, which Moldau has not",
         lambda case, api, version, path, k, m: path.endswith("errorMessage") and "directories cordoned" in str(k)),
    Rule("config-resources", "Settings of client metrics, groups and loggers are not served yet: INVALID_REQUEST says so",
         lambda case, api, version, path, k, m: api == "DescribeConfigs" and case in (
             "a client metrics resource", "an empty client metrics resource", "a group", "an empty group",
             "a logger of another broker", "a logger, empty name")),
    Rule("own-documentation", "The documentation of settings is Moldau's own text",
         lambda case, api, version, path, k, m: path.endswith(".documentation") and k and m),
    Rule("transactions", "Transactions are not served yet: INVALID_TXN_STATE for data, UNSUPPORTED_VERSION for ids",
         lambda case, api, version, path, k, m: "transactional id given" in case),
    Rule("older-versions", "OffsetCommit 1, which Kafka 4 dropped, is served and not advertised: old clients send it unasked",
         lambda case, api, version, path, k, m: case.startswith("key 8 v1 below the range")),
]
