"""Covers gate/spool.py: forms however they are cut, what forms must not do, and bytes of any kind."""

import asyncio
import logging
import time
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import BadRequestError, HeadgateError, MediaTypeError, TooLargeError
from headgate.core.upload import Form, Stretch, Upload, whole
from headgate.gate.ports import SystemChance
from headgate.gate.spool import MOST_PARTS, MOST_TEXT, WAITING, Spool

BOUNDARY = "x-Y'1"
FORM = f'multipart/form-data; boundary="{BOUNDARY}"'


def spool(content_type: str = FORM, limit: int = 10**9) -> Spool:
    """An empty one."""
    return Spool(content_type, chance=SystemChance(7), limit=limit, limit_name="server.max_upload_mb")


def part(disposition: str | bytes, data: bytes, *more: str) -> bytes:
    """One part of a form, as it travels."""
    raw = disposition if isinstance(disposition, bytes) else disposition.encode()
    head = b"".join(b"\r\n" + line.encode() for line in more)
    return b"--" + BOUNDARY.encode() + b"\r\nContent-Disposition: " + raw + head + b"\r\n\r\n" + data + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
PURPOSE = part('form-data; name="purpose"', b"batch")


async def received(made: Spool, *pieces: bytes) -> Upload:
    """What a spool makes of the pieces."""
    try:
        for piece in pieces:
            await made.write(piece)
        return await made.finish()
    except BaseException:
        made.close()
        raise


def read(*pieces: bytes, content_type: str = FORM) -> tuple[list[tuple[str, bytes, bytes, bool]], bytes]:
    """The parts of a form, and the form that leaves."""
    made = spool(content_type)
    try:
        form = asyncio.run(received(made, *pieces))
        assert isinstance(form, Form)
        parts = [(one.name, one.head, _bytes(one.data), one.is_file) for one in form.parts]
        out = whole(form)
        assert len(out) == form.size
    finally:
        made.close()
    return parts, out


def _bytes(data: bytes | Stretch) -> bytes:
    return data.read(data.size, data.start) if isinstance(data, Stretch) else data


def refused(*pieces: bytes, content_type: str = FORM) -> HeadgateError:
    """Why a form is refused."""
    with pytest.raises(HeadgateError) as caught:
        asyncio.run(received(spool(content_type), *pieces))
    return caught.value


NAMES = st.text(st.characters(codec="utf-8", exclude_characters='\r\n"\\'), min_size=1, max_size=12)
# Line ends, dashes and the boundary itself, in all sorts of order.
DATA = st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"\r\n--x-Y", b"x-Y'1", b"a", b"\0", b"\xff"]), max_size=20)


@given(
    st.lists(st.tuples(NAMES, st.none() | NAMES, DATA.map(b"".join)), max_size=6),
    st.lists(st.integers(0, 600), max_size=12),
)
def test_any_cut_of_any_form_gives_the_same_parts(fields, cuts):
    """Names, file names and bytes come out as they went in, whatever the pieces were; what leaves is framed anew."""
    fields = [(name, file, data.replace(BOUNDARY.encode(), b"")) for name, file, data in fields]
    raw = b"".join(
        part(f'form-data; name="{name}"' + ("" if file is None else f'; filename="{file}"'), data)
        for name, file, data in fields
    )
    raw += END
    points = [0, *sorted(cut for cut in cuts if cut < len(raw)), len(raw)]
    parts, out = read(*(raw[a:b] for a, b in pairwise(points)))
    assert [(name, data, file) for name, _, data, file in parts] == [
        (name, data, file is not None) for name, file, data in fields
    ]
    again, same = read(out, content_type=_type_of(out))
    assert [(data, file) for _, _, data, file in again] == [(data, file is not None) for _, file, data in fields]
    assert len(same) == len(out)


def _type_of(out: bytes) -> str:
    return "multipart/form-data; boundary=" + out.split(b"\r\n", 1)[0][2:].removesuffix(b"--").decode()


