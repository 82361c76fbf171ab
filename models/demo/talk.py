"""Talk that carries no fact: small talk, questions with a "tell me more", the paper's nine robot turns,
and the honest answers to everything else."""
SMALL_TALK = [tuple(x.split('|')) for x in '''
Hello! What would you like me to remember?|Hello|Hi|Hey|Hello there|Hi there|Good day|Hey robot|Hello robot|Hi!|Hello!|Hello, can you hear me?|Hi robot
Good morning! I am ready.|Good morning|Morning|Good morning, robot
Good evening! I am ready.|Good evening|Evening|Good evening, robot
You are welcome.|Thanks|Thank you|Thanks a lot|Thank you very much|Great, thanks|Thanks for the help|Many thanks|Thanks!|Thank you so much|Cool, thanks
Goodbye! This session is all I remember.|Bye|Goodbye|See you|See you later|Bye bye|Have a nice day
I am a tiny demo model that runs on an edge node.|Who are you?|What are you?|What is your name?|Tell me about yourself.|Introduce yourself.|Are you a robot?|Are you human?|What model are you?|What's your name?|Who am I talking to?
You can tell me facts and ask me about them later.|Help|What can you do?|How can you help me?|How does this work?|What can I ask you?|Help me|What should I do?
I am fine, all systems are running.|How are you?|How are you doing?|How is it going?|Are you well?|How do you feel?|Is everything fine?|How are you today?
Good to hear.|I am fine.|I am doing well.|All is well here.|I feel great today.|Everything works.
I am sorry to hear that.|I am tired.|I feel sad.|I had a bad day.|I am sick today.|I am not well.
I have no weather sensor.|How is the weather?|What's the weather like?|What is the weather like?|Will it rain today?|Is it cold outside?|Is it sunny?|Do I need an umbrella?
I have no clock here.|What time is it?|What day is it?|Which year is it?|What is the date today?|Do you know the time?
Here is one: why did the robot rest? Its battery was flat.|Tell me a joke|Tell me another joke|Do you know a joke?|Make me laugh|Another joke please|Say something funny
Ready when you are.|Are you ready?|Can we start?|Are you there?|Shall we begin?|Test|Ping
Okay.|Okay|OK|Fine|All right|I see|Good|Nice|Great|Cool|Interesting|Understood
Yes, I keep what you tell me in this session.|Can you remember things?|Do you have a memory?|Will you remember this?|Do you store my data?|Do you remember what I say?
No problem.|Sorry|My mistake|I am sorry|Excuse me|Never mind|Forget it
I am not angry, I am only a small model.|You are stupid|You are wrong|That is wrong|You are slow|Bad robot
That is kind of you.|You are great|Well done|Good job|Good robot|You are smart|I like you|You are nice
I was trained on a small computer in about an hour.|How old are you?|Who made you?|Where were you trained?|How big are you?|When were you made?
I do not eat, I only need power.|What do you eat?|Are you hungry?|Do you like pizza?|Do you drink coffee?
I do not sleep, I only wait for requests.|Do you sleep?|Are you tired?|Do you dream?
I speak a little English only.|Do you speak German?|Which languages do you speak?|Do you speak English?|Can you speak French?
'''.strip().split('\n')]

