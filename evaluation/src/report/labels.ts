import { wholeNumber } from './numbers/number-text.ts';

const SETTING_LABELS: Readonly<Record<string, string>> = {
  ours: 'our consistency',
  paper: "the paper's (3 retries, 10\u00a0ms)",
};

/** A setting as people say it. */
export function settingLabel(setting: string): string {
  const [, mbit, ms] = /^(\d+)mbit-(\d+)ms$/.exec(setting) ?? [];
  if (mbit !== undefined) return `${mbit}\u00a0Mbit/s, ${ms}\u00a0ms`;
  const [, idsPerS] = /^tokenizer-(\d+)-per-s$/.exec(setting) ?? [];
  if (idsPerS !== undefined) return `tokenizer of ${wholeNumber(Number(idsPerS))} ids/s`;
  return SETTING_LABELS[setting] ?? setting.replaceAll('-', ' ');
}

const LLM_SERVICE_LABELS: Readonly<Record<string, string>> = {
  embedded: 'embedded llama.cpp',
  transcript: 'written replies, no model',
};

export function llmServiceLabel(llmService: string): string {
  return LLM_SERVICE_LABELS[llmService] ?? llmService;
}
