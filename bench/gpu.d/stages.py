"""The stages: what each runs, how long it may take, and what its verdict is."""

import csv
import re
import shutil
import tempfile
import xml.etree.ElementTree as xml
from collections import namedtuple
from pathlib import Path

import process
from part import Clock, NotRun, Part

Stage = namedtuple("Stage", "name most work")  # most: seconds
LEAST = 3  # seconds without which a stage is not begun


def _facts(part):
    outcome = part.bench("facts")
    part.expect_success(outcome, "facts")
    if not outcome.problem() and not any(f["kind"] == "facts" for f in part.stage.findings):
        part.fail("facts: nothing was printed")
    smi = process.run(["nvidia-smi", "--query-gpu=driver_version,clocks.max.sm,clocks.max.mem,power.limit,ecc.mode.current",
                       "--format=csv,noheader"], 20, part.tree.root)
    if smi.returncode == 0 and smi.stdout.strip():
        names = ("driver_version", "max_sm_clock", "max_memory_clock", "power_limit", "ecc")
        values = [value.strip() for value in smi.stdout.splitlines()[0].split(",")]
        part.stage.findings.append({"kind": "facts", **dict(zip(names, values))})


def _program_stage(name, *arguments):
    """A stage of bench_gpu: its checks must hold, and there must be some unless it says why not."""

    def work(part):
        outcome = part.bench(name, "--seconds", f"{max(part.clock.left() - 5, 1):.0f}", *arguments)
        part.expect_success(outcome, name)
        if not outcome.problem() and not part.stage.findings:
            part.fail(f"{name}: nothing was printed")

    return work


def _bits(part):
    """The small cases, then one, half and all multiprocessors, each in one pass and in two; then the tests' comparison with
    ever other seeds while there is time."""
    if part.tree.bench:
        part.expect_success(part.bench("cases"), "cases")
        part.expect_success(part.bench("grids", "--seconds", f"{max(part.clock.left() / 3, 1):.0f}"), "grids")
    if not part.tree.cross:
        raise NotRun("the build has no tests/cross")
    cases, seed = 20, 1
    while part.clock.left() > LEAST:
        outcome = part.command([part.tree.cross],
                               {"LAYERWISE_CROSS_CASES": str(cases), "LAYERWISE_CROSS_SEED": str(seed)})
        if outcome.timed_out and seed > 1:
            part.stage.findings.append({"kind": "not_run", "name": f"cross: {cases} cases, seed {seed}",
                                        "reason": "the time was over"})
            return
        if outcome.returncode == 4:
            raise NotRun(f"cross skipped its tests: {outcome.last_words()}")
        good = part.expect_success(outcome, f"cross: {cases} cases, seed {seed}")
        part.stage.findings.append({"kind": "check", "name": f"cross: {cases} cases, seed {seed}", "ok": good,
                                    "seconds": round(outcome.seconds, 1), "detail": outcome.last_words()})
        if not good:
            return
        seed += cases  # each run takes as many seeds as cases
        cases = int(max(20, min(8 * cases, cases * 20 / max(outcome.seconds, 0.1))))  # some 20 s each


def _suite(part):
    """The tests but for the emulation of the kernels, which says nothing about a device, and what `bits` runs."""
    if part.tree.tests:
        raise NotRun(part.tree.tests)
    if not shutil.which("ctest"):
        raise NotRun("there is no ctest")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tests.xml"
        outcome = part.command(["ctest", "--test-dir", part.tree.folder, "-LE", "simt|cross|bench", "--parallel", "8", "--timeout",
                                "60", "--output-junit", file])
        if outcome.timed_out:
            part.stage.findings.append({"kind": "not_run", "name": "suite", "reason": "ctest did not finish in time"})
            return
        part.expect_success(outcome, "ctest")
        try:
            counts = xml.parse(file).getroot().attrib
        except (OSError, xml.ParseError):
            return part.fail("ctest wrote no results")
    ran = int(counts.get("tests", 0)) - int(counts.get("skipped", 0)) - int(counts.get("disabled", 0))
    part.stage.findings.append({"kind": "check", "name": f"suite: {ran} tests, {counts.get('failures')} failed, "
                                f"{counts.get('skipped')} skipped", "ok": outcome.returncode == 0 and ran > 0})


def _tool(name):
    """A program of the toolkit's, from PATH or where the toolkit is usually put."""
    for path in (None, "/usr/local/cuda/bin", "/opt/cuda/bin"):
        found = shutil.which(name, path=path)
        if found:
            return found
    raise NotRun(f"there is no {name}")