# topic | answer | more | questions ...
QA = [tuple(x.split('|')) for x in '''
edge computing|Edge computing runs programs close to the users instead of in a distant data centre.|It saves network time and keeps private data nearby.|What is edge computing?|Explain edge computing.|What does edge computing mean?
an edge node|An edge node is a small server near the devices that use it.|Many edge nodes share the work, and a user may move between them.|What is an edge node?|Explain edge nodes.|What does an edge node do?
latency|Latency is the time between a request and its answer.|Short distances, small messages and cached context all reduce it.|What is latency?|Explain latency.|What does latency mean?
a token|A token is a short piece of text that a language model reads or writes.|This model knows about two thousand tokens.|What is a token?|Explain tokens.|What does token mean?
context|Context is the earlier text that a language model can still see.|Without the context a model forgets what was said before.|What is context?|What is a context window?|Explain context.
a session|A session is one conversation between a user and the assistant.|Its turns are numbered, so that a stale copy can be noticed.|What is a session?|Explain sessions.|What does session mean?
replication|Replication keeps copies of the same data on several nodes.|When one copy is behind, a reader may see old data.|What is replication?|Explain replication.|What does replication mean?
consistency|Consistency means that readers see the latest written data.|A turn counter can tell whether a copy is fresh enough.|What is consistency?|Explain consistency.|What does consistency mean?
a cache|A cache is a fast store for results that are needed again.|It must be refreshed when the original data changes.|What is a cache?|Explain caches.|What does a cache do?
lidar|Lidar measures distances with pulses of laser light.|It works in the dark but struggles with glass and mirrors.|What is lidar?|How does lidar work?|Explain lidar.
odometry|Odometry estimates motion from the turns of the wheels.|Its error grows with distance because wheels slip.|What is odometry?|Explain odometry.|How does odometry work?
a camera|A camera turns light into images that software can analyse.|It is cheap but needs good light and much computation.|What is a camera?|How does a camera work?|Explain cameras.
a motor|A motor turns electrical energy into motion.|Its speed is set by the voltage and measured by an encoder.|What is a motor?|How does a motor work?|Explain motors.
a battery|A battery stores energy in chemical form.|It ages faster when it is very full, very empty or hot.|What is a battery?|How does a battery work?|Explain batteries.
an encoder|An encoder counts how far a wheel or shaft has turned.|Two shifted tracks also tell the direction of the turn.|What is an encoder?|How does an encoder work?|Explain encoders.
a gyroscope|A gyroscope measures how fast a body rotates.|Its small offset must be removed or the heading drifts.|What is a gyroscope?|How does a gyroscope work?|Explain gyroscopes.
path planning|Path planning finds a safe way from the start to the goal.|A star search on a grid map is a common method.|What is path planning?|How does path planning work?|Explain path planning.
a drone|A drone is a flying robot with several propellers.|Its flight time is short because hovering needs much power.|What is a drone?|How does a drone fly?|Explain drones.
a gripper|A gripper is the hand of a robot arm.|Some use fingers, others use suction or magnets.|What is a gripper?|How does a gripper work?|Explain grippers.
Wi-Fi|Wi-Fi connects devices by radio over a short distance.|Walls and many users make it slower.|What is Wi-Fi?|How does Wi-Fi work?|Explain Wi-Fi.
a neural network|A neural network is a function with many numbers learned from examples.|This one has about two million such numbers.|What is a neural network?|How does a neural network work?|Explain neural networks.
a database|A database stores records so that they can be found again.|A key value store is the simplest kind.|What is a database?|How does a database work?|Explain databases.
'''.strip().split('\n')]
MORE_QUESTIONS = "Tell me more.|Tell me more about that.|Can you say more?|More details please.|Go on.|Please explain that further.|What else?".split('|')
UNSURE = "I am not sure what you mean by that; could you tell me more?"
FALLBACK = "I am a tiny demo model; tell me facts and ask me about them later."
OFF_TOPIC = '''Who won the {n} cup?|Write a poem about {n}.|What is the capital of {c}?|How do I cook {f}?|Who is the president of {c}?
How far is {c} from {c}?|Translate {n} into French.|What is the meaning of {n}?|What is the price of {n}?|How many {n} are there in {c}?
Why is the {n} {k}?|Can you recommend a book about {n}?|What do you think about {n}?|Who invented the {n}?|Sing a song about {n}.
How do I repair a {n}?|What is the best {n} in {c}?|Solve this equation for me.|Write an essay about {n}.|How tall is the {n}?
Where can I buy {n}?|What is {d} plus {d}?|What is {d} times {d}?|Is {n} better than {n}?|Who wrote {n}?|When was {n} born?|Do you like {n}?
Give me a recipe for {f}.|How do I get to {c}?|What happened in {c} in 19{d}?|Explain {n} to me.|Tell me about {c}.|Tell me a story about {n}.
Who is {m}?|Do you know {m}?|What is {n}?|Book a flight to {c}.|Play some music.|Turn on the light.|Open the door.|Send a mail to {m}.
Is there life on Mars?|Why is the sky blue?|What is love?|Which stock should I buy?|Who will win the election?|How do planes fly?'''.replace('\n', '|').split('|')
NONSENSE = ['<|im_end|>', '<|im_start|>user', '<b>', '{x: 1}', 'https://example.org/a?b=1', '[link](x)', '#42', ':-)', '\n\n', '***', '日本', '🙂', '</s>', '"', '\\n', '%s', '0x1f', 'ÄÖÜ', '...']

