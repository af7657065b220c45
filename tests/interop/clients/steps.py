"""Steps of one client program: each prints `ok NAME`, `skip NAME: why` or `not ok NAME: why`; finish() ends the
program with status 1 if one failed. The names are the same for all clients; docs/clients.md says what each shows."""
import sys
import time
import traceback
import uuid

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
failed = 0


class Skip(Exception):
    pass


def version(text):
    print("version", text, flush=True)


def topic_name(client):
    return f"{client}-{uuid.uuid4().hex[:8]}"


def report(name, error):
    global failed
    if error is None:
        print("ok", name, flush=True)
    elif isinstance(error, Skip):
        print(f"skip {name}: {error}", flush=True)
    else:
        failed += 1
        traceback.print_exception(type(error), error, error.__traceback__)
        print(f"not ok {name}: {type(error).__name__}: {error}".replace("\n", " "), flush=True)


def step(name):
    """Runs the decorated function at once, as the step `name`."""
    def run(function):
        try:
            function()
        except Exception as e:
            report(name, e)
        else:
            report(name, None)
        return function
    return run


def same(got, want):
    assert got == want, f"got {got!r}, wanted {want!r}"


def until(what, check, seconds=60):
    """Polls check() until it is true; the value."""
    end = time.monotonic() + seconds
    while True:
        v = check()
        if v:
            return v
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def finish():
    sys.stdout.flush()
    sys.exit(1 if failed else 0)
