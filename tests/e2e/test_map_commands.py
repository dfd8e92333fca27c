"""`inspect`, `check` and `convert` as people and scripts meet them: documents, words, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import packs
import pytest
from click.testing import CliRunner, Result

from beatweaver import _native, maps
from beatweaver.cli import main
from beatweaver.errors import ConfigError

NUMBER = (int, float)
TEXT = str
MAYBE = (int, float, type(None))
ODDITY = {"rule": TEXT, "file": TEXT, "where": TEXT, "message": TEXT, "count": int}
# The documents that scripts rely on: a name may be added here, none renamed or taken away.
INSPECTED: dict[str, Any] = {
    "title": TEXT,
    "subtitle": TEXT,
    "artist": TEXT,
    "mapper": TEXT,
    "bpm": NUMBER,
    "info_version": TEXT,
    "hash": TEXT,
    "category": TEXT,
    "mods": {"required": [TEXT], "suggested": [TEXT]},
    "tempo": [{"beat": NUMBER, "time_s": NUMBER, "bpm": NUMBER}],
    "audio": {"file": TEXT, "present": bool, "seconds": MAYBE},
    "difficulties": [
        {
            "characteristic": TEXT,
            "difficulty": TEXT,
            "label": (str, type(None)),
            "file": TEXT,
            "version": TEXT,
            "category": TEXT,
            "notes": int,
            "bombs": int,
            "walls": int,
            "arcs": int,
            "chains": int,
            "events": int,
            "nps": NUMBER,
            "njs": NUMBER,
            "first_note_s": MAYBE,
            "last_note_s": MAYBE,
            "warnings": [ODDITY],
        }
    ],
    "failed": [
        {
            "characteristic": TEXT,
            "difficulty": TEXT,
            "file": TEXT,
            "type": TEXT,
            "message": TEXT,
            "where": (str, type(None)),
            "hint": (str, type(None)),
        }
    ],
    "warnings": [ODDITY],
}
CHECKED: dict[str, Any] = {
    "ok": bool,
    "refused": bool,
    "preset": TEXT,
    "counts": {"error": int, "rank": int, "warning": int, "info": int},
    "findings": [
        {
            "rule": TEXT,
            "severity": TEXT,
            "characteristic": (str, type(None)),
            "difficulty": (str, type(None)),
            "file": TEXT,
            "where": TEXT,
            "beat": MAYBE,
            "time_s": MAYBE,
            "message": TEXT,
            "count": int,
        }
    ],
}
CONVERTED: dict[str, Any] = {
    "out": TEXT,
    "version": int,
    "lost": [{"difficulty": TEXT, "what": TEXT, "count": int, "whole": bool}],
}


def conforms(document: Any, shape: Any, at: str = "") -> None:
    if isinstance(shape, dict):
        assert set(document) == set(shape), at
        for key, inner in shape.items():
            conforms(document[key], inner, f"{at}/{key}")
    elif isinstance(shape, list):
        assert isinstance(document, list), at
        for index, item in enumerate(document):
            conforms(item, shape[0], f"{at}/{index}")
    else:
        assert isinstance(document, shape), f"{at} is {document!r}"


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], env={"COLUMNS": "100"})


def document(result: Result, shape: dict[str, Any]) -> Any:
    """The document, which is all there is on standard output."""
    assert result.stderr == ""
    read = json.loads(result.stdout)
    conforms(read, shape)
    return read


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return packs.save(tmp_path / "good.zip", packs.level("Easy"), packs.level("Hard", "OneSaber"))


@pytest.fixture
def modded(tmp_path: Path) -> Path:
    """Two levels, the second of which is not there; oddities; things that only version 3 can say."""
    hard = packs.entry("Hard", 5, _customData={"_difficultyLabel": "Mine", "_suggestions": ["Chroma"]})
    gone = packs.entry("Expert", 7, _customData={"_requirements": ["Noodle Extensions"]})
    sets = [{"_beatmapCharacteristicName": "Standard", "_difficultyBeatmaps": [hard, gone]}]
    level = {
        "version": "3.3.0",
        "bpmEvents": [{"b": 8, "m": 60}],
        "colorNotes": [{"b": 4, "x": 1, "a": 15}, {"b": 8, "x": "2", "c": 1}],
        "burstSliders": [{"b": 9, "tb": 10, "sc": 3, "s": 1}],
    }
    return packs.raw(tmp_path / "modded", {"Hard.dat": level}, _difficultyBeatmapSets=sets, _songSubName="[b]Sub")


# -------------------------------------------------------------------------------------------------------------- inspect


def test_inspect_gives_the_document(good: Path, modded: Path) -> None:
    result = run("inspect", good, "--json")
    read = document(result, INSPECTED)
    assert result.exit_code == 0
    assert read == maps.inspect(good)
    assert (read["title"], read["artist"], read["mapper"], read["bpm"]) == ("Example", "Nobody", "Tests", 120)
    assert read["tempo"] == [{"beat": 0, "time_s": 0, "bpm": 120}]
    assert [level["characteristic"] for level in read["difficulties"]] == ["Standard", "OneSaber"]
    assert (read["difficulties"][0]["first_note_s"], read["difficulties"][0]["last_note_s"]) == (2, 5.5)
    assert (read["category"], read["failed"], read["warnings"]) == ("vanilla", [], [])

    result = run("inspect", modded, "--json")
    read = document(result, INSPECTED)
    assert result.exit_code == 1
    assert read["category"] == "noodle"
    assert read["mods"] == {"required": ["Noodle Extensions"], "suggested": ["Chroma"]}
    assert read["tempo"] == [{"beat": 0, "time_s": 0, "bpm": 120}, {"beat": 8, "time_s": 4, "bpm": 60}]
    assert read["audio"]["present"] is True
    assert read["audio"]["seconds"] == pytest.approx(21, abs=0.01)
    [level] = read["difficulties"]
    assert (level["notes"], level["chains"], level["label"]) == (2, 1, "Mine")
    assert [warning["rule"] for warning in level["warnings"]] == ["text-for-number"]
    [failed] = read["failed"]
    assert (failed["difficulty"], failed["type"]) == ("Expert", "MapError")


def test_inspect_shows_it_to_people(good: Path, modded: Path) -> None:
    assert run("inspect", good).stdout == (
        "Example\n"
        "by Nobody, mapped by Tests\n"
        "\n"
        "tempo   120 BPM\n"
        "audio   song.egg, 0:21\n"
        "format  Info 2.1.0, levels 3.3.0\n"
        "mods    none\n"
        f"hash    {maps.inspect(good)['hash']}\n"
        "\n"
        "level          notes   nps  njs  lights  first  last\n"
        "────────────────────────────────────────────────────\n"
        "Easy               8  2.29   14      15   0:02  0:06\n"
        "OneSaber Hard      8  2.29   14      15   0:02  0:06\n"
    )
    shown = run("inspect", modded).stdout
    assert "Raw - [b]Sub\n" in shown
    assert "tempo   120 BPM, 60 from 0:04\n" in shown
    assert "mods    noodle: requires Noodle Extensions; suggests Chroma\n" in shown
    assert 'Hard "Mine"' in shown
    assert "levels that could not be read\n  Expert: Expert.dat: the Info names this file" in shown
    assert "text-for-number: found the text" in shown
    assert "      Hard.dat /colorNotes/1/x\n" in shown


def test_the_same_oddity_in_many_levels_is_one_entry(tmp_path: Path) -> None:
    names = ["Easy", "Normal", "Hard", "Expert", "ExpertPlus"]
    odd = {"_version": "2.6.0", "_notes": [packs.note(4, _type="0")] * 3, "_obstacles": [], "_events": []}
    sets = [
        {
            "_beatmapCharacteristicName": characteristic,
            "_difficultyBeatmaps": [packs.entry(f"{characteristic}{name}", 1) for name in names],
        }
        for characteristic in ("Standard", "OneSaber", "NoArrows", "Lawless")
    ]
    files = {f"{c['_beatmapCharacteristicName']}{name}.dat": odd for c in sets for name in names}
    path = packs.raw(tmp_path / "many", files, _difficultyBeatmapSets=sets)
    assert len(maps.inspect(path)["difficulties"]) == 20
    shown = run("inspect", path).stdout
    assert shown.count("text-for-number") == 1
    assert "StandardEasy.dat /_notes/0/_type and 2 places more; " in shown
    assert "; and 16 more\n" in shown


def test_what_would_steer_the_terminal_is_shown_instead(tmp_path: Path) -> None:
    path = packs.raw(tmp_path / "evil", _songName="a\x1b[31mb\x07\x9b2J", _songAuthorName="two\nlines")
    shown = run("inspect", path).stdout
    assert shown.startswith("a\\x1b[31mb\\x07\\x9b2J\nby two lines, mapped by Tests\n")
    assert maps.inspect(path)["title"] == "a\x1b[31mb\x07\x9b2J"


def test_many_tempo_changes_are_summed_up(tmp_path: Path) -> None:
    level = packs.level(notes={"beat": [1]}, tempo={"beat": range(1, 11), "bpm": range(101, 111)})
    shown = run("inspect", packs.save(tmp_path / "a.zip", level)).stdout
    assert "tempo   120 BPM, 10 changes between 101 and 120\n" in shown


# ---------------------------------------------------------------------------------------------------------------- check


def test_check_finds_nothing_in_a_good_level(good: Path) -> None:
    result = run("check", good, "--json")
    read = document(result, CHECKED)
    counts = {"error": 0, "rank": 0, "warning": 0, "info": 0}
    assert read == {"ok": True, "refused": False, "preset": "default", "counts": counts, "findings": []}
    assert result.exit_code == 0
    people = run("check", good)
    assert (people.exit_code, people.stdout) == (0, "no findings. Nothing that BeatSaver would refuse.\n")


def test_check_groups_by_severity_then_level_then_rule(tmp_path: Path) -> None:
    stacked = [packs.note(beat, _type=color) for beat in (1, 2, 3, 4, 5) for color in (0, 1)]
    level = {"_version": "2.6.0", "_notes": [*stacked, *[packs.note(900)] * 30], "_obstacles": [], "_events": []}
    path = packs.raw(tmp_path / "bad", {"Hard.dat": level}, _previewStartTime=12, _songName=" ")
    result = run("check", path, "--json")
    read = document(result, CHECKED)
    assert result.exit_code == 1
    assert read["ok"] is False
    assert read["counts"] == maps.check(path)["counts"]
    files = maps.check(path, preset=None)
    assert files["counts"]["error"] == 31
    assert {finding["severity"] for finding in files["findings"]} == {"error", "warning", "info"}
    assert read["findings"][: len(files["findings"])] == files["findings"]

    people = run("check", path)
    assert (people.exit_code, people.stderr) == (1, "")
    shown = people.stdout
    heads = [line for line in shown.splitlines() if line and not line.startswith(" ")]
    n = read["counts"]
    told = f"{n['error']} errors, {n['rank']} obstacles to ranking, {n['warning']} warnings, 1 remark"
    ended = f"{told}. BeatSaver would refuse it."
    assert heads == [
        "error: the song",
        "error: Hard",
        "obstacle to ranking: Hard",
        "warning: Hard",
        "remark: the song",
        "Not everything is shown: --json lists it all.",
        ended,
    ]
    assert "  beat-outside-song (30)\n    a note at beat 900 lies outside the song" in shown
    assert "      Hard.dat: beat 900 (7:30.00)\n" in shown
    assert "      Info.dat: /_songName\n" in shown
    assert "    and 10 more like it\n" in shown


def test_advice_alone_is_no_failure(tmp_path: Path) -> None:
    path = packs.raw(tmp_path / "a", _previewStartTime=12)
    assert maps.check(path)["ok"] is True
    people = run("check", path)
    assert people.exit_code == 0
    assert people.stdout.endswith(" 1 remark. Nothing that BeatSaver would refuse.\n")


# ----------------------------------------------------------------------------------------------------------------- play


def stiff(name: str = "Hard", **groups: Any) -> Any:
    """A level whose left hand cuts down again and again."""
    beats = np.arange(4, 36, 2)
    notes = {"beat": beats, "x": np.full(len(beats), 1), "cut": np.ones(len(beats), int)}
    return packs.level(name, notes=notes, **groups)


def test_check_reports_play_by_level_with_time_place_and_advice(tmp_path: Path) -> None:
    path = packs.save(tmp_path / "stiff.zip", stiff())
    read = document(run("check", path, "--json"), CHECKED)
    breaks = [f for f in read["findings"] if f["rule"] == "parity-break"]
    assert [f["beat"] for f in breaks] == list(range(6, 36, 2)), "all of them, none folded"
    assert (breaks[0]["time_s"], breaks[0]["where"], breaks[0]["severity"]) == (3.0, "left", "error")
    assert (read["ok"], read["refused"]) == (False, False)

    people = run("check", path)
    assert people.exit_code == 1
    assert "error: Hard\n  parity-break (15)\n    the left hand cannot swing on" in " ".join(people.stdout.split(" "))
    assert "beat 6 (0:03.00; left), beat 8 (0:04.00; left)" in " ".join(people.stdout.split())
    assert "BeatSaver would take it, but it does not play as it should." in " ".join(people.stdout.split())


def test_a_preset_chooses_the_rules(tmp_path: Path) -> None:
    path = packs.save(tmp_path / "stiff.zip", stiff())
    rules = {
        preset: {f["rule"] for f in document(run("check", path, "--json", "--preset", preset), CHECKED)["findings"]}
        for preset in _native.play_presets()
    }
    assert {preset for preset, found in rules.items() if "parity-break" in found} == {"default", "beginner"}
    refused = run("check", path, "--preset", "nobody")
    assert (refused.exit_code, refused.stdout) == (2, "")
    with pytest.raises(ConfigError, match="expected one of default, beginner"):
        maps.check(path, preset="nobody")  # type: ignore[arg-type]


def test_steps_between_levels_are_judged(tmp_path: Path) -> None:
    hard = packs.level("Hard", notes={"beat": np.arange(4, 36, 0.25), "color": [0, 1] * 64, "x": [1, 2] * 64})
    path = packs.save(tmp_path / "steep.zip", packs.level("Easy"), hard)
    found = [f for f in maps.check(path)["findings"] if f["rule"] == "progression"]
    assert [f["difficulty"] for f in found] == ["Easy"]
    assert not [f for f in maps.check(path, preset="beginner")["findings"] if f["rule"] == "progression"]


def test_what_a_mod_moves_is_not_judged(modded: Path) -> None:
    level = {"_version": "2.6.0", "_notes": [packs.note(4), packs.note(5)], "_obstacles": [], "_events": []}
    needs = packs.entry("Hard", 5, _customData={"_requirements": ["Noodle Extensions"]})
    sets = [{"_beatmapCharacteristicName": "Standard", "_difficultyBeatmaps": [needs]}]
    path = packs.raw(modded.parent / "noodle", {"Hard.dat": level}, _difficultyBeatmapSets=sets)
    rules = {rule["rule"] for rule in _native.play_rules()}
    assert [f["rule"] for f in maps.check(path)["findings"] if f["rule"] in rules] == ["play-not-judged"]


# -------------------------------------------------------------------------------------------------------------- convert


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_convert_writes_what_check_accepts(good: Path, tmp_path: Path, version: int, name: str) -> None:
    result = run("convert", good, tmp_path / name, "--to", f"v{version}", "--json")
    assert document(result, CONVERTED) == {"out": str(tmp_path / name), "version": version, "lost": []}
    assert result.exit_code == 0
    assert maps.check(tmp_path / name)["ok"]
    assert {level["version"][0] for level in maps.inspect(tmp_path / name)["difficulties"]} == {str(version)}


def test_convert_says_what_was_lost_and_what_was_left_out(modded: Path, tmp_path: Path) -> None:
    result = run("convert", modded, tmp_path / "v2", "--to", "v2")
    assert result.exit_code == 1
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == f"wrote {tmp_path / 'v2'} in version 2"
    assert "Hard 1 chains" in lines
    assert "Hard 1 note angle offsets" in lines
    assert any(line.startswith("Expert 1 the whole level: Expert.dat: the Info names this file") for line in lines)
    read = document(run("convert", modded, tmp_path / "again", "--to", "v2", "--json"), CONVERTED)
    assert [lost["difficulty"] for lost in read["lost"] if lost["whole"]] == ["Standard Expert"]
    assert {(lost["difficulty"], lost["what"], lost["count"]) for lost in read["lost"] if not lost["whole"]} == {
        ("Standard Hard", "chains", 1),
        ("Standard Hard", "note angle offsets", 1),
    }


def test_losses_are_no_failure(tmp_path: Path) -> None:
    chains = {"beat": [4], "tail_beat": [5], "slices": [3]}
    path = packs.save(tmp_path / "a.zip", packs.level(chains=chains))
    result = run("convert", path, tmp_path / "out", "--to", "v2")
    assert result.exit_code == 0
    assert "chains" in result.stdout
    whole = run("convert", path, tmp_path / "out3", "--to", "v3")
    assert whole.stdout == f"wrote {tmp_path / 'out3'} in version 3\nnothing was lost\n"


@pytest.mark.parametrize("taken", ["folder", "file.zip"])
def test_convert_overwrites_nothing(good: Path, tmp_path: Path, taken: str) -> None:
    target = tmp_path / taken
    if taken == "folder":
        target.mkdir()
        (target / "mine").write_text("mine")
    else:
        target.write_text("mine")
    result = run("convert", good, target, "--to", "v3", "--json")
    assert result.exit_code == 2
    error = json.loads(result.stdout)["error"]
    assert (error["type"], error["path"]) == ("FileExistsError", str(target))
    assert "would be overwritten" in error["message"]
    assert (target / "mine" if taken == "folder" else target).read_text() == "mine"


def test_an_old_level_converts_into_one_that_is_accepted(tmp_path: Path) -> None:
    info = {
        "songName": "Old", "songSubName": "", "authorName": "Somebody", "beatsPerMinute": 120, "previewStartTime": 1,
        "previewDuration": 10, "coverImagePath": "cover.png", "environmentName": "DefaultEnvironment",
        "difficultyLevels": [
            {"difficulty": "Hard", "difficultyRank": 3, "audioPath": "song.egg", "jsonPath": "Hard.json"},
            {"difficulty": "Expert", "difficultyRank": 4, "audioPath": "song.egg", "jsonPath": "Expert.json"},
        ],
    }  # fmt: skip
    level = {"_version": "1.5.0", "_noteJumpSpeed": 10, "_notes": [packs.note(4)], "_obstacles": [], "_events": []}
    source = packs.raw(tmp_path / "old", {"Hard.json": level, "Expert.json": level, "info.json": info})
    (source / "Info.dat").unlink()
    (source / "Hard.dat").unlink()
    [finding] = maps.check(source, preset=None)["findings"]
    assert finding["rule"] == "v1-not-uploadable"
    for version in (2, 3, 4):
        out = tmp_path / f"v{version}"
        assert run("convert", source, out, "--to", f"v{version}").exit_code == 0
        assert maps.check(out)["counts"]["error"] == 0, maps.check(out)["findings"]


def test_a_characteristic_without_a_readable_level_is_left_out(tmp_path: Path) -> None:
    sets = [
        {"_beatmapCharacteristicName": "Standard", "_difficultyBeatmaps": [packs.entry("Hard", 5)]},
        {"_beatmapCharacteristicName": "Lightshow", "_difficultyBeatmaps": [packs.entry("Easy", 1)]},
    ]
    source = packs.raw(tmp_path / "a", _difficultyBeatmapSets=sets)
    assert run("convert", source, tmp_path / "out", "--to", "v3").exit_code == 1
    assert maps.check(tmp_path / "out")["ok"]


# ---------------------------------------------------------------------------------------------------------- as a whole


@pytest.mark.parametrize("words", [["inspect"], ["check"], ["convert", "--to", "v3"]])
def test_what_is_no_level_could_not_run(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    more = [tmp_path / "out"] if words[0] == "convert" else []
    for path, kind in ((tmp_path / "nowhere", "FileNotFoundError"), (tmp_path / "empty", "MapError")):
        result = run(*words, path, *more)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(f"error: {path}: ")
        error = json.loads(run(*words, path, *more, "--json").stdout)["error"]
        assert (error["type"], error["path"]) == (kind, str(path))
    assert not (tmp_path / "out").exists()


def test_convert_has_to_be_told_the_version(good: Path, tmp_path: Path) -> None:
    for words in ([], ["--to", "v5"]):
        result = run("convert", good, tmp_path / "out", *words)
        assert result.exit_code == 2
        assert "hint: `beatweaver convert --help` shows how it is used" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "shape"),
    [
        (["inspect", "good.zip"], 0, INSPECTED),
        (["inspect", "modded"], 1, INSPECTED),
        (["check", "good.zip"], 0, CHECKED),
        (["check", "modded"], 1, CHECKED),
        (["convert", "good.zip", "out.zip", "--to", "v4"], 0, CONVERTED),
        (["convert", "modded", "out", "--to", "v4"], 1, CONVERTED),
        (["inspect", "missing"], 2, None),
        (["check", "missing"], 2, None),
        (["convert", "missing", "out", "--to", "v4"], 2, None),
    ],
)
@pytest.mark.usefixtures("good", "modded")
def test_as_processes(tmp_path: Path, words: list[str], code: int, shape: dict[str, Any] | None) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "beatweaver", *words, "--json"],
        cwd=tmp_path,
        env=os.environ | {"FORCE_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    read = json.loads(ended.stdout)
    if shape is None:
        assert set(read) == {"error"}
    else:
        assert ended.stderr == ""
        conforms(read, shape)


def test_words_wrap_under_their_indentation_on_a_terminal(modded: Path) -> None:
    result = CliRunner().invoke(
        main, ["inspect", str(modded)], env={"COLUMNS": "60", "FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm"}
    )
    start = result.stdout.index("  Expert: Expert.dat")
    for line in result.stdout[start:].splitlines()[:2]:
        assert line.startswith("  ")
        assert len(line.rstrip()) <= 60


def test_real_maps_are_shown_in_80_columns(corpus: Path) -> None:
    sources = sorted((corpus / "corpus" / "raw").glob("*.zip"))[::40]
    assert len(sources) > 10
    for source in sources:
        for command, shape in (("inspect", INSPECTED), ("check", CHECKED)):
            result = CliRunner().invoke(main, [command, str(source)], env={"COLUMNS": "80"})
            assert result.exit_code in (0, 1), (source.name, result.stderr)
            tables = [line for line in result.stdout.splitlines() if "─" in line]
            assert all(len(line) <= 80 for line in tables), source.name
            document(run(command, source, "--json"), shape)
