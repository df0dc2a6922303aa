"""Which nvcc CMake finds among Python's packages, and what it says of one that cannot compile.

    packaged_nvcc.py PACKAGE CMAKE

PACKAGE is the folder src/package. Environments of Python are made, with empty files where the packages of CUDA 13 have
theirs. Hazards: nvidia-cuda-nvcc installed alone, by a pin or by another package, brings the newest nvvm, whose PTX an
older ptxas does not read; it brings no CUB; before CUDA 13.2 nvcc looks for its libraries in lib64, which no package
has; and pip hides the environment that it builds a package for. The versions and files of each case are those of the
packages as pip installs them. """

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

SCRIPT = """
include("{package}/packaged-nvcc.cmake")
layerwise_packaged_nvcc(nvcc)
layerwise_packaged_nvcc_lacks(lacks "${{nvcc}}")
message("<${{nvcc}}> <${{lacks}}>")
"""
FILES = {"nvidia-cuda-nvcc": "bin/nvcc", "nvidia-nvvm": "nvvm/bin/cicc", "nvidia-cuda-crt": "include/crt/host_config.h",
         "nvidia-cuda-runtime": "lib/libcudart_static.a", "nvidia-cuda-cccl": "include/cccl/cub/cub.cuh",
         "link": "lib64/link"}


def packages(nvcc, nvvm, crt, runtime, cccl, link=False):
    """{package: version} of those that are there."""
    versions = dict(zip(FILES, (nvcc, nvvm, crt, runtime, cccl, "1" if link else "")))
    return {package: version for package, version in versions.items() if version}


# (what, packages, words that the finding must hold; none where nothing is amiss)
CASES = (
    ("CUDA 13.5, whose CUB counts otherwise", packages("13.5.37", "13.5.37", "13.5.37", "13.5.37", "13.3.5.0.6"), []),
    ("another patch, a newer runtime", packages("13.2.86", "13.2.51", "13.2.86", "13.5.37", "13.2.86"), []),
    ("nvcc pinned alone", packages("13.2.86", "13.5.37", "13.5.37", "13.5.37", ""),
     ["nvcc is 13.2, but nvidia-nvvm is 13.5, nvidia-cuda-crt is 13.5, nvidia-cuda-cccl is not installed",
      'pip install "nvidia-nvvm==13.2.*" "nvidia-cuda-crt==13.2.*" nvidia-cuda-cccl>']),
    ("no CUB", packages("13.5.37", "13.5.37", "13.5.37", "13.5.37", ""), ["pip install nvidia-cuda-cccl>"]),
    ("CUDA 13.0 without lib64", packages("13.0.88", "13.0.88", "13.0.88", "13.0.96", "13.0.85"),
     ["ln -s lib ", "nvidia/cu13/lib64>"]),
    ("CUDA 13.0 with lib64", packages("13.0.88", "13.0.88", "13.0.88", "13.0.96", "13.0.85", link=True), []),
)


def found(cmake, script, environment):
    """What the script says: <nvcc> <what it lacks>."""
    done = subprocess.run([cmake, "-P", script], env=environment, capture_output=True, text=True, check=True)
    return done.stderr.strip()


def main(package, cmake):
    failures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = folder / "script.cmake"
        script.write_text(SCRIPT.format(package=package))
        hiding = folder / "hiding"
        hiding.mkdir()
        (hiding / "sitecustomize.py").write_text(
            "import sys; sys.path = [path for path in sys.path if 'site-packages' not in path]\n")
        for number, (what, versions, words) in enumerate(CASES):
            environment = folder / str(number)
            venv.create(environment, symlinks=True)
            variables = {**os.environ, "VIRTUAL_ENV": str(environment), "PYTHONPATH": str(hiding)}
            if said := [said for said in [found(cmake, script, variables)] if said != "<> <>"]:
                failures.append(f"an environment without packages: {said}")
            site = next(environment.glob("lib/python*/site-packages"))
            for package, version in versions.items():
                file = site / "nvidia/cu13" / FILES[package]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
                (site / f"{package.replace('-', '_')}-{version}.dist-info").mkdir()
            said = found(cmake, script, variables)
            if f"<{site}/nvidia/cu13/bin/nvcc>" not in said or words == [] and not said.endswith(" <>"):
                failures.append(f"{what}: {said}")
            failures += [f"{what}: no <{word}> in {said}" for word in words if word not in said]
    print("\n".join(failures) or f"{len(CASES)} cases hold")
    return failures != []


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
