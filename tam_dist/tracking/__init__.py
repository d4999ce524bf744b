"""Tracking one video: a state machine without files, processes or threads."""
