"""Asks every part whether two ranks with half a batch each learn as one process with all of it, for 20 updates.

    python benchmarks/ranks.py [NAME ...]

Real processes over gloo; state and gradients are compared after each update. Parts that draw random numbers in training
are not asked, as each rank draws its own.
"""

import sys
from collections import Counter

import qcodec
from qcodec.conformance import ranks
from qcodec.conformance.check import _fitting, _places, kind_of
from qcodec.conformance.question import answers
from qcodec.quantizers.catalogue import catalogue

POINTS = {"size": 20, "dim": 4, "metric": "euclidean"}
ARGUMENTS = {
    "AnnealedDither": lambda: {"quantizer": qcodec.ScalarQuantizer(), "std": 0.3, "updates": 10},
    "LayeredQuantizer": lambda: {"quantizer": qcodec.ScalarQuantizer(), "before": [qcodec.Bounded(reach=2.0)]},
    "ProductQuantizer": lambda: {
        "dim": 8, "parts": [qcodec.VectorQuantizer(qcodec.LearnedCodebook(**POINTS)) for _ in range(2)]
    },
    "product_vq": lambda: {"dim": 8, "groups": 2, "codebook": qcodec.EMACodebook(**POINTS)},
    "VectorQuantizer": lambda: {"codebook": qcodec.EMACodebook(**POINTS)},
    "FactorizedVQ": lambda: {"dim": 8, "codebook": qcodec.LearnedCodebook(20, 4)},
    "ResidualVQ": lambda: {
        "stages": [qcodec.FactorizedVQ(8, qcodec.LearnedCodebook(20, 4)) for _ in range(2)],
        "allocator": qcodec.AllCodebooks(),
    },
    "residual_vq": lambda: {
        "dim": 8, "n_codebooks": 3, "codebook_size": 20, "codebook_dim": 4, "allocator": qcodec.AllCodebooks()
    },
    "residual_fsq": lambda: {"levels": [4] * 4, "n_stages": 2, "allocator": qcodec.AllCodebooks()},
    "SFDiVeQ": lambda: {"codebook": qcodec.LearnedCodebook(**POINTS)},
    "SoftRound": lambda: {"quantizer": qcodec.ScalarQuantizer(), "alpha": 3.0},
    "Bounded": lambda: {"reach": 2.0},
    "ProjectedQuantizer": lambda: {"dim": 8, "inner_dim": 4, "quantizer": qcodec.FSQ(levels=4)},
    "ProjectedStage": lambda: {"dim": 8, "stage": qcodec.VectorQuantizer(qcodec.EMACodebook(**POINTS))},
    "FSQ": lambda: {"levels": 4}, "FSQStage": lambda: {"levels": [4] * 4},
    "KMeansStart": lambda: {"codebook": qcodec.EMACodebook(**POINTS)},
    "EMACodebook": lambda: POINTS, "LearnedCodebook": lambda: POINTS, "SimVQCodebook": lambda: {"size": 20, "dim": 4},
    "ImportanceMask": lambda: {"channels": 8},
    "Whitening": lambda: {"dim": 8},
    "LFQ": lambda: {"bits": 8}, "BSQ": lambda: {"bits": 8},
}  # fmt: skip


def main() -> None:
    counts = Counter()
    for name in sys.argv[1:] or [each.name for each in catalogue() if not each.name.startswith("Around")]:
        made = ARGUMENTS.get(name, dict)
        try:
            part = getattr(qcodec, name)(**made())
            places = _places(kind_of(type(part)), part)
        except Exception as error:
            counts["not built"] += 1
            print(f"{name:28} not built here: {' '.join(str(error).split())[:90]}", flush=True)
            continue
        for place, build in places.items():
            try:
                (answer,) = answers(ranks.QUESTIONS, _fitting(build, None))
                verdict, found = answer.verdict, answer.found
            except ValueError as error:
                verdict, found = "not built", str(error)[:90]
            counts[verdict] += 1
            print(f"{name:28} {place:24} {verdict:9} {found}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    sys.exit(bool(counts["no"]))


if __name__ == "__main__":
    main()
