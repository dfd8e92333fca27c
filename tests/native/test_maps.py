"""Songs, levels and the clock across the boundary: arrays and their types, errors, threads, memory."""

from __future__ import annotations

import gc
import json
import math
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import numpy as np
import packs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beatweaver import _native, errors

FLOAT, INT, BOOL = np.dtype("float64"), np.dtype("int32"), np.dtype("bool")
COLUMNS: dict[str, dict[str, np.dtype[Any]]] = {
    "notes": {"beat": FLOAT, "time": FLOAT, "x": INT, "y": INT, "color": INT, "cut": INT, "angle": INT},
    "bombs": {"beat": FLOAT, "time": FLOAT, "x": INT, "y": INT},
    "obstacles": {
        "beat": FLOAT, "time": FLOAT, "duration_beats": FLOAT, "x": INT, "y": INT, "width": INT, "height": INT,
    },
    "arcs": {
        "beat": FLOAT, "time": FLOAT, "tail_beat": FLOAT, "tail_time": FLOAT, "color": INT, "x": INT, "y": INT,
        "cut": INT, "multiplier": FLOAT, "tail_x": INT, "tail_y": INT, "tail_cut": INT, "tail_multiplier": FLOAT,
        "mid_anchor": INT,
    },
    "chains": {
        "beat": FLOAT, "time": FLOAT, "tail_beat": FLOAT, "tail_time": FLOAT, "color": INT, "x": INT, "y": INT,
        "cut": INT, "tail_x": INT, "tail_y": INT, "slices": INT, "squish": FLOAT,
    },
    "lights": {"beat": FLOAT, "time": FLOAT, "kind": INT, "value": INT, "brightness": FLOAT},
    "boosts": {"beat": FLOAT, "time": FLOAT, "on": BOOL},
}  # fmt: skip
TIMES = {"time": "beat", "tail_time": "tail_beat"}
Version = Literal[2, 3, 4]

one_of_each: dict[str, Any] = {
    "notes": {"beat": [4, 2], "x": [1, 2], "y": [0, 1], "color": [0, 1], "cut": [1, 8], "angle": [0, 0]},
    "bombs": {"beat": [3]},
    "obstacles": {"beat": [6], "duration_beats": [1.5], "width": [1], "height": [5]},
    "arcs": {"beat": [4], "tail_beat": [5]},
    "chains": {"beat": [7], "tail_beat": [7.5], "slices": [3], "squish": [0.5]},
    "lights": {"beat": [0], "kind": [1], "value": [5]},
    "boosts": {"beat": [1], "on": [True]},
    "tempo": {"beat": [5], "bpm": [60]},
}


def group(level: _native.Difficulty, name: str) -> dict[str, np.ndarray]:
    columns = getattr(level, name)()
    assert isinstance(columns, dict)
    return columns


def test_arrays_have_the_types_that_are_promised(tmp_path: Path) -> None:
    packs.save(tmp_path / "a.zip", packs.level(**one_of_each))
    [level] = _native.load_song(tmp_path / "a.zip").difficulties
    for name, columns in COLUMNS.items():
        arrays = group(level, name)
        assert {key: array.dtype for key, array in arrays.items()} == columns, name
        rows = len(one_of_each[name]["beat"])
        for key, array in arrays.items():
            assert array.shape == (rows,), (name, key)
            assert array.flags.c_contiguous
            assert array.flags.owndata or array.base is not None
        for time, beat in TIMES.items():
            if time in arrays:
                assert np.array_equal(arrays[time], level.tempo.seconds(arrays[beat]))


def test_times_are_seconds_and_rows_are_sorted_by_beat() -> None:
    level = packs.level(**one_of_each)
    assert level.notes()["beat"].tolist() == [2, 4]
    assert level.notes()["time"].tolist() == [1, 2]  # 120 beats a minute
    assert level.obstacles()["time"].tolist() == [3.5]  # 60 from beat 5 on
    assert level.chains()["tail_time"].tolist() == [5.0]


