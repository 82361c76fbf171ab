import type { EdgeNodeConfig } from '../config/config.ts';
import { isEmbedded } from '../config/engine-kinds.ts';
import type { ModelConfig } from '../config/model-config.ts';
import { DiscedgeError } from '../domain/errors.ts';
import { DEMO_MODEL_PATH } from '../edge-node/models/demo-model.ts';
import type { Check } from './check.ts';
import { type TemplateReport, templateReports } from './template-reports.ts';

/** What contexts can count on under the chat templates that are in reach without starting a model; nothing of others. */
export async function checkChatTemplates({ models }: EdgeNodeConfig, nowMs: number): Promise<Check[]> {
  const files = models.map(templateFile).filter((file) => file !== undefined);
  const checks = await Promise.all(
    files.map(async ({ path, isModel }) => {
      const [report] = await templateReports([path], { vocabularyFile: undefined, nowMs }).catch(nothingWithoutLibrary);
      // A model without a template gets one, and what else is wrong with its file is said of the model.
      if (report === undefined || (isModel && report.missing)) return undefined;
      return checkOf(report);
    }),
  );
  return checks.filter((check) => check !== undefined);
}

function templateFile({ chatTemplateFile, source }: ModelConfig): { path: string; isModel: boolean } | undefined {
  if (chatTemplateFile !== undefined) return { path: chatTemplateFile, isModel: false };
  if (!isEmbedded(source) || source.model.startsWith('hf:')) return undefined;
  return { path: source.model === 'demo' ? DEMO_MODEL_PATH : source.model, isModel: true };
}

function checkOf({ refused, classes }: TemplateReport): Check {
  const name = 'chat template';
  if (refused !== undefined) {
    return {
      name,
      outcome: 'warn',
      found: refused,
      fix: 'give another with --chat-template-file, or use mode client-side',
    };
  }
  const found = classes.map(({ trait, class: of, why }) => `${trait} ${of}${why === undefined ? '' : ` (${why})`}`);
  return { name, outcome: 'ok', found: found.join(', ') };
}

/** That a GGUF needs node-llama-cpp, and it is not here, is said of the model. */
function nothingWithoutLibrary(error: unknown): TemplateReport[] {
  if (error instanceof DiscedgeError && error.code === 'package_missing') return [];
  throw error;
}
