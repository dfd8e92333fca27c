"""Every setting, once: frozen dataclasses, read from flat JSON and `key=value` overrides.

A config file is one flat JSON object. Each key belongs to exactly one of `CONFIGS`, so one file can hold the settings
of several steps; `load` checks all its keys, `build` takes those of one class.

    settings = load(Path("small.json"), ["min_bpm=80"])
    process = build(ProcessConfig, settings)

The canonical bytes of a config (`Config.canonical`) are what crosses to Rust and what is hashed into cache keys.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from beatweaver.errors import ConfigError

__all__ = [
    "CONFIGS",
    "LEVELS",
    "RANKS",
    "AudioConfig",
    "Config",
    "GenerateConfig",
    "ModelConfig",
    "ProcessConfig",
    "TrainConfig",
    "build",
    "describe",
    "load",
]

RANKS: Final = ("Easy", "Normal", "Hard", "Expert", "ExpertPlus")
"""Difficulty ranks as the game writes them, easiest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Base of all: types are checked, then `check` looks at the values; both raise ConfigError naming the field."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = _typed(field.name, getattr(self, field.name), hints[field.name])
            object.__setattr__(self, field.name, value)
        self.check()

    def check(self) -> None:
        """Raise ConfigError if a value is out of range; types are right by now."""

    def canonical(self) -> bytes:
        """These settings as JSON with sorted keys and no spaces: equal settings give equal bytes."""
        values = dataclasses.asdict(self)
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()

    def digest(self) -> str:
        """SHA-256 of the canonical bytes, in hexadecimal."""
        return hashlib.sha256(self.canonical()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioConfig(Config):
    """What the features of a song are. The canonical bytes are part of the key under which they are stored."""

    sample_rate_hz: int = 22_050
    """Rate at which songs are heard."""
    n_fft: int = 2048
    """Samples in a spectral frame (93 ms)."""
    hop: int = 512
    """Samples from one frame to the next (23 ms)."""
    n_mels: int = 80
    """Bands of the mel spectrogram."""
    fmin_hz: float = 0.0
    """Lower edge of the lowest mel band."""
    fmax_hz: float | None = None
    """Upper edge of the highest mel band; null for half the sample rate."""
    power: float = 2.0
    """Exponent of the spectrum before it is summed to mel bands: 2 for power, 1 for magnitude."""
    top_db: float | None = 80.0
    """Decibels below the loudest value at which the spectrogram is cut off; null for no cut."""
    band_edges_hz: tuple[float, ...] = (0.0, 200.0, 800.0, 3200.0, 11_025.0)
    """Edges of the bands whose rises are kept one by one: kick and bass, body, snare and melody, cymbals."""
    slots_per_beat: int = 12
    """Slots of the beat grid in one beat: halves, thirds, quarters, sixths and twelfths fall on one."""

    def check(self) -> None:
        """Raise ConfigError if the values make no features; the front end itself knows which do."""
        from beatweaver import _native

        _native.feature_widths(self.canonical())


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessConfig(Config):
    """What `process` takes into the corpus, and how it divides it."""

    min_difficulty: str = "Easy"
    """Easiest rank that is taken: Easy, Normal, Hard, Expert or ExpertPlus."""
    characteristics: tuple[str, ...] = ("Standard",)
    """Game modes that are taken, as the game writes them."""
    min_bpm: float = 50.0
    """Songs slower than this many beats per minute are left out."""
    max_bpm: float = 300.0
    """Songs faster than this many beats per minute are left out."""
    min_notes: int = 20
    """Difficulties with fewer onsets (notes at one time count once) are left out."""
    max_onsets_per_min: float = 2000.0
    """Difficulties with more onsets per minute are left out."""
    min_seconds: float = 15.0
    """Difficulties whose notes span fewer seconds are left out."""
    max_wall_share: float = 0.9
    """Difficulties in which walls are a larger share of all objects than this (0 to 1) are left out."""
    require_vanilla: bool = False
    """Leave out every difficulty that needs or suggests a mod."""
    splits: tuple[float, float, float] = (0.85, 0.1, 0.05)
    """Shares of songs for training, validation and test; they add up to 1."""
    shards: int = 0
    """Number of files the tokens are spread over; 0 lets it grow with the corpus."""
    threads: int = 0
    """Worker threads; 0 means BEATWEAVER_THREADS, or all cores."""

    def check(self) -> None:
        """Raise ConfigError if a value is out of range."""
        if self.min_difficulty not in RANKS:
            _refuse(
                "min_difficulty",
                self.min_difficulty,
                f"one of {', '.join(RANKS)}",
                _nearest_hint(self.min_difficulty, RANKS),
            )
        if not self.characteristics or "" in self.characteristics:
            _refuse("characteristics", self.characteristics, "at least one name, none of them empty")
        _within("min_bpm", self.min_bpm, 0, math.inf)
        _within("max_bpm", self.max_bpm, self.min_bpm, math.inf)
        _within("min_notes", self.min_notes, 0, 1_000_000)
        _within("max_onsets_per_min", self.max_onsets_per_min, 0, math.inf)
        _within("min_seconds", self.min_seconds, 0, math.inf)
        _within("max_wall_share", self.max_wall_share, 0, 1)
        for share in self.splits:
            _within("splits", share, 0, 1)
        if abs(math.fsum(self.splits) - 1) > 1e-9:
            _refuse("splits", self.splits, "three shares that add up to 1")
        _within("shards", self.shards, 0, 65_536)
        _within("threads", self.threads, 0, 1024)


LEVELS: Final = ("none", "low", "medium", "high")
"""How much of something is added."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateConfig(Config):
    """What `generate` makes of a song."""

    difficulties: tuple[str, ...] = RANKS
    """Difficulties to make, as the game writes them."""
    nps: float = 0.0
    """Notes per second of the hardest difficulty, the easier ones in proportion; 0 takes what is usual."""
    engine: str = "auto"
    """What hears the rhythm and places the notes: neural (the transformer), classic; auto is neural."""
    seed: int = 0
    """Another seed gives another level of the same song."""
    format: str = "v3"
    """Format version that is written: v2, v3 or v4."""
    temperature: float = 1.0
    """Below 1 patterns are plainer, above 1 rarer."""
    hand_temperature: float = 0.8
    """The same for which hand plays, and for where notes lie in joint decoding; neural engine only."""
    top_p: float = 1.0
    """The likeliest places that make up this share are drawn from; neural engine only."""
    guidance: float = 1.0
    """How much more than learnt the style asked for counts for the places, 1 for no more; neural engine only."""
    beams: int = 1
    """Levels composed side by side of which the likeliest is kept, 1 to draw one; neural engine only."""
    bombs: str = "medium"
    """Bombs: none, low, medium or high."""
    walls: str = "medium"
    """Walls: none, low, medium or high."""
    decorative_walls: bool = False
    """Add walls beside the player that are only looked at."""
    rankable: bool = False
    """Leave out what ranking does not take: chains."""

    def check(self) -> None:
        """Raise ConfigError if a value is out of range."""
        if not self.difficulties or len(set(self.difficulties)) != len(self.difficulties):
            _refuse("difficulties", self.difficulties, "at least one, none of them twice")
        for name in self.difficulties:
            if name not in RANKS:
                _refuse("difficulties", name, f"one of {', '.join(RANKS)}", _nearest_hint(name, RANKS))
        if self.nps:
            _within("nps", self.nps, 0.2, 20)
        for field, choices in (("engine", ("auto", "classic", "neural")), ("format", ("v2", "v3", "v4"))):
            if getattr(self, field) not in choices:
                _refuse(field, getattr(self, field), f"one of {', '.join(choices)}")
        for field in ("bombs", "walls"):
            if getattr(self, field) not in LEVELS:
                _refuse(field, getattr(self, field), f"one of {', '.join(LEVELS)}")
        _within("seed", self.seed, 0, 2**63 - 1)
        for field in ("temperature", "hand_temperature"):
            _within(field, getattr(self, field), 0.05, 3)
        _within("top_p", self.top_p, 0.05, 1)
        _within("guidance", self.guidance, 0, 10)
        _within("beams", self.beams, 1, 64)


PLANNED: Final = 217
"""Choices of planned decoding: a state of one hand, and what stands before the first note."""
JOINT: Final = 291
"""Tokens of joint decoding: the vocabulary of bars, positions and notes."""
PARTS: Final = ("encoder", "rhythm", "decoder")
"""Parts of the transformer; joint decoding has no rhythm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig(Config):
    """What the transformer is. A checkpoint holds these beside its weights."""

    vocab_size: int = PLANNED
    """217: the rhythm gives the slots and the decoder places hands there; 291: the decoder writes tokens for all."""
    max_seq_len: int = 1024
    """Steps back that the decoder sees."""
    max_audio_len: int = 16_384
    """Slots of a song that are heard at most in training; a longer song is cut."""
    conv_blocks: int = 0
    """Convolutions over the slots before the encoder's attention."""
    encoder_stride: int = 12
    """Slots that one step of the encoder's attention spans."""
    encoder_layers: int = 2
    """Layers of the encoder's attention."""
    encoder_dim: int = 128
    """Width of the encoder."""
    encoder_heads: int = 4
    """Heads of the encoder's attention."""
    encoder_ff_dim: int = 384
    """Inner width of the encoder's feed-forward layers."""
    decoder_layers: int = 4
    """Layers of the decoder."""
    decoder_dim: int = 128
    """Width of the decoder."""
    decoder_heads: int = 4
    """Heads of the decoder's attention."""
    decoder_ff_dim: int = 384
    """Inner width of the decoder's feed-forward layers."""
    kv_groups: int = 1
    """Heads of queries that share one head of keys and values."""
    dropout: float = 0.1
    """Share of activations dropped in training."""
    use_rope: bool = True
    """Turn queries and keys by their beat (RoPE); otherwise sines of it are added to the input."""
    position: str = "beats"
    """What the decoder takes for the place of a step: beats, or index, the count of steps."""
    use_onset_features: bool = True
    """Hear onset strength and the rises of bands beside the mel spectrogram."""

    @property
    def planned(self) -> bool:
        """Whether the slots of notes are given to the decoder."""
        return self.vocab_size == PLANNED

    def kv_heads_of(self, heads: int) -> int:
        """Heads of keys and values beside `heads` of queries."""
        return max(heads // self.kv_groups, 1)

    def check(self) -> None:
        """Raise ConfigError if a value is out of range or does not go with another."""
        if self.vocab_size not in (PLANNED, JOINT):
            _refuse("vocab_size", self.vocab_size, f"{PLANNED} (planned decoding) or {JOINT} (joint decoding)")
        if self.position not in ("beats", "index"):
            _refuse("position", self.position, "beats or index")
        _within("max_seq_len", self.max_seq_len, 16, 65_536)
        _within("max_audio_len", self.max_audio_len, 48, 262_144)
        _within("conv_blocks", self.conv_blocks, 0, 64)
        if self.encoder_stride not in (1, 2, 3, 4, 6, 12, 24, 48):
            _refuse("encoder_stride", self.encoder_stride, "a divisor of 48, the slots of a bar")
        for side in ("encoder", "decoder"):
            dim, heads = getattr(self, f"{side}_dim"), getattr(self, f"{side}_heads")
            _within(f"{side}_layers", getattr(self, f"{side}_layers"), 1, 64)
            _within(f"{side}_dim", dim, 8, 8192)
            _within(f"{side}_heads", heads, 1, 128)
            _within(f"{side}_ff_dim", getattr(self, f"{side}_ff_dim"), 8, 65_536)
            if dim % (2 * heads):
                _refuse(f"{side}_dim", dim, f"a multiple of twice the {heads} heads")
            _within("kv_groups", self.kv_groups, 1, heads)
            if heads % self.kv_groups:
                _refuse("kv_groups", self.kv_groups, f"a divisor of the {heads} heads of the {side}")
        _within("dropout", self.dropout, 0, 0.9)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig(Config):
    """How the transformer learns."""

    minutes: float = 0.0
    """Time after which training stops in good order, its schedule fitted to it; 0 for no limit."""
    max_epochs: int = 50
    """Rounds through the songs."""
    batch_size: int = 2
    """Songs of a step on one device."""
    gradient_accumulation_steps: int = 1
    """Batches whose gradients are added up before a step."""
    notes_per_level: int = 512
    """Steps of the decoder that are learnt of one level at a time, in planned decoding; tokens in joint decoding."""
    silent_levels: int = 4
    """Levels without audio beside each song of a batch: they teach the notes alone."""
    learning_rate: float = 1e-3
    """Largest step size."""
    warmup_steps: int = 100
    """Steps over which the learning rate rises."""
    scheduler: str = "cosine"
    """What the learning rate does then: cosine, plateau, step, restarts or constant."""
    weight_decay: float = 0.02
    """Pull of matrices towards zero (AdamW)."""
    gradient_clip_norm: float = 1.0
    """Longest gradient of a step."""
    ema_decay: float = 0.998
    """How slowly the averaged weights, which are the ones kept, follow."""
    precision: str = "fp32"
    """Arithmetic: fp32, bf16 or fp16 (with a scaled loss)."""
    label_smoothing: float = 0.05
    """Share of a note's target spread over all choices."""
    rhythm_loss_weight: float = 4.0
    """Weight of the slots' loss beside that of the notes."""
    density_loss_weight: float = 0.1
    """Weight of how far the expected number of onsets of each bar is from the true one."""
    color_balance_weight: float = 0.1
    """Weight of how far the expected share of left-hand notes is from the true one."""
    official_ratio: float = 0.0
    """Share of an epoch's songs that is drawn from maps by the game's makers, where there are any; 0: as they come."""
    score_weighting: bool = True
    """Levels that players rate higher weigh more, where scores are known."""
    easy_weight: float = 0.5
    """Weight of the rhythm of Easy, Normal and Hard beside that of Expert and Expert+."""
    onset_share_min: float = 0.5
    """Levels whose notes lie on audible onsets less often than this teach notes, not rhythm."""
    parity_breaks_max: float = 1.0
    """Levels that break parity in a larger share of their swings are not learnt; 0.05 keeps half of people's."""
    statistics_dropout: float = 0.15
    """Chance that a statistic of a level is hidden, and again that all are."""
    mirror: bool = True
    """Show levels in a mirror with the hands exchanged half of the time."""
    spec_augment: bool = True
    """Hide up to two stretches of bands and of time (SpecAugment)."""
    pitch_bands: int = 2
    """Mel bands by which a song is moved up or down at most."""
    noise_db: float = 3.0
    """Spread of gain, tilt and noise put on the features, in decibels."""
    jitter_slots: float = 0.2
    """Share of a slot by which the grid is moved at most."""
    frozen: tuple[str, ...] = ()
    """Parts that stay as they began: encoder, rhythm, decoder. Notes may learn on where the rhythm overfits."""
    training_seed: int = 0
    """Of the weights, the order of songs and every change made to them."""
    evaluate_every: int = 200
    """Steps from one look at the validation songs to the next."""
    generated_levels: int = 12
    """Validation songs of which levels are made at each look, to judge a run by; 0 judges by slots or choices alone."""
    early_stopping_patience: int = 10
    """Looks at the validation songs without a better one after which training stops; 0 never."""
    save_every: int = 200
    """Steps from one resumable state to the next."""
    device: str = "auto"
    """auto, cpu or cuda."""

    def check(self) -> None:
        """Raise ConfigError if a value is out of range."""
        for field in ("minutes", "weight_decay", "noise_db", "rhythm_loss_weight", "easy_weight"):
            _within(field, getattr(self, field), 0, math.inf)
        for field in ("density_loss_weight", "color_balance_weight"):
            _within(field, getattr(self, field), 0, math.inf)
        for field in ("max_epochs", "batch_size", "gradient_accumulation_steps", "evaluate_every", "save_every"):
            _within(field, getattr(self, field), 1, 2**31)
        for field in ("warmup_steps", "silent_levels", "generated_levels", "early_stopping_patience", "pitch_bands"):
            _within(field, getattr(self, field), 0, 2**31)
        _within("notes_per_level", self.notes_per_level, 16, 65_536)
        _within("learning_rate", self.learning_rate, 1e-9, 10)
        _within("gradient_clip_norm", self.gradient_clip_norm, 1e-6, math.inf)
        for field in (
            "ema_decay",
            "label_smoothing",
            "official_ratio",
            "statistics_dropout",
            "onset_share_min",
            "parity_breaks_max",
        ):
            _within(field, getattr(self, field), 0, 1)
        _within("jitter_slots", self.jitter_slots, 0, 0.5)
        _within("training_seed", self.training_seed, 0, 2**63 - 1)
        if not set(self.frozen) < set(PARTS):
            _refuse("frozen", list(self.frozen), f"some of {', '.join(PARTS)}, not all")
        choices = {
            "scheduler": ("cosine", "plateau", "step", "restarts", "constant"),
            "precision": ("fp32", "bf16", "fp16"),
            "device": ("auto", "cpu", "cuda"),
        }
        for field, allowed in choices.items():
            if getattr(self, field) not in allowed:
                _refuse(field, getattr(self, field), f"one of {', '.join(allowed)}")


CONFIGS: Final[tuple[type[Config], ...]] = (ProcessConfig, AudioConfig, ModelConfig, TrainConfig, GenerateConfig)
"""Every config class; a key of a config file belongs to exactly one of them."""

OTHER_NAMES: Final[Mapping[str, str]] = {"sample_rate": "sample_rate_hz", "hop_length": "hop"}
"""Names that files of other programs use for a key of ours."""

C = TypeVar("C", bound=Config)


def load(file: Path | None = None, overrides: Iterable[str] = ()) -> dict[str, object]:
    """Flat settings from a JSON file, then `key=value` overrides, later ones winning.

    Values of overrides are JSON; a bare word is a string. Keys of `OTHER_NAMES` are taken for ours.

    Raises:
        ConfigError: not JSON, not one object, a key twice, under both its names, or unknown, an override without `=`.
        OSError: the file cannot be read.
    """
    settings: dict[str, object] = {}
    for name, value in ({} if file is None else _read(file)).items():
        key = OTHER_NAMES.get(name, name)
        if key in settings:
            other = next(other for other, own in OTHER_NAMES.items() if own == key)
            raise ConfigError(f"{file}: found {key} and {other}, expected one of them", path=str(file), where=key)
        _known(key, file)
        settings[key] = value
    for override in overrides:
        name, equals, text = override.partition("=")
        key = OTHER_NAMES.get(name, name)
        if not equals:
            raise ConfigError(
                f"--set {override}: found no '=', expected key=value", where=override, expected="key=value"
            )
        _known(key, None)
        settings[key] = _value(text)
    return settings


def build(cls: type[C], settings: Mapping[str, object]) -> C:
    """The `cls` that `settings` describe; keys of other config classes are passed over.

    Raises:
        ConfigError: a value of the wrong type or out of range.
    """
    names = {field.name for field in dataclasses.fields(cls)}
    return cls(**{key: value for key, value in settings.items() if key in names})


def describe(cls: type[Config]) -> dict[str, str]:
    """What each field decides, from the line under it: the text of help and documentation."""
    [body] = [node.body for node in ast.parse(inspect.getsource(cls)).body if isinstance(node, ast.ClassDef)]
    texts: dict[str, str] = {}
    for node, after in pairwise(body):
        match node, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                texts[name] = inspect.cleandoc(text)
    return texts


def _read(file: Path) -> dict[str, object]:
    try:
        parsed = json.loads(file.read_text("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"{file}: {where}: {error.msg.lower()}", path=str(file), where=where) from None
    except (ValueError, RecursionError) as error:  # not UTF-8, a number of thousands of digits, nested too deeply
        raise ConfigError(f"{file}: not a JSON text file: {error}", path=str(file), expected="JSON in UTF-8") from None
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}", path=str(file), where=error.where) from None
    if not isinstance(parsed, dict):
        found = type(parsed).__name__
        raise ConfigError(
            f"{file}: found a {found}, expected one flat JSON object", path=str(file), found=found, expected="object"
        )
    return parsed


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    seen: dict[str, object] = {}
    for key, value in pairs:
        if key in seen:
            raise ConfigError(f"{key}: found twice, expected once", where=key)
        seen[key] = value
    return seen


def _no_constant(name: str) -> NoReturn:
    raise ConfigError(f"found {name}, expected a finite number", found=name, expected="a finite number")


def _value(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _known(key: str, file: Path | None) -> None:
    names = [field.name for cls in CONFIGS for field in dataclasses.fields(cls)]
    if key not in names:
        source = "--set" if file is None else str(file)
        raise ConfigError(
            f"{source}: found the unknown key {key!r}",
            path=None if file is None else str(file),
            where=key,
            found=key,
            hint=_nearest_hint(key, names) or f"the keys are {', '.join(names)}",
        )


def _nearest_hint(word: str, words: Iterable[str]) -> str | None:
    near = get_close_matches(word, words, n=1)
    return f"did you mean {near[0]}?" if near else None


def _refuse(field: str, found: object, expected: str, hint: str | None = None) -> NoReturn:
    raise ConfigError(
        f"{field}: found {found!r}, expected {expected}", where=field, found=repr(found), expected=expected, hint=hint
    )


def _within(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        _refuse(field, value, f"at least {low:g}" if high == math.inf else f"{low:g} to {high:g}")


def _typed(field: str, value: object, hint: Any) -> object:
    """`value` as the type `hint`, with the freedoms JSON needs: lists for tuples, whole numbers for floats."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is Ellipsis:
            return tuple(_typed(field, item, arguments[0]) for item in value)
        if len(value) == len(arguments):
            return tuple(_typed(field, item, kind) for item, kind in zip(value, arguments, strict=True))
    elif origin is types.UnionType and value is None and type(None) in arguments:
        return None
    elif origin is types.UnionType:
        return _typed(field, value, next(kind for kind in arguments if kind is not type(None)))
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value) + 0.0  # -0.0 and 0.0 are one setting
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    elif isinstance(value, str) and hint is str:
        if not any("\ud800" <= character <= "\udfff" for character in value):  # has no UTF-8 bytes to hash
            return value
    elif hint in (bool, int) and type(value) is hint:
        return value
    return _refuse(field, value, _spoken(hint))


def _spoken(hint: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}
    if hint in names:
        return names[hint]
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        if arguments[-1] is Ellipsis:
            return f"a list, each item {_spoken(arguments[0])}"
        return f"a list of {len(arguments)}: {', '.join(map(_spoken, arguments))}"
    return " or ".join("null" if kind is type(None) else _spoken(kind) for kind in arguments)
