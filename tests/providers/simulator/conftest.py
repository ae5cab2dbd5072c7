"""What several tests of the simulator need."""

import pytest

FORM = "multipart/form-data; boundary=x-y"


@pytest.fixture
def form():
    """Writes a form: fields by name, files as (name of the field, name of the file, bytes). Gives body and type."""

    def write(*files, **fields):
        body = b"".join(
            f'--x-y\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{entry}\r\n'.encode()
            for name, value in fields.items()
            for entry in (value if isinstance(value, list) else [value])
        )
        for name, filename, content in files:
            body += f'--x-y\r\ncontent-disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'.encode()
            body += content + b"\r\n"
        return body + b"--x-y--\r\n", FORM

    return write
