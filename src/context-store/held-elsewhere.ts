/** Who else holds a session, as far as is known: the lower, the sooner it is evicted. */
export const HELD = {
  /** All of it nodes that can be asked now, among them the one that wrote its last turn; or nobody has looked since it was written. */
  byItsWriter: 0,
  /** All of it nodes that can be asked now; its last turn was written here. */
  byOthers: 1,
  /** Some of it only nodes that cannot be asked now. */
  byNodesAway: 2,
  /** Some of it nobody, or nobody who is known to. */
  byNobody: 3,
} as const;

export type Held = (typeof HELD)[keyof typeof HELD];
