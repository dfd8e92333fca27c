"""A song in, a playable level pack out: the pipeline, one function per stage.

prepare    the song as the game plays it, with silence before it so that bar lines begin at time 0
listen     the grid, what sounds at its slots, sections, a density plan
compose    rhythm and notes of each difficulty, the hardest first; easier ones thin its rhythm
dress      bombs, walls, arcs, chains, lights
write      note jump speed, cover, preview, the pack; read back and checked before it takes its name
"""

from __future__ import annotations

import io
import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from beatweaver import _native, audio, demo, extras, lighting, notes, rhythm, structure, timing
from beatweaver.config import RANKS
from beatweaver.errors import AudioError, ConfigError, LimitError
from beatweaver.files import write_atomic
from beatweaver.tokens import SLOTS_PER_BEAT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from beatweaver import neural
    from beatweaver.config import GenerateConfig

__all__ = ["STAGES", "Draft", "draft", "engine_name", "generate", "generate_all", "make_demo"]

STAGES: Final = ("prepare", "listen", "compose", "dress", "write")
_FIRST_S: Final = 2.0
"""No note before this: the linters ask for 1.5 s, mappers for 2."""
_OUTRO_S: Final = 2.1
"""Time after the last note: 2 s are asked for."""
_SHORTEST_S: Final = 10.0
_LONGEST_S: Final = 15 * 60.0
_FORMATS: Final = {"v2": 2, "v3": 3, "v4": 4}


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """How fast notes come at the player."""

    njs: float
    """Note jump speed, metres per second, at the difficulty's ordinary density."""
    per_nps: float
    """How much faster for each note per second above that."""
    reaction_s: float
    """Time from a note's appearance to its cut."""


SPEEDS: Final[Mapping[str, Speed]] = {
    "Easy": Speed(njs=10.0, per_nps=0.5, reaction_s=1.00),
    "Normal": Speed(njs=11.5, per_nps=0.5, reaction_s=0.85),
    "Hard": Speed(njs=13.0, per_nps=0.5, reaction_s=0.72),
    "Expert": Speed(njs=15.0, per_nps=0.5, reaction_s=0.62),
    "ExpertPlus": Speed(njs=17.0, per_nps=0.4, reaction_s=0.55),
}
"""Inside the ranges that ranking checkers give by swings per second, and mappers by difficulty."""


def generate(
    song: Path,
    target: Path,
    config: GenerateConfig,
    *,
    patterns: Path | None = None,
    weights: Path | None = None,
    plan_in: Path | None = None,
    plan_out: Path | None = None,
    bpm: float | None = None,
    offset_s: float | None = None,
    progress: Callable[[str], object] | None = None,
) -> dict[str, Any]:
    """Write a level pack of `song` at `target`; the same song, settings and seed give the same bytes.

    Args:
        song: audio file.
        target: a name ending in .zip, or a folder, new or empty; an archive of that name is replaced.
        config: difficulties, densities, seed, format and what is added to the notes.
        patterns: a table made by `train --engine classic`, for the one in the package.
        weights: a checkpoint made by `train`, for the one in the package.
        plan_in: a density plan to follow, as `plan_out` writes it.
        plan_out: file for the plan.
        bpm: the tempo, where it is known.
        offset_s: time of the first beat in the file, where it is known.
        progress: called with the name of each stage as it begins.

    Returns:
        One entry of `results` of the document that `beatweaver generate --json` prints.

    Raises:
        AudioError: no sound, or too short or too long to be a level.
        ConfigError: settings or plan that do not fit the song.
        OSError: the file system refused; nothing is left half-written.
    """
    seconds: dict[str, float] = {}
    began = time.monotonic()

    def stage(name: str) -> None:
        nonlocal began
        now = time.monotonic()
        if seconds:
            last = next(reversed(seconds))
            seconds[last] = round(now - began, 3)
        seconds[name] = 0.0
        began = now
        if progress is not None:
            progress(name)

    stage("prepare")
    heard = _hear(song, bpm, offset_s)
    stage("listen")
    sound = structure.listen(heard.envelope, heard.grid)
    engine = _engine(config, sound, heard.prepared.samples, patterns, weights)
    wanted = _wanted(config)
    plan = _plan(sound, wanted, config, engine) if plan_in is None else structure.read_plan(plan_in, sound)
    missing = [name for name in config.difficulties if name not in plan.nps]
    if missing:
        raise ConfigError(
            f"{plan_in}: found no densities of {', '.join(missing)}, expected all difficulties asked for",
            path=str(plan_in),
            hint="leave these out with --difficulty, or add them to every bar",
        )
    if plan_out is not None:
        write_atomic(plan_out, json.dumps(plan.document(), indent=1).encode())
    stage("compose")
    end_s = heard.prepared.seconds
    levels = _compose(sound, plan, config, end_s, engine)
    stage("dress")
    dressed = {name: _dress(level, sound, plan, name, config, end_s) for name, level in levels.items()}
    stage("write")
    document = _write(song, target, heard, sound, plan, levels, dressed, config, wanted)
    seconds["write"] = round(time.monotonic() - began, 3)
    return document | {"seconds": seconds}


