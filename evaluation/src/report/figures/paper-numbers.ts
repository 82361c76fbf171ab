/**
 * What the paper reports (arXiv 2511.22599, §4), and its prototype's traffic where the paper gives shares alone. The
 * two values of a pair belong to its two devices.
 */
export interface PaperNumber {
  /** What is compared: `less` and `more` are the two sides of the change. */
  readonly subject: string;
  /** The first of them that a panel has. */
  readonly baselines: readonly string[];
  readonly metric: string;
  readonly label: string;
  /** Shares: -0.1 is a tenth less. None where the paper has no such number. */
  readonly changes: readonly number[];
  readonly figure?: string;
}

/** Kept by the client: for a node to forward, or for a server without one. */
const OWN_HISTORY = ['client-side', 'llama-server'];

export const PAPER_CHANGES: readonly PaperNumber[] = [
  {
    subject: 'tokenized',
    baselines: ['raw'],
    metric: 'response_ms',
    label: 'Response time of a turn, tokenized against raw',
    changes: [-0.1446, -0.0875],
    figure: 'Figure 3',
  },
  {
    subject: 'tokenized',
    baselines: ['raw'],
    metric: 'tokens_per_second',
    label: 'Tokens per second, tokenized against raw',
    changes: [0.0285, 0.0141],
    figure: 'Figure 4',
  },
  {
    subject: 'tokenized',
    baselines: ['raw'],
    metric: 'sync_bytes',
    label: 'Synchronization bytes of a session, tokenized against raw',
    changes: [-0.15, -0.133],
    figure: 'Figure 5',
  },
  {
    subject: 'tokenized',
    baselines: ['client-side'],
    metric: 'response_ms',
    label: 'Response time of a turn when roaming, edge-side against client-side',
    changes: [-0.0593],
    figure: 'Figure 6',
  },
  {
    subject: 'warmed',
    baselines: OWN_HISTORY,
    metric: 'response_ms',
    label: 'The same, warmed ahead',
    changes: [-0.0593],
    figure: 'Figure 6',
  },
  {
    subject: 'warmed',
    baselines: OWN_HISTORY,
    metric: 'first_token_after_move_ms',
    label: 'Time to first token after a move, warmed ahead against client-side',
    changes: [],
  },
  {
    subject: 'tokenized',
    baselines: ['client-side'],
    metric: 'request_bytes',
    label: 'Request bytes of a turn, edge-side against client-side',
    changes: [-0.9],
    figure: 'Figure 7',
  },
];

/** Bytes between two nodes for the nine turns, all packets both ways, with the prototype on a Mac (M2) and a Jetson (TX2). */
export const PAPER_SESSION_SYNC_BYTES: Readonly<Record<string, readonly number[]>> = {
  tokenized: [34_956, 36_101],
  raw: [40_340, 42_468],
};