def test_short_fields_stay_in_memory_and_files_do_not():
    """A text field is at hand; a file is a stretch of something else, and an empty one is nothing."""
    made = spool()
    empty = part('form-data; name="e"; filename="empty"', b"")
    file = part('form-data; name="file"; filename="a.txt"', b"hello", "Content-Type: text/plain; charset=utf-8")
    form = asyncio.run(received(made, PURPOSE + empty + file + END))
    assert isinstance(form, Form)
    purpose, nothing, hello = form.parts
    assert (purpose.data, purpose.is_file, nothing.data, nothing.is_file) == (b"batch", False, b"", True)
    assert isinstance(hello.data, Stretch)
    assert hello.head == (
        b'content-disposition: form-data; name="file"; filename="a.txt"\r\ncontent-type: text/plain; charset=utf-8\r\n'
    )
    assert _bytes(hello.data) == b"hello"
    assert form.text("purpose") == "batch"
    assert form.text("file") is None
    made.close()


def test_the_boundary_that_leaves_is_ours():
    """Nobody who sends a form can know it, so nothing in a file ends a part."""
    evil = b'\r\n--headgate-0\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nother\r\n--headgate-0--\r\n'
    raw = part('form-data; name="file"; filename="a"', evil) + END
    boundaries = []
    for seed in (7, 8):
        made = Spool(FORM, chance=SystemChance(seed), limit=10**6, limit_name="x")
        form = asyncio.run(received(made, raw))
        assert isinstance(form, Form)
        boundaries.append(form.boundary)
        made.close()
    assert all(boundary.startswith("headgate-") and len(boundary) > 40 for boundary in boundaries)
    assert boundaries[0] != boundaries[1]
    ((name, _, data, _),), _ = read(raw)
    assert (name, data) == ("file", evil)


@pytest.mark.parametrize(
    ("disposition", "head"),
    [
        (r'form-data; name="a\"b"', b'name="a%22b"'),
        (r'form-data; name="a\\"', b'name="a%5C"'),
        (r'form-data; name="a\\"; filename="b; name=model; "', b'name="model"'),
        (r'form-data; name="a"; filename="b\"; name=model; "', b'name="a"; filename="b%22; name=model; "'),
        ('form-data; name="a\nb"', b'name="a%0Ab"'),
        ('form-data; name="a\tb\x7f"', b'name="a%09b%7F"'),
        ('form-data; name="50%"', b'name="50%"'),
        ('form-data; name="a"; name="b"', b'name="b"'),
        ("form-data; name=a; name*=utf-8''b", b'name="a"'),
        ('form-data; name="a"; filename="x"; filename*=utf-8\'\'y', b'name="a"; filename="x"'),
        ('FORM-DATA; NAME="a"; name="b"', b'name="b"'),
        ('form-data; name="naïve 日本"', 'name="naïve 日本"'.encode()),
    ],
)
def test_names_are_written_so_that_nobody_reads_them_otherwise(disposition, head):
    """Quotes, backslashes and control characters do not travel bare, and each parameter travels once."""
    ((_, sent, data, _),), _ = read(part(disposition, b"1") + END)
    assert sent == b"content-disposition: form-data; " + head + b"\r\n"
    assert data == b"1"


@given(st.text(st.sampled_from('ab=;"\\ *%\n\t') | st.characters(codec="utf-8"), max_size=30))
def test_what_leaves_is_read_as_we_have_read_it(words):
    """However odd the words in a part's head are: read again, the form that leaves has the same parts."""
    raw = part(f'form-data; name="a"; {words}'.replace("\r", ""), b"1") + part(f'form-data; name="{words}"', b"2") + END
    try:
        parts, out = read(raw)
    except BadRequestError:
        return
    again, _ = read(out, content_type=_type_of(out))
    assert [one[1:] for one in again] == [one[1:] for one in parts]


