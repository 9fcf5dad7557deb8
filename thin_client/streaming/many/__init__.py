"""Many sources in one client: one process, one connection.

names.py says how a source is written and called, feed.py keeps one of them going in threads of its
own, feeds.py holds all of them, changes.py adds and removes them while they run, view.py and
metrics.py show how they are, and command.py is ``framewire-client stream`` with several of them.
"""

from __future__ import annotations