def test_arrays_belong_to_the_caller() -> None:
    level = packs.level()
    level.notes()["x"][:] = 99
    assert level.notes()["x"].max() == 2


@pytest.mark.parametrize("make", [np.float32, np.int16, np.uint8, list, tuple, lambda x: np.array([x, x]).T[:, 0]])
def test_arrays_of_any_kind_go_in(make: Callable[[Any], Any]) -> None:
    level = packs.level(notes={"beat": make([4, 5, 6]), "x": make([0, 1, 2])})
    assert level.notes()["beat"].tolist() == [4, 5, 6]
    assert level.notes()["x"].tolist() == [0, 1, 2]


def test_what_comes_out_goes_in_again() -> None:
    level = packs.level(**one_of_each)
    groups: dict[str, Any] = {name: group(level, name) for name in COLUMNS} | {"tempo": level.tempo.regions}
    again = packs.level(**groups)
    for name in COLUMNS:
        for key, array in group(level, name).items():
            assert np.array_equal(array, group(again, name)[key]), (name, key)


def test_what_is_left_out_has_defaults() -> None:
    level = packs.level(notes={"beat": [1]}, lights={"beat": [1]}, arcs={"beat": [1]}, bombs={})
    assert {key: array[0] for key, array in level.notes().items()} == {
        "beat": 1, "time": 0.5, "x": 0, "y": 0, "color": 0, "cut": 0, "angle": 0,
    }  # fmt: skip
    assert level.lights()["brightness"].tolist() == [1]
    assert level.arcs()["multiplier"].tolist() == [1]
    assert len(level.bombs()["beat"]) == 0


@pytest.mark.parametrize(
    ("groups", "where", "message"),
    [
        ({"nots": {"beat": [1]}}, "nots", "expected notes, bombs"),
        ({"notes": {"beat": [1], "z": [1]}}, "notes", 'found the column "z", expected beat, x, y'),
        ({"notes": {"beat": [1, 2], "x": [1]}}, "notes", 'found 1 rows in column "x", expected 2'),
        ({"notes": {"x": [1]}}, "notes", 'found no column "beat"'),
        ({"notes": {"time": [1]}}, "notes", 'found no column "beat"'),
        ({"notes": {"beat": [1], "x": [0.5]}}, "notes", 'found 0.5 in column "x", row 0, expected 32-bit whole'),
        ({"notes": {"beat": [1], "x": [3e9]}}, "notes", 'found 3000000000 in column "x", row 0'),
        ({"notes": {"beat": [1, math.nan]}}, "notes", 'found NaN in column "beat", row 1'),
        ({"arcs": {"beat": [1], "tail_beat": [math.inf]}}, "arcs", 'found inf in column "tail_beat"'),
        ({"tempo": {"beat": [1]}}, "tempo", 'found no column "bpm"'),
    ],
)
def test_arrays_that_make_no_level_are_refused(groups: dict[str, Any], where: str, message: str) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        packs.level(**groups)
    assert caught.value.where == where
    assert message in str(caught.value)


