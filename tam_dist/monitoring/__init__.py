"""What a run is doing, from the scheduler's events: stages and their bottleneck, the state of each video, metrics."""
