import contextlib
from collections import Counter
from dataclasses import replace

import pytest
import torch
from audio_files import write_noise
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from qcodec.data.audio import AudioCrops, AudioFolder, LibriTTS
from qcodec.data.audio_crops import _Draw
from qcodec.data.audio_settings import Crops, Subsets


@pytest.fixture
def corpus(tmp_path):
    for subset in ("dev-clean", "test-clean"):
        for number in range(5):
            write_noise(tmp_path / "LibriTTS" / subset / "84" / "121123" / f"84_{subset}_{number}.flac")
    return tmp_path


def served(root, crops=None, **settings):
    crops = crops or Crops(duration=0.2, val_duration=0.5, val_crops=10, updates_per_epoch=6)
    return LibriTTS(str(root), batch_size=4, crops=crops, **{"workers": 0, **settings})


class Listener(LightningModule):
    """Keeps what it is given; with two optimizers, as an adversarial task has."""

    def __init__(self, stop_at=None):
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.heard, self.held_out, self.stop_at = [], [], stop_at

    def training_step(self, batch, index):
        if len(self.heard) == self.stop_at:
            raise KeyboardInterrupt
        self.heard.append(batch)
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(self.weight.square().sum())
            optimizer.step()

    def validation_step(self, batch, index):
        self.held_out.append(batch)

    def configure_optimizers(self):
        return [torch.optim.SGD(self.parameters(), 0.1), torch.optim.SGD(self.parameters(), 0.1)]


def fit(root, folder, epochs=2, stop_at=None, ckpt_path=None, **keep):
    listener = Listener(stop_at)
    saver = ModelCheckpoint(folder, filename="{step}", save_top_k=-1, **keep)
    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, callbacks=[saver], enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=folder,
    )  # fmt: skip
    with contextlib.suppress(SystemExit):
        trainer.fit(listener, served(root), ckpt_path=ckpt_path)
    return listener


def test_batches_are_crops_of_the_stated_length(corpus):
    data = served(corpus)
    batches = list(data.train_dataloader())
    assert [tuple(batch.shape) for batch in batches] == [(4, 1, 3200)] * 6
    assert all(batch.dtype == torch.float32 and batch.isfinite().all() for batch in batches)
    held_out = list(data.val_dataloader())
    assert [tuple(batch.shape) for batch in held_out] == [(6, 1, 8000), (6, 1, 8000)]
    assert torch.equal(torch.cat(held_out), torch.cat(list(data.val_dataloader())))


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_do_not_change_the_data_nor_the_global_random_numbers(corpus, workers):
    torch.manual_seed(0)
    alone = list(served(corpus).train_dataloader())
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.cat(alone), torch.cat(list(served(corpus, workers=workers).train_dataloader())))
    assert torch.equal(after, torch.rand(1))


def test_another_seed_gives_other_crops(corpus):
    first, second = (torch.cat(list(served(corpus, seed=seed).train_dataloader())) for seed in (0, 1))
    assert not torch.equal(first, second)


def test_ranks_share_out_the_crops_of_one_rank(corpus):
    data = served(corpus)
    loader = data.train_dataloader()
    whole = torch.cat(list(loader))
    parts = []
    for rank in range(2):
        loader.plan = replace(loader.plan, size=2, rank=rank, ranks=2)
        parts.append(list(loader))
    mixed = [batch for pair in zip(*parts, strict=True) for batch in pair]
    assert torch.equal(whole, torch.cat(mixed))


def test_each_epoch_has_new_crops(corpus, tmp_path):
    heard = fit(corpus, tmp_path / "run").heard
    assert len({batch.sum().item() for batch in heard}) == len(heard) == 12


def test_validation_hears_the_same_crops_in_each_epoch(corpus, tmp_path):
    first, second = torch.cat(fit(corpus, tmp_path / "run").held_out).chunk(2)
    assert torch.equal(first, second)


@pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual optimization")
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("steps", [2, 4, 6, 8])
def test_a_run_resumes_with_the_crop_after_the_last_one(corpus, tmp_path, steps):
    whole = fit(corpus, tmp_path / "run", every_n_train_steps=4).heard
    checkpoint = tmp_path / "run" / f"step={2 * steps}.ckpt"
    assert checkpoint.exists(), sorted(p.name for p in (tmp_path / "run").iterdir())
    resumed = fit(corpus, tmp_path / "run", ckpt_path=str(checkpoint), every_n_train_steps=4).heard
    assert torch.equal(torch.cat(whole[steps:]), torch.cat(resumed))


def files(loader):
    return {file.path for file in loader.source.files}


