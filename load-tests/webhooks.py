"""What becomes of events under load: every one told once to every endpoint, and nothing told that was not claimed.

The receivers' own counts are held against the rows: neither is believed alone.
"""

import statistics
import time

import rig

# Deliveries that ended and the endpoints of their account: what is to be told.
OWED = """
SELECT d.id, e.id FROM deliveries d JOIN webhook_endpoints e ON e.account = d.account
WHERE d.status <> 0 AND d.completed_us >= e.created_us
"""
CLAIMED = "SELECT delivery, endpoint, COUNT(*) FROM webhook_attempts WHERE cause = 0 GROUP BY delivery, endpoint"
QUEUED = "SELECT delivery, endpoint FROM webhook_outbox"
# From the end of the delivery to the row that says that the receiver has accepted it.
DELAYS = """
SELECT r.completed_us - d.completed_us FROM webhook_results r JOIN webhook_attempts a ON a.id = r.attempt
JOIN deliveries d ON d.id = a.delivery WHERE r.outcome = 1 AND a.cause = 0
"""
OUTCOMES = "SELECT r.outcome, COALESCE(r.fault, ''), COUNT(*) FROM webhook_results r GROUP BY 1, 2"
ACCEPTED = 1


def register(node, receiver, each=2):
    """Gives every account endpoints at the good receiver, each with a path of its own; returns path → endpoint."""
    paths = {}
    for n, account in enumerate(node.accounts):
        for m in range(each):
            path = f"/{n}/{m}"
            paths[path] = node.endpoint(account, receiver.url(path))
    return paths


def percentiles(values):
    """p50 and p99 in milliseconds of microseconds."""
    if len(values) < 2:
        raise SystemExit(f"{len(values)} notices were accepted")
    cuts = statistics.quantiles(values, n=100)
    return cuts[49] / 1_000, cuts[98] / 1_000


def delays(node, more=""):
    return percentiles([int(row[0]) for row in node.rows(DELAYS + more)])


class Accounts:
    """The receiver's counts beside the rows of the database."""

    def __init__(self, node, receiver, paths):
        self.owed = {tuple(row) for row in node.rows(OWED)}
        self.claimed = {(delivery, endpoint): int(count) for delivery, endpoint, count in node.rows(CLAIMED)}
        self.queued = {tuple(row) for row in node.rows(QUEUED)}
        # Asked for after the claims were read, and only when nobody sends.
        self.told = {(delivery, paths[path]): times for (path, delivery), times in receiver.log().items()}
        self.strange = receiver.stats()["strange"]

    def breaches(self):
        """Whatever breaks the promise: sent once, claimed before it is sent, forgotten never."""
        found = {
            "sent more than once": [pair for pair, times in self.told.items() if times > 1],
            "claimed more than once": [pair for pair, count in self.claimed.items() if count > 1],
            "sent without a claim": [pair for pair in self.told if pair not in self.claimed],
            "claimed and queued": [pair for pair in self.queued if pair in self.claimed],
            "neither queued nor claimed": [pair for pair in self.owed if pair not in self.claimed and pair not in self.queued],
            "told of what has not ended": [pair for pair in self.told if pair not in self.owed],
            "no notice": ["POSTs"] * self.strange,
        }
        return {what: pairs for what, pairs in found.items() if pairs}

    def check(self):
        breaches = self.breaches()
        if breaches:
            first = {what: (len(pairs), pairs[:3]) for what, pairs in breaches.items()}
            raise SystemExit(f"BREACH (webhooks): {first}")


def outcomes(node):
    return {f"{outcome} {fault}".strip(): int(count) for outcome, fault, count in node.rows(OUTCOMES)}


