"""What was found: the stages' verdicts, and one JSON and one Markdown file that are complete at every moment."""

import datetime
import json
import os
import re
import subprocess
import time
from collections import Counter

from tables import by_reason, markdown

EVIDENCE = ("timing", "rival", "kernel")  # and a check that held
MOST_NOTES = 4  # of a stage; its rows have all of them


class Entry:
    """One stage."""

    def __init__(self, name):
        self.name, self.verdict, self.reason, self.seconds = name, "not run", "not finished", 0.0
        self.commands, self.findings, self.problems = [], [], []
        self._begin = time.monotonic()

    def checks(self, good):
        return [f for f in self.findings if f["kind"] == "check" and bool(f.get("ok")) == good]

    def left_out(self):
        return [f for f in self.findings if f["kind"] == "not_run"]

    def saw_anything(self):
        return bool(self.checks(True)) or any(f["kind"] in EVIDENCE for f in self.findings)

    def bad(self):
        return self.problems + [f"{f.get('name')}: {f.get('detail')}" for f in self.checks(False)]

    def conclude(self, reason):
        """Failed beats not run beats passed: nothing is called passed of which nothing was seen."""
        if self.problems or self.checks(False):
            self.finish("failed", reason)
        elif reason or (self.left_out() and not self.saw_anything()):
            self.finish("not run", reason or str(self.left_out()[0].get("reason")))
        else:
            self.finish("passed", "")

    def finish(self, verdict, reason=""):
        self.verdict, self.reason, self.seconds = verdict, reason, time.monotonic() - self._begin

    def notes(self):
        """What did not run as it was asked to, such as a one-pass step that fell back, and how often."""
        counted = Counter(str(f["note"]) for f in self.findings if f.get("note"))
        more = [f"{len(counted) - MOST_NOTES} other notes"] if len(counted) > MOST_NOTES else []
        return [f"{count} x {note}" for note, count in counted.most_common(MOST_NOTES)] + more

    def line(self):
        held = f"{len(self.checks(True))} checks held"
        text = "; ".join([f"{self.name:<12} {self.verdict:<8} {self.seconds:6.1f} s   {held}", *self.notes()])
        return "\n    ".join([text + (f"; {self.reason}" if self.reason else ""), *self.bad()])

    def as_json(self):
        return {"stage": self.name, "verdict": self.verdict, "reason": self.reason, "seconds": round(self.seconds, 1),
                "problems": self.problems, "commands": self.commands, "findings": self.findings}


class Results:
    def __init__(self, commit, folder, planned):
        self.commit, self.folder, self.interrupted = commit, folder, False
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

    def of_stages(self, begin, *kinds):
        """Those of the stages whose names begin so."""
        of = [entry for entry in self.entries if entry.name.startswith(begin)]
        return [f for entry in of for f in entry.findings if f["kind"] in kinds]

    def write(self):
        """Both files. Their name is settled once the device is known."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.path and any(entry.name == "facts" and entry.seconds for entry in self.entries):
            self.path = self._free_path()
        if not self.path:
            return
        content = {"date": self.date, "commit": self.commit, "facts": self.facts(), "interrupted": self.interrupted,
                   "not_run": self.unfinished(), "stages": [entry.as_json() for entry in self.entries]}
        _replace({self.path.with_suffix(".json"): json.dumps(content, indent=1) + "\n",
                  self.path.with_suffix(".md"): markdown(self, content)})

    def _free_path(self):
        device = re.sub(r"[^a-z0-9]+", "-", str(self.facts().get("device", "no device")).lower()).strip("-")
        number, name = 1, f"{self.date}-{device}"
        while (self.folder / f"{name}.json").exists() or (self.folder / f"{name}.md").exists():
            number += 1
            name = f"{self.date}-{device}-{number}"
        return self.folder / name  # has no dot that with_suffix could take for a suffix

    def summary(self):
        lines = [f"not run: {what}: {why}" for what, why in by_reason(self.unfinished())]
        lines += [f"failed: {entry.name}" for entry in self.failed()]
        if self.path:
            lines.append(f"results: {os.path.relpath(self.path)}.json and .md")
        return "\n".join(lines)


def commit_of(root):
    """Of the tree that ran, marked where files were changed; empty outside a checkout."""
    try:
        asked = subprocess.run(["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
                               capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""


def _replace(texts):
    """Whole files at every moment: they are written beside the old ones, then take their places."""
    for path, text in texts.items():
        path.with_name(path.name + ".new").write_text(text)
    for path in texts:
        os.replace(path.with_name(path.name + ".new"), path)
