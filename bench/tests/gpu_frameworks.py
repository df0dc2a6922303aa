"""The programs of bench/gpu.d/frameworks without a GPU, with the library of LAYERWISE_LIBRARY.

They hold on the CPU, find one wrong bit, and say what is missing; whatever one does, the others' findings are kept.
"""

import contextlib
import functools
import importlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import time
import unittest
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
GPU_D = ROOT / "bench" / "gpu.d"
FRAMEWORKS = GPU_D / "frameworks"
sys.dont_write_bytecode = True
sys.path[:0] = [str(FRAMEWORKS), str(GPU_D), str(ROOT / "bindings" / "python")]

TORCH = ("torch_eager", "torch_graph", "torch_compiled", "torch_scaler")
PROGRAMS = (*TORCH, "arrays", "jax_steps", "host_time", "rivals_torch", "rivals_compiled", "rivals_jax")
STEPS = 4  # in place of 20, to be quick
ROW = {"op", "model", "dtypes", "ran", "us", "us_host", "parameters", "floor_bytes_per_parameter",
       "floor_share_of_copy"}


def installed(*modules):
    return all(importlib.util.find_spec(module) for module in modules)


needs_torch = unittest.skipUnless(installed("torch"), "PyTorch is not installed")
needs_jax = unittest.skipUnless(installed("jax"), "JAX is not installed")
needs_numpy = unittest.skipUnless(installed("numpy"), "NumPy is not installed")


def run(name, *arguments, **environment):
    """A program's exit code and findings; it runs in this process, so that what it imports is imported once."""
    module, program = importlib.import_module(name), importlib.import_module("program")
    said, errors = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ, environment), contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
        code = program.run(name, module.work, ["--device", "cpu", *arguments])
    return code, [json.loads(line) for line in said.getvalue().splitlines()]


def named(findings, kind, **having):
    return [f["name"] for f in findings
            if f["kind"] == kind and all(f.get(key) == value for key, value in having.items())]


class Comparisons(unittest.TestCase):
    def setUp(self):
        for module, values in (("torch_twins", {"STEPS": STEPS}), ("torch_scaler", {"OVERFLOWS": (0, 2)}),
                               ("jax_steps", {"STEPS": STEPS})):
            if module == "jax_steps" or installed("torch"):
                patch = mock.patch.multiple(importlib.import_module(module), **values)
                patch.start()
                self.addCleanup(patch.stop)

    def hold(self, name, least):
        code, findings = run(name)
        self.assertEqual(named(findings, "check", ok=False), [])
        self.assertEqual(code, 0)
        self.assertEqual(len(named(findings, "check", ok=True)), least)
        self.assertTrue(all(f["reason"] for f in findings if f["kind"] == "not_run"))
        return findings

    def find_the_wrong_bit(self, name, step, unharmed=0):
        code, findings = run(name, LAYERWISE_BENCH_WRONG_BIT=str(step))
        wrong = [f for f in findings if f["kind"] == "check" and not f["ok"]]
        self.assertEqual((code, len(named(findings, "check", ok=True))), (3, unharmed))
        self.assertTrue(wrong)
        for f in wrong:
            self.assertRegex(f["detail"], r"bits [0-9a-f]+ on the device, [0-9a-f]+ on the CPU")

    @needs_torch
    def test_torch_holds(self):
        for name, least in zip((*TORCH, "arrays"), (14, 6, 4, 11, 2)):
            with self.subTest(name):
                self.hold(name, least)

    @needs_torch
    def test_a_wrong_bit_in_torch_is_found(self):
        for name in (*TORCH, "arrays"):
            with self.subTest(name):
                self.find_the_wrong_bit(name, 2)

    @needs_torch
    def test_what_the_cpu_cannot_do_is_said(self):
        self.assertIn("python: captured into a CUDA graph", named(self.hold("torch_graph", 6), "not_run"))
        left_out = named(self.hold("arrays", 2), "not_run")
        self.assertEqual(len([name for name in left_out if "CuPy" in name]), 7)

    @needs_jax
    def test_jax_holds(self):
        self.hold("jax_steps", 11)

    @needs_jax
    def test_a_wrong_bit_in_jax_is_found(self):
        self.find_the_wrong_bit("jax_steps", STEPS, unharmed=1)  # that there are handlers

    # Hazard: a step that overflowed and was not skipped looks like any other.
    @needs_torch
    def test_a_scale_that_is_not_halved_is_found(self):
        import torch

        with mock.patch.object(torch.amp.GradScaler, "get_scale", lambda self: 1024.0):
            code, findings = run("torch_scaler")
        self.assertEqual(code, 3)
        self.assertIn("the scale is 1024.0, not 512.0", [f for f in findings if not f.get("ok", True)][0]["detail"])

    # Hazard: what GradScaler itself has not on CUDA, its part for bfloat16, as a fault of this library.
    @needs_torch
    def test_a_dtype_that_gradscaler_has_not_is_not_run(self):
        import torch

        words = "\"_amp_foreach_non_finite_check_and_unscale_cuda\" not implemented for 'BFloat16'"
        for error, code, kind in ((NotImplementedError(words), 0, "not_run"), (RuntimeError("other"), 3, "check")):
            with mock.patch.object(torch.amp.GradScaler, "step", side_effect=error):
                found = run("torch_scaler")
            self.assertEqual((found[0], {f["kind"] for f in found[1]} - {"facts"}), (code, {kind}))

    @needs_numpy
    def test_nan_is_nan_and_a_zero_has_a_sign(self):
        import bits
        import numpy as np

        nans, zeros = np.array([0x7FC00000, 0xFFC00001], np.uint32).view(np.float32), np.zeros(2, np.float32)
        self.assertEqual(bits.difference([("values", nans[:1], nans[1:])]), "")
        self.assertIn("element 0 of 2: bits 80000000 on the device, 0 on the CPU; 2 differ",
                      bits.difference([("values", -zeros, zeros)]))
        self.assertIn("1 uint32 on the device, 2 uint32 on the CPU", bits.difference([("values", zeros[:1], zeros)]))


