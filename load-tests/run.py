#!/usr/bin/env python3
"""Measures the release build under load, step by step, and writes load-tests/RESULTS.md.

    load-tests/run.py all            everything, about 20 minutes
    load-tests/run.py STEP...        some steps; their rows replace the earlier ones in the table
    load-tests/run.py list           what there is
    load-tests/run.py table          writes the table again from what was measured

Client, daemon and Postgres share the machine, so rates are given as shares of what a bare hyper server achieves just
before and just after them. After every step the ledger is verified, and a breach ends the run. No figure is asserted: the table shows the
goal beside it.
"""

import datetime
import json
import os
import pathlib
import platform
import sys
import time

import rig
import smpp
import webhooks as notices

RESULTS = rig.WORK / "results.json"
TABLE = rig.ROOT / "load-tests/RESULTS.md"
CONNECTIONS = 512

STEPS = {}
postgres_cluster = None


def step(function):
    STEPS[function.__name__.replace("_", "-")] = function
    return function


def postgres():
    global postgres_cluster
    if postgres_cluster is None:
        postgres_cluster = rig.Postgres()
    return postgres_cluster


def results():
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def record(name, rows, **facts):
    everything = results()
    everything[name] = {"at": time.time(), "rows": rows, **facts}
    RESULTS.write_text(json.dumps(everything, indent=1))


def row(what, rate=None, ratio=None, p50=None, p99=None, other=None, shares=None, goal="", note=""):
    return {
        "what": what,
        "rate": rate,
        "ratio": ratio,
        "p50": p50,
        "p99": p99,
        "other": other,
        "shares": shares or {},
        "goal": goal,
        "note": note,
    }


class Yardstick:
    """The bare server's rate just before a measurement and just after it: the machine is shared, and its speed drifts."""

    def __init__(self):
        self.before, self.after = bare_once(5)["rate"], None

    def ratio(self, rate):
        if self.after is None:
            self.after = bare_once(5)["rate"]
        return 2 * rate / (self.before + self.after)

    def __str__(self):
        return f"bare {self.before:,.0f}/s before, {self.after:,.0f}/s after"


def bare_once(seconds):
    server = rig.Bare.start()
    client = rig.wrk(server.address, ["key"], rig.served_prefixes(), 0, seconds, CONNECTIONS)
    time.sleep(0.5)
    look = rig.Processor(daemon=server.pids, client=lambda: [client.pid])
    time.sleep(seconds - 1)
    shares = look.shares()
    result = rig.wrk_result(client)
    server.stop()
    return {**result, "shares": shares}


def node(name, engine, *settings):
    store = postgres().database(name.replace("-", "_")) if engine == "postgres" else None
    return rig.Node(name, store, *settings)


def processor(daemon, client, engine):
    pids = {"daemon": daemon.pids, "client": lambda: [client.pid]}
    if engine == "postgres":
        pids["postgres"] = postgres().pids
    return rig.Processor(**pids)


def closed_loop(daemon, keys, engine, seconds, start=0):
    """A short run to warm up, then the measured one."""
    prefixes = rig.served_prefixes()
    rig.wrk_result(rig.wrk(daemon.api, keys, prefixes, start, 2, CONNECTIONS))
    client = rig.wrk(daemon.api, keys, prefixes, start + 50_000_000, seconds, CONNECTIONS)
    time.sleep(0.5)
    look = processor(daemon, client, engine)
    time.sleep(seconds - 1)
    shares = look.shares()
    return rig.wrk_result(client), shares


@step
def bare():
    """A bare hyper server that answers a static 202, 512 connections: the yardstick."""
    result = bare_once(10)
    rows = [row("bare hyper, static 202", result["rate"], 1.0, result["p50_ms"], result["p99_ms"], 0, result["shares"])]
    record("bare", rows, rate=result["rate"])


