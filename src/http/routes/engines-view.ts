import type { Static } from 'typebox';
import type { ServedModel } from '../../context-manager/model-directory.ts';
import type { EngineStates } from './node-schemas.ts';

/** The processes that models live in, as they go over the wire; nothing where there are none. */
export function enginesView(models: readonly ServedModel[]): { engines?: Static<typeof EngineStates> } {
  const engines = models.flatMap(({ name: model, llm }) => {
    if (llm.process === undefined) return [];
    const { isUp, pid, restarts } = llm.process;
    return [{ model, is_up: isUp, ...(pid !== undefined && { pid }), restarts }];
  });
  return engines.length === 0 ? {} : { engines };
}
