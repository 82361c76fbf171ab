"""Facts: how users tell, change and ask for them, and the one clause with which the assistant answers."""
import collections

import values
from values import mix

Fact = collections.namedtuple('Fact', 'value clause phrase tell change ask indirect')
FACTS = collections.OrderedDict()


def fact(key, value, clause, phrase, *, tell, change, ask, indirect):
    """clause and phrase are the assistant's ("your name is {}", "your name"); tell, change, ask and
    indirect ("what my name is") are the user's, alternatives separated by |."""
    split = lambda text: text.replace('\n', '').split('|')
    FACTS[key] = Fact(value, clause, phrase, split(tell), split(change), split(ask), split(indirect))


fact('name', values.name, 'your name is {}', 'your name',
     tell="my name is {}|I am called {}|call me {}|I'm {}|people call me {}|you can call me {}|the name is {}|my friends call me {}|"
          "this is {} speaking|I am {}|everybody calls me {}|my full name is {}|you are talking to {}|my parents named me {}|"
          "I was born as {}, so that is my name|I go by the name {}|they say {} is my name|I go by {}|you may call me {}|"
          "I introduce myself as {}|users know me as {}|it's {} here",
     change="call me {} now|my name is {} now|my name is actually {}|I changed my name to {}|call me {} from now on|my new name is {}|"
            "my name is {}, not the one before|call me {} instead",
     ask="What is my name?|Who am I?|Do you remember my name?|What am I called?|Can you tell me my name?|What's my name?|"
         "How should you call me?|Say my name.|Do you know my name?|Do you still know my name?|What was my name again?|"
         "And my name?|Which name did I give you?|My name, please.|Who is talking to you?|What name did I tell you?|Repeat my name.",
     indirect="what my name is|who I am|what I am called|my name")
fact('city', mix(values.CITIES, .3, True), 'you live in {}', 'where you live',
     tell="I live in {}|I am from {}|my home city is {}|my home is in {}|I come from {}|I'm from {}|my city is {}|I am living in {}|"
          "my house is in {}|my apartment is in {}|I reside in {}|my family and I live in {}|I am based in {}|my hometown is {}|the city I live in is {}",
     change="I moved to {}|I live in {} now|my new home is {}|I now live in {}|we moved to {}|my home city is now {}|I have moved to {}|I relocated to {}",
     ask="Where do I live?|Which city do I live in?|What is my home city?|Where am I from?|Do you remember where I live?|What city am I from?|"
         "Where is my home?|Which city am I from?|What city do I live in?|What is my hometown?|Where did I say I live?|In which city do I live?|Which city is my home?",
     indirect="where I live|which city I live in|where I am from|my home city")
fact('colour', mix(values.COLOURS), 'your favourite colour is {}', 'your favourite colour',
     tell="my favourite colour is {}|I like the colour {} best|the colour I love most is {}|my favorite color is {}|my preferred colour is {}|"
          "the colour I like best is {}|of all colours I prefer {}|I love the colour {}|the color I like most is {}",
     change="my favourite colour is now {}|my favorite color is {} now|I now prefer the colour {}|my favourite colour changed to {}|now I like the colour {} best",
     ask="What is my favourite colour?|Which colour do I like?|What is my favorite color?|Do you remember my favourite colour?|Which colour do I like best?|"
         "What colour do I like most?|What's my favourite colour?|Which color do I like best?|What's my favorite color?|What was my favourite colour?|And my favourite colour?",
     indirect="what my favourite colour is|which colour I like|my favourite colour|my favorite color")
fact('food', mix(values.FOODS), 'your favourite food is {}', 'your favourite food',
     tell="my favourite food is {}|I love to eat {}|the food I like best is {}|my favorite food is {}|my favourite dish is {}|I like eating {} most|"
          "I love eating {}|my favourite meal is {}|what I like to eat is {}|I could eat {} every day",
     change="my favourite food is now {}|my favorite food is {} now|I now prefer to eat {}|my favourite food changed to {}|now I like to eat {} most",
     ask="What is my favourite food?|What do I like to eat?|What is my favorite food?|Which food do I like best?|Do you remember my favourite food?|"
         "What is my favourite dish?|What's my favourite food?|What's my favorite food?|What food do I like?|What was my favourite food?|What is my favourite meal?",
     indirect="what my favourite food is|what I like to eat|my favourite food|which food I like best")
