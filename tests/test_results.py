"""What the READMEs say of results is what the tables by seed hold."""

import csv
import importlib.util
import re
from collections import defaultdict
from pathlib import Path
from statistics import median

import pytest
import yaml

from qcodec.rate import gaussian_source
from qcodec.report.leaderboard import END, START, markdown
from qcodec.report.leaderboard_entry import read_entries
from qcodec.runs.grids import expand_grids

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "recipes/README.md").read_text(encoding="utf-8")


def test_the_leaderboards_tables_are_those_of_its_entries():
    text = (ROOT / "recipes/leaderboard/README.md").read_text(encoding="utf-8")
    entries = read_entries(ROOT / "recipes/leaderboard/entries")
    assert text.partition(START)[2].partition(END)[0].strip() == markdown(entries)
    settings = expand_grids(yaml.safe_load((ROOT / "recipes/leaderboard/entries.yaml").read_text(encoding="utf-8")))
    systems = settings["model"]["init_args"]["systems"]
    assert {entry.name for entry in entries} <= systems.keys()
    assert all(not set(entry.seeds) & {0, 1} for entry in entries)  # which chose the learning rate


def by_seed(name, metric="hard_mse"):
    found = defaultdict(list)
    with (ROOT / f"recipes/results/{name}.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found[row["system"]].append(float(row[metric]) if row[metric] else None)
    return found


def section(title):
    return TEXT.split(f"### {title}\n")[1].split("\n### ")[0]


def script_of(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"benchmarks/{name}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def says(text, value):
    """Return whether a number as it is written stands for a value: rounded to the digits that it shows."""
    digits = len(re.sub(r"e.*|\D", "", text).lstrip("0"))
    return float(text) == float(f"{value:.{max(digits, 1) - 1}e}")


@pytest.mark.parametrize("table", ["tuning", "fresh", "comparisons", "long"])
def test_the_tables_of_the_commitment_weight_are_made_from_the_results(table):
    script = script_of("commitment_weight")
    make = {
        "tuning": script.tuning_table, "fresh": script.fresh_table, "comparisons": script.comparisons,
        "long": lambda: script.fresh_table("commitment_weight_long"),
    }[table]  # fmt: skip
    written = re.search(rf"<!-- commitment_weight: {table} -->\n(.*?)\n<!-- end -->", TEXT, re.DOTALL)[1]
    assert written.splitlines() == make()


def test_the_table_of_estimators_is_that_of_the_results():
    values, diverged = by_seed("estimators"), by_seed("estimators", "diverged_at")
    row = r"^\| `(\w+)` \| ([^|]*) \| (\d) \| (\d) \| ([^|]*) \|$"
    rows = re.findall(row, section("Every estimator with one schedule"), re.MULTILINE)
    assert {name for name, *_ in rows} == set(values)
    for name, shown, below_rotation, solved, at in rows:
        assert all(says(text, value) for text, value in zip(shown.split(", "), values[name], strict=True)), name
        assert int(below_rotation) == sum(value < 0.1044 for value in values[name]), name
        assert int(solved) == sum(value < 1e-4 for value in values[name]), name
        assert [int(update) for update in re.findall(r"\d+", at)] == [d for d in diverged[name] if d is not None], name


def test_the_table_of_layers_is_that_of_the_results():
    values, expected = by_seed("layers"), set()
    cell = r"([\d.e-]+) \(([\d.e-]+) to ([\d.e-]+)\)"
    rows = re.findall(rf"^\| ([^|]*) \| {cell} \| {cell} \|$", section("Layers around the quantizer"), re.MULTILINE)
    assert len(rows) == 8
    for label, *numbers in rows:
        for shown, quantizer in ((numbers[:3], "sq"), (numbers[3:], "vq")):
            fits = [
                name for name, seeds in values.items()
                if name.endswith(quantizer)
                and all(map(says, shown, (median(seeds), min(seeds), max(seeds))))
            ]  # fmt: skip
            assert len(fits) == 1, (label, shown, fits)
            expected.add(fits[0])
    assert expected == set(values)


def test_the_letter_of_the_papers_noise_learns_next_to_nothing():
    (values,) = by_seed("na_absolute").values()
    shown = re.search(r"\((\d+) fits end at ([\d.]+) to ([\d.]+)", TEXT)
    assert int(shown[1]) == len(values)
    assert says(shown[2], min(values))
    assert says(shown[3], max(values))


def test_what_is_said_of_noise_in_a_small_codec_is_in_the_results():
    with (ROOT / "recipes/results/small_noise.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ma_e = {(row["system"], row["updates"]): float(row["ma_e"]) for row in rows}
    text = " ".join(TEXT.split("Figure 7 of the paper is about")[1].split("![")[0].split())
    at = re.search(r"rises most \(([\d.]+) at the end, ([\d.]+) a thousand", text)
    assert says(at[1], ma_e["small_na_det", "3000"])
    assert says(at[2], ma_e["small_na_det", "2000"])
    at = re.search(r"without a quantizer \(([\d.]+), ([\d.]+)\)", text)
    assert says(at[1], ma_e["small_na", "3000"])
    assert says(at[2], ma_e["small_none", "3000"])
    at = re.search(r"apart \(([\d.]+), ([\d.]+), ([\d.]+) over the last 1000", text)
    for shown, system in zip(at.groups(), ("small_na_det", "small_na", "small_none"), strict=True):
        last = [float(row["mel"]) for row in rows if row["system"] == system and int(row["updates"]) > 2000]
        assert says(shown, sum(last) / len(last))


def test_the_table_of_anchors_holds_the_means_of_the_results():
    text = (ROOT / "qcodec/bitstream/README.md").read_text(encoding="utf-8")
    columns = ("kbps", "mel", "stft", "si_sdr", "pesq_nb", "pesq_wb", "stoi", "visqol_speech", "zimtohrli")
    found = defaultdict(list)
    with (ROOT / "recipes/results/anchors.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found[row["model"], row["level"]].append([float(row[name]) for name in columns])
    means = {key: [sum(column) / len(column) for column in zip(*rows, strict=True)] for key, rows in found.items()}
    assert {len(rows) for rows in found.values()} == {12}
    table = text.partition("<!-- anchors -->")[2].partition("<!-- end -->")[0].strip().splitlines()[2:]
    expected = sorted(((name, values) for (name, _), values in means.items()), key=lambda each: -each[1][0])
    assert len(table) == len(expected)
    for line, (name, values) in zip(table, expected, strict=True):
        told, *numbers = [cell.strip() for cell in line.strip("| ").split("|")]
        assert told == name
        for number, value in zip(numbers, values, strict=True):
            digits = len(number.partition(".")[2])
            assert number == f"{value:.{digits}f}"


def test_the_table_of_the_papers_systems_and_each_mean_beside_its_sentences_are_those_of_the_results():
    script, text = script_of("paper_table"), section("The paper's ten systems")
    assert text.partition("<!-- paper -->\n")[2].partition("\n<!-- end -->")[0].splitlines() == script.table()
    known = {script.spread(values) for metric in ("mse", "ma_e") for values in script.by_seed(metric).values()}
    said = re.findall(r"[\d.e-]+ ± [\d.e-]*\d", text.partition("<!-- end -->")[2])
    assert said
    assert set(said) <= known


def test_what_is_said_of_the_leaderboard_is_in_its_entries():
    folder = ROOT / "recipes/leaderboard"
    text = (folder / "README.md").read_text(encoding="utf-8").partition("## What it says so far")[2].partition("## ")[0]
    text = " ".join(text.split())
    entries = {entry.name: entry for entry in read_entries(folder / "entries")}
    solved = {
        name: [value is not None and value < 1e-4 for value in e.values["hard_mse"]] for name, e in entries.items()
    }
    often = {name for name, each in solved.items() if 2 * sum(each) >= len(each)}
    best = ("dithered_mste", "sq_gumbel", "sq_st_gumbel")
    assert "Eight entries solve the task at half of their seeds or more" in text
    assert often == {*best, *(f"{name}_cl" for name in best), "tanh_sq_ste", "fsq_mste_channel"}
    assert None not in entries["layer_norm_sq_ste"].diverged_at
    assert says("0.016", median(entries["layer_norm_sq_ste"].values["hard_mse"]))
    assert "No other entry solves it at more than 2 of 5" in text
    assert max(sum(each) / len(each) for name, each in solved.items() if name not in often) <= 0.4
    source = entries["sq_ste"]
    assert "0.0295, where many stop, is the variance of one value in thirty" in text
    assert says("0.0295", gaussian_variance() / source.data["init_args"]["source"]["init_args"]["features"])
    stays = [
        x for name in ("sq_ste_cl", "dithered_ste_cl", "sq_stochastic_cl") for x in entries[name].values["hard_mse"]
    ]
    assert "stays at 0.125 to 0.15, with the dither too" in text
    assert min(stays) > 0.1235
    assert max(stays) < 0.15
    for name in ("sq_ste", "dithered_ste", "sq_stochastic", "sq_na_det"):
        assert None not in entries[name].diverged_at
    uniform = entries["sq_uniform"].values
    told = re.search(
        r"training MSE of ([\d.]+) or less and a hard one of ([\d.]+) to ([\d.]+): .*MA-E (\d+) to (\d+)", text
    )
    assert max(uniform["mse"]) <= float(told[1])
    for shown, value in zip(told.groups()[1:], (*ends(uniform["hard_mse"]), *ends(uniform["ma_e"])), strict=True):
        assert says(shown, value)
    assert says("0.08", median(entries["sq_uniform_cl"].values["hard_mse"]))


def ends(values):
    return min(values), max(values)


def gaussian_variance():
    value, probability = gaussian_source(4)
    return float((probability * value.square()).sum())
