"""What is measured: each scenario is a title, cases of servers and a load, and how its table is made."""
from . import report
from .measure import disturbances, estimate, idle, median, Row, run_case, spread, take_rounds, times
from .servers import (DESCRIPTORS, Haproxy, Limit, LimitProxy, Mosquitto, Nginx, NodeWs, Pushpin, Tidegate,
                      TidegateNodes)
from .sidebyside import SideBySide


class Case:
    def __init__(self, label, candidates, kind, *arguments):
        self.label, self.candidates, self.kind, self.arguments, self.rows = label, candidates, kind, arguments, []
        self.side_by_side = None

    def beside_limit(self, suite, *servers):
        """That these are measured side by side with the limit as well: for ratios that have an aim."""
        if suite.side_rounds > 0:
            self.side_by_side = SideBySide(suite, self.label, [*servers, Limit()], self.kind, self.arguments)
        return self

    def table(self):
        below = self.side_by_side.line() if self.side_by_side else None
        return {"label": self.label, "head": report.HEAD, "rows": report.load_rows(self), "below": below}

    def data(self):
        beside = {"side_by_side": self.side_by_side.as_json()} if self.side_by_side else {}
        return {"case": self.label, "load": [self.kind, *map(str, self.arguments)], "rows": [row.as_json() for row in self.rows], **beside}


class Scenario:
    """The usual kind: every case is a load that each of its servers gets in turn."""

    name = title = unit = note = None
    cores = None

    def __init__(self, suite):
        self.suite = suite
        self.error = None
        self.cases = self.make_cases(suite.full)

    def make_cases(self, full):
        raise NotImplementedError

    def estimate(self):
        return (sum(estimate(self.suite, case) for case in self.cases) +
                sum(case.side_by_side.estimate() for case in self.cases if case.side_by_side))

    def run(self, save):
        """Calls `save` whenever there is more."""
        for case in self.cases:
            run_case(self.suite, case, self.cores)
            if case.side_by_side:
                save()
                case.side_by_side.run()
            self.suite.say(f"\n{self.title}: {case.label}\n{report.table_text(case.table())}")
            save()

    def rows(self):
        return [row for case in self.cases for row in case.rows]

    def measured(self):
        """Rows, and what stands side by side."""
        return self.rows() + [case.side_by_side for case in self.cases if case.rows and case.side_by_side]

    def failures(self):
        found = [f"{row.label}: {failure}" for row in self.measured() for failure in row.failures]
        unmeasured = [f"{row.label}: no time was left" for row in self.measured()
                      if not row.rounds and not row.missing and not row.failures]
        return found + unmeasured + ([self.error] if self.error else [])

    def disturbances(self):
        return disturbances(self.measured())

    def tables(self):
        return [case.table() for case in self.cases if case.rows]

    def picture(self):
        return report.cpu_chart(self)

    def data(self):
        return {"unit": self.unit, "cases": [case.data() for case in self.cases]}


def size_name(size):
    return f"{size} B" if size < 1024 else f"{size // 1024} KiB"


def many_connections():
    return max(1000, min(18000, DESCRIPTORS - 1000))


def nchan(**options):
    return Nginx("nginx, nchan", **options)


class Echo(Scenario):
    name, unit = "echo", "message"
    title = "A message and its reply, through route selection (MOCK, two-way)"

    def make_cases(self, full):
        shapes = [(depth, size, connections) for connections in (100, 5000) for depth in (1, 8) for size in (20, 1024, 16384)]
        if not full:
            shapes = [(1, 20, 100), (8, 20, 100), (1, 1024, 100), (1, 16384, 100), (1, 20, 5000)]
        cases = []
        for depth, size, connections in shapes:
            peers = [NodeWs(), nchan(), Mosquitto()] if full and (connections == 100 or (depth, size) == (1, 20)) else []
            peers = peers if full or connections > 100 else [NodeWs()]
            case = Case(f"{size_name(size)}, {connections} connections, depth {depth}", [Tidegate(), Limit(), *peers], "echo",
                        "--connections", connections, "--depth", depth, "--size", size)
            has_aim = connections == 100 and (depth == 1 or size == 20)
            cases.append(case.beside_limit(self.suite, Tidegate()) if has_aim else case)
        return cases


