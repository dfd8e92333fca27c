# Made by `make stubs` from the Rust sources; changes belong there.
"""
The native half of BeatWeaver; people import `beatweaver`, which stands on it.
"""

import collections
import collections.abc
import numpy
import numpy.typing
import os
import typing

from _typeshed import SupportsGetItem
from numpy import float64
from numpy.typing import NDArray
from typing import Any, SupportsIndex, final

__all__ = [
    "Difficulty",
    "Grammar",
    "PlayState",
    "Song",
    "Store",
    "TempoMap",
    "Vocab",
    "align",
    "beat_slots",
    "build_info",
    "check_rules",
    "check_song",
    "compute_mel_with_onset",
    "convert_song",
    "decode_audio",
    "decode_audio_with_info",
    "encode_vorbis",
    "feature_widths",
    "features",
    "load_song",
    "load_song_bytes",
    "onset_times",
    "play_facts",
    "play_presets",
    "play_rules",
    "prepare_audio",
    "process",
    "read_tags",
    "relight_song",
    "save_song",
    "thread_count",
]

@final
class Difficulty:
    """
    One level: its objects as arrays, sorted by beat.
    """
    def __repr__(self, /) -> str: ...
    def arcs(self, /) -> dict[str, numpy.typing.NDArray[typing.Any]]:
        """
        Arcs.

        Returns:
            `beat` `time` `tail_beat` `tail_time` `multiplier` `tail_multiplier` float64 `[N]`;
            `color` `x` `y` `cut` `tail_x` `tail_y` `tail_cut` `mid_anchor` int32 `[N]`.
        """
    def bombs(self, /) -> dict[str, numpy.typing.NDArray[typing.Any]]:
        """
        Bombs without fakes.

        Returns:
            `beat` and `time` float64 `[N]`, `x` `y` int32 `[N]`.
        """
    def boosts(self, /) -> dict[str, numpy.typing.NDArray[typing.Any]]:
        """
        Boost events.

        Returns:
            `beat` `time` float64 `[N]`, `on` bool `[N]`.
        """
    @property
    def category(self, /) -> str:
        """
        `vanilla`, `chroma`, `mapping-extensions`, `noodle` or `vivify`.
        """
    def chains(self, /) -> dict[str, numpy.typing.NDArray[typing.Any]]:
        """
        Chains without fakes.

        Returns:
            `beat` `time` `tail_beat` `tail_time` `squish` float64 `[N]`; `color` `x` `y` `cut` `tail_x` `tail_y` `slices` int32 `[N]`.
        """
    @property
    def characteristic(self, /) -> str:
        """
        Game mode, for example `Standard`.
        """
    @property
    def file(self, /) -> str:
        """
        Level file inside of the pack.
        """
    @staticmethod
    def from_arrays(
        *,
        characteristic: str = "Standard",
        name: str = "ExpertPlus",
        bpm: float,
        njs: float = 16.0,
        spawn_offset_beats: float = 0.0,
        **groups: collections.abc.Mapping[str, numpy.typing.ArrayLike],
    ) -> Difficulty:
        """
        A level from arrays, for writing with `save_song`.

        Args:
            characteristic: game mode.
            name: difficulty name.
            bpm: tempo of the song it belongs to.
            njs: note jump speed in metres per second.
            spawn_offset_beats: offset of the half jump duration.
            groups: `notes`, `bombs`, `obstacles`, `arcs`, `chains`, `lights`, `boosts`, `tempo` as the methods of that name
                return them; `time` is ignored, columns left out are 0 (brightness 1, `bpm` of `tempo` required).

        Raises:
            ConfigError: an unknown group or column, columns of different lengths, a beat that is not finite.
        """
    @property
    def label(self, /) -> str | None:
        """
        Name shown in place of the difficulty, if any.
        """
    def lights(self, /) -> dict[str, numpy.typing.NDArray[typing.Any]]:
        """
        Basic events (lights, rings, lasers) without boosts.

        Returns:
            `beat` `time` `brightness` float64 `[N]`, `kind` and `value` int32 `[N]`.
        """
    @property
    def name(self, /) -> str:
        """
        `Easy`, `Normal`, `Hard`, `Expert` or `ExpertPlus`.
        """
    @property
    def njs(self, /) -> float:
        """
        Note jump speed in metres per second.
        """
    def note_extras(self, /) -> list[str]:
        """
        What the file says of each note beyond its columns, as JSON text; the empty text where there is nothing.
        """
    def notes(self, /) -> dict[str, numpy.typing.NDArray[typing.Any]]:
        """
        Notes without fakes.

        Returns:
            `beat` and `time` float64 `[N]` (beats, seconds), `x` `y` `color` `cut` `angle` int32 `[N]`. Colour 0 is left, 1 right.
            Cut 0 up, 1 down, 2 left, 3 right, 4 up-left, 5 up-right, 6 down-left, 7 down-right, 8 any; angle in degrees
            counter-clockwise on top of it. Values off the 4×3 grid belong to mods.
        """
    def obstacles(self, /) -> dict[str, numpy.typing.NDArray[typing.Any]]:
        """
        Walls without fakes.

        Returns:
            `beat`, `time` and `duration_beats` float64 `[N]`, `x` `y` `width` `height` int32 `[N]`.
        """
    @property
    def rank(self, /) -> int:
        """
        1, 3, 5, 7 or 9.
        """
    @property
    def requirements(self, /) -> list[str]:
        """
        Mods the level cannot be played without.
        """
    @property
    def spawn_offset_beats(self, /) -> float:
        """
        Offset of the half jump duration in beats.
        """
    def stats(self, /) -> dict[str, typing.Any]:
        """
        Figures at a glance: `notes`, `onsets`, `bombs`, `walls`, `arcs`, `chains`, `events`, `fakes`, `nps`, `first_note_s` and
        `last_note_s` (None without notes).
        """
    @property
    def suggestions(self, /) -> list[str]:
        """
        Mods the level makes use of.
        """
    @property
    def tempo(self, /) -> TempoMap:
        """
        The clock of this level.
        """
    @property
    def version(self, /) -> str:
        """
        Format version of the level file.
        """
    @property
    def warnings(self, /) -> list[dict[str, Any]]:
        """
        What was odd in its files: `rule`, `file`, `where`, `message`, `count` each.
        """

