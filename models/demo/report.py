#!/usr/bin/env python3
"""Writes the tables of EVAL.md and README.md from the rows of evaluate.py: report.py rows.json [prototype-rows.json]

Only the parts between the markers are replaced; the prose around them is written by hand."""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BEGIN, END = '<!-- tables: begin -->', '<!-- tables: end -->'


def table(head, rows):
    line = lambda cells: '| ' + ' | '.join(str(c).replace('\n', ' ').replace('|', '\\|') for c in cells) + ' |'
    return '\n'.join([line(head), '|' + ' --- |' * len(head)] + [line(row) for row in rows])


def share(row):
    return '%.1f %%' % (100 * row['right'] / row['dialogues'])


def count(rows, key='right'):
    return '%d of %d' % (sum(row[key] for row in rows), len(rows))


def short(text, n=110):
    return text if len(text) <= n else text[:n - 3] + '...'


def tables(rows, before):
    """before: the prototype's rows, or None."""
    both = lambda key, show: [show(before[key])] if before else []
    compared = ['prototype'] if before else []
    yield '### Whole answer exactly right'
    yield table(['test', 'dialogues', 'this model', *compared, 'mean prompt tokens', 'longest'],
                [[name, row['dialogues'], share(row), *([share(before['sets'][name])] if before else []), row['promptTokensMean'], row['promptTokensMax']]
                 for name, row in rows['sets'].items()])
    yield '### The prototype\'s own test dialogues'
    yield table(['test', 'dialogues', 'this model', *compared],
                [[name, row['dialogues'], share(row), *([share(before['prototypeSets'][name])] if before else [])] for name, row in rows['prototypeSets'].items()])
    yield '### Hand-written conversations and checks'
    yield table(['set', 'this model', *compared], [
        ['the nine robot turns, closed loop, word for word', count(rows['robotTurns']['rows']), *both('robotTurns', lambda x: count(x['rows']))],
        ['... with a system prompt', '%d of 9' % rows['robotTurns']['rightWithSystemPrompt'], *both('robotTurns', lambda x: '%d of 9' % x['rightWithSystemPrompt'])],
        ['context dropped, corrupted or stale', count(rows['contextChecks']), *both('contextChecks', count)],
        ['known phrasings, asked right away', count(rows['known']), *both('known', count)],
        ['known phrasings, asked after the nine robot turns', count(rows['known'], 'rightLater'), *both('known', lambda x: count(x, 'rightLater'))],
        ["the prototype's hand-written probes", count(rows['earlierProbes']), *both('earlierProbes', count)],
        ['fresh hand-written probes', count(rows['freshProbes']), *both('freshProbes', count)]])
    t = rows['tokenizer']
    yield ('Tokenizer: %d of %d texts give the same ids in llama-server and in tokenizer.py; %d of %d come back unchanged from their ids.\n'
           'A message that spells control tokens as plain characters (ids, special-token parsing off) is answered: `%s`'
           % (t['equal'], t['texts'], t['roundTrip'], t['texts'], t['spelledControl']))
    s = [rows['speed'], *([before['speed']] if before else [])]
    yield '### Speed, milliseconds a token, one thread'
    yield table(['', 'this model', *compared], [
        ['reply, short context', *('%.2f' % x['shortMs'] for x in s)],
        ['reply, after %d tokens' % rows['speed']['promptTokens'], *('%.2f' % x['longMs'] for x in s)],
        ['prompt (of %s tokens)' % ' and '.join(str(x['promptTokens']) for x in s), *('%.3f' % x['promptMs'] for x in s)]])
    yield '### What a dropped, corrupted or stale context does'
    yield table(['check', 'as it should', 'answer'], [[c['name'], 'yes' if c['right'] else '**no**', short(c['answer'])] for c in rows['contextChecks']])
    yield '### Answers that were wrong'
    wrong = [(name, wanted, got) for name, row in rows['sets'].items() for wanted, got in row['wrong'][:3]]
    wrong += [('probe: ' + ' / '.join(p['questions']), p['wanted'], p['answer']) for key in ('earlierProbes', 'freshProbes') for p in rows[key] if not p['right']]
    wrong += [('turn %d' % x['turn'], 'the trained answer', x['answer']) for x in rows['robotTurns']['rows'] if not x['right']]
    wrong += [('known: ' + ' / '.join(k['tells'] + [k['question']]), k['wanted'], ' / then: '.join(k['answers'])) for k in rows['known'] if not (k['right'] and k['rightLater'])]
    yield table(['test (at most three each)', 'wanted', 'answer'], [[short(n, 140), short(w), short(g)] for n, w, g in wrong])


def known_phrasings(rows):
    """Those that were answered word for word both right away and after the nine robot turns."""
    return table(['told', 'asked', 'answer'], [[' · '.join(k['tells']), k['question'], k['wanted']] for k in rows['known'] if k['right'] and k['rightLater']])


def fill(name, text):
    path = os.path.join(HERE, name)
    with open(path) as f: old = f.read()
    with open(path, 'w') as f: f.write(old[:old.index(BEGIN) + len(BEGIN)] + '\n' + text + '\n' + old[old.index(END):])


def main():
    loaded = []
    for path in sys.argv[1:3]:
        with open(path) as f: loaded.append(json.load(f))
    fill('EVAL.md', '\n\n'.join(tables(loaded[0], loaded[1] if len(loaded) > 1 else None)))
    fill('README.md', known_phrasings(loaded[0]))


if __name__ == '__main__': main()
