import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { woffToSfnt } from './woff-to-sfnt.ts';

/** Twice the size on the page, for sharp pictures on today's screens. */
const ZOOM = 2;
export const FONT_FAMILY = 'Arimo';
const FONT_WEIGHTS = [400, 700];

/** Draws PNG of SVG with the package's own font, so that it is the same on every machine. Call `close` at the end. */
export class PngPainter {
  readonly #resvg: typeof import('@resvg/resvg-js');
  readonly #folder: string;
  readonly #fontFiles: readonly string[];

  private constructor(resvg: typeof import('@resvg/resvg-js')) {
    this.#resvg = resvg;
    // Fonts are taken by path, and packages have them wrapped for the web.
    this.#folder = mkdtempSync(join(tmpdir(), 'discedge-fonts-'));
    const { resolve } = createRequire(import.meta.url);
    this.#fontFiles = FONT_WEIGHTS.map((weight) => {
      const woff = resolve(`@fontsource/arimo/files/arimo-latin-${weight}-normal.woff`);
      const file = join(this.#folder, `arimo-${weight}.ttf`);
      writeFileSync(file, woffToSfnt(readFileSync(woff)));
      return file;
    });
  }

  /** Rejects with the reason where there is no painter for this platform. */
  static async create(): Promise<PngPainter> {
    return new PngPainter(await import('@resvg/resvg-js'));
  }

  paint(svg: string): Buffer {
    const font = { loadSystemFonts: false, fontFiles: [...this.#fontFiles], defaultFontFamily: FONT_FAMILY };
    const options = { background: '#ffffff', fitTo: { mode: 'zoom', value: ZOOM }, font } as const;
    return new this.#resvg.Resvg(svg, options).render().asPng();
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