@pytest.mark.parametrize("groups", [{"notes": [1]}, {"notes": {"beat": 4}}, {"notes": {"beat": [[1]]}}, {"notes": 3}])
def test_groups_of_another_shape_are_type_errors(groups: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        packs.level(**groups)


def test_a_level_off_the_grid_says_what_it_needs() -> None:
    assert packs.level().category == "vanilla"
    assert packs.level(notes={"beat": [1], "x": [-2000]}).category == "mapping-extensions"


# ------------------------------------------------------------------------------------------------------------ the clock


def test_the_clock_takes_any_shape() -> None:
    clock = _native.TempoMap([0, 4], [120, 60])
    assert float(clock.seconds(5)) == 3
    assert clock.seconds([[0, 4], [5, -2]]).tolist() == [[0, 2], [3, -1]]
    assert clock.beats(np.float32(3)) == 5
    beats, parts, moved = clock.snap([[1.26, 1.3]], divisions=(1, 2, 4), tolerance_beats=0.02)
    assert (beats.tolist(), parts.tolist()) == ([[1.25, 1.3]], [[4, 0]])
    assert moved == pytest.approx(np.array([[-0.01, 0]]))
    assert (beats.dtype, parts.dtype, moved.dtype) == (FLOAT, np.dtype("uint16"), FLOAT)
    assert clock.seconds([]).shape == (0,)


def test_the_clock_does_not_mind_the_order_of_tempos() -> None:
    clock = _native.TempoMap([8, 0], [60, 120], offset_s=0.5)
    assert clock.seconds([0, 8, 9]).tolist() == [0.5, 4.5, 5.5]
    assert {name: column.tolist() for name, column in clock.regions.items()} == {
        "beat": [0, 8], "time_s": [0.5, 4.5], "bpm": [120, 60],
    }  # fmt: skip


@given(
    tempos=st.lists(
        st.tuples(st.integers(0, 200), st.floats(20, 400)), min_size=1, max_size=6, unique_by=lambda t: t[0]
    ),
    beats=st.lists(st.floats(-10, 300), max_size=10),
)
def test_the_clock_runs_both_ways(tempos: list[tuple[int, float]], beats: list[float]) -> None:
    clock = _native.TempoMap([t[0] for t in tempos], [t[1] for t in tempos])
    assert clock.beats(clock.seconds(beats)) == pytest.approx(np.array(beats), abs=1e-9)
    # Independent: the time of a beat is the sum of what each tempo before it lasts.
    ordered = sorted(tempos)
    starts = [0.0] + [float(t[0]) for t in ordered[1:]]
    for beat in beats:
        seconds = 0.0
        for index, (start, (_, bpm)) in enumerate(zip(starts, ordered, strict=True)):
            end = starts[index + 1] if index + 1 < len(starts) else math.inf
            lower = -math.inf if index == 0 else start
            seconds += (min(max(beat, lower), end) - start) * 60 / bpm if beat > start or index == 0 else 0.0
        assert float(clock.seconds(beat)) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(
    ("beats", "bpms", "where"),
    [
        ([], [], "bpms"),
        ([0], [1, 2], "bpms"),
        ([0], [0], "bpms"),
        ([0], [math.nan], "bpms"),
        ([math.nan], [1], "beats"),
    ],
)
def test_a_clock_without_a_tempo_is_refused(beats: list[float], bpms: list[float], where: str) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        _native.TempoMap(beats, bpms)
    assert caught.value.where == where


def test_onsets_are_matched_to_the_nearest_beat() -> None:
    found = _native.align([0.01, 0.49, 0.9], [0.0, 0.5, 1.0], tolerance_s=0.05)
    assert found["index"].tolist() == [0, 1, -1]
    assert found["matched"].tolist() == [True, True, False]
    assert found["error_s"] == pytest.approx(np.array([0.01, -0.01, 0]))
    assert (found["index"].dtype, found["error_s"].dtype, found["matched"].dtype) == (np.dtype("int64"), FLOAT, BOOL)


# ------------------------------------------------------------------------------------------------------- write and read

beats = st.floats(0, 40, allow_subnormal=False)
cells = {"x": st.integers(0, 3), "y": st.integers(0, 2)}
sabers = {"color": st.integers(0, 1), "cut": st.integers(0, 8)}
factors = st.floats(0, 2, allow_subnormal=False)


def rows(**columns: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, list[Any]]]:
    row = st.fixed_dictionaries({"beat": beats, **columns})
    return st.lists(row, max_size=8).map(lambda rows: {key: [row[key] for row in rows] for key in ("beat", *columns)})


