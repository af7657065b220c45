"""What a whole run must show besides equal answers: nothing that is served was left out, no explanation is stale."""
import os

from .explained import EXPLAINED, table

DOC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "..", "docs", "kafka-differences.md")


def closing(d, whole):
    out = []
    if not whole:
        return out
    served = d.ask("", "ApiVersions", 4, {"clientSoftwareName": "diff", "clientSoftwareVersion": "1"}, quiet=True).side[1]
    for row in served["apiKeys"]:
        name = next(n for n, v in d.codec.apis.items() if v[0] == row["apiKey"])
        for v in d.versions(name, row["minVersion"], row["maxVersion"]):
            if v not in d.covered.get(name, ()):
                out.append(f"{name} v{v} is served and no request compares it")
    with open(DOC) as f:
        text = f.read()
    for r in EXPLAINED:
        if r.name not in d.explained:
            out.append(f"explained difference no longer seen: {r.name}")
    if table() not in text:
        out.append("docs/kafka-differences.md is not up to date: put in what `run --explained` prints")
    return out
