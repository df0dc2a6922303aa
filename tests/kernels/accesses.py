"""The aligned float32 path of every kernel moves 16 bytes an access: accesses.py PTX...   (or --self-test)

The expectation is the kernels' own shape: a warp's 8 quads of a row in a norm, of each buffer where there are two; 4 rows of
each buffer in flight in an update; in one pass 8 rows of gradients, or 4 of each, that a norm reads and keeps, and 2 in an
update; in the bulk pass 8 that a norm finds in shared memory, 2 rows of each in an update, and bulk copies of all three.
Each one v4.f32 a thread. A smaller vector, or one lost to a branch, would halve the bandwidth without changing a bit.
"""
import re
import sys

# Kernel (mangled, all float32), access, how often its aligned path has it.
EXPECTED = [
    (r"5normsINS_8GradNormIfNS_11NovogradEndE", "ld.global.cg.v4.f32", 8),
    (r"5normsINS_9BothNormsIffNS_7LarcEndE", "ld.global.cg.v4.f32", 8 + 8),
    *((rf"6updateINS_\w*{update}E", access, least)
      for update, access, least in (
          ("NovogradUpdateIfff", "ld.global.cs.v4.f32", 12), ("NovogradUpdateIfff", "st.global.cs.v4.f32", 8),
          ("ScaleUpdateIff", "ld.global.cs.v4.f32", 8), ("ScaleUpdateIff", "st.global.cs.v4.f32", 4),
          ("SgdUpdateIfff", "ld.global.cs.v4.f32", 12), ("SgdUpdateIfff", "st.global.cs.v4.f32", 8))),
    (r"8one_passINS_8GradNormIfNS_\w+NovogradUpdateIfffE", "ld.global.cs.v4.f32", 8 + 6),
    (r"8one_passINS_8GradNormIfNS_\w+NovogradUpdateIfffE", "ld.global.cg.v4.f32", 8),
    (r"8one_passINS_8GradNormIfNS_\w+NovogradUpdateIfffE", "st.global.cs.v4.f32", 4),
    (r"8one_passINS_8GradNormIfNS_\w+NovogradUpdateIfffE", "st.shared.v4.f32", 8),
    (r"8one_passINS_8GradNormIfNS_\w+NovogradUpdateIfffE", "ld.shared.v4.f32", 2),
    (r"8one_passINS_9BothNormsIffNS_\w+SgdUpdateIfffE", "ld.global.cs.v4.f32", 8 + 6),
    (r"8one_passINS_9BothNormsIffNS_\w+SgdUpdateIfffE", "st.shared.v4.f32", 8),
    (r"9bulk_passINS_8GradNormIfNS_\w+NovogradUpdateIfffE", "ld.shared.v4.f32", 8 + 6),
    (r"9bulk_passINS_8GradNormIfNS_\w+NovogradUpdateIfffE", "cp.async.bulk.shared", 3),
]


def kernels(text):
    """Name and body of each entry."""
    pieces = re.split(r"\.entry (\w+)", text)
    return list(zip(pieces[1::2], pieces[2::2]))


def problems(text, expected):
    found = []
    target = re.search(r"\.target sm_(\d+)", text)
    for pattern, access, least in expected:
        if "bulk_pass" in pattern and target and int(target[1]) < 90:
            continue  # has no bulk copies, and the kernel no body
        bodies = [body for name, body in kernels(text) if re.search(pattern, name)]
        if not bodies:
            found.append(f"no kernel matches {pattern}")
        for body in bodies:
            count = body.count(access)
            if count < least:
                found.append(f"{pattern}: {count} of {access}, expected at least {least}")
    return found


def self_test():
    good = ".entry _ZN9layerwise5normsINS_9BothNormsIffNS_7LarcEndEEEE\n" + "ld.global.cg.v4.f32 {%f1}\n" * 16
    narrow = good.replace("v4.f32", "v2.f32", 1)
    wanted = [e for e in EXPECTED if "5normsINS_9BothNorms" in e[0]]
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
