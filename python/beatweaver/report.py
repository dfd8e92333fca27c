"""How the documents of `maps` look to a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from beatweaver.console import Output
    from beatweaver.maps import Checked, Converted, Finding, Inspected, Level, Oddity, Region, Severity

__all__ = [
    "checked",
    "converted",
    "demo",
    "evaluated",
    "generated",
    "inspected",
    "lit",
    "processed",
    "timed",
    "trained",
]

# The mod that makes a level of this category.
MODS = {
    "chroma": "Chroma",
    "mapping-extensions": "Mapping Extensions",
    "noodle": "Noodle Extensions",
    "vivify": "Vivify",
}
# How each severity is called, and its colour.
SEVERITIES: dict[Severity, tuple[str, str]] = {
    "error": ("error", "bold red"),
    "rank": ("obstacle to ranking", "bold magenta"),
    "warning": ("warning", "bold yellow"),
    "info": ("remark", "bold blue"),
}
MESSAGES_SHOWN = 3
"""Different messages of one rule in one level before the rest is only counted."""
PLACES_SHOWN = 4
"""Places of one message before the rest is only counted."""
LABEL_SHOWN = 30
"""Characters of a difficulty's label, as many as a ranked level may have."""
TEMPOS_SHOWN = 4
"""Tempo changes that are listed one by one."""

SURE = (0.9, 0.6)
"""Confidence from which a grid is called sure, and fairly sure."""

T = TypeVar("T")


def inspected(output: Output, document: Inspected) -> None:
    """Show what `maps.inspect` found."""
    title = " - ".join(filter(None, (_line(document["title"]), _line(document["subtitle"]))))
    output.line(title or "(no title)", style="bold")
    people = [f"by {_line(document['artist'])}"] if _line(document["artist"]) else []
    people += [f"mapped by {_line(document['mapper'])}"] if _line(document["mapper"]) else []
    if people:
        output.line(", ".join(people))
    output.line()
    levels = document["difficulties"]
    versions = sorted({level["version"] for level in levels})
    for name, value in (
        ("tempo", _tempo(document["bpm"], document["tempo"])),
        ("audio", _audio(document)),
        ("format", f"Info {document['info_version']}" + (f", levels {', '.join(versions)}" if versions else "")),
        ("mods", _mods(document)),
        ("hash", document["hash"]),
    ):
        output.line(f"{name:<7} {value}")
    if levels:
        output.line()
        _levels(output, levels)
    if document["failed"]:
        output.line()
        output.line("levels that could not be read", style="bold red")
        for failed in document["failed"]:
            output.line(f"{_level(failed['characteristic'], failed['difficulty'])}: {failed['message']}", indent=2)
    warnings = document["warnings"] + [warning for level in levels for warning in level["warnings"]]
    if warnings:
        output.line()
        output.line("read all the same, though odd", style="bold yellow")
        _oddities(output, warnings)


def checked(output: Output, document: Checked) -> None:
    """Show what `maps.check` found."""
    cut = False
    for severity, (called, style) in SEVERITIES.items():
        found = [finding for finding in document["findings"] if finding["severity"] == severity]
        # Stable: levels and rules keep the order in which they were looked at.
        for level, group in _grouped(found, lambda f: _level(f["characteristic"], f["difficulty"])):
            output.line(f"{called}: {level}", style=style)
            for rule, findings in _grouped(group, lambda f: f["rule"]):
                cut |= _rule(output, rule, findings)
            output.line()
    counts = document["counts"]
    told = ", ".join(
        _plural(counts[severity], called) for severity, (called, _) in SEVERITIES.items() if counts[severity]
    )
    if cut:
        output.line("Not everything is shown: --json lists it all.")
    if document["refused"]:
        output.line(f"{told}. BeatSaver would refuse it.", style="bold red")
    elif not document["ok"]:
        output.line(f"{told}. BeatSaver would take it, but it does not play as it should.", style="bold red")
    else:
        output.line(f"{told or 'no findings'}. Nothing that BeatSaver would refuse.", style="bold green")