class Push(Scenario):
    name, unit = "push", "push"
    title = "A push: POST to @connections over kept connections, 16 publishers"
    note = ("The limit verifies no signature. mosquitto: MQTT, QoS 0, no answer to a publish. pushpin closes a publisher's HTTP "
            "connection after each publish, so that a connection is part of its cost; by ZeroMQ a publish has no answer; it has 256 "
            "publishers, since it waits some 40 ms before it sends.")

    def make_cases(self, full):
        cases = []
        for size in ((64, 1024, 16384) if full else (64,)):
            candidates = [Tidegate(), Tidegate("tidegate, sigv4", auth="sigv4"), Limit(), NodeWs(), nchan()]
            candidates += [Mosquitto()] if full else []
            if size == 64:
                many = ["--publishers", "256"]
                candidates += [Pushpin("pushpin, HTTP", load=many), Pushpin("pushpin, ZeroMQ", load=many, zmq=True)]
            case = Case(f"{size_name(size)}, 1000 clients", candidates, "push", "--connections", 1000, "--size", size)
            cases.append(case.beside_limit(self.suite, *candidates[:2]) if size == 64 else case)
        return cases


class BackEnd(Scenario):
    name, unit = "backend", "message"
    title = "A message to an HTTP back end (HTTP_PROXY), and its answer to the client"
    note = "ws: node's http client. pushpin: WebSocket over HTTP; it cuts connections where 1,000 ask at the same time. The second table's proxies forward a POST to the same back end."

    def make_cases(self, full):
        candidates = [Tidegate(route="app"), Limit(app=True), NodeWs(app=True)]
        cases = [Case(f"20 B, {connections} connections", candidates + ([Pushpin()] if full and connections == 100 else []), "echo",
                      "--connections", connections)
                 for connections in ((100, 1000) if full else (100,))]
        return cases[:1] + [Case("an HTTP POST of 20 B proxied, 100 connections", [Nginx("nginx", proxy=True), Haproxy()], "http",
                                 "--connections", 100, "--method", "POST", "--path", "/app", "--size", 20)] + cases[1:]


class Fanout(Scenario):
    name, unit = "fanout", "delivery"
    title = "A message to every client: parallel pushes by 64 publishers; latency is that of a whole round"
    note = ("tidegate, one call: a single POST that names all connections, beyond the native service. nginx and mosquitto: one publish "
            "to a channel that all have subscribed to.")

    def make_cases(self, full):
        one = ["--broadcast"]
        candidates = [Tidegate(), Limit(), Tidegate("tidegate, one call", batch=True, load=["--batch"]),
                      Nginx("nginx, nchan, one publish", load=one), Mosquitto("mosquitto, one publish", load=one)]
        return [Case(f"{connections} clients", candidates, "fanout", "--connections", connections, "--publishers", 64)
                .beside_limit(self.suite, Tidegate()) for connections in (1000, 10000)]


class Handshake(Scenario):
    name, unit = "handshake", "handshake"
    title = "Handshakes: opened, then cut; 32 under way"

    def make_cases(self, full):
        plain = [Tidegate(), Limit(), NodeWs(), nchan()] + ([Mosquitto()] if full else [])
        asked = [Tidegate(connect=True), Limit(connect=True)]
        return [Case("without $connect", plain, "handshake", "--connections", 32),
                Case("$connect asks a back end", asked, "handshake", "--connections", 32)]


