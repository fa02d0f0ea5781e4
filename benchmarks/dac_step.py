"""Time of one training step of a DAC without adversarial loss: the published recipe against `qcodec fit`'s own step.

    python benchmarks/dac_step.py                          # 3 million weights, batch 2, float32, on the CPU
    python benchmarks/dac_step.py --encoder 64 --decoder 1536 --books 12 --updates 20
    python benchmarks/dac_step.py --encoder 64 --decoder 1536 --books 12 --batch 72 --device cuda \\
        --precision bf16-mixed --compile

The stock step is that of the published no-adversarial training, made of the public interface of `dac` and `audiotools`:
stock model, AudioSignal, losses, AdamW, decay, clipping. Ours is AudioTask under Lightning's Trainer. Both start from
the same weights, see the same batches and draw the same codebook dropout; in one process they take turns in blocks of
updates, of which the first is not counted. With --compile the same again with the codec's layers compiled. In bfloat16
the stock step in float32 takes its turns too. What is printed: median time of an update, its share of ours, the peak
memory of a process that only does the one or the other, and how far their losses come apart, beside how far stock comes
apart from itself when it starts from weights that differ by 1e-7: a code that flips makes two runs different ones,
whatever made it flip.
"""

import argparse
import json
import logging
import statistics
import sys
import time
import warnings

import torch
from machine import in_a_process, machine

SAMPLE_RATE, STRIDES, LENGTH = 16000, (2, 4, 5, 8), 6080
WEIGHTS = {"mel": 15.0, "commitment": 0.25, "codebook": 1.0}
OURS = ("ours", "compiled")


class StockStep:
    """One update as the published training makes it."""

    def __init__(self, model, options, precision):
        from audiotools import AudioSignal
        from dac.nn.loss import L1Loss, MelSpectrogramLoss, MultiScaleSTFTLoss

        self.model, self.signal, self.options = model.train(), AudioSignal, options
        self.mixed = precision == "bf16-mixed"
        self.mel = MelSpectrogramLoss(
            n_mels=[5, 10, 20, 40, 80, 160, 320], window_lengths=[32, 64, 128, 256, 512, 1024, 2048],
            mel_fmin=[0.0] * 7, mel_fmax=[None] * 7, pow=1.0, clamp_eps=1e-5, mag_weight=0.0,
        )  # fmt: skip
        self.waveform, self.stft = L1Loss(), MultiScaleSTFTLoss() if options.with_stft else None
        self.optimizer = torch.optim.AdamW(model.parameters(), 1e-4, (0.8, 0.99))
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.999996)

    def __call__(self, batch):
        with torch.autocast(self.options.device, torch.bfloat16, enabled=self.mixed):
            signal = self.signal(batch, SAMPLE_RATE)
            out = self.model(signal.audio_data, SAMPLE_RATE)
            reconstruction = self.signal(out["audio"].float(), SAMPLE_RATE)
            mel = self.mel(reconstruction, signal)
            self.waveform(reconstruction, signal)  # logged, as is the next
            if self.stft:
                self.stft(reconstruction, signal)
            loss = WEIGHTS["mel"] * mel + WEIGHTS["commitment"] * out["vq/commitment_loss"]
            loss = loss + WEIGHTS["codebook"] * out["vq/codebook_loss"]
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1e3)
        self.optimizer.step()
        self.scheduler.step()
        return loss.detach()


def stock_model(options):
    import dac

    torch.manual_seed(0)
    model = dac.DAC(
        options.encoder, list(STRIDES), None, options.decoder, list(STRIDES)[::-1], options.books, 1024, 8, 0.5,
        SAMPLE_RATE,
    )  # fmt: skip
    from qcodec.codecs.dac.codec import keep_length

    keep_length(model)  # without it the published step fails on shapes at this stride
    return model.to(options.device)


def our_task(options, state):
    from qcodec import STE, CodebookDropout, DacCodec, residual_vq
    from qcodec.losses.weights import LossWeights
    from qcodec.tasks.audio import AudioTask

    quantizer = residual_vq(16 * options.encoder, options.books, estimator=STE(), allocator=CodebookDropout(0.5))
    codec = DacCodec(quantizer, options.encoder, STRIDES, decoder_dim=options.decoder)
    codec.load_state_dict(state)
    return AudioTask(codec, LossWeights(**WEIGHTS))


def batches(options):
    """Draw clips of a few decaying harmonic tones in noise, (updates, batch, 1, LENGTH)."""
    generator = torch.Generator().manual_seed(1)
    shape = (options.updates, options.batch)
    time_axis = torch.arange(LENGTH) / SAMPLE_RATE
    pitch = 80 + 220 * torch.rand(*shape, 1, 1, generator=generator)
    decay = 2 + 10 * torch.rand(*shape, 1, 1, generator=generator)
    tone = sum(torch.sin(2 * torch.pi * k * pitch * time_axis) / k for k in range(1, 9)) * torch.exp(-decay * time_axis)
    return 0.1 * tone + 0.003 * torch.randn(*shape, 1, LENGTH, generator=generator)


