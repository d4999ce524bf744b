"""Pictures of what the tracker knew: scores over time, and why a frame's mask is what it is."""
