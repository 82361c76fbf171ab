"""Test dialogues with held-out values: one fact, a known distance, one question at the end."""
from dialogues import Dialogue
from facts import KEYS
from talk import ROBOT_TURNS

SPELLED_KEYS = ['name', 'robot', 'code', 'city', 'pet', 'food', 'colour']       # facts whose value may be any word
FILLERS = dict(tell=3, change=1, told=2, talk=3, qa=2, off_topic=1, echo=.3)


def filler(d, spared):
    """A turn that leaves the fact `spared` alone."""
    kind = d.r.choices(list(FILLERS), list(FILLERS.values()))[0]
    if kind == 'tell':
        free = [k for k in KEYS if k not in d.told and k != spared]
        if not free or len(d.told) > 6: return d.talk()
        return d.tell(keys=[d.r.choice(free)])
    if kind in ('change', 'told'):
        others = [k for k in d.told if k != spared]
        if not others: return d.talk()
        return d.change(d.r.choice(others)) if kind == 'change' else d.ask(d.r.choice(others))
    getattr(d, kind)()


class TestDialogue(Dialogue):
    """Uses held-out values only, and for the keys in `spelled` values from a generator, whatever their hash."""

    def __init__(self, r, spelled):
        super().__init__(r, test=True)
        self.system, self.spelled = None, spelled

    def new_value(self, key):
        return self.spelled[key](self.r) if key in self.spelled else super().new_value(key)


def test_dialogue(r, kind, distance, spelling=None):
    """The last turn is the question and the wanted answer. distance: turns between telling and asking,
    1 meaning the very next turn. Kinds: recall, update, retold (same form again), unknown, open (an
    attribute never seen in training), robot (told, then `distance` robot turns in order), summary (of
    `distance` facts, one of them changed), two (two facts asked at once). spelling: a generator to use
    instead of the fact's own."""
    key = r.choice(SPELLED_KEYS if spelling else KEYS)
    d = TestDialogue(r, {key: spelling} if spelling else {})
    if kind == 'open': key = d.new_open_key(unseen=True)
    if kind == 'summary': return summary_dialogue(d, distance)
    if kind == 'robot':
        d.tell(keys=[key])
        for i in range(distance): d.add(ROBOT_TURNS[i % 9][0], ROBOT_TURNS[i % 9][2])
    elif kind == 'unknown':
        for _ in range(distance): filler(d, key)
    else:
        for _ in range(r.randint(0, 2)): filler(d, key)
        if kind == 'retold':
            form = r.choice(d.facts[key].tell)
            d.told[key] = d.new_value(key)
            d.add(form[:1].upper() + form.format(d.told[key])[1:] + '.', 'Got it, ' + d.clause(key) + '.')
            for _ in range(r.randint(1, 2)): d.change(key, again=form)
        else: d.tell(keys=[key])
        if kind == 'update':
            for _ in range(r.randint(0, 4)): filler(d, key)
            d.change(key)
        for _ in range(distance - 1): filler(d, key)
        if kind == 'two':
            other = r.choice([k for k in KEYS if k != key])
            if other not in d.told: d.tell(keys=[other])
            a, b = (r.choice(d.facts[k].ask) for k in (key, other))
            d.add(a.rstrip('?') + ' and ' + b[0].lower() + b[1:], d.answer(key) + ' ' + d.answer(other))
            return d
    d.ask(key)
    return d


def summary_dialogue(d, n):
    for key in d.r.sample(KEYS, n):
        d.tell(keys=[key])
        if d.r.random() < .4: d.talk()
    d.change()
    if d.r.random() < .5: d.qa()
    d.summary()
    return d
