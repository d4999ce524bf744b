"""Runs of the corpus, and what came out of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from storage.manifest import MANIFEST
from storage.project_store import ProjectStore
from tam_dist.config import load_config
from tam_dist.corpus.lines import PromptRule, read_corpus
from tam_dist.corpus.run import run_corpus
from tam_dist.preparation import settle


def track_inline(corpus: Path, out: Path, settings: Sequence[str]) -> None:
    result = run_corpus(read_corpus(str(corpus), PromptRule()), str(out), settle(load_config(settings), str(out)), "inline")
    assert not result.failed


def labels(out: Path) -> dict[str, str]:
    """A digest of the labels of each project below ``out``, all of whose chunks must be committed."""
    found = {}
    for manifest in sorted(out.rglob(MANIFEST)):
        store = ProjectStore.open(manifest.parent, write=False)
        for chunk in range(store.manifest.chunk_count):
            assert store.is_intact(chunk), f"{manifest.parent}: chunk {chunk} is not whole"
        every = np.asarray(store.labels[0 : store.manifest.frame_count])
        found[manifest.parent.name] = hashlib.sha256(every.tobytes()).hexdigest()[:16]
    return found


def labels_so_far(out: Path) -> int:
    """Chunks that are committed below ``out``."""
    return len(list(out.rglob("commits/*.json")))
