"""The stage `profile`: the memory's own counters beside the model, and what the kernels wait for."""

import re
import tempfile
from pathlib import Path

import counters
from part import NotRun, cut_off, tool

REFUSED = re.compile("[^\n]*(?:ERR_NVGPUCTRPERM|not have permission|not supported|Failed to initialize)[^\n]*")
PASSES = re.compile(r"==PROF== Profiling .* - (\d+) passes")
SAID = re.compile(r"==(?:ERROR|WARNING)==\s*([^\n]*)")


def profile(part):
    """The profiler runs twice. What it collects in one go is a kernel's own traffic; for more it replays the kernel,
    and putting the buffers back in between goes through the caches and the memory."""
    profiler = tool("ncu")
    rows, shares = _traffic(part, profiler)
    kernels = [counters.by_kernel(share, counters.TRAFFIC) if share else {} for share in shares]
    try:
        behaviour = _behaviour(part, profiler)
    except NotRun as why:
        part.left_out("profile: caches, stalls and occupancy", str(why))
        behaviour = {}
    for row, of in zip(rows, kernels):
        _report(part, row, of, behaviour.get(_identity(row), {}))


def command(profiler, metrics, file):
    """The clocks stay as they are, which the profiler would lock, and so do the caches, which it would empty."""
    return (profiler, "--clock-control", "none", "--cache-control", "none", "--metrics", ",".join(metrics), "--csv",
            "--kernel-name", "regex:^(" + "|".join(counters.KERNELS) + ")$", "--print-kernel-base", "function",
            "--print-units", "base", "--log-file", file)


def _run(part, profiler, metrics, limit):
    """What the program did, and the launches that the profiler saw."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ncu.csv"
        outcome = part.bench("profile", "--seconds", f"{max(limit - 3, 1):.0f}", limit=limit,
                             wrapper=command(profiler, metrics, file))
        text = file.read_text(errors="replace") if file.is_file() else ""
    words = text + outcome.stdout + outcome.stderr
    seen = counters.launches(text, metrics)
    refused = REFUSED.search(words)
    if refused and not seen:
        raise NotRun(f"ncu may not read the counters here: {refused.group(0).strip('= ')}")
    return outcome, seen, words


def _traffic(part, profiler):
    """The rows of bench_gpu profile with their bytes, and the launches of each."""
    outcome, seen, words = _run(part, profiler, counters.TRAFFIC, part.clock.left() / 2)
    rows = [f for f in part.stage.findings if f["kind"] == "profiled"]
    if outcome.timed_out and not seen:
        raise NotRun(f"ncu: {cut_off(outcome)}")
    if not outcome.timed_out and not part.expect_success(outcome, "profile"):
        return [], []
    if rows and not seen:  # which says something of the profiler alone
        raise NotRun(f"ncu saw no kernel: {(SAID.findall(words) or ['it says no more'])[-1]}")
    shares = counters.shares(rows, seen)
    passes = max((int(number) for number in PASSES.findall(words)), default=1)
    for row, share in zip(rows, shares):
        if passes > 1:
            row["note"] = f"counted in {passes} passes: putting the buffers back in between is in the bytes"
        name = f"profile: {row.get('model')} {row.get('dtypes')}, {row['asked']}"
        if share:
            counters.add_traffic(row, share)
        elif outcome.timed_out:
            part.left_out(name, "the profiler's time was over")
        else:
            part.fail(f"{name}: the profiler saw no kernel of it, or others than were launched")
    return rows, shares


def _behaviour(part, profiler):
    """{row: {kernel: {metric: value}}} of what needs several replays. It may be missing: then its words say why."""
    before = len(part.stage.findings)
    outcome, seen, words = _run(part, profiler, counters.BEHAVIOUR, part.clock.left())
    found = part.stage.findings[before:]
    rows = [f for f in found if f["kind"] == "profiled"]
    part.stage.findings[before:] = [f for f in found if f["kind"] != "profiled"]  # known from the first run
    if not seen and outcome.timed_out:
        raise NotRun(f"ncu: {cut_off(outcome)}")
    if not seen and SAID.search(words):
        raise NotRun("ncu: " + SAID.search(words).group(1))
    if not outcome.timed_out:
        part.expect_success(outcome, "profile")
    shares = counters.shares(rows, seen)
    return {_identity(row): counters.by_kernel(share, counters.BEHAVIOUR) for row, share in zip(rows, shares) if share}


def _identity(row):
    return tuple(str(row.get(key)) for key in ("op", "model", "dtypes", "asked", "ran", "case"))


def _report(part, row, kernels, behaviour):
    """A finding for each kernel. What the profiler did not count is named, and its cell stays empty."""
    for kernel, traffic in kernels.items():
        values = {**_rates(row, kernel, traffic), **behaviour.get(kernel, {})}
        absent = [name for name in counters.BEHAVIOUR.values() if name not in values]
        note = {"note": f"not counted: {', '.join(absent)}"} if absent and behaviour else {}
        of = {key: row[key] for key in ("op", "model", "case", "dtypes", "asked", "ran") if key in row}
        part.stage.findings.append({"kind": "kernel", "kernel": kernel, **of, **values, **note})


def _rates(row, kernel, traffic):
    """Of one launch: bytes a parameter from and to memory, beside those that the kernel asks for; GB a second."""
    values = {key: traffic[key] for key in ("launches", "us") if key in traffic}
    asked = row.get("kernel_bytes_asked")
    if isinstance(asked, dict) and kernel in asked:
        values["bytes_asked"] = asked[kernel]
    if "read" in traffic and "written" in traffic:
        moved = traffic["read"] + traffic["written"]
        values["bytes_per_parameter"] = moved / row["parameters"]
        if traffic.get("us"):
            values["gb_per_s"] = moved / traffic["us"] / 1e3
    return values
