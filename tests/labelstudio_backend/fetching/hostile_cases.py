"""Tables of what a task may name to do harm; generated where the spellings are many."""

from __future__ import annotations

import base64
import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

# Spellings of "one folder up".
_UPS = ("..", "%2e%2e", "%252e%252e", ".%2e", "%2E.", "..;", "%c0%ae%c0%ae", "．．")
_SLASHES = ("/", "%2f", "%252f", "\\", "%5c", "//")

# Private, reserved and otherwise not public, in the spellings that resolvers take.
PRIVATE_HOSTS = (
    "127.0.0.1", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433",
    "017700000001", "127.0.0.1.", "127.255.255.254", "localhost", "LOCALHOST", "localhost.",
    "0.0.0.0", "0", "0x0", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255",
    "192.168.0.1", "192.168.1.254", "169.254.169.254", "169.254.0.1", "0xa9fea9fe", "2852039166",
    "100.64.0.1", "100.127.255.254", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::]", "[2001:0:7f00:1::]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]",
    "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[100::1]",
    "①②⑦.⓪.⓪.①", "１２７.0.0.1", "127。0。0。1", "ⓛocalhost",
)  # fmt: skip

# Read in two ways by two programs, malformed, or of a kind that is not fetched.
BAD_ADDRESSES = (
    "http://example.org@127.0.0.1/", "http://user:pass@example.org/a.png", "http://@127.0.0.1/",
    "http://example.org\\@127.0.0.1/", "http:\\\\127.0.0.1\\a.png", "http:/\\127.0.0.1/",
    "http://127.0.0.1\t/", "http://127.0.0.1\n/", "http://127.0.0.1 /", "http://127.0.0.1%00/",
    "http://127.0.0.1%2f@example.org/", "http://exam ple.org/", "http:///a.png", "http://",
    "http:", "https://", "http://:80/", "http://[::1/", "http://[::1%25lo]/", "http://[]/",
    "http://[127.0.0.1]/", "http://a..b/", "http://.a/", "http://-/", "http://%31%32%37.0.0.1/",
    "http://127.0.0.1:99999/", "http://127.0.0.1:-1/", "http://127.0.0.1:a/", "http://a:0/",
    "http://a\r\nHost: b/", "http://a/\r\nX: y", "http://a/\x00", "http://" + "a" * 9000 + "/",
    "//127.0.0.1/a.png", "///etc/passwd", "file:///etc/passwd", "file://localhost/etc/passwd",
    "FILE:///etc/passwd", "ftp://127.0.0.1/a.png", "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/stats", "ldap://127.0.0.1/", "jar:http://127.0.0.1!/a", "tftp://a/b",
    "netdoc:///etc/passwd", "unix:///var/run/docker.sock", "javascript:alert(1)", "blob:http://a/b",
    "view-source:http://127.0.0.1/", "about:blank", "urn:a:b", "c:\\windows\\win.ini",
    "\\\\server\\share\\a.png", "etc/passwd", "../../etc/passwd", "./a.png", "~/.ssh/id_rsa",
    "a.png", " ", "", "\x00", "/\x00", "http://\udcff/", "data", "data:", "data:image/png;base64",
    "data:image/png;base64,%%%", "data:image/png;base64,abc", "data:image/png;base64,=",
    "data:image/png;base64,iVBORw0KGgo\x00=", "data:;base64;base64", "s3:", "s3://bucket/key",
)  # fmt: skip

# Not an address at all.
WRONG_TYPES: tuple[Any, ...] = (
    None, True, 0, 1.5, float("nan"), [], ["http://a/"], {}, {"url": "http://a/"}, b"http://a/",
)  # fmt: skip

# Places in Label Studio where a GET with the token must not lead.
OTHER_PLACES = (
    "/", "/user/logout", "/api/current-user/token", "/api/projects/1/export?exportType=JSON",
    "/data", "/data/", "/data/upload", "/data/upload/", "/data/uploads/1/a.png", "/api/tasks/1/",
    "/api/tasks/1/presign/../../projects", "/tasks/1/presign/x", "/tasks/x/presign/",
    "/data/local-files/../../api/projects", "/data/upload/..%2f..%2fapi/projects",
    "/data/upload/%252e%252e/%252e%252e/api", "/data/upload/./a.png", "/data/upload//a.png",
    "/data//upload/a.png", "/data/upload/%5c..%5capi", "/data/upload/%00a.png", "/static/../api/",
    "/DATA/UPLOAD/1/a.png", "/data/upload/1/../../../user/logout", "/export/", "/admin/",
)  # fmt: skip