class Tls(Scenario):
    name, unit = "tls", "operation"
    title = "Over TLS 1.3 (AES-128-GCM, X25519, a P-256 certificate)"
    note = ("The load generator offers this one cipher and group to all, and trusts any certificate. Resumed: with a session ticket of "
            "an earlier connection. A handshake costs the client more than the server: load CPU says so, and then the CPU columns "
            "compare. The limit is bare OpenSSL under bench/limit.c.")

    def make_cases(self, full):
        def all_of_them():
            return [Tidegate(tls=True), Limit(tls=True), *([NodeWs(tls=True)] if full else []), nchan(tls=True)]
        cases = [Case("echo, 20 B, 100 connections, depth 1", all_of_them(), "echo", "--connections", 100),
                 Case("echo, 20 B, 100 connections, depth 8", all_of_them(), "echo", "--connections", 100, "--depth", 8),
                 Case("push, 64 B, 1000 clients", all_of_them(), "push", "--connections", 1000, "--size", 64),
                 Case("handshakes, full", all_of_them(), "handshake", "--connections", 32),
                 Case("handshakes, resumed", all_of_them(), "handshake", "--connections", 32, "--resume")]
        if full:
            asked = [Tidegate(tls=True, route="app"), Limit(tls=True, app=True)]
            told = [Tidegate(tls=True), Limit(tls=True), Nginx("nginx, nchan, one publish", tls=True, load=["--broadcast"])]
            cases += [Case("a message to a back end and back, 100 connections", asked, "echo", "--connections", 100),
                      Case("a message to each of 1000 clients", told, "fanout", "--connections", 1000, "--publishers", 64)]
        return cases


class Proxy(Scenario):
    name, unit = "proxy", "request"
    title = "HTTP requests proxied to the same back end, 64 clients"

    def make_cases(self, full):
        def candidates():
            return [Tidegate(http=True), LimitProxy(), Nginx("nginx", proxy=True), Haproxy()]
        cases = [Case("GET, answer of 20 B", candidates(), "http", "--connections", 64, "--path", "/x")]
        if full:
            cases += [Case("GET, answer of 1 KiB", candidates(), "http", "--connections", 64, "--path", "/x1k"),
                      Case("GET, answer of 16 KiB", candidates(), "http", "--connections", 64, "--path", "/x16k"),
                      Case("POST of 1 KiB, answer of 1 KiB", candidates(), "http", "--connections", 64, "--path", "/x1k",
                           "--method", "POST", "--size", 1024)]
        return cases


class Workers(Scenario):
    name, unit = "workers", "message"
    title = "Two workers against one, on the cores of server and load together"
    note = "The load shares the cores: CPU a message tells what a second worker costs, op/s what it brings beside a load."

    def make_cases(self, full):
        self.cores = f"{self.suite.server_core},{self.suite.load_core}"
        pair = [Tidegate("tidegate, 1 worker"), Tidegate("tidegate, 2 workers", workers=2)]
        push = [Tidegate("tidegate, 1 worker"), Tidegate("tidegate, 2 workers", workers=2)]
        return [Case("echo, 20 B, 100 connections", pair, "echo", "--connections", 100),
                Case("push, 64 B, 1000 clients", push, "push", "--connections", 1000, "--size", 64)]


