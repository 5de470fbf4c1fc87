"""Random bytes, and bytes changed and cut at random."""

from itertools import pairwise
from random import Random


def mutated(data: bytes, random: Random) -> bytes:
    """The data with one to four changes: bits flipped, bytes set, dropped, doubled, moved, or the end cut off."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        if not changed:
            break
        at = random.randrange(len(changed))
        length = random.choice((1, 1, 2, 4, 16))
        match random.randrange(6):
            case 0:
                changed[at] ^= 1 << random.randrange(8)
            case 1:
                changed[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = changed[at : at + length]
            case 4:
                piece = changed[at : at + length]
                del changed[at : at + length]
                to = random.randrange(len(changed) + 1)
                changed[to:to] = piece
            case _:
                del changed[at:]
    return bytes(changed)


def in_pieces(data: bytes, random: Random) -> list[bytes]:
    """The data cut at up to eight random places."""
    places = sorted(random.randrange(len(data) + 1) for _ in range(random.randint(0, 8)))
    return [data[start:end] for start, end in pairwise([0, *places, len(data)])]


def byte_by_byte(data: bytes) -> list[bytes]:
    """The data in pieces of one byte."""
    return [data[at : at + 1] for at in range(len(data))]
