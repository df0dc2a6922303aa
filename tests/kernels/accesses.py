"""The aligned float32 path of every kernel moves 16 bytes an access: accesses.py PTX...   (or --self-test)

The expectation is the kernels' own row shape: 4 rows of each buffer in flight in an update, 8 in a norm, each row one
v4.f32 a thread. A smaller vector, or one lost to a branch, would halve the bandwidth without changing a bit.
"""
import re
import sys

# Kernel (mangled, all float32), access, how often its aligned path has it.
EXPECTED = [
    (r"grad_normsI\w*SquareSumEfN\w*NovogradStepE", "ld.global.cg.v4.f32", 8),
    (r"both_normsIffN\w*LarcStepE", "ld.global.cg.v4.f32", 16),
    (r"novograd_updateIfffE", "ld.global.cs.v4.f32", 12),
    (r"novograd_updateIfffE", "st.global.cs.v4.f32", 8),
    (r"larc_scale_updateIffE", "ld.global.cs.v4.f32", 8),
    (r"larc_scale_updateIffE", "st.global.cs.v4.f32", 4),
    (r"larc_sgd_updateIfffE", "ld.global.cs.v4.f32", 12),
    (r"larc_sgd_updateIfffE", "st.global.cs.v4.f32", 8),
    (r"novograd_applyIfffE", "ld.global.cs.v4.f32", 12),
    (r"novograd_applyIfffE", "st.global.cs.v4.f32", 8),
    (r"larc_sgd_applyIfffE", "ld.global.cs.v4.f32", 12),
    (r"larc_sgd_applyIfffE", "st.global.cs.v4.f32", 8),
    (r"larc_scale_applyIffE", "ld.global.cs.v4.f32", 8),
    (r"larc_scale_applyIffE", "st.global.cs.v4.f32", 4),
]


def kernels(text):
    """Name and body of each entry."""
    pieces = re.split(r"\.entry (\w+)", text)
    return list(zip(pieces[1::2], pieces[2::2]))


def problems(text, expected):
    found = []
    for pattern, access, least in expected:
        bodies = [body for name, body in kernels(text) if re.search(pattern, name)]
        if not bodies:
            found.append(f"no kernel matches {pattern}")
        for body in bodies:
            count = body.count(access)
            if count < least:
                found.append(f"{pattern}: {count} of {access}, expected at least {least}")
    return found


def self_test():
    good = ".entry _Z10both_normsIffN8LarcStepE\n" + "ld.global.cg.v4.f32 {%f1}\n" * 16
    narrow = good.replace("v4.f32", "v2.f32", 1)
    wanted = [e for e in EXPECTED if "both_norms" in e[0]]
    assert not problems(good, wanted), "a good kernel is refused"
    assert problems(narrow, wanted), "a narrow access is not found"
    assert problems("", wanted), "a missing kernel is not found"


def main(arguments):
    if arguments == ["--self-test"]:
        self_test()
        return 0
    by_architecture = {}
    for path in arguments:
        architecture = (re.search(r"compute_\w+", path) or [""])[0]
        with open(path) as file:
            by_architecture[architecture] = by_architecture.get(architecture, "") + file.read()
    found = [f"{architecture or 'PTX'}: {problem}" for architecture, text in sorted(by_architecture.items())
             for problem in problems(text, EXPECTED)]
    print("\n".join(found) or f"{len(arguments)} files: every aligned float32 path moves 16 bytes an access")
    return 1 if found or not arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
