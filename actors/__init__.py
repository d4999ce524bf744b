"""Thin Ray shells around tam_dist and storage."""
