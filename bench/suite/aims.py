"""What the gateway is meant to reach, beside what was measured: from the JSON of the scenarios."""
import statistics

from . import report, sidebyside
from .ratio import Ratio, shown

HEAD = ["", "what is compared", "aim", "measured", "reached"]


class Unknown(Exception):
    """It was not measured."""


class Results:
    """JSON of scenarios, by name."""

    def __init__(self, found):
        self.found = found

    def case(self, scenario, label):
        for case in self.found.get(scenario, {}).get("cases", []):
            if case["case"].startswith(label):
                return case
        raise Unknown

    def values(self, scenario, label, server, pick):
        """Of the rounds of one server."""
        for row in self.case(scenario, label)["rows"]:
            if row["server"] == server and row["rounds"]:
                return [pick(one) for one in row["rounds"]]
        raise Unknown

    def value(self, scenario, label, server, pick):
        return statistics.median(self.values(scenario, label, server, pick))

    def cpu(self, over, under):
        """The CPU time of an operation of the one by that of the other: scenario, case, server."""
        return Ratio(*(self.values(*which, lambda one: one["cpu_us"]) for which in (over, under)))

    def p99(self, scenario, label, over, under):
        """That of the one server by that of the other."""
        return Ratio(*(self.values(scenario, label, server, lambda one: one["latency_us"]["p99"]) for server in (over, under)))

    def of_limit(self, scenario, label, server="tidegate"):
        """What a core can do, of what it could if only the least were done. Measured side by side, or by separate rounds."""
        rounds = self.case(scenario, label).get("side_by_side", {}).get("rounds", [])
        if rounds and server in rounds[0]["servers"]:
            return sidebyside.of_limit(rounds, server)
        return self.cpu((scenario, label, "limit"), (scenario, label, server))

    def idle_bytes(self):
        for one in self.found.get("idle", {}).get("servers", []):
            if one["server"] == "tidegate":
                return one["user_bytes"]
        raise Unknown

    def growth(self, label):
        small, large = self.case("sizes", label)["rows"]
        if not small["rounds"] or not large["rounds"]:
            raise Unknown
        return Ratio(*([one["cpu_us"] for one in row["rounds"]] for row in (large, small)))


def at_least(aim, value):
    return f"{aim:.2f}", shown(value), value >= aim - 0.005


def at_most(aim, value):
    return f"at most {aim:.2f}", shown(value), value <= aim + 0.005


def known(value):
    """Of what has no aim."""
    return report.NO, shown(value), None


def rows(results):
    """Lines of the table; those that were not measured say so."""
    core, cpu = "what a core can do, of the limit", "CPU"
    wanted = [(f"echo, {label}", core, lambda label=label, aim=aim: at_least(aim, results.of_limit("echo", label)))
              for label, aim in (("20 B, 100 connections, depth 1", 0.90), ("20 B, 100 connections, depth 8", 0.85),
                                 ("1 KiB, 100 connections, depth 1", 0.85), ("16 KiB, 100 connections, depth 1", 0.77))]
    by_one = f"{core}'s parallel pushes"
    wanted += [
        ("push, 64 B", core, lambda: at_least(0.95, results.of_limit("push", "64 B"))),
        ("push, 64 B, signed", core, lambda: at_least(0.75, results.of_limit("push", "64 B", "tidegate, sigv4"))),
        ("fan-out, 1000", core, lambda: at_least(1.0, results.of_limit("fanout", "1000 "))),
        ("fan-out, 10000", core, lambda: at_least(1.0, results.of_limit("fanout", "10000 "))),
        *((f"fan-out by one call, {count}", by_one,
           lambda count=count: known(results.of_limit("fanout", f"{count} ", "tidegate, one call"))) for count in (1000, 10000)),
        ("handshakes", core, lambda: at_least(0.85, results.of_limit("handshake", "without"))),
        ("idle connection", "KiB in user space", lambda: at_most(1.5, results.idle_bytes() / 1024)),
    ]
    proxied = "an HTTP POST"
    for peer, name in (("nginx", "nginx"), ("haproxy", "HAProxy")):
        wanted.append((f"message to a back end and back, against {name}", f"{cpu}, of that of a request that it proxies",
                       lambda peer=peer: at_most(1.0, results.cpu(("backend", "20 B, 100", "tidegate"),
                                                             ("backend", proxied, peer)))))
        wanted.append((f"the same, against {name}", "p99 at the same rate, of that of a request that it proxies",
                       lambda peer=peer: at_most(1.0, results.p99("latency", "a message to an HTTP", "tidegate", f"{peer}, proxy"))))
    for peer, aim in (("nginx, nchan", 1.5), ("pushpin, HTTP", 10.0)):
        wanted.append((f"push, against {peer}", "pushes for the same CPU",
                       lambda peer=peer, aim=aim: at_least(aim, results.cpu(("push", "64 B", peer),
                                                                       ("push", "64 B", "tidegate")))))
    wanted.append(("push, against pushpin, ZeroMQ, which answers nothing", "pushes for the same CPU",
                   lambda: known(results.cpu(("push", "64 B", "pushpin, ZeroMQ"), ("push", "64 B", "tidegate")))))
    for label, name in (("echo, 300 routes", "300 routes"), ("echo, configuration", "a configuration of 1 MB"),
                        ("push, 10,000 credentials", "10,000 credentials"),
                        ("push, 10,000 credentials, each", "10,000 credentials, each with a policy"),
                        ("echo, 100 connections, and", "100 connections that talk, of 18,000"),
                        ("echo, 18000 connections", "18,000 connections that talk in turn")):
        wanted.append((name, f"{cpu} an operation, of the small case", lambda label=label: at_most(1.2, results.growth(label))))
    wanted += [("the same: the limit's own growth", f"{cpu} an operation, of the small case", lambda: known(results.growth("the same"))),
               ("the same, over the limit's own growth", f"{cpu} an operation, of the small case",
                lambda: at_most(1.2, results.growth("echo, 18000 connections") / results.growth("the same")))]
    at = "other node"
    wanted += [
        ("push through another node", "pushes/s, of those through its own, servers sharing a core",
         lambda: known(results.value("cluster", "at full", at, rate) / results.value("cluster", "at full", "same node", rate))),
        ("push through another node", "p99 at the same rate, of that through its own",
         lambda: known(results.p99("cluster", "at the same", at, "same node"))),
        ("push through another node", "Redis commands a push", lambda: known(results.value("cluster", "at full", at, redis_commands))),
    ]
    return [line(*one) for one in wanted]


def rate(one):
    return one["rate"]


def redis_commands(one):
    return sum(one["redis"].values()) / max(1, one["operations"])


def line(label, compared, find):
    try:
        aim, measured, reached = find()
    except Unknown:
        return [label, compared, report.NO, "not measured", ""]
    return [label, compared, aim, measured, "" if reached is None else "yes" if reached else "NO"]


def table(found):
    """The table, from JSON by scenario's name."""
    return report.table(HEAD, rows(Results(found)))