def ending(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Tails come after their heads."""
    pairs = [sorted(pair) for pair in zip(rows["beat"], rows["tail_beat"], strict=True)]
    return rows | {"beat": [pair[0] for pair in pairs], "tail_beat": [pair[1] for pair in pairs]}


def levels(version: Version) -> st.SearchStrategy[dict[str, Any]]:
    """All that `version` can say of what arrays can say."""
    tail = {"tail_beat": beats, "tail_x": cells["x"], "tail_y": cells["y"]}
    angle = st.just(0) if version == 2 else st.integers(-90, 90)
    # Types with a meaning of their own (boost, rotation, tempo) have groups of their own, or none.
    kinds = st.sampled_from([0, 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 16, 17, 40])
    groups: dict[str, st.SearchStrategy[dict[str, list[Any]]]] = {
        "notes": rows(**cells, **sabers, angle=angle),
        "bombs": rows(**cells),
        "obstacles": rows(**cells, duration_beats=factors, width=st.integers(1, 4), height=st.integers(1, 5)),
        "arcs": rows(
            **cells, **sabers, **tail, multiplier=factors, tail_multiplier=factors, tail_cut=sabers["cut"],
            mid_anchor=st.integers(0, 2),
        ).map(ending),
        "lights": rows(kind=kinds, value=st.integers(0, 7), brightness=factors),
        "boosts": rows(on=st.booleans()),
    }  # fmt: skip
    if version > 2:
        squish = st.floats(0.1, 1)
        groups["chains"] = rows(**cells, **sabers, **tail, slices=st.integers(2, 9), squish=squish).map(ending)
    return st.fixed_dictionaries(groups)


def as_rows(columns: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Rows of one beat have no order of their own."""
    keys = sorted(set(columns) - set(TIMES))
    return sorted(zip(*(np.asarray(columns[key]).tolist() for key in keys), strict=True))


@pytest.mark.parametrize("container", ["folder", "a.zip"])
@pytest.mark.parametrize("version", [2, 3, 4])
def test_arrays_come_back_as_they_were_and_nothing_is_refused(
    tmp_path_factory: pytest.TempPathFactory, version: Version, container: str
) -> None:
    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(levels(version))
    def round_trip(groups: dict[str, Any]) -> None:
        path = tmp_path_factory.mktemp("pack") / container
        made = packs.level(**groups)
        lost = _native.save_song(
            path, [made], title="t", bpm=packs.BPM, audio=packs.AUDIO, cover=packs.cover(), version=version
        )
        assert lost == []
        song = _native.load_song(path)
        [level] = song.difficulties
        for name, columns in groups.items():
            assert as_rows(group(level, name)) == as_rows(columns), name
            # Saved as version 4 the clock rests on whole samples of the audio.
            times = group(level, name)["time"]
            assert times == pytest.approx(np.sort(columns["beat"]) * 60 / packs.BPM, abs=1e-3)
        assert level.version.startswith(str(version))
        assert (level.name, level.characteristic, level.njs) == ("Hard", "Standard", 14)
        assert (song.warnings, level.warnings) == ([], [])
        found = _native.check_song(path)
        assert [finding for finding in found if finding["severity"] == "error"] == []

    round_trip()


@pytest.mark.parametrize("version", [2, 3, 4])
def test_the_same_level_gives_the_same_bytes(tmp_path: Path, version: Version) -> None:
    for name in ("a.zip", "b.zip"):
        packs.save(tmp_path / name, packs.level(), packs.level("Easy", "OneSaber"), version=version)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_what_a_version_cannot_say_is_counted(tmp_path: Path) -> None:
    lost = _native.save_song(
        tmp_path / "a.zip", [packs.level(**one_of_each)], title="t", bpm=packs.BPM, audio=packs.AUDIO, version=2
    )
    assert lost == [{"difficulty": "Standard Hard", "what": "chains", "count": 1, "whole": False}]


def test_levels_that_do_not_fit_together_are_not_saved(tmp_path: Path) -> None:
    def save(levels: list[_native.Difficulty], version: Any = 3) -> None:
        _native.save_song(tmp_path / "a", levels, title="t", bpm=packs.BPM, audio=packs.AUDIO, version=version)

    other_tempo = _native.Difficulty.from_arrays(bpm=99, notes={"beat": [1]})
    for levels, version, where, message in (
        ([], 3, "difficulties", "found none"),
        ([packs.level(), packs.level()], 3, "difficulties", "found Standard Hard twice"),
        ([other_tempo], 3, "bpm", "Standard ExpertPlus has another tempo"),
        ([packs.level()], 5, "version", "found 5, expected 2, 3 or 4"),
    ):
        with pytest.raises(errors.ConfigError, match=message) as caught:
            save(levels, version)
        assert caught.value.where == where
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_content_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / "keep.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="the folder is not empty") as caught:
        packs.save(target)
    assert caught.value.filename == str(target)
    assert [file.name for file in target.iterdir()] == ["keep.txt"]
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_pack_can_be_converted_and_keeps_its_other_files(tmp_path: Path, version: Version) -> None:
    source = packs.raw(tmp_path / "in", {"notes.txt": "mine"})
    assert _native.convert_song(source, tmp_path / "out", version=version) == []
    song = _native.load_song(tmp_path / "out")
    assert song.difficulties[0].version.startswith(str(version))
    assert song.difficulties[0].notes()["beat"].tolist() == [4, 5]
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "out" / "song.egg").read_bytes() == packs.AUDIO
    assert [f["rule"] for f in _native.check_song(tmp_path / "out") if f["severity"] == "error"] == []


