"""What is measured: each scenario is a title, cases of servers and a load, and how its table is made."""


from . import report
from .measure import idle, median, run_case, spread, Trial
from .servers import DESCRIPTORS, Failure, Haproxy, Limit, LimitProxy, Mosquitto, Nginx, NodeWs, Pushpin, Tidegate


class Case:
    def __init__(self, label, candidates, kind, *arguments):
        self.label, self.candidates, self.kind, self.arguments, self.rows = label, candidates, kind, arguments, []


class Scenario:
    """The usual kind: every case is a load that each of its servers gets in turn."""

    name = title = unit = note = None
    cores = None

    def __init__(self, suite):
        self.suite = suite
        self.cases = self.make_cases(suite.full)

    def make_cases(self, full):
        raise NotImplementedError

    def run(self):
        for case in self.cases:
            case.rows = run_case(self.suite, case.candidates, case.kind, case.arguments, self.cores)
            self.suite.say(f"\n{self.title}: {case.label}\n{report.table(report.HEAD, report.load_rows(case))}")

    def text(self):
        parts = [f"### {self.title}"] + ([self.note] if self.note else [])
        for case in self.cases:
            parts.append(f"**{case.label}**\n\n{report.table(report.HEAD, report.load_rows(case))}")
        return "\n\n".join(parts)

    def picture(self):
        return report.cpu_chart(self)

    def data(self):
        return {"unit": self.unit, "cases": [{"case": case.label, "load": [case.kind, *map(str, case.arguments)],
                                              "rows": [row.as_json() for row in case.rows]} for case in self.cases]}


def size_name(size):
    return f"{size} B" if size < 1024 else f"{size // 1024} KiB"


class Echo(Scenario):
    name, unit = "echo", "message"
    title = "A message and its reply, through route selection (MOCK, two-way)"

    def make_cases(self, full):
        shapes = [(depth, size, connections) for connections in (100, 5000) for depth in (1, 8) for size in (20, 1024, 16384)]
        if not full:
            shapes = [(1, 20, 100), (8, 20, 100), (1, 1024, 100), (1, 16384, 100), (1, 20, 5000)]
        peers = [NodeWs(), Nginx("nginx, nchan"), Mosquitto()] if full else [NodeWs()]
        return [Case(f"{size_name(size)}, {connections} connections, depth {depth}", [Tidegate(), Limit(), *peers], "echo",
                     "--connections", connections, "--depth", depth, "--size", size)
                for depth, size, connections in shapes]


class Push(Scenario):
    name, unit = "push", "push"
    title = "A push: POST to @connections over kept connections, 16 publishers"
    note = ("mosquitto: MQTT, QoS 0, no answer to a publish. The limit verifies no signature. "
            "pushpin takes no second publish on a connection, and is left out.")

    def make_cases(self, full):
        cases = []
        for size in ((20, 1024, 16384) if full else (20,)):
            candidates = [Tidegate(), Tidegate("tidegate, sigv4", auth="sigv4"), Limit(), NodeWs(), Nginx("nginx, nchan")]
            candidates += [Mosquitto()] if full else []
            cases.append(Case(f"{size_name(size)}, 1000 clients", candidates, "push", "--connections", 1000, "--size", size))
        return cases


class BackEnd(Scenario):
    name, unit = "backend", "message"
    title = "A message to an HTTP back end (HTTP_PROXY), and its answer to the client"
    note = "ws: node's http client. pushpin: WebSocket over HTTP."

    def make_cases(self, full):
        candidates = [Tidegate(route="app"), Limit(app=True), NodeWs(app=True)] + ([Pushpin()] if full else [])
        return [Case(f"20 B, {connections} connections", candidates, "echo", "--connections", connections)
                for connections in ((100, 1000) if full else (100,))]


