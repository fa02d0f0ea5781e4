# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Variable bitrate: where the bits go
#
# In VRVQ (arXiv 2410.06016) a small network reads the encoder's features and decides for each frame how many codebooks
# are sent; a level scales its decision, so that one codec serves many rates. Here a small one is trained on sounds that
# we make: silence, tones and noise.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import soundfile
import torch

import qcodec

QUICK = os.environ.get("QUICK") == "1"  # fewer updates
os.environ.setdefault("WANDB_MODE", "disabled")
folder, RATE = Path(tempfile.mkdtemp()), 44100
random = np.random.default_rng(0)


# %%
def sound(seconds=2.0):
    """Return a third of near-silence, a third of a tone and a third of noise, in random order."""
    third = int(seconds * RATE / 3)
    time = np.arange(third) / RATE
    parts = [
        1e-4 * random.standard_normal(third),
        0.3 * np.sin(2 * np.pi * random.uniform(200, 2000) * time),
        0.15 * random.standard_normal(third),
    ]
    order = random.permutation(3)
    return np.concatenate([parts[at] for at in order]).astype(np.float32), order


for subset in ("train", "val"):
    (folder / "sounds" / subset).mkdir(parents=True)
    for number in range(12 if subset == "train" else 4):
        soundfile.write(folder / "sounds" / subset / f"{number}.wav", sound()[0], RATE)

# %% [markdown]
# ## Train
#
# The recipe `vrvq/small_vbr` with a smaller codec and few updates. The loss `rate` asks for fewer bits.

# %%
run = qcodec.fit(
    "vrvq/small_vbr",
    run_dir=folder / "run",
    **{
        "data.init_args.root": str(folder / "sounds"),
        "data.init_args.subsets": {"train": ["train"], "val": ["val"]},
        "data.init_args.crops.val_crops": 4,
        "data.init_args.crops.updates_per_epoch": 150,
        "data.init_args.workers": 0,
        "trainer.max_steps": 10 if QUICK else 150,
        "trainer.log_every_n_steps": 5,
        "trainer.callbacks": None,
        "trainer.enable_progress_bar": False,
        "model.init_args.codec.init_args.encoder_dim": 4,
        "model.init_args.codec.init_args.decoder_dim": 64,
        "model.init_args.codec.init_args.quantizer.init_args.dim": 64,
        "model.init_args.codec.init_args.quantizer.init_args.allocator.init_args.channels": 64,
    },
)
codec = run.codec().eval()

# %% [markdown]
# ## Bits by frame
#
# Codes that are not sent are -1: the number that is sent, at three levels, below the sound.

# %%
audio, order = sound()
clip = torch.from_numpy(audio)[None, None]
figure, (wave, bits) = plt.subplots(2, 1, figsize=(8, 4), sharex=True, layout="constrained")
wave.plot(np.arange(len(audio)) / RATE, audio, lw=0.3, color="#555555")
wave.set_title(", then ".join(["silence", "a tone", "noise"][at] for at in order))
for level in (0.5, 1.0, 2.0):
    sent = (codec.encode(clip, level=level)[0] >= 0).sum(0)
    bits.step(np.arange(len(sent)) / codec.frame_rate, sent, where="post", label=f"level {level:g}")
bits.set(xlabel="seconds", ylabel="codebooks sent", ylim=(0, 8.5))
bits.legend(ncols=3, frameon=False)

# %% [markdown]
# ## Rate by level

# %%
for level in (0.25, 0.5, 1.0, 2.0, 4.0):
    with torch.no_grad():
        output = codec(clip, level=level)
    kbps = output.quantized.bits.mean().item() * codec.frame_rate / 1000
    print(f"level {level:<5g}{kbps:6.2f} kbps   MSE {(output.audio - clip).square().mean():.4f}")

# %% [markdown]
# After so few updates this is a picture of the mechanism, not of what VRVQ can do. The files that `qcodec encode --level`
# and `--kbps` write hold exactly these codes; [recipes/README.md](../recipes/README.md) has longer runs.
