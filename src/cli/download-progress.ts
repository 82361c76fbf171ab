import type { DownloadProgress } from '../edge-node/models/engines.ts';
import { approximateBytes } from './terminal.ts';

/** Where there is no terminal to rewrite a line on, a line per this share of the download. */
const STEP_PERCENT = 10;

/** Prints on stderr how far a model's download has come: one line that is rewritten, or one per tenth in a log. */
export function downloadProgress(): (progress: DownloadProgress) => void {
  let lastPercent = -1;
  return ({ downloadedBytes, totalBytes }) => {
    if (totalBytes === 0) return;
    const percent = Math.floor((downloadedBytes / totalBytes) * 100);
    const step = process.stderr.isTTY ? 1 : STEP_PERCENT;
    if (Math.floor(percent / step) === Math.floor(lastPercent / step)) return;
    lastPercent = percent;
    const line = `downloading the model: ${percent} % of ${approximateBytes(totalBytes)}`;
    process.stderr.write(process.stderr.isTTY ? `\r${line}${percent === 100 ? '\n' : ''}` : `${line}\n`);
  };
}