class Cluster(Scenario):
    """Pushes that come to a node which does not hold the connection."""

    name, unit = "cluster", "push"
    title = "Pushes through another node: publishers at node A, clients at A or at B, one Redis; 64 B, 1000 clients, 16 publishers"
    note = ("Three servers and a load on two cores: both nodes and Redis share the one, the load has the other. So pushes/s is what one "
            "core does for all three, and the three CPU columns say what each would do on a core of its own. The second table is an "
            "open loop at the same rate for both, half of what this one core can do across nodes: its latency is that of a fleet with "
            "room, except that the three take turns on a core.")
    HEAD = ["", "pushes/s", "of same node", "CPU us/push", "Redis", "node A", "node B", "spread", "load CPU", "Redis commands/push",
            "syscalls/push", "p50 us", "p99 us"]
    STEADY = ["", "rate/s", "p50 us", "p99 us", "p99.9 us", "p99, of same node", "lag p99 us", "servers' CPU"]

    def make_cases(self, full):
        load = ["--connections", 1000, "--size", 64]
        self.at_ease = [Case("at the same rate", self.nodes(), "push", *load)]
        return [Case("at full load", self.nodes(), "push", *load)]

    def nodes(self):
        return [TidegateNodes("same node"), TidegateNodes("other node", cross=True)]

    def estimate(self):
        return super().estimate() * 2

    def run(self, save):
        case, = self.cases
        run_case(self.suite, case)
        save()
        steady, = self.at_ease
        steady.rows = [Row(self.suite, server) for server in steady.candidates]
        if case.rows[1].rounds:
            rate = int(1e6 / case.rows[1].middle("cpu_us") / 2)
            arguments = [*steady.arguments, *times(self.suite), "--rate", rate]
            take_rounds(self.suite, steady.rows, lambda row: row.measure(steady.kind, arguments))
        self.suite.say("\n" + report.text({"title": self.title, "note": None, "tables": self.tables(), "failures": self.failures()}))
        save()

    def rows(self):
        return [row for case in self.cases + self.at_ease for row in case.rows]

    def lines(self, case):
        same = case.rows[0] if case.rows and case.rows[0].rounds else None
        lines = []
        for row in case.rows:
            if not row.rounds:
                lines.append([row.server.label, *[report.NO] * (len(self.HEAD) - 2), row.why_not()])
                continue
            each = [median([one["process_cpu_seconds"][i] / max(1, one["operations"]) * 1e6 for one in row.rounds]) for i in range(3)]
            commands = median([sum(one["redis"].values()) / max(1, one["operations"]) for one in row.rounds])
            lines.append([row.server.label, report.number(row.middle("rate")),
                          f"{row.middle('rate') / same.middle('rate'):.2f}" if same else report.NO, report.number(row.middle("cpu_us")),
                          *map(report.number, each), f"{spread(row.values('cpu_us')):.0%}", f"{row.middle('load_share'):.0%}",
                          report.number(commands), report.number(row.counted.get("syscalls_each")),
                          report.number(row.latency("p50")), report.number(row.latency("p99"))])
        return lines

    def steady_lines(self, case):
        same = case.rows[0] if case.rows and case.rows[0].rounds else None
        lines = []
        for row in case.rows:
            if not row.rounds:
                lines.append([row.server.label, *[report.NO] * (len(self.STEADY) - 2), row.why_not()])
                continue
            lines.append([row.server.label, report.number(row.middle("rate")), *(report.number(row.latency(p)) for p in ("p50", "p99", "p999")),
                          f"{row.latency('p99') / same.latency('p99'):.2f}" if same else report.NO,
                          report.number(median([one["lag_us"]["p99"] for one in row.rounds])), f"{row.middle('server_share'):.0%}"])
        return lines

    def tables(self):
        return ([{"label": case.label, "head": self.HEAD, "rows": self.lines(case)} for case in self.cases if case.rows] +
                [{"label": case.label, "head": self.STEADY, "rows": self.steady_lines(case)} for case in self.at_ease if case.rows])

    def data(self):
        return {"unit": self.unit, "cases": [{"case": case.label, "rows": [row.as_json() for row in case.rows]}
                                             for case in self.cases + self.at_ease]}


