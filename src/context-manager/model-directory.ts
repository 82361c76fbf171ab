import { DiscedgeError } from '../domain/errors.ts';
import type { KeygroupId } from '../domain/identifiers.ts';
import type { ChatTemplate } from '../llm-service/chat-template.ts';
import type { LlmService } from '../llm-service/llm-service.ts';
import type { ContextManager } from './context-manager.ts';

/** One model as a node serves it: its LLM Service and chat template, and the keygroup of records that only it shares. */
export interface ServedModel {
  readonly name: string;
  readonly llm: LlmService;
  readonly template: ChatTemplate;
  readonly keygroup: KeygroupId;
  readonly contextManager: ContextManager;
}

/** The models of a node by name; the first is the default. */
export class ModelDirectory {
  readonly default: ServedModel;
  readonly #models: ReadonlyMap<string, ServedModel>;
  readonly #unserved: readonly string[];

  /** `unserved` are models that the node was to serve and cannot, by name. Throws TypeError when there is none to serve. */
  constructor(models: readonly ServedModel[], unserved: readonly string[] = []) {
    const [first] = models;
    if (first === undefined) throw new TypeError('a node serves at least one model');
    this.default = first;
    this.#models = new Map(models.map((model) => [model.name, model]));
    this.#unserved = unserved;
  }

  get all(): readonly ServedModel[] {
    return [...this.#models.values()];
  }

  /**
   * The model that a request means; without a name, or with an empty one, the default. A node that is to serve one model
   * takes any name, as llama.cpp does; one with several throws `model_not_found` for a name it does not know, and
   * `llm_unavailable` for a model that it was to serve and cannot.
   */
  find(name: string | undefined): ServedModel {
    if (name === undefined || name === '') return this.default;
    const model = this.#models.get(name);
    if (model !== undefined) return model;
    if (this.#models.size + this.#unserved.length === 1) return this.default;
    if (this.#unserved.includes(name)) {
      throw new DiscedgeError('llm_unavailable', "this model could not be started here; the node's log says why", {
        param: 'model',
      });
    }
    throw new DiscedgeError(
      'model_not_found',
      `this node serves no model of that name; it serves ${[...this.#models.keys()].join(', ')}`,
      { param: 'model' },
    );
  }

  /** The one that is named, as {@link find} finds it, else all of them. */
  named(name: string | undefined): readonly ServedModel[] {
    return name === undefined ? this.all : [this.find(name)];
  }
}
