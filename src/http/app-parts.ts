import type { ContextManager } from '../context-manager/context-manager.ts';
import type { ContextStore } from '../context-store/context-store.ts';
import type { Consistency, WriteConcern } from '../domain/consistency.ts';
import type { OverflowPolicy } from '../domain/context-window.ts';
import type { NodeId } from '../domain/identifiers.ts';
import type { ContextMode } from '../domain/turn-record.ts';
import type { Environment } from '../environment/environment.ts';
import type { ChatTemplate } from '../llm-service/chat-template.ts';
import type { LlmService } from '../llm-service/llm-service.ts';

/** What the HTTP API stands on. */
export interface AppParts {
  readonly contextManager: ContextManager;
  readonly llm: LlmService;
  readonly template: ChatTemplate;
  readonly store: ContextStore;
  readonly environment: Environment;
  /** All metrics as Prometheus text, and its content type. */
  readonly metricsText: () => Promise<{ readonly text: string; readonly contentType: string }>;
  readonly options: AppOptions;
}

export interface AppOptions {
  readonly version: string;
  readonly nodeId: NodeId;
  readonly storeName: string;
  readonly bodyBytesMax: number;
  readonly defaultMode: ContextMode;
  readonly defaultConsistency: Consistency;
  readonly defaultWriteConcern: WriteConcern;
  readonly defaultOverflow: OverflowPolicy;
  readonly maxWaitMs: number;
  readonly replicatedWaitMs: number;
  /** Bounds both waits that a request may ask for. */
  readonly maxWaitMsLimit: number;
  readonly ttlSecondsMax: number;
  readonly replyTokensMax: number;
  readonly parallel: number;
}
