"""bench/gpu with pretended programs: whatever they do, every stage gets its verdict and both files are whole."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

GPU = Path(__file__).resolve().parent.parent / "gpu"

GOOD = {
    "facts": """echo '{"kind": "facts", "device": "Test GPU 9000", "l2_bytes": 1}'""",
    "cases": """echo '{"kind": "check", "name": "case", "ok": true}'""",
    "grids": """echo '{"kind": "check", "name": "grid", "ok": true}'""",
    "soak": """echo '{"kind": "check", "name": "soak", "ok": true}'""",
    "graph": """echo '{"kind": "check", "name": "graph", "ok": true}'""",
    "large": """echo '{"kind": "check", "name": "large", "ok": true}'""",
    "timing": """echo '{"kind": "copy", "gb_per_s": 3000.0}'
                 echo '{"kind": "timing", "op": "novograd_step", "model": "m", "us": 12.5, "gb_per_s": 2500.0}'""",
    "profile": """for path in "two passes" "one pass"; do echo "{\\"kind\\": \\"profiled\\", \\"model\\": \\"m\\",\
 \\"asked\\": \\"$path\\", \\"ran\\": \\"$path\\", \\"parameters\\": 100, \\"steps\\": 2}"; done""",
}
CROSS = "echo \"$LAYERWISE_CROSS_SEED $LAYERWISE_CROSS_CASES\" >>\"$(dirname \"$0\")/calls\"; sleep 1; echo 'All tests passed'"
# Two launches of each kernel; the profiler's words before the table, thousands apart.
NCU = r"""exec python3 - "$@" <<'END'
import subprocess, sys
log, command = sys.argv[sys.argv.index("--log-file") + 1], sys.argv[-2:]
with open(log, "w") as file:
    print("==PROF== Connected to process 1", file=file)
    print('"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"', file=file)
    for kernel, *values in (("norms", "400", "0"), ("update", "1,200", "800"), ("other", "9", "9"),
                            ("void layerwise::one_pass<Novograd, float>(DevicePlan)", "1,250", "790")):
        for launch in (1, 2):
            for metric, value in zip(("read", "write"), values):
                print(f'"{launch}","{kernel}","dram__bytes_{metric}.sum","byte","{value}"', file=file)
