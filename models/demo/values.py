"""Values that users tell: names, code words, plates ... Most are made up, so the model has to copy
what it was told instead of guessing it."""
import hashlib


def held_out(value):
    """One value in ten, chosen by hash. Such values never appear as values in training text, only in
    the evaluation."""
    return hashlib.md5(value.lower().encode()).digest()[0] % 10 == 0


NAMES = '''Alice Bob Carol David Emma Frank Grace Henry Irene Jack Karen Liam Maria Noah Olivia Peter Quinn
Rosa Sam Tina Uma Victor Wendy Xavier Yara Zoe Anna Ben Clara Daniel Elena Felix Hanna Ivan Julia Kevin Laura
Marco Nina Oscar Paula Robert Sara Thomas Vera Walter Yusuf Amir Chen Diego Fatima Hiro Ingrid Jonas Kofi Lena
Mehmet Nadia Omar Priya Ravi Sofia Tariq Mia Lucas John Mary James Linda Michael Susan Tom Lisa Paul Eva Max'''.split()
CITIES = '''Berlin Paris London Rome Madrid Vienna Zurich Oslo Lisbon Prague Dublin Athens Warsaw Helsinki Munich
Hamburg Dresden Leipzig Cologne Geneva Milan Turin Naples Porto Seville Lyon Nice Ghent Delft Utrecht Boston Chicago
Denver Seattle Austin Toronto Lima Quito Cairo Tunis Accra Nairobi Delhi Mumbai Tokyo Osaka Kyoto Seoul Hanoi Perth
Sydney Auckland Potsdam Amsterdam Brussels Budapest Istanbul Singapore Stockholm Copenhagen'''.split()
COLOURS = '''red blue green yellow orange purple pink brown black white grey silver gold teal cyan magenta violet
indigo turquoise beige maroon navy olive lime coral crimson amber ivory lavender mint'''.split()
FOODS = '''pizza pasta sushi soup rice curry bread cheese salad tacos ramen noodles pancakes dumplings lasagna stew
chocolate ice_cream apple_pie falafel hummus risotto paella goulash burritos waffles porridge chili kebab tofu
fried_rice potato_soup'''.split()
FOODS = [food.replace('_', ' ') for food in FOODS]
SPORTS = '''football tennis chess swimming cycling running hockey rugby golf boxing judo karate rowing skiing sailing
climbing volleyball basketball baseball cricket badminton handball fencing archery surfing yoga hiking dancing'''.split()
ITEMS = '''milk eggs butter apples bananas coffee tea sugar flour salt tomatoes onions batteries screws paper soap
candles rope tape glue paint a_lamp a_hammer a_chair socks a_map bread rice'''.split()
ITEMS = [item.replace('_', ' ') for item in ITEMS]
JOBS = '''teacher nurse engineer pilot baker farmer lawyer doctor painter driver plumber writer singer carpenter
gardener librarian electrician chemist dentist tailor architect welder cook student scientist technician'''.split()
PETS = 'Rex Luna Bella Milo Coco Rocky Daisy Simba Nala Oreo Felix Kitty Bruno Ziggy Pepper Shadow'.split()
PLACES = 'dock bay gate room hall shelf zone rack station lab aisle pier'.split()
NOUNS = '''moon sun car tree river ocean house bridge engine piano guitar phone computer window garden mountain island
train ship plane bicycle horse elephant lion tiger snake bird fish dragon castle king queen pirate wizard planet star
galaxy atom gene virus volcano desert forest flower rose bread wine beer cake history physics biology music art war
money gold law freedom time space winter summer football world science religion politics economy'''.split()
COMMON = '''pineapple swordfish umbrella sunshine butterfly lighthouse strawberry keyboard notebook thunder monkey
rabbit pepper ginger cactus pumpkin rocket saturn copper granite velvet harbour marble bottle pencil blanket mirror
button ladder basket candle feather blossom sparrow falcon otter badger dolphin penguin turtle lantern meadow anchor
compass sapphire emerald diamond cobalt scarlet ultramarine chocolate vanilla cinnamon toothpaste shampoo bakery
blacksmith fisherman photographer journalist astronaut mechanic ratatouille spaghetti sandwich omelette hamburger
waterfall fireplace airport blueberry hydrogen kangaroo labyrinth magnet nebula orchid quartz raven salmon tulip
unicorn violin walnut xylophone yogurt zebra quick silent hidden broken golden little ancient frozen happy northern'''.split()
WORDS = sorted({w.lower() for w in NAMES + CITIES + COLOURS + SPORTS + JOBS + PETS + NOUNS + COMMON
                + ' '.join(FOODS + ITEMS).split() if len(w) > 2})

