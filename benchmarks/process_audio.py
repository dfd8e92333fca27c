"""`beatweaver process` over real maps and their songs: maps a second, hours of sound an hour, memory.

    python benchmarks/process_audio.py [--shared FOLDER] [--threads N] [--out FOLDER]

Three runs, each a process of its own: maps alone, maps and songs, and the same again with everything done. The
real-time factor is seconds of sound over seconds of the wall clock, reading and writing of maps included.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def run(raw: Path, out: Path, *words: str) -> tuple[dict[str, Any], float, float, float]:
    """The summary of one run, its wall-clock and processor seconds, and its peak memory in MB."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "beatweaver", "process", str(raw), str(out), "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        sys.exit(f"process ended with {process.returncode}: {said.decode()}")
    return json.loads(said), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> int:
    """Prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("BEATWEAVER_CORPUS", "../shared")))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where to write (default: the temporary folder)")
    options = parser.parse_args()
    raw = options.shared / "corpus" / "raw"
    if not raw.is_dir():
        print(f"no maps in {raw}: name the folder that holds corpus/raw with --shared", file=sys.stderr)
        return 1
    threads = ["--set", f"threads={options.threads}"]
    print(f"{options.threads} threads, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(dir=options.out) as out:
        for label, words in (("maps alone", ["--no-audio"]), ("maps and songs", []), ("again, all done", [])):
            load = os.getloadavg()[0]
            summary, seconds, cpu, peak = run(raw, Path(out), *threads, *words)
            maps, sound_s = summary["maps"]["found"], summary["audio_s"]
            print(f"{label:16} {seconds:7.2f} s, {cpu:7.2f} s of the processor, {maps / seconds:7.1f} maps/s", end="")
            print(f", {sound_s / seconds:7.0f} x real time ({sound_s / cpu:.0f} x a core)", end="")
            print(f", peak {peak:.0f} MB, load average before {load:.1f}")
            print(f"{'':16} {summary['songs']} songs, {sound_s / 3600:.2f} h of sound")
        for name in ("features", "slots", "tokens"):
            files = list((Path(out) / name).iterdir())
            total = sum(file.stat().st_size for file in files)
            print(f"{name}: {len(files)} files, {total / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