fact('sport', mix(values.SPORTS), 'your favourite sport is {}', 'your favourite sport',
     tell="my favourite sport is {}|the sport I like best is {}|my favorite sport is {}|the sport I play is {}|I do {} as my sport|my sport is {}|"
          "the sport I love is {}|the sport that I do is {}",
     change="my favourite sport is now {}|my favorite sport is {} now|I changed my sport to {}|my new sport is {}|my sport is now {}",
     ask="What is my favourite sport?|Which sport do I like?|What is my favorite sport?|Which sport do I play?|Do you remember my favourite sport?|"
         "What's my favourite sport?|Which sport do I like best?|What sport do I do?|What was my favourite sport?|What is my sport?",
     indirect="what my favourite sport is|which sport I do|my favourite sport|which sport I like")
fact('pet', mix(values.PETS, .25, True), 'your pet is called {}', 'the name of your pet',
     tell="my pet is called {}|my dog is called {}|my cat is called {}|I have a dog named {}|I have a cat called {}|my pet's name is {}|the name of my pet is {}|"
          "the name of my dog is {}|my dog's name is {}|my cat's name is {}|I have a pet named {}|we have a dog called {}|my cat is named {}|my dog is named {}|I own a cat named {}",
     change="my pet is now called {}|we renamed the pet to {}|my pet's new name is {}|the pet is called {} now|my dog is now called {}",
     ask="What is my pet called?|What is the name of my pet?|Do you remember the name of my pet?|What's my pet's name?|How is my pet called?|What is my dog called?|"
         "What is my cat called?|What is my pet's name?|What's the name of my dog?|What's the name of my cat?|What is my dog's name?|What is my cat's name?|What was my pet called?",
     indirect="what my pet is called|the name of my pet|what my dog is called|the name of my cat")
fact('robot', values.robot, 'the robot is called {}', 'the name of the robot',
     tell="the robot is called {}|our robot is named {}|the robot's name is {}|this robot is called {}|the name of the robot is {}|my robot is called {}|"
          "I named the robot {}|our robot is called {}|we call the robot {}|the robot goes by {}|I have a robot called {}|my robot's name is {}|we have a robot named {}",
     change="the robot is now called {}|we renamed the robot to {}|the robot's new name is {}|the robot is called {} now|the robot was renamed to {}",
     ask="What is the robot called?|What is the name of the robot?|What is the robot's name?|Do you remember the name of the robot?|How is the robot called?|"
         "What's the robot's name?|What did I name the robot?|What's the name of our robot?|What is our robot called?|What is my robot called?|What was the robot called?",
     indirect="what the robot is called|the name of the robot|what our robot is called|how the robot is called")
fact('code', values.code, 'the code word is {}', 'the code word',
     tell="the code word is {}|our code word is {}|remember the code word {}|the secret code word is {}|the password is {}|our secret word is {}|the code is {}|"
          "my code word is {}|my password is {}|the secret word is {}|the codeword is {}|our password is {}|use the code word {}|the secret is {}|the code word for today is {}|keep the code word {} in mind",
     change="the code word is now {}|the new code word is {}|the code word changed to {}|we changed the code word to {}|the new password is {}|the password is now {}|use the code word {} instead",
     ask="What is the code word?|What is our code word?|Do you remember the code word?|Tell me the code word.|What's the code word?|What is the password?|"
         "What is the secret word?|Which code word did I give you?|What was the code word?|What is the code?|What's the password?|What is my code word?|"
         "What is my password?|What is the codeword?|Say the code word.|What was the password?|The code word, please.|What is the secret code word?",
     indirect="what the code word is|the code word|what the password is|our code word|which code word I gave you")
