"""Proof that a served pipeline finds what its detector finds.

The reference here shares no code with the served models on purpose: it decodes, letterboxes,
reads the head and suppresses by its own, plain means, so that a mistake in either shows.
"""