def test_converting_in_place_leaves_a_whole_archive(tmp_path: Path) -> None:
    path = packs.save(tmp_path / "a.zip", version=2)
    _native.convert_song(path, path, version=4)
    assert _native.load_song(path).info_version == "4.0.1"
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]


# --------------------------------------------------------------------------------------------------------------- a song


def test_a_song_says_what_its_files_say(tmp_path: Path) -> None:
    hard = packs.entry("Hard", 5, _customData={"_requirements": ["Noodle Extensions"], "_difficultyLabel": "L"})
    gone = packs.entry("Expert", 7, _customData={"_suggestions": ["Chroma"]})
    sets = [{"_beatmapCharacteristicName": "Standard", "_difficultyBeatmaps": [hard, gone]}]
    song = _native.load_song(packs.raw(tmp_path / "a", _difficultyBeatmapSets=sets, _songSubName="Sub"))
    assert (song.title, song.subtitle, song.artist, song.mapper) == ("Raw", "Sub", "Nobody", "Tests")
    assert (song.bpm, song.offset_s, song.info_version) == (120, 0, "2.0.0")
    assert (song.audio_name, song.audio_present, song.cover_name) == ("song.egg", True, "cover.png")
    assert song.audio_seconds == pytest.approx(21, abs=0.01)
    assert (song.category, song.requirements, song.suggestions) == ("noodle", ["Noodle Extensions"], ["Chroma"])
    assert len(song.hash) == 40
    assert len(song.key) == 64
    [level] = song.difficulties
    assert (level.label, level.rank, level.file, level.requirements) == ("L", 5, "Hard.dat", ["Noodle Extensions"])
    assert level.stats() == {
        "notes": 2, "onsets": 2, "bombs": 0, "walls": 0, "arcs": 0, "chains": 0, "events": 0, "fakes": 0,
        "nps": 4.0, "first_note_s": 2.0, "last_note_s": 2.5,
    }  # fmt: skip
    [fault] = song.faults
    assert (fault["characteristic"], fault["difficulty"], fault["file"]) == ("Standard", "Expert", "Expert.dat")
    assert isinstance(fault["error"], errors.MapError)
    assert fault["error"].path == "Expert.dat"
    assert repr(song) == '<Song "Raw" by "Nobody", mapped by "Tests": 2 levels>'
    assert repr(level) == "<Difficulty Standard Hard v2.6.0: 2 notes, 0 bombs, 0 walls>"
    assert repr(song.tempo) == "<TempoMap 120 BPM>"


