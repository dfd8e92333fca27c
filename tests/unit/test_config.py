"""Settings: round trips, types, overrides, and an error for every way to get them wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beatweaver.config import CONFIGS, RANKS, ProcessConfig, build, describe, load
from beatweaver.errors import ConfigError

positive = st.floats(0, 1e6)
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@st.composite
def process_configs(draw: st.DrawFn) -> ProcessConfig:
    low, high = sorted((draw(positive), draw(positive)))
    train = draw(st.floats(0, 1))
    validation = draw(st.floats(0, 1 - train))
    return ProcessConfig(
        min_difficulty=draw(st.sampled_from(RANKS)),
        characteristics=tuple(draw(st.lists(text, min_size=1, max_size=4))),
        min_bpm=low,
        max_bpm=high,
        min_notes=draw(st.integers(0, 1000)),
        max_onsets_per_min=draw(positive),
        min_seconds=draw(positive),
        max_wall_share=draw(st.floats(0, 1)),
        require_vanilla=draw(st.booleans()),
        splits=(train, validation, 1 - train - validation),
        shards=draw(st.integers(1, 65_536)),
        threads=draw(st.integers(0, 1024)),
    )


@given(process_configs())
def test_canonical_bytes_give_the_config_back(config: ProcessConfig) -> None:
    again = build(ProcessConfig, json.loads(config.canonical()))
    assert again == config
    assert again.canonical() == config.canonical()
    assert config.digest() == hashlib.sha256(config.canonical()).hexdigest()


@given(process_configs(), process_configs())
def test_equal_bytes_mean_equal_settings(one: ProcessConfig, other: ProcessConfig) -> None:
    assert (one == other) == (one.canonical() == other.canonical()) == (one.digest() == other.digest())


@given(process_configs(), st.randoms(use_true_random=False))
def test_a_file_and_overrides_say_the_same(tmp_path_factory: Any, config: ProcessConfig, random: Any) -> None:
    settings = list(json.loads(config.canonical()).items())
    random.shuffle(settings)
    cut = random.randrange(len(settings) + 1)
    file = tmp_path_factory.mktemp("config") / "some.json"
    file.write_text(json.dumps(dict(settings[:cut])), "utf-8")
    overrides = [f"{key}={json.dumps(value)}" for key, value in settings[cut:]]
    assert build(ProcessConfig, load(file, overrides)) == config


def test_the_defaults_are_sound_and_canonical() -> None:
    config = ProcessConfig()
    assert config.canonical().startswith(b'{"characteristics":["Standard"],"max_bpm":300.0,')
    assert b" " not in config.canonical()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.min_bpm = 3.0  # type: ignore[misc]


@pytest.mark.parametrize("name", ["default", "medium", "small", "tiny"])
def test_every_file_that_comes_along_can_be_used(root: Path, name: str) -> None:
    folder = root / "configs"
    assert name in [file.stem for file in folder.glob("*.json")] and len(list(folder.glob("*.json"))) == 4
    settings = load(folder / f"{name}.json")
    for cls in CONFIGS:
        made = build(cls, settings)
        for field in dataclasses.fields(made):
            if field.name in settings:
                assert json.dumps(getattr(made, field.name)) == json.dumps(settings[field.name])


def test_names_of_other_programs_are_taken_for_ours(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text('{"sample_rate": 44100, "hop_length": 256}')
    assert load(file) == {"sample_rate_hz": 44_100, "hop": 256}
    assert load(file, ["hop_length=128", "sample_rate_hz=8000"]) == {"sample_rate_hz": 8000, "hop": 128}
    for both in ('{"sample_rate": 44100, "sample_rate_hz": 44100}', '{"sample_rate_hz": 44100, "sample_rate": 8000}'):
        file.write_text(both)
        with pytest.raises(ConfigError, match="found sample_rate_hz and sample_rate, expected one of them"):
            load(file)


def test_whole_numbers_and_negative_zero_are_the_same_setting() -> None:
    written = build(ProcessConfig, {"min_bpm": 50, "max_bpm": 300, "min_seconds": -0.0})
    assert written.canonical() == ProcessConfig(min_seconds=0.0).canonical()


def test_later_overrides_win_and_bare_words_are_text(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text('\ufeff{"min_bpm": 70, "min_difficulty": "Hard"}', "utf-8")
    settings = load(file, ["min_bpm=80", "min_bpm=90.5", "min_difficulty=ExpertPlus", 'characteristics=["Lawless"]'])
    config = build(ProcessConfig, settings)
    assert (config.min_bpm, config.min_difficulty, config.characteristics) == (90.5, "ExpertPlus", ("Lawless",))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_difficulty", "Medium"),
        ("min_difficulty", 3),
        ("characteristics", []),
        ("characteristics", [""]),
        ("characteristics", "Standard"),
        ("characteristics", ["\ud800"]),
        ("min_bpm", -1.0),
        ("min_bpm", "80"),
        ("min_bpm", True),
        ("min_bpm", 301.0),
        ("min_bpm", math.nan),
        ("max_bpm", math.inf),
        ("max_bpm", 10**400),
        ("max_bpm", None),
        ("min_notes", -1),
        ("min_notes", 20.0),
        ("min_notes", 10**30),
        ("max_onsets_per_min", -0.5),
        ("min_seconds", -1),
        ("max_wall_share", 1.5),
        ("require_vanilla", 1),
        ("splits", [0.5, 0.5]),
        ("splits", [0.5, 0.5, 0.5]),
        ("splits", [1.5, -0.5, 0.0]),
        ("splits", [0.5, 0.5, "0"]),
        ("splits", {}),
        ("shards", -1),
        ("threads", 1025),
    ],
)
def test_a_wrong_value_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        build(ProcessConfig, {field: value})
    # A minimum above the maximum is reported at the maximum.
    assert caught.value.where in {field, field.replace("min_", "max_")}
    assert caught.value.found
    assert caught.value.expected
    assert str(caught.value).startswith(f"{caught.value.where}: found ")


@given(st.sampled_from([field.name for field in dataclasses.fields(ProcessConfig)]), st.data())
def test_any_json_value_is_taken_or_refused_as_config_error(field: str, data: st.DataObject) -> None:
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    value = data.draw(scalars | st.lists(scalars, max_size=4) | st.dictionaries(st.text(), scalars, max_size=2))
    try:
        config = build(ProcessConfig, {field: value})
    except ConfigError:
        return
    assert build(ProcessConfig, json.loads(config.canonical())) == config


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "found a list, expected one flat JSON object"),
        ("{", "line 1, column 2"),
        ("", "line 1, column 1"),
        ('{"min_bpm": 1, "min_bpm": 2}', "min_bpm: found twice, expected once"),
        ('{"min_bpm": NaN}', "found NaN, expected a finite number"),
        ('{"min_bmp": 1}', "found the unknown key 'min_bmp'"),
        ('{"min_notes": ' + "1" * 5000 + "}", "not a JSON text file"),
        ("[" * 100_000, "not a JSON text file"),
    ],
)
def test_a_bad_file_is_refused_with_its_name(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(content, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert message in str(caught.value)
    assert caught.value.path == str(file)


def test_a_file_that_is_not_text_or_not_there(tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not a JSON text file"):
        load(file)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.json")


def test_an_unknown_key_names_its_nearest_neighbour_or_all_keys() -> None:
    with pytest.raises(ConfigError) as near:
        load(None, ["min_bmp=80"])
    assert near.value.hint == "did you mean min_bpm?"
    with pytest.raises(ConfigError) as far:
        load(None, ["zzzzzzzz=1"])
    assert far.value.hint
    assert "min_bpm" in far.value.hint
    with pytest.raises(ConfigError, match="found no '='"):
        load(None, ["min_bpm"])


def test_every_key_belongs_to_one_class_and_is_described() -> None:
    keys = [field.name for cls in CONFIGS for field in dataclasses.fields(cls)]
    assert len(keys) == len(set(keys))
    for cls in CONFIGS:
        described = describe(cls)
        assert list(described) == [field.name for field in dataclasses.fields(cls)]
        assert all("\n" not in line and line.endswith(".") for line in described.values())