fact('battery', values.percent, 'the battery is at {} percent', 'the battery level',
     tell="the battery is at {} percent|the battery level is {} percent|battery is at {} percent|we have {} percent battery left|the robot has {} percent battery|"
          "the battery shows {} percent|battery level {} percent|the robot's battery is at {} percent|there is {} percent battery left|the battery is {} percent full",
     change="the battery is now at {} percent|the battery dropped to {} percent|battery now at {} percent|the battery charged to {} percent|the battery level is now {} percent|the battery fell to {} percent|only {} percent battery left now",
     ask="What is the battery level?|How much battery is left?|How full is the battery?|What's the battery level?|How much battery do we have?|Tell me the battery level.|"
         "Do you remember the battery level?|What was the battery level?|How much battery does the robot have?|And the battery?|How is the battery?",
     indirect="what the battery level is|how much battery is left|how full the battery is|the battery level")
fact('way', values.waypoint, 'the next waypoint is {}', 'the next waypoint',
     tell="the next waypoint is {}|go to {} next|the next stop is {}|our next waypoint is {}|drive to {} next|the target is {}|the robot must go to {}|"
          "the robot should go to {}|the robot has to drive to {}|move to {} next|the waypoint is {}|our target is {}|the destination is {}|the next goal is {}|send the robot to {}",
     change="the next waypoint is now {}|go to {} instead|the waypoint changed to {}|drive to {} instead|the new waypoint is {}|the target is now {}|the new target is {}|move to {} instead|the destination is now {}|the robot must go to {} instead",
     ask="What is the next waypoint?|Where should the robot go?|What is the next stop?|Where do we go next?|Which waypoint is next?|What's the next waypoint?|"
         "Where is the robot going?|Do you remember the next waypoint?|What is the target?|What is the destination?|Where does the robot have to go?|What is the waypoint?|Where must the robot go?|Where to next?",
     indirect="what the next waypoint is|where the robot should go|where we go next|the next waypoint|what the target is")
fact('meet', values.clock, 'the meeting is at {}', 'the time of the meeting',
     tell="the meeting is at {}|we meet at {}|our meeting starts at {}|I have a meeting at {}|the meeting starts at {}|the team meets at {}|the meeting begins at {}|my meeting is at {}|our meeting is at {}|the meeting time is {}",
     change="the meeting is now at {}|the meeting moved to {}|we meet at {} instead|the meeting was moved to {}|the new meeting time is {}|the meeting is at {} instead|the meeting now starts at {}",
     ask="When is the meeting?|What time is the meeting?|When do we meet?|At what time is my meeting?|When does the meeting start?|Do you remember when the meeting is?|"
         "What time do we meet?|When is my meeting?|When is our meeting?|What was the meeting time?|What time does the meeting start?|When does the team meet?",
     indirect="when the meeting is|when we meet|what time the meeting is|the time of the meeting")
fact('buy', mix(values.ITEMS), 'you need to buy {}', 'what you need to buy',
     tell="I need to buy {}|remind me to buy {}|we have to buy {}|I must buy {}|my shopping list is {}|I want to buy {}|I have to buy {}|I should buy {}|I am going to buy {}|we need to buy {}",
     change="I need to buy {} instead|buy {} instead|now I need to buy {}|my shopping list is now {}|I have to buy {} instead",
     ask="What do I need to buy?|What is on my shopping list?|What should I buy?|What did I want to buy?|What do I have to buy?|What must I buy?|What's on my shopping list?|What do I want to buy?|What do we need to buy?|What am I going to buy?",
     indirect="what I need to buy|what is on my shopping list|what I should buy|what I have to buy")
fact('plate', values.plate, 'the plate is {}', 'the plate',
     tell="my plate is {}|the plate of my car is {}|the plate is {}|the vehicle plate is {}|my car has the plate {}|our van has the plate {}|my licence plate is {}|"
          "the van with plate {} is mine|my number plate is {}|the licence plate is {}|the license plate is {}|I drive the car with the plate {}|the car with the plate {} is ours|the plate number is {}|my license plate is {}",
     change="the plate is now {}|my new plate is {}|the plate changed to {}|my car now has the plate {}|my licence plate is now {}",
     ask="What is my plate?|What is the plate of my car?|Which plate does my car have?|Do you remember the plate?|What's the plate?|What is the vehicle plate?|What is my licence plate?|"
         "What is my number plate?|What is the plate number?|What is my license plate?|What was my plate?|Which plate is mine?|What is the licence plate?",
     indirect="what my plate is|the plate of my car|my licence plate|which plate my car has|the plate")