def test_the_hash_is_that_of_the_game(tmp_path: Path) -> None:
    from hashlib import sha1

    folder = packs.raw(tmp_path / "a")
    data = (folder / "Info.dat").read_bytes() + (folder / "Hard.dat").read_bytes()
    assert _native.load_song(folder).hash == sha1(data, usedforsecurity=False).hexdigest()


def test_folder_zip_info_path_and_bytes_are_one_song(tmp_path: Path) -> None:
    folder = packs.raw(tmp_path / "a")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    songs = [_native.load_song(path) for path in (folder, str(folder), folder / "Info.dat", tmp_path / "a.zip")]
    songs.append(_native.load_song_bytes((tmp_path / "a.zip").read_bytes()))
    assert len({(song.hash, song.key) for song in songs}) == 1


def test_oddities_are_warnings_with_their_place(tmp_path: Path) -> None:
    odd = packs.note(4, _type="0")
    song = _native.load_song(packs.raw(tmp_path / "a", {"Hard.dat": {"_version": "2.0.0", "_notes": [odd, odd]}}))
    [warning] = song.difficulties[0].warnings
    assert warning == {
        "rule": "text-for-number",
        "file": "Hard.dat",
        "where": "/_notes/0/_type",
        "message": 'found the text "0", expected an integer; read as one',
        "count": 2,
    }


def test_the_objects_cannot_be_changed() -> None:
    level = packs.level()
    with pytest.raises(AttributeError):
        level.njs = 3  # type: ignore[misc]


def test_findings_say_where(tmp_path: Path) -> None:
    level = {"_version": "2.6.0", "_notes": [packs.note(4000)], "_obstacles": [], "_events": []}
    [finding] = _native.check_song(packs.raw(tmp_path / "a", {"Hard.dat": level}))
    message = finding.pop("message")
    assert finding == {
        "rule": "beat-outside-song",
        "severity": "error",
        "characteristic": "Standard",
        "difficulty": "Hard",
        "file": "Hard.dat",
        "where": "/_notes/0",
        "beat": 4000.0,
        "time_s": 2000.0,
        "count": 1,
    }
    assert "4000" in message


def test_every_rule_is_named_once() -> None:
    rules = _native.check_rules()
    assert len({rule for rule, _, _ in rules}) == len(rules) > 50
    assert {severity for _, severity, _ in rules} == {"error", "rank", "warning", "info"}


# --------------------------------------------------------------------------------------------------------------- errors


def _no_info(folder: Path) -> Path:
    (folder / "nothing").mkdir()
    return folder / "nothing"


def _zip(folder: Path, content: bytes) -> Path:
    file = folder / "a.zip"
    file.write_bytes(content)
    return file