class Fanout(Scenario):
    name, unit = "fanout", "delivery"
    title = "A message to every client: parallel pushes by 64 publishers; latency is that of a whole round"
    note = "nginx and mosquitto: one publish to a channel that all have subscribed to."

    def make_cases(self, full):
        one = ["--broadcast"]
        candidates = [Tidegate(), Limit(), Nginx("nginx, nchan, one publish", load=one), Mosquitto("mosquitto, one publish", load=one)]
        return [Case(f"{connections} clients", candidates, "fanout", "--connections", connections, "--publishers", 64)
                for connections in ((1000, 10000) if full else (1000,))]


class Handshake(Scenario):
    name, unit = "handshake", "handshake"
    title = "Handshakes: opened, then cut; 32 under way"

    def make_cases(self, full):
        plain = [Tidegate(), Limit(), NodeWs(), Nginx("nginx, nchan")] + ([Mosquitto()] if full else [])
        asked = [Tidegate(connect=True), Limit(connect=True)]
        return [Case("without $connect", plain, "handshake", "--connections", 32),
                Case("$connect asks a back end", asked, "handshake", "--connections", 32)]


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
                Case("push, 20 B, 1000 clients", push, "push", "--connections", 1000)]


class Sizes(Scenario):
    """Held to 20 %: cost must not grow with the size of anything."""

    name, unit = "sizes", "operation"
    title = "Cost against size: CPU an operation, small and large in turn"
    LIMIT = 1.20

    def make_cases(self, full):
        many = max(1000, min(18000, DESCRIPTORS - 1000))
        window = ["--window", 100]
        cases = [
            Case("echo, 300 routes", [Tidegate("few"), Tidegate("300 routes", routes=300)], "echo", "--connections", 100),
            Case("echo, configuration of 1 MB", [Tidegate("small"), Tidegate("1 MB", padding=900)], "echo", "--connections", 100),
            Case("push, 10,000 credentials", [Tidegate("one", auth="sigv4"), Tidegate("10,000", auth="sigv4", credentials=10000)],
                 "push", "--connections", 100),
            Case(f"echo, {many} connections in turn, 100 messages under way",
                 [Tidegate("100", load=["--connections", "100"]), Tidegate(str(many), load=["--connections", str(many)]),
                  ], "echo", *window),
            Case("the same, of the limit", [Limit("100", load=["--connections", "100"]), Limit(str(many), load=["--connections", str(many)])],
                 "echo", *window),
        ]
        return cases

    def lines(self):
        lines = []
        for case in self.cases:
            small, large = case.rows
            if not small.rounds or not large.rounds:
                lines.append([case.label, report.NO, report.NO, report.NO, small.failure or large.failure or "", report.NO])
                continue
            ratio = large.middle("cpu_us") / small.middle("cpu_us")
            verdict = "" if small.server.name == "limit" else "yes" if ratio <= self.LIMIT else "NO"
            lines.append([case.label, report.number(small.middle("cpu_us")), report.number(large.middle("cpu_us")),
                          f"{ratio:.2f}", f"{max(spread(small.values('cpu_us')), spread(large.values('cpu_us'))):.0%}", verdict])
        return lines

    def text(self):
        head = ["", "small, us", "large, us", "ratio", "spread", "within 20 %"]
        return f"### {self.title}\n\n{report.table(head, self.lines())}"