class Turns:
    """Trains ours under a Trainer, and after each block of its updates takes the same updates with the stock steps.

    Sides are ``ours`` or ``compiled``, and ``stock``, ``float32``, which is stock in that precision, and ``nudged``,
    which is stock from weights one rounding away.
    """

    def __init__(self, options, sides):
        self.options, self.sides, self.data = options, sides, batches(options)
        self.trained = next((side for side in sides if side in OURS), None)
        self.task = our_task(options, stock_model(options).state_dict()) if self.trained else None
        self.steps = {
            side: StockStep(stock_model(options), options, "32-true" if side == "float32" else options.precision)
            for side in sides
            if side not in OURS
        }
        if "nudged" in sides:
            with torch.no_grad():
                for parameter in self.steps["nudged"].model.parameters():
                    parameter.mul_(1 + 1e-7)
        self.seconds, self.losses = ({side: [] for side in sides} for _ in range(2))

    def take(self):
        from lightning import Callback, Trainer
        from torch.utils.data import DataLoader

        from qcodec.callbacks.compile import Compile

        options, turns = self.options, self

        class Watch(Callback):
            def on_train_start(self, trainer, task):
                self.begin = now(options.device)

            def on_train_batch_end(self, trainer, task, outputs, batch, index):
                turns.losses[turns.trained].append(outputs["loss"])
                if (index + 1) % options.block == 0:
                    turns.seconds[turns.trained].append((now(options.device) - self.begin) / options.block)
                    turns.stock_block(index + 1)
                    self.begin = now(options.device)

        if not self.trained:
            for end in range(options.block, options.updates + 1, options.block):
                self.stock_block(end)
            return
        callbacks = [Compile(), Watch()] if self.trained == "compiled" else [Watch()]
        trainer = Trainer(
            callbacks=callbacks, max_epochs=1, accelerator=options.device, devices=1, precision=options.precision,
            logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(self.task, DataLoader(self.data, batch_size=None))

    def stock_block(self, end):
        from qcodec.random_streams import STREAMS, stream_seed

        for side, step in self.steps.items():
            begin = now(self.options.device)
            for update in range(end - self.options.block, end):
                torch.manual_seed(stream_seed(0, 0, STREAMS["noise"], update))  # the draw of AudioTask
                self.losses[side].append(step(self.data[update].to(self.options.device)))
            self.seconds[side].append((now(self.options.device) - begin) / self.options.block)


def now(device):
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def peak_memory(options, side):
    """Megabytes that a process holds at most which takes a few updates of one side; on a GPU, what is there."""
    return in_a_process(__file__, [*sys.argv[1:], "--side", side, "--updates", 2 * options.block])


def high_water():
    """Megabytes that this process held at most."""
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", type=int, default=16, help="channels after the encoder's first layer")
    parser.add_argument("--decoder", type=int, default=256, help="channels after the decoder's first layer")
    parser.add_argument("--books", type=int, default=4)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--block", type=int, default=10, help="updates of one side before the other's turn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="32-true")
    parser.add_argument("--with_stft", action="store_true", help="the STFT loss too, which stock computes to log it")
    parser.add_argument("--compile", action="store_true", help="ours with compiled layers too")
    parser.add_argument("--side", choices=["stock", *OURS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.updates % options.block or options.updates < 2 * options.block:
        parser.error(f"--updates {options.updates} must be a multiple of --block {options.block}, twice it or more")
    return options


def main():
    warnings.simplefilter("ignore")
    import lightning.pytorch  # sets its own level first

    logging.getLogger(lightning.pytorch.__name__).setLevel(logging.ERROR)
    options = parsed()
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True  # as in the published training
    if options.side:
        Turns(options, [options.side]).take()
        held = torch.cuda.max_memory_allocated() / 2**20 if options.device == "cuda" else high_water()
        print(json.dumps(held))
        return
    print(machine())
    settings = f"batch {options.batch}, {options.threads} threads, {options.precision}, {options.device}"
    print(f"times of an update: {settings}")
    others = ["stock", "float32"] if options.precision == "bf16-mixed" else ["stock"]
    compare(options, ["ours", *others, "nudged"])
    if options.compile:
        compare(options, ["compiled", *others])
    memory = {side: peak_memory(options, side) for side in ("stock", *OURS[: 1 + options.compile])}
    print("peak memory of the process: " + ", ".join(f"{side} {held:.0f} MB" for side, held in memory.items()))


def compare(options, sides):
    """Print times and losses of one of ours and of the stock steps beside it."""
    turns = Turns(options, sides)
    turns.take()
    ours = turns.trained
    times = {side: statistics.median(turns.seconds[side][1:]) * 1e3 for side in sides if side != "nudged"}
    own = times.pop(ours)
    print(f"{ours} {own:.1f} ms, " + ", ".join(f"{side} {t:.1f} ms: ratio {t / own:.2f}" for side, t in times.items()))
    losses = {side: torch.stack(values).cpu() for side, values in turns.losses.items()}
    marks = sorted({n for n in (1, 10, 20, 50, 100, options.updates) if n <= options.updates})
    for side in (side for side in sides if side != "stock"):
        apart = ((losses[side] - losses["stock"]).abs() / losses["stock"]).cummax(0).values
        found = ", ".join(f"{n}: {apart[n - 1]:.1e}" for n in marks)
        print(f"loss of {side} from stock, largest relative difference within {found}")
    means = {side: values.unflatten(0, (-1, options.block)).mean(1) for side, values in losses.items()}
    print(f"means over {options.block} updates, first and last: " + ", ".join(
        f"{side} {mean[0]:.3f} {mean[-1]:.3f}" for side, mean in means.items()
    ))  # fmt: skip


if __name__ == "__main__":
    main()