def accept(engine, goal):
    """Durable accept: receipts come only after the run has ended."""
    yardstick = Yardstick()
    daemon = node(f"accept-{engine}", engine, {"simulator": {"receipt_ms": 45_000}})
    keys = daemon.provision()
    daemon.start()
    time.sleep(1)
    idle = daemon.rss_kib()
    result, shares = closed_loop(daemon, keys, engine, 10)
    # Connections are closed now: what is left is the deliveries that await their receipts.
    time.sleep(3)
    waiting = daemon.metric("nexo_deliveries_in_flight")
    per_delivery = (daemon.rss_kib() - idle) * 1024 / max(waiting, 1)
    daemon.stop()
    daemon.verify()
    name = "Postgres" if engine == "postgres" else "SQLite"
    rows = [
        row(
            f"durable accept, {name}, {CONNECTIONS} connections",
            result["rate"],
            yardstick.ratio(result["rate"]),
            result["p50_ms"],
            result["p99_ms"],
            result["not_2xx"] + result["broken"],
            shares,
            f"≥ {goal} of bare",
            str(yardstick),
        ),
        row(
            f"resident memory per delivery that awaits its receipt, {name}",
            note=f"{per_delivery:.0f} B each of {waiting:.0f}; {idle / 1024:.0f} MiB idle",
            goal="≤ 1 KiB",
        ),
    ]
    record(f"accept-{engine}", rows, rate=result["rate"])


def life(engine, goal):
    """Whole life: accepted, acked, settled, final row; receipts come at once."""
    yardstick = Yardstick()
    daemon = node(f"life-{engine}", engine)
    keys = daemon.provision()
    daemon.start()
    result, shares = closed_loop(daemon, keys, engine, 30)
    began = time.monotonic()
    daemon.wait_settled()
    behind = time.monotonic() - began
    daemon.stop()
    daemon.verify()
    name = "Postgres" if engine == "postgres" else "SQLite"
    rows = [
        row(
            f"whole life for 30 s, {name}, {CONNECTIONS} connections",
            result["rate"],
            yardstick.ratio(result["rate"]),
            result["p50_ms"],
            result["p99_ms"],
            result["not_2xx"] + result["broken"],
            shares,
            f"≥ {goal} of bare",
            f"the last end came {behind:.1f} s after the last answer; {yardstick}",
        )
    ]
    record(f"life-{engine}", rows, rate=result["rate"])


@step
def accept_postgres():
    """Durable accept on Postgres, 10 s."""
    accept("postgres", "25 %")


@step
def accept_sqlite():
    """Durable accept on SQLite, 10 s."""
    accept("sqlite", "30 %")


@step
def life_postgres():
    """Whole life on Postgres, 30 s."""
    life("postgres", "22 %")


@step
def life_sqlite():
    """Whole life on SQLite, 30 s."""
    life("sqlite", "22 %")


def answers_but(report, *classes):
    """How many answers were of none of these classes, or never came."""
    others = sum(tally["count"] for name, tally in report["answers"].items() if name not in classes)
    return others + report["unsent"] + report["unanswered"]


class Acks:
    """How long attempts take from their start to the carrier's ack, as the daemon measures it, from now on."""

    def __init__(self, daemon):
        self.daemon, self.before = daemon, self.sums(daemon)

    @staticmethod
    def sums(daemon):
        return [daemon.metric(f"nexo_attempt_seconds_{part}") for part in ("sum", "count")]

    def mean_ms(self):
        seconds, count = (now - before for now, before in zip(self.sums(self.daemon), self.before))
        return 1000 * seconds / max(count, 1)


