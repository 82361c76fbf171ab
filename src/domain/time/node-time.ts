import { HeldBack, type HeldBackPart } from './held-back.ts';

/** What the machine says: its time of day, which may jump, and a time that only goes forward, also while the machine sleeps. */
export interface ClockReading {
  readonly wallMs: number;
  readonly steadyMs: number;
}

/** A peer's time of day, as it said when this node's steady time was `atSteadyMs`, give or take half the round trip. */
export interface PeerClock {
  readonly timeMs: number;
  readonly atSteadyMs: number;
  readonly plusMinusMs: number;
}

/**
 * Why the time is not to be relied on: `starting`, nobody has confirmed it yet; `behind`, it is before a time that has passed
 * already; `stepped`, it has jumped; `peers`, the other nodes have another one.
 */
export type ClockDoubt = 'starting' | 'behind' | 'stepped' | 'peers';

/** What is kept from one start to the next. */
export interface KeptTime {
  /** The node's time. */
  readonly timeMs: number;
  /** What was to end by then had ended. */
  readonly endedUpToMs: number;
  /** How far endings are held back, and for how much longer. */
  readonly heldBack: readonly HeldBackPart[];
}

export interface NodeTimeOptions {
  readonly read: () => ClockReading;
  /** `undefined` for a node that has kept none, because it is new. */
  readonly kept?: KeptTime | undefined;
  /** Whether the records are shared with other nodes, whose clocks can be asked. */
  readonly isShared: boolean;
  /** Clocks that are no further apart agree. */
  readonly toleranceMs: number;
  /** A new time that nobody confirms or contradicts is believed after so long. */
  readonly settleMs: number;
  /** The longest that anything lives. */
  readonly lifetimeMsMax: number;
}

/** No record is older than the software: a clock before it was never set. 2025-01-01. */
export const FLOOR_MS = 1_735_689_600_000;
/** NTP lets a clock run faster or slower by half of this. */
const SLEW = 0.001;
/** Two clocks are read one after the other, and the steady one in steps of 10 ms. */
const READING_MS = 20;
/** How long the wall clock may be followed from one reading: drift adds up. */
const FOLLOWED_MS = 10_000;
/** Three greetings, and a bit: an older one says little of a clock now. */
const PEER_CLOCK_MS = 1_000_000;

/**
 * The time by which a node stamps, and by which what it holds ends. It goes on steadily whatever the machine's clock does: a
 * jump is first noticed, then followed once most peers confirm it, or once it has lasted where none can be asked. Nothing ends
 * while there is a doubt; and what a clock is put forward by is not counted against what was there before.
 */
export class NodeTime {
  readonly #options: NodeTimeOptions;
  /** Where the node's time was when the machine's clock was last followed. */
  #anchor: ClockReading;
  #isConfirmed: boolean;
  #disagreeing = false;
  /** The jump that has not been followed, and since when it has been there. */
  #step: { readonly offsetMs: number; readonly sinceSteadyMs: number } | undefined;
  readonly #heldBack: HeldBack;
  /** Holds while there is a doubt. */
  #endedUpToMs: number;
  readonly #startedSteadyMs: number;

  constructor(options: NodeTimeOptions) {
    const { read, kept, isShared, toleranceMs } = options;
    const { wallMs, steadyMs } = read();
    const earliestMs = Math.max(FLOOR_MS, kept?.timeMs ?? 0);
    const isBehind = wallMs < earliestMs - toleranceMs;
    this.#options = options;
    this.#anchor = { wallMs: isBehind ? earliestMs : wallMs, steadyMs };
    this.#step = isBehind ? { offsetMs: wallMs - earliestMs, sinceSteadyMs: steadyMs } : undefined;
    // A node without peers can lose nothing by a clock that has hardly moved since, or when it is new.
    this.#isConfirmed = !isShared && !isBehind && (kept === undefined || wallMs <= kept.timeMs + toleranceMs);
    this.#heldBack = new HeldBack(options.lifetimeMsMax, kept?.heldBack ?? [], steadyMs);
    this.#endedUpToMs = kept?.endedUpToMs ?? 0;
    this.#startedSteadyMs = steadyMs;
  }

