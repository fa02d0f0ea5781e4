# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # STE against mSTE: why embeddings grow
#
# The straight-through estimator (STE) passes the decoder's gradient through the quantizer as if it were not there. The
# modified one, mSTE (arXiv 2502.04770, eq. 10 and 11), takes out of it the part along the quantization error. Here is
# what that means, as a picture; the last figure is a surrogate codec trained with both.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import qcodec

QUICK = os.environ.get("QUICK") == "1"  # fewer updates
os.environ.setdefault("WANDB_MODE", "disabled")

# %% [markdown]
# ## The gradient field
#
# Embeddings of two values, each quantized to -1.5, -0.5, 0.5 or 1.5. Suppose that the decoder would like the quantized
# value to be larger by a constant, whatever it is: the arrows are what a step down that loss does to the embedding.


# %%
def field(estimator, pull=(0.25, 0.12)):
    """Return embeddings on a grid and the steps that gradient descent would make."""
    line = torch.linspace(-2.4, 2.4, 17)
    z = torch.stack(torch.meshgrid(line, line, indexing="xy")).reshape(1, 2, -1).requires_grad_()
    output = qcodec.ScalarQuantizer(levels=4, estimator=estimator)(z)
    loss = -(output.z_hat * torch.tensor(pull)[:, None]).sum()
    (gradient,) = torch.autograd.grad(loss, z)
    return z.detach()[0], -gradient[0]


figure, panels = plt.subplots(1, 2, figsize=(8, 4), sharey=True, layout="constrained")
for axes, (name, estimator) in zip(panels, {"STE": qcodec.STE(), "mSTE": qcodec.ModifiedSTE("frame", "rms")}.items()):
    z, step = field(estimator)
    axes.quiver(*z, *step, angles="xy", scale_units="xy", scale=1, width=0.004)
    for level in (-1.5, -0.5, 0.5, 1.5):
        axes.axvline(level, color="#cccccc", lw=0.7, zorder=0)
        axes.axhline(level, color="#cccccc", lw=0.7, zorder=0)
    axes.set(title=name, xlabel="first value", aspect="equal")
panels[0].set_ylabel("second value")

# %% [markdown]
# With STE every embedding moves the same way, also where it lies far beyond the outermost level: nothing there ever
# changes the code, and nothing holds the embedding back. With mSTE (one magnitude for each frame here) the arrows have no
# part along the line to the quantized value: an embedding cannot move away from its level, or towards it, only around.
#
# ## The share of the gradient along the error
#
# That share is what lets the encoder make the error relatively smaller by growing. It is zero with mSTE:

# %%
for name, estimator in {"STE": qcodec.STE(), "mSTE": qcodec.ModifiedSTE("frame", "rms")}.items():
    z, step = field(estimator)
    error = z - qcodec.ScalarQuantizer(levels=4).eval()(z[None]).z_hat[0]
    share = (step * error).sum(0).abs() / (step.norm(dim=0) * error.norm(dim=0)).clamp(min=1e-9)
    print(f"{name:<5} mean |cosine| of step and error: {share[step.norm(dim=0) > 1e-6].mean():.3f}")

# %% [markdown]
# ## In a codec
#
# The quickstart: STE without a commitment loss, with it, and mSTE without. The mean absolute embedding (MA-E) of the
# first grows without bound.

# %%
run = qcodec.fit(
    "surrogate/quickstart",
    run_dir=Path(tempfile.mkdtemp()) / "run",
    **{
        "data.init_args.updates_per_epoch": 10 if QUICK else 1000,
        "trainer.enable_progress_bar": False,
        "model.init_args.schedule": {"class_path": "qcodec.schedules.Constant", "init_args": {"rate": 0.001}},
    },
)
run.figure("ma_e")

# %% [markdown]
# What it does not show: that mSTE is better. With a commitment weight of its own, STE solves the same task
# ([recipes/README.md](../recipes/README.md), *Estimator or commitment weight?*). What mSTE gives is stability without a
# weight to be found.
