"""Which parts of a text are code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.policies.compress.parts import parts

FENCE = "```py\nx\n```\n"


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("words", "prose"),
        ("", "prose"),
        (f"a\n{FENCE}b", "prose fence prose"),
        (FENCE + FENCE, "fence fence"),
        ("a\n```\nx", "prose code"),
        ("~~~\n```\n~~~\nb", "fence prose"),
        ("````\n```\n````\nb", "fence prose"),
        ("```\nx\n``` py\n```\nb", "fence prose"),
        ("  ```\n  x\n  ```\nb", "fence prose"),
        ("```\nx\n ```\nb", "code code"),
        ("- a\n  ```\n  x\n  ```\nb", "prose fence prose"),
        ("- a\n  ```\nx\n  ```\nb", "prose code code"),
        ("- ```\n  x\n  ```\nb", "code"),
        ("> ```\n> x\n> ```\nb", "code"),
        ("see ```x``` there\nb", "code prose"),
        ("see ```x\nb", "code"),
        ("see ~~~x~~~ there\nb", "code"),
        ('"""\nx\n"""\nb', "code prose"),
        ("'''\nx\n\"\"\"\n'''\nb", "code prose"),
        ('"""\n```\n"""\n```\nb', "code"),
        ("a\n<pre>\nb", "prose code"),
        ("a <CODE class=x>b</CODE>\nb", "code"),
    ],
)
def test_kinds(text, kinds):
    """Where two readers may disagree, everything behind is code."""
    assert " ".join(part.kind for part in parts(text)) == kinds


@given(st.lists(st.sampled_from(["```", "~~~", '"""', "````", " ", "\n", "\n", "a", "<pre>", "> ", "- "]), max_size=30))
def test_nothing_gets_lost(pieces):
    """Parts are the text."""
    text = "".join(pieces)
    found = parts(text)
    assert "".join(part.text for part in found) == text
    assert all(part.text for part in found) or text == ""
