"""The tree that bench/pack makes, and what bench/gpu says is missing, with pretended programs."""

import ast
import os
import shutil
import subprocess
import sys
import unittest

from gpu_pretended import GOOD, ROOT, Pretended

import carried
import stages
from part import tool_folders

NO_FRAMEWORKS = """from part import NotRun


def python_stage(part):
    raise NotRun("left out by the test")


rivals_stage = python_stage
"""
MADE = {"commit": "abc123", "architectures": "90-real", "machine": "x86_64", "glibc": "2.36", "without cross": "",
        "without nccl": ""}
NO_NCCL = """echo 'nccl: error while loading shared libraries: libnccl.so.2: cannot open' >&2; exit 127"""
NO_DEVICE = """words='cudaGetDeviceCount: cudaErrorNoDevice: no CUDA-capable device is detected'
echo '{"kind": "check", "name": "facts", "ok": false, "detail": "'"$words"'"}'; echo "facts: $words" >&2; exit 3"""


class Carried(Pretended):
    def setUp(self):
        super().setUp()
        self.programs(self.build)
        (self.build / "liblayerwise.so.0.1.0").write_text("pretended")
        (self.build / "liblayerwise.so").symlink_to("liblayerwise.so.0.1.0")

    def fill(self, **made):
        tree = self.folder / "carried"
        carried.fill(ROOT, self.build, tree, {**MADE, **made})
        (tree / "bench" / "gpu.d" / "frameworks_stage.py").write_text(NO_FRAMEWORKS)
        return tree

    def run_tree(self, tree, *options):
        """As on a bare machine, from another folder."""
        for other in (self.build, self.folder / "elsewhere"):
            shutil.rmtree(other, ignore_errors=True)
        moved = tree.rename(self.folder / "elsewhere")
        self.out = moved / "bench" / "results"
        return self.run_command([moved / "bench" / "gpu", *options], {"PATH": f"{self.path}:/usr/bin:/bin"})


class Tree(Carried):
    # Hazards: a stage that needs something of the checkout; results that do not say what was run.
    def test_it_runs_by_itself_and_in_the_order_of_the_evidence(self):
        self.script(self.build / "tests" / "cross" / "cross", "exit 4")  # else it takes its time
        self.assertEqual(self.run_tree(self.fill()), 0, self.text)
        order = ["facts", "cases", "timing-first", "profile", "memcheck", "racecheck", "python", "grids", "graph",
                 "soak", "cross", "nccl", "timing-rest", "rivals", "large", "initcheck", "synccheck", "suite"]
        self.assertEqual([stage["stage"] for stage in self.json["stages"]], order)
        self.assertEqual({name for name, verdict in self.verdicts.items() if verdict != "passed"},
                         {"python", "cross", "suite"})
        self.assertEqual(self.json["commit"], "abc123")
        self.assertIn("architectures 90-real, machine x86_64, glibc 2.36", self.markdown)

    def test_it_holds_what_is_needed_and_no_caches_or_links(self):
        tree = self.fill()
        package = "bindings/python/layerwise"
        for name in ("bench/bench_gpu", "tests/cross/cross", "tests/nccl/nccl", "lib/liblayerwise.so", "include/layerwise.h", "bench/gpu",
                     f"{package}/__init__.py", f"{package}/jax/handlers.cpp", "tree.json"):
            self.assertTrue((tree / name).is_file(), name)
        found = [path for path in tree.rglob("*")]
        self.assertFalse([path for path in found if path.is_symlink() or "__pycache__" in path.parts])
        self.assertIn("of at most 60", carried.weigh(tree)[0])

    def test_one_that_is_too_large_is_not_left_to_be_carried(self):
        tree = self.fill()
        with open(tree / "lib" / "liblayerwise.so", "r+b") as file:
            file.truncate(61_000_000)
        with self.assertRaisesRegex(carried.Refused, "61.*MB of at most 60"):
            carried.weigh(tree)
        self.assertFalse(tree.exists())

    def test_a_folder_of_others_is_not_emptied(self):
        (self.folder / "mine").mkdir()
        (self.folder / "mine" / "work").touch()
        with self.assertRaisesRegex(carried.Refused, "was not made by bench/pack"):
            carried.make_room(self.folder / "mine")
        carried.make_room(self.fill())
        carried.make_room(self.folder / "new")

    def test_one_without_cross_says_so(self):
        tree = self.fill(**{"without cross": "it was made without tests/cross: no Catch2"})
        self.assertFalse((tree / "tests" / "cross").exists())
        self.assertIn("no Catch2", "\n".join(carried.weigh(tree)))
        self.assertEqual(self.run_tree(tree, "--seconds", "20", "--only", "cases,cross"), 0, self.text)
        self.assertIn("missing: tests/cross: it was made without tests/cross: no Catch2", self.text)
        self.assertEqual(self.verdicts, {"facts": "passed", "cases": "passed", "cross": "not run"})

    def test_one_without_nccl_says_so(self):
        tree = self.fill(**{"without nccl": "it was made without tests/nccl: there was no NCCL"})
        self.assertFalse((tree / "tests" / "nccl").exists())
        self.assertIn("there was no NCCL", "\n".join(carried.weigh(tree)))
        self.assertEqual(self.run_tree(tree, "--seconds", "20", "--only", "nccl"), 0, self.text)
        self.assertIn("missing: tests/nccl: it was made without tests/nccl: there was no NCCL", self.text)
        self.assertEqual(self.verdicts, {"facts": "passed", "nccl": "not run"})

    def test_a_checkout_takes_a_carried_tree(self):
        command = self.command("--seconds", "20", "--only", "cases")
        command[2] = str(self.fill())
        self.assertEqual(self.run_command(command), 0, self.text)
        self.assertEqual(self.json["commit"], "abc123")

    def test_it_is_read_by_python_3_8(self):
        for path in [ROOT / "bench" / "gpu", *(ROOT / "bench" / "gpu.d").glob("*.py")]:
            ast.parse(path.read_text(), str(path), feature_version=(3, 8))