  /** Milliseconds since 1970, for times that are stored or shown. */
  get nowMs(): number {
    return Math.floor(this.#lineAt(this.#look().steadyMs));
  }

  /** What was to end by then has ended. While there is a doubt it stands still. */
  get endedUpToMs(): number {
    const { steadyMs } = this.#look();
    if (this.doubt === undefined) this.#endedUpToMs = Math.floor(this.#lineAt(steadyMs) - this.#heldBack.at(steadyMs));
    return this.#endedUpToMs;
  }

  /** `undefined`: the time can be relied on. */
  get doubt(): ClockDoubt | undefined {
    this.#look();
    if (this.#step !== undefined) return this.#step.offsetMs < 0 && !this.#isConfirmed ? 'behind' : 'stepped';
    if (this.#disagreeing) return 'peers';
    return this.#isConfirmed ? undefined : 'starting';
  }

  /** Whether what is stamped now may be far off: nobody has confirmed the time, or most contradict it. */
  get isUnsure(): boolean {
    this.#look();
    return !this.#isConfirmed || this.#disagreeing;
  }

  /** How far the machine's clock is ahead of the node's time; what it jumped by, until that is followed. */
  get wallAheadMs(): number {
    const { wallMs, steadyMs } = this.#look();
    return Math.round(wallMs - this.#lineAt(steadyMs));
  }

  get kept(): KeptTime {
    const { steadyMs } = this.#look();
    return {
      timeMs: this.nowMs,
      endedUpToMs: this.endedUpToMs,
      heldBack: this.#heldBack.keptAt(steadyMs),
    };
  }

  /** How far a peer's clock is ahead of the node's time, in milliseconds. */
  aheadMs({ timeMs, atSteadyMs }: PeerClock): number {
    return Math.round(timeMs - this.#lineAt(atSteadyMs));
  }

  /** Weighs what the peers' clocks say, and what has lasted. To be called again and again. */
  consider(peers: readonly PeerClock[]): void {
    const { wallMs, steadyMs } = this.#look();
    void this.endedUpToMs;
    const heard = peers.filter(({ atSteadyMs }) => steadyMs - atSteadyMs < PEER_CLOCK_MS);
    if (heard.length > 0) this.#hear(heard, { wallMs, steadyMs });
    else this.#settle({ wallMs, steadyMs });
  }

  #hear(peers: readonly PeerClock[], { wallMs, steadyMs }: ClockReading): void {
    const agreeing = (timeMs: number) =>
      peers.filter(
        (peer) =>
          Math.abs(peer.timeMs + (steadyMs - peer.atSteadyMs) - timeMs) <= this.#options.toleranceMs + peer.plusMinusMs,
      ).length;
    // A clock that jumped is no witness of its own.
    if (this.#step !== undefined && wallMs >= FLOOR_MS && agreeing(wallMs) * 2 > peers.length)
      this.#follow({ wallMs, steadyMs });
    if (this.#step !== undefined) return;
    this.#disagreeing = (agreeing(this.#lineAt(steadyMs)) + 1) * 2 <= peers.length + 1;
    if (!this.#disagreeing) this.#isConfirmed = true;
  }

  #settle({ wallMs, steadyMs }: ClockReading): void {
    const sinceMs = this.#step?.sinceSteadyMs ?? this.#startedSteadyMs;
    if (steadyMs - sinceMs < this.#options.settleMs || wallMs < FLOOR_MS) return;
    if (this.#step !== undefined) this.#follow({ wallMs, steadyMs });
    this.#isConfirmed = true;
    this.#disagreeing = false;
  }

  /** Notices a jump of the machine's clock, and follows what is none. */
  #look(): ClockReading {
    const reading = this.#options.read();
    const { toleranceMs } = this.#options;
    const elapsedMs = reading.steadyMs - this.#anchor.steadyMs;
    const offsetMs = reading.wallMs - this.#lineAt(reading.steadyMs);
    if (Math.abs(offsetMs) > toleranceMs) {
      if (this.#step === undefined || Math.abs(this.#step.offsetMs - offsetMs) > toleranceMs)
        this.#step = { offsetMs, sinceSteadyMs: reading.steadyMs };
      return reading;
    }
    if (this.#step !== undefined || Math.abs(offsetMs) > READING_MS + elapsedMs * SLEW) this.#follow(reading);
    else if (elapsedMs >= FOLLOWED_MS) this.#anchor = reading;
    return reading;
  }

  #follow(reading: ClockReading): void {
    const { wallMs, steadyMs } = reading;
    this.#heldBack.put(wallMs - this.#lineAt(steadyMs), steadyMs);
    this.#anchor = reading;
    this.#step = undefined;
    this.#endedUpToMs = Math.min(this.#endedUpToMs, Math.floor(wallMs - this.#heldBack.at(steadyMs)));
  }

  #lineAt(steadyMs: number): number {
    return this.#anchor.wallMs + (steadyMs - this.#anchor.steadyMs);
  }
}
