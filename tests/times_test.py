"""times.py: its estimate counts what the build will make and what the tests will run, not what has passed before."""

import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import passed_before
import times


class Times(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = Path(folder.name).resolve()
        (self.build / "CMakeCache.txt").write_text("CMAKE_CUDA_ARCHITECTURES:STRING=75;90\n")
        self.input = self.build / "input"
        self.input.write_text("a")

    def ran(self, **seconds):
        """The last run: its tests' seconds."""
        cases = "".join(f'<testcase name="{name}" time="{took}"><system-out>{passed_before.SAID if took == 0 else ""}'
                        "</system-out></testcase>" for name, took in seconds.items())
        (self.build / "tests.xml").write_text(f"<testsuite>{cases}</testsuite>")

    def keeps(self, name, seconds):
        command = [sys.executable, str(self.input)]
        passed_before.keep(self.build / times.KEPT, name, {
            "fingerprint": "", "seconds": seconds, "command": command, "reads": [],
            "files": passed_before.digest_of_files(command, [])})

    def estimate(self, *outputs):
        with mock.patch.object(times, "pending", return_value=list(outputs)), io.StringIO() as said, \
                contextlib.redirect_stdout(said):
            times.estimate(self.build, 2)
            return said.getvalue().strip()

    def test_a_first_run_takes_what_all_tests_take(self):
        self.assertEqual(self.estimate(), f"about {round(times.TEST_SECONDS / 120)} min from now with 2 jobs: nothing to "
                         f"build, {round(times.TEST_SECONDS / 120)} min to test")

    def test_a_quick_run_has_fewer_tests(self):
        (self.build / "CMakeCache.txt").write_text("LAYERWISE_TESTS_QUICK:BOOL=ON\n")
        self.assertIn(f"{round(times.QUICK_TEST_SECONDS / 120)} min to test", self.estimate())

    def test_a_kernel_is_compiled_for_each_architecture(self):
        kernel = "CMakeFiles/layerwise_objects.dir/kernels/norms.cu.o"
        self.assertEqual(times.core_seconds(kernel, self.build), 2 * times.part_of(kernel)[1])

    def test_what_has_passed_before_counts_until_something_it_reads_changes(self):
        self.ran(kept=0, other=120)
        self.keeps("kept", 480)
        self.assertIn("1 min to test", self.estimate())
        self.assertIn("5 min to test", self.estimate("input"))  # about to be made anew
        self.input.write_text("b")
        self.assertIn("5 min to test", self.estimate())
        self.input.unlink()
        self.assertIn("5 min to test", self.estimate())

    def test_the_table_names_what_was_not_run(self):
        self.ran(kept=0, other=120)
        self.keeps("kept", 480)
        with io.StringIO() as said, contextlib.redirect_stdout(said):
            times.table(self.build, 2, ["testing 60"])
            lines = [line.split() for line in said.getvalue().splitlines()]
        self.assertIn(["120", "s", "other"], lines)
        self.assertIn(["480", "s", "kept"], lines[lines.index(["120", "s", "other"]) + 2:])


if __name__ == "__main__":
    unittest.main()
