"""How long a strip of a TIFF file is once it is unpacked, which tells a damaged one.

OpenCV's decoder fills what damaged codes leave out, and says nothing to its caller.
"""

_CLEAR, _END, _FIRST = 256, 257, 258


def lzw_length(data: bytes, most: int) -> int:
    """The number of bytes that LZW codes stand for (TIFF 6.0, section 13), up to the end code.

    Args:
        data: the codes.
        most: how many bytes are of interest; more are not counted.

    Returns:
        0 to about `most`.

    Raises:
        ValueError: a code that stands for nothing yet.
    """
    lengths, width, before, total = [1] * _FIRST, 9, 0, 0
    bits, held, place = 0, 0, 0
    while total < most:
        while held < width:
            if place == len(data):
                return total
            bits = (bits << 8 | data[place]) & 0xFFFFFF
            place, held = place + 1, held + 8
        held -= width
        code = bits >> held & (1 << width) - 1
        if code == _CLEAR:
            del lengths[_FIRST:]
            width, before = 9, 0
        elif code == _END:
            return total
        else:
            if code > len(lengths) or (code == len(lengths) and not before):
                raise ValueError("a code that stands for nothing yet")
            length = lengths[code] if code < len(lengths) else before + 1
            if before:
                lengths.append(before + 1)
            total, before = total + length, length
            # One code earlier than the width would ask for, as every writer does.
            width = min(max((len(lengths) + 1).bit_length(), 9), 12)
    return total


def packbits_length(data: bytes) -> int:
    """The number of bytes that PackBits runs stand for (TIFF 6.0, section 9).

    Args:
        data: the runs.

    Raises:
        ValueError: the last run is cut off.
    """
    place, total = 0, 0
    while place < len(data):
        head = data[place]
        if head == 128:  # stands for nothing
            place += 1
        elif head < 128:
            place, total = place + head + 2, total + head + 1
        else:
            place, total = place + 2, total + 257 - head
    if place != len(data):
        raise ValueError("its last run is cut off")
    return total
