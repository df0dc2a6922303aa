"""The profiler's table of counters, one row for each launch and metric, related to the rows of bench_gpu profile."""

import csv
import math
import re
import statistics
from collections import Counter

# What the profiler calls them, and what they are called here.
TRAFFIC = {"dram__bytes_read.sum": "read", "dram__bytes_write.sum": "written", "gpu__time_duration.sum": "us"}
BEHAVIOUR = {
    "dram__throughput.avg.pct_of_peak_sustained_elapsed": "dram_percent_of_peak",
    "lts__t_sector_hit_rate.pct": "l2_hit_percent",
    "smsp__average_warps_issue_stalled_barrier_per_issue_active.ratio": "stalled_barrier",
    "smsp__average_warps_issue_stalled_membar_per_issue_active.ratio": "stalled_fence",
    "smsp__average_warps_issue_stalled_long_scoreboard_per_issue_active.ratio": "stalled_memory",
    "sm__warps_active.avg.pct_of_peak_sustained_active": "occupancy_percent",
}
KERNELS = ("norms", "update", "one_pass", "given_norms")
LAUNCHED_BY = {"two passes": ("norms", "update"), "one pass": ("one_pass",), "one launch": ("given_norms", "update")}
UNITS = {"read": {"byte": 1}, "written": {"byte": 1},
         "us": {"nsecond": 1e-3, "ns": 1e-3, "usecond": 1, "us": 1, "msecond": 1e3, "ms": 1e3, "second": 1e6, "s": 1e6}}


def launches(text, metrics):
    """[(kernel, {metric: value})] in the order of the launches, from the profiler's table, which has one row for each
    launch and metric. A value that is none, such as n/a, or has a unit that is not known here is left out."""
    found = {}
    for row in csv.DictReader(line for line in text.splitlines() if line.startswith('"')):
        kernel = re.split(r"[<(]", row.get("Kernel Name") or "")[0].split("::")[-1].split(" ")[-1]
        metric = metrics.get(row.get("Metric Name"))
        if kernel not in KERNELS:
            continue
        _, values = found.setdefault(row.get("ID"), (kernel, {}))
        scale = UNITS.get(metric, {}).get(row.get("Metric Unit")) if metric in UNITS else 1
        try:
            value = float(str(row.get("Metric Value")).replace(",", ""))
        except ValueError:
            continue
        if metric and scale and math.isfinite(value):
            values[metric] = value * scale
    return list(found.values())


def expected(row):
    """How often each kernel is launched for a row of bench_gpu profile."""
    told = row.get("launches")
    return dict(told) if isinstance(told, dict) else dict.fromkeys(LAUNCHED_BY[row["ran"]], row["steps"])


def shares(rows, seen):
    """The launches of each row: they come in the rows' order. None for a row whose launches are not all there, and for
    all that follow it, since nothing says where those begin."""
    begin, parts = 0, []
    for row in rows:
        wanted = expected(row)
        part = seen[begin:begin + sum(wanted.values())]
        fits = parts[-1:] != [None] and Counter(kernel for kernel, _ in part) == Counter(wanted)
        parts.append(part if fits else None)
        begin += sum(wanted.values())
    if begin != len(seen) and None not in parts:  # more than was told of: whose they are is not known
        return [None] * len(rows)
    return parts


def add_traffic(row, part):
    """Bytes a parameter and step. Nothing where a launch lacks its value: a sum of the others would be wrong."""
    elements = row["parameters"] * row["steps"]
    for what in ("read", "written"):
        if all(what in values for _, values in part):
            row[f"dram_bytes_{what}"] = sum(values[what] for _, values in part) / elements
    if "dram_bytes_read" in row and "dram_bytes_written" in row:
        row["dram_bytes"] = row["dram_bytes_read"] + row["dram_bytes_written"]


def by_kernel(part, metrics):
    """{kernel: {metric: median of its launches}}"""
    found = {}
    for kernel in dict.fromkeys(kernel for kernel, _ in part):
        of = [values for name, values in part if name == kernel]
        known = {metric: [values[metric] for values in of if metric in values] for metric in metrics.values()}
        found[kernel] = {"launches": len(of), **{m: statistics.median(v) for m, v in known.items() if v}}
    return found