def generate_all(
    songs: Sequence[Path],
    config: GenerateConfig,
    *,
    out: Path | None = None,
    install: Path | None = None,
    patterns: Path | None = None,
    weights: Path | None = None,
    plan_in: Path | None = None,
    plan_out: Path | None = None,
    bpm: float | None = None,
    offset_s: float | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Any]:
    """`generate` for several songs: the document that `beatweaver generate --json` prints.

    Without `out` and `install` each level stands beside the working folder's other files as "TITLE.zip". A song that
    fails is an entry with its error; what would fail for every song (settings, a full disk) is raised.

    Raises:
        ConfigError: settings, or options that do not go together.
        OSError: the file system refused to write.
    """
    single = out is not None and out.suffix.lower() == ".zip"
    for_one = {"--plan": plan_in, "--plan-out": plan_out, "--offset": offset_s, "-o NAME.zip": single or None}
    for option, given in for_one.items():
        if len(songs) > 1 and given is not None:
            raise ConfigError(f"{option}: found {len(songs)} songs, expected one; give each song its own run")
    if install is not None and not install.is_dir():
        raise ConfigError(
            f"--install: {install} is no folder, expected the game's CustomLevels folder", path=str(install)
        )
    results = []
    taken: set[Path] = set()
    done = 0
    for song in songs:
        target = _target(song, out, install, taken)

        def step(_: str) -> None:
            nonlocal done
            if progress is not None:
                progress(done, len(songs) * len(STAGES))
            done += 1

        try:
            result = generate(
                song,
                target,
                config,
                patterns=patterns,
                weights=weights,
                plan_in=plan_in,
                plan_out=plan_out,
                bpm=bpm,
                offset_s=offset_s,
                progress=step,
            )
        except (AudioError, LimitError, FileNotFoundError, IsADirectoryError, PermissionError) as error:
            if isinstance(error, OSError) and error.filename != str(song):
                raise
            result = {
                "song": str(song),
                "ok": False,
                "zip": None,
                "error": {"type": type(error).__name__, "message": str(error)},
                "seconds": {},
                "timing": None,
                "difficulties": [],
            }
        results.append(result)
        done = len(results) * len(STAGES)
    return {"results": results}


