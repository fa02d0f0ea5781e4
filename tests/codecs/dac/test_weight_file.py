import dac
import pytest
import torch

from qcodec import load_dac


class Payload:
    """Run code when it is unpickled."""

    def __reduce__(self):
        return print, ("code from the file was run",)


def test_a_file_that_needs_code_to_be_run_is_refused_with_the_way_round(tmp_path, capsys):
    torch.save({"state_dict": {}, "metadata": {"kwargs": {}, "extra": Payload()}}, tmp_path / "unsafe.pth")
    with pytest.raises(ValueError, match=r"unsafe\.pth needs code.*Unsupported global.*print.*weights_only=False"):
        load_dac(tmp_path / "unsafe.pth")
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")  # torch.package in torch 2.11
def test_a_package_is_refused_with_the_way_round_and_the_way_works(tmp_path):
    package, plain, x = tmp_path / "package.pth", tmp_path / "plain.pth", torch.ones(1, 1, 80)
    model = dac.DAC(4, [2, 4], None, 8, [4, 2], n_codebooks=2, codebook_size=16, codebook_dim=4).eval()
    model.save(package)
    with pytest.raises(
        ValueError, match=r"is a torch\.package.*dac\.DAC\.load\(path\)\.save\(new_path, package=False\)"
    ):
        load_dac(package)
    dac.DAC.load(package).save(plain, package=False)
    torch.testing.assert_close(load_dac(plain).eval()(x).audio, model(x)["audio"], rtol=0, atol=1e-6)


def test_the_checkpoint_of_a_run_is_refused_with_the_command_that_makes_weights_of_it(tmp_path):
    torch.save({"state_dict": {}, "pytorch-lightning_version": "2.6.6"}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"is the checkpoint of a run.*`qcodec export .*last\.ckpt OUT\.pth`"):
        load_dac(tmp_path / "last.ckpt")


def test_files_that_are_no_weights_are_named(tmp_path):
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.pth is damaged or no weight file"):
        load_dac(tmp_path / "text.pth")
    torch.save({"state_dict": {}}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth is no weight file of `dac`: it must hold 'state_dict', and"):
        load_dac(tmp_path / "other.pth")
    sizes = {"encoder_dim": 4, "encoder_rates": [2, 4], "decoder_dim": 8, "decoder_rates": [4, 2]}
    torch.save({"state_dict": {}, "metadata": {"kwargs": sizes}}, tmp_path / "empty.pth")
    with pytest.raises(ValueError, match=r"empty\.pth: its weights do not fit.*Missing key"):
        load_dac(tmp_path / "empty.pth")
    for content in ({"state_dict": [1], "metadata": {"kwargs": {}}}, {"state_dict": {}, "metadata": {"kwargs": 3}}):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=r"other\.pth is no weight file of `dac`"):
            load_dac(tmp_path / "other.pth")
    torch.save({"state_dict": {}, "metadata": {"kwargs": {"encoder_dim": "wide"}}}, tmp_path / "sizes.pth")
    with pytest.raises(ValueError, match=r"sizes\.pth: the sizes in its metadata make no codec"):
        load_dac(tmp_path / "sizes.pth")
    with pytest.raises(FileNotFoundError, match="absent"):
        load_dac(tmp_path / "absent.pth")
