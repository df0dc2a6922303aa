"""What is on this machine and what is missing, said before anything else runs."""

import importlib.util
import re
from importlib import metadata

import process
from nccl_stage import environment as nccl_environment
from part import NotRun, tool

PACKAGES = ("torch", "jax", "optax", "cupy", "timm")
TOOLS = ("ncu", "compute-sanitizer")
SMI = {"driver_version": "driver_version", "clocks.max.sm": "max_sm_clock", "clocks.max.mem": "max_memory_clock",
       "power.limit": "power_limit", "ecc.mode.current": "ecc", "persistence_mode": "persistence"}


def look(part):
    """The facts. What is missing is printed at once, and a finding of its own."""
    tree = part.tree
    for missing in (*_programs(tree), *_tools(), *_packages()):
        _say(part, *missing)
    if not tree.bench_problem:
        tree.device_problem = _device(part)
        if tree.device_problem:
            _say(part, "a GPU that it can use", tree.device_problem)
    if tree.made:
        part.stage.findings.append({"kind": "facts", "tree": made_of(tree.made)})
    if tree.bench_problem or tree.device_problem:
        raise NotRun(tree.bench_problem or tree.device_problem)


def _say(part, name, reason):
    process.say(f"missing: {name}: {reason}")
    part.stage.findings.append({"kind": "missing", "name": name, "reason": reason})


def made_of(made):
    return ", ".join(f"{key} {value}" for key, value in made.items() if value)


def _programs(tree):
    """Whether they can start: what another architecture or an older C library lacks is said in the loader's words."""
    tree.bench_problem = tree.bench_problem or _cannot_start(tree, tree.bench)
    tree.cross_problem = tree.cross_problem or _cannot_start(tree, tree.cross, "--help")
    if tree.nccl and not tree.nccl_problem:
        tree.nccl_problem = _cannot_start(tree, tree.nccl, "--help", environment=nccl_environment(tree))
    named = (("bench_gpu", tree.bench_problem), ("tests/cross", tree.cross_problem), ("tests/nccl", tree.nccl_problem))
    return [(name, problem) for name, problem in named if problem]


def _cannot_start(tree, program, *arguments, environment=None):
    words = process.run([program, *arguments], 10, tree.root, environment).cannot_start()
    return f"{program.name} cannot start here: {words}" if words else ""


def _tools():
    for name in TOOLS:
        try:
            tool(name)
        except NotRun as why:
            yield name, str(why)


def _packages():
    """Looked up, not imported: that would take seconds each."""
    for name in PACKAGES:
        if importlib.util.find_spec(name) is None:
            yield f"Python's {name}", "it is not installed"


def _device(part):
    """Why no GPU can be used, or an empty string."""
    outcome = part.bench("facts")
    call = re.search(r"cuda(GetDeviceCount|DriverGetVersion): (.*)", outcome.stderr)
    if call and outcome.returncode == 3:
        part.stage.findings[:] = [f for f in part.stage.findings if f["kind"] != "check"]
        return f"CUDA says {call.group(2).strip()}"
    part.expect_success(outcome, "facts")
    if not outcome.problem() and not any(f["kind"] == "facts" for f in part.stage.findings):
        part.fail("facts: nothing was printed")
    _ask_driver(part)
    return _not_built_for(part)


def _ask_driver(part):
    asked = process.run(["nvidia-smi", f"--query-gpu={','.join(SMI)}", "--format=csv,noheader"], 20, part.tree.root)
    if asked.returncode == 0 and asked.stdout.strip():
        values = [value.strip() for value in asked.stdout.splitlines()[0].split(",")]
        part.stage.findings.append({"kind": "facts", **dict(zip(SMI.values(), values))})


def _not_built_for(part):
    """Code for compute capability a.b runs on a.c, c not below b; what is not known is taken to fit."""
    capability = [f["compute_capability"] for f in part.stage.findings if f.get("compute_capability")]
    built = [divmod(int(number), 10) for number in re.findall(r"\d+", part.tree.made.get("architectures", ""))]
    if not capability or not built:
        return ""
    major, minor = (int(number) for number in capability[0].split("."))
    if any(major == of and minor >= least for of, least in built):
        return ""
    return f"its compute capability is {capability[0]}; the kernels were built for {part.tree.made['architectures']}"
