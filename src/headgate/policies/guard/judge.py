"""Judges the texts of one call, wherever they stand in JSON or in a form.

Decides which texts a rule is shown and puts masks in their places; refuses to know what rules look for (`chain.py`) and
which fields are looked at (`dialects/openai_texts.py`).
"""

from collections.abc import Sequence

import msgspec

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.policy import Handler
from headgate.core.upload import Form, Part, Upload
from headgate.core.verdict import Side, Verdict
from headgate.dialects.openai_fields import decode
from headgate.dialects.openai_texts import Text, changed, texts, without_logprobs
from headgate.policies.guard.chain import judged
from headgate.policies.guard.moderation import Moderator
from headgate.policies.guard.rules import Chain, Layer

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Judge:
    """Judges on behalf of one call.

    Args:
        call: whose words.
        next: who answers where a moderation is asked.

    Attributes:
        known: texts that were judged in pieces, and what became of them.
    """

    __slots__ = ("_call", "_moderator", "_told", "known")

    def __init__(self, call: Call, next: Handler) -> None:  # noqa: A002  the field's word
        self._call = call
        self._moderator = Moderator(call, next, self.tell)
        self._told: set[tuple[str, str, str | None]] = set()
        self.known: dict[bytes, bytes] = {}

    def tell(self, verdict: Verdict) -> None:
        """Write a verdict down, once for each rule and what it has found."""
        key = (verdict.side, verdict.rule, verdict.pattern)
        if key not in self._told:
            self._told.add(key)
            self._call.verdicts.append(verdict)

    async def ask(self, layer: Layer, side: Side, words: bytes) -> None:
        """Let the moderations of a layer judge.

        Raises:
            GuardError: one of them blocks the words.
            GuardDownError: one of them could not run.
        """
        # Whoever asks for a moderation wants to know: that is no reason to refuse the question.
        if layer.asking and self._call.operation is not Operation.MODERATIONS:
            await self._moderator.judge(layer.asking, side, words)

    async def json(self, raw: bytes, chain: Chain) -> bytes:
        """JSON with every text judged; the very same bytes where nothing is masked.

        Raises:
            GuardError: a rule blocks it.
            GuardDownError: a rule could not run.
        """
        found = texts(raw)
        masked: dict[Text, bytes] = {}
        fresh = [text for text in found if text.value not in self.known]
        layer = chain.flat
        # One look for all: what stands between two texts is found at most once too often.
        if layer.engine is not None and (
            layer.engine.anchored or layer.engine.finds(b"\n".join(text.value for text in fresh))
        ):
            masked = {text: judged(layer, chain.side, self.tell, text.value) for text in fresh}
        if layer.asking:
            spoken = [masked.get(text, text.value) for text in fresh if text.spoken]
            await self.ask(layer, chain.side, b"\n".join(spoken))
        for text in found:
            if text.value in self.known:
                masked[text] = self.known[text.value]
        masked = {text: value for text, value in masked.items() if value != text.value}
        return changed(raw, masked) if masked else raw

    async def text(self, words: bytes, chain: Chain) -> bytes:
        """One text, judged.

        Raises:
            GuardError: a rule blocks it.
            GuardDownError: a rule could not run.
        """
        words = judged(chain.flat, chain.side, self.tell, words)
        await self.ask(chain.flat, chain.side, words)
        return words

    def names(self, names: Sequence[str], chain: Chain) -> list[str]:
        """Names that a caller has chosen, judged by the local rules.

        Raises:
            GuardError: a rule blocks one.
        """
        layer = chain.flat
        words = [name.encode(errors="replace") for name in names]
        if layer.engine is not None and (layer.engine.anchored or layer.engine.finds(b"\n".join(words))):
            words = [judged(layer, chain.side, self.tell, name) for name in words]
        return [name.decode() for name in words]

    async def answer(self, raw: bytes, names: tuple[str, ...], chain: Chain) -> bytes:
        """A whole answer with some of its fields judged.

        Raises:
            GuardError: a rule blocks it.
            GuardDownError: a rule could not run.
        """
        fields = decode(_FIELDS, raw, "The provider's answer")
        said = msgspec.json.encode({name: fields[name] for name in names if name in fields})
        judged_ = await self.json(said, chain)
        if judged_ == said:
            return raw
        return msgspec.json.encode(fields | without_logprobs(msgspec.json.decode(judged_)))

    async def body(self, body: Body | Upload, chain: Chain) -> Body | Upload:
        """A request with every text judged.

        Raises:
            GuardError: a rule blocks it.
            GuardDownError: a rule could not run.
        """
        if isinstance(body, Body):
            raw = await self.json(body.raw, chain)
            return body if raw is body.raw else Body(raw)
        if isinstance(body, Form):
            parts = [await self._part(part, chain) for part in body.parts]
            return body if parts == list(body.parts) else Form(parts, body.boundary)
        return body

    async def _part(self, part: Part, chain: Chain) -> Part:
        if part.is_file or not isinstance(part.data, bytes):
            return part
        try:
            part.data.decode()
        except UnicodeDecodeError:
            return part
        return part._replace(data=await self.text(part.data, chain))
