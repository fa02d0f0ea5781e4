import logging
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from qcodec.kernels import build
from qcodec.kernels.batched_mlp import Kernel, Layers, kernel
from qcodec.layers.batched_mlp import BatchedMLP

LAYERS = Layers((3, 3, 2), (True, False), (True, False), skip_after=False, slope_per_channel=False)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Start with an empty cache folder, nothing loaded and nothing warned about."""
    monkeypatch.delenv("QCODEC_KERNELS", raising=False)
    monkeypatch.setenv("QCODEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "_warned", [])
    kernel.cache_clear()
    yield
    kernel.cache_clear()


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QCODEC_CACHE", str(tmp_path / "probe"))
    if kernel(LAYERS) is None:
        pytest.skip("no C++ compiler that builds the kernel")
    kernel.cache_clear()
    monkeypatch.setenv("QCODEC_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the commands that compile, in order."""
    commands: list[str] = []
    run: Callable[..., str] = build._run

    def counted(command: list[str]) -> str:
        if "-o" in command:
            commands.append(" ".join(command))
        return run(command)

    monkeypatch.setattr(build, "_run", counted)
    return commands


def library(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "cache").glob("*.so")
    return path


def works(loaded: Kernel | None) -> bool:
    assert loaded is not None
    first, second = [1.0] * 9 + [0.0] * 3 + [0.5], [1.0] * 6 + [0.0] * 2  # weight, bias and slope
    y, _ = loaded.forward(-torch.ones(1, 3, 5), torch.tensor([first + second]), keep=False)
    return torch.equal(y, torch.full((1, 2, 5), -6.0))  # 3 * 0.5 * (-3 - 1)


def small_mlp() -> BatchedMLP:
    return BatchedMLP(
        1, LAYERS.widths, skip=LAYERS.skip, activation=LAYERS.activation, skip_position="before", slope="shared",
        generators=[torch.Generator().manual_seed(0)],
    )  # fmt: skip


@pytest.mark.usefixtures("compiler")
def test_a_kernel_is_compiled_once_and_then_taken_from_the_cache(builds, tmp_path) -> None:
    assert works(kernel(LAYERS))
    kernel.cache_clear()
    assert works(kernel(LAYERS))
    assert len(builds) == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [library(tmp_path).name]


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("damage", [b"", b"not a library", None])
def test_a_damaged_file_in_the_cache_is_replaced(builds, tmp_path, damage) -> None:
    assert kernel(LAYERS) is not None
    path = library(tmp_path)
    content = path.read_bytes()
    path.unlink()  # the loaded file must stay as it is
    path.write_bytes(content[: len(content) // 2] if damage is None else damage)
    kernel.cache_clear()
    assert works(kernel(LAYERS))
    assert len(builds) == 2


@pytest.mark.usefixtures("compiler")
def test_another_processor_or_compiler_gets_a_file_of_its_own(monkeypatch, builds, tmp_path) -> None:
    assert kernel(LAYERS) is not None
    monkeypatch.setattr(build, "_processor", lambda: "another processor")
    kernel.cache_clear()
    assert works(kernel(LAYERS))
    assert len(builds) == len(list((tmp_path / "cache").glob("*.so"))) == 2


@pytest.mark.usefixtures("compiler")
def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch, tmp_path, caplog) -> None:
    (tmp_path / "file").write_text("a file where the folder should be")
    monkeypatch.setenv("QCODEC_CACHE", str(tmp_path / "file"))
    assert works(kernel(LAYERS))
    assert not caplog.records


@pytest.mark.usefixtures("compiler")
def test_two_builds_at_the_same_time_do_not_disturb_each_other(tmp_path) -> None:
    with ThreadPoolExecutor(2) as pool:
        loaded = list(pool.map(lambda _: Kernel(build._library("batched_mlp.cpp", LAYERS.macros()), LAYERS), range(2)))
    assert all(works(one) for one in loaded)
    assert all(path.suffix == ".so" for path in (tmp_path / "cache").iterdir())


def fake_compiler(folder: Path, script: str) -> str:
    path = folder / "fake-c++"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "no C++ compiler was found"),
        ("exit 3", "exit status 3"),
        ('[ "$1" = --version ] || { echo noise; echo "x.cpp:1: error: bad luck" >&2; exit 1; }', "error: bad luck"),
        ('[ "$1" = --version ] || sleep 30', "took too long"),
        ('for out; do :; done; [ "$1" = --version ] || echo rubbish > "$out"', "batched_mlp-"),
    ],
    ids=["missing", "broken", "fails", "hangs", "rubbish"],
)
def test_without_a_working_compiler_one_warning_is_logged_and_pytorch_computes(
    monkeypatch, tmp_path, caplog, capfd, script, reason
) -> None:
    mlp = small_mlp()
    x = torch.randn(1, 3, 10)
    monkeypatch.setenv("QCODEC_KERNELS", "0")
    expected = mlp(x)
    monkeypatch.delenv("QCODEC_KERNELS")
    monkeypatch.setattr(build, "_TIMEOUT", 0.5)
    if script is None:
        monkeypatch.delenv("CXX", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        monkeypatch.setenv("CXX", fake_compiler(tmp_path, script))
    with caplog.at_level(logging.DEBUG, logger="qcodec"):
        assert torch.equal(mlp(x), expected)
        assert torch.equal(mlp(x), expected)
        assert kernel(Layers((2, 2), (True,), (True,), skip_after=True, slope_per_channel=True)) is None
    (record,) = caplog.records
    assert record.name == "qcodec.kernels.build"
    assert record.levelno == logging.WARNING
    assert reason in record.getMessage()
    assert "several times slower" in record.getMessage()
    assert "g++" in record.getMessage()
    assert "QCODEC_KERNELS=0" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert capfd.readouterr() == ("", "")


def test_a_compiler_named_by_cxx_that_does_not_exist_is_named_in_the_warning(monkeypatch, caplog) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    assert kernel(LAYERS) is None
    assert "CXX=no-such-compiler -O2 was not found" in caplog.text


def test_the_kernel_is_not_even_looked_for_where_it_is_switched_off(monkeypatch, caplog) -> None:
    monkeypatch.setenv("QCODEC_KERNELS", "0")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert small_mlp()(torch.randn(1, 3, 4)).shape == (1, 2, 4)
    assert not caplog.records


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path) -> None:
    assert build._cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("QCODEC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert build._cache_folder() == tmp_path / "xdg" / "qcodec"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert build._cache_folder() == tmp_path / ".cache" / "qcodec"
