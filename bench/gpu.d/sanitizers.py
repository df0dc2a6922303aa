"""The stages memcheck, racecheck, initcheck and synccheck: the small cases under each tool of compute-sanitizer."""

import re

from part import NotRun, cut_off, tool

SUMMARY = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: .*")
# The first line of a finding of each tool, which a run that was stopped has printed without a summary.
FOUND = re.compile(r"=========\s+((?:Invalid|Misaligned|Uninitialized|Barrier error|Program hit|Error: Race)[^\n]*)")
REFUSED = re.compile(r"not supported|failed to initialize", re.I)
CASES_SHARE = 0.7  # of the time: a tool that is stopped has no summary, so that the cases must end before that


def sanitize(name):
    def work(part):
        outcome = part.bench("cases", "--seconds", f"{CASES_SHARE * part.clock.left():.1f}",
                             wrapper=(tool("compute-sanitizer"), "--tool", name, "--error-exitcode", "86"))
        words = outcome.stdout + outcome.stderr
        summary, found = SUMMARY.findall(words), FOUND.findall(words)
        if REFUSED.search(words) and not summary:
            raise NotRun(outcome.last_words())
        if outcome.timed_out and not found:
            raise NotRun(f"the small cases under {name}: {cut_off(outcome)}")
        detail = (found or summary or [outcome.last_words()])[-1]
        if not outcome.timed_out and part.expect_success(outcome, name) and not summary:
            part.fail(f"{name}: no summary was printed")
        good = not outcome.problem() and not found and bool(summary) and "SUMMARY: 0 " in summary[-1]
        count = sum(f["kind"] == "check" for f in outcome.findings())
        if good and not count:
            raise NotRun(f"{name}: no case was finished")
        part.stage.findings.append({"kind": "check", "name": f"{name}: {count} small cases", "ok": good,
                                    "detail": detail})

    return work
