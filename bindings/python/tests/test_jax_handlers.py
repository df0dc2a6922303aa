"""Where the handlers for XLA come from, and what is said when there are none.

Each case is a process of its own: XLA keeps what it has been told.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest
from processes import compiler, python

from layerwise import library_path

pytest.importorskip("jax", reason="jax is not installed here")

STEP = """
import jax.numpy as jnp, layerwise.jax
optimizer = layerwise.jax.novograd(0.1)
weights = jnp.ones(3)
try:
    print(optimizer.step(weights, weights, optimizer.init(weights))[0].sum() < 3)
except layerwise.LibraryError as problem:
    print(problem)
print(jnp.ones(3).sum())
"""

NEWER = """
import pathlib, shutil, sys
import jax
from layerwise.jax import _handlers
newer = pathlib.Path(sys.argv[1])
shutil.copytree(jax.ffi.include_dir(), newer)
header = newer / "xla" / "ffi" / "api" / "c_api.h"
header.write_text(header.read_text().replace("#define XLA_FFI_API_MINOR ", "#define XLA_FFI_API_MINOR 99"))
jax.ffi.include_dir = lambda: str(newer)
print(_handlers.build())
"""


AHEAD_OF_TIME = """
import pickle, sys
import jax, jax.numpy as jnp, layerwise.jax
from jax.experimental import serialize_executable
optimizer = layerwise.jax.novograd(0.1)
params, grads = {"w": jnp.array([1.0, 2.0, 3.0])}, {"w": jnp.array([0.1, 0.2, 0.3])}
state = optimizer.init(params)
if sys.argv[2] == "compile":
    compiled = jax.jit(optimizer.step).lower(params, grads, state).compile()
    open(sys.argv[1], "wb").write(pickle.dumps(serialize_executable.serialize(compiled)))
else:
    step = serialize_executable.deserialize_and_load(*pickle.loads(open(sys.argv[1], "rb").read()))
    print([round(float(weight), 5) for weight in step(params, grads, state)[0]["w"]])
"""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A cache whose handlers were built by a process that made optimizers, and what that process printed: whether a
    backend had started."""
    compiler()
    cache = tmp_path_factory.mktemp("cache")
    code = ("import layerwise.jax; from jax._src import xla_bridge; layerwise.jax.novograd(0.1, eps=0.1); "
            "layerwise.jax.larc_sgd(lambda count: 0.1); print(xla_bridge.backends_are_initialized())")
    return cache, python(code, LAYERWISE_CACHE=cache)


def test_importing_layerwise_imports_neither_jax_nor_torch_nor_optax() -> None:
    code = "import sys, layerwise; print([n for n in ('jax', 'jaxlib', 'torch', 'optax') if n in sys.modules])"
    assert python(code) == ["[]"]


def test_a_missing_jax_is_named_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("")  # a jax without jax.ffi
    code = ("import sys; sys.path.insert(0, sys.argv[1])\n"
            "try: import layerwise.jax\nexcept ImportError as problem: print(problem)")
    assert python(code, tmp_path) == ["layerwise.jax needs JAX with jax.ffi: pip install jax (0.6.2 or later)"]


def test_without_optax_the_transformations_are_pairs_all_the_same(tmp_path: Path) -> None:
    compiler()
    (tmp_path / "optax.py").write_text("raise ImportError")
    before = "import sys; sys.path.insert(0, sys.argv[1])"
    after = "init, update = optimizer; print('optax' in sys.modules)"
    assert python(before + STEP + after, tmp_path) == ["True", "3.0", "False"]


def test_handlers_are_built_once_and_found_again_without_a_compiler(first: tuple[Path, list[str]]) -> None:
    cache, _ = first
    built = [(path, path.stat().st_mtime_ns) for path in cache.iterdir()]
    assert len(built) == 1
    assert python(STEP, LAYERWISE_CACHE=cache, CXX=compiler(), PATH="/nowhere") == ["True", "3.0"]
    assert [(path, path.stat().st_mtime_ns) for path in cache.iterdir()] == built


# Hazard: a step that was compiled in another process runs before anything is traced in this one.
def test_a_step_that_was_compiled_in_another_process_runs_once_an_optimizer_is_made(
        tmp_path: Path, first: tuple[Path, list[str]]) -> None:
    """In float64: w - 0.1*(g/|g| + 0.001*w)."""
    for doing in ("compile", "run"):
        lines = python(AHEAD_OF_TIME, tmp_path / "step", doing, LAYERWISE_CACHE=first[0])
    assert lines == ["[0.97317, 1.94635, 2.91952]"]