def converted(output: Output, document: Converted) -> None:
    """Show what `maps.convert` wrote and lost."""
    output.line(f"wrote {document['out']} in version {document['version']}")
    if not document["lost"]:
        output.line("nothing was lost")
        return
    output.line()
    rows = []
    for lost in document["lost"]:
        characteristic, _, difficulty = lost["difficulty"].partition(" ")
        rows.append((_level(characteristic, difficulty), lost["count"], lost["what"]))
    output.table(["lost in", "count", "what the new version cannot say"], rows)


def processed(output: Output, summary: Mapping[str, Any]) -> None:
    """Show what `process.process` did."""
    maps = summary["maps"]
    earlier = f", {maps['skipped']} of them in an earlier run" if maps["skipped"] else ""
    output.line(f"{maps['ok']} of {maps['found']} maps read, {maps['failed']} with faults{earlier}")
    output.line(
        f"{_plural(summary['difficulties'], 'level')}, {_plural(summary['notes'], 'note')}, "
        f"{_plural(summary['tokens'], 'token')} in {summary['seconds']:.1f} s -> {summary['out']}"
    )
    if summary["songs"]:
        output.line(f"{_plural(summary['songs'], 'song')} heard, {summary['audio_s'] / 3600:.1f} h")
    if summary["filtered"]:
        output.table(("left out because of", "levels"), list(summary["filtered"].items()))
    if summary["out_of_vocabulary"]:
        output.table(("not said by the tokens, or not exactly", "count"), list(summary["out_of_vocabulary"].items()))
    if summary["failed"]:
        rows = [(fault["path"], _line(fault["message"])) for fault in summary["failed"]]
        output.table(("could not be read", "why"), rows)


def timed(output: Output, document: Mapping[str, Any]) -> None:
    """Show what `timing.analyse` found."""
    sure = document["confidence"]
    word = "sure" if sure > SURE[0] else "fairly sure" if sure > SURE[1] else "not sure: listen before you trust it"
    output.line(f"{document['bpm']:g} BPM, first beat at {document['offset_s']:.3f} s, {document['metre']} beats a bar")
    output.line(f"confidence {sure:.2f} ({word})")
    if len(document["regions"]) > 1:
        rows = [(_clock(r["time_s"], digits=2), round(r["beat"], 2), round(r["bpm"], 2)) for r in document["regions"]]
        output.table(("from", "beat", "BPM"), rows, title="Tempo changes")
    others = [c for c in document["candidates"] if abs(c["bpm"] - document["bpm"]) > 0.01 * document["bpm"]][:3]
    if others:
        output.line("could also be " + ", ".join(f"{c['bpm']:.2f} ({c['score']:.2f})" for c in others))


def _levels(output: Output, levels: Sequence[Level]) -> None:
    """The table of levels, without the columns that nothing is in."""
    rows = []
    for level in levels:
        label = _line(level["label"] or "")
        if len(label) > LABEL_SHOWN:
            label = label[: LABEL_SHOWN - 1] + "…"
        rows.append(
            {
                "level": _level(level["characteristic"], level["difficulty"]) + (f' "{label}"' if label else ""),
                "notes": level["notes"],
                "nps": f"{level['nps']:.2f}",
                "njs": f"{level['njs']:g}",
                "bombs": level["bombs"],
                "walls": level["walls"],
                "arcs": level["arcs"],
                "chains": level["chains"],
                "lights": level["events"],
                "first": _clock(level["first_note_s"]),
                "last": _clock(level["last_note_s"]),
            }
        )
    optional = ("bombs", "walls", "arcs", "chains")
    columns = [name for name in rows[0] if name not in optional or any(row[name] for row in rows)]
    output.table(columns, [[row[name] for name in columns] for row in rows], right=("nps", "njs", "first", "last"))


