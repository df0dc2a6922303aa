"""Pretended programs for bench/gpu: what its tests share."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
GPU = ROOT / "bench" / "gpu"
sys.path.insert(0, str(ROOT / "bench" / "gpu.d"))


def check(name, ok=True):
    return f"""echo '{{"kind": "check", "name": "{name}", "ok": {str(ok).lower()}}}'"""


TIMED = """echo '{"kind": "copy", "gb_per_s": 3000.0}'
echo '{"kind": "timing", "op": "novograd_step", "model": "'$5'", "dtypes": "f32", "ran": "one pass", "us": 12.5,\
 "us_model": 10.0, "us_host": 3.5, "gb_per_s": 2500.0}'"""
PROFILED = """{"kind": "profiled", "op": "novograd_step", "model": "%s", "dtypes": "f32", "asked": "%s", "ran": "%s",\
 "parameters": 100, "steps": 2}"""
GOOD = {
    "facts": """echo '{"kind": "facts", "device": "Test GPU 9000", "compute_capability": "9.0"}'""",
    **{name: check(name) for name in ("cases", "grids", "graph", "soak", "large")},
    "timing": TIMED,
    "profile": "\n".join(f"echo '{PROFILED % ('m', path, path)}'" for path in ("two passes", "one pass")),
    "rivals": """echo '{"kind": "rival", "op": "plain kernels", "model": "m", "us": 99.5}'""",
}
CROSS = """[ "$1" = --help ] && exit
echo "$LAYERWISE_CROSS_SEED $LAYERWISE_CROSS_CASES" >>"$(dirname "$0")/calls"; sleep 0.2; echo 'All tests passed'"""
NCCL = """[ "$1" = --help ] && exit 2
echo "$LD_LIBRARY_PATH" >>"$(dirname "$0")/calls"; echo 'rank 0 of 1: 0.0e+00 from one plan'; exit ${NCCL_EXIT:-0}"""
# Prints a table of the values that a test has put beside it, then does as the program under it does.
NCU = r"""exec python3 - "$(dirname "$0")" "$@" <<'END'
import json, os, subprocess, sys
folder, *arguments = sys.argv[1:]
open(folder + "/ncu.calls", "a").write(json.dumps(arguments) + "\n")
metrics = arguments[arguments.index("--metrics") + 1].split(",")
file = open(arguments[arguments.index("--log-file") + 1], "w")
print("==PROF== Connected to process 1", file=file)
if "PASSES" in os.environ:
    print(f'==PROF== Profiling "norms" - 0: 0%....50%....100% - {os.environ["PASSES"]} passes', file=file)
print('"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"', file=file)
for number, (kernel, values) in enumerate(json.load(open(folder + "/ncu.json"))):
    for metric in metrics:
        value, unit = values.get(metric, ["n/a", ""])
        print(f'"{number}","{kernel}","{metric}","{unit}","{value}"', file=file)
file.close()
begin = next(i for i, argument in enumerate(arguments) if argument.endswith("bench_gpu"))
sys.exit(subprocess.run(arguments[begin:]).returncode)
END"""
SANITIZER = """echo "$*" >>"$(dirname "$0")/sanitizer.calls"
shift 4; "$@"; rc=$?; echo "========= ERROR SUMMARY: 0 errors"; exit $rc"""
SMI = """echo "$*" >>"$(dirname "$0")/smi.calls"; echo '1.2.3, 1000 MHz, 2000 MHz, 700 W, Enabled'"""
CTEST = """while [ "$1" != --output-junit ]; do shift; done
echo '<testsuite tests="5" failures="0" skipped="1" disabled="0"/>' >"$2" """


class Pretended(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder, self.variables = Path(folder.name).resolve(), {}
        self.build, self.out, self.path = self.folder / "tree", self.folder / "results", self.folder / "path"
        self.script(self.build / "tests" / "cross" / "cross", CROSS)
        self.script(self.build / "tests" / "nccl" / "nccl", NCCL)
        (self.build / "CTestTestfile.cmake").touch()
        (self.build / "CMakeCache.txt").write_text(f"CMAKE_CACHEFILE_DIR:INTERNAL={self.build}\n")
        for name, body in (("compute-sanitizer", SANITIZER), ("ctest", CTEST), ("ncu", NCU),
                           ("nvidia-smi", SMI)):
            self.script(self.path / name, body)
        self.counted([("norms", "400", "0"), ("update", "1,200", "800")] * 2 + [("one_pass", "1,250", "790")] * 2)

    def script(self, path, body):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def counted(self, launches, **more):
        """What the pretended profiler sees: kernel, bytes read, bytes written of every launch."""
        values = [[kernel, {"dram__bytes_read.sum": [read, "byte"], "dram__bytes_write.sum": [written, "byte"], **more}]
                  for kernel, read, written in launches]
        (self.path / "ncu.json").write_text(json.dumps(values))

    def programs(self, folder, **stages):
        cases = "".join(f"{name})\n{body}\n;;\n" for name, body in {**GOOD, **stages}.items())
        self.script(folder / "bench" / "bench_gpu", f'case "$1" in\n{cases}esac')

    def command(self, *options, **stages):
        self.programs(self.build, **stages)
        return [sys.executable, str(GPU), str(self.build), "--out", str(self.out), *options]

    def environment(self):
        return {**os.environ, **self.variables, "PATH": f"{self.path}:{os.environ['PATH']}"}

    def run_gpu(self, only, *options, seconds=30, **stages):
        return self.run_command(self.command("--seconds", str(seconds), "--only", only, *options, **stages))

    def run_command(self, command, environment=None):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120,
                              env=environment or self.environment())
        self.text = done.stdout + done.stderr
        self.read()
        return done.returncode

    def read(self):
        files = sorted(self.out.glob("*.json"))
        self.assertTrue(files, getattr(self, "text", ""))
        self.json = json.loads(files[-1].read_text())
        self.markdown = files[-1].with_suffix(".md").read_text()
        self.verdicts = {stage["stage"]: stage["verdict"] for stage in self.json["stages"]}
        self.assertFalse(list(self.out.glob("*.new")))

    def findings(self, kind):
        return [f for stage in self.json["stages"] for f in stage["findings"] if f["kind"] == kind]

    def problems(self):
        return "\n".join(problem for stage in self.json["stages"] for problem in stage["problems"])
