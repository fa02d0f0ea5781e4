"""A mistake in a recipe is told in one line with the full path of the setting, as on the command line."""

import pytest

from qcodec.cli import main

RECIPE = """\
data: {{class_path: qcodec.data.synthetic.SyntheticBits}}
model:
  class_path: qcodec.tasks.surrogate.SurrogateTask
  init_args:
    systems:
      good: {{quantizer: {{class_path: qcodec.ScalarQuantizer, init_args: {{levels: 2}}}}}}
      bad: {{{system}}}
"""
BAD = "model.init_args.systems.bad"
QUANTIZER = f"{BAD}.quantizer.init_args"


def quantizer(settings):
    return f"quantizer: {{class_path: qcodec.ScalarQuantizer, init_args: {{{settings}}}}}"


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (quantizer("levles: 4"), f"{QUANTIZER}.levles: there is no setting 'levles': choose one of levels"),
        (quantizer("levels: four"), f"{QUANTIZER}.levels: expected int. Got value: four"),
        (quantizer("levels: 4") + ", losses: {comitment: 1}", f"{BAD}.losses.comitment: losses has no setting"),
        (quantizer("levels: 4") + ", scedule: null", f"{BAD}.scedule: there is no setting 'scedule': choose one of"),
        (quantizer("estimator: {class_path: qcodec.ModifiedSTE, init_args: {scope: all}}"),
            f"{QUANTIZER}.estimator.init_args.scope: expected one of 'tensor'"),
        (quantizer("estimator: {class_path: qcodec.ModifiedST}"),
            f"{QUANTIZER}.estimator.class_path: there is no qcodec.ModifiedST: did you mean ModifiedSTE?"),
        (quantizer("estimator: {class_path: nowhere.Mine}"), f"{QUANTIZER}.estimator.class_path: No module named"),
        (quantizer("estimator: mste.yaml"), f"{QUANTIZER}.estimator: there is no file mste.yaml"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_recipe_is_told_with_its_full_path(system, expected, capsys, tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(system=system), encoding="utf-8")
    assert main(["fit", "--config", "recipe.yaml", "--run_dir=run"]) == 1
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("--model.init_args.sytems=1", "model.init_args.sytems: there is no setting 'sytems'"),
        ("--model.init_args.systems.sq_mste.losses.comitment=1", "systems.sq_mste.losses.comitment: losses has no"),
        ("--model.init_args.systems.other.embedding=2", "model.init_args.systems.other: has no `quantizer`"),
        ("--trainer.max_epochs=x", "trainer.max_epochs: expected int. Got value: x"),
        ("--trainer.logger.class_path=Foo", "trainer.logger.class_path: 'Foo' is no class"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_with_its_full_path(word, expected, capsys):
    assert main(["fit", "--config", "surrogate/sq_mste", word]) == 1
    assert expected in capsys.readouterr().err