def traversals(root: Path) -> Iterator[str]:
    """Paths for ``?d=`` that lead out of the folder of images, in every spelling."""
    for up, slash in itertools.product(_UPS, _SLASHES):
        yield f"{up}{slash}secret.png"
        yield f"a%20folder{slash}{up}{slash}{up}{slash}secret.png"
    outside = root.parent / "secret.png"
    yield from (str(outside), quote(str(outside), safe=""), f"/{outside}", f"file://{outside}")
    yield from ("/etc/hostname", "etc/hostname", "//etc/hostname", "/proc/self/environ")
    yield from ("../images-secret/b.png", "link.png", "linked/secret.png", "loop", "loop/a.png")
    yield from ("linked/images/../secret.png", "a.png/../../secret.png", "a.png%00.jpg", "%00")
    yield from ("", ".", "/", "..", "a folder", "a.png/b", "x" * 5000, "a/" * 3000)
    yield from ("C:%5cwindows%5cwin.ini", "%5c%5cserver%5cshare%5ca.png", "~/a.png", "$HOME/a.png")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and has hardly any pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", pixels)
        + _chunk(b"IEND", b"")
    )


def _claiming(image_format: str, width: int, height: int) -> bytes:
    """A small file of a format whose header claims another size."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, image_format)
    data = bytearray(stream.getvalue())
    if image_format == "BMP":
        data[18:26] = struct.pack("<ii", width, height)
    elif image_format == "GIF":
        data[6:10] = struct.pack("<HH", width, height)
    else:
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _text_bomb() -> bytes:
    """A PNG with a compressed comment of 200 MB."""
    comment = b"Comment\0\0" + zlib.compress(b"\0" * 200_000_000, 1)
    start = png_header(8, 8)
    return start[:33] + _chunk(b"zTXt", comment) + start[33:]


def _profile_bomb() -> bytes:
    """A PNG with a compressed colour profile of 200 MB."""
    profile = b"icc\0\0" + zlib.compress(b"\0" * 200_000_000, 1)
    start = png_header(8, 8)
    return start[:33] + _chunk(b"iCCP", profile) + start[33:]


def _saved(image_format: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, image_format)
    return stream.getvalue()


def bad_files(png: bytes) -> dict[str, bytes]:
    """Files that are no image of a usual format and size, by name."""
    return {
        "empty": b"",
        "text": b"hello",
        "zeros": b"\0" * 1000,
        "html": b"<!doctype html><script>alert(1)</script>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "svg after space": b'\n\n <?xml version="1.0"?><svg/>',
        "xml bomb": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        "pdf": b"%PDF-1.7\n",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n",
        "zip": b"PK\x03\x04" + b"\0" * 100,
        "gzip": zlib.compress(png),
        "elf": b"\x7fELF" + b"\0" * 100,
        "pickle": b"\x80\x04cos\nsystem\n",
        "npy": b"\x93NUMPY\x01\x00v\x00{'descr': '|O'}",
        "tiff": _saved("TIFF"),
        "ico": _saved("ICO"),
        "tga": _saved("TGA"),
        "ppm": _saved("PPM"),
        "pcx": _saved("PCX"),
        "jpeg2000": _saved("JPEG2000"),
        "html before png": b"<script>alert(1)</script>" + png,
        "zip before png": b"PK\x03\x04" + png,
        "space before png": b" " + png,
        "byte order mark before png": b"\xef\xbb\xbf" + png,
        "png begin alone": png[:8],
        "png cut in the header": png[:20],
        "png without header": b"\x89PNG\r\n\x1a\n" + _chunk(b"IDAT", b"") + _chunk(b"IEND", b""),
        "jpeg begin alone": b"\xff\xd8\xff",
        "jpeg begin and text": b"\xff\xd8\xff" + b"<script>" * 20,
        "gif begin alone": b"GIF89a",
        "gif and code": b"GIF89a=0;//<script>"[:9],
        "bmp begin alone": b"BM",
        "bmp and text": b"BM" + b"A" * 200,
        "riff of sound": b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 30,
        "webp cut": b"RIFF\x24\0\0\0WEBPVP8 ",
        "png 50k x 50k": png_header(50_000, 50_000),
        "png 2^31 x 2^31": png_header(2**31 - 1, 2**31 - 1),
        "png 2^32 x 1": png_header(2**32 - 1, 1),
        "png 0 x 0": png_header(0, 0),
        "png one line of 200 million": png_header(200_000_000, 1),
        "png a little too large": png_header(10_001, 10_000),
        "jpeg 50k x 50k": _claiming("JPEG", 50_000, 50_000),
        "gif 50k x 50k": _claiming("GIF", 50_000, 50_000),
        "bmp 50k x 50k": _claiming("BMP", 50_000, 50_000),
        "bmp upside down": _claiming("BMP", 50_000, -50_000),
        "png comment bomb": _text_bomb(),
        "png profile bomb": _profile_bomb(),
    }


def data_uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()