def _tempo(bpm: float, regions: Sequence[Region]) -> str:
    tempos = [region["bpm"] for region in regions]
    if len(regions) == 1:
        return f"{tempos[0]:.6g} BPM"
    changes = _plural(len(regions) - 1, "change")
    if len(regions) > TEMPOS_SHOWN:
        return f"{bpm:.6g} BPM, {changes} between {min(tempos):.6g} and {max(tempos):.6g}"
    listed = ", ".join(f"{region['bpm']:.6g} from {_clock(region['time_s'])}" for region in regions[1:])
    return f"{tempos[0]:.6g} BPM, {listed}"


def _audio(document: Inspected) -> str:
    audio = document["audio"]
    if not audio["file"]:
        return "none named"
    length = None if audio["seconds"] is None else _clock(audio["seconds"])
    if not audio["present"]:
        return f"{audio['file']}, which is not there" + (f" ({length} according to the Info)" if length else "")
    return f"{audio['file']}, {length or 'length unknown'}"


def _mods(document: Inspected) -> str:
    category, mods = document["category"], document["mods"]
    parts = [
        f"{verb} {', '.join(map(_line, names))}"
        for verb, names in (("requires", mods["required"]), ("suggests", mods["suggested"]))
        if names
    ]
    needed = MODS.get(category)
    if needed and needed not in mods["required"] + mods["suggested"]:
        parts.append(f"has objects for {needed} without saying so")
    return f"{category}: {'; '.join(parts)}" if parts else "none"


def _oddities(output: Output, warnings: Sequence[Oddity]) -> None:
    for rule, group in _grouped(warnings, lambda warning: warning["rule"]):
        output.line(f"{rule}: {group[0]['message']}", indent=2)
        places = []
        for file, seen in _grouped(group, lambda warning: warning["file"]):
            count = sum(warning["count"] for warning in seen)
            where = f" {seen[0]['where']}" if seen[0]["where"] else ""
            places.append(f"{file}{where}" + (f" and {_plural(count - 1, 'place')} more" if count > 1 else ""))
        output.line("; ".join(_some(places, PLACES_SHOWN)), indent=6)


def _rule(output: Output, rule: str, findings: Sequence[Finding]) -> bool:
    """Show what one rule found in one level; whether something had to be left out."""
    count = sum(finding["count"] for finding in findings)
    output.line(rule + (f" ({count})" if count > 1 else ""), indent=2)
    messages = _grouped(findings, lambda finding: finding["message"])
    shown = 0
    cut = False
    for message, group in messages[:MESSAGES_SHOWN]:
        output.line(message, indent=4)
        for file, seen in _grouped(group, lambda finding: finding["file"]):
            # Objects of one beat are one place to look at.
            places = list(dict.fromkeys(filter(None, map(_place, seen))))
            some = _some(places, PLACES_SHOWN)
            cut |= len(some) < len(places)
            output.line(": ".join(filter(None, (file, ", ".join(some)))), indent=6, style="dim")
        shown += len(group)
    if count > shown:
        output.line(f"and {count - shown} more like it", indent=4)
    return cut or count > shown


def _place(finding: Finding) -> str:
    """Where a mapper finds it in an editor, else where it stands in the file."""
    if finding["beat"] is None:
        return finding["where"]
    # The object in words, where it is not a pointer into the file.
    words = [] if finding["where"].startswith("/") else [finding["where"]]
    if finding["time_s"] is not None:
        words.insert(0, _clock(finding["time_s"], digits=2) or "")
    told = "; ".join(filter(None, words))
    return f"beat {finding['beat']:.7g}" + (f" ({told})" if told else "")


def _some(items: Sequence[str], shown: int) -> list[str]:
    # Never "and 1 more": that one takes no more room than the words.
    if len(items) <= shown + 1:
        return list(items)
    return [*items[:shown], f"and {len(items) - shown} more"]


def _grouped(items: Sequence[T], key: Callable[[T], str]) -> list[tuple[str, list[T]]]:
    """Items by key, groups and items in the order in which they first come."""
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.items())


