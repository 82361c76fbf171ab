"""The demo model's vocabulary, made from generated dialogues: the same seed gives the same tokens."""
import collections
import random

import tokenizer
from dialogues import dialogue, messages
from talk import ROBOT_TURNS


def make_tokenizer(seed, size=2048):
    r = random.Random(seed * 7919 + 1)
    counts = collections.Counter()
    for _ in range(3000):
        for m in messages(dialogue(r, 500, lambda text: len(text) // 4)):
            counts.update(tokenizer.PRETOKEN.findall(m['role'] + '\n' + m['content']))
    for question, _, answer in ROBOT_TURNS:
        for pretoken in tokenizer.PRETOKEN.findall(question + '\n' + answer): counts[pretoken] += 200
    return tokenizer.train(dict(sorted(counts.items())), size)