class Missing(Carried):
    def said_first(self, words):
        """Before the first stage's line, and in the results."""
        self.assertIn(words, self.text)
        self.assertLess(self.text.index(words), self.text.index("\nfacts "))
        self.assertIn(words.split(": ", 2)[2], self.markdown.split("## Stages")[0])

    def test_tools_and_packages(self):
        for name in ("ncu", "compute-sanitizer"):
            (self.path / name).unlink()
        self.assertEqual(self.run_tree(self.fill(), "--only", "profile,memcheck"), 0, self.text)
        for name in ("ncu", "compute-sanitizer"):
            if not shutil.which(name, path=os.pathsep.join(["/usr/bin", "/bin", *tool_folders()])):
                self.said_first(f"missing: {name}: there is no {name}")
        here = subprocess.run([sys.executable, "-c", "import cupy"], capture_output=True, check=False).returncode == 0
        if not here:
            self.assertIn("missing: Python's cupy: it is not installed", self.text)

    def test_a_gpu(self):
        self.programs(self.build, facts=NO_DEVICE)
        self.assertEqual(self.run_tree(self.fill()), 0, self.text)
        self.said_first("missing: a GPU that it can use: CUDA says cudaErrorNoDevice: no CUDA-capable device")
        self.assertEqual(set(self.verdicts.values()), {"not run"})
        self.assertEqual(len(self.verdicts), len(stages.ALL))

    def test_kernels_for_this_gpu(self):
        for built, fits in (("100-real", False), ("86-real;90-real", True), ("103-real", False)):
            capability = "10.0" if built == "103-real" else "9.0"
            command = self.command("--only", "cases", facts=GOOD["facts"].replace("9.0", capability))
            command[2] = str(self.fill(architectures=built))
            self.assertEqual(self.run_command(command), 0, self.text)
            self.assertEqual(self.verdicts["cases"], "passed" if fits else "not run")
            if not fits:
                self.said_first("missing: a GPU that it can use: its compute capability is")
            shutil.rmtree(self.out)

    # Hazard: an empty table that reads as "nothing failed" and hides why.
    def test_a_program_that_cannot_start(self):
        old_library = """echo "$0: /lib/libc.so.6: version \\`GLIBC_2.99' not found (required by $0)" >&2; exit 1"""
        tree = self.fill()
        self.script(tree / "bench" / "bench_gpu", old_library)
        (tree / "tests" / "cross" / "cross").write_bytes(b"\x7fELF of another machine")
        self.script(tree / "tests" / "nccl" / "nccl", NO_NCCL)
        self.assertEqual(self.run_tree(tree, "--only", "cases,cross,nccl"), 0, self.text)
        self.said_first("missing: bench_gpu: bench_gpu cannot start here")
        self.assertIn("version `GLIBC_2.99' not found", self.text)
        self.said_first("missing: tests/cross: cross cannot start here: Exec format error")
        self.said_first("missing: tests/nccl: nccl cannot start here: nccl: error while loading shared libraries: libnccl")
        self.assertEqual(set(self.verdicts.values()), {"not run"})


if __name__ == "__main__":
    unittest.main()
