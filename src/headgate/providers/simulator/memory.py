"""The simulated prompt cache: which beginnings of prompts a model has read before.

A prompt of at least 1,024 tokens is remembered in blocks of 128; the longest remembered beginning counts as cached.
Nothing is ever forgotten.
"""

from hashlib import blake2b

from headgate.providers.simulator.words import TOKEN, count

_LEAST = 1024
_BLOCK = 128


class PromptMemory:
    """What has been read."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def read(self, model: str, prompt: str) -> tuple[int, int]:
        """Read a prompt: how many of its tokens were cached, and how many are new to the cache."""
        if count(prompt) < _LEAST:
            return 0, 0
        cached = 0
        whole = count(prompt) // _BLOCK * _BLOCK
        digest = blake2b(model.encode(), digest_size=16)
        for end in range(_BLOCK, whole + 1, _BLOCK):
            digest.update(prompt[(end - _BLOCK) * TOKEN : end * TOKEN].encode())
            if end < _LEAST:
                continue
            mark = digest.digest()
            if mark in self._seen:
                cached = end
            else:
                self._seen.add(mark)
        return cached, whole - cached
