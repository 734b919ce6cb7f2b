"""Classes of bytes as bits: one pass over a column's bytes, so that kernels find words and tokens 64 bytes at a time.

Bit i of lane k, counted from the first byte of the column, says whether byte i is in class k. Every lane has an empty block before
and behind, so that a neighbour's bits can be read everywhere: byte i is bit i % 64 of element 1 + i // 64.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = [
    "HIGH",
    "LETTER",
    "ODD",
    "SAME",
    "SPACE",
    "WORD",
    "ascii_table",
    "byte_bits",
    "clear_from",
    "count_bits",
    "first_set",
    "last_set",
    "load64",
    "ones",
    "trailing",
]

compiled: Any = intrinsic  # numba passes the typing context itself, which a type checker cannot know

WORD, LETTER, SPACE, HIGH, ODD = 0, 1, 2, 3, 4
LANES = 7
"""Of the table's bits; 5 and 6 are the caller's."""
SAME = LANES
"""The lane of letters that are, but for their case, the one before."""
SPREAD = np.uint64(0x0101010101010101)
GATHER = np.uint64(0x0102040810204080)
SEVEN = np.uint64(0x7F7F7F7F7F7F7F7F)
CASE = np.uint64(0xDFDFDFDFDFDFDFDF)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


def ascii_table() -> np.ndarray:
    """Classes of every byte as bits of a number, uint64 (256,): word characters (and all beyond ASCII), letters, white space
    (9 to 13 and 32), beyond ASCII, and ODD: where other white space begins, perhaps."""
    table = np.zeros(256, np.uint64)
    for byte in range(256):
        character = chr(byte)
        plain = byte < 128
        table[byte] = (
            (not plain or character.isalnum()) << WORD
            | (plain and character.isalpha()) << LETTER
            | (byte == 32 or 9 <= byte <= 13) << SPACE
            | (not plain) << HIGH
            | (28 <= byte <= 31 or byte in (0xC2, 0xE1, 0xE2, 0xE3)) << ODD
        )
    return table


@compiled
def load64(typingctx, data, at):
    """Eight bytes of a uint8 array from any place, little-endian; the caller sees that they are there."""

    def build(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        wide = builder.bitcast(place, ir.IntType(64).as_pointer())
        return builder.load(wide, align=1)

    return types.uint64(data, types.int64), build


@compiled
def trailing(typingctx, bits):
    """Zeros below the lowest set bit."""

    def build(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), build


@compiled
def _leading(typingctx, bits):
    """Zeros above the highest set bit."""

    def build(context, builder, signature, arguments):
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), build


@compiled
def ones(typingctx, bits):
    """Set bits."""

    def build(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), build


@njit(cache=True, nogil=True, inline="always")
def first_set(lane, at, end):
    """The first set bit in [at, end), or end."""
    block = at >> 6
    bits = lane[block + 1] >> np.uint64(at & 63)
    if bits:
        return min(at + trailing(bits), end)
    block += 1
    while block << 6 < end:
        bits = lane[block + 1]
        if bits:
            return min((block << 6) + trailing(bits), end)
        block += 1
    return end


@njit(cache=True, nogil=True, inline="always")
def clear_from(lane, at, end):
    """The first clear bit in [at, end), or end."""
    block = at >> 6
    bits = ~lane[block + 1] >> np.uint64(at & 63)
    if bits:
        return min(at + trailing(bits), end)
    block += 1
    while block << 6 < end:
        bits = ~lane[block + 1]
        if bits:
            return min((block << 6) + trailing(bits), end)
        block += 1
    return end


@njit(cache=True, nogil=True)
def last_set(lane, begin, at):
    """The last set bit in [begin, at), or -1."""
    if at <= begin:
        return -1
    block = (at - 1) >> 6
    bits = lane[block + 1] << np.uint64(63 - ((at - 1) & 63))
    if bits:
        found = at - 1 - _leading(bits)
        return found if found >= begin else -1
    block -= 1
    while block >= 0 and (block << 6) + 63 >= begin:
        bits = lane[block + 1]
        if bits:
            found = (block << 6) + 63 - _leading(bits)
            return found if found >= begin else -1
        block -= 1
    return -1


@njit(cache=True, nogil=True)
def count_bits(lane, begin, end):
    """Set bits in [begin, end)."""
    if begin >= end:
        return 0
    first, last = begin >> 6, (end - 1) >> 6
    low = ALL << np.uint64(begin & 63)
    high = ALL >> np.uint64(63 - ((end - 1) & 63))
    if first == last:
        return ones(lane[first + 1] & low & high)
    total = ones(lane[first + 1] & low) + ones(lane[last + 1] & high)
    for block in range(first + 1, last):
        total += ones(lane[block + 1])
    return total


def byte_bits(data: np.ndarray, offsets: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The lanes of the bytes [offsets[0], offsets[-1]), uint64 (LANES + 1, blocks + 2).

    Args:
        data: uint8, the bytes.
        offsets: int64, of the rows.
        table: uint64 (256,), the classes of each byte (`ascii_table`, with two more where the caller has use for them).
    """
    begin, end = int(offsets[0]), int(offsets[-1])
    lanes = np.zeros((LANES + 1, (end - begin + 63) // 64 + 2), np.uint64)
    _byte_bits(data, begin, end, table, lanes)
    return lanes


@njit(cache=True, nogil=True)
def _byte_bits(data, begin, end, table, lanes):
    eight = np.empty(8, np.uint8)
    before = np.empty(8, np.uint8)
    for block in range((end - begin + 63) >> 6):
        word = letter = space = high = odd = fifth = sixth = same = np.uint64(0)
        for part in range(8):
            at = begin + (block << 6) + (part << 3)
            if at >= end:
                break
            if at > begin and at + 8 <= end:
                a, b, c, d = table[data[at]], table[data[at + 1]], table[data[at + 2]], table[data[at + 3]]
                e, f, g, h = table[data[at + 4]], table[data[at + 5]], table[data[at + 6]], table[data[at + 7]]
                x = load64(data, at) ^ load64(data, at - 1)
            else:
                for i in range(8):
                    eight[i] = data[at + i] if at + i < end else 0
                    before[i] = data[at + i - 1] if begin < at + i < end else 0
                a, b, c, d = table[eight[0]], table[eight[1]], table[eight[2]], table[eight[3]]
                e, f, g, h = table[eight[4]], table[eight[5]], table[eight[6]], table[eight[7]]
                x = load64(eight, 0) ^ load64(before, 0)
            v = a | b << np.uint64(8) | c << np.uint64(16) | d << np.uint64(24)
            v |= e << np.uint64(32) | f << np.uint64(40) | g << np.uint64(48) | h << np.uint64(56)
            to = np.uint64(part << 3)
            word |= ((v & SPREAD) * GATHER >> np.uint64(56)) << to
            letter |= ((v >> np.uint64(1) & SPREAD) * GATHER >> np.uint64(56)) << to
            space |= ((v >> np.uint64(2) & SPREAD) * GATHER >> np.uint64(56)) << to
            high |= ((v >> np.uint64(3) & SPREAD) * GATHER >> np.uint64(56)) << to
            odd |= ((v >> np.uint64(4) & SPREAD) * GATHER >> np.uint64(56)) << to
            fifth |= ((v >> np.uint64(5) & SPREAD) * GATHER >> np.uint64(56)) << to
            sixth |= ((v >> np.uint64(6) & SPREAD) * GATHER >> np.uint64(56)) << to
            x &= CASE
            x = ~(((x & SEVEN) + SEVEN) | x | SEVEN) >> np.uint64(7)  # 1 in every byte that is 0
            same |= (x * GATHER >> np.uint64(56)) << to
        lanes[0, block + 1], lanes[1, block + 1], lanes[2, block + 1], lanes[3, block + 1] = word, letter, space, high
        lanes[4, block + 1], lanes[5, block + 1], lanes[6, block + 1] = odd, fifth, sixth
        lanes[7, block + 1] = same & letter
