"""The pane's addresses. Each module makes one router of a :class:`tam_dist.review.pane.Pane`."""
