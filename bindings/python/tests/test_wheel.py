"""What `pip install ./bindings/python` gives: a wheel for every Python of a platform, with the library inside.

The wheel is built without a network, by the scikit-build-core that is installed here, and installed into an environment
of its own, which must not see the source tree.
"""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[1]
STEP = """
import numpy as np, layerwise
weights, grads = np.arange(1, 6, dtype=np.float32), np.arange(1, 6, dtype=np.float32) / 10
layerwise.Plan([2, 3]).novograd_step(weights, grads, np.zeros(5, np.float32), np.zeros(2, np.float32), lr=0.01)
print(layerwise.library_path(), *(f"{weight:.6f}" for weight in weights), sep="\\n")
"""
JAX_STEP = """
import jax, jax.numpy as jnp, layerwise.jax
from layerwise.jax import _handlers
_handlers.build = None
optimizer, weights = layerwise.jax.novograd(0.01), jnp.array([1.0, 2.0])
print(_handlers.candidates()[0][1]())
print(f"{optimizer.step(weights, jnp.array([0.1, 0.2]), optimizer.init(weights))[0][0]:.6f}")
"""
README_VALUES = ["0.995518", "1.991036", "2.995727", "3.994303", "4.992879"]  # worked out in the C header's example

pytest.importorskip("scikit_build_core", reason="scikit-build-core is not installed here: the wheel is not built")
for tool in ("cmake", "c++"):
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} here: the wheel is not built", allow_module_level=True)
if not (PROJECT.parents[1] / "CMakeLists.txt").is_file():
    pytest.skip("no source checkout around this folder: the wheel is not built", allow_module_level=True)


def run(*command: Any, cwd: Path) -> str:
    clean = {name: value for name, value in os.environ.items()
             if name not in ("LAYERWISE_LIBRARY", "PYTHONPATH", "LD_LIBRARY_PATH", "LD_PRELOAD")}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=clean, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, source: Path, folder: Path) -> Path:
    """An sdist or a wheel of the CPU backend, by the build backend that pip would call."""
    code = (f"from scikit_build_core.build import build_{kind} as build; "
            f"print(build({str(folder)!r}, {{'cmake.define.LAYERWISE_CUDA': 'OFF'}}))")
    return folder / run(sys.executable, "-c", code, cwd=source).splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", PROJECT, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_serves_every_python_of_this_platform(wheel: Path) -> None:
    _, _, python, abi, platform = wheel.stem.split("-")
    assert (python, abi) == ("py3", "none") and platform != "any"


def test_the_wheel_holds_types_library_and_licence_and_no_other_native_code(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "layerwise/py.typed" in names and any(name.endswith("/LICENSE") for name in names)
    native = [name for name in names if ".so" in name or name.endswith((".dylib", ".dll"))]
    # Handlers for XLA are built where JAX is, as it may be here.
    assert set(native) - {"layerwise/liblayerwise_jax.so"} == {"layerwise/liblayerwise.so"}
    assert {"layerwise/include/layerwise.h", "layerwise/jax/handlers.cpp", "layerwise/jax/operands.h",
            "layerwise/jax/plans.h"} <= set(names)  # built at first use elsewhere
    assert not [name for name in names if name.startswith(("lib/", "include/", "tests/"))]


def test_the_metadata_says_who_made_it_what_for_and_for_which_pythons(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Author"] and metadata["Summary"] and metadata["Requires-Python"] == ">=3.10"
    assert all("https://" in url for url in metadata.get_all("Project-URL"))
    classifiers = metadata.get_all("Classifier")
    for needed in ("License :: OSI Approved :: MIT License", "Operating System :: POSIX :: Linux", "Typing :: Typed",
                   "Programming Language :: Python :: 3.10", "Programming Language :: Python :: 3.13"):
        assert needed in classifiers
    assert "layerwise" in metadata.get_payload()  # README, which package indexes show


def test_the_installed_wheel_runs_a_step_outside_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    zipfile.ZipFile(wheel).extractall(site)  # what pip does with a wheel that has no scripts; NumPy comes from here
    import numpy

    (site / "numpy.pth").write_text(str(Path(numpy.__file__).parents[1]))
    library, *weights = run(python, "-c", STEP, cwd=tmp_path).splitlines()
    assert Path(library) == site / "layerwise" / "liblayerwise.so" and weights == README_VALUES
    if "layerwise/liblayerwise_jax.so" in zipfile.ZipFile(wheel).namelist():
        path, weight = run(python, "-c", JAX_STEP, cwd=tmp_path).splitlines()
        assert Path(path) == site / "layerwise" / "liblayerwise_jax.so" and weight == README_VALUES[0]


def test_a_source_distribution_carries_the_librarys_source(tmp_path: Path) -> None:
    archive = build("sdist", PROJECT, tmp_path)
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    source = tmp_path / archive.name.removesuffix(".tar.gz")
    for folder in ("src", "kernels", "include"):
        there, here = source / "library" / folder, PROJECT.parents[1] / folder
        assert files(there) == files(here), folder
    # CMake finds every source file that is compiled, without the repository around it.
    run("cmake", "-S", source, "-B", tmp_path / "build", "-DLAYERWISE_CUDA=OFF", cwd=tmp_path)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
