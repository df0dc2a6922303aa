"""What was found, as one JSON and one Markdown file."""

import datetime
import json
import os
import re
import subprocess
import time
from collections import Counter

TIMING = (("op", "op"), ("model", "model"), ("dtypes", "dtypes w/g/m"), ("ran", "ran in"), ("us", "us"), ("us_model", "us, model"),
          ("us_eager", "us eager"), ("one_over_two", "one/two"), ("bytes_per_parameter", "bytes/param"),
          ("model_bytes_from_memory", "from memory, model"), ("gb_per_s", "GB/s"), ("share_of_copy", "x copy"),
          ("floor_bytes_per_parameter", "floor bytes"), ("floor_share_of_copy", "x copy at the floor"),
          ("auto", "a plan chooses"), ("note", "note"))
PROFILE = (("op", "op"), ("model", "model"), ("dtypes", "dtypes w/g/m"), ("ran", "ran in"), ("dram_bytes_read", "read"),
           ("dram_bytes_written", "written"), ("dram_bytes", "both"), ("model_bytes_from_memory", "both, model"),
           ("model_bytes_asked", "asked for, model"), ("note", "note"))


class Entry:
    """One stage."""

    def __init__(self, name):
        self.name, self.verdict, self.reason, self.seconds = name, "not run", "not reached", 0.0
        self.commands, self.findings, self.problems = [], [], []
        self._begin = time.monotonic()

    def checks(self, good):
        return [f for f in self.findings if f["kind"] == "check" and bool(f.get("ok")) == good]

    def left_out(self):
        return [f for f in self.findings if f["kind"] == "not_run"]

    def conclude(self, reason):
        """Failed beats not run beats passed: nothing is called passed of which nothing was seen."""
        if self.problems or self.checks(False):
            self.finish("failed", reason)
        elif reason or (self.left_out() and not self.checks(True)):
            self.finish("not run", reason or str(self.left_out()[0].get("reason")))
        else:
            self.finish("passed", "")

    def finish(self, verdict, reason=""):
        self.verdict, self.reason, self.seconds = verdict, reason, time.monotonic() - self._begin

    def notes(self):
        """What did not run as it was asked to, such as a one-pass step that fell back, and how often."""
        return [f"{count} x {note}" for note, count in Counter(f["note"] for f in self.findings if f.get("note")).items()]

    def line(self):
        text = "; ".join([f"{self.name:<9} {self.verdict:<8} {self.seconds:6.1f} s   {len(self.checks(True))} checks held",
                          *self.notes()])
        bad = self.problems + [f"{f.get('name')}: {f.get('detail')}" for f in self.checks(False)]
        return "\n    ".join([text + (f"; {self.reason}" if self.reason else ""), *bad])

    def as_json(self):
        return {"stage": self.name, "verdict": self.verdict, "reason": self.reason, "seconds": round(self.seconds, 1),
                "problems": self.problems, "commands": self.commands, "findings": self.findings}


