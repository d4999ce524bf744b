"""Loaded once by the fork server, so that a child that is killed ten times does not import torch ten times."""

import storage.project_store
import tam_dist.api
import tam_dist.workers.decoder
import tam_dist.workers.propagator
import tam_dist.workers.refiner
import tam_dist.workers.writer

__all__ = ["storage", "tam_dist"]
