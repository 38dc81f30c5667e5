"""Speed of the fusion models: against the released structure, by the number of steps, and against the machine's own limit.

    python benchmarks/fusion.py

The reference is written from a description of the authors' released code (github.com/praveena2j/RJCMA), which takes 300 steps
and has one output, so valence and arousal need two models. The reference and ours have equal widths and the same batch, and are
interleaved in one process, so that other load on the machine affects both. CPU, float32. The last two lines are twice the
reference's median time divided by ours.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from vatrace.models.affect import AffectModel, ModelConfig
from vatrace.models.fusions import FUSIONS
from vatrace.models.losses import ccc_loss

FEATURE_DIMS = {"face": 512, "voice": 128, "words": 768}
WIDTHS = {"face": 256, "voice": 128, "words": 128}
BATCH, STEPS = 12, 300
LENGTHS = (300, 1000, 3000, 10_000)
MEMORY = 12 * 2**30
"""Limit in bytes for each process: attention over whole sequences would use all memory."""

ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
}
"""Operations that the counter doesn't know."""

Step = Callable[[], object]


class ReferenceLevel(nn.Module):
    """Two weight-normalised convolutions, padded on both sides and cut, each with LeakyReLU and dropout; a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int) -> None:
        super().__init__()
        self.padding = 4 * dilation
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv1d(a, b, 5, padding=self.padding, dilation=dilation))
            for a, b in pairwise((in_channels, out_channels, out_channels))
        )
        self.dropout = nn.Dropout(0.1)
        self.shortcut = nn.Conv1d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, T) -> (B, C_out, T)."""
        y = x
        for conv in self.convs:
            y = self.dropout(F.leaky_relu(conv(y)[:, :, : -self.padding].contiguous()))
        return F.leaky_relu(y + self.shortcut(x))


class ReferenceAttention(nn.Module):
    """One dense co-attention layer: channels of each modality against those of all, mixed along exactly STEPS steps."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        total = sum(widths)
        self.query = nn.Linear(total, total)  # computed and never used in the released code
        self.mix = nn.ModuleList(nn.Linear(STEPS, STEPS) for _ in widths)
        self.value = nn.ModuleList(nn.Linear(width, width) for width in widths)
        self.update = nn.ModuleList(nn.Linear(total, width) for width in widths)
        self.dropout = nn.Dropout(0.6)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """(B, T, D_m) of each modality -> the same."""
        joint = torch.cat(features, dim=-1)
        self.query(joint)
        results = []
        for x, mix, value, update in zip(features, self.mix, self.value, self.update, strict=True):
            scores = torch.tanh(mix(x.transpose(1, 2)) @ joint / math.sqrt(joint.shape[-1]))
            gathered = torch.relu(torch.tanh(value(x) @ self.dropout(scores)))
            results.append(x + self.dropout(torch.relu(update(gathered))))
        return results


class Reference(nn.Module):
    """Three TCNs, two dense co-attention layers, a head with one output."""

    def __init__(self) -> None:
        super().__init__()
        self.tcn = nn.ModuleList()
        for name, dim in FEATURE_DIMS.items():
            widths = [dim] + 4 * [WIDTHS[name]]
            levels = (ReferenceLevel(a, b, 2**level) for level, (a, b) in enumerate(pairwise(widths)))
            self.tcn.append(nn.Sequential(*levels, nn.BatchNorm1d(WIDTHS[name])))
        self.attention = nn.ModuleList(ReferenceAttention(list(WIDTHS.values())) for _ in range(2))
        self.hidden, self.norm, self.output = nn.Linear(512, 256), nn.BatchNorm1d(256), nn.Linear(256, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """(B, STEPS, D_m) of each modality -> (B, STEPS, 1)."""
        features = [tcn(x.transpose(1, 2)).transpose(1, 2) for tcn, x in zip(self.tcn, features, strict=True)]
        for layer in self.attention:
            features = layer(features)
        hidden = self.norm(self.hidden(torch.cat(features, dim=-1)).transpose(1, 2)).transpose(1, 2)
        return torch.tanh(self.output(F.leaky_relu(hidden)))


def data(batch: int, steps: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Random features, all valid, because the reference has no masks."""
    features = {name: torch.randn(batch, steps, dim) for name, dim in FEATURE_DIMS.items()}
    return features, {name: torch.ones(batch, steps, dtype=torch.bool) for name in FEATURE_DIMS}


def ours(fusion: str) -> AffectModel:
    """A model with the reference's widths."""
    return AffectModel(ModelConfig(feature_dims=FEATURE_DIMS, widths=WIDTHS, fusion=fusion))


