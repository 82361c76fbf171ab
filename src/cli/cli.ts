/** What a command in another package is written with, so that it reads, prints and ends like the others: `discedge/cli`. */

export { EXIT_FAILURE, EXIT_USAGE } from './failure.ts';
export { paragraph } from './help-layout.ts';
export { addSettingOptions, settingFlags } from './setting-options.ts';
export { type StopRequest, stopRequested } from './stop-request.ts';
export { approximateBytes, printable, styled, table } from './terminal.ts';
