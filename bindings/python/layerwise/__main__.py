"""`python -m layerwise`: the version, the backends, and what a plan would run on here."""

from __future__ import annotations

import sys

from . import BackendError, CudaError, LibraryError, Plan, __version__, build_info, library_path


def main() -> int:
    print(f"package: {__version__}")
    try:
        print(f"library: {library_path()}")
    except LibraryError as problem:
        print(problem, file=sys.stderr)
        return 1
    print(build_info().rstrip())
    with Plan([1]) as plan:
        print(f"a CPU plan here: {plan.threads} threads, {plan.isa}")
    try:
        with Plan([1], device="cuda") as plan:
            print(f"a CUDA plan here: {plan.device}, {plan.path}")
    except (BackendError, CudaError) as problem:
        print(f"a CUDA plan here: none; {problem}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
