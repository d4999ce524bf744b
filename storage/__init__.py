"""Projects on disk or object storage: masks, prompts, commits, checkpoints."""
