"""The command line: options and their help, errors turned into exit codes, and no work of its own.

Each command imports its module inside the function, so that `--help` stays quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, cast

import click

from beatweaver.console import ExitCode, Output, discard_stdout, prepare_streams
from beatweaver.errors import BeatWeaverError, ConfigError

__all__ = ["main"]

P = ParamSpec("P")

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
_traceback_option = click.option(
    "--traceback", is_flag=True, expose_value=False, help="Show where in the program an error came from."
)


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """A broken pipe is success. Seen here before click, which makes it a failure; rich made it a SystemExit already."""
    try:
        yield
    except (BrokenPipeError, SystemExit) as ending:
        if isinstance(ending, SystemExit) and not isinstance(ending.__context__, BrokenPipeError):
            raise
        discard_stdout()
        raise click.exceptions.Exit(ExitCode.OK) from None


class _Program(click.Group):
    """A group that suggests near names and turns every ending into one of the three exit codes."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = click.utils.make_str(args[0])
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, self.list_commands(ctx), n=1)
            raise ConfigError(
                f"found no command {name!r}",
                found=name,
                expected=", ".join(self.list_commands(ctx)),
                hint=f"did you mean {near[0]}?" if near else "`beatweaver --help` lists the commands",
            )
        return super().resolve_command(ctx, args)

    def make_context(self, *words: Any, **extra: Any) -> click.Context:
        """Read the command line; `--help` and `--version` print and end here."""
        with _reader_may_leave():
            return super().make_context(*words, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command named."""
        with _reader_may_leave():
            return super().invoke(ctx)

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, *_: Any, **extra: Any) -> Any:
        """Run, print what went wrong, and leave with the exit code."""
        words = list(sys.argv[1:] if args is None else args)
        prepare_streams()
        try:
            code = self._run(words, prog_name or self.name, **extra | {"standalone_mode": False})
            sys.stdout.flush()
        except BrokenPipeError:
            discard_stdout()
            code = ExitCode.OK
        sys.exit(code)

    def _run(self, words: list[str], prog_name: str | None, **extra: Any) -> int:
        options = words[: words.index("--")] if "--" in words else words
        output = Output(as_json="--json" in options)
        full = "--traceback" in options
        try:
            return int(super().main(words, prog_name, **extra) or ExitCode.OK)
        except BrokenPipeError:
            raise
        except click.UsageError as error:
            output.error(_as_config_error(error), full=full)
        except (BeatWeaverError, OSError) as error:
            output.error(error, full=full)
        except (KeyboardInterrupt, click.Abort):
            output.error(KeyboardInterrupt(), full=full)
        except Exception as error:  # noqa: BLE001 - the last place that can say what to do about it
            output.bug(error, full=full)
        return ExitCode.FAILED


def _as_config_error(error: click.UsageError) -> ConfigError:
    name = error.ctx.command_path if error.ctx is not None else "beatweaver"
    message = error.format_message()
    return ConfigError(message[:1].lower() + message[1:].rstrip("."), hint=f"`{name} --help` shows how it is used")


@click.group(
    "beatweaver",
    cls=_Program,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="beatweaver", prog_name="beatweaver", message="%(prog)s %(version)s")
@_traceback_option
@click.pass_context
def main(ctx: click.Context) -> None:
    """Beat Saber levels: read them, check them, convert them, build a training corpus from them.

    Exit codes: 0 fine, 1 findings or failed items, 2 could not run.
    """
    if ctx.invoked_subcommand is None:
        Output().line(ctx.get_help())


def command(function: Callable[Concatenate[Output, P], ExitCode]) -> click.Command:
    """A command of the program named like its function, with `--json` and `--traceback`.

    The function gets the Output to write to before its own options, and returns the exit code.
    """

    @wraps(function)
    def run(as_json: bool, *args: P.args, **options: P.kwargs) -> ExitCode:
        return function(Output(as_json=as_json), *args, **options)

    return main.command()(_json_option(_traceback_option(run)))


@command
def doctor(output: Output) -> ExitCode:
    """Report what a bug report needs: versions, build, machine."""
    from beatweaver.doctor import examine

    report = examine()

    def draw() -> None:
        for name, value in report.items():
            if isinstance(value, dict):
                value = ", ".join(f"{key} {item}" for key, item in value.items() if item not in ("", None)) or "none"
            if name != "problems":
                output.line(f"{name:10} {'none' if value is None else value}")
        for problem in report["problems"]:
            output.line(f"problem    {problem}")

    output.result(report, draw)
    return ExitCode.FINDINGS if report["problems"] else ExitCode.OK


_map_argument = click.argument("map", type=click.Path(path_type=Path))


@command
@_map_argument
def inspect(output: Output, map: Path) -> ExitCode:  # noqa: A002 - click names the argument after it
    """Show what is in the level MAP: a folder, a zip or an Info file."""
    from beatweaver import maps, report

    document = maps.inspect(map)
    output.result(document, lambda: report.inspected(output, document))
    return ExitCode.FINDINGS if document["failed"] else ExitCode.OK


@command
@_map_argument
@click.option(
    "--preset",
    type=click.Choice(["default", "beginner", "scoresaber", "beatleader"]),
    default="default",
    show_default=True,
    help="Whose standards the play is held against.",
)
def check(output: Output, map: Path, preset: str) -> ExitCode:  # noqa: A002
    """Check the level MAP: would BeatSaver take it, and does it play well? MAP is a folder, a zip or an Info file.

    Also shows what keeps it from being ranked and what most likely is a mistake. Exit code 1 if it would be refused, or
    if something in it cannot be played as it should.
    """
    from beatweaver import maps, report

    document = maps.check(map, preset=cast("maps.Preset", preset))
    output.result(document, lambda: report.checked(output, document))
    return ExitCode.OK if document["ok"] else ExitCode.FINDINGS


@command
@_map_argument
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--to", type=click.Choice(["v2", "v3", "v4"]), required=True, help="Format version to write.")
def convert(output: Output, map: Path, out: Path, to: str) -> ExitCode:  # noqa: A002
    """Write the level MAP again as OUT in another format version.

    OUT becomes a zip if its name ends in .zip, else a folder; nothing is overwritten. Shows what the version cannot say
    and is lost. Exit code 1 if a level could not be read and was left out.
    """
    from beatweaver import maps, report

    document = maps.convert(map, out, to=cast("Literal[2, 3, 4]", int(to.removeprefix("v"))))
    output.result(document, lambda: report.converted(output, document))
    return ExitCode.FINDINGS if any(lost["whole"] for lost in document["lost"]) else ExitCode.OK


@command
@click.argument("song", type=click.Path(path_type=Path))
@click.option("--bpm", type=float, help="The tempo, if you know it.")
@click.option("--offset", type=float, help="Time of the first beat in seconds, if you know it.")
@click.option("--from-map", type=click.Path(path_type=Path), help="Take tempo and first beat from this level.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw a picture of the grid into this PNG file.")
def timing(
    output: Output, song: Path, bpm: float | None, offset: float | None, from_map: Path | None, plot: Path | None
) -> ExitCode:
    """Find tempo, beats and bars of the audio file SONG.

    Says how sure it is, and what else the tempo could be. What you give wins.
    """
    from beatweaver import report
    from beatweaver import timing as work

    document = work.analyse(song, bpm=bpm, offset_s=offset, from_map=from_map, plot_to=plot)
    output.result(document, lambda: report.timed(output, document))
    return ExitCode.OK


@command
@click.argument("raw", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path), default=Path("processed"))
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings as a flat JSON file.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting; may be given again.")
@click.option("--no-audio", is_flag=True, help="Leave the songs alone: maps and tokens only.")
def process(
    output: Output, raw: Path, out: Path, file: Path | None, overrides: tuple[str, ...], no_audio: bool
) -> ExitCode:
    """Turn a folder of levels RAW into training data in OUT (default: processed).

    Interrupt it anywhere and run it again: it goes on where it was. A level or song that cannot be read becomes a row
    with the reason.
    """
    from beatweaver import config, report
    from beatweaver.process import process as run

    settings = config.load(file, overrides)
    audio = None if no_audio else config.build(config.AudioConfig, settings)
    with output.progress("maps") as advance:
        summary = run(raw, out, config.build(config.ProcessConfig, settings), advance, audio=audio)
    output.result(summary, lambda: report.processed(output, summary))
    return ExitCode.FINDINGS if summary["failed"] else ExitCode.OK


@command
@click.argument("songs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SONG...")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder for the levels, or a name in .zip.")
@click.option(
    "--install", type=click.Path(path_type=Path), metavar="DIR", help="Put levels as folders into CustomLevels."
)
@click.option("-d", "--difficulty", "difficulties", multiple=True, help="A difficulty to make; may be given again.")
@click.option("--nps", type=float, help="Notes per second of the hardest difficulty.")
@click.option("--engine", metavar="auto|neural|classic", help="What hears the rhythm and places the notes.")
@click.option("--seed", type=int, help="Another number gives another level.")
@click.option("--bpm", type=float, help="The tempo, if you know it.")
@click.option("--offset", type=float, help="Time of the first beat in seconds, if you know it.")
@click.option("--format", "version", metavar="v2|v3|v4", help="Format version to write.")
@click.option("--bombs", metavar="none|low|medium|high", help="How many bombs.")
@click.option("--walls", metavar="none|low|medium|high", help="How many walls.")
@click.option("--decorative-walls", is_flag=True, default=None, help="Add walls to look at.")
@click.option("--rankable", is_flag=True, default=None, help="Leave out what ranking does not take.")
@click.option("--patterns", type=click.Path(path_type=Path), help="Patterns that `train` learnt, for the usual ones.")
@click.option("--weights", type=click.Path(path_type=Path), help="A checkpoint of `train`, for the usual one.")
@click.option("--plan", type=click.Path(path_type=Path), help="Follow this density plan.")
@click.option("--plan-out", type=click.Path(path_type=Path), help="Write the density plan here, to edit it.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings as a flat JSON file.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting; may be given again.")
def generate(
    output: Output,
    songs: tuple[Path, ...],
    out: Path | None,
    install: Path | None,
    bpm: float | None,
    offset: float | None,
    version: str | None,
    patterns: Path | None,
    weights: Path | None,
    plan: Path | None,
    plan_out: Path | None,
    file: Path | None,
    overrides: tuple[str, ...],
    difficulties: tuple[str, ...],
    nps: float | None,
    engine: str | None,
    seed: int | None,
    bombs: str | None,
    walls: str | None,
    decorative_walls: bool | None,
    rankable: bool | None,
) -> ExitCode:
    """Make a level of every audio file SONG: all five difficulties, with lights, ready for the game.

    One song that fails does not stop the rest; the exit code is 1 then. The same song, settings and seed give the same
    level.
    """
    from beatweaver import config, report
    from beatweaver.generate import generate_all

    settings = config.load(file, overrides)
    given = {"difficulties": difficulties, "nps": nps, "engine": engine, "seed": seed, "format": version}
    given |= {"bombs": bombs, "walls": walls, "decorative_walls": decorative_walls, "rankable": rankable}
    settings |= {key: value for key, value in given.items() if value not in (None, ())}
    with output.progress("stages") as advance:
        document = generate_all(
            songs,
            config.build(config.GenerateConfig, settings),
            out=out,
            install=install,
            patterns=patterns,
            weights=weights,
            plan_in=plan,
            plan_out=plan_out,
            bpm=bpm,
            offset_s=offset,
            progress=advance,
        )
    output.result(document, lambda: report.generated(output, document))
    return ExitCode.OK if all(result["ok"] for result in document["results"]) else ExitCode.FINDINGS


@command
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("demo"), help="Folder for song and level.")
@click.option("--seed", type=int, default=0, help="Another number gives another song and level.")
def demo(output: Output, out: Path, seed: int) -> ExitCode:
    """Compose a short song, make a level of it in five difficulties, and check it."""
    from beatweaver import config, report
    from beatweaver.generate import make_demo

    with output.progress("stages") as advance:
        document = make_demo(out, config.GenerateConfig(seed=seed), advance)
    output.result(document, lambda: report.demo(output, document))
    return ExitCode.OK if all(result["ok"] for result in document["results"]) else ExitCode.FINDINGS


@command
@click.argument("data", type=click.Path(path_type=Path))
@click.option("-o", "--out", "run", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option("--engine", metavar="neural|classic", default="neural", help="What is trained.")
@click.option("--from", "start", type=click.Path(path_type=Path), help="A checkpoint to go on from, with new settings.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings as a flat JSON file.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting; may be given again.")
def train(
    output: Output,
    data: Path,
    run: Path,
    engine: str,
    start: Path | None,
    file: Path | None,
    overrides: tuple[str, ...],
) -> ExitCode:
    """Learn from DATA, a folder made by `process`: the transformer, or the classic engine's patterns.

    The levels of the training split are learnt from, those of the validation split tell when to stop. A run goes on
    where it stopped. `generate --weights RUN/best.safetensors`, or `--patterns RUN/patterns.safetensors`, plays it.
    """
    from beatweaver import config, report
    from beatweaver.train import train as work

    settings = config.load(file, overrides)
    document = work(
        data, run, settings, engine=engine, start=start, progress=lambda line: report.training(output, line)
    )
    # Under `torchrun` the first process speaks for all.
    if os.environ.get("RANK", "0") == "0":
        output.result(document, lambda: report.trained(output, document), one_line=True)
    return ExitCode.OK


@command
@click.argument("raw", type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test", "all"]),
    required=True,
    help="Which share of the songs, as a manifest.json in or beside RAW names them.",
)
@click.option("--engine", metavar="auto|neural|classic", help="What hears the rhythm and places the notes.")
@click.option("--weights", type=click.Path(path_type=Path), help="A checkpoint of `train`, for the usual one.")
@click.option("--seed", type=int, help="Of the generated levels.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting of `generate`.")
@click.option("--songs", type=click.IntRange(min=1), metavar="N", help="Only the first N songs.")
@click.option(
    "-d", "--difficulty", "difficulties", multiple=True, help="A difficulty to measure; default Expert and ExpertPlus."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder for tables, a page with plots, the history.")
def evaluate(
    output: Output,
    raw: Path,
    split: str,
    engine: str | None,
    weights: Path | None,
    seed: int | None,
    overrides: tuple[str, ...],
    songs: int | None,
    difficulties: tuple[str, ...],
    out: Path | None,
) -> ExitCode:
    """Measure generated levels beside the human levels of the same songs in the folder RAW, and beside floors.

    Every level is generated twice: on the beats that its people used, and on those that are found in the sound. With
    --out a later run of the same settings shows what changed.
    """
    from beatweaver import config, report
    from beatweaver.evaluate import DIFFICULTIES
    from beatweaver.evaluate import evaluate as run

    settings = config.load(None, overrides)
    settings |= {key: value for key, value in {"engine": engine, "seed": seed}.items() if value is not None}
    with output.progress("levels") as advance:
        document = run(
            raw,
            split=split,
            config=config.build(config.GenerateConfig, settings),
            weights=weights,
            songs=songs,
            difficulties=difficulties or DIFFICULTIES,
            out=out,
            progress=advance,
        )
    output.result(document, lambda: report.evaluated(output, document))
    return ExitCode.OK


@command
@_map_argument
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--keep", is_flag=True, help="Light only the difficulties that are dark.")
@click.option("--seed", type=int, default=0, help="Another number gives another show.")
def light(output: Output, map: Path, out: Path, keep: bool, seed: int) -> ExitCode:  # noqa: A002
    """Write the level MAP again as OUT with a light show for every difficulty; all else stays as it is.

    OUT becomes a zip if its name ends in .zip, else a folder; nothing is overwritten.
    """
    from beatweaver import lighting, report

    document = lighting.light_pack(map, out, only_dark=keep, seed=seed)
    output.result(document, lambda: report.lit(output, document))
    return ExitCode.OK


@command
@_map_argument
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The PNG file.")
@click.option("-d", "--difficulty", help="Which one; the hardest if not given.")
@click.option("--from", "from_s", type=float, default=0.0, help="First second that is drawn.")
@click.option("--to", "to_s", type=float, help="Last second that is drawn.")
def plot(
    output: Output,
    map: Path,  # noqa: A002
    out: Path,
    difficulty: str | None,
    from_s: float,
    to_s: float | None,
) -> ExitCode:
    """Draw a difficulty of the level MAP: its notes in lanes over the sound, sections, density, findings."""
    from beatweaver import chart

    document = chart.draw(map, out, difficulty=difficulty, from_s=from_s, to_s=to_s)
    output.result(
        document,
        lambda: output.line(f"{document['out']}: {document['difficulty']}, {document['width']} x {document['height']}"),
    )
    return ExitCode.OK
