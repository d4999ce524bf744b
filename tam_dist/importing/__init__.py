"""Masks in: folders of label maps and annotation files of other tools. Start at :mod:`tam_dist.importing.run`."""
