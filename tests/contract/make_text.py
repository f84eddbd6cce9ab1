"""Writes text.txt, 30,000 characters that can be learned: sentences from few words, one of them not ASCII."""
import pathlib
import random
import sys

rng = random.Random(3)
words = ["the", "a", "lane", "rank", "sum", "of", "folds", "and", "rows", "café", "in", "step"]
text = ""
while len(text) < 30000:
    text += " ".join(rng.choices(words, k=rng.randint(3, 9))).capitalize() + rng.choice([". ", ".\n", "? "])
pathlib.Path(sys.argv[1], "text.txt").write_text(text, encoding="utf-8")
