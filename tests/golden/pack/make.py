"""Makes `quiet.ogg`: a real Ogg Vorbis file long enough to be ranked, and as small as that can be.

Needs soundfile (`pip install soundfile`), which nothing else here does; the bytes depend on its libvorbis.
"""

from pathlib import Path

import numpy as np
import soundfile as sf  # type: ignore[import-not-found,import-untyped,unused-ignore]

SECONDS = 21
RATE_HZ = 8000

if __name__ == "__main__":
    # One click a second, so that the file is not silence all through.
    samples = np.zeros(SECONDS * RATE_HZ, dtype=np.float32)
    samples[::RATE_HZ] = 0.5
    file = Path(__file__).with_name("quiet.ogg")
    sf.write(file, samples, RATE_HZ, format="OGG", subtype="VORBIS", compression_level=1.0)
