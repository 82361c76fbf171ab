import { fileURLToPath } from 'node:url';

/** The demo model, as it lies in the repository and in the package. */
export const DEMO_MODEL_PATH = fileURLToPath(new URL('../../../models/demo/demo.gguf', import.meta.url));
