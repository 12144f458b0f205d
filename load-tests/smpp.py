"""SMPP in the load and chaos tests: our simulator as the centre, what its journal witnesses, a carrier table that leads to it."""

import json
import os
import signal
import subprocess
import time
import tomllib

import rig

SYSTEM_ID, PASSWORD = "nexo", "rehearse"
# For the program that drives a link alone; daemons read a file.
os.environ["NEXO_SMPP_PASSWORD"] = PASSWORD
SECOND_US = 1_000_000


class Centre:
    """`nexo-route sim smpp`; settings are those of `[simulator]`, all delays 0 if nothing is said."""

    def __init__(self, name, *options, journal=True, **simulator):
        self.folder = rig.WORK / f"centre-{name}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.journal_file = self.folder / "journal"
        self.journal_file.unlink(missing_ok=True)
        config = self.folder / "centre.toml"
        config.write_text(rig.as_toml(rig.merged({"log": {"filter": "warn"}}, {"simulator": rig.BASE["simulator"] | simulator})))
        command = [rig.DAEMON, "sim", "smpp", "--json", "--port", 0, "--config", config, *options]
        command += ["--journal", self.journal_file] if journal else []
        self.process = rig.spawn(command, stdout=subprocess.PIPE, text=True)
        self.address = json.loads(self.process.stdout.readline())["address"]

    def cut(self):
        self.process.send_signal(signal.SIGUSR1)

    def mend(self):
        self.process.send_signal(signal.SIGUSR2)

    def pids(self):
        return [self.process.pid]

    def journal(self, what=None):
        """Its lines so far, or those of one kind; a line that is half written is left out."""
        lines = []
        for line in self.journal_file.read_text().splitlines() if self.journal_file.exists() else []:
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return [line for line in lines if what in (None, line["what"])]

    def taken(self):
        """The submits that may reach a phone: accepted, never answered, or cut off after they were taken."""
        return [line for line in self.journal("submit") if line["id"]]

    def duplicates(self):
        """Phones to which more than one message was taken; every phone of a run is ordered once."""
        seen, twice = set(), []
        for line in self.taken():
            if line["token"] in seen:
                twice.append(line)
            seen.add(line["token"])
        return twice

    def stop(self):
        self.process.terminate()
        if self.process.wait(timeout=10) != 0:
            raise SystemExit(f"the centre ended with {self.process.returncode}")


def carriers(folder, centre, **upstream):
    """The settings by which a daemon sends everything by SMS to `centre`; the table is written into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    secret, table = folder / "smpp.password", folder / "carriers.toml"
    secret.touch(mode=0o600)
    secret.write_text(PASSWORD + "\n")
    shipped = tomllib.loads((rig.ROOT / "config/carriers.toml").read_text())
    settings = {"kind": "smpp", "address": centre.address, "system_id": SYSTEM_ID, "sender": "NEXO", "window": 50} | upstream
    lines = [f"price_usd = {json.dumps(shipped['price_usd'])}", "[upstream.centre]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    lines += [f"password = {{ file = {json.dumps(str(secret))} }}"]
    for name, entry in shipped["carrier"].items():
        lines += [f"[carrier.{name}]", 'channels = ["sms"]', f"prefixes = {json.dumps(entry['prefixes'])}"]
        lines += ['sms = [{ upstream = "centre" }]']
    for name, entry in shipped["not_served"].items():
        lines += [f"[not_served.{name}]", f"prefixes = {json.dumps(entry['prefixes'])}"]
    table.write_text("\n".join(lines) + "\n")
    return {"carriers": {"file": str(table)}}


def node(name, store, centre, *settings, **upstream):
    """A daemon whose only upstream is `centre`."""
    # A node makes its folder anew: the table lies beside it.
    return rig.Node(name, store, carriers(rig.WORK / f"{name}-carriers", centre, **upstream), *settings)


def driven(program, centre, count, window):
    """What one of the programs here achieves against `centre` over one bind."""
    command = [rig.RELEASE / "examples" / program, "--to", centre.address, "--count", count, "--window", window]
    done = rig.run(*command, stdout=subprocess.PIPE, text=True)
    result = json.loads(done.stdout)
    if result["accepted"] != count or result["receipts"] != count:
        raise SystemExit(f"{program}: of {count} submits {result['accepted']} were accepted, {result['receipts']} have a receipt")
    return result


NAMES = "SELECT a.reference, a.delivery, d.status, d.created_us, d.settle_us FROM attempts a JOIN deliveries d ON d.id = a.delivery"


def named(daemon):
    """Of every name that the centre gave an attempt: its delivery's id, status, and when it was made and is to be settled."""
    rows = daemon.rows(NAMES)
    return {reference: (delivery, int(status), int(created), int(settle)) for reference, delivery, status, created, settle in rows}


def wait_bound(centre, after_n, patience_s):
    """The seconds until a session is bound that is younger than line `after_n` of the journal."""
    began = time.monotonic()
    while not any(line["n"] > after_n for line in centre.journal("bound")):
        if time.monotonic() - began > patience_s:
            raise SystemExit(f"no bind within {patience_s} s")
        time.sleep(0.05)
    return time.monotonic() - began


def worst_second(times_us):
    """The most of `times_us` (sorted) in any second."""
    most, first = 0, 0
    for last, at in enumerate(times_us):
        while times_us[first] <= at - SECOND_US:
            first += 1
        most = max(most, last - first + 1)
    return most