class Rivals(unittest.TestCase):
    def setUp(self):
        if installed("torch"):
            patch = mock.patch.multiple(importlib.import_module("torch_clock"), ROW_SECONDS=0, WARM_UPS=1)
            patch.start()
            self.addCleanup(patch.stop)

    def rows(self, name, *arguments):
        code, findings = run(name, *arguments)
        self.assertEqual(code, 0, findings)
        rows = [f for f in findings if f["kind"] in ("timing", "rival")]
        for row in rows:
            self.assertLessEqual(ROW, row.keys())
            self.assertEqual(row["kind"] == "timing", row["op"].startswith("layerwise"))
            self.assertIn("no figure of a GPU", row["note"])
            self.assertGreater(row["us"], 0)
        return rows, findings

    @needs_torch
    def test_torch(self):
        rows, findings = self.rows("rivals_torch", "--models", "2x8,3x5")
        self.assertEqual([(row["dtypes"], row["model"]) for row in rows[::len(rows) // 4]],
                         [(dtypes, model) for dtypes in ("f32/f32/f32", "bf16/bf16/bf16") for model in ("2x8", "3x5")])
        floors = {row["op"]: row["floor_bytes_per_parameter"] for row in rows if row["dtypes"] == "f32/f32/f32"}
        self.assertEqual((floors["layerwise.torch NovoGrad"], floors["torch AdamW, fused"]), (20, 28))
        self.assertGreaterEqual(len(named(findings, "check", ok=True)), 2)

    @needs_torch
    def test_compiled_and_by_number_of_tensors(self):
        self.assertEqual(len(self.rows("rivals_compiled", "--models", "2x8")[0]), 6)
        self.assertEqual({row["layers"] for row in self.rows("host_time")[0]}, {20, 60})

    @needs_jax
    def test_jax(self):
        with mock.patch.multiple(importlib.import_module("jax_clock"), REPEATS=3):
            rows, findings = self.rows("rivals_jax", "--models", "2x8")
        theirs = 4 if installed("optax") else 0
        self.assertEqual((len(rows), len(named(findings, "check", ok=True))), (4 + theirs, theirs // 2))

    @needs_torch
    def test_a_rival_that_computes_something_else_is_found(self):
        import foreach_rules

        other = functools.partial(foreach_rules.ForeachNovoGrad, lr=0.0101)
        with mock.patch.object(foreach_rules, "ForeachNovoGrad", other):
            code, findings = run("rivals_torch", "--models", "1x4")
        self.assertEqual((code, named(findings, "check", ok=False)),
                         (3, ["rivals: NovoGrad by torch._foreach_* computes what layerwise.torch does"]))

    # Hazard: a row that holds the host's time, or the time that the device was kept waiting.
    @needs_torch
    def test_the_device_is_timed_by_events_while_it_is_kept_waiting(self):
        import torch
        import torch_clock

        waits = []
        cuda = mock.Mock(_sleep=waits.append)
        cuda.Event.return_value.elapsed_time.return_value = 0.25  # ms
        clock = torch_clock.TorchClock(mock.Mock(device="cpu"))
        clock.cuda = True
        with mock.patch.object(torch, "cuda", cuda):
            us, us_eager, us_host, _ = clock.measure(lambda: time.sleep(0.001))
        self.assertEqual((us, us_eager), (250, 250))
        self.assertGreaterEqual(us_host, 1000)
        self.assertTrue(waits and all(cycles >= 2000 * us_host for cycles in waits))

    @needs_jax
    def test_the_device_is_timed_by_the_difference_of_two_queues(self):
        import jax_clock

        clock = object.__new__(jax_clock.JaxClock)
        clock.rehearsal, clock._busy_seconds = False, 0.02
        for a_step, launching, expected in ((3e-4, 0.01, (300, True)), (3e-4, 0.5, (300, False))):
            clock._queue = lambda step, state, count, busy: (0.02 * busy + a_step * count, launching, state)
            us, _, hidden = clock.measure(lambda state: state, 0)
            self.assertEqual((round(us), hidden), expected)
        clock._queue = lambda step, state, count, busy: (0.02, 0.01, state)
        with self.assertRaisesRegex(jax_clock.Missing, "no figure"):
            clock.measure(lambda state: state, 0)

    # Expected: the formulas of the two papers in float64, worked with NumPy and no code of this project.
    @needs_torch
    def test_foreach_rules_are_the_formulas(self):
        import numpy as np
        import torch
        from foreach_rules import ForeachLars, ForeachNovoGrad

        random = np.random.default_rng(0)
        for rule in (ForeachNovoGrad, ForeachLars):
            weights = [random.normal(size=size) for size in (3, 40)]
            made = [torch.nn.Parameter(torch.from_numpy(w.copy())) for w in weights]
            stepper, moments, second = rule(made), [np.zeros_like(w) for w in weights], [None, None]
            for _ in range(4):
                grads = [random.normal(size=w.shape) for w in weights]
                for layer, (w, g) in enumerate(zip(weights, grads)):
                    made[layer].grad = torch.from_numpy(g)
                    if rule is ForeachNovoGrad:
                        second[layer] = g @ g if second[layer] is None else 0.98 * second[layer] + 0.02 * (g @ g)
                        moments[layer] = 0.95 * moments[layer] + g / (np.sqrt(second[layer]) + 1e-8) + 0.001 * w
                        w -= 0.01 * moments[layer]
                    else:
                        rate = min(0.002 * np.sqrt(w @ w) / (np.sqrt(g @ g) + 1e-8) / 0.1, 1)
                        moments[layer] = 0.9 * moments[layer] + rate * g + 1e-4 * w
                        w -= 0.1 * moments[layer]
                stepper.step()
            for parameter, w in zip(made, weights):
                np.testing.assert_allclose(parameter.detach().numpy(), w, rtol=1e-13, atol=1e-15)

    def test_shapes_are_those_of_the_cpp_models(self):
        import shapes

        header = (ROOT / "bench" / "models.h").read_text()
        for model in ("resnet50", "bert-large"):
            tensors, parameters = re.search(rf"{model} .*: (\d+) tensors, ([\d ]+) parameters", header).groups()
            layers = shapes.of_model(model)
            self.assertEqual((len(layers), shapes.count(layers)), (int(tensors), int(parameters.replace(" ", ""))))
        self.assertEqual(shapes.of_model("3x5"), 3 * [(5,)])


class Missing(unittest.TestCase):
    @needs_numpy
    def test_what_is_not_installed_is_said(self):
        script = ("import sys, importlib, program\nsys.modules.update(dict.fromkeys(('torch', 'jax', 'cupy')))\n"
                  f"sys.exit(max(program.run(name, importlib.import_module(name).work, []) for name in {PROGRAMS!r}))")
        done = subprocess.run([sys.executable, "-B", "-c", script], capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[:3])})
        self.assertEqual(done.returncode, 0, done.stderr)
        findings = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual({f["kind"] for f in findings}, {"facts", "not_run"})
        self.assertEqual({f["reason"] for f in findings if f["kind"] == "not_run"},
                         {f"{name} is not installed" for name in ("torch", "jax", "cupy")})
        self.assertLessEqual(set(PROGRAMS) - {"arrays"}, set(named(findings, "not_run")))

    @needs_torch
    def test_no_gpu_is_said(self):
        import torch

        if torch.cuda.is_available():
            self.skipTest("a CUDA device is here")
        code, findings = run("torch_eager", "--device", "cuda")
        self.assertEqual((code, named(findings, "not_run", reason="torch sees no CUDA device")), (0, ["torch_eager"]))

    @needs_torch
    def test_without_time_nothing_is_called_good(self):
        for name in ("torch_eager", "arrays", "rivals_torch"):
            code, findings = run(name, "--seconds", "0")
            self.assertEqual((code, named(findings, "check")), (0, []))
            self.assertTrue(named(findings, "not_run", reason="no time left"))


if __name__ == "__main__":
    if not installed("numpy"):
        print("SKIPPED: NumPy is not installed")
        sys.exit(0)
    unittest.main()
