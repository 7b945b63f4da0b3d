"""Runs a load generator against a server, and makes one row of several rounds."""
import json
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time

from . import processes

WARMUP = 0.25  # of the measured time
COUNTING_SECONDS, COUNTING_WARMUP = 0.5, 0.1
OPENING_SECONDS = 90  # of idle connections, at most
STOLEN_MAX = 0.05  # of a core's time: a round from which others took more is taken again


def stolen_ticks():
    """Of each core, since the start: the time during which it had work, and the machine beneath ran something else."""
    with open("/proc/stat") as lines:
        return [int(line.split()[8]) for line in lines if re.match(r"cpu\d", line)]


class Stolen:
    """What the machine beneath takes away, from when this is made."""

    def __init__(self):
        self.before, self.start = stolen_ticks(), time.monotonic()

    def share(self):
        """Of a core's time until now; that of the core that lost most."""
        ticks = (time.monotonic() - self.start) * os.sysconf("SC_CLK_TCK")
        return max(after - was for was, after in zip(self.before, stolen_ticks())) / ticks


class Suite:
    """What all scenarios share: where programs are, on which cores what runs, how long and how often is measured. `side_rounds`,
    `side_seconds`: of what is measured side by side, the latter for each server."""

    def __init__(self, build, full, rounds, seconds, minutes=None, side_rounds=0, side_seconds=0.0):
        self.build, self.full, self.rounds, self.seconds = build, full, rounds, seconds
        self.side_rounds, self.side_seconds = side_rounds, side_seconds
        self.started = time.monotonic()
        self.deadline = self.started + minutes * 60 if minutes else None
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise processes.Failure("a server and its load need a core each: there is one")
        self.server_core, self.load_core = str(cores[0]), str(cores[1])
        self.backend_core = str(cores[2] if len(cores) > 2 else cores[1])

    def program(self, name):
        return os.path.join(self.build, name)

    def folder(self):
        return tempfile.TemporaryDirectory(prefix="tidegate-bench-")

    def say(self, text):
        print(text, flush=True)

    def elapsed(self):
        return time.monotonic() - self.started

    def is_out_of_time(self):
        return self.deadline is not None and time.monotonic() > self.deadline


class Trial:
    """A server that runs with its back end, for the time of one `with`."""

    def __init__(self, suite, server, cores=None, counting=False):
        self.suite, self.server, self.cores, self.counting = suite, server, cores or suite.server_core, counting
        self.backend = self.process = None

    def __enter__(self):
        self.place = self.suite.folder()
        folder = self.place.name
        os.chmod(folder, 0o755)
        backend = processes.free_port()
        self.backend = processes.Process([self.suite.program("bench/bench_backend"), str(backend)],
                                         self.suite.backend_core, os.path.join(folder, "backend.log"))
        try:
            self.backend.wait_until(lambda: self.backend.listens(backend))
            environment = {}
            if self.counting and self.server.counts_allocations:
                self.counters = os.path.join(folder, "counters")
                environment = {"LD_PRELOAD": self.suite.program("bench/libbench_alloccount.so"),
                               "BENCH_COUNTERS": self.counters}
            self.process, self.port, self.second_port = self.server.start(self.suite, folder, backend, self.cores,
                                                                          environment)
        except BaseException:
            self.backend.stop()
            self.place.cleanup()
            raise
        return self

    def __exit__(self, *_):
        self.process.stop()
        self.backend.stop()
        self.place.cleanup()

    def load_command(self, kind, *arguments):
        return ["taskset", "-c", self.suite.load_core, self.suite.program("bench/bench_load"), kind,
                *self.server.load_arguments(kind, self.port, self.second_port),
                "--servers", ",".join(map(str, self.process.pids())), *map(str, arguments),
                *(["--beside", str(self.backend.popen.pid)] if self.suite.backend_core == self.suite.load_core else [])]

    def load(self, kind, *arguments, limit=90):
        """What the load generator reports, with what follows from it."""
        command = self.load_command(kind, *arguments)
        if self.counting:
            command += ["--syscalls"]
            command += ["--counters", self.counters] if self.server.counts_allocations else []
        stolen = Stolen()
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
        share = stolen.share()
        return {**self.report(done.returncode, done.stdout, done.stderr), "stolen": share}

    def report(self, status, output, said):
        """Of a load generator that has ended."""
        if status != 0:
            raise processes.Failure(f"{self.server.label}: {said.strip()[-500:]}\n{self.process.logged()[-500:]}")
        found = json.loads(output)
        if found["operations"] == 0:
            raise processes.Failure(f"{self.server.label}: not one operation ended in {found['seconds']:.1f} s")
        return derive(found)


