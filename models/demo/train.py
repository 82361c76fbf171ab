#!/usr/bin/env python3
"""Trains the DisCEdge demo model from nothing and writes it as one GGUF file.

    nice python3 train.py --out demo.gguf --minutes 70

Everything is made here: the training text, the vocabulary, the weights and the file. The schedule
follows the clock, so a busy machine makes fewer steps. Needs PyTorch 2, NumPy and regex.
"""
import argparse
import math
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch.nn import functional as F

import gguf_export
from dialogues import dialogue
from network import Network, Shape
from scenarios import test_dialogue
from vocabulary import make_tokenizer

# (tokens per dialogue, dialogues per step, share of the time, share of rows with position gaps).
# Short ones first: steps are cheap and copying emerges early. Position gaps at turn starts stretch
# distances meanwhile; the later stages train on really long dialogues.
STAGES = [(256, 16, .30, .3), (512, 8, .34, .4), (1024, 4, .26, .3), (2048, 2, .10, .1)]
WARMUP_STEPS = 100
LAST_POSITION = 4000
CHECK_EVERY_STEPS = 250
SAVE_EVERY_STEPS = 50
PIECES = 4                                       # of a batch; see gradients_of


def batch(r, tokenizer, length, rows, gaps):
    """ids, loss weights and positions, each rows x (length + 1)."""
    ids = np.full((rows, length + 1), tokenizer.end_of_text, np.int64)
    weights = np.zeros((rows, length + 1), np.float32)
    positions = np.zeros((rows, length + 1), np.int64)
    for i in range(rows):
        d = dialogue(r, length + 1, lambda text: len(tokenizer.encode(text)))
        x, w, starts = tokenizer.encode_dialogue(d)
        n = min(len(x), length + 1)
        ids[i, :n], weights[i, :n] = x[:n], w[:n]
        step = np.ones(length + 1, np.int64)
        step[0] = 0
        if r.random() < gaps:
            share, largest = r.choice([.1, .3, 1.0]), r.choice([20, 80, 200])
            for j in range(1, n):
                if starts[j] and r.random() < share: step[j] += r.randint(0, largest)
        positions[i] = np.minimum(np.cumsum(step), LAST_POSITION)
    return torch.from_numpy(ids), torch.from_numpy(weights), torch.from_numpy(positions)


def loss_weights(weights, early):
    """The weight of predicting each token. User and role tokens (-1) count a little while the model learns
    to read; later only a quarter of them, for speed."""
    w = torch.where(weights < 0, torch.tensor(.3 if early else .2), weights)
    return w if early else w * ((w == 1) | (torch.rand(w.shape) < .25))


def piece_gradients(network, ids, weights, positions, total):
    """Gradients of one piece of a batch, and the summed loss and number of its answer tokens."""
    w = weights[:, 1:].reshape(-1)
    pick = (w > 0).nonzero()[:, 0]
    w = w[pick]
    with torch.autocast('cpu', torch.bfloat16):
        logits = network(ids[:, :-1], positions[:, :-1], pick)
    each = F.cross_entropy(logits.float(), ids[:, 1:].reshape(-1)[pick], reduction='none')
    gradients = torch.autograd.grad((each * w).sum() / total, list(network.parameters()))
    return gradients, float(each.detach()[w == 1].sum()), int((w == 1).sum())


