"""A grid stands for the systems that would be written out by hand."""

import pytest

from qcodec.runs.grids import expand_grids


def grid(axes, base=None, **systems):
    return {"model": {"systems": {**systems, "grid": {"axes": axes} | ({} if base is None else {"base": base})}}}


def systems(settings):
    return expand_grids(settings)["model"]["systems"]


def test_every_combination_is_a_system_named_by_its_values_in_the_order_of_the_axes():
    axes = {"quantizer": {"ste": "a", "na": "b"}, "losses": {"": {}, "cl": {"commitment": 0.1}}, "embedding": {"f2": 2}}
    assert systems(grid(axes)) == {
        "ste_f2": {"quantizer": "a", "losses": {}, "embedding": 2},
        "ste_cl_f2": {"quantizer": "a", "losses": {"commitment": 0.1}, "embedding": 2},
        "na_f2": {"quantizer": "b", "losses": {}, "embedding": 2},
        "na_cl_f2": {"quantizer": "b", "losses": {"commitment": 0.1}, "embedding": 2},
    }
    assert list(systems(grid(axes))) == ["ste_f2", "ste_cl_f2", "na_f2", "na_cl_f2"]


def test_a_dotted_axis_changes_a_setting_inside_the_base_which_stays_as_it_is():
    base = {"quantizer": {"class_path": "Q", "init_args": {"levels": 0}}, "losses": {"commitment": 0.1}}
    settings = grid({"quantizer.init_args.levels": {"l2": 2, "l4": 4}}, base)
    both = systems(settings)
    assert [system["quantizer"]["init_args"]["levels"] for system in both.values()] == [2, 4]
    assert all(system["losses"] == {"commitment": 0.1} for system in both.values())
    assert base["quantizer"]["init_args"]["levels"] == 0
    assert both["l2"]["losses"] is not both["l4"]["losses"]


def test_several_grids_and_systems_written_out_stand_in_one_recipe():
    both = {"systems": {"plain": {"x": 0}, "grid": [{"axes": {"x": {"a": 1}}}, {"axes": {"x": {"b": 2}}}]}}
    assert expand_grids(both) == {"systems": {"plain": {"x": 0}, "a": {"x": 1}, "b": {"x": 2}}}


@pytest.mark.parametrize("settings", [None, 3, "grid", {"grid": {"axes": 1}}, {"systems": {"a": 1}}, [{"grid": 1}]])
def test_settings_without_a_grid_of_systems_stay_as_they_are(settings):
    assert expand_grids(settings) == settings


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ([], "grid: has no `axes`"),
        ({"axis": {"x": {"a": 1}}}, "grid: has no `axes`"),
        ({"axes": {"x": {"a": 1}}, "bass": {}}, "no setting 'bass': choose one of axes, base"),
        ({"axes": {"x": {"a": 1}}, "base": "file.yaml"}, "grid.base: 'file.yaml' is no mapping"),
        ({"axes": {"levels": [2, 3]}}, r"axes.levels: \[2, 3\] is no axis: write its values by name"),
        ({"axes": {"schedule": {1e-4: "a"}}}, "axes.schedule: the name 0.0001 is no text: write it in quotes"),
        (
            {"axes": {"quantizer": {"ste": "ste.yaml"}, "quantizer.init_args.levels": {"l2": 2}}},
            "axes.quantizer.init_args.levels: 'l2' cannot be set inside quantizer, which is 'ste.yaml'",
        ),
        (
            {"axes": {"quantizer.init_args.levels": {"l2": 2}, "quantizer": {"ste": "ste.yaml"}}},
            "axes.quantizer: replaces what quantizer.init_args.levels has set",
        ),
        ([{"axes": {"x": {"a": 1}}}, {"axes": {"x": {"a": 1}}}], "two systems are named 'a'"),
    ],
)
def test_a_grid_that_cannot_be_expanded_is_told_with_its_axis_and_value(part, expected):
    with pytest.raises(ValueError, match=expected):
        expand_grids({"systems": {"grid": part}})
