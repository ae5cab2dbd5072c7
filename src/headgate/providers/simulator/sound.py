"""Sound: real WAV, PCM and MP3 with the standard library alone, and how long a sound is that others made.

What is said is a row of tones, one for each four characters, drawn from a digest: equal digests give equal sounds. It
is mono, 24,000 samples a second, 16 bits each. An MP3 file of the same length is real, and silent: its frames are
whole and hold no sound, because an encoder is nothing for a simulator.
"""

import struct
from fractions import Fraction
from hashlib import blake2b
from math import pi, sin

RATE = 24_000
"""Samples a second."""
_BYTES = 2
_TONE = 2400
"""Samples of a tone: a tenth of a second, and a whole number of each tone's waves."""
_WAVES = (20, 24, 25, 30, 32, 40, 48, 50)
"""Waves in a tone: 200 to 500 Hz."""
_FRAME = b"\xff\xf3\x44\xc0" + bytes(92)
"""A silent frame: MPEG-2 layer III, 32 kbit/s, 24 kHz, mono, 576 samples."""
_FRAME_SAMPLES = 576
_MOST_CHUNKS = 100
"""Chunks of a WAV file that are looked at for its sound."""
_UNKNOWN = 16_000
"""Bytes a second of a sound that is no WAV: 128 kbit/s."""


def tones(digest: bytes, number: int, speed: float = 1.0) -> list[bytes]:
    """Tones, each a tenth of a second long at the speed of 1: samples, little-endian.

    Example:
        >>> [len(tone) for tone in tones(bytes(16), 2)]
        [4800, 4800]
    """
    samples = max(1, round(_TONE / speed))
    made = {waves: _tone(waves, samples) for waves in _WAVES}
    return [made[_WAVES[_draw(digest, at)]] for at in range(number)]


def _draw(digest: bytes, at: int) -> int:
    return blake2b(b"%b %d" % (digest, at), digest_size=1).digest()[0] % len(_WAVES)


def _tone(waves: int, samples: int) -> bytes:
    wave = _TONE // waves
    # One wave is worked out, the others repeat it. Not `array.tobytes`: its order is the machine's.
    one = b"".join(struct.pack("<h", round(8000 * sin(2 * pi * at / wave))) for at in range(wave))
    return (one * (samples // wave + 1))[: samples * _BYTES]


def wav_head(length: int) -> bytes:
    """What stands before so many bytes of samples in a WAV file."""
    form = struct.pack("<HHIIHH", 1, 1, RATE, RATE * _BYTES, _BYTES, 8 * _BYTES)
    return b"RIFF%bWAVEfmt %b%bdata%b" % (
        struct.pack("<I", 36 + length),
        struct.pack("<I", len(form)),
        form,
        struct.pack("<I", length),
    )


def silent_mp3(pieces: list[bytes]) -> list[bytes]:
    """An MP3 file at least as long as some tones, in as many pieces, each of whole frames."""
    made, samples = 0, 0
    frames = []
    for piece in pieces:
        samples += len(piece) // _BYTES
        due = -(-samples // _FRAME_SAMPLES)
        frames.append(_FRAME * (due - made))
        made = due
    return frames


def seconds_of(sound: bytes | memoryview) -> Fraction:
    """How long a sound is: exactly, if it is a WAV file; else as if it had 128 kbit/s.

    Example:
        >>> seconds_of(wav_head(48_000) + bytes(48_000)), seconds_of(bytes(8_000))
        (Fraction(1, 1), Fraction(1, 2))
    """
    view = memoryview(sound)
    if bytes(view[:4]) == b"RIFF" and bytes(view[8:12]) == b"WAVE":
        rate = 0
        at = 12
        for _ in range(_MOST_CHUNKS):
            if at + 8 > len(view):
                break
            name, size = bytes(view[at : at + 4]), int.from_bytes(view[at + 4 : at + 8], "little")
            if name == b"fmt " and at + 20 <= len(view):
                rate = int.from_bytes(view[at + 16 : at + 20], "little")
            elif name == b"data" and rate:
                # What the head promises and what came may differ: a stream's head promises anything.
                return Fraction(min(size, len(view) - at - 8), rate)
            at += 8 + size + size % 2
    return Fraction(len(view), _UNKNOWN)
