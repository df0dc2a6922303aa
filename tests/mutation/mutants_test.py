"""The generator held to what its rules promise. Needs no compiler: python3 tests/mutation/mutants_test.py"""

import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import equivalents  # noqa: E402
import mutants  # noqa: E402
import tree  # noqa: E402

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

# Each rule: a line, and every line it may become.
EXAMPLES = {
    "compare": ("if (a < b) f();", {"if (a <= b) f();", "if (a >= b) f();"}),
    "barrier": ("__syncthreads();", {";"}),
    "order": ("x.store(1, cuda::std::memory_order_release);", {"x.store(1, cuda::std::memory_order_relaxed);"}),
    "number": ("x = y + 7u;", {"x = y + 8u;", "x = y + 6u;"}),
    "scale": ("return 0x1p-80f;", {"return 0x1p-81f;", "return 0x1p-79f;"}),
    "index": ("return tree[i + 1];", {"return tree[(i + 1) + 1];"}),
    "arithmetic": ("x = a - b;", {"x = a + b;"}),
    "operation": ("x = mul(a, b);", {"x = div(a, b);"}),
    "sign": ("x = -to_float(lr);", {"x = to_float(lr);"}),
    "bits": ("x = a | b;", {"x = a & b;"}),
    "logic": ("return a && b;", {"return a || b;"}),
    "truth": ("return true;", {"return false;"}),
    "negate": ("if (f(a) == b) g();", {"if (!(f(a) == b)) g();"}),
    "choice": ("x = a < b ? c : d;", {"x = !(a < b) ? c : d;"}),
    "guard": ("if (done(x)) continue;", {";"}),
    "statement": ("at.rows[i] = f(x);", {";"}),
    "arguments": ("w = fma(a, f(b, c), w);", {"w = fma(a, w, f(b, c));"}),
}
# What no rule may touch.
NO_CODE = """\
// if (a < b) x = 1 + 2;
#pragma unroll 2
#include <cuda/atomic>
#define LIMIT(a) ((a) < 7)
static_assert(kThreads * 4 == 1024, "a + b");
template <class T, int kCount>
const char* name = "1 < 2 && 3";
#if defined(__CUDA_ARCH__)
float load(float x) { return x + 1; }
#endif
"""


def lines_of(text, rule=None):
    return {mutant.after for mutant in mutants.generate("file", text) if rule in (None, mutant.rule)}


class Rules(unittest.TestCase):
    def test_each_rule_does_what_its_example_says(self):
        self.assertEqual(set(EXAMPLES), set(mutants.RULES))
        for rule, (line, expected) in EXAMPLES.items():
            with self.subTest(rule=rule):
                self.assertEqual(lines_of(f"{{\n  {line}\n}}\n", rule), expected)

    def test_what_is_no_code_is_left_alone(self):
        self.assertEqual(lines_of(NO_CODE), set())

    def test_declarations_are_no_statements_and_angle_brackets_no_comparisons(self):
        text = "{\n  const Tile tile = tile_at(plan, t);\n  Foo<int, 2> values[4];\n  return f<A>(x);\n}\n"
        for rule in ("statement", "compare", "index"):
            self.assertEqual(lines_of(text, rule), set(), rule)

    def test_the_whole_of_a_statement_over_two_lines_goes(self):
        text = "{\n  x.y =\n      f(z);\n}\n"
        (mutant,) = [mutant for mutant in mutants.generate("file", text) if mutant.rule == "statement"]
        self.assertEqual(mutant.apply(text), "{\n  ;\n}\n")


class Sources(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.texts = {file: (CHECKOUT / file).read_text() for file in tree.mutated_files(CHECKOUT)}
        cls.mutants = [mutant for file, text in cls.texts.items() for mutant in mutants.generate(file, text)]

    def test_there_are_mutants_of_every_file_and_every_rule(self):
        self.assertEqual({mutant.file for mutant in self.mutants}, set(self.texts))
        self.assertEqual({mutant.rule for mutant in self.mutants}, set(mutants.RULES))

    def test_each_mutant_changes_its_lines_and_no_other(self):
        for mutant in self.mutants:
            text = self.texts[mutant.file]
            changed = mutant.apply(text)
            self.assertNotEqual(changed, text)
            head, tail = text[:mutant.start].count("\n"), text[mutant.end:].count("\n")
            self.assertEqual(changed.split("\n")[:head], text.split("\n")[:head])
            lines, old = changed.split("\n"), text.split("\n")
            self.assertEqual(lines[len(lines) - tail:], old[len(old) - tail:])

    def test_keys_are_unique_and_do_not_depend_on_the_line(self):
        self.assertEqual(len({mutant.key for mutant in self.mutants}), len(self.mutants))
        file, text = next(iter(self.texts.items()))
        moved = mutants.generate(file, "\n\n" + text)
        self.assertEqual([mutant.key for mutant in moved], [m.key for m in self.mutants if m.file == file])

    def test_a_sample_is_repeatable_even_and_the_beginning_of_a_larger_one(self):
        small, large = (mutants.sample(self.mutants, count, seed=1) for count in (100, 300))
        self.assertEqual(small, large[:100])
        self.assertNotEqual(small, mutants.sample(self.mutants, 100, seed=2))
        self.assertEqual(len({mutant.key for mutant in large}), 300)
        self.assertEqual({mutant.file for mutant in small}, set(self.texts))

    def test_the_copy_of_the_tree_can_be_reduced_to_one_dtype(self):
        for file in ("src/numerics/dtype.h", "tests/oracle/model.h"):
            self.assertIn("LAYERWISE_ONE_DTYPE", tree.one_dtype(file, (CHECKOUT / file).read_text()))
        with self.assertRaises(tree.ReductionError):
            tree.one_dtype("src/numerics/dtype.h", "something else\n")

    def test_what_is_said_to_change_nothing_exists_and_has_a_reason(self):
        known = {mutant.key for mutant in self.mutants}
        for key, reason in equivalents.read().items():
            self.assertIn(key, known, "README.md lists a mutant that is no more")
            self.assertGreater(len(reason), 10, key)


if __name__ == "__main__":
    unittest.main()