sys.exit(subprocess.run(command).returncode)
END"""
SANITIZER = 'shift 4; "$@"; rc=$?; echo "========= ERROR SUMMARY: 0 errors"; exit $rc'
CTEST = """while [ "$1" != --output-junit ]; do shift; done
echo '<testsuite tests="5" failures="0" skipped="1" disabled="0"/>' >"$2" """


class Driver(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()
        self.build, self.out, self.path = self.folder / "tree", self.folder / "results", self.folder / "path"
        self.script(self.build / "tests" / "cross" / "cross", CROSS)
        (self.build / "CTestTestfile.cmake").touch()
        (self.build / "CMakeCache.txt").write_text(f"CMAKE_CACHEFILE_DIR:INTERNAL={self.build}\n")
        self.script(self.path / "compute-sanitizer", SANITIZER)
        self.script(self.path / "ctest", CTEST)
        self.script(self.path / "ncu", NCU)
        self.script(self.path / "nvidia-smi", "echo '1.2.3, 1000 MHz, 2000 MHz, 700 W, Enabled'")

    def script(self, path, body):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def command(self, *options, **stages):
        cases = "".join(f"{name})\n{body}\n;;\n" for name, body in {**GOOD, **stages}.items())
        self.script(self.build / "bench" / "bench_gpu", f'case "$1" in\n{cases}esac')
        return [sys.executable, str(GPU), str(self.build), "--out", str(self.out), *options]

    def environment(self):
        return {**os.environ, "PATH": f"{self.path}:{os.environ['PATH']}"}

    def run_gpu(self, *options, seconds=30, only="facts,bits,graph,large,timing,suite,sanitize", **stages):
        command = self.command("--seconds", str(seconds), "--only", only, *options, **stages)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=self.environment())
        self.text = done.stdout + done.stderr
        self.read()
        return done.returncode

    def read(self):
        files = sorted(self.out.glob("*.json"))
        self.json = json.loads(files[-1].read_text())
        self.markdown = files[-1].with_suffix(".md").read_text()
        self.verdicts = {stage["stage"]: stage["verdict"] for stage in self.json["stages"]}
        self.assertFalse(list(self.out.glob("*.new")))

    def problems(self):
        return "\n".join(problem for stage in self.json["stages"] for problem in stage["problems"])

    def test_all_good(self):
        code = self.run_gpu(only="facts,graph,soak,large,timing,profile,suite,sanitize")
        self.assertEqual(code, 0, self.text)
        self.assertEqual(set(self.verdicts.values()), {"passed"})
        self.assertIn("test-gpu-9000", sorted(self.out.glob("*.md"))[0].name)
        self.assertIn("| novograd_step | m |", self.markdown)
        self.assertIn("3000 GB/s", self.markdown)
        self.assertIn("| driver version | 1.2.3 |", self.markdown)
        self.assertIn("suite: 4 tests, 0 failed, 1 skipped", json.dumps(self.json))
        self.assertNotIn(str(self.folder), self.markdown)  # no path of the machine it ran on

    def test_cross_takes_ever_new_seeds_until_its_time_is_over(self):
        self.assertEqual(self.run_gpu(seconds=12, only="bits"), 0, self.text)
        self.assertEqual([f["name"] for f in self.json["stages"][1]["findings"]][:2], ["case", "grid"])
        calls = [[int(n) for n in line.split()] for line in (self.build / "tests" / "cross" / "calls").read_text().splitlines()]
        self.assertGreater(len(calls), 3)
        for (seed, cases), (following, _) in zip(calls, calls[1:]):
            self.assertEqual(following, seed + cases)

    def test_what_fails_hangs_or_crashes_does_not_stop_the_next(self):
        begin = time.monotonic()
        code = self.run_gpu(seconds=14, facts="echo broken >&2; exit 3", graph="kill -SEGV $$", only="facts,graph,large,timing",
                            large="""echo '{"kind": "check", "name": "first", "ok": true}'; sleep 1000 & sleep 1000""",
                            timing="echo never")
        self.assertLess(time.monotonic() - begin, 30)
        self.assertEqual(code, 1)
        self.assertEqual(self.verdicts, {"facts": "failed", "graph": "failed", "large": "failed", "timing": "not run"})
        self.assertIn("exit code 3: broken", self.problems())
        self.assertIn("ended by SIGSEGV", self.problems())
        self.assertIn("stopped after", self.problems())
        self.assertIn('"name": "first"', json.dumps(self.json))  # what was seen before the hang
        self.assertIn("| timing | no time left |", self.markdown)
        self.assertIn("no-device", sorted(self.out.glob("*.md"))[0].name)

    def test_garbage_is_no_evidence(self):
        code = self.run_gpu(graph="head -c 3000 /dev/urandom; echo; echo '{\"kind\": 3}'; echo '{\"kind\": \"che'", only="graph")
        self.assertEqual((code, self.verdicts["graph"]), (1, "failed"))
        self.assertIn("nothing was printed", self.problems())

    def test_a_check_that_fails_fails_the_stage_whatever_the_exit_code(self):
        code = self.run_gpu(only="large", large="""echo '{"kind": "check", "name": "far end", "ok": false, "detail": "bits"}'""")
        self.assertEqual((code, self.verdicts["large"]), (1, "failed"))
        self.assertIn("far end: bits", self.text)

    def test_what_cannot_run_here_is_listed_and_not_failed(self):
        self.script(self.path / "compute-sanitizer", "echo '========= Error: Device not supported.'; exit 1")
        (self.build / "CMakeCache.txt").write_text("CMAKE_CACHEFILE_DIR:INTERNAL=/elsewhere\n")
        code = self.run_gpu(only="large,suite,sanitize", large="""echo '{"kind": "not_run", "name": "large", "reason": "no room"}'""")
        self.assertEqual(code, 0, self.text)
        self.assertEqual(set(self.verdicts.values()) - {"passed"}, {"not run"})
        self.assertIn("| large | no room |", self.markdown)
        self.assertIn("made in another folder", self.markdown)
        self.assertIn("Device not supported", self.markdown)

    def test_the_memorys_counters_stand_beside_the_model(self):
        self.assertEqual(self.run_gpu(only="profile"), 0, self.text)
        found = {f["ran"]: f for stage in self.json["stages"] for f in stage["findings"] if f["kind"] == "profiled"}
        two, one = found["two passes"], found["one pass"]  # 100 parameters, 2 steps
        self.assertEqual((two["dram_bytes_read"], two["dram_bytes_written"], two["dram_bytes"]), (16, 8, 24))
        self.assertEqual((one["dram_bytes_read"], one["dram_bytes_written"], one["dram_bytes"]), (12.5, 7.9, 20.4))
        self.assertIn("## Memory traffic", self.markdown)
        self.assertIn("| one pass | 12.5 | 7.90 | 20.4 |", self.markdown)

    def test_a_fallen_back_profile_is_not_counted_twice(self):
        fallen = GOOD["profile"].replace('\\"ran\\": \\"$path', '\\"note\\": \\"fell back\\", \\"ran\\": \\"two passes')
        self.assertEqual(self.run_gpu(only="profile", profile=fallen), 0, self.text)
        found = [f for stage in self.json["stages"] for f in stage["findings"] if f["kind"] == "profiled"]
        self.assertEqual([f["dram_bytes"] for f in found], [12, 12])  # the same sum over 4 steps
        self.assertIn("2 x fell back", self.text)

    def profile_is_not_run(self, reason):
        self.assertEqual(self.run_gpu(only="profile"), 0, self.text)
        self.assertEqual(self.verdicts["profile"], "not run")
        self.assertIn(reason, self.markdown)

    def test_a_profiler_that_is_refused_the_counters_is_listed(self):
        self.script(self.path / "ncu", "echo '==ERROR== ERR_NVGPUCTRPERM - The user does not have permission'; exit 1")
        self.profile_is_not_run("ERR_NVGPUCTRPERM")

    def test_a_profiler_that_is_absent_is_listed(self):
        (self.path / "ncu").unlink()
        if any(shutil.which("ncu", path=path) for path in (None, "/usr/local/cuda/bin", "/opt/cuda/bin")):
            self.skipTest("this machine has an ncu")
        self.profile_is_not_run("there is no ncu")

    def test_a_profiler_that_saw_nothing_of_ours_is_no_evidence(self):
        self.script(self.path / "ncu", NCU.replace("one_pass<", "another<"))
        self.assertEqual((self.run_gpu(only="profile"), self.verdicts["profile"]), (1, "failed"))
        self.assertIn("one pass: the profiler saw no kernel", self.problems())

    def test_what_fell_back_is_said(self):
        row = GOOD["timing"].replace('"us":', '"note": "asked for one pass, ran in two passes", "us":')
        self.assertEqual(self.run_gpu(only="timing", timing=row), 0, self.text)
        self.assertIn("1 x asked for one pass, ran in two passes", self.text)
        self.assertEqual(self.markdown.count("asked for one pass, ran in two passes"), 2)  # its row and its stage

    def test_the_stages_fit_into_the_time_there_is(self):
        sys.path.insert(0, str(GPU.parent / "gpu.d"))
        import stages  # noqa: PLC0415
        self.assertLessEqual(sum(stage.most for stage in stages.ALL), 480)
        self.assertEqual({stage.name for stage in stages.ALL} - {"facts", "bits", "suite", "sanitize"}, set(GOOD) - {"facts", "cases", "grids"})

    def test_what_a_sanitizer_finds_fails(self):
        self.script(self.path / "compute-sanitizer", "echo '========= ERROR SUMMARY: 2 errors'; exit 86")
        self.assertEqual((self.run_gpu(only="sanitize"), self.verdicts["sanitize"]), (1, "failed"))
        self.assertIn("2 errors", self.text)

    def test_failing_tests_fail_the_suite(self):
        self.script(self.path / "ctest", CTEST.replace('failures="0"', 'failures="2"') + "\nexit 8")
        self.assertEqual((self.run_gpu(only="suite"), self.verdicts["suite"]), (1, "failed"))

    def test_an_empty_build_passes_nothing(self):
        empty = self.folder / "empty"
        empty.mkdir()
        command = self.command("--seconds", "20")
        command[2] = str(empty)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=self.environment())
        self.read()
        self.assertEqual(set(self.verdicts.values()), {"not run"}, done.stdout + done.stderr)

    def test_interrupted_it_leaves_whole_files(self):
        process = subprocess.Popen(self.command("--seconds", "60", "--only", "facts,graph,large", graph="sleep 1000"),
                                   env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        while not list(self.out.glob("*.md")):
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        self.read()
        self.assertEqual(process.returncode, 130)
        self.assertTrue(self.json["interrupted"])
        self.assertEqual(self.verdicts, {"facts": "passed", "graph": "not run"})
        self.assertIn(["large", "not reached"], self.json["not_run"])

    def test_a_second_run_keeps_the_first_ones_files(self):
        self.run_gpu(only="graph")
        self.run_gpu(only="graph")
        self.assertEqual(len(list(self.out.glob("*.json"))), 2)


if __name__ == "__main__":
    unittest.main()
