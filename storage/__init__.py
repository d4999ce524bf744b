"""Projects on disk or object storage: masks, prompts, commits, checkpoints. Start at :mod:`storage.project_store`."""
