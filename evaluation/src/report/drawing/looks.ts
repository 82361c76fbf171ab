/** Colours of figures, each with a name by which a page can replace it for dark screens. All differ. */
export const COLOURS = {
  ink: '#1b1f24',
  muted: '#57606a',
  grid: '#d8dee4',
  surface: '#ffffff',
  blue: '#0b4f9e',
  orange: '#b85a00',
  purple: '#7a3fa1',
  green: '#1a7f55',
} as const;

/** For dark surfaces: as far from it as the light ones are from white. */
export const DARK_COLOURS: Readonly<Record<keyof typeof COLOURS, string>> = {
  ink: '#e6edf3',
  muted: '#9da7b1',
  grid: '#373e47',
  surface: '#0f141a',
  blue: '#6cb6ff',
  orange: '#f0a04b',
  purple: '#cf9bf0',
  green: '#5fd39d',
};

/** As wide as the font of PNG figures, wherever an SVG is opened. */
export const FONTS = "Arimo, Arial, Helvetica, 'Liberation Sans', sans-serif";

export type SymbolName = 'circle' | 'square' | 'triangle' | 'diamond';

/** How a variant is drawn: without colour, dash and shape still tell it apart. */
export interface Look {
  readonly colour: string;
  readonly symbol: SymbolName;
  readonly filled: boolean;
  /** SVG's stroke-dasharray; `undefined`: solid. */
  readonly dash: string | undefined;
}

/** What figures are about is solid and filled; what it is shown against is open and broken. */
const LOOKS: readonly Look[] = [
  { colour: COLOURS.blue, symbol: 'circle', filled: true, dash: undefined },
  { colour: COLOURS.orange, symbol: 'square', filled: false, dash: '7,4' },
  { colour: COLOURS.purple, symbol: 'triangle', filled: false, dash: '2,4' },
  { colour: COLOURS.green, symbol: 'diamond', filled: true, dash: '9,3,2,3' },
];

/** For the place of a variant in its figure's list, subject first. */
export function lookAt(place: number): Look {
  return LOOKS[place % LOOKS.length] as Look;
}

const VARIANT_NAMES: Readonly<Record<string, string>> = {
  tokenized: 'Tokenized',
  warmed: 'Warmed ahead',
  cold: 'Not warmed',
  raw: 'Raw text',
  'client-side': 'Client-side history',
  delta: 'Delta of each turn',
  'whole-context': 'Whole context',
  'whole-context-json': 'Whole context as JSON',
  'llama-server': 'Bare llama-server',
  responses: 'Response ids',
  chat: 'Chat with its history',
  after: 'After',
  before: 'Before',
};

/** A variant's name at the beginning of a label. */
export function variantName(variant: string): string {
  return VARIANT_NAMES[variant] ?? variant;
}

const IN_SENTENCES: Readonly<Record<string, string>> = {
  tokenized: 'tokenized context',
  warmed: 'context warmed ahead',
  cold: 'context not warmed',
  raw: 'raw text',
  'client-side': 'client-side history',
  delta: 'delta replication',
  'whole-context': 'replicating the whole context',
  'whole-context-json': 'replicating it whole as JSON',
  'llama-server': 'bare llama-server',
  responses: 'a chain of response ids',
  chat: 'a chat that sends its history',
};

/** A variant as what does or undergoes something, inside a sentence. */
export function variantInSentence(variant: string): string {
  return IN_SENTENCES[variant] ?? variant;
}
