import { DiscedgeError } from '../domain/errors.ts';
import type { TokenId } from '../domain/token-sequence.ts';
import { DEFAULT_TEMPLATE, type NamedTemplate, readTemplateFile } from '../llm-service/chat-template/template-file.ts';
import {
  afterReply,
  type ChatTemplate,
  type ConversationTrait,
  compileChatTemplate,
  type TraitClass,
} from '../llm-service/chat-template.ts';
import { openVocabulary } from '../llm-service/embedded/vocabulary.ts';
import type { LlmDescription, Vocabulary } from '../llm-service/llm-service.ts';
import { rehearse } from './rehearsal.ts';

/** What conversations under a chat template can count on. */
export interface TemplateReport {
  readonly file: string;
  /** `default`, or one of the other names that templates have in some files. */
  readonly name: string;
  /** Why the template, or the file, is of no use; `undefined` where it can be rendered. */
  readonly refused: string | undefined;
  /** Whether that is because there was no template to be read. */
  readonly missing: boolean;
  /** For each trait of a conversation; without `thinking` where the template knows no reasoning. */
  readonly classes: readonly TraitClass[];
  /** The text that ends the reasoning in a reply. */
  readonly reasoningEnd: string | undefined;
  /** Whether a session keeps its system message when `drop-oldest` leaves its first turn out. */
  readonly keepsSystem: boolean;
  /** Where a vocabulary was given. */
  readonly ids: TemplateIds | undefined;
}

/** What a template comes to in ids. */
export interface TemplateIds {
  /** The token that ends a reply: the template's own, or else the one by which the next message begins. */
  readonly endToken: string;
  readonly endsBy: 'end-token' | 'next-message';
  /** Who writes BOS at the beginning; `none`: nobody. */
  readonly bos: 'template' | 'node' | 'none';
  /** For each trait: ids evaluated again in each of six turns because of the template. */
  readonly rewritten: Readonly<Partial<Record<ConversationTrait, readonly number[]>>>;
}

/**
 * Reports on each template of these files: Jinja, `tokenizer_config.json` or GGUF. `vocabularyFile`: a GGUF whose vocabulary
 * stands for the model's; throws `model_unusable` where it has none. A file that cannot be read is reported as refused.
 */
export async function templateReports(
  files: readonly string[],
  { vocabularyFile, nowMs }: { readonly vocabularyFile: string | undefined; readonly nowMs: number },
): Promise<TemplateReport[]> {
  const vocabulary = vocabularyFile === undefined ? undefined : await openVocabulary(vocabularyFile);
  try {
    const reports: TemplateReport[] = [];
    for (const file of files) {
      const templates = await templatesOf(file);
      if (typeof templates === 'string')
        reports.push(refusal({ file, name: DEFAULT_TEMPLATE, missing: true }, templates));
      else for (const template of templates) reports.push(await reportOf(file, template, { vocabulary, nowMs }));
    }
    return reports;
  } finally {
    await vocabulary?.close();
  }
}

/** Or why there are none. */
async function templatesOf(file: string): Promise<readonly NamedTemplate[] | string> {
  try {
    const templates = await readTemplateFile(file);
    return templates.length === 0 ? `${file} has no chat template in it` : templates;
  } catch (error) {
    if (error instanceof DiscedgeError && error.code === 'config_invalid') return error.message;
    throw error;
  }
}

async function reportOf(
  file: string,
  { name, source }: NamedTemplate,
  { vocabulary, nowMs }: { readonly vocabulary: Vocabulary | undefined; readonly nowMs: number },
): Promise<TemplateReport> {
  const description = { ...(vocabulary?.description ?? WITHOUT_VOCABULARY), chatTemplate: source };
  const tokenize = vocabulary?.tokenize ?? bytesOf;
  const template = await compileChatTemplate(description, tokenize, { now: () => nowMs });
  if (template.whyUnusable !== undefined) return refusal({ file, name, missing: false }, template.whyUnusable);
  return {
    file,
    name,
    refused: undefined,
    missing: false,
    classes: template.classes,
    reasoningEnd: template.reasoning?.end,
    keepsSystem: template.keepsSystem,
    ids: vocabulary && (await idsOf(template, { ...vocabulary, description })),
  };
}

function refusal(which: Pick<TemplateReport, 'file' | 'name' | 'missing'>, why: string): TemplateReport {
  const nothing = { classes: [], reasoningEnd: undefined, keepsSystem: false, ids: undefined };
  return { ...which, refused: why, ...nothing };
}

/** Which class a template is of follows from its text alone, so any vocabulary will do: here each byte is an id. */
async function bytesOf(text: string): Promise<TokenId[]> {
  return [...Buffer.from(text, 'utf8')] as TokenId[];
}

const WITHOUT_VOCABULARY: LlmDescription = {
  identity: { name: 'bytes', tokenizerDigest: '', templateDigest: '' },
  contextTokens: Number.MAX_SAFE_INTEGER,
  vocabularySize: 256,
  chatTemplate: undefined,
  bosText: '<s>',
  eosText: '</s>',
  prependBos: undefined,
  endOfGeneration: new Set(),
};

async function idsOf(template: ChatTemplate, vocabulary: Vocabulary): Promise<TemplateIds> {
  const { bosText, prependBos, endOfGeneration, eosText } = vocabulary.description;
  const asked = [{ role: 'user', content: 'Hello' }] as const;
  const lead = (await template.continueSession(afterReply([]), asked)).segment.ids;
  const known = lead.find((id) => endOfGeneration.has(id));
  const end = known ?? lead[0];
  const endToken = end === undefined ? eosText : await vocabulary.detokenize([end], { special: true });
  const text = await template.renderText(asked, { generationPrompt: true });
  const writesBos = bosText !== '' && text.startsWith(bosText);
  const rewritten: Partial<Record<ConversationTrait, readonly number[]>> = {};
  for (const { trait, class: found } of template.classes) {
    if (found !== 'refused') rewritten[trait] = await rehearse(trait, template, { vocabulary, endToken });
  }
  const bos = writesBos ? 'template' : prependBos === undefined ? 'none' : 'node';
  return { endToken, endsBy: known === undefined ? 'next-message' : 'end-token', bos, rewritten };
}