@final
class Grammar:
    """
    Which token may follow, for a batch of sequences.

    Example:
        >>> import numpy as np
        >>> vocab = Vocab(b'{"content":"notes","divisions":48}')
        >>> grammar = Grammar(vocab, batch=1)
        >>> mask = np.zeros((1, vocab.size), bool)
        >>> grammar.mask(mask)
        >>> np.flatnonzero(mask[0]).tolist()
        [1]
    """
    def __new__(cls, /, vocab: Vocab, *, batch: SupportsIndex) -> Grammar:
        """
        A grammar at the beginning of `batch` sequences.

        Args:
            vocab: the vocabulary.
            batch: number of sequences.
        """
    def fork(self, /, rows: SupportsGetItem[int, SupportsIndex]) -> None:
        """
        Makes the batch anew from rows of the old one: sequence `i` becomes a copy of `rows[i]`.
        """
    def mask(self, /, out: numpy.typing.NDArray[numpy.bool_]) -> None:
        """
        Fills in which tokens may follow; never empty.

        Args:
            out: bool `[B, V]`, C-contiguous, filled in place.

        Raises:
            ConfigError: another shape, or not contiguous.
        """
    def push(self, /, tokens: numpy.typing.NDArray[numpy.uint16]) -> None:
        """
        Adds one token to every sequence.

        Args:
            tokens: uint16 `[B]`.

        Raises:
            TokenError: a token that may not follow; no sequence is changed then.
        """
    def reset(self, /, row: SupportsIndex) -> None:
        """
        Puts one sequence back to the beginning.
        """

@final
class PlayState:
    """
    The hands of a level that is being composed, note by note: which note may come next.

    A note is a choice 0 to 107, ((column × 3) + row) × 9 + cut, as the tokens LEFT and RIGHT are numbered. Whatever is composed
    of allowed notes alone breaks parity in neither model, and none of its notes has an error under the preset `default`.

    Example:
        >>> import numpy as np
        >>> state = PlayState(TempoMap([0], [120]), njs=16)
        >>> state.push(0, 4, 28)
        >>> mask = np.zeros(108, bool)
        >>> state.mask(0, 5, mask) == mask.sum(), bool(mask[28])
        (True, False)
        >>> state.judge(0, 5, 28)
        ['parity-break', 'parity-flow', 'double-directional']
    """
    def __new__(
        cls,
        /,
        tempo: TempoMap,
        *,
        rank: int = 9,
        njs: float = 16.0,
        reaction_s: float = 0.5,
        bpm: float | None = None,
        avoid: collections.abc.Sequence[str] | None = None,
    ) -> PlayState:
        """
        The hands before the first note.

        Args:
            tempo: the level's clock.
            rank: difficulty: 1, 3, 5, 7 or 9.
            njs: note jump speed in metres per second.
            reaction_s: time between a note's appearance and its cut.
            bpm: tempo of the song, which limits the speed of swings; the slowest of `tempo` unless given.
            avoid: names of what keeps a note from being allowed, of `PlayState.reasons()`; `PlayState.hard()` unless given.

        Raises:
            ConfigError: a speed or time that is not positive, or an unknown name.
        """
    def copy(self, /) -> PlayState:
        """
        A state that goes on from here on its own.
        """
    @staticmethod
    def hard() -> list[str]:
        """
        Names of what is avoided unless told otherwise.
        """
    def judge(self, /, hand: int, beat: float, choice: int) -> list[str]:
        """
        Everything that speaks against a note, avoided or not.

        Args:
            hand: 0 left, 1 right.
            beat: where.
            choice: place and direction.

        Returns:
            Names of `PlayState.reasons()`.

        Raises:
            ConfigError: no such hand or choice.
        """
    def mask(self, /, hand: int, beat: float, out: numpy.typing.NDArray[numpy.bool_]) -> int:
        """
        Says which notes a hand may cut at a beat; it may be none, then the hand has to rest.

        Args:
            hand: 0 left, 1 right.
            beat: where.
            out: bool `[108]`, C-contiguous, filled in place.

        Returns:
            How many are allowed.

        Raises:
            ConfigError: no such hand, or another shape.
        """
    def mask_beside(self, /, hand: int, beat: float, taken: int, out: numpy.typing.NDArray[numpy.bool_]) -> int:
        """
        As `mask`, for a hand whose other hand cuts `taken` at the same beat.

        Args:
            hand: 0 left, 1 right.
            beat: where.
            taken: the other hand's choice.
            out: bool `[108]`, C-contiguous, filled in place.

        Returns:
            How many are allowed.

        Raises:
            ConfigError: no such hand or choice, or another shape.
        """
    def push(self, /, hand: int, beat: float, choice: int) -> None:
        """
        Goes on by one note, allowed or not; both hands at one beat one after the other.

        Args:
            hand: 0 left, 1 right.
            beat: where; not before the last one.
            choice: place and direction.

        Raises:
            ConfigError: no such hand or choice, or a beat before the last one; nothing is changed then.
        """
    @staticmethod
    def reasons() -> list[str]:
        """
        Names of everything that can speak against a note.
        """

