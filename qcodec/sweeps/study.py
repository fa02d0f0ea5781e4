"""Trials of a sweep from a storage that several workers share, by Optuna."""

import itertools
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import optuna
from filelock import FileLock
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from qcodec.runs.sweep_table import COLUMNS, write_sweep_table
from qcodec.sweeps.settings import Axis, Sweep
from qcodec.sweeps.trial import FitError, run_trial, trial_folder

_RETRIES, _TO_BEGIN = 3, 60.0  # times that a trial is begun again, and seconds to its first sign of life


def open_study(sweep: Sweep, name: str, storage: str, heartbeat: int = 30) -> Study:
    """Return the study of a sweep, new or as it stands; the points of a grid are trials that wait from the beginning.

    A trial whose worker has shown no sign of life for two heartbeats is begun again by another, from its checkpoint.

    Args:
        sweep: The sweep.
        name: Of the study in the storage.
        storage: URL of a database, such as ``sqlite:///sweep.db`` or ``postgresql://user@host/base``.
        heartbeat: Seconds between two signs of life of a worker.

    Raises:
        ValueError: For a storage that cannot be opened, or has another sweep under the name.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.enable_propagation()
    with _quiet():
        again = RetryHeartbeatStaleTrialCallback(max_retry=_RETRIES)
        try:
            database = RDBStorage(
                storage, heartbeat_interval=heartbeat, grace_period=2 * heartbeat, heartbeat_stale_trial_callback=again
            )
            study = optuna.create_study(
                storage=database, study_name=name, sampler=_sampler(sweep), direction=sweep.direction,
                load_if_exists=True,
            )  # fmt: skip
        except (SQLAlchemyError, ImportError, ValueError) as error:
            raise ValueError(f"the storage {storage} cannot be opened: {' '.join(str(error).split())[:300]}") from None
    known = study.user_attrs.get("sweep")
    if known not in (None, repr(sweep)):
        raise ValueError(f"the storage has another sweep as study {name!r}: give this one another --name")
    study.set_user_attr("sweep", repr(sweep))
    if sweep.sampler == "grid":
        names = [axis.setting for axis in sweep.axes]
        there = [_asked(t) for t in study.get_trials(deepcopy=False) if _has_ended(t) or not t.state.is_finished()]
        points = itertools.product(*(axis.choices or {} for axis in sweep.axes))
        for point in itertools.islice(points, sweep.trials):
            asked = dict(zip(names, point, strict=True))
            if asked not in there:
                study.enqueue_trial(asked)
    return study


def _asked(trial: FrozenTrial) -> dict[str, Any]:
    """Return what a trial is to try, also where it has not begun."""
    return dict(trial.params or trial.system_attrs.get("fixed_params") or {})


def work(sweep: Sweep, base: Mapping[str, Any], study: Study, folder: Path, pause: float = 5.0) -> None:
    """Take trials until none are left, and write the table after each.

    While others work on the last ones it waits, for should they be killed their trials are taken over.

    Args:
        sweep: The sweep.
        base: Its recipe, whole.
        study: The storage's.
        folder: Of the sweep.
        pause: Seconds between two looks at what others do.
    """
    taking = FileLock(folder / ".take")  # SQLite would give one trial to two workers that ask at once
    with _quiet():
        while True:
            with taking:
                next_step = _next_step(sweep, study)
                trial = study.ask() if next_step == "take" else None
                if trial is not None:
                    _sign_of_life(study, trial)
            if trial is not None:
                _run(sweep, base, study, trial, folder)
                write_table(sweep, study, folder)
            elif next_step == "end":
                return
            else:
                time.sleep(pause)
                optuna.storages.fail_stale_trials(study)
                _take_back_what_never_began(study)


def _run(sweep: Sweep, base: Mapping[str, Any], study: Study, trial: Trial, folder: Path) -> None:
    """Run a trial that was taken and tell what came of it; one that is stopped is there for others to go on with."""
    chosen = {axis.setting: _suggested(trial, axis) for axis in sweep.axes}
    first = RetryHeartbeatStaleTrialCallback.retried_trial_number(study.trials[trial.number])
    number = trial.number if first is None else first
    place = trial_folder(folder, number, {name: word for name, (word, _) in chosen.items()})
    trial.set_user_attr("folder", str(place.relative_to(folder)))
    try:
        with _alive(study, trial):
            outcome = run_trial(sweep, base, {name: value for name, (_, value) in chosen.items()}, place)
    except FitError as error:
        trial.set_user_attr("error", str(error))
        study.tell(trial, state=TrialState.FAIL)
    except BaseException:  # such as Ctrl-C
        study.tell(trial, state=TrialState.FAIL)
        RetryHeartbeatStaleTrialCallback()(study, study.trials[trial.number])
        raise
    else:
        if outcome.diverged:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, outcome.value)


@contextmanager
def _alive(study: Study, trial: Trial) -> Iterator[None]:
    """Send signs of life while a trial runs."""
    storage: Any = study._storage
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(storage.get_heartbeat_interval()):
            storage.record_heartbeat(trial._trial_id)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _sign_of_life(study: Study, trial: Trial) -> None:
    """Record the first heartbeat at once: a trial without one is never taken over."""
    storage: Any = study._storage
    storage.record_heartbeat(trial._trial_id)
    trial.set_user_attr("began", True)


def _take_back_what_never_began(study: Study) -> None:
    """Begin anew those trials whose worker was killed between taking one and its first sign of life."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        waited = datetime.now() - (trial.datetime_start or datetime.now())
        if "began" not in trial.user_attrs and waited.total_seconds() > _TO_BEGIN:
            study.tell(trial.number, state=TrialState.FAIL)
            RetryHeartbeatStaleTrialCallback(max_retry=_RETRIES)(study, trial)