MANY = [{"_beatmapCharacteristicName": "Standard", "_difficultyBeatmaps": [packs.entry("Hard", 5)] * 201}]
Maker = Callable[[Path], Path]
FAULTS: list[tuple[str, Maker, type[errors.BeatWeaverError], dict[str, str | None], str]] = [
    ("no Info", _no_info, errors.MapError, {"path": "{}/nothing"}, "Info.dat"),
    ("another file", lambda f: _zip(f, b"RIFF1234"), errors.MapError, {"path": "{}/a.zip"}, "expected a level"),
    (
        "a cut zip",
        lambda f: _zip(f, b"PK\3\4" + bytes(40)),
        errors.MapError,
        {"path": "{}/a.zip", "hint": "download"},
        "",
    ),
    (
        "no JSON",
        lambda f: packs.raw(f / "a", {"Info.dat": '{"_version": "2.0.0",\n "_songName": }'}),
        errors.MapJsonError,
        {"path": "Info.dat", "where": "line 2, column 15", "hint": "open the file in a text editor"},
        "expected value",
    ),
    (
        "no Info at all",
        lambda f: packs.raw(f / "a", {"Info.dat": '{"planets": 9}'}),
        errors.MapError,
        {"path": "Info.dat"},
        "may belong to something else",
    ),
    (
        "an unknown version",
        lambda f: packs.raw(f / "a", _version="9.1.0"),
        errors.MapVersionError,
        {
            "path": "Info.dat",
            "where": "/_version",
            "found": "9.1.0",
            "expected": "1.x, 2.x, 3.x or 4.x",
            "hint": "open the map in an editor",
        },
        "9.1.0",
    ),
    (
        "too many levels",
        lambda f: packs.raw(f / "a", _difficultyBeatmapSets=MANY),
        errors.LimitError,
        {"path": "Info.dat", "found": "201", "expected": "at most 200", "hint": "no ordinary file"},
        "difficulties is 201, the limit is 200",
    ),
    ("no tempo", lambda f: packs.raw(f / "a", _beatsPerMinute=0), errors.MapError, {"path": "Info.dat"}, "0 BPM"),
]