@final
class Song:
    """
    A song with its levels, as read from a pack.
    """
    def __repr__(self, /) -> str: ...
    @property
    def artist(self, /) -> str:
        """
        Who made the song.
        """
    @property
    def audio_name(self, /) -> str:
        """
        Name of the audio file.
        """
    @property
    def audio_present(self, /) -> bool:
        """
        Whether the audio file is in the pack.
        """
    @property
    def audio_seconds(self, /) -> float | None:
        """
        Length of the audio in seconds, if its header or the Info tells.
        """
    @property
    def bpm(self, /) -> float:
        """
        Base tempo in beats per minute.
        """
    @property
    def category(self, /) -> str:
        """
        The strongest category among all levels, also those that could not be read.
        """
    @property
    def cover_name(self, /) -> str:
        """
        Name of the cover file.
        """
    @property
    def difficulties(self, /) -> tuple[Difficulty, ...]:
        """
        Levels that could be read, in the Info's order.
        """
    @property
    def environments(self, /) -> list[str]:
        """
        Names of the stages that `difficulties` are played on, one each; empty where none is named.
        """
    @property
    def faults(self, /) -> list[dict[str, Any]]:
        """
        Levels that could not be read: `characteristic`, `difficulty`, `file`, `error` (an exception) each.
        """
    @property
    def hash(self, /) -> str:
        """
        Level hash as the game and BeatSaver compute it: 40 hexadecimal digits.
        """
    @property
    def info_version(self, /) -> str:
        """
        Version of the Info file.
        """
    @property
    def key(self, /) -> str:
        """
        Content key: the same for the same files, whatever the container.
        """
    @property
    def mapper(self, /) -> str:
        """
        Who made the level.
        """
    @property
    def offset_s(self, /) -> float:
        """
        Shift of the audio against the objects in seconds; 0 in every level that may be uploaded.
        """
    @property
    def requirements(self, /) -> list[str]:
        """
        Mods that some level cannot be played without.
        """
    @property
    def subtitle(self, /) -> str:
        """
        Second line of the title.
        """
    @property
    def suggestions(self, /) -> list[str]:
        """
        Mods that some level makes use of.
        """
    @property
    def tempo(self, /) -> TempoMap:
        """
        The song's clock: of version 4 its audio data, before that the first level's tempo events.
        """
    @property
    def title(self, /) -> str:
        """
        Title.
        """
    @property
    def warnings(self, /) -> list[dict[str, Any]]:
        """
        What was odd in the pack, the Info and the audio data: `rule`, `file`, `where`, `message`, `count` each.
        """