class Results:
    def __init__(self, root, folder, planned):
        self.root, self.folder, self.interrupted = root, folder, False
        self.entries, self.planned = [], planned
        self.date = datetime.date.today().isoformat()
        self.path = None

    def begin(self, name):
        self.entries.append(Entry(name))
        return self.entries[-1]

    def failed(self):
        return [entry for entry in self.entries if entry.verdict == "failed"]

    def unfinished(self):
        """(what, why) of everything that was not run."""
        begun = {entry.name for entry in self.entries}
        rows = [(name, "not reached") for name in self.planned if name not in begun]
        for entry in self.entries:
            if entry.verdict == "not run":
                rows.append((entry.name, entry.reason))
            elif entry.reason:
                rows.append((f"{entry.name}: the rest", entry.reason))
            rows += [(f.get("name"), f.get("reason")) for f in entry.left_out() if entry.reason != f.get("reason")]
        return rows

    def facts(self):
        found = {}
        for entry in self.entries:
            for finding in entry.findings:
                if finding["kind"] == "facts":
                    found.update({key: value for key, value in finding.items() if key != "kind"})
        return found

    def findings(self, *kinds):
        return [f for entry in self.entries for f in entry.findings if f["kind"] in kinds]

    def write(self):
        """Both files, each complete at every moment. The name is settled once the device is known."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.path and any(entry.name == "facts" and entry.seconds for entry in self.entries):
            self.path = self._free_path()
        path = self.path or self._free_path()
        content = {"date": self.date, "commit": _commit(self.root), "facts": self.facts(), "interrupted": self.interrupted,
                   "not_run": self.unfinished(), "stages": [entry.as_json() for entry in self.entries]}
        if self.path:
            _replace(path.with_suffix(".json"), json.dumps(content, indent=1) + "\n")
            _replace(path.with_suffix(".md"), self._markdown(content))

    def _free_path(self):
        device = re.sub(r"[^a-z0-9]+", "-", str(self.facts().get("device", "no device")).lower()).strip("-")
        number, name = 1, f"{self.date}-{device}"
        while (self.folder / f"{name}.json").exists() or (self.folder / f"{name}.md").exists():
            number += 1
            name = f"{self.date}-{device}-{number}"
        return self.folder / name  # has no dot that with_suffix could take for a suffix

    def summary(self):
        lines = [f"not run: {what}: {why}" for what, why in self.unfinished()]
        lines += [f"failed: {entry.name}" for entry in self.failed()]
        if self.path:
            lines.append(f"results: {os.path.relpath(self.path)}.json and .md")
        return "\n".join(lines)

    def _markdown(self, content):
        device = content["facts"].get("device", "no device")
        parts = [f"# {device}, {self.date}", "Written by `bench/gpu`" + (f" at commit {content['commit']}" if content["commit"] else "") +
                 (". Interrupted." if self.interrupted else "."), "## Device", _table(["fact", "value"], _fact_rows(content["facts"]))]
        rows = [[e.name, f"**{e.verdict}**" if e.verdict == "failed" else e.verdict, f"{e.seconds:.1f}", len(e.checks(True)),
                 len(e.checks(False)), e.reason, "; ".join(e.notes())] for e in self.entries]
        parts += ["## Stages", _table(["stage", "verdict", "seconds", "checks held", "checks failed", "why", "fell back"], rows)]
        bad = [[e.name, text] for e in self.entries
               for text in e.problems + [f"{f.get('name')}: {f.get('detail')}" for f in e.checks(False)]]
        if bad:
            parts += ["## What failed", _table(["stage", "what"], bad)]
        if content["not_run"]:
            parts += ["## Not run", _table(["what", "why"], content["not_run"])]
        parts += self._timing() + self._profile()
        commands = [[e.name, f"`{command}`"] for e in self.entries for command in e.commands]
        parts += ["## Commands", _table(["stage", "command"], commands)]
        return "\n\n".join(parts) + "\n"

    def _timing(self):
        rows = self.findings("timing", "rival")
        if not rows:
            return []
        copies = ", ".join(_number(f.get("gb_per_s")) for f in self.findings("copy"))
        return ["## Timing", "Median microseconds of a step, from replays of a graph (eager: launched one by one). Bytes are "
                "what the kernels read and write of each parameter on the path that ran; the floor is every array once. The copy "
                f"is the runtime's device-to-device copy, bytes read and written, in the same run: {copies} GB/s. one/two: the "
                "time of one pass over that of two, in turn on the same buffers. The model is bench/cost's, at that copy's rate.",
                _rows_table(TIMING, rows)]

    def _profile(self):
        rows = self.findings("profiled")
        if not any("dram_bytes" in row for row in rows):
            return []
        return ["## Memory traffic", "Bytes a parameter that the memory's own counters saw, beside the model of bench/cost.",
                _rows_table(PROFILE, rows)]


def _fact_rows(facts):
    return [[key.replace("_", " "), "<br>".join(str(value).strip().splitlines())] for key, value in facts.items()]


def _number(value):
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"


def _rows_table(columns, rows):
    return _table([heading for _, heading in columns], [[_number(row.get(key, "")) for key, _ in columns] for row in rows])


def _table(headings, rows):
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(re.sub(r"[\s|]+", " ", str(cell)) for cell in row) + " |" for row in lines)


def _commit(root):
    """Of the tree that ran, marked where files were changed; empty outside a checkout."""
    try:
        asked = subprocess.run(["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
                               capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""


def _replace(path, text):
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    os.replace(new, path)
