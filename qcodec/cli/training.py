"""The commands ``fit``, ``validate``, ``test`` and ``predict``: Lightning's command line with run folders and grids."""

import logging
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentError, get_loader, set_loader
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import OutOfMemoryError

from qcodec.atomic_write import atomic_write
from qcodec.callbacks.checkpoint_files import CheckpointFiles
from qcodec.callbacks.metrics_csv import MetricsCSV
from qcodec.callbacks.predictions import PredictionWriter
from qcodec.callbacks.progress import progress
from qcodec.callbacks.signals import SignalsBetweenUpdates, signals_given_back
from qcodec.cli.config_errors import innermost
from qcodec.cli.made_by import made_by, took
from qcodec.cli.model import find_users_modules
from qcodec.cli.recipe_words import find_recipes
from qcodec.runs.checkpoint import read_checkpoint
from qcodec.runs.folder import measuring_folder, run_of, shared_folder, training_folder
from qcodec.runs.grids import expand_grids
from qcodec.runs.read import read_table
from qcodec.runs.schema import CHECKPOINTS, CONFIG, METRICS, RunDescription, read_description, write_description
from qcodec.runs.settings_history import resumed_settings

_GRIDS = "yaml with grids"  # what jsonargparse calls a language of settings; dumped as plain YAML
set_loader(_GRIDS, lambda text: expand_grids(get_loader("yaml")(text)), exceptions=(yaml.YAMLError,))
_log = logging.getLogger(__name__)
_TABLES = {"fit": METRICS, "validate": "validate.csv", "test": "test.csv", "predict": "predict.csv"}


