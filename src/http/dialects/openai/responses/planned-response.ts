import type { ServedModel } from '../../../../context-manager/model-directory.ts';
import type { ForwardRequest, TurnRequest } from '../../../../context-manager/turn/turn.ts';
import type { Asked } from './create-request.ts';
import { ItemIds } from './item-views.ts';
import type { ResponseIds, ResponseRef } from './response-ref.ts';
import type { ResponseState } from './response-view.ts';

/** A response that is to be made. */
export class PlannedResponse {
  readonly model: ServedModel;
  readonly asked: Asked;
  /** Whose answer it is; of a request that is repeated that of the first one, once it is known. */
  ref: ResponseRef;
  state: ResponseState;
  readonly request: TurnRequest | undefined;
  readonly forward: ForwardRequest | undefined;
  readonly background: boolean;
  readonly #ids: ResponseIds;

  constructor(parts: {
    model: ServedModel;
    asked: Asked;
    ref: ResponseRef;
    state: ResponseState;
    request?: TurnRequest;
    forward?: ForwardRequest;
    background: boolean;
    ids: ResponseIds;
  }) {
    this.model = parts.model;
    this.asked = parts.asked;
    this.ref = parts.ref;
    this.state = parts.state;
    this.request = parts.request;
    this.forward = parts.forward;
    this.background = parts.background;
    this.#ids = parts.ids;
  }

  get items(): ItemIds {
    return new ItemIds(this.#ids, this.ref);
  }
}
