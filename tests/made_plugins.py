"""Modules with classes from outside the package, for tests of plug-ins."""

import sys
from pathlib import Path

import pytest

MODULE = "outside_fusions"
MINE = f"{MODULE}:Mine"
FUSIONS = '''
import torch
from torch import nn

from vatrace.models.fusions import Fusion


class Mine(Fusion):
    """The sum of projections, and of the step before: it has a memory, and an option."""

    def __init__(self, dims, dropout, *, dim: int = 7):
        super().__init__()
        self.out_dim = dim
        self.project = nn.ModuleDict({name: nn.Linear(size, dim) for name, size in dims.items()})

    def forward(self, features, valid, memory=None):
        joined = torch.stack([layer(features[name]) for name, layer in self.project.items()]).sum(dim=0)
        if memory is None:
            return joined + nn.functional.pad(joined, (0, 0, 1, 0))[:, :-1]
        return joined + memory.extend(joined, 1)[:, :-1]


class NoBase(nn.Module):
    """It only fits: an average of the modalities, which have equal widths."""

    causal = True

    def __init__(self, dims, dropout, **options):
        super().__init__()
        self.out_dim = next(iter(dims.values()))

    def forward(self, features, valid, memory=None):
        return torch.stack(list(features.values())).mean(dim=0)

    def recursions(self, features, valid, memory=None):
        return [self(features, valid, memory)]


class NoForward(Fusion):
    pass


class NoWidth(Fusion):
    def __init__(self, dims, dropout):
        super().__init__()

    def forward(self, features, valid, memory=None):
        return features["face"]


class NoMemory(NoWidth):
    def forward(self, features, valid):
        return features["face"]


class NoDropout(NoWidth):
    def __init__(self, dims):
        super().__init__(dims, 0)


class NoRecursions(nn.Module):
    pass


class NoModule:
    def forward(self, features, valid, memory=None):
        return features["face"]

    recursions = forward
'''


def add_module(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = MODULE, source: str = FUSIONS) -> None:
    """Write a module where it can be imported, until the test ends."""
    (folder / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)


def forget_module(monkeypatch: pytest.MonkeyPatch, name: str = MODULE) -> None:
    """Make as if a module had not been imported yet."""
    monkeypatch.delitem(sys.modules, name, raising=False)