def _level(characteristic: str | None, difficulty: str | None) -> str:
    """`Expert+`, `OneSaber Expert+`, or `the song` for what concerns no level."""
    if not characteristic and not difficulty:
        return "the song"
    name = _line(difficulty or "").replace("ExpertPlus", "Expert+")
    return " ".join(filter(None, ("" if characteristic == "Standard" else _line(characteristic or ""), name)))


def _clock(seconds: float | None, *, digits: int = 0) -> str | None:
    """`3:07`, with `digits` decimals of the second."""
    if seconds is None:
        return None
    whole = round(abs(seconds) * 10**digits)
    minutes, rest = divmod(whole, 60 * 10**digits)
    return (
        f"{'-' if seconds < 0 and whole else ''}{minutes}:{rest / 10**digits:0{3 + digits if digits else 2}.{digits}f}"
    )


def _plural(count: int, what: str) -> str:
    noun, _, rest = what.partition(" ")
    return " ".join(filter(None, (str(count), noun if count == 1 else f"{noun}s", rest)))


def _line(text: str) -> str:
    """Text from a map as it stands in a line."""
    return " ".join(text.split())


def generated(output: Output, document: Mapping[str, Any]) -> None:
    """Show what `generate` made: asked and got, level by level."""
    for result in document["results"]:
        output.line()
        output.line(_line(Path(result["song"]).name), style="bold")
        if result["error"]:
            output.line(f"  failed: {result['error']['message']}", style="bold red")
            continue
        timing = result["timing"]
        confidence = timing["confidence"]
        sure = "sure" if confidence >= SURE[0] else "fairly sure" if confidence >= SURE[1] else "not sure"
        output.line(f"  {timing['bpm']:g} BPM ({sure}), {sum(result['seconds'].values()):.1f} s of work")
        if confidence < SURE[1]:
            output.line("  if the notes miss the beat, say the tempo with --bpm; `beatweaver timing` shows the choices")
        rows = [
            (
                row["difficulty"].replace("Plus", "+"),
                f"{row['notes']}",
                f"{row['nps']:.2f}",
                f"{row['nps_target']:.2f}",
                f"{row['bombs']}",
                f"{row['walls']}",
                f"{row['arcs'] + row['chains']}",
                f"{row['light_events']}",
                f"{row['parity_errors']}",
                f"{row['warnings']}",
            )
            for row in result["difficulties"]
        ]
        head = ("level", "notes", "nps", "asked", "bombs", "walls", "arcs", "lights", "parity", "warnings")
        output.table(head, rows)
        for finding in result["findings"][:MESSAGES_SHOWN]:
            output.line(f"  error in {finding['difficulty']}: {finding['message']}", style="bold red")
        output.line(f"  {result['zip']}")


def demo(output: Output, document: Mapping[str, Any]) -> None:
    """Show what `demo` made, and how to look at it."""
    generated(output, document)
    zips = [result["zip"] for result in document["results"] if result["zip"]]
    if zips:
        output.line()
        output.line("Play it: unpack the zip into the game's CustomLevels folder.")
        output.line("Look at it without the game: drop the zip onto https://allpoland.github.io/ArcViewer")


def training(output: Output, line: Mapping[str, Any]) -> None:
    """Show a line of a run's log."""
    seen = {name.removeprefix("val_"): value for name, value in line.items() if name.startswith("val_")}
    if seen:
        what = "  ".join(f"{name} {seen[name]:.3f}" for name in ("generated", "f1", "rhythm", "notes") if name in seen)
        output.event(line, f"step {line['step']}: on validation songs {what}")
        return
    if "taken" in line:
        output.event(line, f"begins with the weights of another checkpoint: {line['taken']}")
        return
    minutes = line["elapsed_s"] / 60.0
    losses = "  ".join(f"{name} {line[name]:.3f}" for name in ("loss", "rhythm", "notes") if name in line)
    speed = f"{line['notes_per_s']:.0f} notes/s, waited {line['wait_s']:.1f} s for data"
    output.event(line, f"step {line['step']} (epoch {line['epoch']:.1f}, {minutes:.1f} min): {losses}; {speed}")


