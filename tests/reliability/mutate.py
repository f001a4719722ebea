"""Damage files: their bytes, and the JSON in a safetensors file."""

import json
import math

# Values in place of valid ones.
NUMBERS = [-1, 0, 1, 2, 3, 0.5, 1e-300, 2**31, 2**31 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64]
NUMBERS += [10**9, 10**12, 10**30, -(2**63), 1e308, -0.0, math.nan, math.inf, -math.inf]
OTHERS = [None, True, False, "", "x", "a\0b", "\ud800", "9" * 5000, "²", "x" * 5000, [], {}, [[]]]
OTHERS += [[0], [1, 2, 3], {"type": "ReLU"}, {"array": "run/x"}, {"dict": []}, {"": None}]
HEADER = 8  # bytes of the length before it


def mutated(content, rng):
    """Return a damaged content, drawn from a `random.Random`."""
    how = rng.choice([flipped, flipped_in_header, truncated, moved, edited, edited, edited, edited])
    return how(content, rng)


def flipped(content, rng):
    """Flip a few bits anywhere."""
    found = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def flipped_in_header(content, rng):
    stop = min(len(content), HEADER + int.from_bytes(content[:HEADER], "little"))
    return flipped(content[:stop], rng) + content[stop:]


def truncated(content, rng):
    return content[: rng.randrange(len(content))]


def moved(content, rng):
    """Double or remove a slice, or swap it with the next one."""
    a, b, c = sorted(rng.randrange(len(content) + 1) for _ in range(3))
    middle = {"doubled": content[a:b] * 2, "removed": b"", "swapped": content[b:c] + content[a:b]}
    how = rng.choice(list(middle))
    found = content[:a] + middle[how] + content[c if how == "swapped" else b :]
    if len(found) > HEADER and rng.random() < 0.5:  # a length that fits gets further
        size = int.from_bytes(content[:HEADER], "little") + len(found) - len(content)
        found = max(size, 0).to_bytes(HEADER, "little") + found[HEADER:]
    return found


def edited(content, rng):
    """Change one to three values of the JSON, in the header or in its metadata."""
    size = int.from_bytes(content[:HEADER], "little")
    header = json.loads(content[HEADER : HEADER + size])
    metadata = header.get("__metadata__", {})
    texts = [key for key in metadata if metadata[key].startswith(("{", "["))]
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        key = rng.choice([None, *texts, *texts])
        if key is None:
            header = changed(header, rng)
            break
        try:
            metadata[key] = rewritten(metadata[key], rng)
        except (ValueError, RecursionError):  # an earlier edit was of the text itself
            continue
    described = json.dumps(header).encode()
    described += b" " * (-len(described) % 8)
    return len(described).to_bytes(HEADER, "little") + described + content[HEADER + size :]


def rewritten(text, rng):
    """Change the text of a JSON value."""
    if rng.random() < 0.02:
        levels = rng.choice([150, 250, 990, 20_000])
        return '{"model":' * levels + "1" + "}" * levels
    return json.dumps(changed(json.loads(text), rng))


def changed(value, rng):
    """Replace, remove, rename or double one node of a JSON value in place."""
    nodes = []
    _collect(value, nodes)
    if not nodes:
        return other(value, rng)
    container, key = rng.choice(nodes)
    how = rng.random()
    if how < 0.65:
        container[key] = other(container[key], rng)
    elif how < 0.75:
        del container[key]
    elif how < 0.9:  # the value of another place
        other_container, other_key = rng.choice(nodes)
        container[key] = json.loads(json.dumps(other_container[other_key]))
    elif isinstance(container, list):
        container.insert(key, json.loads(json.dumps(container[key])))
    else:
        container[rng.choice(["", "x", "type", "array", key + "x"])] = container.pop(key)
    return value


def other(value, rng):
    """Return a substitute for a value, often of the same type."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and rng.random() < 0.7:
        return rng.choice([*NUMBERS, value + 1, value - 1, value * 2, -value])
    return rng.choice(NUMBERS if rng.random() < 0.5 else OTHERS)


def _collect(value, nodes):
    pairs = value.items() if isinstance(value, dict) else ()
    for key, item in enumerate(value) if isinstance(value, list) else pairs:
        nodes.append((value, key))
        _collect(item, nodes)