def train(command: str, arguments: Sequence[str]) -> Path:
    """Run one of Lightning's commands and return the folder that it wrote to.

    Raises:
        ValueError: For arguments or a recipe that cannot be used, in one line.
    """
    words, recipe = find_recipes([word for word in arguments if word != "--quiet"])
    find_users_modules()
    for name in ("lightning.pytorch", "lightning.fabric"):  # the devices, advertising, and each seed that is set
        logging.getLogger(name).setLevel(logging.WARNING)
    with shared_folder(), signals_given_back(), warnings.catch_warnings():
        _ignore_warnings_that_do_not_apply()
        try:
            return RunFolderCLI(command, words, recipe, arguments).run_dir
        except (ArgumentError, ValueError, MisconfigurationException) as error:
            raise ValueError(innermost(str(error))) from error
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, MemoryError | OutOfMemoryError) or "can't allocate memory" in str(error):
                reason = str(error).partition("err == 0. ")[2][:120] or type(error).__name__
                raise ValueError(
                    f"there is not enough memory ({reason}): lower the sizes, such as frames, batch_size or embedding"
                ) from error
            if "loading state_dict" not in str(error):
                raise
            raise ValueError(
                "the checkpoint is of another model than the recipe's: name the config.yaml of the checkpoint's own run"
            ) from error
        except SIGTERMException:
            raise SystemExit(143) from None
        except SystemExit as end:  # Lightning's answer to Ctrl-C, after it has saved the state
            if isinstance(end.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise


class LastCheckpoint(ModelCheckpoint):
    """Lightning's callback under a name of its own, so that it stands beside one of the user's."""


class RunFolderCLI(LightningCLI):
    """Lightning's command line, where whatever a run writes goes to one folder.

    Args:
        command: Lightning's subcommand.
        words: Its arguments.
        recipe: Short name of the recipe, ``+`` and those of what goes on top of it, which names new run folders.
        typed: The arguments as they were given; ``--quiet`` leaves out progress and the last line.
    """

    def __init__(self, command: str, words: Sequence[str], recipe: str, typed: Sequence[str] = ()) -> None:
        self.quiet, self.typed = "--quiet" in typed, typed
        self.recipe, self.run_dir, self._begins_at, self._begun = recipe, Path(), 0, 0.0
        parsers = {name: {"exit_on_error": False, "parser_mode": _GRIDS} for name in self.subcommands()}
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            save_config_callback=None,
            seed_everything_default=0,
            parser_kwargs={"prog": "qcodec", "exit_on_error": False, "parser_mode": _GRIDS, **parsers},
            args=[command, *words],
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``--run_dir``."""
        parser.add_argument("--run_dir", type=Path | None, default=None, help="folder for all that the run writes")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, without Lightning's warning that ``sys.argv`` is not read."""
        self.config = parser.parse_args(args)

    def _parse_ckpt_path(self) -> None:
        """Read the settings from the recipe and the command line alone, not from the checkpoint as Lightning would."""

    def before_instantiate_classes(self) -> None:
        """Choose the run folder and pass it to the loggers."""
        config = self.config[str(self.subcommand)]
        checkpoint = Path(config.ckpt_path) if config.get("ckpt_path") else None
        if checkpoint is not None:
            self._begins_at = int(read_checkpoint(checkpoint).get("global_step", 0))
        elif self.subcommand != "fit":
            raise ValueError(f"`{self.subcommand}` needs a trained model: give --ckpt_path RUN/checkpoints/last.ckpt")
        _check_trainer(config.trainer)
        choose = training_folder if self.subcommand == "fit" else measuring_folder
        self.run_dir = choose(config.run_dir, self.recipe, checkpoint)
        config.trainer.default_root_dir = str(self.run_dir)
        if self.subcommand != "fit":
            config.trainer.logger = None  # what is measured later must not mix with the curves of training
        for logger in _listed(config.trainer.logger):
            if hasattr(logger, "init_args") and "save_dir" in logger.init_args:
                logger.init_args.save_dir = str(self.run_dir)

    def after_instantiate_classes(self) -> None:
        """Write the settings, now that they are known to work, and what the run states of itself."""
        if self.subcommand == "fit":
            self._save_config()
            self._save_description()

    @rank_zero_only
    def _save_config(self) -> None:
        """Write all settings; where a run is resumed with others, also what they were, and say so."""
        path = self.run_dir / CONFIG
        config = self.config[str(self.subcommand)].clone()
        checkpoint = config.ckpt_path
        lines = self._parser(self.subcommand).dump(config, skip_unset=False).splitlines(keepends=True)
        text = "".join(line for line in lines if not line.startswith(("run_dir:", "ckpt_path:")))
        former = run_of(Path(checkpoint)) / CONFIG if checkpoint else path
        if checkpoint and former.is_file():
            text, said = resumed_settings(former.read_text(encoding="utf-8"), text, self._begins_at)
            for each in said:
                _log.warning("%s is resumed with %s", former.parent, each)
        with atomic_write(path) as file:
            file.write(text.encode())

    @rank_zero_only
    def _save_description(self) -> None:
        """Write what the task states of its run; of a task that states nothing, that the run is of another kind."""
        describe = getattr(self.model, "describe", None)
        stated = describe(self.datamodule) if describe else RunDescription(kind="other")
        write_description(self.run_dir, replace(stated, made_by=made_by(["fit", *self.typed])))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add the table of metrics, and the callbacks that every run has."""
        config = self.config_init[str(self.subcommand)].trainer
        measured = None if self.subcommand == "fit" else self._begins_at
        loggers: list[Logger] = [MetricsCSV(self.run_dir, _TABLES[str(self.subcommand)], measured)]
        loggers += [logger for logger in _listed(config.logger) if isinstance(logger, Logger)]
        callbacks = _listed(config.callbacks)
        for callback in callbacks:
            if isinstance(callback, ModelCheckpoint):
                callback.dirpath = callback.dirpath or str(self.run_dir / CHECKPOINTS)
        if self.quiet:
            kwargs["enable_progress_bar"] = False
        elif config.enable_progress_bar is not False and not any(isinstance(c, ProgressBar) for c in callbacks):
            callbacks.append(progress())
        if config.enable_checkpointing is not False and not any(map(_keeps_last, callbacks)):
            callbacks.append(self._checkpoint())
        if self.subcommand == "fit":
            callbacks.append(SignalsBetweenUpdates())
        if self.subcommand == "predict":
            callbacks.append(PredictionWriter(str(self.run_dir / "predictions")))
        plugins = _listed(config.plugins)
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins.append(CheckpointFiles())
        try:
            return super().instantiate_trainer(logger=loggers, callbacks=callbacks, plugins=plugins, **kwargs)
        except (RuntimeError, TypeError) as error:  # of what Lightning does not take, such as SLURM_NTASKS alone
            hint = ": unset SLURM_NTASKS outside of a job of several tasks" if "ntasks" in str(error) else ""
            raise ValueError(f"{str(error).rstrip('.')}{hint}") from error

    def _checkpoint(self) -> ModelCheckpoint:
        """Return the callback that keeps the state at the end of each epoch and at an error."""
        return LastCheckpoint(
            self.run_dir / CHECKPOINTS,
            filename="last",
            save_on_train_epoch_end=True,
            save_on_exception=True,
            enable_version_counter=False,
        )

    @rank_zero_only
    def before_fit(self) -> None:
        """Pass all settings to the loggers; other ranks may be here before the first has written them."""
        settings = yaml.safe_load((self.run_dir / CONFIG).read_text(encoding="utf-8"))
        for logger in self.trainer.loggers:
            logger.log_hyperparams(settings)
        self._begun = time.perf_counter()

    def after_fit(self) -> None:
        """Keep what it took, and print where the results are and what may come next."""
        trainer, folder = self.trainer, self.run_dir
        if not trainer.is_global_zero:
            return
        stated = read_description(folder)
        cost = took(time.perf_counter() - self._begun, trainer.global_step - self._begins_at)
        write_description(folder, replace(stated, made_by={**stated.made_by, **cost}))
        if self.quiet:
            return
        if trainer.global_step == self._begins_at > 0:
            settings = f"--trainer.max_epochs {trainer.max_epochs} and --trainer.max_steps {trainer.max_steps}"
            print(f"{folder}: ended at update {self._begins_at} already, by {settings}: give more to go on")
        elif self.config[str(self.subcommand)].trainer.fast_dev_run:
            print(f"{folder}: a trial of fast_dev_run, which logs no curves and writes no checkpoint")
        elif not read_table(folder):
            print(f"{folder}: nothing was logged: train for more updates, or lower --trainer.log_every_n_steps")
        else:
            print(f"{folder}: ended at update {trainer.global_step:,}; next: qcodec report {folder}")


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def _check_trainer(trainer: Any) -> None:
    """Refuse what Lightning's trainer takes and a task here does not.

    Raises:
        ValueError: With the setting and what to set instead.
    """
    if trainer.precision in ("bf16-true", "16-true", "64-true"):
        raise ValueError(
            f"trainer.precision {trainer.precision} would hold the weights in that type, too coarse to train them or "
            "for no gain: bf16-mixed computes in it and keeps them in float32"
        )
    most = max(16, 4 * (os.cpu_count() or 1))
    devices = str(trainer.devices)
    if devices.isdecimal() and int(devices) > most and not torch.cuda.is_available():
        raise ValueError(f"trainer.devices {trainer.devices} would start as many processes: give {most} or fewer here")
    if trainer.accumulate_grad_batches != 1:
        raise ValueError(
            f"trainer.accumulate_grad_batches {trainer.accumulate_grad_batches}: a task here makes one update of each "
            "batch; one of audio can compute a batch in parts, for less memory: set model.init_args.micro_batches to "
            "their number, and data.init_args.batch_size to that of the whole batch"
        )
    if trainer.overfit_batches:
        raise ValueError(
            f"trainer.overfit_batches {trainer.overfit_batches:g}: crops and draws are new in every update, none "
            "would be repeated: to overfit, give a folder of one short recording"
        )


def _keeps_last(callback: Callback) -> bool:
    """Return whether a callback of the user's writes ``last.ckpt`` after each epoch itself."""
    return isinstance(callback, ModelCheckpoint) and bool(callback.every_n_epochs) and callback.filename == "last"


def _ignore_warnings_that_do_not_apply() -> None:
    # Lightning 2.6 calls jsonargparse by names of before 4.49.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"lightning\.|jsonargparse")
    for message in (
        ".*does not have many workers.*",  # data is drawn on the device
        ".*Checkpoint directory .* exists and is not empty.*",  # a resumed run's
        "The dirpath has changed from .*",  # of a run that goes on in another folder
        ".*isinstance\\(treespec, LeafSpec\\).*",  # Lightning 2.6 with torch 2.11
        "Using ModelCheckpoint with manual optimization and every_n_train_steps.*",  # after an update is what is wanted
        ".*number of training batches.*smaller than the logging interval.*",  # metrics are logged once an epoch
    ):
        warnings.filterwarnings("ignore", message=message)