@pytest.mark.parametrize(("make", "kind", "fields", "message"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_pack_that_cannot_be_read_says_why(
    tmp_path: Path, make: Maker, kind: type[errors.BeatWeaverError], fields: dict[str, str | None], message: str
) -> None:
    path = make(tmp_path)
    with pytest.raises(errors.BeatWeaverError) as caught:
        _native.load_song(path)
    error = caught.value
    assert type(error) is kind
    assert message in str(error)
    for name in ("path", "where", "found", "expected", "hint"):
        value, wanted = getattr(error, name), fields.get(name)
        if wanted is None:
            assert value is None, name
        else:
            assert value is not None, name
            assert value.startswith(wanted.format(tmp_path)), name
    # As it is, in another process.
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_faults_of_the_system_are_its_own_errors(tmp_path: Path) -> None:
    calls: list[Callable[[Path], object]] = [
        _native.load_song,
        _native.check_song,
        lambda path: _native.convert_song(path, tmp_path / "out", version=3),
    ]
    for call in calls:
        with pytest.raises(FileNotFoundError) as caught:
            call(tmp_path / "nowhere")
        assert caught.value.filename == str(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError) as caught:
        packs.save(tmp_path / "no folder" / "a.zip")
    assert caught.value.filename == str(tmp_path / "no folder" / "a.zip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_locked_file_is_a_permission_error(tmp_path: Path) -> None:
    path = packs.save(tmp_path / "a.zip")
    path.chmod(0)
    with pytest.raises(PermissionError):
        _native.load_song(path)


def test_a_level_that_cannot_be_read_is_a_fault_of_its_own_kind(tmp_path: Path) -> None:
    for content, kind, where in (
        ("{", errors.MapJsonError, "line 1, column 1"),
        ("", errors.MapJsonError, None),
        ('{"_version": "7.0.0"}', errors.MapVersionError, "/_version"),
        ('{"name": 1}', errors.MapError, None),
    ):
        song = _native.load_song(packs.raw(tmp_path / "a", {"Hard.dat": content}))
        [fault] = song.faults
        assert type(fault["error"]) is kind, content
        assert (fault["error"].path, fault["error"].where) == ("Hard.dat", where)
        assert song.difficulties == ()
        with pytest.raises(errors.MapError, match="found no level that can be read"):
            _native.convert_song(tmp_path / "a", tmp_path / "out", version=3)


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip", bytes(100)])
def test_bytes_that_are_no_archive_are_named_as_the_caller_says(data: bytes) -> None:
    with pytest.raises(errors.MapError) as caught:
        _native.load_song_bytes(data, name="upload 7")
    assert caught.value.path == "upload 7"


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_an_error(data: bytes) -> None:
    for start in (b"", b"PK\x03\x04", b"PK\x05\x06"):
        with pytest.raises(errors.BeatWeaverError):
            _native.load_song_bytes(start + data)


# ----------------------------------------------------------------------------------------------------- threads, memory


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["load_song", "check_song", "convert_song"])
def test_other_threads_run_while_a_pack_is_read(tmp_path: Path, name: str) -> None:
    """Opening a pipe waits for its writer, which is this thread: it would wait for ever if the other kept the GIL."""
    pipe = tmp_path / "pipe.zip"
    os.mkfifo(pipe)
    raised: list[BaseException] = []

    def work() -> None:
        try:
            if name == "convert_song":
                _native.convert_song(pipe, tmp_path / "out", version=3)
            else:
                getattr(_native, name)(pipe)
        except errors.MapError as error:
            raised.append(error)

    thread = Thread(target=work, daemon=True)
    thread.start()
    pipe.write_bytes(b"something else")
    thread.join()
    assert len(raised) == 1


def test_threads_read_the_same_song(tmp_path: Path) -> None:
    paths = [packs.save(tmp_path / f"{version}.zip", version=version) for version in (2, 3, 4)] * 20

    def summary(path: Path) -> tuple[Any, ...]:
        song = _native.load_song(path)
        return song.hash, song.difficulties[0].notes()["beat"].tolist(), len(_native.check_song(path))

    expected = [summary(path) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(summary, paths)) == expected


def test_threads_share_one_level() -> None:
    level = packs.level(notes={"beat": np.arange(2000)})
    with ThreadPoolExecutor(8) as pool:
        sums = list(pool.map(lambda _: float(level.notes()["time"].sum()), range(200)))
    assert set(sums) == {float(np.arange(2000).sum() / 2)}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_ten_thousand_loads_leave_nothing_behind(tmp_path: Path) -> None:
    data = packs.save(tmp_path / "a.zip", packs.level(notes={"beat": np.arange(500)})).read_bytes()
    broken = packs.raw(tmp_path / "broken", {"Hard.dat": "{"})

    def resident() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def load(times: int) -> None:
        for turn in range(times):
            song = _native.load_song_bytes(data)
            song.difficulties[0].notes()
            if turn % 10 == 0:
                assert _native.load_song(broken).faults

    load(1000)
    before = resident()
    load(10_000)
    # One level kept of each load would be 500 notes of more than 40 bytes, 200 MB in all.
    assert resident() - before < 8 << 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_can_read(tmp_path: Path) -> None:
    path = packs.save(tmp_path / "a.zip")
    code = (
        "import os, sys\n"
        "from beatweaver import _native\n"
        "notes = lambda: len(_native.load_song(sys.argv[1]).difficulties[0].notes()['beat'])\n"
        "first = notes()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(notes())\n"
        "print(first, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), notes())\n"
    )
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout.split() == ["8", "8", "8"], ended.stderr


# -------------------------------------------------------------------------------------------------------- the real ones


def test_real_maps_convert_through_all_versions(corpus: Path, tmp_path: Path) -> None:
    manifest = json.loads((corpus / "corpus" / "manifest.json").read_text("utf-8"))
    rows = manifest["maps"] if isinstance(manifest, dict) else manifest
    assert len(rows) > 400
    sources = sorted((corpus / "corpus" / "raw").glob("*.zip"))[:: len(rows) // 20][:20]
    assert len(sources) == 20
    for source in sources:
        known = _refusals(source)
        path = source
        for version in (3, 4, 3, 2):
            target = tmp_path / f"{source.stem}-{version}-{len(list(tmp_path.iterdir()))}"
            _native.convert_song(path, target, version=version)
            assert _refusals(target) <= known, f"{source.name} in version {version}"
            path = target


def _refusals(path: Path) -> set[tuple[str, str | None, str | None]]:
    """Rules broken, by level."""
    return {
        (finding["rule"], finding["characteristic"], finding["difficulty"])
        for finding in _native.check_song(path)
        if finding["severity"] == "error"
    }
