"""The stages of bench/gpu against the pretended runtime: gpu_stages.py PROGRAM

Their checks hold on it, find one wrong bit, and end with words when any call of the runtime fails.
"""

import json
import os
import subprocess
import sys
import unittest

PROGRAM = ""
STAGES = {
    "facts": ["facts"],
    "graph": ["graph", "--replays", "60"],
    "large": ["large", "--elements", "300000"],
    "timing": ["timing", "--models", "20x1000", "--seconds", "30"],
    "cases": ["cases"],
}
MEMORY = {"timing": "650000000"}  # the copy takes its share
CALLS = ("cudaMalloc", "cudaMallocHost", "cudaMemcpy", "cudaMemcpyAsync", "cudaMemset", "cudaStreamCreateWithFlags",
         "cudaStreamSynchronize", "cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphGetNodes",
         "cudaGraphInstantiate", "cudaGraphLaunch", "cudaEventCreate", "cudaEventRecord", "cudaEventSynchronize",
         "cudaEventElapsedTime", "cudaDeviceSynchronize", "cudaGetLastError", "cudaMemGetInfo", "cudaGetDeviceCount")


def run(stage, *more, **environment):
    done = subprocess.run([PROGRAM, *STAGES[stage], *more], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "FAKE_CUDA_MEMORY": MEMORY.get(stage, "2000000000"), "FAKE_CUDA_L2": "200000", **environment})
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def names(findings, kind, **having):
    return [f.get("name") for f in findings if f["kind"] == kind and all(f.get(k) == v for k, v in having.items())]


class Stages(unittest.TestCase):
    def test_checks_hold(self):
        for stage, least in (("graph", 3), ("large", 3), ("cases", 20), ("timing", 9)):
            with self.subTest(stage):
                code, findings, errors = run(stage)
                self.assertEqual(code, 0, errors)
                self.assertGreaterEqual(len(names(findings, "check", ok=True)), least)
                self.assertFalse(names(findings, "check", ok=False))

    def test_timing_says_what_it_moved(self):
        _, findings, _ = run("timing")
        rows = {(f["op"], f["dtypes"]): f for f in findings if f["kind"] == "timing"}
        self.assertEqual(len(rows), 9)
        row = rows["novograd_step", "f32/bf16/f32"]
        self.assertEqual((row["bytes_per_parameter"], row["floor_bytes_per_parameter"]), (20, 18))
        self.assertAlmostEqual(row["gb_per_s"], 20 * 20000 / row["us"] / 1e3, delta=0.01 * row["gb_per_s"])
        self.assertGreater(row["buffer_sets"], 1)  # one set would stay in the cache
        self.assertEqual(row["graph_nodes"], row["steps_per_graph"])
        copies = [f["gb_per_s"] for f in findings if f["kind"] == "copy"]
        self.assertTrue(any(abs(row["share_of_copy"] * copy / row["gb_per_s"] - 1) < 0.01 for copy in copies))

    def test_one_wrong_bit_is_found(self):
        for stage, step in (("graph", 2), ("graph", 121), ("large", 2), ("cases", 30)):
            with self.subTest(stage, step=step):
                code, findings, _ = run(stage, FAKE_CUDA_FLAW=str(step))
                self.assertEqual(code, 1)
                self.assertEqual(len(names(findings, "check", ok=False)), 1 if stage != "large" else 2)

    def test_a_wrong_bit_in_what_is_timed_is_found(self):
        for step in range(50, 250, 7):  # the compared launch is somewhere among the first
            if run("timing", "--seconds", "0.01", FAKE_CUDA_FLAW=str(step))[0] == 1:
                return
        self.fail("no flaw was found")

    def test_a_call_that_fails_is_reported(self):
        for call in CALLS:
            for stage in STAGES:
                code, findings, errors = run(stage, "--seconds", "0.01", FAKE_CUDA_FAIL=f"{call}:1")
                with self.subTest(call, stage=stage):
                    self.assertIn(code, (0, 1, 3), errors)  # 0: not called by this stage
                    words = [f["detail"] for f in findings if f["kind"] == "check" and not f["ok"]]
                    self.assertEqual(code != 0, any("planned by the test" in detail for detail in words))

    def test_without_time_nothing_is_called_passed(self):
        for stage in ("graph", "large", "timing"):
            code, findings, _ = run(stage, "--seconds", "0")
            self.assertEqual(code, 0)
            self.assertFalse(names(findings, "check"))
            self.assertTrue(names(findings, "not_run", reason="no time left"))

    def test_too_little_memory_is_said(self):
        _, findings, _ = run("large", FAKE_CUDA_MEMORY="500000000")
        self.assertIn("GB", findings[0]["reason"])
        _, findings, _ = run("timing", FAKE_CUDA_MEMORY="500000000")
        self.assertEqual(len(names(findings, "not_run")), 9)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
