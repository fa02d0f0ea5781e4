# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A quantizer of your own, on the surrogate, in ten minutes
#
# A quantizer maps an embedding `(batch, feature, frame)` to codes and back. Here is one that qcodec does not know: three
# levels for each value, the outer two twice as far out as a uniform quantizer would put them. We ask it what every
# quantizer must answer, train it in a surrogate codec beside two of qcodec's own, and look at the curves.

# %%
import math
import os
import tempfile
from pathlib import Path

import qcodec
from qcodec.conformance.check import check

QUICK = os.environ.get("QUICK") == "1"  # few updates
os.environ.setdefault("WANDB_MODE", "disabled")
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Write it
#
# `forward` returns what the decoder sees in training (`z_hat`), the codes, the bits of each frame and unweighted losses.
# `decode` turns codes into values; in evaluation it must give `z_hat` again, bit for bit.


# %%
class Ternary(qcodec.Quantizer):
    """Three levels for each value: -reach, 0 and reach."""

    def __init__(self, reach: float = 1.2, estimator: qcodec.GradientEstimator | None = None):
        super().__init__()
        self.reach, self.estimator = reach, qcodec.STE() if estimator is None else estimator

    def forward(self, z, *, features=None, level=None):
        codes = (z / self.reach).round().clamp(-1, 1).long() + 1
        z_q = self.decode(codes).to(z.dtype)
        bits = z.new_full((z.shape[0], z.shape[2]), z.shape[1] * math.log2(3))
        losses = {"commitment": (z - z_q).square().mean((1, 2))}
        return qcodec.QuantizerOutput(self.estimator(z, z_q), codes, bits, losses, z_q.detach())

    def decode(self, codes):
        return (codes - 1) * self.reach

    def code_sizes(self, channels):
        return (3,) * channels

    @property
    def exact(self):
        return self.estimator.exact


# %% [markdown]
# ## Check it
#
# The questions that qcodec's own tests ask. On the command line: `qcodec check my_module.Ternary`.

# %%
for checked in check(Ternary(estimator=qcodec.ModifiedSTE()), processes=False):
    for answer in checked.answers:
        print(f"{answer.verdict:<10}{answer.question}", f"({answer.found})" if answer.found else "")
        assert answer.verdict != "no"

# %% [markdown]
# ## Train it
#
# The surrogate codec has to carry 30 values of 1.9 bits each, mixed by an unknown rotation. With 47.5 bits a frame
# (30 values of three levels) no codec can have an MSE below 0.048, by the rate-distortion bound; four levels (60 bits)
# could have none at all.


# %%
def system(quantizer, **settings):
    mste = {"class_path": "qcodec.ModifiedSTE"}
    return {
        "quantizer": {"class_path": quantizer, "init_args": {"estimator": mste, **settings}},
        "losses": {"commitment": 0.1},
    }


run = qcodec.fit(
    "surrogate/quickstart",
    run_dir=folder / "run",
    **{
        "model.init_args.systems": {
            "mine": system(f"{__name__}.Ternary"),
            "uniform3": system("qcodec.ScalarQuantizer", levels=3),
            "uniform4": system("qcodec.ScalarQuantizer", levels=4),
        },
        "model.init_args.seeds": 2,
        "model.init_args.schedule": {"class_path": "qcodec.schedules.Constant", "init_args": {"rate": 0.001}},
        "data.init_args.updates_per_epoch": 10 if QUICK else 500,
        "trainer.max_epochs": 5,
        "trainer.enable_progress_bar": False,
    },
)

# %%
run.figure("hard_mse")

# %% [markdown]
# ## Read the result
#
# Two seeds and one schedule rank nothing: for a verdict with an interval train more seeds, from 100 on, and run
# `qcodec report RUN --compare mine uniform3`. The table of everything that was logged:

# %%
last = {name: values[-1] for name, values in run.metrics.items() if "/" in name and not name.startswith("by_seed")}
for name, value in last.items():
    print(f"{name:<28}{value:.4g}")
