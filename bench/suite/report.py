"""Tables (Markdown), charts (SVG) and JSON of what was measured."""
import html
import json
import os

from .measure import spread

NO = "-"


def number(value, digits=3):
    """With so many digits that count."""
    if value is None:
        return NO
    if value == 0:
        return "0"
    whole = f"{value:.{digits}g}"
    value = float(whole)
    return f"{value:,.0f}" if abs(value) >= 100 else whole if "e" not in whole else f"{value:.4f}"


def table(head, rows):
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    def line(cells):
        return "| " + " | ".join(str(cell).ljust(width) for cell, width in zip(cells, widths)) + " |"
    return "\n".join([line(head), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows)])


HEAD = ["", "op/s", "of limit", "CPU us/op", "a core, of limit", "spread", "server CPU", "load CPU", "syscalls/op", "allocs/op",
        "p50 us", "p99 us"]


def load_rows(case):
    """The table's lines of one case; ratios are against its limit, where it has one."""
    limit = next((row for row in case.rows if row.server.name == "limit" and row.rounds), None)
    lines = []
    for row in case.rows:
        if not row.rounds:
            lines.append([row.server.label, *[NO] * (len(HEAD) - 2), row.why_not()])
            continue
        load_bound = row.middle("load_share") > 0.9 and row.middle("server_share") < 0.9
        lines.append([
            row.server.label, number(row.middle("rate")) + ("*" if load_bound else ""),
            f"{row.middle('rate') / limit.middle('rate'):.2f}" if limit else NO,
            number(row.middle("cpu_us")),
            f"{limit.middle('cpu_us') / row.middle('cpu_us'):.2f}" if limit else NO,
            f"{spread(row.values('cpu_us')):.0%}", f"{row.middle('server_share'):.0%}", f"{row.middle('load_share'):.0%}",
            number(row.counted.get("syscalls_each")), number(row.counted.get("allocations_each")),
            number(row.latency("p50")), number(row.latency("p99")),
        ])
    return lines


def chart(title, unit, groups):
    """Horizontal bars. Groups: [(label, [(name, value, lowest, highest)])]. The longest bar of a group fills the width."""
    bar, gap, left, right, width = 16, 22, 190, 110, 760
    colours = {"tidegate": "#1f6f8b", "limit": "#b9b9b9"}
    height = 50 + sum(gap + bar * len(bars) + 14 for _, bars in groups)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="10" y="20" font-size="14" font-weight="bold">{html.escape(title)}</text>',
           f'<text x="10" y="36" fill="#555">{html.escape(unit)}; whiskers: lowest and highest round</text>']
    y = 50
    for label, bars in groups:
        out.append(f'<text x="10" y="{y + 14}" font-weight="bold">{html.escape(label)}</text>')
        y += gap
        longest = max((highest for _, _, _, highest in bars), default=0) or 1
        scale = (width - left - right) / longest
        for name, value, lowest, highest in bars:
            colour = colours.get(name.split(",")[0].split(" ")[0], "#d8a25e")
            middle = y + bar / 2
            out += [f'<text x="{left - 6}" y="{y + 12}" text-anchor="end">{html.escape(name)}</text>',
                    f'<rect x="{left}" y="{y + 2}" width="{value * scale:.1f}" height="{bar - 4}" fill="{colour}"/>',
                    f'<path d="M{left + lowest * scale:.1f} {middle}H{left + highest * scale:.1f}" stroke="black"/>',
                    f'<text x="{left + highest * scale + 6:.1f}" y="{y + 12}">{number(value)}</text>']
            y += bar
        y += 14
    return "\n".join([*out, "</svg>", ""])


def cpu_chart(scenario):
    groups = []
    for case in scenario.cases:
        bars = [(row.server.label, row.middle("cpu_us"), min(row.values("cpu_us")), max(row.values("cpu_us")))
                for row in case.rows if row.rounds]
        if bars:
            groups.append((case.label, bars))
    return chart(scenario.title, f"CPU of the server, microseconds a {scenario.unit} (less is better)", groups)


def short(value):
    """Numbers with four digits that count: a round's are not known any better."""
    if isinstance(value, dict):
        return {name: short(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [short(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def as_lines(value, depth):
    """JSON with a line for each member, down to a depth."""
    if depth == 0 or not value or not isinstance(value, (dict, list)):
        return json.dumps(value)
    if isinstance(value, dict):
        inner = [f"{json.dumps(name)}: {as_lines(one, depth - 1)}" for name, one in value.items()]
        return "{\n" + ",\n".join(inner) + "\n}"
    return "[\n" + ",\n".join(as_lines(one, depth - 1) for one in value) + "\n]"


def write(folder, scenario, machine):
    """What there is of it so far: it is called again as it grows."""
    os.makedirs(folder, exist_ok=True)
    result = {"scenario": scenario.name, "title": scenario.title, "note": scenario.note, "machine": machine,
              "failures": scenario.failures(), "disturbances": scenario.disturbances(), "tables": scenario.tables(), **short(scenario.data())}
    files = {"json": as_lines(result, 4) + "\n", "md": f"{text(result)}\n\n{machine_line(machine)}\n", "svg": scenario.picture()}
    for ending, content in files.items():
        with open(os.path.join(folder, f"{scenario.name}.{ending}"), "w") as out:
            out.write(content)


def table_text(one):
    """One of a result's tables, and what stands under it."""
    below = one.get("below")
    return table(one["head"], one["rows"]) + (f"\n\n{below}" if below else "")


def text(result):
    """A scenario's tables, from its JSON."""
    parts = [f"### {result['title']}"] + ([result["note"]] if result["note"] else [])
    for one in result["tables"]:
        label = f"**{one['label']}**\n\n" if one["label"] else ""
        parts.append(label + table_text(one))
    parts += [result["disturbances"]] if result.get("disturbances") else []
    parts += ["Failed: " + failure.strip().split("\n")[0][:200] for failure in result["failures"]]
    return "\n\n".join(parts)


def machine_line(machine):
    return "; ".join(f"{name}: {value}" for name, value in machine.items() if value)