def _next_step(sweep: Sweep, study: Study) -> Literal["take", "wait", "end"]:
    """Return whether there is a trial to take, or others may leave one, or all are done."""
    trials = study.get_trials(deepcopy=False)
    counts = Counter(trial.state for trial in trials)
    ended = sum(map(_has_ended, trials))
    running, waiting = counts[TrialState.RUNNING], counts[TrialState.WAITING]
    if waiting:
        return "take"
    if sweep.sampler != "grid" and ended + running < (sweep.trials or 0):
        return "take"
    return "wait" if running else "end"


def _has_ended(trial: FrozenTrial) -> bool:
    """Return whether a trial ended, well or with an error of its own; one whose worker was killed did not."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or "error" in trial.user_attrs


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what Optuna says of heartbeats, which it has called experimental since 2021."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Heartbeat of storage is supposed to be used", UserWarning)  # they are ours
        yield


def write_table(sweep: Sweep, study: Study, folder: Path) -> None:
    """Write all trials with what was chosen and what came of it."""
    rows = []
    for trial in study.get_trials(deepcopy=False):
        if _has_ended(trial):
            told = (trial.number, _state(trial), trial.value, trial.user_attrs.get("folder", ""))
            rows.append(dict(zip(COLUMNS, told, strict=True)) | dict(trial.params))
    write_sweep_table(folder, rows, [axis.setting for axis in sweep.axes], sweep.metric, sweep.direction)


def _state(trial: FrozenTrial) -> str:
    if "error" in trial.user_attrs:
        return str(trial.user_attrs["error"])
    return "diverged" if trial.state == TrialState.PRUNED else ""


def _suggested(trial: Trial, axis: Axis) -> tuple[str, Any]:
    """Return the name and the value of what is chosen for a setting."""
    if axis.choices is not None:
        name = str(trial.suggest_categorical(axis.setting, list(axis.choices)))
        return name, axis.choices[name]
    if isinstance(axis.low, int) and isinstance(axis.high, int):
        whole = trial.suggest_int(axis.setting, axis.low, axis.high, log=axis.log)
        return str(whole), whole
    value = trial.suggest_float(axis.setting, float(axis.low), float(axis.high), log=axis.log)
    return f"{value:.3g}", value


def _sampler(sweep: Sweep) -> BaseSampler:
    return TPESampler(multivariate=True, constant_liar=True) if sweep.sampler == "tpe" else RandomSampler()
