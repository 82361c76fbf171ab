import type { UserId } from '../../domain/identifiers.ts';
import type { OptionalLayer } from '../../domain/record/layers-left-out.ts';
import { type Layer, type LayerSource, NO_LAYERS } from './layer.ts';
import type { UserPreferences } from './user-preferences.ts';

export interface ModelLayersParts {
  /** What the operator says to whoever talks to this model. */
  readonly deployment: Layer | undefined;
  /** What this node says of its region now. */
  readonly region: () => Layer | undefined;
  readonly preferences: Pick<UserPreferences, 'layer'>;
}

/** What stands before the conversations of one model at this node. */
export class ModelLayers implements LayerSource {
  readonly #parts: ModelLayersParts;

  constructor(parts: ModelLayersParts) {
    this.#parts = parts;
  }

  of(userId: UserId, without: readonly OptionalLayer[]): readonly Layer[] | Promise<readonly Layer[]> {
    const preferences = without.includes('preferences') ? undefined : this.#parts.preferences.layer(userId);
    if (preferences instanceof Promise) return preferences.then((layer) => this.#with(layer, without));
    return this.#with(preferences, without);
  }

  #with(preferences: Layer | undefined, without: readonly OptionalLayer[]): readonly Layer[] {
    const { deployment } = this.#parts;
    const region = without.includes('region') ? undefined : this.#parts.region();
    if (deployment === undefined && region === undefined && preferences === undefined) return NO_LAYERS;
    return [deployment, region, preferences].filter((layer) => layer !== undefined);
  }
}
