import type { WrittenTurn } from '../../nodes/transcript-llm.ts';

/**
 * The nine messages of the paper (Appendix A.1) with replies written for this project in the manner of a small chat model,
 * each longer than 128 ids, so that the token limit cuts it as it does in the paper. What counts on the wire is how such
 * text becomes ids.
 */
export const NINE_WRITTEN_TURNS: readonly WrittenTurn[] = [
  {
    message: 'What are the fundamental components of an autonomous mobile robot?',
    reply: `An autonomous mobile robot is made up of several fundamental components that work together:

1. **Sensors**: These let the robot perceive its environment. Common examples are cameras, LiDAR, ultrasonic sensors, infrared sensors and inertial measurement units (IMUs).

2. **Actuators**: Motors and servos turn commands into motion. Most mobile robots use DC motors with wheels or tracks.

3. **Controller**: A microcontroller or an on-board computer processes the sensor data, makes decisions and sends commands to the actuators.

4. **Power supply**: Usually a rechargeable battery, which limits how long the robot can operate and how heavy it may be.

5. **Communication**: Wi-Fi, Bluetooth or a radio link connects the robot to operators and other machines.

6. **Software**: Localization, mapping, path planning and control run here.`,
  },
  {
    message: 'You mentioned sensors. What are the most common types for obstacle avoidance?',
    reply: `The most common types of sensors used for obstacle avoidance in mobile robots are:

- **Ultrasonic sensors** send out a short pulse of sound and measure how long the echo takes to return. They are cheap and work in the dark, but soft surfaces absorb the sound.
- **Infrared sensors** measure reflected light. They are small and fast, although sunlight can disturb them.
- **LiDAR** scans the surroundings with a laser and gives precise distances over a wide field of view. It is more expensive than the other options.
- **Stereo or depth cameras** produce a dense image with the distance of each pixel, which helps to recognize what the obstacle is.
- **Bump switches** are the last line of defense when everything else has failed.

In practice, several of these are combined.`,
  },
  {
    message: 'Can you explain the concept of a PID controller in the context of motor control?',
    reply: `A PID controller is a feedback loop that keeps a measured value, such as the speed of a motor, close to a desired setpoint. At each step it computes the error, which is the difference between the setpoint and the measured value, and combines three terms:

* **Proportional (P)**: reacts to the current error. A larger error gives a larger correction.
* **Integral (I)**: adds up past errors and removes the steady-state offset that the proportional term alone would leave.
* **Derivative (D)**: looks at how quickly the error changes and damps the response, which reduces overshoot.

The output is u(t) = Kp * e(t) + Ki * ∫ e(t) dt + Kd * de(t)/dt, and it is usually sent to the motor driver as a PWM duty cycle.`,
  },
  {
    message: 'Write a simple Python function for a proportional (P) controller.',
    reply: `Here is a simple Python function for a proportional controller:

\`\`\`python
def p_controller(setpoint, measured_value, kp):
    """
    Compute the output of a proportional controller.

    Args:
        setpoint: The desired value.
        measured_value: The current value reported by the sensor.
        kp: The proportional gain.

    Returns:
        The control signal.
    """
    error = setpoint - measured_value
    output = kp * error
    return output


# Example usage
speed = 0.0
for step in range(20):
    control = p_controller(setpoint=100.0, measured_value=speed, kp=0.5)
    speed += control * 0.1
    print(f"Step {step}: speed = {speed:.2f}")
\`\`\`

The function first computes the error and then multiplies it by the gain.`,
  },
  {
    message: 'In your previous code, what do the `kp` and `error` variables represent?',
    reply: `In the previous code, the two variables have the following meaning:

- \`error\` is the difference between the desired value (\`setpoint\`) and the value that the sensor reports (\`measured_value\`). If the motor should turn at 100 rpm and it currently turns at 80 rpm, the error is 20. A positive error means that the motor is too slow, and a negative error means that it is too fast.

- \`kp\` is the proportional gain. It decides how strongly the controller reacts to the error. With a small \`kp\` the motor approaches the setpoint slowly, while a large \`kp\` makes it react quickly but may cause it to overshoot or to oscillate around the setpoint.

The product of the two is the control signal.`,
  },
  {
    message: 'How would you modify that function to include the integral (I) component?',
    reply: `To include the integral component, the controller has to remember the sum of past errors. A small class is a good way to do that:

\`\`\`python
class PIController:
    def __init__(self, kp, ki, dt):
        self.kp = kp
        self.ki = ki
        self.dt = dt
        self.integral = 0.0

    def update(self, setpoint, measured_value):
        error = setpoint - measured_value
        self.integral += error * self.dt
        return self.kp * error + self.ki * self.integral
\`\`\`

Each call to \`update\` adds the current error, multiplied by the time step, to \`self.integral\`. The longer an error persists, the larger this term becomes, so it eliminates the steady-state error. You may want to limit the integral to avoid windup.`,
  },
  {
    message: "Now, let's talk about localization. What is SLAM?",
    reply: `SLAM stands for Simultaneous Localization and Mapping. It is the problem of building a map of an unknown environment while at the same time keeping track of the robot's position within that map. The two tasks depend on each other: to build a good map the robot has to know where it is, and to know where it is the robot needs a good map.

A typical SLAM system has these parts:

1. **Front end**: extracts features or scans from the sensor data and matches them with what was seen before.
2. **Back end**: estimates the most likely trajectory and map, given all measurements and their uncertainty.
3. **Loop closure**: detects that the robot has returned to a known place and corrects the accumulated drift.`,
  },
  {
    message: 'What are some of the main challenges when implementing that on a small, low-power robot?',
    reply: `Implementing SLAM on a small, low-power robot comes with several challenges:

1. **Limited processing power**: Feature extraction, scan matching and optimization are expensive. A microcontroller may not be able to run them in real time.
2. **Limited memory**: Maps and graphs of poses grow with the area that is explored, so they have to be pruned or compressed.
3. **Energy consumption**: Both the sensors and the computation drain the battery, which shortens the time of operation.
4. **Low-quality sensors**: Cheap cameras and IMUs are noisy, and wheel odometry drifts when the wheels slip.
5. **Latency**: If the estimate arrives too late, the robot may already have hit an obstacle.

Common remedies are lower resolution, sparse features and offloading work to an edge server.`,
  },
  {
    message: 'Can you compare the EKF SLAM and Particle Filter SLAM approaches?',
    reply: `EKF SLAM and Particle Filter SLAM are two classic approaches that differ in how they represent uncertainty:

**EKF SLAM**
- Represents the pose and all landmarks with a single Gaussian distribution.
- Linearizes the motion and measurement models around the current estimate.
- The covariance matrix grows quadratically with the number of landmarks, so large maps are costly.
- Sensitive to wrong data association.

**Particle Filter SLAM (for example FastSLAM)**
- Represents the trajectory with a set of particles, each of which carries its own map.
- Can handle nonlinear models and multiple hypotheses.
- The cost grows with the number of particles, and too few particles lead to depletion.

In short, EKF SLAM suits small environments with distinct landmarks, while particle filters are more robust.`,
  },
];

/** So many written turns, all messages different; the replies come round again after nine. */
export function writtenTurns(count: number): WrittenTurn[] {
  return Array.from({ length: count }, (_, index) => {
    const { message, reply } = NINE_WRITTEN_TURNS[index % NINE_WRITTEN_TURNS.length] as WrittenTurn;
    return { message: index < NINE_WRITTEN_TURNS.length ? message : `Question ${index + 1}: ${message}`, reply };
  });
}
