"""How long people wait before anything happens: `import beatweaver` and `beatweaver --help`, whole processes."""

import statistics
import subprocess
import sys
import time

RUNS = 15
CASES = {
    "python -c pass": ["-c", "pass"],
    "import beatweaver": ["-c", "import beatweaver"],
    "beatweaver --help": ["-m", "beatweaver", "--help"],
    "beatweaver --version": ["-m", "beatweaver", "--version"],
}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    for name, arguments in CASES.items():
        seconds(arguments)  # the first one reads from the disk
        times = [seconds(arguments) for _ in range(RUNS)]
        print(f"{name:24} median {statistics.median(times) * 1000:6.0f} ms   worst {max(times) * 1000:6.0f} ms")
