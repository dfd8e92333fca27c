"""Songs made in code, random notes, and the rules of objects and lights told again, by brute force."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatweaver.structure import Plan, Sound, listen, plan
from beatweaver.timing import Envelope, Grid

Columns = Mapping[str, NDArray[Any]]
STEP = [(0, 1), (0, -1), (-1, 0), (1, 0), (-1, 1), (1, 1), (-1, -1), (1, -1)]
ANY_STEP = [*STEP, (0, 0)]


def grid(
    *, bpm: float = 120.0, metre: int = 4, offset_s: float = 0.0, changes: tuple[tuple[float, float], ...] = ()
) -> Grid:
    """A clock; `changes` are (beat, bpm)."""
    regions = [(offset_s, 0.0, bpm)]
    for beat, new in changes:
        time_s, last, old = regions[-1]
        regions.append((time_s + (beat - last) * 60.0 / old, beat, new))
    empty = np.empty(0)
    return Grid(
        bpm=bpm,
        offset_s=offset_s,
        metre=metre,
        confidence=1.0,
        regions=tuple(regions),
        beats_s=empty,
        downbeats_s=empty,
        candidates=(),
    )


def song(clock: Grid, seconds: float, seed: int = 0) -> tuple[Sound, Plan]:
    """A song of calm and loud parts, eight bars each, with onsets on beats, halves and some quarters."""
    rng = np.random.default_rng(seed)
    rate = 100.0
    flux = 0.02 * rng.random((math.ceil(seconds * rate), 4))
    level = np.full((max(math.ceil(seconds * 10), 1), 12), 0.2) + 0.05 * rng.random(
        (max(math.ceil(seconds * 10), 1), 12)
    )
    beats = max(int(clock.beat(seconds)), 0)
    for beat in range(beats):
        loud = (beat // (8 * clock.metre)) % 2
        for part, chance in ((0.0, 1.0), (0.5, 0.7), (0.25, 0.3 + 0.4 * loud), (0.75, 0.3 + 0.4 * loud)):
            frame = round(float(clock.seconds(beat + part)) * rate)
            if 0 <= frame < len(flux) and rng.random() < chance:
                flux[frame] += (1.0 + 2.0 * loud) * rng.random(4) + (1.0 if beat % clock.metre == 0 else 0.0)
        at = round(float(clock.seconds(beat)) * 10)
        level[max(at, 0) : at + round(10 * 60 / clock.bpm) + 1] += np.eye(12)[(beat // 4) % 12] * (0.3 + 2.0 * loud)
    envelope = Envelope(
        flux=flux.astype(np.float32),
        rate_hz=rate,
        start_s=0.0,
        chroma=level.astype(np.float32),
        chroma_rate_hz=10.0,
        duration_s=seconds,
    )
    sound = listen(envelope, clock)
    return sound, plan(sound, ["Expert"])


def notes(clock: Grid, seconds: float, per_second: float, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Any notes on quarters and thirds of beats, one per cell at a time, most of them swung up and down in turn."""
    rng = np.random.default_rng(seed)
    last = float(clock.beat(max(seconds - 2.0, 0.0)))
    rows: list[tuple[float, int, int, int, int]] = []
    down = [True, True]
    beat = float(rng.integers(2, 6))
    while beat < last:
        for color in {0: [0], 1: [1], 2: [0, 1]}[int(rng.choice(3, p=[0.42, 0.42, 0.16]))]:
            natural = rng.random() < 0.7
            x = int(rng.integers(0, 2)) + 2 * color if natural else int(rng.integers(4))
            cut = (1 if down[color] else 0) if natural else int(rng.integers(9))
            y = (0 if down[color] else int(rng.integers(0, 3))) if natural else int(rng.integers(3))
            down[color] = not down[color]
            if not any(row[0] == beat and row[1:3] == (x, y) for row in rows[-4:]):
                rows.append((beat, x, y, color, cut))
        wait = max(1, round(rng.exponential(4.0 * clock.bpm / 60.0 / per_second)))
        beat += wait / 4 if rng.random() < 0.95 else wait / 3
    rows.sort()
    names = ("beat", "x", "y", "color", "cut")
    kinds = (np.float64, np.uint8, np.uint8, np.uint8, np.uint8)
    return {
        name: np.array([row[i] for row in rows], dtype=kind)
        for i, (name, kind) in enumerate(zip(names, kinds, strict=True))
    }


def _rows(columns: Columns) -> list[dict[str, float]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]


