"""passed_before.py: whatever a test reads, it runs again when that has changed, and only what has passed is kept."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).with_name("passed_before.py")
SAID = "passed before with the same inputs"


class PassedBefore(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.runs = self.folder / "runs"
        self.read = self.folder / "read"
        (self.read / "deep").mkdir(parents=True)
        self.inside = self.read / "deep" / "inside"
        self.inside.write_text("a")
        self.test = self.folder / "test.py"
        self.becomes("")

    def becomes(self, body):
        """The test: leaves a mark of having run, and does this."""
        self.test.write_text(f"import sys\nwith open({str(self.runs)!r}, 'a') as file: file.write('x')\n{body}\n")

    def run_test(self, *arguments, name="a test", reads=None, **environment):
        """(exit status, output)"""
        command = [sys.executable, "-B", SCRIPT, name, "--kept", self.folder / "kept", "--reads", reads or self.read, "--",
                   sys.executable, "-B", self.test, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False,
                              env={**{k: v for k, v in os.environ.items() if k != "TESTS_AGAIN"}, **environment})
        return done.returncode, done.stdout + done.stderr

    def times_run(self):
        return len(self.runs.read_text()) if self.runs.exists() else 0

    def assert_runs(self, *arguments, **options):
        before = self.times_run()
        self.assertEqual(self.run_test(*arguments, **options)[0], 0)
        self.assertEqual(self.times_run(), before + 1)

    def assert_kept(self, *arguments, **options):
        before = self.times_run()
        status, output = self.run_test(*arguments, **options)
        self.assertEqual((status, self.times_run()), (0, before), output)
        self.assertIn(SAID, output)

    def test_what_has_passed_is_not_run_again_until_it_is_asked_for(self):
        self.assert_runs()
        self.assert_kept()
        self.assert_runs(TESTS_AGAIN="1")
        self.assert_kept(TESTS_AGAIN="0")

    def test_a_changed_byte_in_anything_that_is_read_runs_it_again(self):
        argument = self.folder / "argument"
        argument.write_text("a")
        self.assert_runs(argument)
        for file in (self.inside, argument, self.test):
            with self.subTest(file.name):
                times = os.stat(file)
                self.assert_kept(argument)
                file.write_text(file.read_text()[:-1] + "#")
                os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # its content counts, not its time
                self.assert_runs(argument)
                self.assert_kept(argument)
        os.utime(self.inside)
        self.assert_kept(argument)

    def test_a_file_that_comes_goes_or_moves_runs_it_again(self):
        self.assert_runs()
        other = self.read / "other"
        other.write_text("b")
        self.assert_runs()
        other.rename(self.read / "another")
        self.assert_runs()
        (self.read / "another").unlink()
        self.assert_runs()
        self.assert_kept()
        self.inside.chmod(0o755)
        self.assert_runs()

    def test_another_command_line_or_environment_runs_it_again(self):
        self.assert_runs()
        self.assert_runs("--more")
        self.assert_runs("--more", LAYERWISE_CROSS_SEED="5")
        self.assert_kept("--more", LAYERWISE_CROSS_SEED="5")
        self.assert_runs("--more", LAYERWISE_CROSS_SEED="6")

    # Hazard: a variable that is no input and matters all the same.
    def test_it_sees_no_variable_that_is_not_an_input(self):
        self.becomes("import os; sys.exit('UNKNOWN_TO_IT' in os.environ)")
        self.assert_runs(UNKNOWN_TO_IT="1")
        self.assert_kept(UNKNOWN_TO_IT="2")

    def test_a_failure_is_never_kept_nor_hidden_by_an_older_pass(self):
        self.assert_runs()
        passing = self.test.read_text()
        self.becomes("print('wrong'); sys.exit(3)")
        for _ in range(2):
            status, output = self.run_test()
            self.assertEqual((status, "wrong" in output), (3, True))
        self.assertEqual(self.times_run(), 3)
        self.test.write_text(passing)
        self.assert_kept()  # those inputs did pass
        self.becomes("import os; os.abort()")
        self.assertEqual([self.run_test()[0] for _ in range(2)], [128 + 6] * 2)

    def test_what_skips_a_part_is_never_kept(self):
        for words in ("SKIPPED: no GPU", "OK (skipped=3)", "test cases: 2 | 1 passed | 1 skipped"):
            self.becomes(f"print({words!r})")
            self.assert_runs()
            self.assert_runs()

    def test_inputs_that_change_while_it_runs_are_not_those_that_passed(self):
        self.becomes(f"open({str(self.inside)!r}, 'a').write('b')")
        self.assert_runs()
        self.assert_runs()

    def test_a_missing_input_is_an_error(self):
        for missing in (self.folder / "nowhere", self.read / "nothing"):
            status, output = self.run_test(reads=missing)
            self.assertEqual((status, self.times_run()), (1, 0))
            self.assertIn(f"a test: {missing} is read by the test and is not there", output)

    def test_two_tests_are_two(self):
        self.assert_runs(name="one: a/b")
        self.assert_runs(name="one: a/c")
        self.assert_kept(name="one: a/b")

    def test_a_record_that_is_half_written_counts_for_nothing(self):
        self.assert_runs()
        for record in (self.folder / "kept").iterdir():
            record.write_text(record.read_text()[:20])
        self.assert_runs()
        self.assert_kept()

    # Hazard: a program is the same, and a library that it loads is not.
    def test_the_libraries_that_a_program_loads_are_inputs(self):
        sys.path.insert(0, str(SCRIPT.parent))
        import passed_before

        loaded = passed_before.inputs([sys.executable], [])
        self.assertTrue([path for path in loaded if path.name.startswith("libc.so")], loaded)


if __name__ == "__main__":
    unittest.main()
