/** Decided once for all cases: which fields, by their path, and why they differ. */
export interface GeneralDecision {
  readonly fields: RegExp;
  /** How the table calls them. */
  readonly named: string;
  readonly why: string;
}

const inReply = (names: string) => new RegExp(`^(end\\.)?(${names})$`);

export const GENERAL_DECISIONS: readonly GeneralDecision[] = [
  {
    fields: inReply(
      'session_id|user_id|mode|turn|context_id|node|request_size|retries|waited_ms|based_on_turn|based_on_context|replayed|arbitrated|write_concern|replicas|dropped_turns|tokens_rewritten|exact_ids',
    ),
    named:
      '`user_id`, `mode`, `node`, `request_size`, `retries`, `waited_ms`, `replayed`, `dropped_turns`, `tokens_rewritten`, `exact_ids`',
    why: "DisCEdge's own fields come with every reply; a client of llama.cpp passes over them.",
  },
  {
    fields: inReply(
      'generation_settings\\.(adaptive_target|adaptive_decay|n_keep|n_discard|grammar_lazy|grammar_triggers|preserved_tokens|chat_format|reasoning_format|reasoning_in_content|generation_prompt|speculative\\.types|timings_per_token|backend_sampling|lora)',
    ),
    named:
      'embedded, in `generation_settings`: `adaptive_…`, `n_keep`, `n_discard`, `grammar_lazy`, `grammar_triggers`, `preserved_tokens`, `chat_format`, `reasoning_…`, `generation_prompt`, `speculative.types`, `timings_per_token`, `backend_sampling`, `lora`',
    why: 'What the embedded LLM Service does not have, it does not say. In front of a llama-server they are there.',
  },
  {
    fields: /^engines\b/,
    named: 'embedded, in `/health`: `engines`',
    why: 'Each embedded model has a process of its own, and an operator wants to see whether it is up.',
  },
  {
    fields: /(^|\.)timings\.restored_n$/,
    named: '`timings.restored_n`',
    why: 'How many of `cache_n` came from state that the node keeps of sessions ([warm-handover.md](warm-handover.md)); `cache_n + prompt_n` is the prompt, as in llama.cpp.',
  },
  {
    fields: /(^|\.)timings\.warmed_n$/,
    named: '`timings.warmed_n`',
    why: 'How many of `cache_n` were evaluated ahead of need ([warm-handover.md](warm-handover.md)) and are found for the first time.',
  },
  {
    fields: /^progress\.(tokens|timings\..*)$/,
    named: '`tokens` and `timings` of events with `prompt_progress`',
    why: 'Before the reply no id has been sampled (llama.cpp shows a 0 that is none) and there is nothing to time but the prompt: `prompt_progress.time_ms`.',
  },
  {
    fields: /^error\.(type|param)$/,
    named: '`error.type`, `error.param`',
    why: 'Our codes ([errors.md](errors.md)) say more than `invalid_request_error` does, and `param` names the field. Where llama.cpp has a type that its clients act upon, it is the same: `exceed_context_size_error`.',
  },
];