@step
def paced():
    """10,000 OTP/s for 30 s, open loop, whole life, Postgres, ack 5 ms."""
    daemon = node("paced", "postgres", {"simulator": {"ack_ms": 5}})
    keys = daemon.provision()
    daemon.start()
    prefixes = rig.served_prefixes()
    rig.open_loop_result(rig.open_loop(daemon.api, keys, prefixes, 0, [(2_000, 3)]))
    acks = Acks(daemon)
    client = rig.open_loop(daemon.api, keys, prefixes, 50_000_000, [(10_000, 30)])
    time.sleep(1)
    look = processor(daemon, client, "postgres")
    time.sleep(28)
    shares = look.shares()
    report = rig.open_loop_result(client)
    ack_ms = acks.mean_ms()
    daemon.wait_settled()
    daemon.stop()
    daemon.verify()
    took = report["answers"]["202"]
    rows = [
        row(
            "paced 10,000/s, whole life, Postgres: time to 202 less the ack",
            took["count"] / 30,
            None,
            took["p50_ms"] - ack_ms,
            took["p99_ms"] - ack_ms,
            answers_but(report, "202"),
            shares,
            "p50 ≤ 3 ms, p99 ≤ 15 ms",
            f"p99.9 {took['p999_ms'] - ack_ms:.1f} ms; the ack took {ack_ms:.1f} ms: a timer of 5 ms fires a little later",
        )
    ]
    record("paced", rows)


@step
def burst():
    """1,000 OTPs at one instant on an idle daemon, Postgres and SQLite."""
    rows = []
    for engine in ("postgres", "sqlite"):
        daemon = node(f"burst-{engine}", engine)
        keys = daemon.provision()
        daemon.start()
        time.sleep(3)
        client = rig.open_loop(daemon.api, keys, rig.served_prefixes(), 0, [(2_000_000, 0.0005)], connections=1_000)
        report = rig.open_loop_result(client)
        daemon.wait_settled()
        daemon.stop()
        daemon.verify()
        took = report["answers"]["202"]
        name = "Postgres" if engine == "postgres" else "SQLite"
        rows.append(
            row(
                f"1,000 at one instant, idle daemon, {name}",
                None,
                None,
                took["p50_ms"],
                took["p99_ms"],
                answers_but(report, "202"),
                goal="all 202, p99 < 100 ms",
                note=f"{took['count']} accepted, the last after {took['max_ms']:.0f} ms",
            )
        )
    record("burst", rows)


