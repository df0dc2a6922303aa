"""bench/gpu's profiler and sanitizers, both pretended: what they find, refuse, leave out or have no time for."""

import json
import shutil
import subprocess
import unittest

from gpu_pretended import GOOD, NCU, PROFILED, SANITIZER, Pretended, check

import counters

BEHAVIOUR = {
    "dram__throughput.avg.pct_of_peak_sustained_elapsed": ["91.5", "%"],
    "lts__t_sector_hit_rate.pct": ["12.25", "%"],
    "smsp__average_warps_issue_stalled_barrier_per_issue_active.ratio": ["1.75", "inst"],
    "smsp__average_warps_issue_stalled_membar_per_issue_active.ratio": ["0.5", "inst"],
    "smsp__average_warps_issue_stalled_long_scoreboard_per_issue_active.ratio": ["4.5", "inst"],
    "sm__warps_active.avg.pct_of_peak_sustained_active": ["48", "%"],
    "gpu__time_duration.sum": ["65,000", "ns"],
}
LAUNCHES = [("norms", "400", "0"), ("update", "1,200", "800")] * 2 + \
    [("void layerwise::one_pass<Novograd, float>(DevicePlan)", "1,250", "790")] * 2


class Profiler(Pretended):
    def rows(self):
        return {(f["model"], f["asked"]): f for f in self.findings("profiled")}

    def test_the_memorys_counters_stand_beside_the_model(self):
        self.counted(LAUNCHES, **BEHAVIOUR)
        asked = '"kernel_bytes_asked": {"norms": 4.0, "update": 20.0}, "steps"'
        profile = GOOD["profile"].replace('"steps"', asked)
        self.assertEqual(self.run_gpu("profile", profile=profile), 0, self.text)
        two, one = self.rows()["m", "two passes"], self.rows()["m", "one pass"]  # 100 parameters, 2 steps
        self.assertEqual([two[f"dram_bytes{which}"] for which in ("_read", "_written", "")], [16, 8, 24])
        self.assertEqual([one[f"dram_bytes{which}"] for which in ("_read", "_written", "")], [12.5, 7.9, 20.4])
        self.assertIn("| novograd_step | m | f32 | one pass | 12.5 | 7.90 | 20.4 |", self.markdown)
        for kernel, moved in (("two passes | norms", "4.00 | 4.00 | 0.01"),
                              ("two passes | update", "20.0 | 20.0 | 0.03"),
                              ("one pass | one_pass", "20.4 |  | 0.03")):
            values = f"2 | 65.0 | {moved} | 91.5 | 12.2 | 1.75 | 0.50 | 4.50 | 48.0"
            self.assertIn(f"| novograd_step | m | f32 | {kernel} | {values} |", self.markdown)
        self.assertEqual(len(self.findings("profiled")), 2)  # though the program ran twice

    # Hazard: the profiler's own default holds the clocks, and the device keeps them so.
    def test_nothing_touches_the_clocks(self):
        self.run_gpu("profile")
        calls = [json.loads(line) for line in (self.path / "ncu.calls").read_text().splitlines()]
        self.assertEqual(len(calls), 2)
        for arguments in calls:
            self.assertEqual(arguments[arguments.index("--clock-control") + 1], "none")
            program = arguments.index(str(self.build / "bench" / "bench_gpu"))
            self.assertLess(arguments.index("--clock-control"), program)
        for call in (self.path / "smi.calls").read_text().splitlines():
            self.assertTrue(call.startswith("--query-gpu="), call)

    # Hazard: one sum over all launches of a kernel, of which several models have some.
    def test_each_row_has_its_own_launches(self):
        told = PROFILED[:-1] + ', "launches": {"norms": 1, "update": 1}}'
        rows = [told % ("a", "two passes", "two passes"), PROFILED % ("b", "two passes", "two passes"),
                PROFILED % ("b", "one pass", "one pass")]
        self.counted([("norms", "100", "0"), ("update", "300", "200"), *LAUNCHES])
        self.assertEqual(self.run_gpu("profile", profile="\n".join(f"echo '{row}'" for row in rows)), 0, self.text)
        self.assertEqual([row["dram_bytes"] for row in self.rows().values()], [3, 24, 20.4])

    def test_a_fallen_back_row_has_the_launches_of_what_ran(self):
        fallen = GOOD["profile"].replace('"ran": "one pass"', '"note": "fell back", "ran": "two passes"')
        self.counted([("norms", "400", "0"), ("update", "1,200", "800")] * 4)
        self.assertEqual(self.run_gpu("profile", profile=fallen), 0, self.text)
        self.assertEqual([row["dram_bytes"] for row in self.rows().values()], [24, 24])
        self.assertIn("1 x fell back", self.text)

    # Hazard: launches that are taken for another row's. No number is better than a wrong one.
    def test_launches_that_are_not_those_of_the_rows_give_no_number(self):
        self.counted(LAUNCHES[:-1])
        self.assertEqual((self.run_gpu("profile"), self.verdicts["profile"]), (1, "failed"))
        self.assertEqual([row["dram_bytes"] for row in self.findings("profiled") if "dram_bytes" in row], [24])
        self.assertIn("the profiler saw no kernel of it, or others", self.problems())
        rows = [json.loads(PROFILED % ("m", path, path)) for path in ("two passes", "one pass")]
        seen = [(kernel, {}) for kernel in ("norms", "update", "norms", "update", "one_pass", "one_pass")]
        for launches, known in ((seen, [True, True]), (seen[1:], [False, False]), ([*seen, seen[-1]], [False, False]),
                                (seen[:3] + seen[4:], [False, False]), (seen[:4] + seen[:2], [True, False])):
            self.assertEqual([share is not None for share in counters.shares(rows, launches)], known, launches)

    # Hazard: a kernel that is replayed, whose bytes are not only its own.
    def test_bytes_of_several_passes_say_so(self):
        for passes, notes in (("3", 1), ("1", 0)):
            self.variables["PASSES"] = passes
            self.assertEqual(self.run_gpu("profile"), 0, self.text)
            said = [f for f in self.findings("profiled") if "in 3 passes" in f.get("note", "")]
            self.assertEqual(len(said), 2 * notes)
            shutil.rmtree(self.out)

    def test_a_metric_that_is_not_counted_leaves_its_cell_empty(self):
        self.counted(LAUNCHES, **{**BEHAVIOUR, "lts__t_sector_hit_rate.pct": ["n/a", ""]})
        self.assertEqual((self.run_gpu("profile"), self.verdicts["profile"]), (0, "passed"), self.text)
        kernel = self.findings("kernel")[0]
        self.assertEqual((kernel["stalled_barrier"], kernel.get("l2_hit_percent")), (1.75, None))
        self.assertEqual(kernel["note"], "not counted: l2_hit_percent")
        heading = '"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"\n'
        metric = "lts__t_sector_hit_rate.pct"
        for value, known in (("12.5", {"l2_hit_percent": 12.5}), ("(!) n/a", {}), ("", {}), ("nan", {}), ("inf", {})):
            table = heading + f'"0","norms","{metric}","%","{value}"\n"0","norms","other","","3"\n'
            self.assertEqual(counters.launches(table, counters.BEHAVIOUR), [("norms", known)])

    def test_a_unit_that_is_not_bytes_is_no_number(self):
        self.counted(LAUNCHES, **{"dram__bytes_read.sum": ["1.25", "Kbyte"]})
        self.assertEqual(self.run_gpu("profile"), 0, self.text)
        self.assertFalse([row for row in self.findings("profiled") if "dram_bytes" in row or "dram_bytes_read" in row])

    # Hazard: an unknown metric that costs the bytes, which are what the stage is for.
    def test_a_profiler_that_refuses_the_second_run_keeps_the_first(self):
        refusing = 'case "$*" in *lts__*) echo "==ERROR== Failed to find metric lts__t"; exit 1;; esac\n'
        self.script(self.path / "ncu", refusing + NCU)
        self.assertEqual((self.run_gpu("profile"), self.verdicts["profile"]), (0, "passed"), self.text)
        self.assertIn("| profile: caches, stalls and occupancy | ncu: Failed to find metric lts__t |", self.markdown)
        self.assertIn("| one pass | 12.5 | 7.90 | 20.4 |", self.markdown)

    def profile_is_not_run(self, reason, **more):
        self.assertEqual(self.run_gpu("profile", **more), 0, self.text)
        self.assertEqual(self.verdicts["profile"], "not run")
        self.assertIn(reason, self.markdown)

    def test_a_profiler_that_is_refused_the_counters_is_listed(self):
        for words in ("ERR_NVGPUCTRPERM - The user does not have permission",
                      "Failed to initialize the profiler: LibraryNotLoaded"):
            self.script(self.path / "ncu", f"echo '==ERROR== {words}'; exit 1")
            self.profile_is_not_run(words)
            shutil.rmtree(self.out)

    def test_a_profiler_that_sees_nothing_says_nothing_of_the_library(self):
        self.counted([])
        self.profile_is_not_run("ncu saw no kernel: it says no more")

    def test_a_profiler_that_hangs_is_not_run(self):
        self.script(self.path / "ncu", "sleep 1000")
        self.profile_is_not_run("ncu: stopped after", seconds=4)

    def test_a_program_that_crashes_under_the_profiler_is_a_failure(self):
        self.assertEqual(self.run_gpu("profile", profile="kill -SEGV $$"), 1, self.text)