def gradients_of(pool, network, ids, weights, positions):
    """Sets the gradients of a whole batch and returns its mean answer loss. Each worker takes pieces of
    the batch with one thread of its own and they meet once a step: on a busy machine that is several
    times faster than threads that meet in every operation."""
    total, rows = weights[:, 1:].sum(), max(1, len(ids) // PIECES)
    pieces = zip(*(t.split(rows) for t in (ids, weights, positions)))
    done = list(pool.map(lambda piece: piece_gradients(network, *piece, total), pieces))
    for p, *gs in zip(network.parameters(), *(gradients for gradients, _, _ in done)): p.grad = sum(gs)
    return sum(loss for _, loss, _ in done) / max(1, sum(n for _, _, n in done))


def right_answers(network, tokenizer, dialogues):
    """How many last answers are exactly right, if each token is the likeliest one."""
    right = 0
    with torch.no_grad():
        for d in dialogues:
            ids = tokenizer.encode_dialogue(d)[0][:-1]
            n = len(tokenizer.encode(d.turns[-1][1])) + 1
            t, pick = torch.tensor([ids]), torch.arange(len(ids) - n - 1, len(ids) - 1)
            best = network(t, torch.arange(len(ids))[None], pick).argmax(-1)
            right += bool((best == t[0, pick + 1]).all())
    return right / len(dialogues)


def average(mean, network, step):
    """Keeps `mean` a running average of the weights over about the last 300 steps; it is what is exported."""
    decay = min(.997, (1 + step) / (10 + step))
    with torch.no_grad():
        for a, b in zip(mean.parameters(), network.parameters()): a.lerp_(b, 1 - decay)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--out', default='demo.gguf')
    parser.add_argument('--minutes', type=float, default=70, help='the whole schedule is fitted into this time')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--rate', type=float, default=3e-3, help='highest learning rate')
    parser.add_argument('--resume', action='store_true', help='go on from the state saved beside --out; --minutes is then the time left')
    o = parser.parse_args()
    began = time.time()
    torch.manual_seed(o.seed)
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(o.threads)
    tokenizer = make_tokenizer(o.seed)
    print('vocabulary: %d tokens, %.0f s' % (len(tokenizer.tokens), time.time() - began), flush=True)
    network, mean = (Network(Shape(len(tokenizer.tokens))) for _ in range(2))
    mean.load_state_dict(network.state_dict())
    print('parameters: %.2f M' % (sum(p.numel() for p in network.parameters()) / 1e6), flush=True)
    matrices, vectors = ([p for p in network.parameters() if (p.ndim > 1) == flag] for flag in (True, False))
    optimizer = torch.optim.AdamW([dict(params=matrices, weight_decay=.05), dict(params=vectors, weight_decay=0.)],
                                  lr=o.rate, betas=(.9, .98), eps=1e-9)
    test_r = random.Random(o.seed + 999)
    tests = {kind: [test_dialogue(test_r, *kind) for _ in range(24)]
             for kind in [('recall', 1), ('recall', 5), ('recall', 20), ('update', 4), ('unknown', 5), ('summary', 2), ('robot', 9)]}
    ends = np.cumsum([share for _, _, share, _ in STAGES])
    step = seen = 0
    first = done = 0.                                # shares of the schedule
    smooth, state_path = None, o.out + '.state'
    if o.resume:
        state = torch.load(state_path, weights_only=False)
        network.load_state_dict(state['network'])
        mean.load_state_dict(state['mean'])
        optimizer.load_state_dict(state['optimizer'])
        step, seen, smooth, first = state['step'], state['seen'], state['smooth'], state['done']
        done = first
        print('resumed at step %d, %.0f %% of the schedule' % (step, 100 * done), flush=True)
    r = random.Random(o.seed + step)
    while done < 1:
        length, rows, _, gaps = STAGES[min(int(np.searchsorted(ends, done, side='right')), len(STAGES) - 1)]
        rate = o.rate * min(1, (step + 1) / WARMUP_STEPS) * (.02 + .98 * .5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups: group['lr'] = rate
        ids, weights, positions = batch(r, tokenizer, length, rows, gaps)
        answer_loss = gradients_of(pool, network, ids, loss_weights(weights, early=done < .3), positions)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        average(mean, network, step)
        smooth = answer_loss if smooth is None else .97 * smooth + .03 * answer_loss
        step += 1
        seen += length * rows
        done = first + (1 - first) * (time.time() - began) / 60 / o.minutes
        if step % 50 == 0:
            print('step %5d  %3.0f %%  length %4d  %5.0f s  %5.2f M tokens  rate %.1e  answer loss %.4f'
                  % (step, 100 * done, length, time.time() - began, seen / 1e6, rate, smooth), flush=True)
        if step % SAVE_EVERY_STEPS == 0:
            torch.save(dict(network=network.state_dict(), mean=mean.state_dict(), optimizer=optimizer.state_dict(),
                            step=step, seen=seen, smooth=smooth, done=done), state_path + '.tmp')
            os.replace(state_path + '.tmp', state_path)
        if step % CHECK_EVERY_STEPS == 0 or done >= 1:
            print('      held-out: ' + '  '.join('%s@%d %.2f' % (*kind, right_answers(mean, tokenizer, ds)) for kind, ds in tests.items()), flush=True)
            gguf_export.write(o.out, mean, tokenizer)
    print('done: %.2f MB, %d steps, %.0f s' % (os.path.getsize(o.out) / 1e6, step, time.time() - began))


if __name__ == '__main__': main()