DRAM = {"dram__bytes_read.sum": "read", "dram__bytes_write.sum": "written"}
KERNELS = {"norms": "two passes", "update": "two passes", "one_pass": "one pass"}


def _dram_bytes(text):
    """{path: {"read": bytes, "written": bytes}} of all launches, from the profiler's table: one row for each launch and
    metric."""
    rows = csv.DictReader(line for line in text.splitlines() if line.startswith('"'))
    sums = {}
    for row in rows:
        path = KERNELS.get(re.split(r"[<(]", row.get("Kernel Name") or "")[0].split("::")[-1])
        metric = DRAM.get(row.get("Metric Name"))
        if path and metric:
            if row.get("Metric Unit") != "byte":
                raise ValueError(f"the profiler counts in {row.get('Metric Unit')!r}, not in bytes")
            of = sums.setdefault(path, dict.fromkeys(DRAM.values(), 0.0))
            of[metric] += float(row["Metric Value"].replace(",", ""))
    return sums


def _profile(part):
    """The memory's own counters beside the model. Caches are left as the step before left them, as in a training."""
    profiler = _tool("ncu")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ncu.csv"
        outcome = part.bench("profile", wrapper=(profiler, "--metrics", ",".join(DRAM), "--cache-control", "none", "--csv",
                                                 "--kernel-name", "regex:" + "|".join(KERNELS), "--print-kernel-base",
                                                 "function", "--print-units", "base", "--log-file", file))
        text = file.read_text(errors="replace") if file.is_file() else ""
    refused = re.search(r"ERR_NVGPUCTRPERM|not have permission|[^\n]*not supported[^\n]*", text + outcome.stdout + outcome.stderr)
    if refused:
        raise NotRun(f"ncu may not read the counters here: {refused.group(0).strip('= ')}")
    if outcome.timed_out:
        raise NotRun(outcome.problem())
    if not part.expect_success(outcome, "profile"):
        return
    sums = _dram_bytes(text)
    profiled = [f for f in part.stage.findings if f["kind"] == "profiled"]
    for finding in profiled:
        sum_of = sums.get(finding["ran"])
        if not sum_of:
            part.fail(f"profile: {finding['asked']}: the profiler saw no kernel of it")
            continue
        elements = sum(f["parameters"] * f["steps"] for f in profiled if f["ran"] == finding["ran"])
        finding.update({f"dram_bytes_{what}": count / elements for what, count in sum_of.items()})
        finding["dram_bytes"] = sum(sum_of.values()) / elements


def _sanitize(part):
    sanitizer = _tool("compute-sanitizer")
    for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
        name = f"{tool}: the small cases"
        if part.clock.left() < LEAST:
            part.stage.findings.append({"kind": "not_run", "name": name, "reason": "no time left"})
            continue
        outcome = part.bench("cases", wrapper=(sanitizer, "--tool", tool, "--error-exitcode", "86"))
        summary = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: .*", outcome.stdout + outcome.stderr)
        if re.search("not supported|failed to initialize", outcome.stdout + outcome.stderr, re.I) and not summary:
            part.stage.findings.append({"kind": "not_run", "name": name, "reason": outcome.last_words()})
        elif outcome.timed_out:
            part.stage.findings.append({"kind": "not_run", "name": name, "reason": outcome.problem()})
        else:
            good = part.expect_success(outcome, name)
            if good and not summary:
                part.fail(f"{name}: no summary was printed")
            part.stage.findings.append({"kind": "check", "name": name, "ok": good and bool(summary),
                                        "detail": summary[-1] if summary else outcome.last_words()})


ALL = (
    Stage("facts", 15, _facts),
    Stage("bits", 75, _bits),
    Stage("graph", 40, _program_stage("graph")),
    Stage("soak", 35, _program_stage("soak")),
    Stage("large", 45, _program_stage("large")),
    Stage("timing", 120, _program_stage("timing")),
    Stage("profile", 20, _profile),
    Stage("suite", 35, _suite),
    Stage("sanitize", 95, _sanitize),
)


def run(stage, tree, clock, results):
    """One stage; its verdict and findings are on disk when this returns."""
    entry = results.begin(stage.name)
    if clock.left() < LEAST:
        entry.finish("not run", "no time left")
    else:
        part = Part(tree, entry, min(stage.most, clock.left()))
        reason = ""
        try:
            stage.work(part)
        except NotRun as why:
            reason = str(why)
        except KeyboardInterrupt:
            entry.finish("not run", "interrupted")
            raise
        except Exception as problem:  # a defect of this script must not cost the stages that follow
            part.fail(f"{type(problem).__name__}: {problem}")
        entry.conclude(reason)
    results.write()
    print(entry.line(), flush=True)