def make_demo(
    out: Path, config: GenerateConfig, progress: Callable[[int, int], object] | None = None
) -> dict[str, Any]:
    """Compose the song of `demo` into the folder `out` and generate a level beside it; the document of `generate`."""
    out.mkdir(parents=True, exist_ok=True)
    song = out / "BeatWeaver - Demo.ogg"
    write_atomic(song, demo.compose(seed=config.seed).ogg())
    return generate_all([song], config, out=out, progress=progress)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A level that is not written anywhere."""

    difficulty: _native.Difficulty
    """All its objects; time 0 is that of the level."""
    sound: structure.Sound
    """The song as it was heard, on the grid of the level."""
    pad_s: float
    """Silence before the song: a time of the level less a time of the song."""
    left_out: int
    """Notes of the rhythm for which no state was allowed."""
    refused: float
    """Draws that a mask took away: what would have been a violation."""


def draft(
    samples: NDArray[np.float32], grid: timing.Grid, config: GenerateConfig, *, weights: Path | None = None
) -> dict[str, Draft]:
    """What `generate` places for a song, by difficulty, without a file of song or pack.

    Args:
        samples: the song, mono at the rate of `timing.TimingConfig`.
        grid: its beats, as `timing.estimate_grid` finds them.
        config: what to make; the format does not matter.
        weights: a checkpoint, for the one in the package.
    """
    timed = timing.TimingConfig()
    pad_s, grid = _from_zero(grid)
    padded = np.concatenate([np.zeros(round(pad_s * timed.sample_rate_hz), dtype=np.float32), samples])
    end_s = len(padded) / timed.sample_rate_hz
    sound = structure.listen(timing.onset_envelope(padded, config=timed), grid)
    wanted = _wanted(config)
    engine = _engine(config, sound, padded, None, weights)
    plan = _plan(sound, wanted, config, engine)
    levels = _compose(sound, plan, config, end_s, engine)
    dressed: Mapping[str, Mapping[str, Any]] = {
        name: _dress(level, sound, plan, name, config, end_s) for name, level in levels.items()
    }
    return {
        name: Draft(
            difficulty=_native.Difficulty.from_arrays(
                name=name,
                bpm=grid.bpm,
                njs=level.njs,
                spawn_offset_beats=level.spawn_offset_beats,
                **dressed[name],
            ),
            sound=sound,
            pad_s=pad_s,
            left_out=level.placed.left_out,
            refused=level.placed.refused,
        )
        for name, level in levels.items()
    }


def _target(song: Path, out: Path | None, install: Path | None, taken: set[Path]) -> Path:
    """Where the level of `song` goes: never where another of this run has gone."""
    if out is not None and out.suffix.lower() == ".zip":
        return out
    stem = "".join(c if c.isalnum() or c in " -_().,'" else "_" for c in song.stem).strip(" .") or "level"
    folder, suffix = (install, "") if install is not None else (out or Path(), ".zip")
    for number in range(1, 10_000):
        target = folder / (f"{stem}{suffix}" if number == 1 else f"{stem} ({number}){suffix}")
        occupied = target in taken or (install is not None and target.exists())
        if not occupied:
            taken.add(target)
            return target
    raise ConfigError(f"{folder}: found 10 000 levels named {stem!r}, expected a free name")


def _wanted(config: GenerateConfig) -> dict[str, float]:
    """Notes per second of each difficulty that is asked for."""
    hardest = max(config.difficulties, key=RANKS.index)
    factor = config.nps / structure.NPS[hardest] if config.nps else 1.0
    return {name: structure.NPS[name] * factor for name in config.difficulties}


def _plan(
    sound: structure.Sound, wanted: Mapping[str, float], config: GenerateConfig, engine: Engine
) -> structure.Plan:
    """The plan of these difficulties, as dense from bar to bar as people would play the song."""
    onsets = {name: rhythm.expected_onsets(sound, name, nps, engine.odds) for name, nps in wanted.items()}
    return structure.plan(sound, list(wanted), wanted, onsets=onsets, rng=_song_rng(config, sound, "plan"))


# ---- prepare --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """The song of the pack, its envelope, and its grid, on which beat 0 is a bar line at time 0."""

    prepared: audio.Prepared
    envelope: timing.Envelope
    grid: timing.Grid


def _hear(song: Path, bpm: float | None, offset_s: float | None) -> Heard:
    config = timing.TimingConfig()
    try:
        samples = _native.decode_audio(song, sample_rate_hz=config.sample_rate_hz, max_seconds=_LONGEST_S)
    except LimitError as error:
        if "audio_seconds" in str(error):
            raise AudioError(
                f"{song}: the sound is longer than {_LONGEST_S / 60:.0f} min, expected a song; cut out what to play",
                path=str(song),
                expected=f"at most {_LONGEST_S / 60:.0f} min",
            ) from None
        raise
    length_s = len(samples) / config.sample_rate_hz
    if length_s < _SHORTEST_S:
        raise AudioError(
            f"{song}: found {length_s:.1f} s of sound, expected {_SHORTEST_S:.0f} s to {_LONGEST_S / 60:.0f} min",
            path=str(song),
            found=f"{length_s:.1f} s",
            expected=f"at least {_SHORTEST_S:.0f} s",
        )
    if not np.abs(samples).max(initial=0.0) > 1e-4:
        raise AudioError(f"{song}: the file is silent; there is nothing to map", path=str(song), found="silence")
    grid = timing.estimate_grid(timing.onset_envelope(samples, config=config), bpm=bpm, offset_s=offset_s)
    pad_s, grid = _from_zero(grid)
    prepared = audio.prepare(song, pad_s=pad_s, sample_rate_hz=config.sample_rate_hz, max_seconds=_LONGEST_S)
    # The features are of the very samples that the pack carries.
    return Heard(prepared=prepared, envelope=timing.onset_envelope(prepared.samples, config=config), grid=grid)


def _from_zero(grid: timing.Grid) -> tuple[float, timing.Grid]:
    """Silence to put before the song so that a bar line lies at time 0, and the grid counted from there."""
    downbeat = round(float(grid.beat(grid.downbeats_s[0]))) if len(grid.downbeats_s) else 0
    first_bpm = grid.regions[0][2]
    # The first tempo goes on backwards to the first bar line that is not in the song.
    beats_before = float(grid.beat(0.0)) - downbeat
    bars = math.ceil(-beats_before / grid.metre - 1e-6)
    bars = max(bars, 0)
    zero = downbeat - bars * grid.metre
    zero_s = float(grid.seconds(zero))
    pad_s = max(-zero_s, 0.0)
    if pad_s < 0.0005 and abs(zero_s) < 0.0005:
        pad_s = 0.0
    regions = [(time_s + pad_s, beat - zero, bpm) for time_s, beat, bpm in grid.regions]
    regions[0] = (0.0, 0.0, first_bpm)
    kept = [regions[0], *(row for row in regions[1:] if row[1] > 0)]
    moved = replace(
        grid,
        offset_s=0.0,
        regions=tuple(kept),
        beats_s=grid.beats_s + pad_s,
        downbeats_s=grid.downbeats_s + pad_s,
    )
    return pad_s, moved


# ---- compose --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Composed:
    """Notes of one difficulty, and how they come at the player."""

    placed: notes.Placed
    njs: float
    spawn_offset_beats: float


def _rng(config: GenerateConfig, *words: str) -> np.random.Generator:
    """A stream of chance of its own for each part, so that one part does not move another."""
    return np.random.default_rng([config.seed, *(int.from_bytes(word.encode(), "little") for word in words)])


def _song_rng(config: GenerateConfig, sound: structure.Sound, word: str) -> np.random.Generator:
    """The same, with another stream for every song, for what is to differ from song to song."""
    return _rng(config, word, np.round(sound.loudness_db).astype(np.int8).tobytes().hex())


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """What hears the rhythm of a song and places its notes."""

    name: str
    """classic or neural."""
    odds: rhythm.Odds
    table: notes.PatternTable | None
    """Of the classic engine."""
    listener: neural.Listener | None
    """Of the neural engine."""
    facts: Mapping[str, Any]
    """What the weights tell of their training."""


def engine_name(config: GenerateConfig, patterns: Path | None = None) -> str:
    """The engine that these settings ask for: classic or neural; a table of patterns asks for the one that reads it."""
    return config.engine if config.engine != "auto" else "neural" if patterns is None else "classic"


def _engine(
    config: GenerateConfig,
    sound: structure.Sound,
    samples: NDArray[np.float32],
    patterns: Path | None,
    weights: Path | None,
) -> Engine:
    name = engine_name(config, patterns)
    if name == "classic":
        table = notes.shipped() if patterns is None else notes.PatternTable.load(patterns)
        return Engine(name=name, odds=rhythm.classic_odds(sound), table=table, listener=None, facts={})
    from beatweaver import checkpoint, neural

    model, audio, facts = checkpoint.shipped() if weights is None else checkpoint.load(weights)
    rate_hz = timing.TimingConfig().sample_rate_hz
    if audio.sample_rate_hz != rate_hz:
        raise ConfigError(
            f"sample_rate_hz: found weights that hear at {audio.sample_rate_hz} Hz, expected {rate_hz}; train on maps "
            f"processed at {rate_hz} Hz",
            where="sample_rate_hz",
            found=str(audio.sample_rate_hz),
            expected=str(rate_hz),
        )
    listener = neural.Listener.hearing(model, audio, samples, sound)
    # A model that writes tokens has no rhythm of its own: the plan and the number of onsets are the classic ones then.
    odds = listener.odds if model.config.planned else rhythm.classic_odds(sound)
    return Engine(name=name, odds=odds, table=None, listener=listener, facts=facts)


def _compose(
    sound: structure.Sound, plan: structure.Plan, config: GenerateConfig, end_s: float, engine: Engine
) -> dict[str, Composed]:
    harder: rhythm.Rhythm | None = None
    clock = sound.grid.clock()
    taste = rhythm.taste(_song_rng(config, sound, "taste"))
    rhythms: dict[str, rhythm.Rhythm] = {}
    speeds: dict[str, tuple[float, float, float]] = {}
    hands: dict[str, tuple[_native.PlayState, _native.PlayState]] = {}
    for name in sorted(config.difficulties, key=RANKS.index, reverse=True):
        harder = rhythms[name] = rhythm.compose(
            sound,
            plan,
            name,
            _rng(config, name, "rhythm"),
            taste,
            engine.odds,
            within=harder,
            first_s=_FIRST_S,
            last_s=end_s - _OUTRO_S,
        )
        njs, reaction_s, _ = speeds[name] = _speed(name, float(plan.nps[name].max(initial=0.0)), sound.grid.bpm)
        hands[name] = notes.play_states(clock, name, sound.grid.bpm, njs=njs, reaction_s=reaction_s)
    if engine.listener is not None:
        placed = _placed_by_network(sound, config, engine.listener, engine.facts, rhythms, hands, end_s)
    else:
        table = engine.table or notes.shipped()
        placed = {
            name: notes.place(
                beaten,
                sound,
                name,
                hands[name][0],
                _rng(config, name, "notes"),
                table,
                taste,
                gentle=hands[name][1],
                temperature=config.temperature,
            )
            for name, beaten in rhythms.items()
        }
    return {
        name: Composed(placed=placed[name], njs=speeds[name][0], spawn_offset_beats=speeds[name][2])
        for name in RANKS
        if name in rhythms
    }


def _placed_by_network(
    sound: structure.Sound,
    config: GenerateConfig,
    listener: neural.Listener,
    facts: Mapping[str, Any],
    rhythms: Mapping[str, rhythm.Rhythm],
    hands: Mapping[str, tuple[_native.PlayState, _native.PlayState]],
    end_s: float,
) -> dict[str, notes.Placed]:
    from beatweaver import neural

    point = float(_song_rng(config, sound, "style").random())
    parts: dict[str, neural.Part] = {}
    for name, beaten in rhythms.items():
        count, both = len(beaten.slot), int((beaten.hands == rhythm.BOTH).sum())
        seconds = float(np.ptp(sound.grid.seconds(beaten.slot / SLOTS_PER_BEAT))) if count else 0.0
        parts[name] = neural.Part(
            name=name,
            rhythm=beaten,
            state=hands[name][0],
            gentle=hands[name][1],
            rng=_rng(config, name, "notes"),
            style=neural.style_of(facts, name, (count + both) / max(seconds, 1.0), both / max(count, 1), point),
        )
    draw = neural.Draw(
        temperature=config.temperature,
        hand_temperature=config.hand_temperature,
        top_p=config.top_p,
        guidance=config.guidance,
        beams=config.beams,
    )
    if not listener.model.config.planned:
        return neural.write(listener, parts, draw, first_s=_FIRST_S, last_s=end_s - _OUTRO_S)
    return neural.place(listener, parts, draw)


def _speed(name: str, peak_nps: float, bpm: float) -> tuple[float, float, float]:
    """Note jump speed, reaction time, and the offset of the half jump duration that makes it."""
    speed = SPEEDS[name]
    njs = round(speed.njs + speed.per_nps * min(max(peak_nps - structure.NPS[name], -2.0), 4.0), 1)
    # Linters want a jump distance of 18 m or more.
    reaction_s = max(speed.reaction_s, 18.1 / (2.0 * njs))
    beat_s = 60.0 / bpm
    half_jump = 4.0
    while njs * beat_s * half_jump > 17.999:
        half_jump /= 2.0
    half_jump = max(half_jump, 0.25)
    spawn = round(max(reaction_s / beat_s, 0.25) - half_jump, 3)
    return njs, (half_jump + spawn) * beat_s, spawn


# ---- dress ----------------------------------------------------------------------------------------------------------


def _dress(
    level: Composed,
    sound: structure.Sound,
    plan: structure.Plan,
    name: str,
    config: GenerateConfig,
    end_s: float,
) -> dict[str, Mapping[str, Any]]:
    """All groups of the difficulty as `Difficulty.from_arrays` takes them."""
    arrays = level.placed.arrays()
    added = extras.add(
        arrays,
        sound,
        plan,
        name,
        _rng(config, name, "extras"),
        bombs=cast("extras.Level", config.bombs),
        walls=cast("extras.Level", config.walls),
        decorative_walls=config.decorative_walls,
        rankable=config.rankable,
        end_s=end_s,
    )
    groups: dict[str, Mapping[str, Any]] = {
        "notes": arrays,
        "bombs": added.bombs,
        "obstacles": added.obstacles,
        "arcs": added.arcs,
        "chains": added.chains,
    }
    # One light show for all difficulties would do, but lights follow the notes that are played.
    lit = lighting.light(arrays, sound.grid, plan=plan, sound=sound, rng=_rng(config, "lights"), end_s=end_s)
    groups |= {"lights": lit["lights"], "boosts": lit["boosts"]}
    if len(sound.grid.regions) > 1 or sound.grid.regions[0][2] != sound.grid.bpm:
        groups["tempo"] = {
            "beat": np.array([beat for _, beat, _ in sound.grid.regions]),
            "bpm": np.array([bpm for _, _, bpm in sound.grid.regions]),
        }
    return groups


# ---- write ----------------------------------------------------------------------------------------------------------


def _write(
    song: Path,
    target: Path,
    heard: Heard,
    sound: structure.Sound,
    plan: structure.Plan,
    levels: Mapping[str, Composed],
    dressed: Mapping[str, Mapping[str, Any]],
    config: GenerateConfig,
    wanted: Mapping[str, float],
) -> dict[str, Any]:
    base_bpm = heard.grid.bpm
    difficulties = [
        _native.Difficulty.from_arrays(
            name=name,
            bpm=base_bpm,
            njs=level.njs,
            spawn_offset_beats=level.spawn_offset_beats,
            **dressed[name],
        )
        for name, level in levels.items()
    ]
    tags = audio.read_tags(song)
    title, artist = _named(song, tags)
    preview_s = _preview_s(sound, plan, heard.prepared.seconds)
    with tempfile.TemporaryDirectory(prefix=".beatweaver-", dir=_folder_of(target)) as folder:
        # Checked under another name first: what the checks refuse never stands where a level is looked for.
        draft = Path(folder, "level.zip")
        lost = _native.save_song(
            draft,
            difficulties,
            title=title,
            artist=artist,
            mapper="BeatWeaver (automatic)",
            bpm=base_bpm,
            audio=heard.prepared.ogg,
            cover=_cover(tags.cover, title, plan),
            version=_FORMATS[config.format],  # type: ignore[arg-type]
            preview_start_s=preview_s,
            editor="BeatWeaver",
        )
        findings = _native.check_song(draft, preset="default")
        rows = [_row(name, level, dressed[name], findings, heard.grid, wanted) for name, level in levels.items()]
        if target.suffix.lower() == ".zip":
            draft.replace(target)
        else:
            _unpack(draft, target)
    return {
        "song": str(song),
        "ok": not any(finding["severity"] == "error" for finding in findings),
        "zip": str(target),
        "error": None,
        "timing": {"bpm": heard.grid.bpm, "offset_s": heard.prepared.pad_s, "confidence": heard.grid.confidence},
        "difficulties": rows,
        "findings": [finding for finding in findings if finding["severity"] == "error"],
        "lost": lost,
    }


def _row(
    name: str,
    level: Composed,
    groups: Mapping[str, Mapping[str, Any]],
    findings: Sequence[Mapping[str, Any]],
    grid: timing.Grid,
    wanted: Mapping[str, float],
) -> dict[str, Any]:
    """What was asked and what came out, for one difficulty."""
    beat = level.placed.beat
    played_s = float(np.ptp(grid.seconds(beat[[0, -1]]))) if len(beat) > 1 else 0.0
    own = [finding for finding in findings if finding["difficulty"] == name]
    parity = [f for f in own if f["rule"] in ("parity-break", "parity-flow") and f["severity"] == "error"]
    return {
        "difficulty": name,
        "notes": len(beat),
        "nps": round(len(beat) / played_s, 3) if played_s else 0.0,
        "nps_target": round(wanted[name], 3),
        "bombs": len(groups["bombs"]["beat"]),
        "walls": len(groups["obstacles"]["beat"]),
        "arcs": len(groups["arcs"]["beat"]),
        "chains": len(groups["chains"]["beat"]),
        "light_events": len(groups["lights"]["beat"]) + len(groups["boosts"]["beat"]),
        "parity_errors": len(parity),
        "violations_before_repair": sum(f["severity"] == "error" for f in own),
        "repairs": level.placed.left_out,
        "warnings": sum(f["severity"] == "warning" for f in own),
    }


def _named(song: Path, tags: audio.Tags) -> tuple[str, str]:
    """Title and artist, from the tags, else from a file name like "Artist - Title"."""
    stem = song.stem.replace("_", " ").strip() or "Song"
    artist, _, title = stem.partition(" - ")
    if not title:
        artist, title = "", stem
    return (tags.title or title).strip()[:80] or "Song", (tags.artist or artist).strip()[:80]


def _preview_s(sound: structure.Sound, plan: structure.Plan, end_s: float) -> float:
    """Where the strongest section begins, early enough for ten seconds of it."""
    strongest = max(plan.sections, key=lambda section: (section.energy, section.end_bar - section.start_bar))
    start_s = float(sound.grid.seconds(strongest.start_bar * sound.metre))
    return round(max(min(start_s, end_s - 12.0), 0.0), 3)


def _cover(embedded: bytes | None, title: str, plan: structure.Plan) -> bytes:
    """A square PNG of 512 pixels: the file's own picture, else one drawn from the song's energy."""
    from PIL import Image, ImageDraw, UnidentifiedImageError

    size = 512
    if embedded is not None:
        try:
            with Image.open(io.BytesIO(embedded)) as picture:
                if max(picture.size) <= 8192:
                    square = picture.convert("RGB")
                    side = min(square.size)
                    left, top = (square.width - side) // 2, (square.height - side) // 2
                    square = square.crop((left, top, left + side, top + side)).resize((size, size))
                    return _png(square)
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            pass  # a damaged picture is as good as none
    seed = np.random.default_rng(list(title.encode()[:64]))
    hue = float(seed.random())
    y, x = np.mgrid[0:size, 0:size] / size
    drawn = Image.fromarray(_hsv(np.stack([(hue + 0.15 * y) % 1.0, 0.75 + 0 * x, 0.18 + 0.25 * (1 - y)], axis=-1)))
    pen = ImageDraw.Draw(drawn)
    bars = np.interp(np.linspace(0, len(plan.energy) - 1, 48), np.arange(len(plan.energy)), plan.energy)
    for index, energy in enumerate(bars):
        half = 8 + 150 * float(energy)
        colour = (214, 60, 74) if index % 2 == 0 else (64, 132, 230)
        left = 40 + index * 9
        pen.rounded_rectangle((left, size / 2 - half, left + 6, size / 2 + half), radius=3, fill=colour)
    return _png(drawn)


def _hsv(hsv: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    from PIL import Image

    return np.asarray(Image.fromarray((hsv * 255).astype(np.uint8), mode="HSV").convert("RGB"))


def _png(picture: Any) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, "PNG")
    return sink.getvalue()


def _folder_of(target: Path) -> Path:
    folder = target.parent if str(target.parent) else Path()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _unpack(archive: Path, target: Path) -> None:
    """The pack as a folder, which appears whole or not at all."""
    import zipfile

    if target.exists() and any(target.iterdir()):
        raise FileExistsError(17, "the folder exists and is not empty", str(target))
    with tempfile.TemporaryDirectory(prefix=".beatweaver-", dir=target.parent) as folder:
        whole = Path(folder, "level")
        with zipfile.ZipFile(archive) as pack:
            pack.extractall(whole)
        if target.exists():
            target.rmdir()
        whole.replace(target)
