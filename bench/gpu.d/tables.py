"""The results as Markdown."""

import re

ROW = (("op", "op"), ("model", "model"), ("case", "case"), ("dtypes", "dtypes w/g/m"), ("ran", "ran in"))
TIMING = (*ROW, ("us", "us"), ("us_eager", "us eager"), ("us_host", "us host"), ("one_over_two", "one/two"),
          ("bytes_per_parameter", "bytes/param"), ("gb_per_s", "GB/s"), ("share_of_copy", "x copy"),
          ("floor_bytes_per_parameter", "floor bytes"), ("floor_share_of_copy", "x copy at the floor"),
          ("auto", "a plan chooses"), ("note", "note"))
OTHERS = (*ROW, ("us", "us"), ("us_eager", "us eager"), ("us_host", "us host"),
          ("over_layerwise", "over layerwise"), ("bytes_per_parameter", "bytes/param"), ("gb_per_s", "GB/s"),
          ("floor_bytes_per_parameter", "floor bytes"), ("floor_share_of_copy", "x copy at the floor"),
          ("note", "note"))
PREDICTED = (*ROW, ("us_model", "us, model"), ("us", "us, seen"), ("seen_over_model", "seen/model"),
             ("model_bytes_from_memory", "from memory, model"), ("dram_bytes", "from memory, seen"))
PROFILE = (*ROW, ("dram_bytes_read", "read"), ("dram_bytes_written", "written"), ("dram_bytes", "both"),
           ("model_bytes_from_memory", "both, model"), ("model_bytes_asked", "asked for, model"), ("note", "note"))
KERNELS = (*ROW, ("kernel", "kernel"), ("launches", "launches"), ("us", "us"),
           ("bytes_per_parameter", "bytes/param from memory"), ("bytes_asked", "asked for"), ("gb_per_s", "GB/s"),
           ("dram_percent_of_peak", "memory, % of peak"), ("l2_hit_percent", "L2 hits, %"),
           ("stalled_barrier", "barrier"), ("stalled_fence", "fence"),
           ("stalled_memory", "memory"), ("occupancy_percent", "warps, % of most"), ("note", "note"))


def markdown(results, content):
    device = content["facts"].get("device", "no device")
    parts = [f"# {device}, {content['date']}",
             "Written by `bench/gpu`" + (f" at commit {content['commit']}" if content["commit"] else "") +
             (". Interrupted." if content["interrupted"] else ".")]
    parts += _section("Missing here", "", ["what", "why"],
                      [[f["name"], f["reason"]] for f in results.findings("missing")])
    parts += _section("Device", "", ["fact", "value"], _fact_rows(content["facts"]))
    parts += _stages(results.entries)
    parts += _section("Not run", "", ["what", "why"], by_reason(content["not_run"], "<br>"))
    parts += _timing(results) + _profile(results) + _others(results)
    commands = [[e.name, f"`{command}`"] for e in results.entries for command in e.commands]
    return "\n\n".join(parts + ["## Commands", _table(["stage", "command"], commands)]) + "\n"


def _stages(entries):
    rows = [[e.name, f"**{e.verdict}**" if e.verdict == "failed" else e.verdict, f"{e.seconds:.1f}",
             len(e.checks(True)), len(e.checks(False)), e.reason, "; ".join(e.notes())] for e in entries]
    bad = [[e.name, text] for e in entries for text in e.bad()]
    return ["## Stages", _table(["stage", "verdict", "seconds", "checks held", "checks failed", "why", "notes"], rows),
            *_section("What failed", "", ["stage", "what"], bad)]


def _timing(results):
    rows = results.of_stages("timing", "timing")
    rates = sorted(f["gb_per_s"] for f in results.of_stages("timing", "copy") if _positive(f.get("gb_per_s")))
    copies = " to ".join(dict.fromkeys(_number(rate) for rate in rates[:1] + rates[-1:]))
    words = ("Median microseconds of a step, from replays of a graph; eager: launched one by one; host: what launching "
             "one takes the CPU. Bytes are what the kernels read and write of each parameter on the path that ran; the "
             "floor is every array once. The copy is the runtime's device-to-device copy, bytes read and written: "
             f"{copies} GB/s. one/two: the time of one pass over that of two, in turn on the same buffers.")
    return _rows("Timing", words, TIMING, rows) + _predicted(results, rows)


def _predicted(results, rows):
    seen = {_key(row): row["dram_bytes"] for row in results.findings("profiled") if "dram_bytes" in row}
    pairs = [{**row, "seen_over_model": row["us"] / row["us_model"], "dram_bytes": seen.get(_key(row), "")}
             for row in rows if _positive(row.get("us")) and _positive(row.get("us_model"))]
    return _rows("Predicted and seen", "What `bench/cost` predicts for this device at the copy's rate of this run, and "
                 "what was seen: microseconds of a step, bytes a parameter from memory.", PREDICTED, pairs)


def _key(row):
    return tuple(str(row.get(key, "")) for key, _ in ROW)


def _profile(results):
    rows = [row for row in results.findings("profiled") if "dram_bytes" in row]
    traffic = "Bytes a parameter that the memory's own counters saw, beside the model of `bench/cost`."
    kernels = ("Medians of a kernel's launches, by the profiler. barrier, fence, memory: how many warps, on average, "
               "waited for it when a warp issued an instruction.")
    return _rows("Memory traffic", traffic, PROFILE, rows) + \
        _rows("Kernels", kernels, KERNELS, results.findings("kernel"))


def _others(results):
    python = "The same steps through the Python packages. host: microseconds of the CPU a step."
    rivals = ("What else there is for the same work, beside the Python packages in the same process. Bytes are each "
              "one's own; the floor is every array once. over layerwise: the time over that of this library's step, in "
              "turn on the same buffers.")
    return _rows("Python packages", python, OTHERS, results.of_stages("python", "timing")) + \
        _rows("Rivals", rivals, OTHERS, results.of_stages("rivals", "rival", "timing"))


def _fact_rows(facts):
    return [[key.replace("_", " "), "<br>".join(str(value).strip().splitlines())] for key, value in facts.items()]


def _positive(value):
    return isinstance(value, (int, float)) and value > 0


def _number(value):
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"


def _rows(title, words, columns, rows):
    """A table of findings, without the columns that no row has."""
    used = [(key, heading) for key, heading in columns if any(row.get(key) not in (None, "") for row in rows)]
    return _section(title, words, [heading for _, heading in used],
                    [[_number("" if row.get(key) is None else row[key]) for key, _ in used] for row in rows])


def by_reason(rows, between="; "):
    """What has the same reason, together."""
    reasons = {}
    for what, why in rows:
        reasons.setdefault(str(why), []).append(str(what))
    return [[between.join(names), why] for why, names in reasons.items()]


def _section(title, words, headings, rows):
    return [f"## {title}", *([words] if words else []), _table(headings, rows)] if rows else []


def _table(headings, rows):
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(re.sub(r"[\s|]+", " ", str(cell)) for cell in row) + " |" for row in lines)
