"""What the executors run: decoding, propagating, refining, writing. Plain classes that answer the scheduler's calls one at a
time.
"""
