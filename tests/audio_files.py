"""Audio files for the tests."""

import numpy as np
import soundfile


def write_noise(path, seconds=1.0, sample_rate=16000, channels=1, level=0.1):
    """Write noise that differs from file to file, and return its samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(path.name.encode()))
    samples = level * rng.standard_normal((int(seconds * sample_rate), channels)).clip(-3, 3)
    soundfile.write(path, samples, sample_rate)
    return samples