def steps_of(model: nn.Module, predict: Callable[[], Tensor], num_outputs: int) -> tuple[Step, Step]:
    """A training step (forward, CCC loss, backward, Adam) and an inference of a batch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    target = torch.rand(BATCH, STEPS, num_outputs)

    def train() -> None:
        model.train()
        optimizer.zero_grad()
        ccc_loss(target, predict()).backward()
        optimizer.step()

    def infer() -> None:
        model.eval()
        with torch.inference_mode():
            predict()

    return train, infer


def interleaved(steps: dict[str, Step], repeats: int) -> dict[str, float]:
    """The median seconds of each step, interleaved."""
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def against_the_reference(console: Console, repeats: int) -> tuple[float, float]:
    """Print the table of all fusions at 300 steps; return the default's ratios for training and inference."""
    features, valid = data(BATCH, STEPS)
    reference = Reference()
    both = {"released structure (one output)": steps_of(reference, lambda: reference(list(features.values())), 1)}
    models = {name: ours(name) for name in FUSIONS}
    both |= {name: steps_of(m, lambda m=m: m(features, valid), 2) for name, m in models.items()}  # type: ignore[misc]
    training = interleaved({name: train for name, (train, _) in both.items()}, repeats)
    inference = interleaved({name: infer for name, (_, infer) in both.items()}, repeats)
    first, default = next(iter(both)), ModelConfig().fusion
    table = Table(
        title=f"batch {BATCH}, {STEPS} steps, {torch.get_num_threads()} threads: median ms of {repeats}, and speed-up"
    )
    for heading in ("model", "training", "2 x released / ours", "inference", "2 x released / ours"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for name in both:
        ratios = [f"{2 * part[first] / part[name]:.2f}" for part in (training, inference)]
        table.add_row(name, f"{training[name] * 1e3:.0f}", ratios[0], f"{inference[name] * 1e3:.0f}", ratios[1])
    console.print(table)
    floor(console, models[default], features, valid, inference[default])
    return 2 * training[first] / training[default], 2 * inference[first] / inference[default]


def floor(console: Console, model: AffectModel, features: dict[str, Tensor], valid: dict[str, Tensor], total: float) -> None:
    """Print the time of each part of the default's inference, and the time that its multiplications alone would take."""
    square = torch.randn(2048, 2048)
    x, weight = torch.randn(BATCH, 256, 1, STEPS), torch.randn(256, 256, 1, 5)
    x, weight = (value.contiguous(memory_format=torch.channels_last) for value in (x, weight))
    rates = interleaved({"matmul": lambda: square @ square, "conv": lambda: F.conv2d(x, weight)}, 15)
    matmul, conv = 2 * 2048**3 / rates["matmul"], 2 * BATCH * (STEPS - 4) * 256 * 256 * 5 / rates["conv"]
    console.print(
        f"\nmeasured rates: matmul {matmul / 1e9:.0f} GFLOP/s (2048^3), convolution {conv / 1e9:.0f} GFLOP/s (256 x 256 x 5)"
    )
    model.eval()
    with torch.no_grad():  # the counter doesn't work in inference mode
        encoded = {name: model.tcn[name](features[name], valid[name]) for name in features}
        fused = model.fusion(encoded, valid)
        parts = {
            "TCNs": lambda: [model.tcn[name](features[name], valid[name]) for name in features],
            "fusion": lambda: model.fusion(encoded, valid),
            "head": lambda: model._head(encoded, fused, valid),
        }
        times = interleaved(parts, 15)
        table = Table(title=f"inference of the default ({total * 1e3:.0f} ms): where the time goes")
        for heading in ("part", "GFLOP", "floor, ms", "measured, ms", "of floor"):
            table.add_column(heading, justify="left" if heading == "part" else "right")
        for name, part in parts.items():
            with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
                part()
            flops = counter.get_total_flops()
            least = flops / (conv if name == "TCNs" else matmul)
            table.add_row(
                name, f"{flops / 1e9:.1f}", f"{least * 1e3:.1f}", f"{times[name] * 1e3:.1f}", f"{least / times[name]:.0%}"
            )
    console.print(table)


def peak_memory() -> float:
    """This process's peak memory in MB (Linux). getrusage would include its parent's."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def one_length(fusion: str, steps: int) -> None:
    """Print the median time of one inference in s, and its additional memory in MB; run it in a process of its own."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    model, (features, valid) = ours(fusion).eval(), data(1, steps)
    with torch.inference_mode():
        model(*data(1, 10))
        before = peak_memory()
        times = []
        for _ in range(3 if steps <= 1000 else 1):
            start = time.perf_counter()
            model(features, valid)
            times.append(time.perf_counter() - start)
    print(statistics.median(times), peak_memory() - before)


def growth(console: Console) -> None:
    """Print how time and memory grow with the number of steps; each runs in a new process, to measure its own peak."""
    table = Table(title="one recording: ms and additional MB of memory, by the number of steps")
    table.add_column("fusion")
    for steps in LENGTHS:
        table.add_column(f"{steps:,}", justify="right")
    table.add_column(f"time {LENGTHS[-1]:,} / {LENGTHS[1]:,}", justify="right")
    for name in FUSIONS:
        cells, times = [], []
        for steps in LENGTHS:
            command = [sys.executable, __file__, "--one", name, str(steps)]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode and "allocate memory" not in result.stderr:
                raise RuntimeError(f"{name} at {steps} steps: exit status {result.returncode}\n{result.stderr}")
            if result.returncode:
                cells.append(f"above {MEMORY >> 30} GB")
                continue
            seconds, megabytes = map(float, result.stdout.split())
            times.append(seconds)
            cells.append(f"{seconds * 1e3:.0f} ms, {megabytes:.0f} MB")
        table.add_row(name, *cells, f"{times[-1] / times[1]:.1f} x" if len(times) == len(LENGTHS) else "")
    console.print(table)


def main() -> None:
    """Print all tables, then the two ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--one", nargs=2, metavar=("FUSION", "STEPS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.one:
        one_length(args.one[0], int(args.one[1]))
        return
    console = Console(width=130)
    training, inference = against_the_reference(console, args.repeats)
    growth(console)
    print(f"training ratio: {training:.2f}")
    print(f"inference ratio: {inference:.2f}")


if __name__ == "__main__":
    main()