@final
class Store:
    """
    A folder of arrays by content key, one safetensors file each; any number of processes may read and write it.

    Example:
        >>> store = Store("processed/features")                                                    # doctest: +SKIP
        >>> store.put(Store.key(ogg_bytes, spec_json), {"mel": mel}, meta={})                      # doctest: +SKIP
    """
    def __new__(cls, /, root: str | os.PathLike[str]) -> Store:
        """
        The store in a folder, which is made if need be.

        Raises:
            OSError: the file system refused.
        """
    def __repr__(self, /) -> str: ...
    def gather(
        self,
        /,
        keys: collections.abc.Sequence[str],
        starts: numpy.typing.NDArray[numpy.int64],
        out: numpy.typing.NDArray[numpy.float32],
        *,
        names: collections.abc.Sequence[str],
        lengths: numpy.typing.NDArray[numpy.int64] | None = None,
        pad: float = 0.0,
    ) -> None:
        """
        Fills a batch with windows of songs, in parallel.

        Args:
            keys: `[B]`, one key for each row of the batch.
            starts: int64 `[B]`, the row (slot or frame) of the song that comes first; may be negative or beyond the end.
            out: float32 `[B, T, C]`, C-contiguous, filled in place. C is the width of the arrays together.
            names: the arrays, side by side in this order.
            lengths: int64 `[B]`, rows wanted, at most T; all T if absent.
            pad: what stands outside of the song and behind the length.

        Raises:
            StoreError: a key or an array that is not there, or another width than C.
            ConfigError: shapes that do not fit one another, or `out` is not C-contiguous.
            OSError: the file system refused.
        """
    def get(
        self, /, key: str
    ) -> dict[str, numpy.typing.NDArray[numpy.float32] | numpy.typing.NDArray[numpy.float16]] | None:
        """
        The arrays of a key, as read-only views of the file, without a copy.

        Returns:
            float32 and float16 arrays by name; None if there is no file, or one that is cut short, of another key or damaged
            in its header. `verify` reads the numbers as well.

        Raises:
            StoreError: not a key.
            OSError: the file system refused.
        """
    @staticmethod
    def key(source: bytes, spec_json: bytes) -> str:
        """
        Key of what follows from a source under some settings.

        Args:
            source: bytes of the audio file, or whatever else the content follows from.
            spec_json: the settings, `AudioConfig.canonical()`; other bytes give another key, even if they mean the same.

        Returns:
            64 hexadecimal digits.
        """
    def meta(self, /, key: str) -> dict[str, str] | None:
        """
        What was put with the arrays of a key; None as for `get`.

        Raises:
            StoreError: not a key.
            OSError: the file system refused.
        """
    def put(
        self,
        /,
        key: str,
        arrays: collections.abc.Mapping[str, numpy.typing.NDArray[numpy.float32] | numpy.typing.NDArray[numpy.float16]],
        *,
        meta: dict[str, str],
    ) -> None:
        """
        Writes the arrays of a key, whole or not at all, in place of what is there.

        Args:
            key: as `key` makes it.
            arrays: C-contiguous float32 and float16 arrays by name.
            meta: texts to keep with them.

        Raises:
            StoreError: not a key.
            ConfigError: an array that is not C-contiguous.
            OSError: the file system refused; nothing is left half-written.
        """
    def verify(self, /) -> list[str]:
        """
        Reads every byte of every file.

        Returns:
            Names of the files that are not as they were put, sorted.

        Raises:
            OSError: the file system refused.
        """

@final
class TempoMap:
    """
    Where beats lie in time, and back: piecewise constant tempo.

    Example:
        >>> clock = TempoMap([0, 4], [120, 60])
        >>> clock.seconds([4, 5]).tolist()
        [2.0, 3.0]
    """
    def __new__(
        cls, /, beats: numpy.typing.ArrayLike, bpms: numpy.typing.ArrayLike, *, offset_s: float = 0.0
    ) -> TempoMap:
        """
        A clock from tempo changes.

        Args:
            beats: `[N]` beats at which a tempo begins, in any order; the earliest one's tempo also holds before it.
            bpms: `[N]` tempos in beats per minute.
            offset_s: time of beat 0 in seconds.

        Raises:
            ConfigError: no tempo, different lengths, a beat that is not finite, or a tempo that is not positive.
        """
    def __repr__(self, /) -> str: ...
    def beats(self, /, seconds: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.float64]:
        """
        Beats at times.

        Args:
            seconds: one time in seconds, or an array of any shape.

        Returns:
            float64 of the same shape, beats.
        """
    @property
    def regions(self, /) -> dict[str, NDArray[float64]]:
        """
        The tempo regions: `beat`, `time_s` and `bpm` float64 `[R]`; each holds until the next one begins.
        """
    def seconds(self, /, beats: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.float64]:
        """
        Times of beats.

        Args:
            beats: one beat, or an array of any shape.

        Returns:
            float64 of the same shape, seconds.
        """
    @staticmethod
    def snap(
        beats: numpy.typing.ArrayLike, *, divisions: collections.abc.Sequence[int], tolerance_beats: float = ...
    ) -> tuple[
        numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.uint16], numpy.typing.NDArray[numpy.float64]
    ]:
        """
        Beats moved to the coarsest subdivision that is near enough.

        Args:
            beats: one beat, or an array of any shape.
            divisions: parts of a beat to try, for example `(1, 2, 3, 4)`.
            tolerance_beats: how far a beat may be moved, 1/96 unless given.

        Returns:
            All of the same shape: float64 beats; uint16 the subdivision each lies on, 0 where nothing was near and the beat
            stayed; float64 how far each was moved, in beats.
        """