fact('job', mix(values.JOBS), 'your job is {}', 'your job',
     tell="my job is {}|I work as a {}|I am working as a {}|my profession is {}|by profession I am a {}|I'm working as a {}|I earn my money as a {}|my occupation is {}|I am employed as a {}|I have a job as a {}",
     change="my job is now {}|my new job is {}|I now work as a {}|I changed my job to {}|I work as a {} now",
     ask="What is my job?|What do I do for a living?|What's my job?|What is my profession?|Do you remember my job?|What do I work as?|What is my occupation?|What was my job?|Which job do I have?",
     indirect="what my job is|what I do for a living|my profession|my job")
fact('age', values.age, 'you are {} years old', 'your age',
     tell="I am {} years old|I'm {} years old|my age is {}|I turned {} last week|I am {} years of age|I am aged {}|I have been alive for {} years",
     change="I am now {} years old|I just turned {}|my age is now {}|I am {} years old now|I turned {} today",
     ask="How old am I?|What is my age?|Do you remember my age?|Do you know how old I am?|What's my age?|What was my age?|Which age am I?",
     indirect="how old I am|my age|what my age is")
KEYS = list(FACTS)

# Open facts: any attribute. They teach the model to match words that it has no template for.
MINE = '''lucky number|phone number|room number|badge number|favourite animal|favourite drink|favourite film|favourite book|
favourite song|favourite season|favourite game|favourite number|hobby|sister|brother|best friend|boss|manager|team|school|
university|company|street|country|birthday|nickname|bike|project|budget|doctor|neighbour|coach|boat|office|user name|
locker|flight|seat|language|car|instrument|mother|father|wife|husband|daughter|son|teacher|email|desk|band'''.replace('\n', '').split('|')
OURS = '''door code|gate number|deadline|captain|team leader|speed limit|payload|charging station|room temperature|parcel number|
map version|ticket number|order number|wifi name|start time|warehouse|operator|route|server name|channel|serial number|
version|project name|cargo|pilot|winner|lunch|group leader|elevator code|parking spot'''.replace('\n', '').split('|')
UNSEEN_MINE = 'favourite poem|cousin|hotel|lucky charm|locker code|grandmother|favourite singer|postman'.split('|')
UNSEEN_OURS = 'ship name|gate code|supervisor|landing site|parcel weight|pump pressure'.split('|')


def open_fact(r, unseen=False):
    """A fact with an attribute from the lists, or "favourite <noun>"."""
    mine, ours = (UNSEEN_MINE, UNSEEN_OURS) if unseen else (MINE, OURS)
    u = r.random()
    own = u < .7
    attribute = r.choice(mine) if own else r.choice(ours)
    if not unseen and u < .2:
        attribute = r.choice(['favourite ', '']) + (r.choice(values.NOUNS) if r.random() < .7 else values.pseudo(r))
    my, your = ('my ', 'your ') if own else ('the ', 'the ')
    return attribute, Fact(
        values.anything, your + attribute + ' is {}', your + attribute,
        [my + attribute + ' is {}'] * 3 + ['I have told you that ' + my + attribute + ' is {}', 'as for ' + my + attribute + ', it is {}'],
        [my + attribute + ' is now {}', my + attribute + ' changed to {}', my + 'new ' + attribute + ' is {}', my + attribute + ' is {} now'],
        ['What is ' + my + attribute + '?'] * 3 + ["What's " + my + attribute + '?', 'Do you remember ' + my + attribute + '?',
         'What was ' + my + attribute + '?', 'Tell me ' + my + attribute + '.', 'And ' + my + attribute + '?'],
        ['what ' + my + attribute + ' is', my + attribute])