# Hazard: jax.distributed.initialize must come before a backend starts; making an optimizer must not start one.
def test_making_an_optimizer_starts_no_backend(first: tuple[Path, list[str]]) -> None:
    assert first[1] == ["False"]


# Hazard: a container whose home cannot be written. The message sent its user for a compiler that was there.
def test_without_a_home_the_handlers_are_built_in_a_temporary_folder_that_goes_away(tmp_path: Path) -> None:
    compiler()
    nowhere = {"LAYERWISE_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/proc/nowhere", "TMPDIR": tmp_path}
    assert python(STEP, **nowhere) == ["True", "3.0"] and list(tmp_path.iterdir()) == []
    lines = python(STEP, **{**nowhere, "LAYERWISE_CACHE": "/proc/nowhere"})
    assert "LAYERWISE_CACHE is /proc/nowhere, where nothing can be written" in lines[1] and lines[-1] == "3.0"


# Hazard: a cache in a folder that everyone may write holds a library of somebody else's.
def test_a_cache_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    compiler()
    cache = tmp_path / "deep" / "cache"
    assert python("import os; os.umask(0)\n" + STEP, LAYERWISE_CACHE=cache) == ["True", "3.0"]
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    (built,) = cache.iterdir()
    assert not built.stat().st_mode & 0o022


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o707])
def test_nothing_is_loaded_from_a_cache_that_others_may_write(
        tmp_path: Path, first: tuple[Path, list[str]], mode: int) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(first[0], cache)
    for name in ("cache", "file"):
        (built,) = cache.iterdir()
        cache.chmod(mode if name == "cache" else 0o700)
        built.chmod(0o755 if name == "cache" else 0o600 | (mode & 0o022))
        lines = "".join(python(STEP, LAYERWISE_CACHE=cache))
        assert "so that others may write it" in lines and "let LAYERWISE_CACHE name a folder of your own" in lines
        assert str(cache if name == "cache" else built) + " has mode" in lines and lines.endswith("3.0")
    cache.chmod(0o755)
    built.chmod(0o755)
    assert python(STEP, LAYERWISE_CACHE=cache, PATH="/nowhere", CXX=compiler()) == ["True", "3.0"]


def test_nothing_is_loaded_from_another_users_cache(tmp_path: Path, first: tuple[Path, list[str]]) -> None:
    """The process asks which user it is; root's own it may take, as an image has it."""
    cache = tmp_path / "cache"
    shutil.copytree(first[0], cache)
    other = "import os; os.geteuid = lambda: 12345\n"
    lines = "".join(python(other + STEP, LAYERWISE_CACHE=cache, CXX=compiler()))
    if os.geteuid() != 0:
        assert f"belongs to user {os.geteuid()}, this process to user 12345" in lines and "LAYERWISE_CACHE" in lines
        return
    assert lines.startswith("True")
    for path, others in ((cache, None), (next(cache.iterdir()), cache)):
        if others is not None:
            os.chown(others, 0, 0)
        os.chown(path, 54321, 54321)
        lines = "".join(python(STEP, LAYERWISE_CACHE=cache, CXX=compiler()))
        assert f"{path} belongs to user 54321, this process to user 0" in lines and "LAYERWISE_CACHE" in lines


def test_without_a_compiler_the_message_says_what_helps(tmp_path: Path) -> None:
    lines = python(STEP, LAYERWISE_CACHE=tmp_path, CXX="/nowhere/c++")
    assert "layerwise.jax has no handlers that jaxlib" in lines[0] and "/nowhere/c++" in "".join(lines)
    assert "Remedy" in "".join(lines) and lines[-1] == "3.0"  # JAX goes on


def test_handlers_built_for_a_newer_jaxlib_are_refused_and_leave_jax_working(tmp_path: Path) -> None:
    """XLA refuses them too, but while its backend starts, which then never does."""
    compiler()
    handlers = python(NEWER, tmp_path / "include", LAYERWISE_CACHE=tmp_path)[-1]
    lines = python(STEP, LAYERWISE_JAX_LIBRARY=handlers)
    assert "LAYERWISE_JAX_LIBRARY: " in lines[1] and "was built with XLA's FFI API 0.99" in lines[1]
    assert "takes none that is newer" in lines[1] and lines[-1] == "3.0"


def test_a_file_that_holds_no_handlers_is_named() -> None:
    lines = python(STEP, LAYERWISE_JAX_LIBRARY=library_path())
    assert "holds no handlers of layerwise" in lines[1]
