"""Finding, loading and checking the shared library.

The library's real account of its ABI is doctored here, one field at a time; the rules are those of DESIGN: a struct
may grow and a reserved field may get a name, anything else is a mismatch.
"""

from __future__ import annotations

import ctypes.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import layerwise
from layerwise import _abi, _abi_check, _library

PYTHONPATH = str(Path(layerwise.__file__).parents[1])


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, PYTHONPATH=PYTHONPATH, **environment))


def test_a_missing_library_is_no_matter_until_it_is_used() -> None:
    done = python("-c", "import layerwise; print(int(layerwise.Stat.FACTOR), layerwise.__version__)",
                  LAYERWISE_LIBRARY="/nowhere/liblayerwise.so")
    assert done.returncode == 0 and done.stdout.startswith("3 ")


def test_a_missing_library_names_version_paths_and_remedy() -> None:
    done = python("-m", "layerwise", LAYERWISE_LIBRARY="/nowhere/liblayerwise.so")
    assert done.returncode == 1
    tried = "/nowhere/liblayerwise.so (LAYERWISE_LIBRARY): no such file"
    for text in (layerwise.__version__, tried, "Remedy", "cmake"):
        assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_library_says_so(tmp_path: Path) -> None:
    (tmp_path / "liblayerwise.so").write_text("not a library")
    done = python("-c", "import layerwise; layerwise.Plan([1])", LAYERWISE_LIBRARY=str(tmp_path))  # a folder: searched
    assert "LibraryNotFoundError" in done.stderr and "liblayerwise.so (LAYERWISE_LIBRARY)" in done.stderr


def test_another_library_is_refused_by_the_function_it_lacks() -> None:
    other = ctypes.util.find_library("m")
    if other is None:
        pytest.skip("no libm here")
    with pytest.raises(layerwise.AbiMismatchError, match="does not export layerwise_plan_options_init") as caught:
        _abi_check.bind(ctypes.CDLL(other))
    assert caught.value.field == "layerwise_plan_options_init" and isinstance(caught.value, ImportError)


def test_only_the_named_library_is_tried_where_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERWISE_LIBRARY", "/a/b.so")
    assert list(_library._candidates()) == [("/a/b.so", "LAYERWISE_LIBRARY")]


def test_the_search_goes_from_the_package_to_the_build_tree_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAYERWISE_LIBRARY", raising=False)
    places = [where for _, where in _library._candidates()]
    assert places[0] == "inside the package" and places[-1] == "system loader"
    assert set(places[1:-1]) <= {"build tree", "the distribution pip installed"}


def test_an_editable_installation_finds_the_library_beside_its_metadata(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LAYERWISE_LIBRARY", raising=False)
    information = tmp_path / "layerwise-0.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: layerwise\nVersion: 0.1.0\n")
    (tmp_path / "layerwise").mkdir()
    (tmp_path / "layerwise" / _library._file_name()).touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert (str(tmp_path / "layerwise" / _library._file_name()), "the distribution pip installed") in list(
        _library._candidates())


def account() -> Any:
    return json.loads(_library.library().layerwise_abi_description())


def field(description: Any, struct: str, name: str) -> Any:
    return next(f for f in description["structs"][struct]["fields"] if f["name"] == name)


@pytest.mark.parametrize(("struct", "name", "key", "value"), [
    ("layerwise_larc_options", "eta", "offset", 24),
    ("layerwise_novograd_options", "lr", "size", 4),
    ("layerwise_novograd_options", "lr_ptr", "type", "float64"),
    ("layerwise_plan_options", "threads", "name", "workers"),
])
def test_a_field_that_differs_is_named(struct: str, name: str, key: str, value: Any) -> None:
    description = account()
    field(description, struct, name)[key] = value
    with pytest.raises(layerwise.AbiMismatchError, match=f"{struct}.{name} is") as caught:
        _abi_check.check_description(json.dumps(description), "doctored.so")
    assert caught.value.field == f"{struct}.{name}"


@pytest.mark.parametrize(("name", "value"), [("LAYERWISE_DTYPE_BFLOAT16", 9), ("LAYERWISE_ABI_VERSION", 1),
                                             ("LAYERWISE_STAT_FACTOR", None), ("LAYERWISE_ERROR_ALIASED", 7)])
def test_a_constant_that_differs_is_named(name: str, value: Any) -> None:
    description = account()
    description["constants"][name] = value
    with pytest.raises(layerwise.AbiMismatchError, match=name):
        _abi_check.check_description(json.dumps(description), "doctored.so")


def test_a_struct_that_is_missing_or_too_small_is_named() -> None:
    description = account()
    del description["structs"]["layerwise_sgd_options"]
    with pytest.raises(layerwise.AbiMismatchError, match="layerwise_sgd_options is missing"):
        _abi_check.check_description(json.dumps(description), "doctored.so")
    description = account()
    description["structs"]["layerwise_sgd_options"]["size"] -= 8
    with pytest.raises(layerwise.AbiMismatchError, match="layerwise_sgd_options"):
        _abi_check.check_description(json.dumps(description), "doctored.so")


def test_an_account_that_cannot_be_read_is_a_mismatch() -> None:
    for text in ("", "{}", "[]", '{"constants": 3}'):
        with pytest.raises(layerwise.AbiMismatchError, match="does not describe its ABI"):
            _abi_check.check_description(text, "doctored.so")


def test_a_newer_library_may_grow_a_struct_and_name_a_reserved_field() -> None:
    description = account()
    sgd = description["structs"]["layerwise_sgd_options"]
    sgd["size"] += 8
    sgd["fields"].append({"name": "new", "offset": sgd["size"] - 8, "size": 8, "type": "int64"})
    field(description, "layerwise_sgd_options", "reserved")["name"] = "newer"
    _abi_check.check_description(json.dumps(description), "newer.so")


def test_every_function_and_struct_of_the_header_is_bound() -> None:
    header = (Path(__file__).resolve().parents[3] / "include" / "layerwise.h").read_text()
    declared = [line.split("(")[0].split()[-1].lstrip("*") for line in header.splitlines()
                if line.startswith("LAYERWISE_API")]
    assert sorted(declared) == sorted(_abi.SIGNATURES)
    assert sorted(account()["structs"]) == sorted(struct.c_name for struct in _abi.STRUCTS)


def test_the_command_prints_version_and_backends() -> None:
    done = python("-m", "layerwise", LAYERWISE_LIBRARY=layerwise.library_path())
    assert done.returncode == 0, done.stderr
    for text in (f"version: {layerwise.version()}", "a CPU plan here: ", "a CUDA plan here: "):
        assert text in done.stdout


def test_the_library_may_be_closed_while_a_plan_is_alive() -> None:
    """A host of plugins does so at its end, or before it loads them anew; the plan's threads wait in its code."""
    done = python("-c", "import _ctypes, time, layerwise; from layerwise import _library; "
                        "plan = layerwise.Plan([100000], threads=4); _ctypes.dlclose(_library.library()._handle); "
                        "time.sleep(0.2); print('alive', flush=True); import os; os._exit(0)")
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr
