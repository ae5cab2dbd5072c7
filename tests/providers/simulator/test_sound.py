"""Sound, read again by the standard library where it can."""

import io
import wave
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.sound import RATE, seconds_of, silent_mp3, tones, wav_head

DIGEST = bytes(range(16))


def test_a_wav_file():
    """Mono, 24,000 samples a second, 16 bits, as long as its tones, and not silent."""
    samples = b"".join(tones(DIGEST, 5))
    with wave.open(io.BytesIO(wav_head(len(samples)) + samples)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (1, RATE, 2)
        assert file.getnframes() == RATE // 2
        assert file.readframes(RATE) == samples
    assert max(samples[1::2]) > 0


def test_equal_digests_give_equal_sounds():
    """And others give others."""
    assert tones(DIGEST, 20) == tones(DIGEST, 20) != tones(DIGEST[::-1], 20)
    assert len(set(tones(DIGEST, 50))) == 8


@pytest.mark.parametrize(("speed", "length"), [(0.25, 0.4), (1.0, 0.1), (4.0, 0.025)])
def test_speeds(speed, length):
    """A tone is as much shorter as it is faster."""
    assert len(tones(DIGEST, 1, speed)[0]) == 2 * RATE * length


def test_a_silent_mp3():
    """Whole frames of MPEG-2 layer III with 32 kbit/s, mono: each is 96 bytes, and holds 576 samples."""
    pieces = tones(DIGEST, 10)
    made = silent_mp3(pieces)
    assert len(made) == 10
    file = b"".join(made)
    frames = [file[at : at + 96] for at in range(0, len(file), 96)]
    assert set(frames) == {b"\xff\xf3\x44\xc0" + bytes(92)}
    assert 0 <= len(frames) * 576 - RATE < 576
    assert all(piece and len(piece) % 96 == 0 for piece in made)


def test_how_long_others_are():
    """A WAV file says it; what its head promises and does not have does not count."""
    assert seconds_of(wav_head(4800) + bytes(4800)) == Fraction(1, 10)
    assert seconds_of(wav_head(2**32 - 40) + bytes(4800)) == Fraction(1, 10)
    assert seconds_of(b"ID3" + bytes(15_997)) == 1
    other = io.BytesIO()
    with wave.open(other, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(bytes(32_000))
    assert seconds_of(other.getvalue()) == 2


def test_a_file_of_nothing_but_chunks():
    """It is looked at for a while, and then taken like any other bytes."""
    endless = b"RIFF0000WAVE" + (b"junk" + bytes(4)) * 100 + wav_head(48_000)[12:] + bytes(48_000)
    assert seconds_of(endless) == Fraction(len(endless), 16_000)
    assert seconds_of(endless[:12] + endless[12 + 8 * 50 :]) == 1


@given(st.binary(max_size=60), st.booleans())
def test_whatever_it_is(rest, is_wav):
    """No bytes are too strange to have a length."""
    sound = (b"RIFF0000WAVE" if is_wav else b"") + rest
    assert 0 <= seconds_of(sound) <= len(sound)