@final
class Vocab:
    """
    A vocabulary: levels to token ids and back.

    Example:
        >>> vocab = Vocab(b'{"content":"notes","divisions":48}')
        >>> vocab.size, vocab.pad, vocab.bos, vocab.eos
        (291, 0, 1, 2)
    """
    def __new__(cls, /, spec_json: bytes) -> Vocab:
        """
        The vocabulary that a spec asks for.

        Args:
            spec_json: `content` (`notes`: the 291 ids of one note per hand; `full`: everything that is played; `lights`) and
                `divisions` (48), as JSON.

        Raises:
            ConfigError: not such a spec.
        """
    def beats(self, /, tokens: numpy.typing.NDArray[numpy.uint16]) -> numpy.typing.NDArray[numpy.float64]:
        """
        Beat of every token, which the tokens of one onset share.

        Args:
            tokens: uint16 `[N]`.

        Returns:
            float64 `[N]`.
        """
    @property
    def bos(self, /) -> int:
        """
        Id that begins a level.
        """
    def decode(
        self,
        /,
        tokens: numpy.typing.NDArray[numpy.uint16],
        *,
        bpm: float,
        characteristic: str = "Standard",
        njs: float = 16.0,
    ) -> Difficulty:
        """
        The level that tokens say.

        Args:
            tokens: uint16 `[N]`.
            bpm: tempo of the song it belongs to.
            characteristic: game mode.
            njs: note jump speed in metres per second.

        Raises:
            TokenError: not a sequence of this vocabulary; `where` and `found` say which token.
            ConfigError: `bpm` is not a tempo.
        """
    def encode(
        self, /, difficulty: Difficulty, *, start_beat: float = 0.0, end_beat: float = ...
    ) -> dict[str, typing.Any]:
        """
        The level as tokens.

        Args:
            difficulty: the level.
            start_beat: first beat taken.
            end_beat: beat after the last taken.

        Returns:
            `tokens` uint16 `[N]`; `first_beat` of the first bar; `out_of_vocabulary` and `rounded`: counts of what could not be
            said, or not exactly; `outside`: objects outside of the window; `snapped` and `max_error_beats`: beats moved onto
            the grid.
        """
    @property
    def eos(self, /) -> int:
        """
        Id that ends a level.
        """
    @property
    def hash(self, /) -> str:
        """
        Identity: equal for equal tables of ids only.
        """
    def kinds(self, /) -> list[str]:
        """
        Names of the kinds this vocabulary has.
        """
    def names(self, /) -> list[str]:
        """
        Names of all ids, in order.
        """
    @property
    def pad(self, /) -> int:
        """
        Id that fills up rows.
        """
    def range(self, /, kind: str) -> tuple[int, int]:
        """
        First id of a kind and the id after its last.

        Args:
            kind: one of `kinds()`.

        Raises:
            ConfigError: no such kind in this vocabulary.
        """
    @property
    def size(self, /) -> int:
        """
        Number of ids.
        """

def align(
    onsets_s: numpy.typing.ArrayLike, beats_s: numpy.typing.ArrayLike, *, tolerance_s: float = 0.045
) -> dict[str, numpy.typing.NDArray[typing.Any]]:
    """
    Onsets matched to beats: each beat goes to the onset nearest to it.

    Args:
        onsets_s: `[N]` times in seconds.
        beats_s: `[M]` times of beats in seconds, rising.
        tolerance_s: onsets farther from every beat than this are not matched.

    Returns:
        `index` int64 `[N]` of the beat or −1, `error_s` float64 `[N]` onset minus beat, `matched` bool `[N]`.
    """

def beat_slots(
    features: collections.abc.Mapping[str, numpy.typing.NDArray[numpy.float32] | numpy.typing.NDArray[numpy.float16]],
    tempo: TempoMap,
    *,
    spec_json: bytes,
    audio_s: float,
    grid_offset_beats: float = 0.0,
) -> dict[str, numpy.typing.NDArray[numpy.float32]]:
    """
    Features on the beat grid: slot k is their mean around beat `grid_offset_beats + k / slots_per_beat`, half way to its
    neighbours; the lag of the onset rows is taken off.

    Args:
        features: `mel`, `onset` and `bands` as `features` gives them.
        tempo: where the beats lie.
        spec_json: `AudioConfig.canonical()`.
        audio_s: length of the song; the last slot is the last whose centre it reaches.
        grid_offset_beats: the beat of slot 0.

    Returns:
        `mel` `[slots, mels]`, `onset` `[slots]`, `bands` `[slots, b]`, all float32.

    Raises:
        ConfigError: not a valid spec, or features of another one.
        AudioError: more slots than can be meant.
    """

def build_info() -> dict[str, str]:
    """
    What this build is.

    Returns:
        `version` (of the Rust crates), `profile` (Cargo's name of it), `debug_assertions` (`on` or `off`),
        `features` (CPU features the compiler was allowed to use, comma-separated), `target` (`system-processor`).
    """

def check_rules() -> list[tuple[str, str, str]]:
    """
    Every rule of `check_song` about files; those of play are in `play_rules`.

    Returns:
        `(rule, severity, what it is about)` each.
    """

