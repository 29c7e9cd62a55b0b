"""Lists of names are read whole, and what is no text is refused in one line."""

import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.tasks.name_lists import read_names


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_names_keep_their_order_without_what_is_around_them(tmp_path, encoding):
    path = tmp_path / "list.txt"
    path.write_bytes(" b.png\r\n\r\nä 1.png\na.png\t".encode(encoding))
    assert read_names(path) == ["b.png", "ä 1.png", "a.png"]


def test_what_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xff\xfe0")
    for unreadable in (path, tmp_path / "absent.txt"):
        with pytest.raises(InputError) as caught:
            read_names(unreadable)
        rule = f"a list has a name on each line, in UTF-8. Received: {unreadable} ("
        assert str(caught.value).startswith(rule)
