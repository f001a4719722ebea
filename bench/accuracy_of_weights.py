"""Compare vectors of a sentence encoder with weights of 16 and 8 bits with those of float32.

python bench/accuracy_of_weights.py FOLDER [--texts FILE]. Prints a table in Markdown: the mean and
the least cosine of a text's vector to its vector in float32, and the largest change of the cosine
of two texts. Without FILE, texts are the first speeches of *Romeo and Juliet*.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import fastnn
from fastnn.models import SentenceEncoder

FORMATS = ("bf16", "int8_g32", "int8")
TEXTS = 64


def accuracy(folder: str, texts: list[str]) -> dict[str, tuple[float, float, float]]:
    """Return format -> (mean cosine, least cosine, largest change of a cosine of two texts)."""
    exact = SentenceEncoder.load(folder).encode(texts, normalize=True).astype(float)
    found = {}
    for form in FORMATS:
        vectors = SentenceEncoder.load(folder, weights=form).encode(texts, normalize=True)
        cosines = (vectors * exact).sum(axis=1)
        change = np.abs(vectors.astype(float) @ vectors.T - exact @ exact.T).max()
        found[form] = float(cosines.mean()), float(cosines.min()), float(change)
    return found


def speeches(n: int) -> list[str]:
    """Return the first n speeches of the play, without names and line breaks."""
    parts = fastnn.data.load_text().split("\n\n")
    found = [" ".join(part.splitlines()[1:]) for part in parts]
    return [text for text in found if len(text) > 20][:n]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--texts", help="UTF-8, one text per line")
    args = parser.parse_args()
    texts = Path(args.texts).read_text("utf-8").splitlines() if args.texts else speeches(TEXTS)
    print(f"{len(texts)} texts, {fastnn.build_info()['isa']}\n")
    print("| weights | mean cosine | least cosine | largest change of a cosine |")
    print("| --- | ---: | ---: | ---: |")
    for form, (mean, least, change) in accuracy(args.folder, texts).items():
        print(f"| {form} | {mean:.6f} | {least:.6f} | {change:.4f} |")


if __name__ == "__main__":
    main()
