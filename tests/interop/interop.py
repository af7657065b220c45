"""What the scripts of tests/interop share: a cache folder for downloads, a cluster for the client, its exit status.

A script's client program prints `version TEXT` once and a line a step: `ok NAME`, `skip NAME: why`, `not ok NAME: why`.
The script ends with 0 when no step failed, 1 when one did, 77 with a clear last line when this machine cannot have the
client.  MOLDAU_BUILD names the build folder; INTEROP_CACHE the folder for downloads (default: BUILD/interop-cache);
with BOOTSTRAP=HOST:PORT a running cluster is used instead of one of the script's own."""
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests", "system"))
from cluster import BUILD, Cluster  # noqa: E402

CACHE = os.path.abspath(os.environ.get("INTEROP_CACHE") or os.path.join(BUILD, "interop-cache"))
CLIENTS = os.path.join(HERE, "clients")
JAVA = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]     # short runs


def skip(why):
    print(why, flush=True)
    sys.exit(77)


def tool(name, package):
    """The path of a program, or the end of the script with 77."""
    path = shutil.which(name)
    return path or skip(f"no {name} on this machine (Debian package {package})")


def folder(*names):
    path = os.path.join(CACHE, *names)
    os.makedirs(path, exist_ok=True)
    return path


def fetch(what, *cmd, cwd=None, env=None, seconds=900, ours=False):
    """Runs a client of a package registry; the script ends with 77 when it cannot do its work. ours: it compiles
    sources of this project, so its failure is ours."""
    print("+", " ".join(cmd), flush=True)
    try:
        r = subprocess.run(cmd, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        skip(f"{what} cannot be had here: no answer in {seconds} s")
    if r.returncode:
        print(r.stdout[-3000:], flush=True)
        if ours:
            print(f"not ok build: {what}", flush=True)
            sys.exit(1)
        lines = [x for x in r.stdout.splitlines() if x.strip() and "complete log of this run" not in x]
        skip(f"{what} cannot be had here: {lines[-1].strip() if lines else 'status %d' % r.returncode}")
    return r.stdout


def venv(python, *packages):
    """A Python with those packages from PyPI."""
    where = folder("python")
    path = os.path.join(where, packages[0].replace("==", "-"))
    done = os.path.join(path, "done")
    want = " ".join(packages)
    if not os.path.exists(done) or open(done).read() != want:
        fetch("venv", python, "-m", "venv", "--clear", path)
        fetch(packages[0], os.path.join(path, "bin", "pip"), "install", "-q", "--disable-pip-version-check", *packages)
        with open(done, "w") as f:
            f.write(want)
    return os.path.join(path, "bin", "python")


def npm(*packages):
    """A folder with node_modules of those packages."""
    tool("node", "nodejs")
    where = folder("node", packages[0].replace("/", "_").replace("@", "_"))
    done = os.path.join(where, "done")
    want = " ".join(packages)
    if not os.path.exists(done) or open(done).read() != want:
        with open(os.path.join(where, "package.json"), "w") as f:
            f.write('{"name": "client", "version": "1.0.0", "private": true}\n')
        fetch(packages[0], tool("npm", "npm"), "install", "--no-audit", "--no-fund", *packages, cwd=where)
        with open(done, "w") as f:
            f.write(want)
    return where


def go(name, built=None, instead=()):
    """Builds clients/NAME (go.mod, main.go) in the folder `built`, with texts put in for others; the program."""
    built = built or name
    where = folder("go", built)
    for f in ("go.mod", "main.go"):
        with open(os.path.join(CLIENTS, name, f)) as r, open(os.path.join(where, f), "w") as w:
            text = r.read()
            for old in instead:
                text = text.replace(old, instead[old])
            w.write(text)
    program = os.path.join(where, built)
    env = {"GOFLAGS": "-mod=mod"}
    fetch(built, tool("go", "golang-go"), "mod", "tidy", cwd=where, env=env)
    fetch(built, "go", "build", "-o", program, ".", cwd=where, env=env, ours=True)
    return program


def cargo(name):
    """Builds clients/NAME (Cargo.toml, src/main.rs); the program."""
    where = folder("rust", name)
    shutil.copytree(os.path.join(CLIENTS, name), where, dirs_exist_ok=True)
    fetch("rdkafka", tool("cargo", "cargo"), "fetch", cwd=where)
    fetch(name, "cargo", "build", "--target-dir", "target", cwd=where, seconds=1800, ours=True)
    with open(os.path.join(where, "Cargo.toml")) as f:
        package = next(x.split('"')[1] for x in f if x.startswith("name"))
    return os.path.join(where, "target", "debug", package)


def classpath(name, version):
    """The class path that clients/NAME.xml resolves to, of that version."""
    tool("java", "default-jre-headless")
    where = folder("java")
    path = os.path.join(where, f"{name}-{version}.classpath")
    if not os.path.exists(path):
        fetch(f"{name} {version}", tool("mvn", "maven"), "-B", "-q", "-f", os.path.join(CLIENTS, name + ".xml"),
              f"-Dkafka.version={version}", f"-Dcurator.version={version}", f"-Dzookeeper.version={version}", "dependency:build-classpath", f"-Dmdep.outputFile={path}.new",
              f"-Dmdep.outputFilterFile=false")
        os.rename(path + ".new", path)
    with open(path) as f:
        return f.read().strip()


def java_client(version):
    """The command that runs clients/KafkaClient.java with kafka-clients of that version."""
    path = classpath("kafka-clients", version)
    classes = folder("java", "classes-" + version)
    fetch("KafkaClient", tool("javac", "default-jdk-headless"), "-nowarn", "-d", classes, "-cp", path,
          os.path.join(CLIENTS, "KafkaClient.java"), ours=True)
    return (*JAVA, "-Dversion=" + version, "-cp", path + ":" + classes, "KafkaClient")


def client(*command, cwd=None, env=None, seconds=600, **settings):
    """Starts a cluster, runs the client program with its address as last argument, and ends the script."""
    sys.stdout.flush()
    boot = os.environ.get("BOOTSTRAP")
    settings = {"group.initial.rebalance.delay.ms": "200", **settings}
    args = [x for k, v in settings.items() for x in ("--set", f"{k}={v}")]
    cluster = None if boot else Cluster(*args).start()
    environ = {**os.environ, "PYTHONPATH": CLIENTS, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore",
               "MOLDAU_DATA": os.path.join(cluster.dir, "data") if cluster else "", **(env or {})}
    try:
        status = subprocess.run([*command, boot or cluster.bootstrap], cwd=cwd, env=environ, timeout=seconds).returncode
    except subprocess.TimeoutExpired:
        print(f"not ok end: not done in {seconds} s", flush=True)
        status = 1
    if cluster and status == 0:
        cluster.finish()
    elif cluster:
        print(cluster.tail(60))
        cluster.stop()
        shutil.rmtree(cluster.dir, ignore_errors=True)
    sys.exit(status if status in (0, 77) else 1)
