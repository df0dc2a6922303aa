"""The stages of bench/gpu against the pretended runtime: the program of LAYERWISE_BENCH_GPU.

Their checks hold on it, find one wrong bit, and end with words when any call of the runtime fails.
"""

import functools
import json
import os
import subprocess
import sys
import unittest

PROGRAM = ""
ONE_PASS = "2"  # as FAKE_CUDA_FLAW_PATH has it
# A pretended device has no clocks that rise, and its copy is the host's.
SHORT = ["--seconds", "60", "--row-seconds", "0.02", "--warm-up-seconds", "0", "--copy-bytes", "1000000"]
STAGES = {
    "facts": ["facts"],
    "cases": ["cases"],
    "grids": ["grids"],
    "graph": ["graph", "--replays", "60"],
    "soak": ["soak", "--steps", "60"],
    "large": ["large", "--elements", "300000"],
    "timing": ["timing", "--models", "20x1000", *SHORT],
    "rivals": ["rivals", "--models", "20x1000", *SHORT],
    "profile": ["profile", "--models", "20x1000"],
}
CASES = ("unaligned", "odd first layer", "scattered", "copy", "stochastic", "zero gradients", "found_inf", "experimental")
WAYS = 2  # experimental ones, of the last
HALVES = ("novograd_apply", "larc_apply:scale", "larc_apply:sgd", "partial_norms:grads", "partial_norms:both")
STEPS = 12 + len(CASES)  # rows of the timing on both paths: 4 steps with 3 kinds of dtypes, and the special ones
ROWS = STEPS + len(HALVES)
LINES = 2 * STEPS + WAYS + len(HALVES)
# The rows of the timing that judge each change of the kernels, as both paths run them.
JUDGES = {
    "norms by a warp a tile, tiles drawn": [
        "partial_norms:grads bert-large f32/f32/f32",
        "partial_norms:grads bert-large bf16/bf16/bf16",
        "partial_norms:both bert-large f32/f32/f32",
        "novograd_step llama3-8b bf16/bf16/bf16"],
    "tiny layers packed": [
        "novograd_step 10000x64 f32/f32/f32",
        "novograd_step 100000x64 f32/f32/f32",
        "novograd_step 400x1000 f32/f32/f32",
        "larc_sgd_step 10000x64 f32/f32/f32",
        "partial_norms:grads 10000x64 f32/f32/f32",
        "novograd_apply 10000x64 f32/f32/f32"],
    "rows before the wait, drawn ahead, asynchronous copies": [
        "novograd_step resnet50 f32/f32/f32",
        "novograd_step resnet50 bf16/bf16/bf16",
        "novograd_step bert-large bf16/bf16/bf16",
        "novograd_step jasper10x5 f32/f32/f32",
        "novograd_step llama3-8b bf16/bf16/bf16"],
    "LARC holding weights only with two slots": [
        "larc_sgd_step resnet50 f32/f32/f32",
        "larc_sgd_step bert-large f32/f32/f32",
        "larc_sgd_step resnet50 bf16/bf16/bf16",
        "larc_novograd_step resnet50 f32/f32/f32"],
    "three blocks an SM of 16-bit gradients": [
        "novograd_step resnet50 bf16/bf16/bf16",
        "novograd_step jasper10x5 f32/bf16/f32"],
    "a coalesced scalar road": [
        "novograd_step resnet50 f32/f32/f32, odd first layer",
        "larc_sgd_step resnet50 f32/f32/f32, odd first layer",
        "novograd_step resnet50 bf16/bf16/bf16, unaligned"],
    "second sums from shared memory": [
        "novograd_step resnet50 f32/f32/f32, zero gradients",
        "novograd_step bert-large f32/f32/f32, zero gradients"],
    "constants in three loads, relaxed polls": [
        "novograd_step 400x1000 f32/f32/f32",
        "larc_sgd_step 400x1000 f32/f32/f32"],
    "dependent launches, bulk copies": [
        "novograd_step resnet50 bf16/bf16/bf16, experimental",
        "novograd_step bert-large f32/f32/f32, experimental",
        "larc_sgd_step resnet50 f32/f32/f32, experimental"],
    "found_inf read once": [
        "novograd_step resnet50 f32/f32/f32, found_inf",
        "novograd_step 10000x64 f32/f32/f32, found_inf"],
}
MEMORY = {"timing": "650000000", "rivals": "650000000"}  # the copy takes its share
CALLS = ("cudaMalloc", "cudaMallocHost", "cudaMemcpy", "cudaMemcpyAsync", "cudaMemset", "cudaStreamCreateWithFlags",
         "cudaStreamSynchronize", "cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphGetNodes",
         "cudaGraphInstantiate", "cudaGraphLaunch", "cudaEventCreate", "cudaEventRecord", "cudaEventSynchronize",
         "cudaEventElapsedTime", "cudaDeviceSynchronize", "cudaGetLastError", "cudaMemGetInfo", "cudaGetDeviceCount")


