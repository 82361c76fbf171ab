import { accessSync, constants } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const FLAGS = ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** The browser of this machine; `undefined` where it has none. `CHROMIUM_PATH` names another. */
export function chromiumPath(): string | undefined {
  const places = process.env.CHROMIUM_PATH === undefined ? PLACES : [process.env.CHROMIUM_PATH];
  return places.find((place) => {
    try {
      accessSync(place, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Without a window, and asking nobody anything by itself. */
export function startChromium(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath, headless: true, args: FLAGS });
}
