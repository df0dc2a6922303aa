"""frameworks_stage.py and frameworks/together.py on programs that do what programs may do: each has its own fate."""

import importlib.util
import shutil
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
GPU_D = ROOT / "bench" / "gpu.d"
FRAMEWORKS = GPU_D / "frameworks"
sys.dont_write_bytecode = True
sys.path.insert(0, str(GPU_D))

import frameworks_stage  # noqa: E402
import part  # noqa: E402

STUBS = {
    "good": """print('{"kind": "check", "name": "good", "ok": true}')""",
    "wrong": """print('{"kind": "check", "name": "a bit", "ok": false, "detail": "it is wrong"}'); exit(3)""",
    "crashes": """print('{"kind": "check", "name": "first", "ok": true}', flush=True); import os; os.abort()""",
    "raises": "raise KeyError('something')",
    "hangs": """print('{"kind": "check", "name": "begun", "ok": true}', flush=True); import time; time.sleep(1000)""",
    "library": """import os; print('{"kind": "facts", "library": "%s"}' % os.environ["LAYERWISE_LIBRARY"])""",
}


def named(findings, kind, **having):
    return [f["name"] for f in findings
            if f["kind"] == kind and all(f.get(key) == value for key, value in having.items())]


@unittest.skipUnless(importlib.util.find_spec("numpy"), "NumPy is not installed")
class Stage(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name).resolve()
        programs = self.root / "bench" / "gpu.d" / "frameworks"
        programs.mkdir(parents=True)
        for name in ("together.py", "program.py"):
            shutil.copy(FRAMEWORKS / name, programs)
        for name, body in STUBS.items():
            (programs / f"{name}.py").write_text(body)
        (self.root / "build" / "lib").mkdir(parents=True)
        (self.root / "build" / "lib" / "liblayerwise.so.0").touch()
        tree = mock.Mock(root=self.root, folder=self.root / "build")
        self.entry = mock.Mock(commands=[], findings=[], problems=[])
        self.make = lambda seconds: part.Part(tree, self.entry, seconds)

    def run_together(self, seconds, *programs):
        frameworks_stage._run(self.make(seconds), seconds, *programs)
        return self.entry.findings

    def test_each_program_has_its_own_fate(self):
        begin = time.monotonic()
        findings = self.run_together(5, "hangs", "wrong", "crashes", "raises", "good")
        self.assertLess(time.monotonic() - begin, 10)
        self.assertEqual(set(named(findings, "check", ok=True)), {"good", "first", "begun"})
        details = {f["name"]: f["detail"] for f in findings if f["kind"] == "check" and not f["ok"]}
        self.assertEqual(details, {"a bit": "it is wrong", "crashes": "ended by SIGABRT: ",
                                   "raises": "exit code 1: KeyError: 'something'"})
        self.assertEqual(named(findings, "not_run"), ["hangs: the rest"])
        self.assertEqual(self.entry.problems, [])
        self.assertNotIn(str(self.root), " ".join(self.entry.commands))  # no path of the machine it ran on

    def test_the_library_is_found(self):
        self.run_together(10, "library")
        found = str(self.root / "build" / "lib" / "liblayerwise.so.0")
        self.assertEqual(self.entry.findings, [{"kind": "facts", "library": found}])

    def test_without_the_library_it_is_said(self):
        (self.root / "build" / "lib" / "liblayerwise.so.0").unlink()
        with self.assertRaisesRegex(part.NotRun, "no liblayerwise.so"):
            self.run_together(10, "good")

    def test_stages_run_their_programs_and_say_what_is_not_begun(self):
        rivals = (("good", 0.5, 2), ("wrong", 1, 1000))
        with mock.patch.multiple(frameworks_stage, COMPARED=("good", "wrong"), RIVALS=rivals):
            folder = self.root / "bench" / "gpu.d" / "frameworks"
            shutil.copy(folder / "good.py", folder / "host_time.py")
            frameworks_stage.python_stage(self.make(20))
            self.assertEqual(sorted(named(self.entry.findings, "check")), ["a bit", "good", "good"])
            frameworks_stage.rivals_stage(self.make(20))
        self.assertEqual(named(self.entry.findings, "not_run"), ["wrong"])

    def test_rivals_share_what_time_there_is(self):
        for seconds, shares in ((100, {"a": 40, "b": 30, "c": 30}), (30, {"a": 12, "b": 18}), (14, {"a": 14}), (3, {})):
            spent, entry = {}, mock.Mock(findings=[])
            part_of = mock.Mock(stage=entry)
            part_of.clock.left = lambda: seconds - sum(spent.values())
            rivals = (("a", 0.4, 5), ("b", 0.5, 10), ("c", 1.0, 15))
            run = lambda _, time, name: spent.update({name: time})  # noqa: E731
            with mock.patch.multiple(frameworks_stage, RIVALS=rivals, _run=run):
                frameworks_stage.rivals_stage(part_of)
            self.assertEqual({name: round(time) for name, time in spent.items()}, shares)
            self.assertEqual(named(entry.findings, "not_run"), [name for name in "abc" if name not in shares])


if __name__ == "__main__":
    unittest.main()
