/** What runs one model, and which. Each kind of engine has fields of its own. */
export interface ModelSource {
  readonly kind: string;
}

/** llama.cpp in the node's process: `demo`, the path of a GGUF file, or `hf:ORG/REPO:FILE`. */
export interface EmbeddedSource extends ModelSource {
  readonly kind: 'embedded';
  readonly model: string;
}

/** Which program a server at an address is. `auto`: what it answers tells. */
export const SERVER_PROGRAMS = ['auto', 'llama-server', 'vllm'] as const;
export type ServerProgram = (typeof SERVER_PROGRAMS)[number];

/** An inference server over HTTP. */
export interface ServerSource extends ModelSource {
  readonly kind: 'inference-server';
  readonly url: string;
  /** Secret: never log or print it. */
  readonly apiKey: string | undefined;
  readonly program: ServerProgram;
}

export interface ScriptedSource extends ModelSource {
  readonly kind: 'scripted';
}

/** What else the configuration says of what `llm` names. */
export interface BesideLlm {
  readonly apiKey?: string | undefined;
  readonly program?: ServerProgram | undefined;
}

/** What a kind of engine means for the configuration. `Source` is what it makes of a setting. */
export interface EngineTraits<Source extends ModelSource = ModelSource> {
  /** What the setting `llm` says to name it, as people are told; `undefined` for the one that `model` names. */
  readonly form: string | undefined;
  /** Whether an API key may be given with it. */
  readonly takesKey: boolean;
  /** What `llm` says, where it names this kind: `undefined` where it does not, and a problem where it cannot be used. */
  read(llm: string, beside: BesideLlm): Source | { readonly problem: string } | undefined;
  /** What an operator finds it by in the configuration. */
  called(source: Source): string;
}

const server: EngineTraits<ServerSource> = {
  form: 'http://HOST:PORT of a llama-server or a vLLM',
  takesKey: true,
  read(llm, { apiKey, program = 'auto' }) {
    const url = URL.canParse(llm) ? new URL(llm) : undefined;
    if (url === undefined || !['http:', 'https:'].includes(url.protocol)) return undefined;
    if (url.search !== '' || url.hash !== '') return undefined;
    if (url.username !== '' || url.password !== '') {
      return { problem: "must not carry a password: give the server's key as llm-api-key" };
    }
    return { kind: 'inference-server', url: url.href.replace(/\/+$/, ''), apiKey, program };
  },
  called: ({ url }) => url,
};

const scripted: EngineTraits<ScriptedSource> = {
  form: 'scripted',
  takesKey: false,
  read: (llm) => (llm === 'scripted' ? { kind: 'scripted' } : undefined),
  called: ({ kind }) => kind,
};

const embedded: EngineTraits<EmbeddedSource> = {
  form: undefined,
  takesKey: false,
  read: () => undefined,
  called: ({ model }) => model,
};

/** The kinds of engine there are, by name; `edge-node/models/engines.ts` starts each. */
export const ENGINE_KINDS = { 'inference-server': server, scripted, embedded } as const;

export type EngineName = keyof typeof ENGINE_KINDS;
export type EngineKinds = Readonly<Record<string, EngineTraits>>;

export function isEmbedded(source: ModelSource): source is EmbeddedSource {
  return source.kind === 'embedded';
}

export function isServer(source: ModelSource): source is ServerSource {
  return source.kind === 'inference-server';
}

/** What the setting `llm` names. `undefined` after a complaint. */
export function readLlm(
  llm: string,
  { engines, ...beside }: BesideLlm & { readonly engines: EngineKinds },
  complain: (problem: string) => void,
): ModelSource | undefined {
  for (const engine of Object.values(engines)) {
    const reading = engine.read(llm, beside);
    if (reading === undefined) continue;
    if (!('problem' in reading)) return reading;
    complain(reading.problem);
    return undefined;
  }
  complain(
    `must be ${Object.values(engines)
      .flatMap(({ form }) => form ?? [])
      .join(', or ')}`,
  );
  return undefined;
}