ONSETS = ('b c d f g h j k l m n p r s t v w z br ch cl cr dr fl fr gl gr kl kr pl pr qu sh sk sl sm sn sp st str '
          'th tr tw vl zw y x').split() + [''] * 3
VOWELS = 'a e i o u a e i o u a e i o ai au ea ee ei ia ie io oa oo ou y'.split()
CODAS = [''] * 4 + 'n r l s t k m x d p z g b v f nd nt rk rn st lk lm ld ng sk ck ss th sh mp'.split()
FOREIGN = 'äöüßéèêñçøåáíóúłžšğæëîôœąćęńőřűý'
SCRIPTS = ['абвгдежзиклмнопрстухцчшэюя', 'αβγδεζηθικλμνξοπρστυφχψω', '一上中大小山川木水火田日月人心手口林森海空花雪', 'アイウエオカキクケコサシスセソタナニノハマミムラリルロ']
LETTERS = 'abcdefghijklmnopqrstuvwxyz'
CAPITALS = LETTERS.upper()
DIGITS = '0123456789'


def some(r, alphabet, n):
    return ''.join(r.choice(alphabet) for _ in range(n))


def pseudo(r, low=2, high=3):
    """A pronounceable word that most likely never existed."""
    while True:
        w = ''.join(r.choice(ONSETS) + r.choice(VOWELS) + (r.choice(CODAS) if r.random() < .6 else '')
                    for _ in range(r.randint(low, high)))
        if 3 <= len(w) <= 11: return w


def pieced(r):
    """Slices of ordinary words glued together: reaches tokens that no pronounceable word contains."""
    while True:
        w = ''
        for _ in range(r.choice([1, 2, 2, 3])):
            source = r.choice(WORDS)
            i = r.randrange(max(1, len(source) - 3))
            w += source[i:i + r.randint(2, 6)]
        if 3 <= len(w) <= 14 and ' ' not in w: return w


def word(r):
    """One lower-case word of any kind: pronounceable, long, glued, random letters, accented, ordinary."""
    u = r.random()
    if u < .42: return pseudo(r)
    if u < .50: return (pseudo(r) + pseudo(r, 1, 2))[:16]
    if u < .67: return pieced(r)
    if u < .73: return some(r, LETTERS, r.randint(3, 8))
    if u < .79: return accented(r)
    if u < .80: return some(r, r.choice(SCRIPTS), r.randint(2, 5))
    if u < .83: return pseudo(r) + str(r.randint(1, 999))
    if u < .85: return pseudo(r, 1, 2) + '-' + pseudo(r, 1, 2)
    return r.choice(WORDS)


def accented(r):
    w = pseudo(r) if r.random() < .6 else r.choice(WORDS)
    for _ in range(r.choice([1, 1, 2])):
        i = r.randrange(len(w))
        w = w[:i] + r.choice(FOREIGN) + w[i + r.randint(0, 1):]
    return w


def cap(text):
    return text[:1].upper() + text[1:]