def test_only_what_a_form_needs_travels():
    """Headers of a part other than its name and its type stay here."""
    raw = part('form-data; name="a"', b"1", "X-Other: 1", "Content-Transfer-Encoding: Binary", "Content-Length: 9")
    ((_, head, _, _),), _ = read(raw + END)
    assert head == b'content-disposition: form-data; name="a"\r\n'


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "ends before its last boundary"),
        (PURPOSE, "ends before its last boundary"),
        (PURPOSE[:-1], "ends before its last boundary"),
        (PURPOSE + END[:-3], "ends before its last boundary"),
        (b"purpose=batch", "Expected boundary"),
        (b"--other\r\n\r\n", "Expected boundary"),
        (part('form-data; name=""', b"1") + END, "has no name"),
        (part("form-data", b"1") + END, "has no name"),
        (part('attachment; name="a"', b"1") + END, "has no name"),
        (f"--{BOUNDARY}\r\n\r\nx\r\n".encode() + END, "has no name"),
        (part('form-data; name="a"', b"1", 'content-disposition: form-data; name="b"') + END, "stands twice"),
        (part('form-data; name="a"', b"1", "Content-Type: a/b", "content-TYPE: c/d") + END, "stands twice"),
        (part('form-data; name="a"', b"MQ==", "Content-Transfer-Encoding: base64") + END, "is encoded"),
        (part('form-data; name="a"', b"1", "Content-Type: a/b\x01") + END, "not plain text"),
        (part('form-data; name="a"', b"1", "Content-Type: a/b\nx: y") + END, "not plain text"),
        (part('form-data; name="a"', b"1", "folded: a\r\n b") + END, "invalid character"),
        (part(b'form-data; name="\xff"', b"1") + END, "not UTF-8"),
        (part('form-data; name="' + "a" * 5000 + '"', b"1") + END, "header size"),
        (part('form-data; name="a"', b"1", *(f"x-{n}: 1" for n in range(20))) + END, "header count"),
        (PURPOSE * (MOST_PARTS + 1) + END, f"more than {MOST_PARTS} parts"),
    ],
)  # fmt: skip
def test_a_malformed_form_is_refused_with_its_reason(raw, why):
    """400 `invalid_form`, however it is cut."""
    for error in (refused(raw), refused(*(raw[at : at + 7] for at in range(0, len(raw), 7)))):
        assert isinstance(error, BadRequestError)
        assert error.code == "invalid_form"
        assert why in error.message


def test_a_malformed_form_fills_no_log(caplog):
    """Its sender is told; nobody else is."""
    caplog.set_level(logging.DEBUG)
    refused(b"nonsense" * 100)
    assert [record for record in caplog.records if record.name != "asyncio"] == []


def test_as_many_parts_as_are_allowed():
    """The last one that fits, also behind a line end that need not be there."""
    parts, _ = read(b"\r\n" + PURPOSE * MOST_PARTS + END)
    assert len(parts) == MOST_PARTS


def test_a_form_may_be_empty_and_have_an_epilogue():
    """Nothing between the boundaries; what follows the last one is nobody's."""
    assert read(END)[0] == []
    assert len(read(PURPOSE + END + b"epilogue")[0]) == 1


def test_what_looks_like_boundaries_is_refused_before_it_takes_long():
    """The parser walks through such bytes one by one: a megabyte of them would stop everybody for a quarter second."""
    false = b"\r\n--" + BOUNDARY.encode() + b"x"
    begin = part('form-data; name="f"; filename="f"', b"")[:-2]
    start = time.process_time()
    error = refused(begin, *[false * 10_000] * 100)
    assert "parts" in error.message
    assert time.process_time() - start < 0.5


def test_text_fields_have_a_limit_together():
    """They stay in memory, so they are few."""
    half = part('form-data; name="a"', b"x" * (MOST_TEXT // 2 + 1))
    error = refused(half, half, END)
    assert isinstance(error, TooLargeError)
    assert "1024 kB" in error.message
    assert len(read(half + END)[0]) == 1


def test_an_upload_has_a_limit():
    """413 at the first byte beyond it, or as soon as it is announced; the message names the setting."""

    async def story():
        made = spool("audio/wav", limit=2_000_000)
        made.expect(2_000_000)
        with pytest.raises(TooLargeError, match="2 MB") as announced:
            made.expect(2_000_001)
        await made.write(b"x" * 2_000_000)
        with pytest.raises(TooLargeError) as caught:
            await made.write(b"x")
        made.close()
        return announced.value, caught.value

    for error in asyncio.run(story()):
        assert "`server.max_upload_mb`" in (error.hint or "")


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; charset=utf-8",
        "multipart/form-data; boundary=" + "b" * 300,
        "multipart/form-data; boundary=€",
        "audio/wav; name=é",
        "a/b\x01",
    ],
)
def test_a_type_that_cannot_be_is_415(content_type):
    """A form without a boundary, and a type that is no plain text."""
    with pytest.raises(MediaTypeError):
        spool(content_type)


