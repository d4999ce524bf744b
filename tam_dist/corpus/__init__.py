"""Many videos in one run: what is asked of each, their projects' names, preparing, running, planning."""
