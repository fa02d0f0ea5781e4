"""A voice-like signal, for metrics that want one."""

import numpy as np


def voice(seconds=3.0, rate=16000, seed=0):
    """Return pulses of a changing pitch through two resonances, in syllables."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    phase = np.cumsum(120 + 30 * np.sin(2 * np.pi * 1.3 * time)) / rate
    pulses = np.sin(2 * np.pi * phase) + 0.5 * np.sin(4 * np.pi * phase) + 0.3 * np.sin(2 * np.pi * 9 * phase)
    loudness = np.clip(np.sin(2 * np.pi * 2.2 * time), 0, None) ** 0.5
    return 0.2 * loudness * (pulses + 0.1 * random.standard_normal(len(time))) + 1e-4 * random.standard_normal(
        len(time)
    )
