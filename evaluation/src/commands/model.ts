import { type Command, InvalidArgumentError, Option } from 'commander';
import { approximateBytes, stopRequested } from 'discedge/cli';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import { MODEL_SHAPES, type ModelShape, modelShape } from '../shaped-model/model-shape.ts';
import { WEIGHT_TYPES, type WeightType } from '../shaped-model/weight-type.ts';

interface MakeOptions extends Partial<ModelShape> {
  readonly shape: string;
  readonly vocab: string;
  readonly out: string;
  readonly type: WeightType;
  readonly seed: number;
  readonly force?: true;
}

/** What JavaScript counts exactly. */
const SEED_MAX = Number.MAX_SAFE_INTEGER;

export function define(command: Command): void {
  const make = command
    .command('make')
    .description('Make a model that costs what a real one costs and says words without meaning, for measurements.')
    .requiredOption('--vocab <FILE>', 'GGUF file whose vocabulary it gets; may be packed with gzip')
    .requiredOption('-o, --out <FILE>', 'where to write the model')
    .addOption(
      new Option('--shape <NAME>', `shape of a published model (${Object.keys(MODEL_SHAPES).join(', ')})`).default(
        'qwen1.5-0.5b',
      ),
    )
    .addOption(new Option('--type <TYPE>', 'type of its weights').choices(WEIGHT_TYPES).default('q8_0'))
    .addOption(
      new Option('--seed <SEED>', 'the same seed gives the same file').default(1).argParser(wholeNumber(0, SEED_MAX)),
    )
    .option('--force', 'replace a file that is there');
  for (const [flag, what] of REPLACED) {
    make.addOption(new Option(flag, what).argParser(wholeNumber(1)).helpGroup('Instead of what the shape says:'));
  }
  make.action((options: MakeOptions) => makeModel(options, make));
}

const REPLACED = [
  ['--layers <LAYERS>', 'layers'],
  ['--hidden <WIDTH>', 'width of the residual stream'],
  ['--heads <HEADS>', 'attention heads'],
  ['--kv-heads <HEADS>', 'heads with keys and values of their own'],
  ['--feed-forward <WIDTH>', 'inner width of the feed-forward part'],
  ['--context-tokens <TOKENS>', 'longest context'],
] as const;

async function makeModel(options: MakeOptions, command: Command): Promise<void> {
  const { shape: shapeName, vocab: vocabularyPath, out: outPath, type, seed, force, ...replaced } = options;
  const { makeShapedModel } = await import('../shaped-model/shaped-model.ts');
  const { signal } = stopRequested();
  try {
    const shape = modelShape(shapeName, replaced);
    const made = await makeShapedModel({ shape, shapeName, vocabularyPath, outPath, type, seed, force, signal });
    process.stdout.write(
      `${made.path}: ${approximateBytes(made.fileBytes)}, ${Math.round(made.parameters / 1e6)} million weights, ` +
        `${made.vocabularySize} ids, of which it says ${made.replyWords}\n` +
        `Next: discedge serve --model ${made.path}\n`,
    );
  } catch (error) {
    if (error instanceof DiscedgeError && error.code === 'config_invalid') command.error(`error: ${error.message}`);
    if (!signal.aborted) throw error;
    process.exitCode = EXIT_INTERRUPTED;
  }
}

/** What shells report for a process ended by SIGINT. */
const EXIT_INTERRUPTED = 130;

function wholeNumber(min: number, max = 2 ** 31): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}