def trained(output: Output, document: Mapping[str, Any]) -> None:
    """Show what `train` learnt."""
    best = document["best"]
    output.line(
        f"best {best['metric']} {best['value']:,.3f} at step {best['step']}, {document['seconds']:.1f} s in all"
    )
    output.line(document["weights"])


def lit(output: Output, document: Mapping[str, Any]) -> None:
    """Show which difficulties `light` lit."""
    for row in document["difficulties"]:
        name = row["difficulty"].replace("Plus", "+")
        output.line(f"{_mode(row['characteristic'])}{name}: {row['light_events']} light events")
    if not document["difficulties"]:
        output.line("every difficulty has lights already; the level was copied as it is")
    for warning in document["warnings"]:
        output.line(f"warning: {warning}")
    output.line(document["out"])


def _mode(characteristic: str) -> str:
    return "" if characteristic == "Standard" else f"{characteristic} "


def evaluated(output: Output, document: Mapping[str, Any]) -> None:
    """Show what `evaluate` measured: every metric beside the human range and the floor."""
    from beatweaver.measures import METRICS

    output.line(
        f"split {document['split']}, engine {document['engine']}: {_plural(document['songs'], 'song')}, "
        f"{_plural(document['levels'], 'level')}, {document['seconds']:.0f} s"
    )
    for reason, count in document["skipped"].items():
        output.line(f"left out: {_plural(count, 'level')} {reason}", style="dim")
    before = document.get("previous")
    if before:
        output.line(f"change: since the run of {before['date']}, commit {before['commit']}")
    metrics = document["metrics"]
    rows = []
    group = ""
    for name, metric in METRICS.items():
        one, other = metrics[name], metrics[f"{name}_true_grid"]
        if metric.group != group:
            group = metric.group
            rows.append((group.upper(),) + ("",) * (7 if before else 6))
        human = one["human"] or {}
        row = (
            "  " + name + (f" ({metric.unit})" if metric.unit else ""),
            _number(one["value"]),
            f"{_number(one['low'])} to {_number(one['high'])}" if one["low"] is not None else "",
            _number(other["value"]),
            " / ".join(_number(human[q]) for q in ("q25", "q50", "q75")) if human else "",
            _number(one["floor"]),
            _number(other["floor"]),
        )
        rows.append((*row, _number(one.get("change"), sign=True)) if before else row)
    head = ["metric", "estimated grid", "95 %", "true grid", "human quartiles", "floor", "floor, true grid"]
    head += ["change"] if before else []
    output.table(head, rows, right=head[1:])
    output.line()
    floors = [(name.replace("_", " "), *map(_number, of.values())) for name, of in document["baselines"].items()]
    output.table(("floor", "F1 20 ms", "F1 50 ms"), floors, right=("F1 20 ms", "F1 50 ms"))
    output.line()
    told = [
        (row["rule"], row["severity"], *(f"{row[who]:.2f}" for who in ("estimated", "true", "human")))
        for row in document["rules"]
    ]
    head = ["findings per 1,000 notes", "severity", "estimated grid", "true grid", "human"]
    output.table(head, told, right=head[2:])
    output.line()
    levels = [
        (
            f"{_line(row['title'])}, {_level('Standard', row['difficulty'])}",
            f"{row['bpm']:g}",
            f"{row['bpm_estimated']:.2f}",
            f"{row['phase_error_ms']:.0f}",
            *(_number(row["metrics"][grid]["onset_f1_50"]) for grid in ("estimated", "true")),
            *(f"{row['metrics']['true'][name]:.2f}" for name in ("nps_asked", "nps")),
        )
        for row in document["per_song"]
    ]
    head = ["level", "BPM", "estimated", "phase (ms)", "F1 50 ms", "on true grid", "notes/s asked", "got"]
    output.table(head, levels, right=head[1:])


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return ""
    return f"{value:{'+' if sign else ''}.{3 if abs(value) < 10 else 1}f}"