class Sizes(Scenario):
    """Held to 20 %: cost must not grow with the size of anything."""

    name, unit = "sizes", "operation"
    title = "Cost against size: CPU an operation, small and large in turn"
    note = "The limit's own growth with connections is that of the processor's caches and of the kernel."
    LIMIT = 1.20
    HEAD = ["", "small, us", "large, us", "ratio", "spread", "within 20 %"]

    def make_cases(self, full):
        many = many_connections()
        window = ["--window", 100]
        few, lot = ["--connections", "100"], ["--connections", str(many)]
        return [
            Case("echo, 300 routes", [Tidegate("few"), Tidegate("300 routes", routes=300)], "echo", "--connections", 100),
            Case("echo, configuration of 1 MB", [Tidegate("small"), Tidegate("1 MB", padding=900)], "echo", "--connections", 100),
            Case("push, 10,000 credentials", [Tidegate("one", auth="sigv4"), Tidegate("10,000", auth="sigv4", credentials=10000)],
                 "push", "--connections", 100),
            Case("push, 10,000 credentials, each with a policy",
                 [Tidegate("one", auth="sigv4"), Tidegate("10,000", auth="sigv4", credentials=10000, policies=True)],
                 "push", "--connections", 100),
            Case(f"echo, 100 connections, and {many - 100} that are silent",
                 [Tidegate("100", load=few), Tidegate(str(many), load=lot)], "echo", "--active", 100),
            Case(f"echo, {many} connections in turn, 100 messages under way",
                 [Tidegate("100", load=few), Tidegate(str(many), load=lot)], "echo", *window),
            Case("the same, of the limit", [Limit("100", load=few), Limit(str(many), load=lot)], "echo", *window),
        ]

    def lines(self):
        lines = []
        for case in self.cases:
            if not case.rows:
                continue
            small, large = case.rows
            if not small.rounds or not large.rounds:
                lines.append([case.label, report.NO, report.NO, report.NO, report.NO, (large if small.rounds else small).why_not()])
                continue
            ratio = large.middle("cpu_us") / small.middle("cpu_us")
            verdict = "" if small.server.name == "limit" else "yes" if ratio <= self.LIMIT else "NO"
            lines.append([case.label, report.number(small.middle("cpu_us")), report.number(large.middle("cpu_us")),
                          f"{ratio:.2f}", f"{max(spread(small.values('cpu_us')), spread(large.values('cpu_us'))):.0%}", verdict])
        return lines

    def tables(self):
        return [{"label": "", "head": self.HEAD, "rows": self.lines()}]


class Latency(Scenario):
    """Open loops."""

    name, unit = "latency", "message"
    title = "Latency in an open loop, at half of capacity"
    MOST, MOST_BESIDE = 30000, 10000  # a second: beyond, the generator (with a back end beside it) is late itself
    note = ("Counted from when a message was due. Capacity is what one core could do, reckoned from the CPU time of a message in a "
            f"closed loop; at most {MOST:,} a second are sent, {MOST_BESIDE:,} where a back end shares the generator's core, which it "
            "can do in time; lag: how late it was itself.")
    HEAD = ["", "capacity/s", "rate/s", "p50 us", "p99 us", "p99.9 us", "max us", "lag p99 us", "server CPU", "load CPU"]

    class Part(Case):
        """A candidate has a load of its own; where the rate is the same for all, it is half of the least capacity."""

        def __init__(self, label, same_rate, *candidates):
            super().__init__(label, [server for server, _ in candidates], "echo", "--connections", 100)
            self.same_rate, self.loads = same_rate, dict(candidates)
            self.capacity = {}

    def make_cases(self, full):
        message, request = ["echo"], ["http", "--method", "POST", "--path", "/app", "--size", 20]
        cases = [self.Part("echo, 20 B, 100 connections, while 100 a second come and go; each at half of its own capacity, or less", False,
                           (Tidegate(), message), (Limit(), message), (NodeWs(), message)),
                 self.Part("a message to an HTTP back end, beside an HTTP request proxied; the same rate, half of the least capacity or less", True,
                           (Tidegate(route="app"), message), (Nginx("nginx, proxy", proxy=True), request),
                           (Haproxy("haproxy, proxy"), request))]
        return cases

    def estimate(self):
        return sum(len(case.candidates) * ((self.suite.rounds * 2 + 1) * self.suite.seconds + self.suite.rounds + 1) for case in self.cases)

    def run(self, save):
        for case in self.cases:
            self.run_part(case)
            self.suite.say(f"\n{self.title}: {case.label}\n{report.table(self.HEAD, self.lines(case))}")
            save()

    def run_part(self, case):
        rows = [Row(self.suite, server) for server in case.candidates]
        for row in rows:
            kind, *arguments = case.loads[row.server]
            row.measure(kind, [*case.arguments, *arguments, *times(self.suite)])
            if row.rounds:
                case.capacity[row] = 1e6 / row.rounds.pop()["cpu_us"]
        least = min(case.capacity.values(), default=0)
        churn = [] if case.same_rate else ["--churn", 100]

        def at_half(row):
            if row in case.capacity:
                kind, *arguments = case.loads[row.server]
                half = int((least if case.same_rate else case.capacity[row]) / 2)
                rate = min(half, self.MOST_BESIDE if case.same_rate else self.MOST)
                row.measure(kind, [*case.arguments, *arguments, *times(self.suite, 2 * self.suite.seconds), "--rate", rate, *churn])
        take_rounds(self.suite, rows, at_half)
        case.rows = rows

    def lines(self, case):
        lines = []
        for row in case.rows:
            if not row.rounds:
                lines.append([row.server.label, *[report.NO] * (len(self.HEAD) - 2), row.why_not()])
                continue
            lines.append([row.server.label, report.number(case.capacity[row]), report.number(row.middle("rate")),
                          *(report.number(row.latency(name)) for name in ("p50", "p99", "p999", "max")),
                          report.number(median([one["lag_us"]["p99"] for one in row.rounds])),
                          f"{row.middle('server_share'):.0%}", f"{row.middle('load_share'):.0%}"])
        return lines

    def tables(self):
        return [{"label": case.label, "head": self.HEAD, "rows": self.lines(case)} for case in self.cases if case.rows]

    def picture(self):
        groups = []
        for case in self.cases:
            for name, label in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")):
                bars = []
                for row in case.rows:
                    values = [one["latency_us"][name] for one in row.rounds]
                    bars += [(row.server.label, median(values), min(values), max(values))] if values else []
                groups += [(f"{case.label.split(',')[0].split(';')[0]}: {label}", bars)] if bars else []
        return report.chart(self.title, "microseconds (less is better)", groups)


