"""Masks out, in the formats that annotation tools, benchmarks and editors read. Start at :mod:`tam_dist.export.run`.

A writer is a function of a :class:`tam_dist.export.footage.Footage`, which it reads once from the first frame to the last,
and of a path, at which nobody looks before it is whole. So memory does not grow with the length of a video.
"""
