"""Random conversations: what the demo model is trained on, and (with held-out values) tested on."""
import values
from facts import FACTS, KEYS, open_fact
from talk import FALLBACK, MORE_QUESTIONS, NONSENSE, OFF_TOPIC, QA, ROBOT_TURNS, SMALL_TALK, SYSTEMS, TURN_VARIANTS, UNSURE
from values import cap, held_out

split = lambda text: text.replace('\n', '').split('|')
SUMMARY_QUESTIONS = split('''What do you know about me?|What do you remember?|What did I tell you?|Summarise what I told you.|
What do you know so far?|List what you know.|What have I told you so far?|Tell me everything you know about me.|
What do you remember about me?|Summarize what I told you.|What do you know?|What have I told you?|Give me a summary.|
Can you summarise what I told you?|Which facts do you know?|Please list everything I told you.''')
CORRECTIONS = split('Actually, |Correction: |Sorry, |No, |Wait, |Update: |Actually |Change of plan: |One correction: |I was wrong, |Oh no, |I mean, |To be precise, ')
TELL_OPENINGS = split('''Hi, |Hello, |Also, |By the way, |Please remember that |Note that |Remember: |Remember that |For your information, |
Oh, |And |Please note: |Just so you know, |I want to tell you that |FYI |Remember this: |Could you please note that |Let's say |
Please remember: |Hi! |Hello! |Good morning! |Thanks. |OK. |I should mention that |You should know that |In case you need it, |
I forgot to say that |Let me tell you that |Here is a fact: |First of all, |For the record, |Keep in mind that |Well, |Hey, |Listen, |
Can you remember that |Don't forget that |Don't forget: |One more thing: |Another thing: |Please keep in mind that |Next, |Then, |Now, ''')
TELL_ENDINGS = split('.|.|.|.|.|.|.|.|.|.|.|.|.|.|!|!||, please remember that.|, okay?|, by the way.|, just so you know.|, thanks.|. Thanks!|'
                     '. Please remember that.|, in case you wonder.|. Remember that.|. Nice to meet you.|. Can you remember that?|'
                     '. Please keep that in mind.|, please.|. Got it?|, you know.|. Okay?')
ASK_OPENINGS = split('''Please tell me: |Quick question: |Hey, |So, |Now, |OK, |One question: |Robot, |And |Okay, |By the way, |Well, |Again: |
Hmm, |Thanks. |Hello, |Just checking: |Last question: |Back to me: |Tell me, |So |Great. ''')
INDIRECT = split('''Can you tell me {}?|Could you tell me {}?|Do you know {}?|Do you still know {}?|Do you remember {}?|I forgot {}.|
Tell me {}.|Please tell me {}.|I want to know {}.|Can you remind me {}?|Do you still remember {}?|I'd like to know {}.|
Could you please tell me {}?|Can you say {}?|Do you happen to know {}?|I wonder {}.|Can you still tell me {}?''')
BARE_REPLIES = ['Okay.', 'Noted.', 'Thank you.', 'Got it.', 'I will remember that.']


def low(text):
    return text if text.startswith(('I ', "I'", 'FYI', 'SLAM')) else text[:1].lower() + text[1:]


def listed(clauses):
    return clauses[0] if len(clauses) == 1 else ', '.join(clauses[:-1]) + ' and ' + clauses[-1]