def test_any_folder_is_served_whole_with_a_share_held_out(corpus):
    for number in range(40):
        write_noise(corpus / "mine" / f"{number}.wav")
    data = AudioFolder(str(corpus / "mine"), crops=Crops(duration=0.2, val_duration=0.5), workers=0)
    train, held_out = files(data.train_dataloader()), files(data.val_dataloader())
    assert not train & held_out
    assert len(train | held_out) == 40
    assert len(train) > len(held_out) > 0


@pytest.mark.parametrize("name", ["LibriTTS", "LibriTTS_R", "LibriSpeech", ""])
def test_subsets_are_found_in_the_root_and_in_the_folder_of_the_data_set(tmp_path, name):
    for subset in ("dev-clean", "test-clean"):
        write_noise(tmp_path / name / subset / "84_1.flac")
    data = served(tmp_path)
    assert [path.split("/")[-2] for path in files(data.train_dataloader())] == ["dev-clean"]
    assert [path.split("/")[-2] for path in files(data.val_dataloader())] == ["test-clean"]


class Split(AudioCrops):
    """A stranger's data set."""

    def usual_subsets(self):
        return Subsets(train=("tr",), val=("cv",))

    def corpus_folders(self):
        return ("wav16k/min",)


def test_a_data_set_of_ones_own_says_where_its_subsets_lie(tmp_path):
    for subset in ("tr", "cv"):
        write_noise(tmp_path / "wav16k" / "min" / subset / "mixed.wav")
    data = Split(str(tmp_path), crops=Crops(duration=0.2, val_duration=0.5, val_crops=2), workers=0)
    assert len(data.train_dataloader().source.files) == 1
    assert next(iter(data.val_dataloader())).shape == (2, 1, 8000)


def mixture(root, shares, **crops):
    for name, count in (("speech", 12), ("music", 2)):
        for number in range(count):
            write_noise(root / name / f"{name}_{number}.wav", level={"speech": 0.05, "music": 0.2}[name])
    settings = {"duration": 0.1, "val_duration": 0.3, "val_crops": 4, "updates_per_epoch": 100} | crops
    subsets = Subsets(train=("speech", "music"), shares=shares, held_out=0.2, max_bad_share=1.0)
    return AudioFolder(str(root), batch_size=4, subsets=subsets, crops=Crops(**settings), workers=0)


def test_domains_are_drawn_from_by_their_shares_whatever_the_number_of_their_files(tmp_path):
    data = mixture(tmp_path, {"speech": 1.0, "music": 3.0})
    source, _ = data._prepared("train")
    numbers = range(4000)
    drawn = [source._file(_Draw(number)).path for number in numbers]
    music = [path for path in drawn if "/music/" in path]
    assert len(music) / len(drawn) == pytest.approx(0.75, abs=0.03)
    speech = Counter(path for path in drawn if "/speech/" in path)
    files = [file for file in source.files if "/speech/" in file.path]
    assert len(speech) == len(files)
    assert max(speech.values()) < 2 * min(speech.values())
    other, _ = mixture(tmp_path, {"speech": 1.0, "music": 3.0})._prepared("train")
    assert [other._file(_Draw(number)).path for number in numbers] == drawn
    assert all(batch.shape == (4, 1, 1600) for batch in data.train_dataloader())


def test_without_shares_crops_are_what_they_were(tmp_path):
    plain, _ = mixture(tmp_path, {})._prepared("train")
    first = [plain._file(_Draw(number)).path for number in range(len(plain.files))]
    assert sorted(first) == sorted(file.path for file in plain.files)


def test_a_test_has_crops_of_its_own_length(tmp_path):
    data = mixture(tmp_path, {}, test_duration=0.8)
    assert {batch.shape[-1] for batch in data.val_dataloader()} == {4800}
    assert {batch.shape[-1] for batch in data.test_dataloader()} == {12800}
    with pytest.raises(ValueError, match=r"crops.test_duration is 0.0: give 0.01 to 3600 s"):
        Crops(test_duration=0.0)


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ({"speech": 1.0}, "subsets.shares is of speech, and subsets.train speech, music: name the same folders"),
        ({"speech": 1.0, "music": 0.0}, r"subsets.shares.music is 0.0: give a number above 0"),
    ],
)
def test_shares_that_make_no_mixture_are_named(tmp_path, shares, told):
    with pytest.raises(ValueError, match=told):
        mixture(tmp_path, shares)


def test_a_domain_without_a_usable_file_is_named(tmp_path):
    data = mixture(tmp_path, {"speech": 1.0, "music": 1.0})
    for number in range(2):
        write_noise(tmp_path / "music" / f"music_{number}.wav", seconds=0.01)
    with pytest.raises(ValueError, match="music has no usable file, and a share of 1: leave it out of subsets"):
        data._prepared("train")
