"""Tracking one video: a state machine that knows no files, processes or other videos."""
