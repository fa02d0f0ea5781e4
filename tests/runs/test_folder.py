"""Which folder a run takes, and what of an earlier one it leaves there."""

import subprocess
import sys

import pytest

from qcodec.runs.folder import release_folders, shared_folder, training_folder
from qcodec.runs.schema import METRICS

HOLD = """
import sys, time
from pathlib import Path
from qcodec.runs.folder import training_folder
training_folder(Path(sys.argv[1]) if sys.argv[1:] else None, "recipe", None)
print("taken", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def apart():
    with shared_folder():
        yield


def begin(folder, resuming=None):
    with shared_folder():
        return training_folder(folder, "recipe", resuming)


@pytest.mark.parametrize(("words", "folder"), [(["run"], "run"), ([], "runs/recipe/0")])
def test_a_folder_that_another_fit_writes_to_is_refused_until_that_has_ended(tmp_path, words, folder):
    """Whether it was named, or is the next number."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, *words], stdout=subprocess.PIPE, cwd=tmp_path)
    try:
        assert process.stdout.readline() == b"taken\n"
        with pytest.raises(
            ValueError, match=rf"another fit is writing to .*{folder}: wait until it ends, or give another"
        ):
            begin(tmp_path / folder)
        begin(tmp_path / "other")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert begin(tmp_path / folder) == tmp_path / folder  # the lock of a process that was killed is none


def test_a_run_that_ended_before_its_first_checkpoint_begins_anew_and_keeps_its_table(tmp_path, caplog):
    run = tmp_path / "run"
    for number in (1, 2):
        run.mkdir(exist_ok=True)
        (run / METRICS).write_text(f"step\n{number}\n")
        assert begin(run) == run
        assert not (run / METRICS).exists()
        assert (run / f"{METRICS}.{number}").read_text() == f"step\n{number}\n"
        assert f"a new one begins, its table is {METRICS}.{number}" in caplog.text


def test_a_run_that_can_be_resumed_is_not_begun_anew_and_the_checkpoint_that_is_named_is_there(tmp_path):
    checkpoint = tmp_path / "run/checkpoints/best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    with pytest.raises(ValueError, match=rf"holds a run already: .* resume it with --ckpt_path {checkpoint}$"):
        begin(tmp_path / "run")
    assert begin(tmp_path / "run", checkpoint) == tmp_path / "run"


def test_what_a_killed_fit_left_half_written_is_removed_by_the_next(tmp_path):
    left = [tmp_path / "run/.0123456789abcdef.part", tmp_path / "run/checkpoints/.fedcba9876543210.part"]
    left[1].parent.mkdir(parents=True)
    for path in left:
        path.touch()
    (tmp_path / "run/checkpoints/last.ckpt").touch()
    begin(tmp_path / "run", tmp_path / "run/checkpoints/last.ckpt")
    assert not any(path.exists() for path in left)
    assert (tmp_path / "run/checkpoints/last.ckpt").exists()


def test_a_process_may_take_its_own_folder_again(tmp_path):
    begin(tmp_path / "run")
    training_folder(tmp_path / "run", "recipe", None)
    release_folders()