def derive(report):
    operations = report["operations"]
    report["rate"] = report["operations"] / report["seconds"]
    report["cpu_us"] = report["server_cpu_seconds"] / operations * 1e6
    report["server_share"] = report["server_cpu_seconds"] / report["seconds"]
    report["load_share"] = (report["load_cpu_seconds"] + report["beside_cpu_seconds"]) / report["seconds"]
    for name in ("syscalls", "allocations"):
        if name in report:
            report[f"{name}_each"] = report[name] / operations
    return report


def median(values):
    return statistics.median(values)


def spread(values):
    """From the lowest to the highest, as a share of the median."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


class Rounds:
    """Of one measurement: those that count, those that the machine disturbed, and what failed. A round has "stolen"."""

    ATTEMPTS = 2  # that may fail, before no more are made
    RETAKES, ENOUGH = 2, 3  # so often is one taken again; it does not count then if so many others do

    def __init__(self, suite, label, missing):
        self.suite, self.label, self.missing = suite, label, missing
        self.rounds, self.failures, self.retaken, self.disturbed = [], [], 0, []

    def attempt(self, action):
        """Whatever goes wrong is noted: what else is to be measured must not suffer."""
        if self.missing or len(self.failures) >= self.ATTEMPTS or self.suite.is_out_of_time():
            return None
        try:
            return action()
        except (processes.Failure, subprocess.SubprocessError, OSError, ValueError, KeyError) as error:
            self.failures.append(str(error) or type(error).__name__)
            return None

    def take(self, action):
        """A round. It is taken again while the machine took too much of it away; the one that lost least counts."""
        best = self.attempt(action)
        for _ in range(self.RETAKES):
            if best is None or best["stolen"] <= STOLEN_MAX:
                break
            other = self.attempt(action)
            self.retaken += other is not None
            best = min(best, other or best, key=lambda one: one["stolen"])
        if best is not None:
            self.rounds.append(best)

    def settle(self):
        """All rounds are there: sets those aside of which the machine took too much, if enough others are left."""
        good = [one for one in self.rounds if one["stolen"] <= STOLEN_MAX]
        if len(good) >= self.ENOUGH:
            self.disturbed = [one for one in self.rounds if one["stolen"] > STOLEN_MAX]
            self.rounds = good


class Row(Rounds):
    """One server in one case: its rounds and, from a run of its own, what it counted."""

    def __init__(self, suite, server):
        super().__init__(suite, server.label, server.missing(suite))
        self.server, self.counted = server, {}

    def values(self, name):
        return [one[name] for one in self.rounds]

    def middle(self, name):
        return median(self.values(name))

    def latency(self, name):
        """None where nothing ended that latency is of, such as a fan-out's round."""
        found = [one["latency_us"][name] for one in self.rounds if one["latency_us"]["max"] > 0]
        return median(found) if found else None

    def why_not(self):
        """A line to stand where figures would."""
        return (self.missing or (self.failures or ["no time was left"])[0]).strip().split("\n")[0][:100]

    def measure(self, kind, arguments, cores=None):
        def action():
            with Trial(self.suite, self.server, cores) as trial:
                return trial.load(kind, *arguments)
        self.take(action)

    def count(self, kind, arguments, cores=None):
        def action():
            with Trial(self.suite, self.server, cores, counting=True) as trial:
                self.counted = trial.load(kind, *arguments, "--seconds", COUNTING_SECONDS, "--warmup", COUNTING_WARMUP)
        if self.rounds:
            self.attempt(action)

    def as_json(self):
        kept = ("seconds", "operations", "errors", "rate", "cpu_us", "server_share", "load_share", "process_cpu_seconds", "stolen",
                "redis", "tls_handshakes", "tls_resumed", "latency_us", "lag_us")
        def short(rounds):
            return [{name: one[name] for name in kept if name in one} for one in rounds]
        return {"server": self.server.label, "missing": self.missing, "failures": self.failures, "retaken": self.retaken,
                "rounds": short(self.rounds), "disturbed": short(self.disturbed),
                "counted": {name: self.counted[name] for name in ("syscalls_each", "allocations_each") if name in self.counted}}


