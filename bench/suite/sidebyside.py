"""Servers measured side by side with the limit: all are up at once, on the server's core, each has a load generator of its own on
the load's, and the generators take turns of some milliseconds. So all meet the same machine, and few rounds tell their ratio."""
import contextlib
import os
import signal
import subprocess
import time

from .measure import Rounds, seconds_around, Stolen, Trial, WARMUP
from .processes import Failure
from .ratio import Ratio, shown

BASE = "limit"  # the label of the server that the others are compared with
SLICE = 0.05  # seconds of a turn: long beside what it costs to change turns, short beside what the machine does meanwhile
CONNECTING_SECONDS, ENDING_SECONDS = 60, 30  # that a generator may take to connect; beyond its time to end: at most


class Generator:
    """A load generator that runs in its turns only. It stops itself when it has connected; SIGCONT and SIGSTOP do the rest."""

    def __init__(self, trial, kind, *arguments):
        self.trial, self.command = trial, trial.load_command(kind, *arguments, "--held")

    def __enter__(self):
        self.log = open(os.path.join(self.trial.place.name, "load.log"), "w+")
        # Should this process be killed: nothing else ends one that is stopped.
        self.popen = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *self.command], stdout=subprocess.PIPE, stderr=self.log,
                                      stdin=subprocess.DEVNULL, text=True)
        try:
            self.wait_until_connected()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.runs():
            self.popen.send_signal(signal.SIGCONT)
            self.popen.kill()
        self.popen.wait()
        self.popen.stdout.close()
        self.log.close()

    def wait_until_connected(self):
        """That is: stopped, or failed, of which its report tells."""
        deadline = time.monotonic() + CONNECTING_SECONDS
        while not self.rests(os.WNOHANG):
            if time.monotonic() > deadline:
                raise Failure(f"{self.trial.server.label}: not connected after {CONNECTING_SECONDS} s")
            time.sleep(0.005)

    def rests(self, how=0):
        """Waits until it is stopped, or has ended; with WNOHANG it tells whether."""
        if self.popen.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.popen.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT | how) is not None

    def runs(self):
        return self.popen.poll() is None

    def turn(self):
        """One slice. When its time is over, which goes on between turns, it ends with its next one."""
        if not self.runs():
            return
        self.popen.send_signal(signal.SIGCONT)
        time.sleep(SLICE)
        if self.runs():
            self.popen.send_signal(signal.SIGSTOP)
            self.rests()

    def report(self):
        self.log.seek(0)
        return self.trial.report(self.popen.wait(), self.popen.stdout.read(), self.log.read())


def take_turns(generators, seconds):
    """Until all have ended, which they should in this time."""
    deadline = time.monotonic() + seconds + ENDING_SECONDS
    while any(one.runs() for one in generators):
        if time.monotonic() > deadline:
            raise Failure("a load generator did not end")
        for one in generators:
            one.turn()


def of_limit(rounds, label):
    """What a core can do, of what it can for the limit at the same time: from rounds as in a case's JSON."""
    return Ratio.of_each([(one["servers"][BASE]["cpu_us"], one["servers"][label]["cpu_us"]) for one in rounds])


class SideBySide(Rounds):
    """Some servers, one of them with the label BASE, under one kind of load: its rounds."""

    RETAKES, ENOUGH = 1, Ratio.FEWEST  # what the machine takes, it takes from all of them

    def __init__(self, suite, label, servers, kind, arguments):
        super().__init__(suite, f"side by side, {label}", next(filter(None, (server.missing(suite) for server in servers)), None))
        self.servers, self.kind, self.arguments = servers, kind, arguments

    def times(self):
        """Seconds of a round, measured and before, for all turns together."""
        measured = self.suite.side_seconds * len(self.servers)
        return measured, measured * WARMUP

    def estimate(self):
        """Seconds that all rounds take, about."""
        if self.missing:
            return 0
        around = sum(seconds_around(server, self.arguments) for server in self.servers)
        return self.suite.side_rounds * (around + sum(self.times()))

    def run(self):
        for number in range(self.suite.side_rounds):
            order = self.servers[::-1] if number % 2 else self.servers
            self.take(lambda order=order: self.round(order))
        self.settle()

    def round(self, order):
        """Which of them has the first turn, and was started first, changes with the order."""
        measured, before = self.times()
        with contextlib.ExitStack() as stack:
            trials = [stack.enter_context(Trial(self.suite, server)) for server in order]
            generators = [stack.enter_context(Generator(trial, self.kind, *self.arguments, "--seconds", measured, "--warmup", before))
                          for trial in trials]
            stolen = Stolen()
            take_turns(generators, measured + before)
            share = stolen.share()
            reports = {one.trial.server.label: one.report() for one in generators}
        return {"stolen": share, "servers": {label: {name: found[name] for name in ("cpu_us", "operations", "server_cpu_seconds")}
                                             for label, found in reports.items()}}

    def line(self):
        """What stands under the case's table, or None."""
        if not self.rounds:
            return None
        ratios = "; ".join(f"{server.label} {shown(of_limit(self.rounds, server.label))}" for server in self.servers
                           if server.label != BASE)
        return (f"Side by side, what a core can do, of the limit: {ratios}. {len(self.rounds)} rounds, each "
                f"{self.suite.side_seconds:g} s a server in turns of {SLICE * 1000:.0f} ms.")

    def as_json(self):
        return {"missing": self.missing, "failures": self.failures, "retaken": self.retaken, "seconds": self.suite.side_seconds,
                "slice_seconds": SLICE, "rounds": self.rounds, "disturbed": self.disturbed}
