import type { Static } from 'typebox';
import type { ServedModel } from '../../context-manager/model-directory.ts';
import type { WarmingStates } from './node-schemas.ts';

/** What is warmed of each model, in counts alone: nobody is told whom a node expects. Nothing where nothing is warmed. */
export function warmingView(models: readonly ServedModel[]): { warming?: Static<typeof WarmingStates> } {
  const warming = models.flatMap(({ name: model, contextManager: { warmer } }) => {
    if (warmer === undefined) return [];
    const { policy, queued, dropped, handovers, preemptions, heldBytes, ...ids } = warmer.status;
    return [
      {
        model,
        policy,
        queued,
        dropped,
        handovers_warm: handovers.warm,
        handovers_kept: handovers.kept,
        handovers_cold: handovers.cold,
        tokens_warmed: ids.warmedTokens,
        tokens_used: ids.usedTokens,
        tokens_wasted: ids.wastedTokens,
        tokens_held: ids.heldTokens,
        ...(heldBytes !== undefined && { bytes_held: heldBytes }),
        preemptions,
      },
    ];
  });
  return warming.length === 0 ? {} : { warming };
}
