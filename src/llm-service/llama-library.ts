/**
 * The only way to node-llama-cpp, loaded when first asked for: it brings hundreds of megabytes of native code that who
 * uses llama-server needs nothing of.
 */
export function loadLlamaLibrary(): Promise<typeof import('node-llama-cpp')> {
  return import('node-llama-cpp');
}
