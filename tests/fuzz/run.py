"""`make fuzz`: each target for as long, led by coverage.

    python -m tests.fuzz.run SECONDS [TARGET ...]

Needs atheris, the extra ``fuzz``. What it finds lies in build/fuzz, with a log of each target, and
belongs into tests/fuzz/findings once it is understood.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOUND = Path("build/fuzz")
SERVED_MODELS = HERE.parents[1] / "src" / "builder" / "served_models"
# Of the log of a target that did not survive.
SHOWN_LINES = 30


def main(arguments: list[str]) -> int:
    """Fuzz the targets one after the other; 0 when nothing was found."""
    if importlib.util.find_spec("atheris") is None:
        print("make fuzz needs atheris: pip install -e '.[fuzz]'", file=sys.stderr)
        return 2
    if arguments[0] == "one":
        fuzz_one(arguments[1], arguments[2:])
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - slow, and atheris comes first

    seconds, names = arguments[0], arguments[1:] or list(TARGETS)
    failed = []
    for name in names:
        corpus, artifacts = FOUND / name / "corpus", FOUND / name
        shutil.rmtree(corpus, ignore_errors=True)
        corpus.mkdir(parents=True)
        kept = [str(path) for path in (HERE / "seeds" / name, HERE / "findings" / name)]
        limits = [f"-max_total_time={seconds}", "-max_len=65536", "-timeout=10"]
        limits.append("-rss_limit_mb=2048")
        command = [sys.executable, "-m", "tests.fuzz.run", "one", name, *limits]
        command += ["-verbosity=0", f"-artifact_prefix={artifacts}/", str(corpus)]
        command += [path for path in kept if Path(path).is_dir()]
        print(f"{name}: {seconds} s", flush=True)
        # Decoders write a line for each of a million damaged pictures.
        log = artifacts / "log"
        with log.open("w") as file:
            done = subprocess.run(command, check=False, stdout=file, stderr=subprocess.STDOUT)
        if done.returncode:
            failed.append(name)
            print(*log.read_text(errors="replace").splitlines()[-SHOWN_LINES:], sep="\n")
    print(f"fuzz: {len(names) - len(failed)} of {len(names)} targets survived", flush=True)
    if failed:
        print(f"found something in {', '.join(failed)}: see {FOUND}", flush=True)
    return bool(failed)


def fuzz_one(name: str, options: list[str]) -> None:
    """Become libFuzzer on one target; does not return."""
    import atheris  # noqa: PLC0415 - optional

    # Served models are imported under their bare names.
    served = sorted(file.stem for file in SERVED_MODELS.rglob("*.py"))
    with atheris.instrument_imports(include=["builder.gateway", "thin_client", *served]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415

        # What served models import with the first request that wants it.
        for later in ("pillow", "video_decoder"):
            importlib.import_module(later)
    target = atheris.instrument_func(TARGETS[name])
    atheris.Setup([sys.argv[0], *options], target)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