def cased(r, w):
    """The word as people write it: mostly as it is, sometimes shouted or in camel case."""
    u = r.random()
    if u < .04: return w.upper()
    if u < .07: return ''.join(c.upper() if r.random() < .4 else c for c in w)
    if u < .09: return cap(w) + cap(pseudo(r, 1, 1))
    return w


def mix(ordinary, share=.3, capital=False):
    """A generator: from the list with probability `share`, else any word."""
    def generate(r):
        v = r.choice(ordinary) if r.random() < share else cased(r, word(r))
        if r.random() < .04: v += ' ' + word(r)
        return cap(v) if capital else v
    return generate


def name(r):
    v = cap(r.choice(NAMES) if r.random() < .2 else cased(r, word(r)))
    if r.random() < .10: v += ' ' + cap(word(r))
    u = r.random()
    return v.lower() if u < .06 else v.upper() if u < .08 else v


def robot(r):
    u = r.random()
    if u < .15: return mark(r)
    v = cap(cased(r, word(r)))
    return v + r.choice('- ') + str(r.randint(1, 99)) if u < .35 else v


def mark(r):
    """Letters, digits and hyphens as on labels: XK-42, R2D2, 7f3a, M-AB 77."""
    A, D = lambda n: some(r, CAPITALS, n), lambda n: some(r, DIGITS, n)
    return r.choice([lambda: A(2) + '-' + D(2), lambda: A(1) + D(1) + A(1) + D(1), lambda: A(3) + D(r.randint(1, 4)),
                     lambda: some(r, LETTERS + DIGITS, r.randint(4, 7)), lambda: D(1) + A(2) + '-' + D(3),
                     lambda: A(r.randint(1, 3)) + '-' + A(r.randint(1, 2)) + ' ' + D(r.randint(1, 4)),
                     lambda: some(r, LETTERS + CAPITALS + DIGITS, r.randint(5, 8)),
                     lambda: pseudo(r, 1, 2) + r.choice('-_.') + D(r.randint(1, 3))])()


def code(r):
    u = r.random()
    if u < .5: return cased(r, word(r))
    if u < .58: return pseudo(r).upper()
    if u < .68: return word(r) + ' ' + word(r)
    if u < .71: return word(r) + ' ' + word(r) + ' ' + word(r)
    if u < .80: return some(r, DIGITS, r.randint(3, 6))
    if u < .82: return '"' + word(r) + '"'
    if u < .84: return pseudo(r, 1, 2) + r.choice('@#&+*=/:') + pseudo(r, 1, 2)
    return mark(r)


def waypoint(r):
    u = r.random()
    place = r.choice(PLACES) if r.random() < .85 else word(r)
    if u < .5: return place + ' ' + str(r.randint(1, 99))
    if u < .75: return place + ' ' + r.choice(CAPITALS) + str(r.randint(1, 19))
    if u < .83: return place + ' ' + mark(r)
    return place + ' ' + word(r)


def clock(r):
    return '%d:%02d' % (r.randint(0, 23), r.choice([0, 15, 30, 45, r.randint(0, 59)]))


def plate(r):
    A, D = lambda n: some(r, CAPITALS, n), lambda n: some(r, DIGITS, n)
    return r.choice([lambda: A(2) + ' ' + D(3), lambda: A(2) + ' ' + D(4), lambda: A(3) + '-' + D(3),
                     lambda: A(r.randint(1, 3)) + '-' + A(r.randint(1, 2)) + ' ' + D(r.randint(1, 4)),
                     lambda: A(r.randint(1, 3)) + ' ' + A(r.randint(1, 2)) + ' ' + D(r.randint(1, 4)),
                     lambda: A(r.randint(2, 3)) + D(r.randint(2, 4))])()


def percent(r):
    return str(r.randint(0, 100))


def age(r):
    return str(r.randint(3, 99))


def anything(r):
    u = r.random()
    if u < .6: return cased(r, word(r))
    if u < .75: return cap(word(r))
    if u < .87: return str(r.randint(1, 9999))
    return mark(r)