def _turn(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Degrees between two directions."""
    angle = math.degrees(math.atan2(a[1], a[0]) - math.atan2(b[1], b[0])) % 360.0
    return min(angle, 360.0 - angle)


VISION_S = {
    "Easy": (0.025, 1.2),
    "Normal": (0.05, 1.0),
    "Hard": (0.08, 0.75),
    "Expert": (0.1, 0.625),
    "ExpertPlus": (0.1, 0.5),
}


def faults(placed: Columns, extras: Any, clock: Grid, difficulty: str, end_s: float) -> list[str]:
    """Everything that MapCheck, the ranking criteria or a player would hold against the objects around the notes."""

    def at(beat: float) -> float:
        return float(clock.seconds(beat))

    out: list[str] = []
    hits = _rows(placed)
    for hit in hits:
        hit["t"] = at(hit["beat"])
    bombs, walls = _rows(extras.bombs), _rows(extras.obstacles)
    arcs, chains = _rows(extras.arcs), _rows(extras.chains)
    out += _bomb_faults(hits, bombs, walls, chains, at, difficulty)
    out += _wall_faults(hits, walls, chains, at)
    out += _arc_faults(hits, arcs)
    out += _chain_faults(hits, chains, at, difficulty)
    for kind, rows in (("bomb", bombs), ("wall", walls), ("arc", arcs), ("chain", chains)):
        for row in rows:
            first = at(row["beat"])
            last = at(row.get("tail_beat", row["beat"] + row.get("duration_beats", 0.0)))
            if first < 1.5 - 1e-6 or row["beat"] < 0:
                out.append(f"hot start: {kind} at {first}")
            if last > end_s - 2.0 + 1e-6:
                out.append(f"outro: {kind} until {last} of {end_s}")
    return out


def _bomb_faults(hits: Any, bombs: Any, walls: Any, chains: Any, at: Any, difficulty: str) -> list[str]:
    out = []
    for i, bomb in enumerate(bombs):
        t, x, y = at(bomb["beat"]), bomb["x"], bomb["y"]
        place = f"bomb at {t:.3f} s in {x}, {y}"
        if x not in range(4) or y not in range(3):
            out.append(f"{place}: off the grid")
        if x in (1, 2):
            out.append(f"{place}: resets a hand or hides notes")
        if any((other["x"], other["y"]) == (x, y) and abs(at(other["beat"]) - t) < 0.02 for other in bombs[:i]):
            out.append(f"{place}: stacked")
        for hit in hits:
            apart_s, away = t - hit["t"], (x - hit["x"], y - hit["y"])
            far = math.hypot(*away)
            if abs(apart_s) <= 0.01 and far <= 2:
                out.append(f"{place}: with a note")
            if abs(apart_s) <= 0.125 and far <= 2:
                arrow = hit["cut"] < 8 and far > 0
                turn = _turn(away, STEP[int(hit["cut"])]) if arrow else 0.0
                if not arrow or turn <= 15 or turn >= 165:
                    out.append(f"{place}: hammer hit")
            if abs(apart_s) <= 0.3 and hit["cut"] < 8:
                line = [
                    (hit["x"] + k * STEP[int(hit["cut"])][0], hit["y"] + k * STEP[int(hit["cut"])][1])
                    for k in (-1, 0, 1)
                ]
                if (x, y) in line:
                    out.append(f"{place}: in the approach or exit of the note at {hit['t']:.3f}")
            shortest, longest = VISION_S[difficulty]
            if hit["y"] == 1 and hit["x"] in (1, 2) and shortest <= apart_s <= longest and (x < 2) == (hit["x"] < 2):
                out.append(f"{place}: hidden by a note")
        for color in (0, 1):
            own = [hit for hit in hits if hit["color"] == color]
            before = [hit for hit in own if hit["t"] <= t][-1:]
            after = [hit for hit in own if hit["t"] > t][:1]
            ends = [
                (h["x"] + s * ANY_STEP[int(h["cut"])][0], h["y"] + s * ANY_STEP[int(h["cut"])][1])
                for s, group in ((1, before), (-1, after))
                for h in group
            ]
            for k in range(21) if ends else ():
                hand = [a + (b - a) * k / 20 for a, b in zip(ends[0], ends[-1], strict=True)]
                if math.hypot(x - hand[0], y - hand[1]) <= 1.4:
                    out.append(f"{place}: in the way of hand {color}")
                    break
        for wall in walls:
            inside = wall["x"] <= x < wall["x"] + wall["width"] and y >= wall["y"]
            if inside and at(wall["beat"]) - 0.05 <= t <= at(wall["beat"] + wall["duration_beats"]) + 0.05:
                out.append(f"{place}: in a wall")
        for chain in chains:
            if at(chain["beat"]) - 0.1 <= t <= at(chain["tail_beat"]) + 0.1:
                columns = sorted((chain["x"], chain["tail_x"]))
                rows = sorted((chain["y"], chain["tail_y"]))
                if columns[0] <= x <= columns[1] and rows[0] <= y <= rows[1]:
                    out.append(f"{place}: in a chain")
    return out


def _wall_faults(hits: Any, walls: Any, chains: Any, at: Any) -> list[str]:
    out = []
    spans = []
    for wall in walls:
        start, end = at(wall["beat"]), at(wall["beat"] + wall["duration_beats"])
        x, y, width, height = (int(wall[name]) for name in ("x", "y", "width", "height"))
        place = f"wall at {start:.3f} s, {x}, {y}, {width} x {height}"
        if width <= 0 or height <= 0 or end - start < 0.015:
            out.append(f"{place}: no size")
        if x + width <= -1 or x >= 5:  # beside the track
            if y not in range(3) or height > 5:
                out.append(f"{place}: a size that needs a mod")
            continue
        if (y, height) not in ((0, 5), (2, 3)) or x < 0 or x + width > 4:
            out.append(f"{place}: not rankable")
        if y < 2 and (width > 2 or (x, width) == (1, 2)):
            out.append(f"{place}: two wide in the middle")
        spans.append((start, end, x, y, width))
        out += [
            f"{place}: note inside at {hit['t']:.3f}"
            for hit in hits
            if x <= hit["x"] < x + width and hit["y"] >= y and start - 0.05 <= hit["t"] <= end + 0.05
        ]
        for chain in chains:
            if (
                x <= chain["tail_x"] < x + width
                and chain["tail_y"] >= y
                and start - 0.05 <= at(chain["tail_beat"]) <= end
            ):
                out.append(f"{place}: chain inside")
    for i, (start, end, x, y, width) in enumerate(spans):
        for start2, end2, x2, y2, width2 in spans[:i]:
            near = start2 - 0.25 < end and start < end2 + 0.25
            closes = {c for c in (1, 2) if (x <= c < x + width and y < 2) or (x2 <= c < x2 + width2 and y2 < 2)}
            if near and closes == {1, 2}:
                out.append(f"walls at {start2:.3f} and {start:.3f} s: no way between them")
            if near and (width == 4) != (width2 == 4) and closes:
                out.append(f"walls at {start2:.3f} and {start:.3f} s: crouch and step at once")
            if x < x2 + width2 and x2 < x + width and start < end2 and start2 < end and max(y, y2) < 5:
                out.append(f"walls at {start2:.3f} and {start:.3f} s: one in the other")
    return out


def _arc_faults(hits: Any, arcs: Any) -> list[str]:
    out = []
    for arc in arcs:
        place = f"arc from beat {arc['beat']} to {arc['tail_beat']}"
        ends = []
        for beat, x, y, cut in (("beat", "x", "y", "cut"), ("tail_beat", "tail_x", "tail_y", "tail_cut")):
            on = [
                hit
                for hit in hits
                if hit["beat"] == arc[beat] and (hit["x"], hit["y"], hit["color"]) == (arc[x], arc[y], arc["color"])
            ]
            if not on or on[0]["cut"] != arc[cut] or arc[cut] > 7:
                out.append(f"{place}: no note at an end, or another direction")
            ends += on
        if arc["tail_beat"] <= arc["beat"]:
            out.append(f"{place}: no length")
        if any(hit["color"] == arc["color"] and arc["beat"] < hit["beat"] < arc["tail_beat"] for hit in hits):
            out.append(f"{place}: over another note of the hand")
        beside = [h for h in hits for end in ends if h is not end and abs(h["t"] - end["t"]) < 0.05]
        if any(h["color"] == arc["color"] for h in beside):
            out.append(f"{place}: ends in a hit of several notes")
        if not (0.1 <= arc["multiplier"] <= 1.5 and 0.1 <= arc["tail_multiplier"] <= 1.5 and arc["mid_anchor"] == 0):
            out.append(f"{place}: shape")
        same = [a for a in arcs if a["color"] == arc["color"] and a is not arc]
        if any(a["beat"] < arc["tail_beat"] and arc["beat"] < a["tail_beat"] for a in same):
            out.append(f"{place}: two at once for one hand")
    return out


def _chain_faults(hits: Any, chains: Any, at: Any, difficulty: str) -> list[str]:
    out = []
    for chain in chains:
        place = f"chain at beat {chain['beat']}"
        heads = [
            i
            for i, hit in enumerate(hits)
            if hit["beat"] == chain["beat"] and all(hit[name] == chain[name] for name in ("x", "y", "color", "cut"))
        ]
        if not heads or heads[0] < 16:
            out.append(f"{place}: no head, or too early")
        if difficulty in ("Easy", "Normal"):
            out.append(f"{place}: in an easy level")
        away = (chain["tail_x"] - chain["x"], chain["tail_y"] - chain["y"])
        far = math.hypot(*away)
        if chain["cut"] > 7 or far <= 0.1 or _turn(away, STEP[int(chain["cut"])]) > 45:
            out.append(f"{place}: direction")
        if chain["slices"] < 2 or chain["squish"] <= 0 or far * chain["squish"] / (chain["slices"] - 1) > 1.333:
            out.append(f"{place}: links")
        if chain["tail_x"] not in range(4) or chain["tail_y"] not in range(3):
            out.append(f"{place}: off the grid")
        beats = chain["tail_beat"] - chain["beat"]
        if not 0 < beats <= 4.2 / 16:
            out.append(f"{place}: length")
        end = at(chain["tail_beat"])
        for i, hit in enumerate(hits):
            if i in heads:
                continue
            if hit["color"] == chain["color"] and at(chain["beat"]) - 0.05 <= hit["t"] < end + 0.25:
                out.append(f"{place}: the hand's next note at {hit['t']:.3f}")
            elif at(chain["beat"]) - 0.08 < hit["t"] < end + 0.08:
                out.append(f"{place}: a note of the other hand beside it")
    return out


# ---- lights ---------------------------------------------------------------------------------------------------------

LAMPS = (0, 1, 2, 3, 4, 6, 7, 10, 11)


def dark_spans(show: Mapping[str, Columns], clock: Grid, start_s: float, end_s: float) -> list[tuple[float, float]]:
    """When no lamp is on: on and flash last, a fade lasts a second, off lingers a quarter, below 0.25 counts as off."""
    lit: list[tuple[float, float]] = []
    lights = show["lights"]
    times = clock.seconds(lights["beat"])
    for kind in LAMPS:
        rows = np.flatnonzero(lights["kind"] == kind)
        for k, row in enumerate(rows):
            until = float(times[rows[k + 1]]) if k + 1 < len(rows) else end_s
            value = int(lights["value"][row])
            if value == 0 or lights["brightness"][row] < 0.25:
                continue
            fades = (value - 1) % 4 == 2
            lit.append((float(times[row]), min(until, float(times[row]) + 1.0) if fades else until))
    out = []
    now = start_s
    for first, last in sorted(lit):
        if first > now + 1e-6:
            out.append((now, first))
        now = max(now, last)
    if now < end_s - 1e-6:
        out.append((now, end_s))
    return out


def light_faults(show: Mapping[str, Columns], clock: Grid, start_s: float, end_s: float) -> list[str]:
    """What MapCheck or a player would hold against the lights.

    MapCheck's rules: insufficientLight, invalidEventBox (none are made), unlitBomb (never dark, so that a bomb may lie
    anywhere), and what invalidObject, outsidePlayable and outro say of light events.
    """
    lights, boosts = show["lights"], show["boosts"]
    out = [f"dark from {a:.3f} to {b:.3f} s" for a, b in dark_spans(show, clock, start_s, end_s)]
    for group in (lights, boosts):
        if (np.diff(group["beat"]) < 0).any():
            out.append("not in order")
        times = clock.seconds(group["beat"])
        if len(times) and (times.min() < -1e-6 or times.max() > end_s or group["beat"].min() < 0):
            out.append(f"outside of the song: {times.min()} to {times.max()}")
    lamps = np.isin(lights["kind"], LAMPS)
    known = lamps | np.isin(lights["kind"], (8, 9, 12, 13))
    if not known.all() or (lights["value"] < 0).any() or (lights["value"][lamps] > 12).any():
        out.append("an event that the game does not know")
    keys = list(zip(lights["beat"].round(5).tolist(), lights["kind"].tolist(), strict=True))
    if len(set(keys)) != len(keys):
        out.append("two events of a kind at once")
    if (lights["brightness"] < 0.0).any() or not np.isfinite(lights["brightness"]).all():
        out.append("a brightness that is none")
    lit = lamps & (lights["value"] != 0)
    if end_s - start_s > 10.0 and int(lit.sum()) <= 10:
        out.append(f"insufficient light: {int(lit.sum())} lamp events that are not off")
    ends = np.concatenate([clock.seconds(group["beat"]) for group in (lights, boosts)])
    if end_s - start_s > 15.0 and not (ends > end_s - 15.0).any():
        out.append("nothing in the last 15 s")
    if set(show) != {"lights", "boosts"}:
        out.append("group lights, which the stage may not have")
    if len(boosts["on"]) and ((np.diff(boosts["on"].astype(int)) == 0).any() or not boosts["on"][0]):
        out.append("a boost that changes nothing")
    return out
