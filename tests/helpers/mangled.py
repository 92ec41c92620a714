"""Image files with damage: `python mangled.py SEED COUNT` decodes so many and says what came of it."""

import json
import random
import resource
import sys
import time
from collections import Counter

from helpers.pictures import SAMPLES


def damage(data: bytes, dice: random.Random, other: bytes) -> bytes:
    """Change a file in one of the ways in which files go bad."""
    changed = bytearray(data)
    at = dice.randrange(len(data))
    match dice.randrange(8):
        case 0:
            return data[:at]
        case 1:
            changed[at] ^= 1 << dice.randrange(8)
        case 2:
            for _ in range(dice.randrange(1, 30)):
                changed[dice.randrange(len(data))] = dice.randrange(256)
        case 3:  # the header
            for _ in range(dice.randrange(1, 8)):
                changed[dice.randrange(min(200, len(data)))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
        case 4:
            del changed[at : at + dice.randrange(1, 64)]
        case 5:
            changed[at:at] = dice.randbytes(dice.randrange(1, 64))
        case 6:
            changed[at : at + 512] = bytes(512)
        case _:
            return data[:at] + other[dice.randrange(len(other)) :]
    return bytes(changed)


def main() -> None:
    """Decode, and count images, error codes, and the slowest."""
    seed, count = map(int, sys.argv[1:])
    from googlenet.architecture.dialects import Preprocessing
    from googlenet.base.errors import ImageError
    from googlenet.images import decode

    files = [make().data for make in SAMPLES.values()]
    dice = random.Random(seed)
    found: Counter[str] = Counter()
    slowest = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        data = damage(files[number % len(files)], dice, dice.choice(files))
        begun = time.process_time()
        try:
            size = decode.decode(data).shape
            decode.strict_warning(decode.open_image(data))
            assert decode.preprocess(data, Preprocessing(size=64)).shape == (64, 64, 3)
            assert len(size) == 3 and size[2] == 3
            found["image"] += 1
        except ImageError as error:
            assert "\n" not in str(error) and " object at 0x" not in str(error), str(error)
            found[error.code] += 1
        slowest = max(slowest, time.process_time() - begun)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"found": found, "slowest": slowest, "megabytes": (after - before) / 1024}))


if __name__ == "__main__":
    main()
