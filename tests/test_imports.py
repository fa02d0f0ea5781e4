"""Dependencies point one way; read from the imports themselves."""

import ast
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "qcodec"
FILES = sorted(PACKAGE.rglob("*.py"))
# A folder may import those listed and itself.
LAYERS = {
    "kernels": set(),
    "atomic_write": set(),
    "random_streams": set(),
    "schedules": set(),
    "functional": {"kernels"},
    "rate": {"functional"},
    "layers": {"kernels"},
    "audio": {"atomic_write"},
    "quantizers": {"functional", "kernels", "layers", "random_streams", "rate", "schedules"},
    "codecs": {"layers", "quantizers", "runs"},
    "losses": {"functional", "kernels"},
    "data": {"atomic_write", "audio", "functional", "random_streams", "rate"},
    "metrics": {"codecs", "functional", "rate", "runs"},
    "tasks": {
        "codecs", "data", "functional", "layers", "losses", "metrics", "quantizers", "random_streams", "rate",
        "runs", "schedules",
    },
    "bitstream": {"atomic_write", "audio", "codecs", "functional", "layers", "quantizers", "rate"},
    "figures": {"runs"},
    "callbacks": {"atomic_write", "audio", "codecs", "figures", "quantizers", "report", "runs"},
    "runs": {"atomic_write"},
    "sweeps": {"atomic_write", "runs"},
    "dashboards": {"runs"},
    "conformance": {"codecs", "quantizers", "random_streams"},
    "evaluation": {"atomic_write", "audio", "bitstream", "losses", "rate", "runs"},
    "report": {"atomic_write", "figures", "runs"},
    "cli": {
        "atomic_write", "audio", "bitstream", "callbacks", "codecs", "conformance", "dashboards", "data", "evaluation",
        "figures", "quantizers", "report", "runs", "sweeps", "tasks",
    },
    "api": {"cli", "codecs", "figures", "report", "runs"},
    "__init__": {"api", "codecs", "evaluation", "quantizers"},
    "__main__": {"cli"},
}  # fmt: skip
ONLY_IN = {
    "lightning": {"tasks", "data", "callbacks", "cli"},
    "wandb_workspaces": {"dashboards"},
    "wandb": {"callbacks", "runs/wandb_offline.py"},
    "dac": {"codecs/dac/*.py", "evaluation/peers.py"},
    "audiotools": {"codecs/dac/*.py", "evaluation/peers.py"},
    "torchaudio": {"losses/spectral.py"},
    "torchmetrics": {"metrics"},
    "jsonargparse": {"cli"},
    "optuna": {"sweeps"},
    "triton": {"kernels/triton_*_kernels.py"},
}


def imports(path):
    """Modules imported anywhere in a file, also where only a function runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def layer(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", FILES, ids=[str(f.relative_to(PACKAGE)) for f in FILES])
def test_a_file_imports_only_from_layers_below_its_own(path):
    own = layer(path)
    used = {name.split(".")[1] for name in imports(path) if name.startswith("qcodec.")}
    assert used <= LAYERS[own] | {own}


@pytest.mark.parametrize("path", FILES, ids=[str(f.relative_to(PACKAGE)) for f in FILES])
def test_a_heavy_package_is_imported_only_where_it_belongs(path):
    used = {name.split(".")[0] for name in imports(path)}
    for package, places in ONLY_IN.items():
        own = {layer(path), path.relative_to(PACKAGE).as_posix()}
        assert package not in used or any(fnmatch(name, place) for name in own for place in places)


def test_every_layer_named_here_exists():
    there = {layer(path) for path in FILES}
    assert set(LAYERS) <= there


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import qcodec", {"torch", "lightning", "wandb", "matplotlib", "dac", "audiotools", "torchaudio"}),
        ("from qcodec.cli import main; main(['--help'])", {"torch", "lightning", "wandb", "matplotlib", "numpy"}),
        ("from qcodec.cli import main; main(['recipes'])", {"torch", "lightning", "wandb", "matplotlib", "numpy"}),
        ("from qcodec import ScalarQuantizer, SurrogateCodec", {"lightning", "wandb", "matplotlib", "dac"}),
        ("from qcodec import FactorizedVQ, ResidualVQ", {"lightning", "wandb", "dac", "audiotools", "torchaudio"}),
        ("import qcodec.report.write", {"torch", "lightning", "wandb"}),
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(statement, absent):
    code = f"{statement}\nimport sys; print('loaded:', *(sorted(set(sys.modules) & {absent!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == "loaded:"