@functools.cache
def as_it_is(stage):
    """The same, of a stage as it is: several tests read it."""
    return run(stage)


def run(stage, *more, **environment):
    done = subprocess.run([PROGRAM, *STAGES[stage], *more], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "FAKE_CUDA_MEMORY": MEMORY.get(stage, "2000000000"), "FAKE_CUDA_L2": "200000", **environment})
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def names(findings, kind, **having):
    return [f.get("name") for f in findings if f["kind"] == kind and all(f.get(k) == v for k, v in having.items())]


class Stages(unittest.TestCase):
    def test_checks_hold(self):
        for stage, least in (("cases", 70), ("grids", 36), ("graph", 8), ("soak", 2), ("large", 6), ("timing", LINES),
                             ("rivals", 8)):
            with self.subTest(stage):
                code, findings, errors = as_it_is(stage)
                self.assertEqual(code, 0, errors)
                self.assertEqual(len(names(findings, "check", ok=True)), least)
                self.assertFalse(names(findings, "check", ok=False) + names(findings, "not_run"))
                self.assertFalse([f for f in findings if "note" in f])

    def test_timing_says_what_it_moved(self):
        _, findings, _ = as_it_is("timing")
        rows = {(f["op"], f["dtypes"], f["asked"]): f for f in findings if f["kind"] == "timing" and "case" not in f}
        self.assertEqual(len(rows), LINES - 2 * len(CASES) - WAYS)
        copies = [f["gb_per_s"] for f in findings if f["kind"] == "copy"]
        for path, nodes, moved in (("two passes", 1, 20), ("one pass", 1, 18)):  # the pretended step is one node
            row = rows["novograd_step", "f32/bf16/f32", path]
            self.assertEqual((row["ran"], row["auto"]), (path, "two passes"))  # tiles of 1000 elements are mostly empty
            self.assertEqual((row["bytes_per_parameter"], row["floor_bytes_per_parameter"]), (moved, 18))
            self.assertEqual(row["model_bytes_asked"], moved)
            self.assertEqual(row["held_elements"], row["held_elements_model"])
            self.assertAlmostEqual(row["gb_per_s"], moved * 20000 / row["us"] / 1e3, delta=0.01 * row["gb_per_s"])
            self.assertGreater(row["buffer_sets"], 1)  # one set would stay in the cache
            self.assertEqual(row["graph_nodes"], nodes * row["steps_per_graph"])
            self.assertTrue(any(abs(row["share_of_copy"] * copy / row["gb_per_s"] - 1) < 0.01 for copy in copies))
            launches = 1 if path == "one pass" else 2  # 2.5 us each, beside the bytes and what every tile waits for
            least = 20000 * row["model_bytes_from_memory"] / max(copies) / 1e3 + 2.5 * launches
            self.assertGreater(row["us_model"], least)
            self.assertEqual("one_over_two" in row, path == "one pass")
            self.assertGreater(row["us_host"], 0)
        # half of the pretended cache is 100 000 bytes: two passes find the 40 000 of the gradients there
        self.assertEqual(rows["novograd_step", "f32/bf16/f32", "two passes"]["model_bytes_from_memory"], 18)
        self.assertEqual(rows["novograd_apply", "f32/bf16/f32", "one launch"]["bytes_per_parameter"], 18)
        self.assertEqual(rows["larc_apply:scale", "f32/bf16/f32", "one launch"]["bytes_per_parameter"], 4)
        self.assertEqual(rows["partial_norms:grads", "f32/bf16/f32", "one launch"]["bytes_per_parameter"], 2)
        self.assertEqual(rows["partial_norms:both", "f32/bf16/f32", "one launch"]["floor_bytes_per_parameter"], 6)

    # Hazard: a step that begins with what the one before has left in the cache, which no training step finds there.
    def test_a_model_a_few_times_the_cache_has_two_sets_of_buffers(self):
        for model, sets in (("20x8000", 2), ("20x60000", 1)):  # of 200 000 bytes float32 NovoGrad's are 10 and 72 times
            findings = run("timing", "--models", model, "--seconds", "0.01")[1]
            self.assertEqual({f["buffer_sets"] for f in findings if f["kind"] == "timing"}, {sets})
            automatic = {f["auto"] for f in findings if f["kind"] == "timing" and f["op"] == "novograd_step"}
            self.assertEqual(automatic, {"one pass"})

    # Hazard: the figures of a special row that moves other bytes, or other layers, than its name says.
    def test_every_special_row_is_there_on_both_paths(self):
        rows = {(f["case"], f["asked"]): f for f in as_it_is("timing")[1] if f["kind"] == "timing" and "case" in f}
        ways = [("experimental", way) for way in ("one pass, bulk copies", "two passes, dependent launch")]
        paths = [(case, path) for case in CASES for path in ("one pass", "two passes")]
        self.assertEqual(sorted(rows), sorted(paths + ways))
        for (case, path), row in rows.items():
            with self.subTest(case, path=path):
                others = {"copy": ("f32+bf16/bf16/f32", 20, 2), "stochastic": ("bf16/bf16/bf16", 10, 2)}
                dtypes, floor, again = others.get(case, ("f32/f32/f32", 20, 4))
                self.assertEqual((row["dtypes"], row["floor_bytes_per_parameter"]), (dtypes, floor))
                self.assertEqual(row["bytes_per_parameter"], floor + (again if row["ran"] == "two passes" else 0))
                self.assertEqual(row["model_bytes_asked"], row["bytes_per_parameter"])
                self.assertEqual(row["parameters"], 20007 if case == "odd first layer" else 20000)
                self.assertEqual(row["aligned_layers"], 1 if case in ("unaligned", "odd first layer") else 20)

    def test_rivals_say_what_they_moved_and_launched(self):
        rows = {(f["op"].split()[-1], f["dtypes"]): f for f in as_it_is("rivals")[1] if f["kind"] == "rival"}
        moved = {"f32/f32/f32": (24, 20), "f32/bf16/f32": (20, 18), "bf16/bf16/bf16": (12, 10)}
        for rival, launches in (("element", 3), ("arguments", 3)):  # 20 layers are one table: sums, layers, update
            for dtypes, bytes_moved in moved.items():
                row = rows[rival, dtypes]
                self.assertEqual((row["bytes_per_parameter"], row["floor_bytes_per_parameter"]), bytes_moved)
                self.assertEqual((row["launches"], row["parameters"]), (launches, 20000))
                self.assertTrue(row["us"] > 0 and row["us_host"] > 0 and row["us_layerwise"] > 0)
        self.assertEqual(rows["cub::DeviceSegmentedReduce", "bf16/bf16/bf16"]["bytes_per_parameter"], 2)
        self.assertEqual(len(rows), 8)

    # Hazard: a layer's last chunk in the wrong table, a table of too many layers or blocks.
    def test_a_rival_takes_as_many_launches_as_its_tables(self):
        for model, tables in (("110x10", 1), ("111x10", 2), ("221x10", 3), ("1x20971521", 2), ("2x12000000", 2)):
            with self.subTest(model):  # 320 chunks are 20971520 elements; of 12000000 the second layer is cut
                code, findings, errors = run("rivals", "--models", model, "--row-seconds", "0", "--seconds", "0.01",
                                             FAKE_CUDA_MEMORY="1500000000", FAKE_CUDA_IDLE="1")
                self.assertEqual(code, 0, errors)
                row = [f for f in findings if f["kind"] == "rival" and f["op"].endswith("arguments")][0]
                self.assertEqual(row["launches"], 2 * tables + 1)

    def test_a_wrong_rival_is_found_and_not_timed(self):
        code, findings, _ = run("rivals", "--seconds", "0.01", FAKE_CUDA_FLAW_RIVAL="1")
        self.assertEqual((code, len(names(findings, "check", ok=False))), (1, 2))
        self.assertFalse([f for f in findings if f["kind"] == "rival"])

    def test_the_profile_says_which_kernels_it_launched(self):
        findings = as_it_is("profile")[1]
        paths = ("two passes", "one pass")
        self.assertEqual([(f["dtypes"], f["ran"]) for f in findings],
                         [(dtypes, path) for dtypes in ("f32/f32/f32", "bf16/bf16/bf16") for path in paths])
        for f in findings:
            self.assertEqual(set(f["launches"]), {"one_pass"} if f["ran"] == "one pass" else {"norms", "update"})
            self.assertEqual(set(f["launches"].values()), {f["steps"]})
            self.assertEqual(f["launches"].keys(), f["kernel_bytes_asked"].keys())
            self.assertAlmostEqual(sum(f["kernel_bytes_asked"].values()), f["model_bytes_asked"], places=3)
        usual = run("profile", "--models", "")[1]
        self.assertEqual([(f["model"], f["dtypes"]) for f in usual][::2],
                         [("resnet50", "f32/f32/f32"), ("resnet50", "bf16/bf16/bf16"), ("10000x64", "f32/f32/f32")])
        self.assertTrue(names(run("profile", FAKE_CUDA_MEMORY="500000000")[1], "not_run"))

    def test_layers_larger_than_the_chip_are_met(self):
        _, findings, _ = as_it_is("soak")
        for f in findings:
            self.assertLess(f["held_elements"], f["elements"])
        _, findings, _ = as_it_is("grids")
        rooms = {(f["name"].split(",")[0], f["multiprocessors"]): f["room"] for f in findings}
        self.assertEqual(rooms["grids: novograd_step f32/f32/f32", 1], 3 * 8192)  # 99 KiB hold 3 tiles of 32 KiB
        self.assertEqual(rooms["grids: novograd_step f32/f32/f32", 0], 4 * 3 * 8192)

    # Hazard: figures of a one-pass step that ran in two.
    def test_a_step_that_falls_back_says_so(self):
        ran = {stage: run(stage, FAKE_CUDA_REFUSES="1")
               for stage in ("cases", "grids", "graph", "soak", "large", "timing", "profile")}
        for stage, (code, findings, errors) in ran.items():
            with self.subTest(stage):
                self.assertEqual(code, 0, errors)
                asked = [f for f in findings if f.get("asked", "").startswith("one pass")]
                self.assertTrue(asked)
                for f in asked:
                    self.assertEqual((f["ran"], f["note"]), ("two passes", "asked for one pass, ran in two passes"))
                    self.assertNotIn("one_over_two", f)
                self.assertFalse([f for f in findings if "note" in f and not f["asked"].startswith("one pass")])
        row = [f for f in ran["timing"][1] if f.get("op") == "novograd_step"][0]
        self.assertEqual((row["auto"], row["bytes_per_parameter"]), ("two passes", 24))

    def test_one_wrong_bit_is_found(self):
        for stage, step in (("graph", 2), ("graph", 121), ("large", 2), ("cases", 30), ("grids", 60), ("soak", 2), ("soak", 237)):
            with self.subTest(stage, step=step):
                code, findings, _ = run(stage, FAKE_CUDA_FLAW=str(step))
                self.assertEqual(code, 1)
                self.assertEqual(len(names(findings, "check", ok=False)), 1 if stage != "large" else 5)

    def test_one_wrong_bit_of_a_one_pass_step_is_found(self):
        for stage, step in (("graph", 2), ("large", 1), ("cases", 30), ("grids", 36), ("soak", 2), ("soak", 60)):
            with self.subTest(stage, step=step):
                code, findings, _ = run(stage, FAKE_CUDA_FLAW=str(step), FAKE_CUDA_FLAW_PATH=ONE_PASS)
                self.assertEqual(code, 1)
                failed = [f for f in findings if f["kind"] == "check" and not f["ok"]]
                self.assertEqual(failed[0]["ran"], "one pass")

    def test_the_soak_goes_on_without_the_cpu(self):
        code, findings, _ = run("soak", "--cpu-steps", "20")
        self.assertEqual((code, [(f["steps"], f["cpu_steps"]) for f in findings]), (0, [(60, 20)] * 2))
        code, findings, _ = run("soak", "--cpu-steps", "20", FAKE_CUDA_FLAW="41", FAKE_CUDA_FLAW_PATH=ONE_PASS)
        self.assertEqual(code, 1)
        self.assertIn("in the CPU's place", [f for f in findings if not f["ok"]][0]["detail"])

    def test_what_the_time_cuts_off_is_said(self):
        code, findings, _ = run("cases", "--seconds", "0.05")
        held = len(names(findings, "check", ok=True))
        self.assertEqual((code, names(findings, "not_run")), (0, [f"cases: {70 - held} of 70"] if held < 70 else []))
        for stage, option in (("graph", "--replays"), ("soak", "--steps")):
            with self.subTest(stage):
                code, findings, _ = run(stage, option, "1000000", "--seconds", "0.5")
                self.assertEqual(code, 0)
                self.assertFalse(names(findings, "check", ok=False))
                cut = [f for f in findings if f["kind"] == "not_run"]
                # On a busy machine what comes later may not have begun at all.
                self.assertTrue([f for f in cut if "to 1000000" in f["name"]], cut)

    def test_a_wrong_bit_in_what_is_timed_is_found(self):
        code, findings, _ = run("timing", FAKE_CUDA_FLAW="every")
        self.assertEqual((code, len(names(findings, "check", ok=False))), (1, LINES))
        for only, count in ((ONE_PASS, STEPS + 1), ("1", STEPS + 1)):  # one experimental way of each
            findings = run("timing", FAKE_CUDA_FLAW="every", FAKE_CUDA_FLAW_PATH=only)[1]
            wrong = [name for name in names(findings, "check", ok=False) if " pass" in name]  # of steps, not of halves
            self.assertEqual(len(wrong), count)
            self.assertEqual({", one pass" in name for name in wrong}, {only == ONE_PASS})

    def test_a_wrong_bit_in_the_weights_copy_is_found(self):
        for stage, more in (("timing", 2), ("cases", 8)):
            _, findings, _ = run(stage, FAKE_CUDA_FLAW="every", FAKE_CUDA_FLAW_COPY="1")
            found = [f["name"] for f in findings if "copy of the weights" in f.get("detail", "")]
            self.assertEqual(len(found), more)

    def test_a_call_that_fails_is_reported(self):
        for call in CALLS:
            for stage in STAGES:
                code, findings, errors = run(stage, "--seconds", "0.01", FAKE_CUDA_FAIL=f"{call}:1")
                with self.subTest(call, stage=stage):
                    self.assertIn(code, (0, 1, 3), errors)  # 0: not called by this stage
                    words = [f["detail"] for f in findings if f["kind"] == "check" and not f["ok"]]
                    self.assertEqual(code != 0, any("planned by the test" in detail for detail in words))

    def test_without_time_nothing_is_called_passed(self):
        for stage in ("cases", "grids", "graph", "soak", "large", "timing", "rivals", "profile"):
            code, findings, _ = run(stage, "--seconds", "0")
            self.assertEqual(code, 0)
            self.assertFalse(names(findings, "check"))
            self.assertTrue(names(findings, "not_run", reason="no time left"))

    def test_the_usual_rows_are_all_accounted_for(self):
        for seconds, memory in (("0", "2000000000"), ("60", "500000000")):  # no time, no room
            def left_out(rows):
                code, findings, errors = run("timing", "--models", "", "--rows", rows, "--seconds", seconds,
                                             FAKE_CUDA_MEMORY=memory)
                self.assertEqual((code, len(names(findings, "not_run"))), (0, len(findings)), errors)
                return names(findings, "not_run")

            first, rest = left_out("first"), left_out("rest")
            self.assertEqual(first + rest, left_out("all"))
            self.assertEqual((len(first), len(set(first + rest))), (6, len(first + rest)))
            for words in ("novograd_step", "larc_scale", "larc_sgd_step", "larc_novograd_step", *HALVES, *CASES,
                          "10000x64", "100000x64", "400x1000", "llama3-8b", "bert-large", "jasper10x5"):
                self.assertTrue([name for name in first + rest if words in name], words)
            for change, rows in JUDGES.items():
                for row in rows:
                    self.assertIn(f"timing: {row}", first + rest, change)
            for op in ("partial_norms:grads", "partial_norms:both", "novograd_apply", "larc_apply:sgd"):
                for model in ("resnet50", "bert-large", "10000x64"):
                    for dtypes in ("f32/f32/f32", "bf16/bf16/bf16"):
                        self.assertIn(f"timing: {op} {model} {dtypes}", rest)
            _, findings, _ = run("rivals", "--models", "", "--seconds", seconds, FAKE_CUDA_MEMORY=memory)
            self.assertEqual(len(names(findings, "not_run")), 15)
        self.assertEqual(run("timing", "--rows", "last")[0], 2)

    # Hazard: a row that would not fit costs its time before it says so.
    def test_too_little_memory_is_said(self):
        for stage, rows in (("large", 1), ("timing", ROWS), ("rivals", 5), ("profile", 2)):
            code, findings, _ = run(stage, FAKE_CUDA_MEMORY="500000000")
            self.assertEqual((code, len(findings), len(names(findings, "not_run"))), (0, rows, rows))
            self.assertTrue(all("MB of device memory" in f["reason"] for f in findings))
        findings = run("timing", "--models", "", "--seconds", "0", FAKE_CUDA_MEMORY="80000000000")[1]
        llama = [f["reason"] for f in findings if f["name"] == "timing: novograd_step llama3-8b f32/bf16/f32"]
        self.assertEqual(llama, ["needs 80839 MB of device memory, free are 80000 MB"])

    # Hazard: memory that was free when it was asked for and is not when it is taken, as a failed check.
    def test_memory_that_runs_out_on_the_way_is_not_run(self):
        for stage, call in (("large", "cudaMalloc:2"), ("large", "cudaMallocHost:1"), ("timing", "cudaMalloc:4"),
                            ("rivals", "cudaMalloc:5"), ("profile", "cudaMalloc:2")):
            with self.subTest(stage, call=call):
                code, findings, errors = run(stage, "--seconds", "5", FAKE_CUDA_FAIL=f"{call}:memory")
                self.assertEqual(code, 0, errors)
                self.assertFalse(names(findings, "check", ok=False))
                self.assertEqual(len(names(findings, "not_run")), 1)


if __name__ == "__main__":
    PROGRAM = os.environ["LAYERWISE_BENCH_GPU"]
    unittest.main()
