"""bench/host with a few small tensors, and the library of LAYERWISE_LIBRARY. Every row is there; no figure is looked at."""

import importlib.util
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1]


def host(*arguments):
    """The command's exit code and output."""
    environment = {**os.environ, "LAYERWISE_BENCH_PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([BENCH / "host", "--rehearsal", "--seconds", "0", "--road", "python", *arguments],
                          env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


class Host(unittest.TestCase):
    def test_every_row_has_its_figures(self):
        code, said = host()
        self.assertEqual(code, 0, said)
        for row in (r"NovoGrad +4 of 64 +\d+ +\d+\.\d\d +\d+\.\d\d\n", r"LARCSGD +4 of 64 ", r"LARC\(SGD fused\) +4 ",
                    r"right after forward and backward .*\n.*\n( +[^\n]+ 4 of 64 +\d+ +\d+\.\d\d +\d+\.\d\d\n){6}",
                    r"torch SGD fused +4 of 64 +\d+ +\d+\.\d\d +1\.00\n",
                    r"\n +4( +\d+\.\d){7}\n",
                    r"clip_grad_norm_ +4 of 64 +\d+ +\d+ +\d+\.\d\d\n", r"novograd_step, packed +4( +-?\d+\.\d){3}\n",
                    r"larc_sgd_step, lists +4( +-?\d+\.\d){3}\n",
                    r"alone +\d+ +1\.00\n", r"right after a step of torch SGD fused +\d+ +\d+\.\d\d\n"):
            self.assertTrue(re.search(row, said), f"{row}\n{said}")
        if not re.search(r"left out: not installed here: .*(jax|optax)", said):
            self.assertRegex(said, r"layerwise[.]jax[.]novograd +4 of 64 +\d+ +\d+\.\d\d\n")
            self.assertRegex(said, r"layerwise[.]jax[.]novograd +40 +\d+[.]\d\d +\d+[.]\d\d +\d+[.]\d\d\n")
            self.assertRegex(said, r"optax[.]adam +40 +\d+[.]\d\d +\d+[.]\d\d +1[.]00\n")
            self.assertRegex(said, r"layerwise[.]jax[.]novograd +0\n")  # the same bits: the library's promise

    def test_processor_versions_and_threads_come_first(self):
        _, said = host("--parts", "neighbours", "--threads", "1")
        self.assertRegex(said, r"cores for this process; Python 3[.]\d+.*, torch 2[.].*, layerwise \d.*\n"
                               r"threads: torch 1, .* a plan 1; OMP_NUM_THREADS 1, OMP_WAIT_POLICY")
        self.assertNotIn("of 64", said)

    def test_the_road_is_named(self):
        _, said = host("--parts", "shares")
        self.assertRegex(said, r"finds a step's tensors: python\n")

    def test_a_part_that_is_none_is_refused(self):
        code, said = host("--parts", "groups,moon")
        self.assertEqual(code, 2)
        self.assertIn("no such parts: moon", said)


if __name__ == "__main__":
    if not importlib.util.find_spec("torch"):
        print("SKIPPED: PyTorch is not installed")
        sys.exit(0)
    unittest.main()