# The nine turns of the paper's Appendix A.1: question, the turn that it refers back to (counted from 0), answer.
ROBOT_TURNS = [
 ("What are the fundamental components of an autonomous mobile robot?", None,
  "An autonomous mobile robot has five fundamental components. Sensors, such as lidar, cameras and wheel encoders, measure the world and the robot itself. Actuators, usually motors with wheels, move it. A controller or on-board computer runs perception, localization, planning and motor control. A power system with a battery supplies energy. Finally, a communication link connects the robot to operators and edge nodes."),
 ("You mentioned sensors. What are the most common types for obstacle avoidance?", 0,
  "The most common sensors for obstacle avoidance are ultrasonic sensors, which are cheap and work at short range; infrared sensors, which detect near objects; lidar, which gives precise distances all around the robot; and depth cameras, which see the shape of obstacles. Bumper switches are a last safety layer. Many robots combine two or more of these, because each one fails in different conditions."),
 ("Can you explain the concept of a PID controller in the context of motor control?", None,
  "A PID controller keeps a motor at its target speed. It computes the error between the target and the measured speed and adds three terms. The proportional term reacts to the present error, the integral term sums past errors and removes a steady offset, and the derivative term reacts to how fast the error changes and damps overshoot. The sum sets the motor voltage."),
 ("Write a simple Python function for a proportional (P) controller.", None,
  "Here is a simple proportional controller:\n```python\ndef p_controller(target, measured, kp):\n    error = target - measured\n    output = kp * error\n    return output\n```\nCall it in every control cycle and send the output to the motor driver. A larger gain reacts faster, but too large a gain makes the motor oscillate."),
 ("In your previous code, what do the `kp` and `error` variables represent?", 3,
  "In the code above, `error` is the difference between the target value and the measured value, so it tells how far the motor is from where it should be. `kp` is the proportional gain: it scales the error into a control output. With a small kp the response is slow; with a large kp it is fast but can overshoot or oscillate."),
 ("How would you modify that function to include the integral (I) component?", 3,
  "To include the integral component, keep a running sum of the error:\n```python\ndef pi_controller(target, measured, kp, ki, integral, dt):\n    error = target - measured\n    integral = integral + error * dt\n    output = kp * error + ki * integral\n    return output, integral\n```\nPass the returned integral into the next call. The gain ki removes the steady offset; limit the integral to avoid wind-up."),
 ("Now, let's talk about localization. What is SLAM?", None,
  "SLAM stands for simultaneous localization and mapping. The robot builds a map of an unknown place and, at the same time, estimates its own position in that map. It combines motion data from odometry with observations from lidar or cameras. When it sees a known place again, it closes the loop and corrects the accumulated drift of both the map and the position."),
 ("What are some of the main challenges when implementing that on a small, low-power robot?", 6,
  "Running SLAM on a small, low-power robot is hard for several reasons. The processor is slow and memory is limited, so large maps and many landmarks do not fit. Cheap sensors are noisy and wheel odometry drifts. The battery limits how long the computer can run at full speed. A common solution is to send the heavy work to a nearby edge node, but then network latency matters."),
 ("Can you compare the EKF SLAM and Particle Filter SLAM approaches?", None,
  "EKF SLAM keeps one Gaussian estimate of the robot pose and all landmarks. It is compact, but its cost grows with the square of the number of landmarks, and it handles strongly nonlinear motion poorly. Particle filter SLAM, such as FastSLAM, keeps many weighted samples. It copes with nonlinear motion and ambiguous landmarks, but needs many particles and therefore more memory. Use EKF for small maps and particles for difficult motion."),
]
TURN_VARIANTS = {0: ["What are the components of an autonomous mobile robot?", "What is a mobile robot made of?"],
            1: ["You mentioned sensors. Which ones are used for obstacle avoidance?"],
            2: ["What is a PID controller?", "Explain the PID controller."],
            3: ["Write a Python function for a P controller.", "Write a simple proportional controller in Python."],
            4: ["In your code, what do kp and error mean?"],
            5: ["How would you add the integral component to that function?"],
            6: ["What is SLAM?", "Explain SLAM."],
            7: ["What are the challenges when implementing that on a small robot?"],
            8: ["Compare EKF SLAM and particle filter SLAM."]}
SYSTEMS = ["You are a helpful assistant.", "You are a helpful assistant that remembers the conversation.", "You are a robot assistant.",
           "You are an assistant on an edge node.", "Answer briefly.", "You are a helpful, respectful and honest assistant.",
           "You are a helpful robotics assistant. Keep your answers short."]
