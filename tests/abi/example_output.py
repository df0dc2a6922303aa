"""Runs the header's example and compares what it prints with the formulas, worked out here in float64.

The expectation shares nothing with the library: two layers from zero moments, so v is the squared norm itself (it is
seeded) and m is the update. The example prints six decimals of float32 weights near 5, whose ulp is 4.8e-7; the bound
is one ulp of 5 and the half unit of the last decimal that printing adds.
"""
import math
import subprocess
import sys

LR, EPS, WEIGHT_DECAY = 0.01, 1e-8, 0.001
BOUND = 4.8e-7 + 0.5e-6


def one_step(weights, grads):
    d = math.sqrt(math.fsum(g * g for g in grads)) + EPS
    return [w - LR * (g / d + WEIGHT_DECAY * w) for w, g in zip(weights, grads)]


expected = one_step([1, 2], [0.1, 0.2]) + one_step([3, 4, 5], [0.3, 0.4, 0.5])
run = subprocess.run(sys.argv[1:], capture_output=True, text=True)
printed = [float(word) for word in run.stdout.split()] if run.returncode == 0 else []
print(f"exit code {run.returncode}, printed {run.stdout.strip()}{run.stderr}\nexpected {expected}")
if len(printed) != 5 or any(abs(p - e) > BOUND for p, e in zip(printed, expected)):
    sys.exit(1)