@step
def limited():
    """A carrier limited to 1,000 TPS, offered 10,000/s for 30 s, open loop, Postgres."""
    limit, offered, seconds = 1_000, 10_000, 30
    daemon = node("limited", "postgres", {"simulator": {"rate_per_second": limit}, "dispatch": {"queue_max": 50_000}})
    keys = daemon.provision()
    daemon.start()
    time.sleep(1)
    # A carrier of one channel: its limit is one link's.
    prefixes = rig.served_prefixes("mobifone")
    before = daemon.rss_kib()
    client = rig.open_loop(daemon.api, keys, prefixes, 0, [(offered, seconds)], connections=1_000)
    memory = []
    for _ in range(seconds):
        time.sleep(1)
        memory.append(daemon.rss_kib() // 1024)
    report = rig.open_loop_result(client)
    # Answered and queued: tracking knows of a delivery only once it has left.
    while int(postgres().sql("SELECT count(*) FROM deliveries WHERE status = 0", "limited")):
        time.sleep(0.2)
    slowest = postgres().sql("SELECT max(completed_us - created_us) / 1e6 FROM deliveries", "limited")
    # What was queued at the end left after it: the share of the limit is over the time in which anything left.
    goodput = "SELECT count(*), count(*) * 1e6 / (max(completed_us) - min(created_us)) FROM deliveries WHERE status = 1"
    delivered, per_second = postgres().sql(goodput, "limited").split("|")
    delivered, per_second = int(delivered), float(per_second)
    daemon.stop()
    daemon.verify()
    took, refused = report["answers"]["202"], report["answers"].get("429 no_route", {"count": 0, "p50_ms": 0, "p99_ms": 0})
    retry = report["retry_after_s"].get("429 no_route", {})
    # What was accepted and not delivered could not leave in time and was refunded after its 202.
    refunded = took["count"] - delivered
    rows = [
        row(
            f"a carrier of {limit:,} TPS offered {offered:,}/s: accepted",
            took["count"] / seconds,
            None,
            took["p50_ms"],
            took["p99_ms"],
            answers_but(report, "202", "429 no_route"),
            goal="≥ 90 % of the limit delivered, memory flat, nothing late",
            note=f"delivered {per_second / limit:.0%} of the limit; of {took['count']:,} accepted {refunded:,} "
            f"refunded later ({refunded / max(took['count'], 1):.1%}); slowest whole life {float(slowest):.1f} s; "
            f"RSS {before // 1024} MiB before, {memory[4]} after 5 s, {memory[-1]} at the end",
        ),
        row(
            "the rest: 429 no_route",
            refused["count"] / seconds,
            None,
            refused["p50_ms"],
            refused["p99_ms"],
            goal="p99 < 5 ms, true drain time",
            note="Retry-After " + (", ".join(f"{s} s: {n}" for s, n in sorted(retry.items())) or "none"),
        ),
    ]
    record("limited", rows)


def engine_pids(engine):
    return {"postgres": postgres().pids} if engine == "postgres" else {}


def webhooks_on(engine, rate=5_000, seconds=30):
    """A fixed rate of OTPs whose events are told to two endpoints."""
    facts = notices.open_loop(node(f"webhooks-{engine}", engine, rig.WEBHOOKS), engine_pids(engine), rate, seconds)
    name = "Postgres" if engine == "postgres" else "SQLite"
    refused = sum(tally["count"] for answer, tally in facts["answers"].items() if answer != "202")
    return [
        row(
            f"{rate:,} OTP/s for {seconds} s, two endpoints each, {name}: events, from the end to accepted",
            facts["rate"],
            None,
            facts["p50"],
            facts["p99"],
            refused,
            facts["shares"],
            "nothing lost, no duplicate",
            f"{facts['told']:,} told, each once; outbox empty {facts['behind']:.1f} s after the last answer; OTP p99 "
            f"{facts['otp']['p99_ms']:.1f} ms; RSS {facts['rss_mib']} MiB; receiver {facts['shares']['receiver']} cores",
        )
    ]


@step
def webhooks():
    """5,000 OTP/s for 30 s with two endpoints each, open loop, Postgres and SQLite."""
    record("webhooks", webhooks_on("postgres") + webhooks_on("sqlite"))


def life_webhooks_on(engine, seconds=30):
    """Whole life at full speed with two endpoints for every account, beside the rate without."""
    if f"life-{engine}" not in results():
        STEPS[f"life-{engine}"]()
    without = results()[f"life-{engine}"]["rate"]
    daemon = node(f"life-webhooks-{engine}", engine, rig.WEBHOOKS)
    keys = daemon.provision()
    receiver = rig.Receiver()
    paths = notices.register(daemon, receiver)
    daemon.start()
    result, shares = closed_loop(daemon, keys, engine, seconds)
    told = receiver.stats()["posts"]
    daemon.wait_settled()
    behind, totals = notices.settle(daemon, receiver, paths)
    name = "Postgres" if engine == "postgres" else "SQLite"
    return [
        row(
            f"whole life for {seconds} s with two endpoints each, {name}, {CONNECTIONS} connections",
            result["rate"],
            None,
            result["p50_ms"],
            result["p99_ms"],
            result["not_2xx"] + result["broken"],
            shares,
            "stated beside the rate without",
            f"{result['rate'] / without:.0%} of {without:,.0f}/s without; {told / (seconds + 2):,.0f} events/s told meanwhile, "
            f"{totals['posts']:,} in all, each once; the outbox was empty {behind:.0f} s after the last end",
        )
    ]


@step
def life_webhooks():
    """Whole life with two endpoints for every account, beside the rate without, Postgres and SQLite."""
    record("life-webhooks", life_webhooks_on("postgres") + life_webhooks_on("sqlite"))


MANNERS = ("slow-headers", "slow-body", "huge-body", "gzip-bomb", "redirect", "reset", "black-hole")


def hostile_on(rate=400, seconds=20, manners=MANNERS):
    """Rows for one hostile receiver after the other, beside a good one of another account."""
    rows = []
    for facts in notices.hostile(node("hostile", "postgres", rig.WEBHOOKS), manners, rate, seconds):
        faults = ", ".join(f"{count} {word}" for word, count in sorted(facts["faults"].items()))
        without = facts["manner"] == "good"
        rows.append(
            row(
                "webhooks, nobody hostile: the good endpoint" if without else f"webhooks, {facts['manner']}: the good endpoint",
                None,
                None,
                facts["p50"],
                facts["p99"],
                goal="" if without else "≤ 5 s an attempt, memory flat, p99 as without",
                note=f"the other one: {faults}; longest attempt {facts['longest']:,.0f} ms; RSS at most {facts['rss_mib']} MiB",
            )
        )
    return rows


@step
def hostile():
    """Hostile receivers of one account in turn beside a good one of another account, Postgres."""
    record("hostile", hostile_on())


@step
def overload():
    """1.5 times the capacity for 20 s, open loop, Postgres; then half of it again."""
    known = results().get("life-postgres")
    if not known:
        STEPS["life-postgres"]()
        known = results()["life-postgres"]
    capacity = known["rate"]
    calm, storm, after = 8, 20, 15
    daemon = node("overload", "postgres")
    keys = daemon.provision()
    daemon.start()
    stages = [(capacity / 2, calm), (capacity * 1.5, storm), (capacity / 2, after)]
    client = rig.open_loop(daemon.api, keys, rig.served_prefixes(), 0, stages)
    time.sleep(calm)
    memory = []
    for _ in range(storm):
        time.sleep(1)
        memory.append(daemon.rss_kib() // 1024)
    report = rig.open_loop_result(client)
    daemon.wait_settled()
    daemon.stop()
    daemon.verify()
    seconds = {entry["second"]: entry for entry in report["seconds"]}
    normal = max(seconds[s]["p99_ms"] or 0 for s in range(2, calm))
    goodput = sum(seconds[s]["accepted"] for s in range(calm + 2, calm + storm)) / (storm - 2)
    back = next(
        (s - calm - storm for s in range(calm + storm, calm + storm + after) if (seconds[s]["p99_ms"] or 1e9) <= 2 * normal),
        None,
    )
    kinds = {name: tally["count"] for name, tally in report["answers"].items() if name != "202"}
    shed = report["answers"].get("503 overloaded")
    rows = [
        row(
            "1.5× capacity, open loop, Postgres: accepted",
            goodput,
            None,
            report["answers"]["202"]["p50_ms"],
            report["answers"]["202"]["p99_ms"],
            answers_but(report, "202", "503 overloaded"),
            goal="≥ 70 % of capacity, memory flat, normal within 5 s",
            note=f"{goodput / capacity:.0%} of {capacity:,.0f}/s; normal p99 ({normal:.0f} ms) back after "
            f"{'more than ' + str(after) if back is None else back} s; RSS {memory[2]} → {memory[-1]} MiB; others {kinds}",
        )
    ]
    if shed:
        rows.append(row("the shed: 503 overloaded", shed["count"] / storm, None, shed["p50_ms"], shed["p99_ms"]))
    record("overload", rows)


@step
def smpp_submit(count=40_000, window=50):
    """Our SMPP link over one bind, window 50, beside a bare rusmpp loop, both to our simulator."""
    centre = smpp.Centre("submit", journal=False)
    before = smpp.driven("smpp-bare", centre, count, window)
    link = smpp.driven("smpp-link", centre, count, window)
    after = smpp.driven("smpp-bare", centre, count, window)
    centre.stop()
    bare_rate = (before["rate"] + after["rate"]) / 2
    note = f"bare loop {before['rate']:,.0f}/s before, {after['rate']:,.0f}/s after; every receipt acknowledged"
    rows = [
        row(f"bare rusmpp loop, one bind, window {window}, {count:,} submits", bare_rate),
        row("our SMPP link, the same: share of the bare loop", link["rate"], link["rate"] / bare_rate, goal="≥ 4,000/s", note=note),
    ]
    record("smpp-submit", rows, rate=link["rate"])


@step
def smpp_limit(limit=100, offered=1_000, seconds=60):
    """An SMPP carrier of 100 TPS offered 1,000/s for 60 s, SQLite: the rate, and nothing late, by the centre's journal."""
    # The centre itself throttles what is more than two in a hundred above the limit, in any second.
    centre = smpp.Centre("limit", rate_per_second=limit * 102 // 100)
    daemon = smpp.node("smpp-limit", None, centre, {"dispatch": {"queue_max": 50_000}}, rate_per_second=limit)
    keys = daemon.provision()
    daemon.start()
    smpp.wait_bound(centre, 0, 15)
    client = rig.open_loop(daemon.api, keys, rig.served_prefixes(), 0, [(offered, seconds)], connections=256)
    report = rig.open_loop_result(client)
    while int(daemon.rows("SELECT COUNT(*) FROM deliveries WHERE status = 0")[0][0]):
        time.sleep(0.2)
    daemon.stop()
    daemon.verify()
    submits = centre.journal("submit")
    throttled = [line for line in submits if line["answer"] == "0x58"]
    taken, names = centre.taken(), smpp.named(daemon)
    if centre.duplicates():
        raise SystemExit(f"BREACH: submitted twice: {centre.duplicates()[:3]}")
    # While the client offers more than the limit; after it only the queue drains.
    first = taken[0]["at_us"]
    at_us = sorted(line["at_us"] for line in taken)
    within = [at for at in at_us if at < first + seconds * smpp.SECOND_US]
    rate, worst = len(within) / seconds, smpp.worst_second(at_us)
    # A delivery is settled 60 s after its last moment to leave (`receipt_wait_ms`).
    leave_by = {reference: settle - 60 * smpp.SECOND_US for reference, (_, _, _, settle) in names.items()}
    lateness = [line["at_us"] - leave_by[line["id"]] for line in taken if line["id"] in leave_by]
    late = [by for by in lateness if by > 100_000]
    if late:
        raise SystemExit(f"BREACH: {len(late)} submits came after their deadline, the worst by {max(late) / 1e3:.0f} ms")
    ended = {int(status): int(count) for status, count in daemon.rows("SELECT status, COUNT(*) FROM deliveries GROUP BY status")}
    delivered, refunded = ended.get(1, 0), ended.get(2, 0)
    if delivered != len(taken):
        raise SystemExit(f"BREACH: {len(taken)} were submitted, {delivered} are delivered")
    centre.stop()
    rows = [
        row(
            f"an SMPP carrier of {limit} TPS offered {offered:,}/s for {seconds} s: submitted, by its own journal",
            rate,
            None,
            report["answers"]["202"]["p50_ms"],
            report["answers"]["202"]["p99_ms"],
            answers_but(report, "202", "429 no_route"),
            goal="the limit ± 2 %, none late, the rest refunded",
            note=f"{rate / limit:.1%} of the limit; at most {worst} in any second; {len(throttled)} throttled; {delivered:,} delivered, "
            f"{refunded:,} refunded; the last moment before a deadline {-max(lateness) / 1e3:.0f} ms",
        )
    ]
    record("smpp-limit", rows)


@step
def idle():
    """Start to ready on an empty SQLite, and resident memory when idle."""
    starts, memory = [], []
    for n in range(5):
        daemon = node(f"idle-{n}", "sqlite")
        starts.append(daemon.start() * 1000)
        time.sleep(1)
        memory.append(daemon.rss_kib() / 1024)
        daemon.stop()
    daemon.verify()
    rows = [
        row("start to ready, empty SQLite", note=", ".join(f"{ms:.0f}" for ms in sorted(starts)) + " ms", goal="≤ 300 ms"),
        row("resident memory, idle", note=f"{max(memory):.0f} MiB", goal="≤ 100 MiB"),
    ]
    record("idle", rows)


@step
def k6():
    """The k6 scripts (burst, spike, steady) with their thresholds, Postgres."""
    daemon = node("k6", "postgres", {"simulator": {"ack_ms": 5}})
    keys = daemon.provision()
    daemon.start()
    rows = []
    for n, script in enumerate(("burst", "spike", "steady")):
        summary = rig.k6(script, daemon, keys, rig.served_prefixes(), n * 50_000_000)
        metrics = summary["metrics"]
        took, shed = metrics["http_req_duration"], metrics.get("shed_answers", {"count": 0})["count"]
        rows.append(
            row(
                f"k6 {script}.js",
                metrics["http_reqs"]["rate"],
                None,
                took["med"],
                took.get("p(99)", took["p(95)"]),
                shed + metrics.get("unexpected_answers", {"count": 0})["count"],
                goal="its thresholds",
                note="a threshold was crossed" if summary["crossed"] else "every threshold was kept",
            )
        )
    daemon.wait_settled()
    daemon.stop()
    daemon.verify()
    record("k6", rows)


def write_table():
    """One table of everything that was measured, in the order of the steps."""
    measured = results()
    revision = rig.run("git", "describe", "--always", "--dirty", stdout=-1, text=True).stdout.strip()
    model = next(
        (line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    lines = [
        "# What the load tests measured",
        "",
        f"{os.cpu_count()} cores ({model}), {datetime.date.today()}, revision {revision}. Client, daemon and Postgres share "
        "the machine; Postgres runs with fsync on. Processor shares are in cores. After every step `nexo-route verify` "
        "found the ledger whole. Made by `make load`; read ratios, not absolutes.",
        "",
        "| what | per second | of bare | p50 ms | p99 ms | other answers | daemon / Postgres / client cores | goal | note |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    number = lambda value, form: "" if value is None else format(value, form)
    for name in STEPS:
        for entry in measured.get(name, {}).get("rows", []):
            shares = entry["shares"]
            cores = " / ".join(str(shares.get(who, "–")) for who in ("daemon", "postgres", "client")) if shares else ""
            cells = [
                entry["what"],
                number(entry["rate"], ",.0f"),
                number(entry["ratio"], ".0%"),
                number(entry["p50"], ".1f"),
                number(entry["p99"], ".1f"),
                number(entry["other"], ",d"),
                cores,
                entry["goal"],
                entry["note"],
            ]
            lines.append("| " + " | ".join(cells) + " |")
    TABLE.write_text("\n".join(lines) + "\n")
    print(TABLE.read_text())


def leave_nothing_behind():
    """The next step measures itself: not the server's care for tables that nobody reads any more, nor a disk that still writes them."""
    if postgres_cluster is not None:
        postgres_cluster.drop_databases()
    for file in rig.WORK.glob("*/nexo.db*"):
        file.unlink()
    os.sync()


def main():
    wanted = sys.argv[1:]
    if not wanted or wanted == ["list"]:
        print(__doc__)
        for name, function in STEPS.items():
            print(f"{name:<16} {function.__doc__.splitlines()[0]}")
        return
    wanted = list(STEPS) if wanted == ["all"] else [name for name in wanted if name != "table"]
    unknown = [name for name in wanted if name not in STEPS]
    if unknown:
        raise SystemExit(f"no step {', '.join(unknown)}; see `load-tests/run.py list`")
    if wanted:
        rig.build()
    for name in wanted:
        rig.say(f"{name}: {STEPS[name].__doc__.splitlines()[0]}")
        STEPS[name]()
        leave_nothing_behind()
    write_table()


if __name__ == "__main__":
    main()
