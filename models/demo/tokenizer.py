"""Byte-level BPE: GPT-2's byte alphabet and Qwen2's pre-tokenizer, which splits numbers into digits
(easier to copy). All 256 bytes are tokens, so any text can be expressed."""
import collections

import regex

PRETOKEN = regex.compile(r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CONTROL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']
CHAT_TEMPLATE = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
                 "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def byte_alphabet():
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in kept]
    return {**{b: chr(b) for b in kept}, **{b: chr(256 + i) for i, b in enumerate(others)}}


BYTES = byte_alphabet()


class Tokenizer:
    def __init__(self, merges):
        self.merges = merges
        self.rank = {m: i for i, m in enumerate(merges)}
        self.tokens = list(map(BYTES.get, range(256))) + [a + b for a, b in merges] + CONTROL
        self.id = {t: i for i, t in enumerate(self.tokens)}
        assert len(self.id) == len(self.tokens), 'two merges made the same token'
        self.end_of_text, self.start, self.end = (self.id[t] for t in CONTROL)
        self.cache = {}

    def encode_pretoken(self, text):
        ids = self.cache.get(text)
        if ids is None:
            parts = [BYTES[b] for b in text.encode()]
            while len(parts) > 1:
                i = min(range(len(parts) - 1), key=lambda i: self.rank.get((parts[i], parts[i + 1]), 1 << 30))
                if (parts[i], parts[i + 1]) not in self.rank: break
                parts[i:i + 2] = [parts[i] + parts[i + 1]]
            ids = [self.id[p] for p in parts]
            if len(self.cache) < 300_000: self.cache[text] = ids
        return ids

    def encode(self, text):
        """Ids of plain text; a control token's spelling is ordinary characters here."""
        return [i for m in PRETOKEN.finditer(text) for i in self.encode_pretoken(m.group())]

    def encode_dialogue(self, dialogue):
        """ids; the loss weight of predicting each (-1 marks the user's and the roles' tokens); and
        whether it starts a turn."""
        ids, weights, starts = [], [], []

        def put(tokens, weight, turn_start=False):
            ids.extend(tokens)
            weights.extend([weight] * len(tokens))
            starts.extend([turn_start] + [False] * (len(tokens) - 1))

        newline = self.encode('\n')
        if dialogue.system: put([self.start] + self.encode('system\n' + dialogue.system) + [self.end] + newline, -1, True)
        for user, assistant, weight in dialogue.turns:
            put([self.start] + self.encode('user\n' + user) + [self.end] + newline, -1, True)
            put([self.start] + self.encode('assistant\n'), -1)
            put(self.encode(assistant) + [self.end], weight)
            put(newline, -1)
        return ids, weights, starts


def train(counts, size):
    """counts: pre-token -> frequency. Merges the most frequent pair until the vocabulary has `size`
    tokens; ties go by text, so the same counts give the same vocabulary."""
    words = [[BYTES[b] for b in w.encode()] for w in counts]
    frequency = list(counts.values())
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for i, w in enumerate(words):
        for p in zip(w, w[1:]):
            pairs[p] += frequency[i]
            where[p].add(i)
    merges, tokens = [], set(BYTES.values())
    while len(merges) < size - 256 - len(CONTROL):
        best = max(pairs, key=lambda p: (pairs[p], p))
        token = best[0] + best[1]
        if token in tokens:                     # the same text by another split would be a second id for it
            pairs[best] = -1
            continue
        tokens.add(token)
        merges.append(best)
        for i in list(where[best]):
            w = words[i]
            for p in zip(w, w[1:]):
                pairs[p] -= frequency[i]
                where[p].discard(i)
            merged, j = [], 0
            while j < len(w):
                if j + 1 < len(w) and (w[j], w[j + 1]) == best:
                    merged.append(token)
                    j += 2
                else:
                    merged.append(w[j])
                    j += 1
            words[i] = merged
            for p in zip(merged, merged[1:]):
                pairs[p] += frequency[i]
                where[p].add(i)
        del pairs[best]
    return Tokenizer(merges)