class Idle(Scenario):
    name = "idle"
    title = "Idle connections"
    note = "Memory of the kernel is that of both ends: client and server are on one machine."
    HEAD = ["", "connections", "opened in s", "user B each", "kernel B each, both ends", "CPU when idle", "wake-ups/s"]

    def make_cases(self, full):
        many = many_connections()
        plain = Case("idle", [Tidegate(), Limit(), NodeWs(), nchan(), Mosquitto()], "idle", many)
        return [plain, Case("idle, TLS", [Tidegate("tidegate, TLS", tls=True), Limit("limit, TLS", tls=True)], "idle", 5000)]

    def seconds(self):
        return self.suite.seconds * 4

    def estimate(self):
        return sum(6 + self.seconds() for case in self.cases for _ in case.candidates)

    def run(self, save):
        for case in self.cases:
            case.rows = [Row(self.suite, server) for server in case.candidates]
            for row in case.rows:
                found = row.attempt(lambda row=row, case=case: idle(self.suite, row.server, case.arguments[0], self.seconds()))
                row.rounds += [found] if found else []
            save()
        self.suite.say(f"\n{self.title}\n{report.table(self.HEAD, self.lines())}")

    def lines(self):
        lines = []
        for row in self.rows():
            if not row.rounds:
                lines.append([row.server.label, *[report.NO] * (len(self.HEAD) - 2), row.why_not()])
                continue
            one, = row.rounds
            lines.append([row.server.label, one["connections"], report.number(one["open_seconds"]), report.number(one["user_bytes"]),
                          report.number(one["kernel_bytes"]), f"{one['cpu_percent']:.2f} %", report.number(one["wakes"])])
        return lines

    def tables(self):
        return [{"label": "", "head": self.HEAD, "rows": self.lines()}]

    def picture(self):
        bars = [(row.server.label, one["user_bytes"], one["user_bytes"], one["user_bytes"]) for row in self.rows() for one in row.rounds]
        return report.chart(self.title, "memory in user space, bytes a connection (less is better)", [("", bars)])

    def data(self):
        return {"servers": [{"server": row.server.label, **one} for row in self.rows() for one in row.rounds]}


# Those with aims first: what the time does not suffice for is at the end.
ALL = [Echo, Push, BackEnd, Fanout, Handshake, Idle, Sizes, Tls, Cluster, Latency, Proxy, Workers]
