"""The copy of the tree that mutants are made in. Kernels can be built there for one dtype, which takes seconds."""

import pathlib
import re
import shutil

FOLDERS = ("include", "src", "kernels", "tests")


class ReductionError(Exception):
    pass


def substitute(text, pattern, replacement, count, what):
    text, found = re.subn(pattern, replacement, text)
    if found != count:
        raise ReductionError(f"{what}: {found} places instead of {count}; tests/mutation/tree.py has to follow")
    return text


def one_dtype(path, text):
    """The text of a file of the copy: with LAYERWISE_ONE_DTYPE every element buffer is float32."""
    if path == "src/numerics/dtype.h":
        branches = r"((?:  if \(dtype == Dtype::k\w+\) return visitor\.template operator\(\)<\w+>\(\);\n)+)"
        return substitute(text, branches, r"#if !defined(LAYERWISE_ONE_DTYPE)\n\1#endif\n", 2, path)
    if path == "tests/oracle/model.h":
        # Whatever a test asks for; the second moment and the weights' copy are no template arguments and stay.
        constructor = r"(explicit Model\(Layout described\) : layout\(std::move\(described\)\) \{\n)"
        return substitute(text, constructor,
                          r"\1#if defined(LAYERWISE_ONE_DTYPE)\n"
                          r"    layout.weights = layout.grads = layout.moment = LAYERWISE_DTYPE_FLOAT32;\n"
                          r"    if (layout.extra == LAYERWISE_DTYPE_REMAINDER16) layout.extra = LAYERWISE_DTYPE_NONE;\n#endif\n",
                          1, path)
    return text


def update(checkout, copy):
    """Makes `copy` the reduced tree of `checkout`. Files that did not change keep their times."""
    wanted = set()
    for folder in FOLDERS:
        for source in sorted((checkout / folder).rglob("*")):
            if not source.is_file() or source.suffix == ".pyc":
                continue
            name = str(source.relative_to(checkout))
            wanted.add(name)
            content = source.read_bytes()
            if source.suffix in (".h", ".cuh", ".cu", ".cpp"):
                content = one_dtype(name, content.decode()).encode()
            target = copy / name
            if target.is_file() and target.read_bytes() == content:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            shutil.copymode(source, target)
    for stale in [path for path in copy.rglob("*") if path.is_file()]:
        if str(stale.relative_to(copy)) not in wanted:
            stale.unlink()


def mutated_files(tree):
    """What mutants are made of; the .cu files, step_kernels.cuh and tuning.h hold nothing but what is launched and in what
    shape, hyper.h nothing but the names of options."""
    root = pathlib.Path(tree)
    unseen = ("step_kernels.cuh", "ptx.cuh")  # of the second the harness has stand-ins
    files = [*[path for path in root.glob("kernels/*.cuh") if path.name not in unseen],
             *[path for path in root.glob("src/numerics/*.h") if path.name != "hyper.h"], root / "src/cpu/fused.h"]
    return sorted(str(path.relative_to(root)) for path in files)
