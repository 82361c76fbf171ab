/** The fields of a turn's row that the node's answer has; null for numbers that it does not tell. */
export function toldByNode(wire: Readonly<Record<string, unknown>>) {
  const timings = (wire.timings ?? {}) as Readonly<Record<string, unknown>>;
  return {
    session_id: textOf(wire.session_id),
    context_id: textOf(wire.context_id),
    request_body_bytes: numberOf(wire.request_size),
    prompt_tokens: numberOf(wire.tokens_evaluated),
    cached_tokens: numberOf(timings.cache_n),
    evaluated_tokens: numberOf(timings.prompt_n),
    reply_tokens: numberOf(wire.tokens_predicted),
    prompt_ms: numberOf(timings.prompt_ms),
    predicted_ms: numberOf(timings.predicted_ms),
    tokens_per_second: numberOf(timings.predicted_per_second),
    retries: numberOf(wire.retries),
    waited_ms: numberOf(wire.waited_ms),
    based_on_turn: numberOf(wire.based_on_turn),
    dropped_turns: numberOf(wire.dropped_turns),
    replayed: booleanOf(wire.replayed),
    exact_ids: booleanOf(wire.exact_ids),
    stop_type: textOf(wire.stop_type),
  };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function booleanOf(value: unknown): boolean | null {
  return typeof value === 'boolean' ? value : null;
}