def check_song(path: str | os.PathLike[str], *, preset: str | None = None) -> list[dict[str, typing.Any]]:
    """
    Would BeatSaver take it, do its files say what the format allows, and, if a preset is named, does it play well?

    Args:
        path: the pack.
        preset: one of `play_presets()`, whose rules of play the levels are held against; None for files only.

    Returns:
        Findings: `rule`, `severity` (`error`, `rank`, `warning`, `info`), `characteristic`, `difficulty`, `file`, `where` (a JSON
        pointer; of the rules of play the object in words), `beat`, `time_s`, `message`, `count` each. Those of the files come
        first; those of play are never folded.

    Raises:
        MapError: no level there.
        ConfigError: no such preset.
        OSError: the file system refused.
    """

def compute_mel_with_onset(
    samples: numpy.typing.NDArray[numpy.float32], spec_json: bytes
) -> numpy.typing.NDArray[numpy.float32]:
    """
    Log-mel spectrogram in dB with the onset strength as its last row.

    Args:
        samples: float32 `[T]` at the spec's sample rate.
        spec_json: as for `features`.

    Returns:
        float32 `[mels + 1, frames]`.

    Raises:
        ConfigError: not a valid spec.
    """

def convert_song(
    path: str | os.PathLike[str], out: str | os.PathLike[str], *, version: typing.Literal[2, 3, 4]
) -> list[dict[str, typing.Any]]:
    """
    Writes a pack again in another format version; audio, cover and all other files go along.

    Args:
        path: the pack to read.
        out: ends in `.zip` for an archive, which replaces one of that name; anything else is a folder, new or empty.
        version: format version 2, 3 or 4.

    Returns:
        What the version cannot say: `difficulty` ("" for the song), `what`, `count` each. A level that could not be read is
        left out and has `whole` True.

    Raises:
        MapError: as `load_song`, or no level of it can be read.
        FileExistsError: the folder exists and is not empty.
        ConfigError: no such version.
        OSError: the file system refused; nothing is left half-written.
    """

def decode_audio(
    source: str | os.PathLike[str] | bytes, *, sample_rate_hz: int = 22050, max_seconds: float = 1800.0
) -> numpy.typing.NDArray[numpy.float32]:
    """
    Decodes a song to mono samples; time 0 is the first heard sample.

    Args:
        source: path or bytes of a wav, ogg, mp3, flac, m4a or aac file; told by its content, not by its name.
        sample_rate_hz: rate of the samples returned.
        max_seconds: longer songs are refused.

    Returns:
        float32 `[T]`, nominally −1 to 1.

    Raises:
        AudioError: no sound in it, or a codec that is not supported.
        LimitError: longer than `max_seconds`, or too many channels.
        OSError: the file system refused.
    """

def decode_audio_with_info(
    source: str | os.PathLike[str] | bytes, *, sample_rate_hz: int = 22050, max_seconds: float = 1800.0
) -> tuple[numpy.typing.NDArray[numpy.float32], dict[str, typing.Any]]:
    """
    As `decode_audio`, with what the file says of itself.

    Args:
        source: path or bytes.
        sample_rate_hz: rate of the samples returned.
        max_seconds: longer songs are refused.

    Returns:
        The samples, and `sample_rate_hz`, `source_rate_hz`, `channels`, `seconds`, `format`, `trimmed_start_samples` (of the
        source) and `warnings`, a list of (rule, message).

    Raises:
        AudioError: as `decode_audio`.
        LimitError: as `decode_audio`.
        OSError: the file system refused.
    """

def encode_vorbis(samples: numpy.typing.NDArray[numpy.float32], *, sample_rate_hz: int) -> bytes:
    """
    Encodes samples as Ogg Vorbis of quality 5, without tags; equal samples give equal bytes on one machine.

    Args:
        samples: float32 `[T]` or `[T, channels]` of one or two channels; what is not finite counts as 0.
        sample_rate_hz: their rate, 8 000 to 192 000.

    Returns:
        The file; decoded it has exactly T samples, the first at time 0.

    Raises:
        AudioError: no samples.
        ConfigError: another shape or rate.
    """

def feature_widths(spec_json: bytes) -> dict[str, int]:
    """
    Width of each array of features under a spec; what a spec means is checked here.

    Args:
        spec_json: `AudioConfig.canonical()`.

    Returns:
        Numbers of one frame or slot: `mel`, `onset` (1) and `bands`.

    Raises:
        ConfigError: not a valid spec.
    """

def features(
    samples: numpy.typing.NDArray[numpy.float32], spec_json: bytes
) -> dict[str, numpy.typing.NDArray[numpy.float32]]:
    """
    Features of a song.

    Args:
        samples: float32 `[T]` at the spec's sample rate; what is not finite counts as 0.
        spec_json: `AudioConfig.canonical()`.

    Returns:
        `mel` `[frames, mels]` in dB, `onset` `[frames]`, `bands` `[frames, b]`, all float32; frames = 1 + T // hop.

    Raises:
        ConfigError: not a valid spec.
    """

