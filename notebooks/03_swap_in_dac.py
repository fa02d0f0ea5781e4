# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Swap DAC's quantizer in your own training script, and listen
#
# You train the Descript Audio Codec with a script of your own. `qcodec.patch_dac` exchanges how its quantizer passes
# gradients; weights, codes and files stay those of `dac`. Here a tiny DAC learns one kind of sound, chirps, in a plain
# PyTorch loop.

# %%
import os
import tempfile
from pathlib import Path

import dac
import torch
from IPython.display import Audio, display

import qcodec

QUICK = os.environ.get("QUICK") == "1"  # fewer updates
UPDATES = 10 if QUICK else 120
RATE = 16000
torch.manual_seed(0)


# %%
def chirps(clips, seconds=0.5):
    """Return sweeps between random pitches, (clips, 1, samples)."""
    time = torch.arange(int(seconds * RATE)) / RATE
    low, high = 200 + 300 * torch.rand(clips, 1), 400 + 800 * torch.rand(clips, 1)
    phase = 2 * torch.pi * (low * time + (high - low) * time.square() / (2 * seconds))
    return (0.3 * phase.sin() * torch.hann_window(len(time), periodic=False)).unsqueeze(1)


def small_dac():
    return dac.DAC(
        encoder_dim=8, encoder_rates=[2, 4, 5, 8], decoder_dim=128, decoder_rates=[8, 5, 4, 2], n_codebooks=4,
        codebook_size=64, latent_dim=32, sample_rate=RATE, quantizer_dropout=0.0,
    )  # fmt: skip


# %% [markdown]
# ## Your loop, with one line more


# %%
def train(model, updates=UPDATES):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(updates):
        audio = chirps(4)
        out = model(audio, RATE)
        spectra = [
            torch.stft(x[:, 0], 512, 128, window=torch.hann_window(512), return_complex=True).abs()
            for x in (out["audio"], audio)
        ]
        loss = (spectra[0] - spectra[1]).abs().mean()
        total = loss + 0.25 * out["vq/commitment_loss"] + out["vq/codebook_loss"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


models = {}
for name, estimator in {"STE": qcodec.STE(), "mSTE": qcodec.ModifiedSTE()}.items():
    torch.manual_seed(0)
    models[name] = small_dac()
    qcodec.patch_dac(models[name], estimator=estimator)  # the line
    losses = train(models[name])
    print(f"{name:<5} spectral distance {losses[0]:.3f} at first, {sum(losses[-10:]) / 10:.3f} at the end (one seed)")

# %% [markdown]
# ## Listen
#
# The same clip before and after both codecs, at 4 codes of 6 bits every 20 ms: 1.2 kbps.

# %%
torch.manual_seed(1)
clip = chirps(1, seconds=1.0)
display(Audio(clip[0, 0].numpy(), rate=RATE, normalize=False))
for name, model in models.items():
    with torch.no_grad():
        decoded = model.eval()(clip, RATE)["audio"][0, 0, : clip.shape[-1]]
    print(name)
    display(Audio(decoded.clamp(-1, 1).numpy(), rate=RATE, normalize=False))

# %% [markdown]
# ## Take it along
#
# A patched model is still a `dac` model: its weight file goes into the stock program, `python -m dac encode`.

# %%
path = Path(tempfile.mkdtemp()) / "chirps.pth"
models["mSTE"].save(path, package=False)  # as `dac` itself saves one
codec = qcodec.load_dac(path, estimator=qcodec.ModifiedSTE())  # and into qcodec: encode, decode, .qc files
codes = codec.eval().encode(clip)
print(f"codes {tuple(codes.shape)}: (clip, codebook, frame)")