class Sanitizers(Pretended):
    def sanitized(self, body, **more):
        self.script(self.path / "compute-sanitizer", body)
        return self.run_gpu("memcheck,racecheck,initcheck,synccheck", **more)

    def test_each_tool_is_a_stage(self):
        self.assertEqual(self.sanitized(SANITIZER), 0, self.text)
        calls = (self.path / "sanitizer.calls").read_text().splitlines()
        self.assertEqual([line.split()[1] for line in calls], ["memcheck", "racecheck", "initcheck", "synccheck"])

    def test_what_a_tool_finds_fails(self):
        for words in ("ERROR SUMMARY: 2 errors'; exit 86",
                      "RACECHECK SUMMARY: 1 hazard displayed (0 errors, 1 warning)'"):
            self.assertEqual(self.sanitized("echo '========= " + words), 1)
            self.assertEqual(self.verdicts["memcheck"], "failed")
            self.assertIn(words.split("'")[0], self.text)
            shutil.rmtree(self.out)

    # Hazards: a tool that is stopped before its summary, which is its verdict; a verdict on no case at all.
    def test_the_cases_end_before_their_tool_is_stopped(self):
        self.assertEqual(self.sanitized(SANITIZER), 0, self.text)
        for line in (self.path / "sanitizer.calls").read_text().splitlines():
            self.assertRegex(line, r"bench_gpu cases --seconds \d+\.\d$")
        self.assertIn("memcheck: 1 small cases", [f["name"] for f in self.findings("check")])
        shutil.rmtree(self.out)
        none = """echo '{"kind": "not_run", "name": "cases: 74 of 74", "reason": "no time left"}'"""
        self.assertEqual(self.sanitized(SANITIZER, cases=none), 0, self.text)
        self.assertEqual({self.verdicts[name] for name in ("memcheck", "racecheck")}, {"not run"})

    def test_a_finding_before_the_time_is_over_fails_and_none_is_not_run(self):
        hangs = f"""{check("a case")}
[ $2 = memcheck ] && echo '========= Invalid __global__ write of size 4 bytes'; sleep 1000"""
        self.script(self.path / "compute-sanitizer", hangs)
        options = [("--seconds", "4", "--only", name, "--out", self.out / name) for name in ("memcheck", "initcheck")]
        begun = [subprocess.Popen(self.command(*some), env=self.environment(), stdout=subprocess.DEVNULL)
                 for some in options]
        self.assertEqual([process.wait(timeout=60) for process in begun], [1, 0])
        self.out /= "memcheck"
        self.read()
        self.assertIn("Invalid __global__ write of size 4 bytes", self.markdown)
        self.out = self.out.with_name("initcheck")
        self.read()
        self.assertEqual(self.verdicts["initcheck"], "not run")
        self.assertIn("the small cases under initcheck: stopped after", self.markdown)
        self.assertIn("what it finished last: a case", self.markdown)


if __name__ == "__main__":
    unittest.main()
