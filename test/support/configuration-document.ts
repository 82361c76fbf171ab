import { AT_MOST } from '../../src/config/config.ts';
import { CONSISTENCY_RULES } from '../../src/config/consistency-rules.ts';
import { CONFIG_FILE_ENVIRONMENT_NAME } from '../../src/config/given-settings.ts';
import { IN_ENTRIES_ONLY, MODELS_MAX, ONE_MODELS } from '../../src/config/model-config.ts';
import { ENTRY_SETTINGS, MODELS_KEY } from '../../src/config/model-entries.ts';
import { SETTING_GROUPS } from '../../src/config/settings/setting-schema.ts';
import { formatSize } from '../../src/config/settings/setting-values.ts';
import { SETTINGS, type Setting, type SettingName } from '../../src/config/settings/settings.ts';

/** docs/configuration.md, made from the settings' schema. */
export function configurationDocument(): string {
  const groups = SETTING_GROUPS.map((group) => {
    const settings = SETTINGS.filter((setting) => setting.group === group);
    return [`## ${group}`, ...settings.map(section)].join('\n\n');
  });
  return `${[INTRODUCTION, ...groups, models(), rules()].join('\n\n')}\n`;
}

const INTRODUCTION = `# Configuration

<!-- Made from src/config/settings/. Do not edit; a test holds the two equal and says how to make it anew. -->

\`npx discedge serve\` runs without any configuration. Every setting can be given in three places; the first that has it wins:

1. a flag: \`npx discedge serve --max-wait-ms 500\` (\`npm start -- --max-wait-ms 500\` from the repository),
2. an environment variable: \`DISCEDGE_MAX_WAIT_MS=500\`; an empty one counts as not set,
3. a line of the YAML file that \`--config FILE\` or \`${CONFIG_FILE_ENVIRONMENT_NAME}\` names: \`max-wait-ms: 500\`.

A file for a node whose store may take half a gigabyte:

\`\`\`yaml
listen: 127.0.0.1:9000
node-id: edge-1
data-dir: /var/lib/discedge
store-bytes-max: 512MB
\`\`\`

Units are part of the names. Sizes are numbers of bytes, or carry a unit: \`512MB\` (powers of ten), \`4GiB\` (powers of two).
Paths are relative to the folder that the node is started in. A node with a wrong or unknown setting does not start: it names
everything that is wrong, where it was given and what was probably meant, and exits with status 2.`;

function models(): string {
  const rows = ENTRY_SETTINGS.map(({ key, modelKey, secret }) => {
    const meaning = secret === true ? `file that holds its \`${key}\`` : `as [\`${key}\`](#${key}), of this model`;
    return `| \`${modelKey}\` | ${meaning} |`;
  });
  return [
    '## Models',
    `A node that serves several models can name them with \`--model\` or \`--llm\`, given several times. Under \`${MODELS_KEY}\`, which only the configuration file has, each has settings of its own. The first is the default one, and there are at most ${MODELS_MAX}: each takes memory, and a stream at every peer.`,
    ['```yaml', EXAMPLE_MODELS, '```'].join('\n'),
    ['| in an entry | meaning |', '| --- | --- |', ...rows].join('\n'),
    'An entry has either `model` or `llm`. What it leaves out of `context-tokens`, `parallel` and `mode` is as the node has it.',
  ].join('\n\n');
}

const EXAMPLE_MODELS = `models:
  - name: small
    model: demo
  - name: large
    model: /models/large-Q4_K_M.gguf
    context-tokens: 8192
    parallel: 2
  - name: server
    llm: http://127.0.0.1:8080
    llm-api-key-file: /etc/discedge/server.key
    mode: raw`;

function section(setting: Setting): string {
  return [`### \`${setting.key}\``, setting.description, facts(setting)].join('\n\n');
}

function facts(setting: Setting): string {
  const { minimum, maximum, choices } = setting;
  const amount = (value: number) => (setting.kind === 'size' ? formatSize(value) : value.toLocaleString('en'));
  const range = minimum === undefined || maximum === undefined ? [] : [`${amount(minimum)} to ${amount(maximum)}`];
  return [
    `\`${setting.flag}\`${setting.kind === 'switch' ? `, \`${setting.flag.replace('--', '--no-')}\`` : ''}`,
    `\`${setting.environmentName}\``,
    ...(choices === undefined ? [] : [choices.map((value) => `\`${value}\``).join(', ')]),
    ...range,
    `default: ${defaultOf(setting)}`,
  ].join(' · ');
}

function defaultOf({ kind, defaultText, defaultValue, unit }: Setting): string {
  if (defaultText !== undefined) return defaultText;
  if (typeof defaultValue !== 'number') return `\`${defaultValue}\``;
  return kind === 'size' ? formatSize(defaultValue) : `${defaultValue.toLocaleString('en')} ${unit}`;
}

function rules(): string {
  const key = (name: SettingName) => `\`${SETTINGS.find((setting) => setting.name === name)?.key}\``;
  return [
    '## Rules between settings',
    [
      ...AT_MOST.map(([low, high]) => `- ${key(low)} must not exceed ${key(high)}.`),
      ...CONSISTENCY_RULES.map((rule) => `- ${rule}`),
      `- ${key('llm')} and ${key('model')} exclude each other; \`${MODELS_KEY}\` in the configuration file excludes ${listed(IN_ENTRIES_ONLY.map(key))} beside it.`,
      `- ${listed(ONE_MODELS.map(key))} are one model's, and refused where several are given.`,
      `- \`context-tokens\` of an entry of \`${MODELS_KEY}\` must be at least ${key('prefillChunkTokens')}.`,
    ].join('\n'),
  ].join('\n\n');
}

function listed(items: readonly string[]): string {
  return `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}
