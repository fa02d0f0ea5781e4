"""The command ``dashboard``."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def dashboard(arguments: Sequence[str]) -> None:
    """Write the W&B workspace and report of runs as JSON, or save them to an account."""
    parser = argparse.ArgumentParser(
        prog="qcodec dashboard",
        description="Build a W&B workspace with a panel for each metric of the runs, bands over seeds, rate-distortion "
        "scatter, sound and pictures, and a report with the papers' figures. Both are written as JSON; with --entity "
        "they are also saved to that W&B account. Needs the extra `dashboard`.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a folder that `qcodec fit` wrote")
    parser.add_argument("--output", type=Path, help="folder to write to; the first run's if left out")
    parser.add_argument("--entity", default="", help="W&B user or team to save to; nothing is sent if left out")
    parser.add_argument("--project", default="qcodec", help="W&B project (default: qcodec)")
    options = parser.parse_args(arguments)

    from qcodec.atomic_write import atomic_write
    from qcodec.dashboards.workspace import as_json, report, workspace
    from qcodec.runs.read import read_run
    from qcodec.runs.schema import PICTURES

    runs = [read_run(folder) for folder in options.runs]
    name = ", ".join(run.name for run in runs)
    pictures = dict.fromkeys(path.stem for folder in options.runs for path in sorted(folder.glob(f"{PICTURES}/*.png")))
    media = [*(["original", "decoded"] if any(run.description.kind == "audio" for run in runs) else []), *pictures]
    built = {
        "workspace.json": workspace(runs, name=name, media=media, entity=options.entity, project=options.project),
        "wandb_report.json": report(runs, title=f"qcodec: {name}"),
    }
    output = options.output or options.runs[0]
    for file_name, each in built.items():
        with atomic_write(output / file_name) as file:
            file.write(as_json(each).encode())
        print(output / file_name)
    if options.entity:
        print(built["workspace.json"].save().url)
    else:
        runs_given = " ".join(map(str, options.runs))
        print(f"after `wandb login`: qcodec dashboard {runs_given} --entity NAME --project {options.project}")