def test_bytes_of_any_kind_pass_unread():
    """What is no form is kept as it came, with its type, even where it looks like one."""

    async def story():
        made = spool("application/octet-stream")
        upload = await received(made, PURPOSE, b"", END)
        assert not isinstance(upload, Form)
        assert (upload.content_type, whole(upload)) == ("application/octet-stream", PURPOSE + END)
        made.close()
        nothing = await received(spool(""))
        assert (nothing.size, nothing.pieces, nothing.content_type) == (0, (), "")

    asyncio.run(story())


def test_hundreds_of_megabytes_need_little_memory():
    """What was received waits in a file: 300 MB in pieces of 256 kB, and in pieces of two bytes for a while."""

    async def story():
        made = spool()
        await made.write(part('form-data; name="file"; filename="big"', b"")[:-2])
        tracemalloc.start()
        for _ in range(100_000):
            await made.write(b"ab")
        small = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        piece = bytes(256 * 1024)
        tracemalloc.start()
        for _ in range(300 * 4):
            await made.write(piece)
        await made.write(b"\r\n" + END)
        form = await made.finish()
        large = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert isinstance(form, Form)
        (file,) = form.parts
        assert isinstance(file.data, Stretch)
        assert file.data.size == 200_000 + 300 * 1024 * 1024
        assert file.data.read(4, file.data.start + 199_998) == b"ab\0\0"
        made.close()
        return small, large

    small, large = asyncio.run(story())
    assert small < 2 * WAITING
    assert large < 6 * WAITING


def test_several_read_at_once_and_each_reads_the_same():
    """Reading is by position: retries and threads do not disturb each other."""

    async def story():
        made = spool()
        data = b"".join(n.to_bytes(4, "big") for n in range(500_000))
        upload = await received(made, part('form-data; name="f"; filename="f"', data), END)
        expected = whole(upload)
        assert data in expected

        def one(step: int) -> bytes:
            out = []
            for piece in upload.pieces:
                if isinstance(piece, bytes):
                    out.append(piece)
                else:
                    ends = range(0, piece.size, step)
                    out += [piece.read(min(step, piece.size - at), piece.start + at) for at in ends]
            return b"".join(out)

        found = await asyncio.gather(*(asyncio.to_thread(one, step) for step in (1000, 4099, 65536, 99_999)))
        assert all(each == expected for each in found)
        made.close()

    asyncio.run(story())


def test_closing_forgets_everything():
    """Nothing is read from a closed spool, nothing is written to it, and closing twice is closing once."""

    async def story():
        made = spool("a/b")
        upload = await received(made, b"x" * (WAITING + 5))
        made.close()
        made.close()
        assert whole(upload) == b""
        await made.write(b"x" * (WAITING + 5))
        assert whole(await made.finish()) == b""

    asyncio.run(story())


def test_closing_while_a_thread_writes_leaves_nothing_open():
    """A caller who leaves in the middle: whoever comes first, in the end the file is closed, and not opened again."""
    stores = []

    async def story():
        made = spool("a/b")
        stores.append(made._store)
        with made._store._lock:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(made.write(b"x" * WAITING))
                await asyncio.sleep(0.01)  # a real thread waits for the lock
                writing.cancel()
        made.close()

    for _ in range(20):
        asyncio.run(story())  # and its threads
    assert all(store._file is None or store._file.closed for store in stores)


def test_a_full_disk_is_heard_of(monkeypatch):
    """A write that fails is not passed over: nobody sends half an upload on."""

    class Full:
        def write(self, _data):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    monkeypatch.setattr("headgate.gate.spool.tempfile.TemporaryFile", lambda **_: Full())

    async def story():
        made = spool("a/b")
        with pytest.raises(OSError, match="No space"):
            await made.write(b"x" * WAITING)
        made.close()

    asyncio.run(story())
