import { ERROR_TABLE } from '../../src/domain/errors.ts';

/** docs/errors.md, made from the table. */
export function errorsDocument(): string {
  const rows = Object.entries(ERROR_TABLE).map(([code, { status, retry, meaning }]) => ({
    code,
    status,
    retry,
    meaning,
  }));
  const requests = rows.filter(({ status }) => status !== undefined);
  const starts = rows.filter(({ status }) => status === undefined);
  return [
    '# Errors',
    '',
    'Every error a client can meet, from one closed table (`src/domain/errors.ts`). On llama.cpp routes the reply is',
    '`{"error": {"code": <HTTP status>, "message": …, "type": "<code>", "param": "<field>"}}` (`context_overflow` under',
    "llama.cpp's name `exceed_context_size_error`, with its `n_prompt_tokens` and `n_ctx`), with the headers",
    '`x-should-retry`, `retry-after-ms` and `retry-after` (where it is known when to ask again), and `x-request-id`, by which',
    "the node's log names the request where the node is at fault, and every request at log level debug. Inside a stream that has begun, the same object comes as the last event. The same",
    'request may always be sent again: a turn that failed has stored nothing, or, where `store_unavailable` came too early to',
    'know, is found and replayed.',
    '',
    '| code | status | retry | meaning |',
    '| --- | --- | --- | --- |',
    ...requests.map(
      ({ code, status, retry, meaning }) => `| \`${code}\` | ${status} | ${retry ? 'yes' : 'no'} | ${meaning} |`,
    ),
    '',
    'These end a node at its start instead, with one line on stderr and exit code 1 (2 for `config_invalid`):',
    '',
    '| code | meaning |',
    '| --- | --- |',
    ...starts.map(({ code, meaning }) => `| \`${code}\` | ${meaning} |`),
    '',
  ].join('\n');
}
