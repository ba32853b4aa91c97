"""Request targets: spellings of paths that some server may take for them. Everything random follows from a seed."""

import random
from collections.abc import Iterator

from tests.paths.routes import FILES, OPEN, PROTECTED, ROUTES, example

# Bytes with a meaning in paths, and the encoded forms in which they are inserted.
MARKS = [bytes([byte]) for byte in b"/\\;?#%.:,|~*+'\"<>^`{}[]@!$&=() \t\r\n\0\x7f_-"]
# Bytes that are no UTF-8: a byte that is never part of it, a continuation alone, a start alone, a surrogate, a code
# point beyond the last, and overlong forms of `/`, `.` and `a`.
NOT_UTF8 = [b"\xff", b"\xfe", b"\x80", b"\xbf", b"\xe9", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"]
OVERLONG = [b"\xc0\xaf", b"\xe0\x80\xaf", b"\xc0\xae", b"\xc1\xa1", b"\xf0\x80\x80\xaf"]
# Characters that a server may drop, trim, or fold to ASCII: spaces, soft hyphen, joiners, BOM, replacement character,
# combining accent, controls of C1, slashes, dots and semicolons of other blocks.
CHARACTERS = [
    *(
        "\u00a0",
        "\u00ad",
        "\u0085",
        "\u200b",
        "\u200c",
        "\u200d",
        "\u2028",
        "\u2060",
        "\ufeff",
        "\ufffd",
        "\u0301",
        "\u0307",
    ),
    *(
        "\u2044",
        "\u2215",
        "\u29f8",
        "\uff0f",
        "\uff3c",
        "\u2024",
        "\uff0e",
        "\u037e",
        "\uff1b",
        "\uff1f",
        "\uff05",
        "\u00fc",
    ),
]
# What some fold of Unicode takes for a letter: simple and full case folding, compatibility forms, accents.
FOLDS = {
    "k": ["\u212a", "\uff4b", "\u24da", "\u1d4f", "\u0138"],
    "s": ["\u017f", "\uff53", "\u24e2", "\u02e2"],
    "i": ["\u0130", "\u0131", "\uff49", "\u2170", "\u00ed", "\u2071"],
    "a": ["\u00aa", "\uff41", "\u00e1", "\u0251", "\u212b"],
    "c": ["\u217d", "\u00e7", "\u2105"],
    "m": ["\u217f", "\uff4d"],
    "n": ["\u207f", "\u00f1"],
    "o": ["\u00ba", "\u00f6", "\u2134"],
    "e": ["\u212f", "\u00e9"],
    "u": ["\u00fc"],
    "t": ["\uff54"],
    "1": ["\u00b9", "\u2460", "\uff11", "\u0661"],
}
SEGMENTS = [
    b".",
    b"..",
    b"...",
    b";",
    b";x",
    b";x=1",
    b".;",
    b"..;",
    b"..;x=1",
    b"x/..",
    b"%",
    b"%2",
    b"%zz",
    b"%u002e",
    b"%u002f",
]
JOINTS = [
    *(
        b"/../",
        b"/..;/",
        b"/%2e%2e/",
        b"\\..\\",
        b"?",
        b"?/../",
        b"%3f",
        b"%23",
        b";",
        b";/../",
        b"//",
        b"/;/../",
        b"/x/../../",
    ),
    *(b"/..%2f", b"/.%2e/", b"%2f..%2f", b"%5c..%5c", b"%00", b"%3b/", b",", b"/./"),
]
PREFIXES = [
    *(
        b"/",
        b"//x",
        b"/.",
        b"/./",
        b"/x/..",
        b"/%2e",
        b"/;x",
        b"/;",
        b"\\",
        b"/\\",
        b"/%2f",
        b"/%5c",
        b"/public/..",
        b"/static/..",
    ),
    *(
        b"http://test.example",
        b"http://x",
        b"//test.example",
        b"/http://x",
        b"/index.html/..",
        b"/static/..;",
        b"/%20",
        b"/?",
        b"?",
    ),
    *(b"/static/..%2f", b"/public/%2e%2e", b"/static/../private/..", b"/:", b"/*", b"/~", b"/%ff", b"/%00"),
]
MAX_DEPTH = 4


def encoded(data: bytes, depth: int, upper: bool = False) -> bytes:
    """Percent-encoded `depth` times: `/` is `%2f`, then `%252f`."""
    for level in range(depth):
        digits = "%%%02X" if upper else "%%%02x"
        data = b"".join((digits % byte).encode() for byte in data) if level == 0 else data.replace(b"%", b"%25")
    return data


def inserted() -> list[bytes]:
    """All that is inserted into a path: marks, bytes and characters at each depth of encoding, and segments."""
    pieces = [*MARKS, *NOT_UTF8, *OVERLONG, *(character.encode() for character in CHARACTERS)]
    found = [encoded(piece, depth) for piece in pieces for depth in range(MAX_DEPTH + 1)]
    return [*found, *SEGMENTS, *(b"/" + segment for segment in SEGMENTS), *(segment + b"/" for segment in SEGMENTS)]


INSERTED = inserted()
PROTECTED_PATHS = [example(name).encode() for name in PROTECTED]
PATHS = [example(name).encode() for name in ROUTES | FILES]
OPEN_PATHS = [example(name).encode() for name in OPEN]


def places(path: bytes) -> list[int]:
    """Where something is inserted: before and after each slash, within a segment, and at the end."""
    slashes = [index for index, byte in enumerate(path) if byte == ord("/")]
    return sorted({0, len(path), len(path) - 1, 3, *slashes, *(index + 1 for index in slashes)})


def single_changes() -> Iterator[bytes]:
    """Each protected path with each single change at each place."""
    for path in PROTECTED_PATHS:
        yield path
        yield path.upper()
        yield path.title()
        for prefix in PREFIXES:
            yield prefix + path
            yield prefix + path[1:]
        for place in places(path):
            for piece in INSERTED:
                yield path[:place] + piece + path[place:]
        for index, byte in enumerate(path):
            before, letter, after = path[:index], bytes([byte]), path[index + 1 :]
            yield before + letter.swapcase() + after
            for depth in range(1, MAX_DEPTH + 1):
                yield before + encoded(letter, depth) + after
            yield before + b"%%u00%02x" % byte + after
            for fold in FOLDS.get(letter.decode(), []):
                for depth in range(3):
                    yield before + encoded(fold.encode(), depth) + after
        for joint in JOINTS:
            for other in OPEN_PATHS:
                yield other + joint + path[1:]
                yield path + joint + other[1:]


def changed(chance: random.Random, path: bytes) -> bytes:
    """The path with one random change."""
    index = chance.randrange(len(path)) if path else 0
    before, letter, after = path[:index], path[index : index + 1], path[index + 1 :]
    match chance.randrange(9):
        case 0 | 1:
            return path[:index] + chance.choice(INSERTED) + path[index:]
        case 2:
            return before + encoded(letter, chance.randint(1, MAX_DEPTH), chance.random() < 0.5) + after
        case 3:
            folds = FOLDS.get(letter.decode("latin-1").lower(), CHARACTERS)
            return before + encoded(chance.choice(folds).encode(), chance.randint(0, 2)) + after
        case 4:
            return before + letter.swapcase() + after
        case 5:
            return path + chance.choice(INSERTED)
        case 6:
            return path.replace(
                b"/",
                chance.choice([b"//", b"\\", b"%2f", b"%5c", b"/;/", b"/./", b"%252f", b"/"]),
                chance.randint(1, 3),
            )
        case 7:
            return chance.choice(PREFIXES) + path
        case _:
            return chance.choice(PATHS) + chance.choice(JOINTS) + path.removeprefix(b"/")


def random_target(chance: random.Random) -> bytes:
    target = chance.choice(PROTECTED_PATHS)
    for _ in range(chance.choice((1, 2, 2, 3, 3, 4, 5))):
        target = changed(chance, target)
    return target


def random_targets(seed: int, count: int) -> list[bytes]:
    chance = random.Random(seed)
    return [random_target(chance) for _ in range(count)]


# What honest clients send: text of many scripts, and names with the characters that encodeURIComponent encodes.
ALPHABETS = [
    *(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~",
        "äöüßéèñçøåıİſK",
        "日本語テスト",
        "привет",
        "שלום",
        "😀🎉",
    ),
    *(" ", "!$&'()*+,=:@", '%"<>|^`{}[]', "/"),
]


def honest_targets(seed: int, count: int) -> list[bytes]:
    """Targets below open and protected prefixes, encoded once, as browsers do it."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        text = (
            "".join(
                chance.choice(chance.choice(ALPHABETS[: chance.randint(1, len(ALPHABETS))]))
                for _ in range(chance.randint(1, 12))
            ).strip("/")
            or "x"
        )
        unreserved = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~!$&'()*+,=:@"
        segment = b"".join(
            bytes([byte]) if byte in unreserved else encoded(bytes([byte]), 1, True) for byte in text.encode()
        )
        query = chance.choice([b"", b"", b"?", b"?q=a/../b;c%00", b"?next=%2Fadmin"])
        found.append(chance.choice([b"/public/", b"/users/", b"/static/", b"/admin/"]) + segment + query)
    return found