def open_loop(node, engine_pids, rate, seconds):
    """Two endpoints of one account, fixed rate: everything is told once. Returns the facts."""
    keys = node.provision(accounts=1)
    receiver = rig.Receiver()
    paths = register(node, receiver)
    node.start()
    prefixes = rig.served_prefixes()
    rig.open_loop_result(rig.open_loop(node.api, keys, prefixes, 0, [(rate / 10, 2)]))
    before = receiver.stats()["posts"]
    client = rig.open_loop(node.api, keys, prefixes, 50_000_000, [(rate, seconds)])
    time.sleep(0.5)
    look = rig.Processor(daemon=node.pids, client=lambda: [client.pid], receiver=receiver.pids, **engine_pids)
    time.sleep(max(seconds - 1, 0.5))
    shares, rss_kib = look.shares(), node.rss_kib()
    posted = receiver.stats()["posts"] - before
    report = rig.open_loop_result(client)
    node.wait_settled()
    behind = node.wait_told()
    p50, p99 = delays(node)
    accounts = Accounts(node, receiver, paths)
    node.stop()
    node.verify()
    accounts.check()
    totals = receiver.stop()
    lost = len(accounts.owed) - totals["distinct"]
    if lost or totals["repeated"]:
        raise SystemExit(f"BREACH: of {len(accounts.owed)} notices {lost} were lost and {totals['repeated']} repeated")
    return {
        "told": totals["posts"],
        "rate": posted / (seconds - 0.5),
        "p50": p50,
        "p99": p99,
        "behind": behind,
        "shares": shares,
        "rss_mib": rss_kib // 1024,
        "answers": report["answers"],
        "otp": report["answers"]["202"],
        "outcomes": outcomes(node),
    }


def settle(node, receiver, paths):
    """After a run at full speed: waits for the last notice and checks the promise. Returns seconds and totals."""
    behind = node.wait_told(patience_s=600)
    accounts = Accounts(node, receiver, paths)
    node.stop()
    node.verify()
    accounts.check()
    totals = receiver.stop()
    if len(accounts.owed) != totals["distinct"]:
        raise SystemExit(f"BREACH: {len(accounts.owed)} notices are owed, {totals['distinct']} came")
    return behind, totals


def attempts_of(node, endpoint):
    """Outcomes by fault, and the milliseconds of each attempt at one endpoint that was sent."""
    rows = node.rows(
        "SELECT r.outcome, COALESCE(r.fault, ''), r.total_us, a.endpoint FROM webhook_results r "
        "JOIN webhook_attempts a ON a.id = r.attempt WHERE r.outcome <> 3"
    )
    ours = [(int(outcome), fault, int(total) / 1_000) for outcome, fault, total, of in rows if of == endpoint]
    faults = {}
    for outcome, fault, _ in ours:
        word = "accepted" if outcome == ACCEPTED else fault
        faults[word] = faults.get(word, 0) + 1
    return faults, [total for *_, total in ours]


def hostile(node, manners, rate, seconds):
    """One account's endpoint is hostile in turn, another's is good. Yields the facts of each manner, first without any."""
    bad_key, good_key = node.provision(accounts=2)
    bad, good = node.accounts
    receiver = rig.Receiver(bomb=rig.bomb())
    good_endpoint = node.endpoint(good, receiver.url("/good"))
    node.start()
    prefixes = rig.served_prefixes()
    phones, since_us = 0, 0
    for manner in ("good", *manners):
        endpoint = node.endpoint(bad, receiver.url("/bad", manner))
        # The daemon reads endpoints when events come: there is nothing to wait for.
        client = rig.open_loop(node.api, [bad_key, good_key], prefixes, phones, [(rate, seconds)])
        phones += int(rate * seconds) + 1_000
        most_kib = 0
        while client.poll() is None:
            most_kib = max(most_kib, node.rss_kib())
            time.sleep(0.1)
        rig.open_loop_result(client)
        node.wait_settled()
        # What is still queued for the hostile one is discarded once it is deleted; its last attempt takes its 5 s.
        node.command("webhook", "delete", endpoint)
        node.wait_told(patience_s=60)
        faults, totals = attempts_of(node, endpoint)
        if not totals:
            raise SystemExit(f"nothing was sent to the receiver of {manner}")
        p50, p99 = delays_of(node, good_endpoint, since_us)
        since_us = int(node.rows("SELECT MAX(completed_us) FROM deliveries")[0][0])
        yield {
            "manner": manner,
            "faults": faults,
            "longest": max(totals),
            "p50": p50,
            "p99": p99,
            "rss_mib": most_kib // 1024,
        }
    node.stop()
    node.verify()
    repeated = [pair for pair, times in receiver.log().items() if times > 1]
    if repeated:
        raise SystemExit(f"BREACH: {len(repeated)} notices came twice, e.g. {repeated[:3]}")
    receiver.stop()


def delays_of(node, endpoint, since_us):
    rows = node.rows(
        "SELECT r.completed_us - d.completed_us, a.endpoint FROM webhook_results r JOIN webhook_attempts a ON a.id = r.attempt "
        f"JOIN deliveries d ON d.id = a.delivery WHERE r.outcome = 1 AND d.completed_us > {since_us}"
    )
    return percentiles([int(delay) for delay, of in rows if of == endpoint])