class Dialogue:
    """One conversation under construction. turns: (user text, assistant text, loss weight).
    test: use only held-out values (and no others)."""

    def __init__(self, r, test=False):
        self.r, self.test = r, test
        self.turns, self.told, self.topic, self.scenario_done = [], {}, None, set()
        self.facts = dict(FACTS)                      # and the open facts met so far
        self.open_keys = []
        self.system = r.choice(SYSTEMS) if r.random() < .2 else None

    # -- parts ------------------------------------------------------------------------------------
    def new_value(self, key):
        for _ in range(3000):
            v = self.facts[key].value(self.r)
            if held_out(v) == self.test and v != self.told.get(key): return v
        raise RuntimeError('no value for ' + key)

    def new_open_key(self, unseen=False):
        while True:
            key, fact = open_fact(self.r, unseen)
            if key not in self.facts:
                self.facts[key] = fact
                self.open_keys.append(key)
                return key

    def clause(self, key):
        return self.facts[key].clause.format(self.told[key])

    def styled(self, text, openings):
        """The small ways in which people type differently."""
        r = self.r
        if r.random() < .28: text = r.choice(openings) + low(text)
        if r.random() < .14: text = low(text)
        if r.random() < .12 and text[-1] in '.?': text = text[:-1]
        if r.random() < .02: text += ' ' + r.choice(NONSENSE)
        return text

    def add(self, user, assistant, weight=1.0, topic=None):
        self.turns.append((user, assistant, weight))
        self.topic = topic

    def reply(self, text):
        """Recall must not depend on the assistant's echo, so sometimes there is none (and no loss on it)."""
        return (text, 1.0) if self.r.random() > .1 else (self.r.choice(BARE_REPLIES), 0.0)

    # -- kinds of turns ---------------------------------------------------------------------------
    def tell(self, n=1, keys=None):
        r = self.r
        free = [k for k in KEYS if k not in self.told]
        keys = keys or r.sample(free, min(n, len(free)))
        if not keys: return self.change()
        parts = []
        for k in keys:
            self.told[k] = self.new_value(k)
            parts.append(r.choice(self.facts[k].tell).format(self.told[k]))
        glue = r.choice([' and ', ', ', '. ', ' and ', '. ', ', and ', '; '])
        text = glue.join(cap(p) if glue == '. ' else p for p in parts) + r.choice(TELL_ENDINGS)
        self.add(self.styled(cap(text), TELL_OPENINGS), *self.reply('Got it, ' + listed([self.clause(k) for k in keys]) + '.'))

    def tell_open(self):
        self.tell(keys=[self.new_open_key()])

    def change(self, key=None, again=None):
        """A new value for a fact; `again` tells it once more in that form, with no hint that it changed."""
        r = self.r
        if not self.told: return self.tell()
        key = key or r.choice(list(self.told))
        self.told[key] = self.new_value(key)
        fact, kind = self.facts[key], r.random()
        if again: text = cap(again.format(self.told[key])) + '.'
        elif kind < .25: text = r.choice(CORRECTIONS) + r.choice(fact.tell).format(self.told[key]) + r.choice(TELL_ENDINGS)
        elif kind < .5: text = self.styled(cap(r.choice(fact.tell).format(self.told[key]) + r.choice(TELL_ENDINGS)), TELL_OPENINGS)
        else:
            text = r.choice(fact.change).format(self.told[key]) + r.choice(TELL_ENDINGS)
            text = r.choice(CORRECTIONS) + text if r.random() < .5 else self.styled(cap(text), TELL_OPENINGS)
        self.add(text, *self.reply('Updated: ' + self.clause(key) + '.'))

    def series(self):
        """The same fact told over and over in one form, as a sensor would: the latest counts."""
        r = self.r
        key = r.choice(list(self.told)) if self.told and r.random() < .5 else r.choice(['battery', 'way', r.choice(KEYS)])
        form = r.choice(self.facts[key].tell)
        for _ in range(r.randint(2, 4)):
            if key in self.told: self.change(key, again=form)
            else:
                self.told[key] = self.new_value(key)
                self.add(cap(form.format(self.told[key])) + '.', *self.reply('Got it, ' + self.clause(key) + '.'))
            if r.random() < .25: self.talk()
        if r.random() < .7: self.ask(key)

    def question(self, key):
        fact, r = self.facts[key], self.r
        if r.random() < .75: return r.choice(fact.ask)
        return r.choice(INDIRECT).format(r.choice(fact.indirect))

    def answer(self, key):
        if key in self.told: return cap(self.clause(key)) + '.'
        return 'You have not told me ' + self.facts[key].phrase + ' yet.'

    def ask(self, key):
        self.add(self.styled(self.question(key), ASK_OPENINGS), self.answer(key))

    def ask_told(self):
        """A told fact; half of the time one of the oldest."""
        keys = list(self.told)
        if not keys: return self.ask(self.r.choice(KEYS))
        self.ask(keys[self.r.randrange(min(2, len(keys)))] if self.r.random() < .4 else self.r.choice(keys))

    def ask_untold(self):
        free = [k for k in KEYS if k not in self.told]
        if self.r.random() < .2: self.ask(self.new_open_key())
        elif free: self.ask(self.r.choice(free))

    def ask_two(self):
        r = self.r
        a, b = r.sample(KEYS, 2)
        if self.told and r.random() < .8:
            a = r.choice(list(self.told))
            if b == a: return
        if r.random() < .6 and len(self.told) > 1: a, b = r.sample(list(self.told), 2)
        first, second = (r.choice(self.facts[k].ask) for k in (a, b))
        glue = r.choice(['? And ', ' and ', '? ']) if first.endswith('?') else ' '
        self.add(self.styled((first[:-1] if first.endswith('?') else first) + glue + (second if glue in '? ' else low(second)), ASK_OPENINGS),
                 self.answer(a) + ' ' + self.answer(b))

    def summary(self):
        order = [k for k in KEYS + self.open_keys if k in self.told]
        text = 'You told me that ' + listed([self.clause(k) for k in order]) + '.' if order else 'You have not told me anything yet.'
        self.add(self.styled(self.r.choice(SUMMARY_QUESTIONS), ASK_OPENINGS), text)

    def talk(self):
        answer, *questions = self.r.choice(SMALL_TALK)
        text = self.r.choice(questions)
        if text[-1].isalpha() and self.r.random() < .5: text += self.r.choice('.!')
        self.add(self.styled(text, ['']), answer)

    def qa(self):
        topic = self.r.choice(QA)
        self.add(self.styled(self.r.choice(topic[3:]), ASK_OPENINGS), topic[1], topic=topic)

    def more(self):
        self.add(self.styled(self.r.choice(MORE_QUESTIONS), ['And ', 'OK, ']), self.topic[2] if self.topic else UNSURE)

    def off_topic(self):
        r = self.r
        fill = {'{n}': lambda: r.choice(values.NOUNS) if r.random() < .6 else values.word(r), '{c}': lambda: values.mix(values.CITIES, .5, True)(r),
                '{f}': lambda: values.mix(values.FOODS, .6)(r), '{k}': lambda: r.choice(values.COLOURS), '{d}': lambda: str(r.randint(2, 99)), '{m}': lambda: values.name(r)}
        text = r.choice(OFF_TOPIC) if r.random() < .9 else ' '.join(values.word(r) for _ in range(r.randint(1, 4)))
        for slot, value in fill.items():
            while slot in text:
                v = value()
                if slot not in v and (self.test or not held_out(v)): text = text.replace(slot, v, 1)
        self.add(self.styled(text, ASK_OPENINGS), FALLBACK)

    def echo(self):
        """Plain copying of rare words: the skill that recall rests on."""
        r = self.r
        words = [w for w in (values.word(r) if r.random() < .8 else values.anything(r) for _ in range(r.randint(1, 6))) if held_out(w) == self.test]
        text = ' '.join(words or ['okay'])
        self.add(r.choice(['Repeat after me: ', 'Please say: ', 'Say: ', 'Repeat: ']) + text, 'You said: ' + text + '.')

    def robot_turn(self, i=None):
        i = self.r.randrange(9) if i is None else i
        question, needs, answer = ROBOT_TURNS[i]
        if self.r.random() < .15: question = self.r.choice(TURN_VARIANTS[i])
        if needs is not None and needs not in self.scenario_done: return self.add(question, UNSURE)
        self.add(question, answer)
        self.scenario_done.add(i)