def load_song(path: str | os.PathLike[str]) -> Song:
    """
    Reads a level pack: a folder, a zip, or a path to an Info file; every format version.

    Args:
        path: the pack.

    Returns:
        The song. Levels that cannot be read are listed in `faults`, oddities in `warnings`.

    Raises:
        MapError: no level there, or its Info cannot be read; `path`, `where`, `found`, `expected`, `hint` say more.
        LimitError: hostile input.
        OSError: the file system refused.

    Example:
        >>> song = load_song("my map.zip")                      # doctest: +SKIP
        >>> song.difficulties[0].notes()["time"][:4]            # doctest: +SKIP
    """

def load_song_bytes(data: bytes, *, name: str = "archive.zip") -> Song:
    """
    As `load_song`, from the bytes of a zip archive.

    Args:
        data: the archive.
        name: what to call it in messages.

    Returns:
        The song.

    Raises:
        MapError: as `load_song`.
        LimitError: hostile input.
    """

def onset_times(onset: numpy.typing.NDArray[numpy.float32], spec_json: bytes) -> numpy.typing.NDArray[numpy.float64]:
    """
    Times of the onsets that the rows of onset strength show, their lag taken off.

    Args:
        onset: float32 `[frames]`, as `features` gives it.
        spec_json: `AudioConfig.canonical()`.

    Returns:
        float64 `[N]`, seconds, rising.

    Raises:
        ConfigError: not a valid spec.
    """

def play_facts(difficulty: Difficulty, tempo: TempoMap | None = None) -> dict[str, numpy.typing.NDArray[typing.Any]]:
    """
    The swings of a level: which hand, how fast, and whether its parity holds.

    Args:
        difficulty: the level.
        tempo: its clock; the level's own unless given.

    Returns:
        A row per swing, in the order of their first notes, `[S]` each. float64: `time` and `beat` of the first note, `angle`
        (degrees, 0 down, counter-clockwise; NaN for dots that do not say), `distance` (cells from the hand's swing before),
        `gap_s` (since its last note, infinite for the first), `effective_bpm` (from that note) and `swing_bpm` (from that
        swing's first). uint8: `hand` (0 left, 1 right). bool: `crossover`. uint32: `first_note` and `last_note`, rows of
        `notes()`. And of two models, MapCheck's (`wrist`) and bs-parity's (`alternation`): `wrist_parity` uint8 (0 forehand,
        1 backhand), `wrist_flow` uint8 (0 kept, 1 awkward, 2 broken), `wrist_reset` bool (the parity of the hand's swing
        before once more), and the same with `alternation`.

    Example:
        >>> level = Difficulty.from_arrays(bpm=120, notes={"beat": [4, 5], "color": [0, 0], "cut": [1, 1]})
        >>> play_facts(level)["wrist_flow"].tolist()
        [0, 2]
    """

def play_presets() -> list[str]:
    """
    Names of the presets that a level can be held against.
    """

def play_rules() -> list[dict[str, typing.Any]]:
    """
    Every rule of play.

    Returns:
        `rule`, `severity`, `about`, `source` (the validator it is from), `presets` (names of those it holds in) and `limits` (by
        name the value in each preset, in the order of `play_presets`) each.
    """

def prepare_audio(
    source: str | os.PathLike[str] | bytes,
    *,
    pad_s: float = 0.0,
    sample_rate_hz: int = 22050,
    max_seconds: float = 1800.0,
) -> tuple[bytes, numpy.typing.NDArray[numpy.float32], dict[str, typing.Any]]:
    """
    Makes the Ogg Vorbis file of a level from any song, and decodes that very file for analysis.

    Sound Ogg Vorbis without tags is copied byte for byte if no silence is to be put before it; with tags only these are
    taken out. Everything else is decoded, padded and encoded once, at 44.1 or 48 kHz.

    Args:
        source: path or bytes.
        pad_s: silence before the song, 0 to 60 seconds.
        sample_rate_hz: rate of the samples returned.
        max_seconds: longer songs are refused.

    Returns:
        The file, float32 mono samples `[T]` decoded from it, and `action` ("copied", "untagged", "encoded"), `pad_s` (in whole
        samples), `rate_hz`, `channels` and `seconds` of the file, `source_format` and `warnings`, a list of (rule, message).

    Raises:
        AudioError: as `decode_audio`.
        ConfigError: an impossible pad or rate.
        LimitError: as `decode_audio`.
        OSError: the file system refused.
    """

