/** `-Q4_K_M`, `.IQ2_XS`, `-f16`, `-UD-Q4_K_XL`: how a file says in which precision it holds the weights. */
const QUANTIZATION = /[-._](?:UD-)?(?:I?Q\d+(?:_[0-9A-Z]+)*|TQ\d_\d|MXFP4(?:_MOE)?|BF16|F16|F32|FP16|FP32)$/i;
/** `-00001-of-00003`: one file of several. */
const SHARD = /-\d{5}-of-\d{5}$/;

/**
 * What a model is called when nobody has named it: its file's name without folder, `.gguf`, shard and quantization.
 * The same for every LLM Service, so that nodes which serve one model in different precisions and by different engines
 * share its keygroup.
 */
export function modelNameFromFile(path: string): string {
  const file = path
    .replace(/^.*[\\/]/, '')
    .replace(/\.gguf$/i, '')
    .replace(SHARD, '');
  return file.replace(QUANTIZATION, '') || file || 'model';
}
