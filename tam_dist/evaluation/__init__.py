"""Benchmarks: DAVIS video object segmentation and click segmentation."""
