"""The site of the documentation is built without a warning, from what the repository has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    call = [sys.executable, "-m", "mkdocs", "build", "-q", "-f", ROOT / ".github/docs/mkdocs.yml", "-d", folder]
    known = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(call, capture_output=True, text=True, env=known, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_class_of_a_quantizer_is_in_the_reference_with_its_example(site):
    page = (site / "reference/quantizers/index.html").read_text(encoding="utf-8")
    for name in ("scalar.ScalarQuantizer", "estimators.ModifiedSTE", "residual.ResidualVQ", "allocators.RateAllocator"):
        assert f'id="qcodec.quantizers.{name}"' in page
    assert "Example" in page


def test_commands_and_readmes_are_pages_whose_links_lead_to_pages(site):
    commands = (site / "commands/index.html").read_text(encoding="utf-8")
    assert "usage: qcodec check PART" in commands
    assert "usage: qcodec fit --config RECIPE" in commands
    start = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="recipes/"' in start
    assert 'src="figures/quickstart.png"' in start
    assert (site / "figures/quickstart.png").is_file()