def process(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    spec_json: bytes,
    audio_json: bytes | None = None,
    threads: int = 0,
    progress: collections.abc.Callable[[int, int], object] | None = None,
) -> dict[str, typing.Any]:
    """
    Reads, filters and encodes every level pack below `root` into token shards in `out`; what an earlier run left is kept.

    Args:
        root: a folder that holds packs (zips, or folders with an Info file), or one pack.
        out: folder to write to; `tokens/` is made in it, and `features/` and `slots/` (as `Store` reads them) with audio.
        spec_json: `ProcessConfig` without `splits` and `threads`, as JSON.
        audio_json: `AudioConfig.canonical()` to hear the songs as well; None leaves them.
        threads: 0 for `BEATWEAVER_THREADS` or all cores.
        progress: called with packs done and packs found, at most ten times a second.

    Returns:
        One column per field, one row per level (a pack that could not be read is one row): texts as lists, numbers as
        arrays. `fault_type` and `fault_message` say why a row could not be read, `filter` why it is not in the tokens,
        `shard` and `row` where its tokens are (−1: nowhere). Of the sound: `audio_key` in `features/`, `slots_key` and `slots`
        in `slots/` (empty and 0: not there), `audio_fault_type` and `audio_fault_message`, and lists with None where there
        is no sound: `audio_s`, `audio_silent_share`, `audio_onset_share`, `audio_offset_ms`, `audio_shorter_than_map`. Further `shards` and `reused`: how many shards there are, and
        how many packs an earlier run had done.

    Raises:
        ConfigError: `spec_json` or `audio_json` is not valid.
        MapError: no pack below `root`.
        OSError: the file system refused.
        KeyboardInterrupt: Ctrl-C; what is written stays valid, and running again goes on from there.
    """

def read_tags(source: str | os.PathLike[str] | bytes) -> dict[str, typing.Any]:
    """
    Reads what an audio file says about its song; damaged tags count as missing.

    Args:
        source: path or bytes.

    Returns:
        `title`, `artist` and `album` (one line of at most 500 characters, or None), and `cover`: the bytes of a PNG or JPEG
        of at most 16 MiB, or None.

    Raises:
        AudioError: it is no audio.
        LimitError: it is too large.
        OSError: the file system refused.
    """

def relight_song(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    lights: collections.abc.Mapping[
        tuple[str, str], collections.abc.Mapping[str, collections.abc.Mapping[str, numpy.typing.ArrayLike]]
    ],
) -> None:
    """
    Writes a pack again with other lights in some of its levels; everything else stays as it is.

    Args:
        path: the pack to read.
        out: ends in `.zip` for an archive, which replaces one of that name; anything else is a folder, new or empty.
        lights: by characteristic and difficulty the groups `lights` and `boosts`, as `Difficulty.from_arrays` takes them.

    Raises:
        MapError: as `load_song`.
        ConfigError: a level that is not there, cannot be read or shares its file; another group; a column that does not fit.
        FileExistsError: the folder exists and is not empty.
        OSError: the file system refused; nothing is left half-written.
    """

def save_song(
    path: str | os.PathLike[str],
    difficulties: collections.abc.Sequence[Difficulty],
    *,
    title: str,
    artist: str = "",
    mapper: str = "",
    bpm: float,
    audio: bytes,
    cover: bytes | None = None,
    version: typing.Literal[2, 3, 4] = 3,
    environment: str = "DefaultEnvironment",
    preview_start_s: float = 0.0,
    preview_duration_s: float = 10.0,
    editor: str = "",
) -> list[dict[str, typing.Any]]:
    """
    Writes a new level pack from levels made with `Difficulty.from_arrays`.

    Args:
        path: ends in `.zip` for an archive, which replaces one of that name; anything else is a folder, new or empty.
        difficulties: the levels; one of each characteristic and name, all made for the tempo `bpm`.
        title: song title.
        artist: who made the song.
        mapper: who made the level.
        bpm: base tempo.
        audio: bytes of the Ogg Vorbis file, named `song.egg` in the pack.
        cover: bytes of a square PNG or JPEG of at least 256 pixels, named `cover.png` or `cover.jpg`.
        version: format version 2, 3 or 4.
        environment: name of the stage.
        preview_start_s: where the preview begins.
        preview_duration_s: how long it is.
        editor: program that made the level, as BeatSaver looks for it in the song's custom data.

    Returns:
        What the version cannot say: `difficulty`, `what`, `count` each.

    Raises:
        ConfigError: no level, a level twice, a level of another tempo, or no such version.
        FileExistsError: the folder exists and is not empty.
        OSError: the file system refused; nothing is left half-written.

    Example:
        >>> hard = Difficulty.from_arrays(name="Hard", bpm=120, notes={"beat": [4, 5], "x": [1, 2], "color": [0, 1]})
        >>> save_song("my map.zip", [hard], title="Song", bpm=120, audio=ogg_bytes)             # doctest: +SKIP
    """

def thread_count(*, threads: SupportsIndex = 0) -> int:
    """
    How many threads a call with this `threads` works on.

    Args:
        threads: 0 for the shared pool, whose size is `BEATWEAVER_THREADS` or the number of cores.

    Returns:
        The size of the pool; 1 in a forked child once the parent has used the shared pool.

    Raises:
        ConfigError: `threads` or `BEATWEAVER_THREADS` is above 1024 or not a number.
    """