# Weights of the kinds of turns; every dialogue draws one mix.
KINDS = ['tell', 'tell_two', 'tell_open', 'change', 'series', 'told', 'untold', 'two', 'summary', 'talk', 'qa', 'more', 'off', 'echo', 'robot']
MIXES = [
    (4.0, [5, 1.3, 1.0, 1.6, .35, 7, 1.6, .35, 1.3, 1, .7, .4, .5, .9, 0]),      # facts, dense
    (2.6, [1.3, .6, .3, .6, .12, 4, 1.1, .15, .5, 4, 4, 1.5, 2, .3, .3]),       # facts with much talk between
    (1.2, [.7, .3, .1, .3, .05, 1, .3, .05, .15, .6, .6, .3, .4, .1, 5]),       # the robot turns with talk between
    (1.0, [2, .6, .2, .8, .2, 1.5, .5, .2, 2.5, .7, .5, .1, .2, .1, 0]),        # many summaries
]


def dialogue(r, budget, count, test=False):
    """A random dialogue of at most `budget` tokens; `count(text)` gives the tokens of a text."""
    d = Dialogue(r, test)
    if budget > 400 and r.random() < .22: return journey(d, budget, count)
    weights = r.choices([m[1] for m in MIXES], [m[0] for m in MIXES])[0]
    in_order, following = weights[-1] > 3 and r.random() < .5, (r.randrange(9) if r.random() < .5 else 0)
    used = Meter(d, count)
    while used.tokens() <= budget:
        kind = r.choices(KINDS, weights)[0]
        if kind == 'robot' and in_order and following < 9:
            d.robot_turn(following)
            following += 1
        else: take_turn(d, kind)
    return used.cut(budget)


