"""torchvision's `googlenet` as torchvision's own script would train it, within a budget.

    python experiments/torchvision_reference.py DATA --out RUN {--minutes 30 | --epochs 5} [--size 224]

The clock of --minutes counts from the start of the process to the end of the last look at validation.
`torchvision_loop` has the recipe. The images and their splits are those of `googlenet train`.
"""

import argparse
import sys
import time
from pathlib import Path

STARTED = time.monotonic()
SIZE = 224  # pixels: the script's own


def main() -> None:
    """Train, and say in a line how it went."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="as for googlenet train")
    parser.add_argument("--out", type=Path, required=True)
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float)
    budget.add_argument("--epochs", type=int)
    parser.add_argument("--size", type=int, default=SIZE, help="pixels, 32 and up")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--force", action="store_true", help="replace the run that is in --out")
    chosen = parser.parse_args()
    from googlenet.base.errors import GoogLeNetError
    from torchvision_loop import Asked, train

    asked = Asked(minutes=chosen.minutes, epochs=chosen.epochs, size=chosen.size, seed=chosen.seed)
    try:
        accuracy = train(chosen.data, chosen.out, asked, started=STARTED, force=chosen.force)
    except GoogLeNetError as error:
        print(f"torchvision_reference: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"validation {100 * accuracy:.1f} %")


if __name__ == "__main__":
    main()
