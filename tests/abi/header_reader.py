"""header_reader.py CHECKOUT

src/package/bindings on headers that it must not understand: each names the line and what is wrong, so that nothing is
generated from a guess. What is planted breaks the form that the reader's own docstring states.
"""
import os
import sys

PLANTED = [  # what stands in the header, what stands there instead, what the error says
    ("#define LAYERWISE_NORM_INF 1 ", '#define LAYERWISE_NORM_INF "1" ', "the constant is no integer"),
    ("#define LAYERWISE_NORM_INF 1 ", "#define LAYERWISE_NORM_INF (1 + 0) ", "the constant is no integer"),
    ("#define LAYERWISE_NORM_INF 1 ", "#define LAYERWISE_NORM_INF 0x1 ", "the constant is no integer"),
    ("#define LAYERWISE_NORM_INF 1 ", "#define LAYERWISE_NORM_INF 010 ", "the constant is no integer"),
    ("#define LAYERWISE_NORM_INF 1 ", "#define LAYERWISE_NORM_INF 2147483648 ", "the constant is no integer"),
    ("#define LAYERWISE_NORM_INF 1 /* the largest magnitude */", "#define LAYERWISE_NORM_INF 1", "has no comment"),
    ("#include <stdint.h>", "#include <stddef.h>", "not understood: #include <stddef.h>"),
    ("#include <stdint.h>", "#if 0\n#include <stdint.h>\n#endif", "not understood: #if 0"),
    ("  double dampening;     /* [0, 1], default 0 */", "  double dampening;", "dampening: a member needs"),
    ("  double dampening;     /* [0, 1], default 0 */", "  double dampening;     // [0, 1], default 0", "another form"),
    ("  double dampening;     /* [0, 1], default 0 */", "  /* [0, 1], default 0 */\n  double dampening;",
     "dampening: a member needs"),
    ("  double dampening;     /* [0, 1], default 0 */", "  double dampening, other; /* [0, 1], default 0 */",
     "other: a member needs"),
    ("  double dampening;     /* [0, 1], default 0 */", "  double /* [0, 1] */ dampening;", "follows a comment"),
    ("  double dampening;  ", "  float dampening;  ", "dampening: no member may be a float"),
    ("  double dampening;  ", "  size_t dampening;  ", "this is no C"),
    ("  double dampening;  ", "  double dampening[LAYERWISE_STAT_COUNT];  ", "an array of a size that is no number"),
    ("  int32_t nesterov;     /* 1: ", "  int32_t nesterov;     /* ", "does not say whether it is a flag"),
    ("/* LAYERWISE_NORM_, default L2 */", "/* LAYERWISE_NORMS_, default L2 */", "no constants LAYERWISE_NORMS_"),
    ("  int32_t reserved;     /* 0 */", "  int32_t reserved;     /* for later */", "reserved: the comment"),
    ("/* The hyper-parameters of SGD in larc_sgd_step. */\n", "", "layerwise_sgd_options has no comment above it"),
    ("/* The version as major*10000 + minor*100 + patch. Never fails. */\n", "", "layerwise_version has no comment"),
    ("typedef struct layerwise_sgd_options {", "typedef struct layerwise_sgd {", "both must be the same"),
    ("layerwise_version(void)", "layerwise_version(int32_t)", "has an argument without a name"),
    ("layerwise_status_name(int32_t status)", "layerwise_status_name(int32_t *const status)", "itself const"),
    ("layerwise_status_name(int32_t status)", "layerwise_status_name(int32_t (*status)(void))", "not understood"),
    ("layerwise_status_name(int32_t status)", "layerwise_status_name(unsigned int status)", "not understood"),
    ("LAYERWISE_API int32_t layerwise_version(void);", "LAYERWISE_API extern int32_t version;", "nor a function"),
]


def main():
    checkout = sys.argv[1]
    sys.path.insert(0, os.path.join(checkout, "src", "package", "bindings"))
    try:
        import header
    except ImportError as missing:
        print(f"SKIPPED: {missing}")
        return 0
    with open(os.path.join(checkout, "include", "layerwise.h")) as file:
        text = file.read()
    header.read(text)
    problems = []
    for find, plant, says in PLANTED:
        if text.count(find) < 1:
            problems.append(f"not in the header any more: {find}")
            continue
        try:
            header.read(text.replace(find, plant, 1))
            problems.append(f"taken for good: {plant}")
        except header.HeaderError as refused:
            if says not in str(refused):
                problems.append(f"{plant}: {refused}, not: {says}")
        except Exception as other:
            problems.append(f"{plant}: {type(other).__name__}: {other}, not a HeaderError that says: {says}")
    print("\n".join(problems))
    return int(bool(problems))


sys.exit(main())
