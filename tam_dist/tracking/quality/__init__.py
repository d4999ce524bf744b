"""How far to trust a propagated mask: signals that cost next to nothing, and a small model of them that predicts IoU."""
