import type { Environment } from '../../../environment/environment.ts';
import type { KeptStateStatus } from '../../llm-service.ts';
import type { WarmSpan } from '../../warming/warm-account.ts';
import type { MeasuredSpeeds } from './measured-speeds.ts';
import { SealedForm, type StateSealing } from './sealed-form.ts';
import { SharedPrefixes } from './shared-prefixes.ts';
import { type BoundTo, stateBinding } from './state-binding.ts';
import { StateKeeper } from './state-keeper.ts';
import { StateShelf } from './state-shelf.ts';

/** Where state is kept that has no sequence, and how much. */
export interface KeepOptions {
  /** For one model of one node. */
  readonly folder: string;
  readonly budgetBytes: number;
  /** In the clear where left out. */
  readonly sealing?: StateSealing | undefined;
}

export interface OpenedKeeper {
  readonly keeper: StateKeeper;
  /** Sessions whose state an earlier process kept. */
  readonly found: readonly string[];
  status(): KeptStateStatus;
}

/** A node that cannot keep state evaluates it anew: `undefined`, and said in the log, where the folder cannot be used. */
export async function openKeeper(
  options: KeepOptions,
  parts: {
    readonly boundTo: BoundTo;
    readonly tokensMax: number;
    readonly environment: Environment;
    readonly speeds: MeasuredSpeeds;
    readonly onChange: (status: KeptStateStatus) => void;
    readonly onWarmLost: (span: WarmSpan) => void;
  },
): Promise<OpenedKeeper | undefined> {
  const { boundTo, tokensMax, environment, speeds, onChange, onWarmLost } = parts;
  const { folder, budgetBytes, sealing } = options;
  try {
    const binding = await stateBinding(boundTo);
    const { clock, logger, random } = environment;
    const form = sealing && (await SealedForm.open(sealing, binding, random));
    const limits = { folder, budgetBytes, tokensMax };
    const shelf = await StateShelf.open({ ...limits, binding, form, onChange, onWarmLost }, environment);
    const { files, bytes, refused } = shelf.status();
    logger.info('llm.keeps_state', { folder, budgetBytes, files, bytes, refused, isSealed: form !== undefined });
    const keeper = new StateKeeper({ shelf, speeds, clock });
    // Nobody knows any more which sessions begin so, and whether there are any.
    await keeper.forgetAll(SharedPrefixes.isKey);
    return {
      keeper,
      found: shelf.affinities.filter((affinity) => !SharedPrefixes.isKey(affinity)),
      status: () => shelf.status(),
    };
  } catch (error) {
    environment.logger.warn('llm.keeps_no_state', { folder, budgetBytes }, error);
    return undefined;
  }
}