class Latency(Scenario):
    """Open loop at half of what each server can do, while connections come and go."""

    name, unit = "latency", "message"
    title = "Latency at half of capacity (echo, 20 B, 100 connections), while 100 connections a second come and go"
    note = ("Counted from when a message was due. Half of what one core could do, reckoned from the CPU time of a message "
            "in a closed loop; lag: how late the generator itself was.")
    HEAD = ["", "capacity/s", "rate/s", "p50 us", "p99 us", "p99.9 us", "max us", "lag p99 us", "server CPU", "load CPU"]

    def make_cases(self, full):
        return [Case("echo", [Tidegate(), Limit(), NodeWs()], "echo", "--connections", 100)]

    def run(self):
        self.lines, self.found = [], []
        for server in self.cases[0].candidates:
            reason = server.missing(self.suite)
            if reason:
                self.lines.append([server.label, *[report.NO] * 8, reason])
        ready = [server for server in self.cases[0].candidates if not server.missing(self.suite)]
        capacity, rounds = {}, {server: [] for server in ready}
        for server in ready:
            closed = run_case_once(self.suite, server, "--seconds", self.suite.seconds)
            capacity[server] = 1e6 / closed["cpu_us"]
        for _ in range(self.suite.rounds):
            for server in ready:
                rounds[server].append(run_case_once(self.suite, server, "--seconds", 2 * self.suite.seconds,
                                                    "--rate", int(capacity[server] / 2), "--churn", 100))
        for server in ready:
            done = rounds[server]
            cells = [report.number(median([one["latency_us"][name] for one in done])) for name in ("p50", "p99", "p999", "max")]
            self.lines.append([server.label, report.number(capacity[server]), report.number(median([one["rate"] for one in done])),
                               *cells, report.number(median([one["lag_us"]["p99"] for one in done])),
                               f"{median([one['server_share'] for one in done]):.0%}",
                               f"{median([one['load_share'] for one in done]):.0%}"])
            self.found.append({"server": server.label, "capacity": capacity[server], "rounds": done})
        self.suite.say(f"\n{self.title}\n{report.table(self.HEAD, self.lines)}")

    def text(self):
        return f"### {self.title}\n\n{self.note}\n\n{report.table(self.HEAD, self.lines)}"

    def picture(self):
        groups = []
        for name, label in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")):
            bars = []
            for one in self.found:
                values = [round_["latency_us"][name] for round_ in one["rounds"]]
                bars.append((one["server"], median(values), min(values), max(values)))
            groups.append((label, bars))
        return report.chart(self.title, "microseconds (less is better)", groups)

    def data(self):
        return {"servers": self.found}


def run_case_once(suite, server, *arguments):
    with Trial(suite, server) as trial:
        return trial.load("echo", "--connections", 100, "--warmup", suite.seconds / 4, *arguments)


class Idle(Scenario):
    name = "idle"
    title = "Idle connections"
    note = "Memory of the kernel is that of both ends: client and server are on one machine."
    HEAD = ["", "connections", "opened in s", "user B each", "kernel B each, both ends", "CPU when idle", "wake-ups/s"]

    def make_cases(self, full):
        return []

    def run(self):
        connections = max(1000, min(18000, DESCRIPTORS - 1000))
        self.lines, self.found = [], []
        for server in [Tidegate(), Limit(), NodeWs(), Nginx("nginx, nchan"), Mosquitto()]:
            try:
                reason = server.missing(self.suite)
                if reason:
                    raise Failure(reason)
                one = idle(self.suite, server, connections, 10 if self.suite.full else 4)
            except Failure as error:
                self.lines.append([server.label, *[report.NO] * 5, str(error).split("\n", maxsplit=1)[0][:80]])
                continue
            self.found.append({"server": server.label, **one})
            self.lines.append([server.label, connections, report.number(one["open_seconds"]), report.number(one["user_bytes"]),
                               report.number(one["kernel_bytes"]), f"{one['cpu_percent']:.2f} %", report.number(one["wakes"])])
        self.suite.say(f"\n{self.title}\n{report.table(self.HEAD, self.lines)}")

    def text(self):
        return f"### {self.title}\n\n{self.note}\n\n{report.table(self.HEAD, self.lines)}"

    def picture(self):
        bars = [(one["server"], one["user_bytes"], one["user_bytes"], one["user_bytes"]) for one in self.found]
        return report.chart(self.title, "memory in user space, bytes a connection (less is better)", [("", bars)])

    def data(self):
        return {"servers": self.found}




ALL = [Echo, Push, BackEnd, Fanout, Handshake, Idle, Proxy, Workers, Latency, Sizes]