def disturbances(measured):
    """Of rows, or what else has rounds: a sentence about what the machine took away, or None."""
    retaken, aside = sum(row.retaken for row in measured), sum(len(row.disturbed) for row in measured)
    left = [one["stolen"] for row in measured for one in row.rounds if one.get("stolen", 0) > STOLEN_MAX]
    if not retaken and not left:
        return None
    kept = f"; {len(left)} that count lost more even so, {max(left):.0%} at most" if left else ""
    return (f"Rounds taken again, because something beneath this machine took more than {STOLEN_MAX:.0%} of a core: {retaken}; "
            f"not counted for it in the end: {aside}{kept}.")


def times(suite, seconds=None):
    return ["--seconds", seconds or suite.seconds, "--warmup", suite.seconds * WARMUP]


def take_rounds(suite, rows, measure):
    """Calls measure(row) for the rounds in turn, A B A B, so that what the machine does meanwhile meets all."""
    for _ in range(suite.rounds):
        for row in rows:
            measure(row)
    for row in rows:
        row.settle()


def run_case(suite, case, cores=None):
    """Fills the case's rows."""
    case.rows = [Row(suite, server) for server in case.candidates]
    take_rounds(suite, case.rows, lambda row: row.measure(case.kind, [*case.arguments, *times(suite)], cores))
    for row in case.rows:
        row.count(case.kind, case.arguments, cores)


def seconds_around(server, arguments):
    """That pass before and after what a round measures, about."""
    words = [*map(str, arguments), *server.more_load]
    connections = int(words[words.index("--connections") + 1]) if "--connections" in words else 100
    return server.seconds_to_start + connections * (0.0008 if server.options.get("tls") else 0.00015)


def estimate(suite, case):
    """Seconds that a case takes, about."""
    def of(server):
        around = seconds_around(server, case.arguments)
        return (suite.rounds * (around + suite.seconds * (1 + WARMUP)) + around + COUNTING_SECONDS + COUNTING_WARMUP)
    return sum(of(server) for server in case.candidates if server.missing(suite) is None)


def cpu_ns(pids):
    total = 0
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat") as line:
                total += int(line.read().split()[0])
    return total


def status_sum(pids, field, threads=False):
    """The sum of a number in /proc/PID/status, of processes or of all of their threads."""
    total = 0
    for pid in pids:
        places = [f"/proc/{pid}/task/{thread}" for thread in os.listdir(f"/proc/{pid}/task")] if threads else [f"/proc/{pid}"]
        for place in places:
            with open(f"{place}/status") as lines:
                total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
    return total


def kernel_memory_kb():
    """What the kernel itself takes that has to do with sockets, of the whole machine: slabs that nothing can reclaim, the
    sockets' inodes, the pages of their buffers."""
    with open("/proc/meminfo") as lines:
        total = sum(int(line.split()[1]) for line in lines if line.startswith(("SUnreclaim:", "PageTables:")))
    with open("/proc/slabinfo") as lines:
        total += sum(int(line.split()[1]) * int(line.split()[3]) // 1024 for line in lines if line.startswith("sock_inode_cache"))
    with open("/proc/net/sockstat") as lines:
        return total + sum(int(line.split()[-1]) * 4 for line in lines if line.startswith("TCP:"))


def idle(suite, server, connections, seconds):
    """Memory, CPU and wake-ups of connections that do nothing."""
    with Trial(suite, server) as trial:
        pids = trial.process.pids()
        time.sleep(0.5)
        before, kernel = status_sum(pids, "VmRSS"), kernel_memory_kb()
        holder = subprocess.Popen(trial.load_command("idle", "--connections", connections), stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        watchdog = threading.Timer(OPENING_SECONDS, holder.kill)
        watchdog.start()
        try:
            opened = holder.stdout.readline()
            watchdog.cancel()
            if not opened:
                raise processes.Failure(f"{server.label}: not open after {OPENING_SECONDS} s, or: {holder.stderr.read()[-500:]}")
            time.sleep(2)
            pids = trial.process.pids()
            pids.remove(holder.pid) if holder.pid in pids else None
            after, kernel_after = status_sum(pids, "VmRSS"), kernel_memory_kb()
            cpu, wakes, start = cpu_ns(pids), status_sum(pids, "voluntary_ctxt_switches", True), time.monotonic()
            time.sleep(seconds)
            took = time.monotonic() - start
            return {"open_seconds": json.loads(opened)["seconds"], "connections": connections,
                    "user_bytes": (after - before) * 1024 / connections,
                    "kernel_bytes": (kernel_after - kernel) * 1024 / connections,
                    "cpu_percent": (cpu_ns(pids) - cpu) / took / 1e7,
                    "wakes": (status_sum(pids, "voluntary_ctxt_switches", True) - wakes) / took}
        finally:
            watchdog.cancel()
            holder.kill()
            holder.wait()
