"""Guard: words are judged before they go in and before they come out, whole or streamed, on every endpoint.

`guard.py` is the policy, and `names.py` one for the names that a call goes by; `rules.py` makes chains of rules,
`chain.py` judges whole texts, `stream.py` holds streams back. `engine.py` finds patterns, with what `syntax.py` knows
of them and `recognisers.py` of secrets and personal data; `moderation.py` asks a provider.
"""
