"""``make drill``: cause every fault, print one table, and say how many held.

python -m tests.drill [--short] [--only NAME ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.drill.faults import FAULTS
from tests.drill.outcome import Outcome, last_line, remarks, table
from tests.drill.scale import Scale


def main() -> int:
    """Run the drill; 0 when every fault held."""
    arguments = _arguments()
    # So that servers are ended and disks unmounted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    scale = Scale(short=arguments.short)
    outcomes = {name: _injected(name, scale) for name in arguments.only or FAULTS}
    for line in [*table(outcomes), "", *remarks(outcomes), last_line(outcomes)]:
        print(line, flush=True)
    if arguments.json:
        found = {name: outcome.to_dict() for name, outcome in outcomes.items()}
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if all(outcome.held for outcome in outcomes.values()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the form that CI runs")
    parser.add_argument(
        "--only", nargs="+", choices=FAULTS, metavar="NAME", help=f"of {', '.join(FAULTS)}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the same as JSON")
    return parser.parse_args()


def _injected(name: str, scale: Scale) -> Outcome:
    """Cause a fault; a drill that fails itself has not held."""
    print(f"drill: {name} ...", file=sys.stderr, flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="framewire-drill-") as folder:
        try:
            outcome = FAULTS[name](scale, Path(folder))
        except Exception as error:  # noqa: BLE001 - the other faults are still to come
            traceback.print_exc()
            outcome = Outcome(broken=[f"the drill failed: {type(error).__name__}: {error}"])
    outcome.seconds = time.monotonic() - begun
    held = "held" if outcome.held else "did not hold"
    print(f"drill: {name} {held} ({outcome.seconds:.0f} s)", file=sys.stderr, flush=True)
    for why in outcome.broken:
        print(f"drill: {name}: {why}", file=sys.stderr, flush=True)
    return outcome


if __name__ == "__main__":
    raise SystemExit(main())