def take_turn(d, kind):
    r = d.r
    if kind == 'tell': d.tell()
    elif kind == 'tell_two': d.tell(r.choice([2, 2, 3]))
    elif kind == 'tell_open': d.tell_open() if len(d.told) < 10 else d.talk()
    elif kind == 'change': d.change()
    elif kind == 'series': d.series()
    elif kind == 'told': d.ask_told()
    elif kind == 'untold': d.ask_untold()
    elif kind == 'two': d.ask_two()
    elif kind == 'summary': d.summary() if len(d.told) <= 5 else d.ask_told()
    elif kind == 'talk': d.talk()
    elif kind == 'qa': d.qa()
    elif kind == 'more':
        if d.topic is None and r.random() < .6: d.qa()
        d.more()
    elif kind == 'off': d.off_topic()
    elif kind == 'echo': d.echo()
    elif kind == 'robot': d.robot_turn()


def journey(d, budget, count):
    """Facts first, then robot turns in order or other talk, then questions: recall over a long distance."""
    r, used = d.r, Meter(d, count)
    for _ in range(r.choice([1, 1, 2, 3, 4])): take_turn(d, r.choices(['tell', 'tell_two', 'tell_open', 'series'], [6, 2, 1, .5])[0])
    i, robot = 0, r.random() < .7
    reach = budget * r.uniform(.5, .85)
    while used.tokens() < reach:
        if robot and i < 9:
            d.robot_turn(i)
            i += 1
        elif not robot: take_turn(d, r.choices(['talk', 'qa', 'more', 'off', 'echo'], [3, 3, 1, 1.5, .5])[0])
        elif r.random() < .2: break
        if r.random() < .15: take_turn(d, r.choice(['told', 'told', 'untold', 'change', 'talk']))
    while used.tokens() <= budget:
        take_turn(d, r.choices(['told', 'untold', 'change', 'summary', 'two', 'tell', 'talk', 'robot'], [6, 1, 1, .6, .3, .5, .7, .3])[0])
    return used.cut(budget)


class Meter:
    """Counts the tokens of a dialogue as it grows."""

    def __init__(self, dialogue, count):
        self.dialogue, self.count, self.sizes = dialogue, count, []

    def tokens(self):
        for user, assistant, _ in self.dialogue.turns[len(self.sizes):]:
            self.sizes.append(self.count(user) + self.count(assistant) + 10)
        return 40 + sum(self.sizes)

    def cut(self, budget):
        while self.tokens() > budget and len(self.sizes) > 1:
            self.dialogue.turns.pop()
            self.sizes.pop()
        return self.dialogue


def messages(d):
    system = [dict(role='system', content=d.system)] if d.system else []
    return system + [dict(role=role, content=text) for user, assistant, _ in d.turns for role, text in (('user', user), ('assistant', assistant))]
