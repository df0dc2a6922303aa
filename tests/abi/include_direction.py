"""The #include lines point one way: api -> validate -> plan -> backend -> kernels -> numerics.

include_direction.py ROOT         checks every source file under ROOT/src and ROOT/kernels
include_direction.py --self-test  plants includes against the direction and expects each to be found
"""
import os
import re
import sys
import tempfile

# What each part may include beside the standard library. The backends implement backend.h, so they alone look up at it.
MAY_INCLUDE = {
    "api": {"validate", "plan", "backend", "numerics", "error", "header"},
    "validate": {"validate", "plan", "backend", "numerics", "error", "header"},
    "plan": {"plan", "backend", "numerics", "error", "header"},
    "error": {"error", "header"},
    "backend": {"numerics"},
    "cpu": {"cpu", "backend", "numerics", "error", "header", "system"},
    "cuda": {"cuda", "backend", "kernels", "numerics", "error", "header", "toolkit"},
    "kernels": {"kernels", "numerics", "toolkit"},
    "numerics": {"numerics", "toolkit dtypes"},
    "header": set(),  # generated from it
    "package": {"system"},  # programs that the build runs, which are no part of the library
}
PART_OF_FILE = {"api": "api", "abi": "api", "abi_table": "header", "validate": "validate", "validate_step": "validate", "step_options": "validate", "buffers": "validate",
                "plan": "plan", "shard": "plan", "fingerprint": "plan", "error": "error", "backend": "backend"}
TOOLKIT = re.compile(r"(cub|cuda|nv|thrust|cooperative_groups)/.*|cooperative_groups\.h|cuda\w*\.h|driver_types\.h|vector_types\.h")


def part_of(path):
    """The part a file belongs to; path is relative to the root and uses '/'."""
    folders = path.split("/")
    if folders[0] == "kernels":
        return "kernels"
    if folders[0] == "include":
        return "header"
    if folders[0] == "src" and len(folders) > 2:
        return folders[1] if folders[1] in MAY_INCLUDE else None
    return PART_OF_FILE.get(os.path.splitext(folders[-1])[0])


def part_of_include(root, path, name, quoted):
    """The part an include names, or "standard", "system", "toolkit", "toolkit dtypes"; None where it is not known."""
    for folder in (os.path.dirname(path), "src", "include", "."):
        candidate = os.path.normpath(os.path.join(folder, name)).replace(os.sep, "/")
        if os.path.isfile(os.path.join(root, candidate)):
            return part_of(candidate)
    if quoted:
        return None
    if name in ("cuda_bf16.h", "cuda_fp16.h"):
        return "toolkit dtypes"
    if TOOLKIT.fullmatch(name):
        return "toolkit"
    return "standard" if re.fullmatch(r"\w+", name) else "system"


def problems_in(root):
    problems, files = [], 0
    for top in ("src", "kernels"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                path = os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
                if not name.endswith((".h", ".cpp", ".cu", ".cuh")):
                    continue
                files += 1
                problems += problems_of_file(root, path)
    if files == 0:
        problems.append(f"{root}: no source files")
    return problems


def problems_of_file(root, path):
    part = part_of(path)
    if part is None:
        return [f"{path}: belongs to no part of the house"]
    allowed = MAY_INCLUDE[part] | {"standard"}
    if "toolkit" in allowed:
        allowed.add("toolkit dtypes")
    problems = []
    for number, line in enumerate(open(os.path.join(root, path), encoding="utf-8"), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^">]+)[">]', line)
        if match:
            included = part_of_include(root, path, match[2], match[1] == '"')
            if included not in allowed:
                problems.append(f"{path}:{number}: {part} includes {match[2]} ({included or 'not found'})")
    return problems


def self_test():
    good = {
        "include/layerwise.h": "", "src/error.h": "#include <string>\n", "src/numerics/dtype.h": "#include <cuda_bf16.h>\n",
        "src/backend.h": '#include "numerics/dtype.h"\n', "src/plan.h": '#include "backend.h"\n',
        "src/validate.h": '#include "plan.h"\n', "src/api.cpp": '#include "validate.h"\n#include "layerwise.h"\n',
        "src/cpu/backend.cpp": '#include "backend.h"\n#include <sched.h>\n', "kernels/launch.h": '#include "numerics/dtype.h"\n',
        "src/cuda/backend.cpp": '#include "kernels/launch.h"\n#include <cuda_runtime.h>\n',
        "src/package/gpus.cpp": "#include <dlfcn.h>\n",
        "kernels/norms.cu": '#include "kernels/launch.h"\n#include <cub/warp/warp_reduce.cuh>\n',
    }
    bad = [
        ("src/numerics/dtype.h", '#include "backend.h"'), ("src/numerics/dtype.h", "#include <cuda_runtime.h>"),
        ("src/numerics/dtype.h", "#include <immintrin.h>"), ("src/numerics/dtype.h", '#include "layerwise.h"'),
        ("kernels/norms.cu", '#include "backend.h"'), ("kernels/norms.cu", '#  include "../src/plan.h"'),
        ("kernels/norms.cu", "#include <layerwise.h>"), ("src/cpu/backend.cpp", '#include "validate.h"'),
        ("src/cpu/backend.cpp", '#include "kernels/launch.h"'), ("src/cpu/backend.cpp", "#include <cuda_runtime.h>"),
        ("src/cuda/backend.cpp", '#include "plan.h"'), ("src/plan.h", '#include "validate.h"'),
        ("src/plan.h", '#include "kernels/launch.h"'), ("src/validate.h", '#include "cpu/backend.h"'),
        ("src/backend.h", '#include "plan.h"'), ("src/api.cpp", '#include "no_such_file.h"'), ("src/misc.cpp", ""),
        ("src/package/gpus.cpp", '#include "backend.h"'),
    ]
    failures = []
    for planted in [None] + bad:
        with tempfile.TemporaryDirectory() as root:
            files = dict(good)
            if planted:
                files[planted[0]] = files.get(planted[0], "") + planted[1] + "\n"
            for path, text in files.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                open(os.path.join(root, path), "w").write(text)
            found = problems_in(root)
        expected = [planted[0]] if planted else []
        if [problem.split(":")[0] for problem in found] != expected:
            failures.append(f"planted {planted}: found {found}")
    return failures


problems = self_test() if sys.argv[1] == "--self-test" else problems_in(sys.argv[1])
for problem in problems:
    print(problem)
sys.exit(1 if problems else 0)
