/** Public API of the package: an edge node in one's own process. The client is `discedge/client`. */

export { type ConfigSources, type EdgeNodeConfig, loadConfig } from './config/config.ts';
export { DiscedgeError, ERROR_TABLE, type ErrorCode } from './domain/errors.ts';
export { type EdgeNode, type EdgeNodeDescription, startEdgeNode } from './edge-node/edge-node.ts';
export type { StartOptions } from './edge-node/models/start-llm-service.ts';
export type * from './llm-service/llm-service.ts';
